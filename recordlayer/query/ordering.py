"""What records are ordered and grouped by, as bytes: the same that an index of these fields would have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from recordlayer.keys import EMPTY, Field, KeyExpression, Then
from recordlayer.keys.compiled import Keys, compile_keys
from recordlayer.keys.compiled_entries import Entries, OneEntry, compile_entries
from recordlayer.keys.expression import NO_CONTEXT
from recordlayer.store.record import StoredRecord
from recordlayer.store.record_page import keyed

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.metadata import RecordType
    from recordlayer.query.query import SortKey

KeyOf = Callable[[StoredRecord], bytes]
KeysOf = Callable[[Sequence[StoredRecord]], list[bytes]]

_NO_PREFIX = (b"",)
_ANY = 1 << 30  # bytes of a key that is nowhere stored


def key_of(paths: tuple[SortKey, ...], types: Mapping[str, RecordType], *, unique: bool) -> KeyOf:
    """A function from a record to the packed values of fields; `unique`: with its primary key behind them."""
    made = {name: _keys(paths, known) for name, known in types.items()}
    if len(made) == 1 and all(isinstance(path, tuple) for path in paths):
        (only,) = made.values()
        if unique:
            return lambda record: only(record.message, NO_CONTEXT, b"", record.primary_key_bytes)[0]
        return lambda record: only(record.message, NO_CONTEXT, b"", b"")[0]

    def key(record: StoredRecord) -> bytes:
        suffix = record.primary_key_bytes if unique else b""
        return made[record.record_type.name](record.message, record.key_context, b"", suffix)[0]

    return key


def grouped_by(paths: tuple[SortKey, ...], record_type: RecordType) -> Callable[[Sequence[Message]], list[bytes]]:
    """A function from messages of one type to the packed values of fields."""
    packed = _packed(paths, record_type)
    return lambda messages: packed([(message, b"") for message in messages])


def keys_of(paths: tuple[SortKey, ...], types: Mapping[str, RecordType]) -> KeysOf:
    """A function from records to the packed values of fields with the primary key behind them: `key_of` for all of a
    page at once."""
    if len(types) == 1 and all(isinstance(path, tuple) for path in paths):
        (known,) = types.values()
        packed = _packed(paths, known)
        return lambda records: packed(keyed(records))
    key = key_of(paths, types, unique=True)
    return lambda records: [key(record) for record in records]


def _packed(
    paths: tuple[SortKey, ...], record_type: RecordType
) -> Callable[[Iterable[tuple[Message, bytes]]], list[bytes]]:
    """A function from messages and their primary keys to the packed values of fields with these behind them: as entries
    of an index, which are made in C, or else as `_keys`."""
    keys, entries = _keys(paths, record_type), _entries(paths, record_type)
    if entries is None:
        return lambda pairs: [keys(message, NO_CONTEXT, b"", key)[0] for message, key in pairs]
    return lambda pairs: [
        keys(message, NO_CONTEXT, b"", key)[0]
        if (found := entries(message, NO_CONTEXT, key, _NO_PREFIX)) is None
        else found[0][1]
        for message, key in pairs
    ]


def _keys(paths: tuple[SortKey, ...], record_type: RecordType) -> Keys:
    """Made once: that takes a millisecond."""
    known = record_type.kept.setdefault("keys", {})
    found: Keys | None = known.get(paths)
    if found is None:
        found = known[paths] = compile_keys(_whole(paths), record_type.message_class)
    return found


def _entries(paths: tuple[SortKey, ...], record_type: RecordType) -> Entries | None:
    """The same as entries without a prefix; None if there are no such."""
    known: dict[tuple[SortKey, ...], Entries | None] = record_type.kept.setdefault("entries", {})
    if paths not in known:
        wanted = OneEntry(_whole(paths), 0, b"", None)
        made = compile_entries([wanted], record_type.message_class, name="ordered", key_limit=_ANY, value_limit=_ANY)
        known[paths] = made
    return known[paths]


def _whole(paths: tuple[SortKey, ...]) -> KeyExpression:
    expressions = [_expression(path) for path in paths]
    return expressions[0] if len(expressions) == 1 else Then(tuple(expressions)) if expressions else EMPTY


def _expression(path: SortKey) -> KeyExpression:
    if isinstance(path, KeyExpression):
        return path
    expression: KeyExpression = Field(path[-1].name)
    for step in reversed(path[:-1]):
        expression = Field(step.name).nest(expression)
    return expression
