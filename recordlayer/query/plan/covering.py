"""Covering: records made from index entries alone, with those fields only that the index has.

Cost  no reads
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import MapAll
from recordlayer.index.entry import IndexEntry
from recordlayer.keys import access
from recordlayer.query.columns import Column, Null
from recordlayer.query.identity import Part
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.predicate import Path
from recordlayer.store.record import Codec, StoredRecord
from recordlayer.tuples import SingleFloat

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.metadata import RecordType


class EntryReader:
    """Makes messages from entries. `paths` is what an entry knows of its record."""

    def __init__(self, record_type: RecordType, key: Sequence[Column], value: Sequence[Column]) -> None:
        self._record_type = record_type
        self._key = [(place, column) for place, column in enumerate(key) if _can_be_set(column)]
        self._value = [(place, column) for place, column in enumerate(value) if _can_be_set(column)]
        self.paths = frozenset(column.path for _, column in (*self._key, *self._value) if column.path is not None)

    def covers(self, paths: frozenset[Path]) -> bool:
        """Whether an entry has all these fields."""
        return paths <= self.paths

    def maker(self, paths: frozenset[Path]) -> Callable[[IndexEntry], Message]:
        """A function from an entry to a message with these fields."""
        make = self._record_type.message_class
        key = [(place, column) for place, column in self._key if column.path in paths]
        value = [(place, column) for place, column in self._value if column.path in paths]
        if not value and all(_is_plain(column) for _, column in key):
            named = [(place, column.path[0].name) for place, column in key if column.path is not None]
            return _in_one_call(make, named)
        key_setters = [(place, _setter(column)) for place, column in key]
        value_setters = [(place, _setter(column)) for place, column in value]

        def any_kind(entry: IndexEntry) -> Message:
            message = make()
            items = entry.items
            for place, put in key_setters:
                put(message, items[place])
            if value_setters:
                items = entry.value
                for place, put in value_setters:
                    put(message, items[place])
            return message

        return any_kind


def _in_one_call(make: Any, named: Sequence[tuple[int, str]]) -> Callable[[IndexEntry], Message]:
    """A generated function that makes a message with one call: None leaves a field out.

    Names of fields are identifiers, and those that Python keeps for itself go in by a dictionary.
    """
    if any(keyword.iskeyword(name) or not name.isidentifier() for _, name in named):
        return lambda entry: make(**{name: entry.items[place] for place, name in named})
    arguments = ", ".join(f"{name}=items[{place}]" for place, name in named)
    names: dict[str, Any] = {"make": make}
    exec(f"def message_of(entry):\n    items = entry.items\n    return make({arguments})", names)
    made: Callable[[IndexEntry], Message] = names["message_of"]
    return made


def _can_be_set(column: Column) -> bool:
    if column.field is None or column.repeats or column.null is Null.EITHER:
        return False
    return not access.is_message(column.field.field)


def _is_plain(column: Column) -> bool:
    """Whether a column's element is the value of a field of the record itself."""
    assert column.field is not None, "only field columns are put back"
    return len(column.field.path) == 1 and column.field.field.type != access.TYPE_FLOAT


def _setter(column: Column) -> Callable[[Any, Any], None]:
    assert column.field is not None, "only field columns are put back"
    *parents, name = column.field.path
    convert = _float if column.field.field.type == access.TYPE_FLOAT else None

    def put(message: Any, element: Any) -> None:
        if element is None:
            return
        for parent in parents:
            message = getattr(message, parent)
        setattr(message, name, element if convert is None else convert(element))

    return put


def _float(element: Any) -> float:
    return element.value if isinstance(element, SingleFloat) else float(element)


class CoveredRecord(StoredRecord):
    """A record of which an index entry says all that was asked for."""

    __slots__ = ("_entry", "_make")

    def __init__(
        self, codec: Codec, record_type: RecordType, entry: IndexEntry, make: Callable[[IndexEntry], Message]
    ) -> None:
        self._codec = codec
        self._type = record_type
        self._entry = entry
        self._make = make
        self._message = None
        self.version = self.shape = None

    @property
    def message(self) -> Message:
        if self._message is None:
            self._message = self._make(self._entry)
        return self._message

    @property
    def size(self) -> int:
        return self.message.ByteSize()

    @property
    def primary_key(self) -> tuple[Any, ...]:
        return self._entry.primary_key

    @property
    def primary_key_bytes(self) -> bytes:  # type: ignore[override]  # worked out when asked for
        return self._entry.primary_key_bytes


class Cover:
    """Records with the fields that an index has."""

    unit = "records"

    def __init__(self, source: Plan, record_type: RecordType, make: Callable[[IndexEntry], Message]) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self._record_type = record_type
        self._make = make
        self.title = f"{record_type.name} from the index alone"
        self.line = f"Cover({source.line})"
        self.estimate = replace(source.estimate)

    @property
    def identity(self) -> Part:
        return self.children[0].identity

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        codec, record_type, make = run.store.codec, self._record_type, self._make
        return MapAll(
            self.children[0].execute(run),
            lambda entries: [CoveredRecord(codec, record_type, entry, make) for entry in entries],
        )
