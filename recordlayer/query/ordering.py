"""What records are ordered and grouped by, as bytes: the same that an index of these fields would have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from recordlayer.keys import EMPTY, Field, KeyExpression, Then
from recordlayer.keys.compiled import Keys, compile_keys
from recordlayer.keys.expression import NO_CONTEXT
from recordlayer.store.record import StoredRecord
from recordlayer.store.record_page import keyed

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.metadata import RecordType
    from recordlayer.query.query import SortKey

KeyOf = Callable[[StoredRecord], bytes]
KeysOf = Callable[[Sequence[StoredRecord]], list[bytes]]

_MADE: WeakKeyDictionary[type[Any], dict[tuple[SortKey, ...], Keys]] = WeakKeyDictionary()


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
    keys = _keys(paths, record_type)
    return lambda messages: [keys(message, NO_CONTEXT, b"", b"")[0] for message in messages]


def keys_of(paths: tuple[SortKey, ...], types: Mapping[str, RecordType]) -> KeysOf:
    """A function from records to the packed values of fields with the primary key behind them: `key_of` for all of a
    page at once."""
    if len(types) == 1 and all(isinstance(path, tuple) for path in paths):
        (known,) = types.values()
        only = _keys(paths, known)
        return lambda records: [only(message, NO_CONTEXT, b"", key)[0] for message, key in keyed(records)]
    key = key_of(paths, types, unique=True)
    return lambda records: [key(record) for record in records]


def _keys(paths: tuple[SortKey, ...], record_type: RecordType) -> Keys:
    """Made once: that takes a millisecond."""
    known = _MADE.setdefault(record_type.message_class, {})
    found = known.get(paths)
    if found is None:
        expressions = [_expression(path) for path in paths]
        whole = expressions[0] if len(expressions) == 1 else Then(tuple(expressions)) if expressions else EMPTY
        found = known[paths] = compile_keys(whole, record_type.message_class)
    return found


def _expression(path: SortKey) -> KeyExpression:
    if isinstance(path, KeyExpression):
        return path
    expression: KeyExpression = Field(path[-1].name)
    for step in reversed(path[:-1]):
        expression = Field(step.name).nest(expression)
    return expression
