"""Covering: records made from index entries alone, with those fields only that the index has.

Cost  no reads
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import MapAll
from recordlayer.index.entry import IndexEntry
from recordlayer.index.functions import kind_of
from recordlayer.index.page import EntryPage
from recordlayer.keys import access
from recordlayer.query.columns import Column, Null
from recordlayer.query.identity import Part
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.plan.entry_code import Rows, compile_rows, compile_tuples
from recordlayer.query.predicate import Path
from recordlayer.store.record import Codec, StoredRecord
from recordlayer.store.record_page import Messages
from recordlayer.tuples import SingleFloat
from recordlayer.tuples.compiled import define

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.metadata import RecordType
    from recordlayer.pb.types import FieldDescriptor
    from recordlayer.store.store import RecordStore


class EntryMessages:
    """Makes messages of some fields from entries.

    one   from an entry
    rows  from all entries of a page at once; None where that is not known
    """

    __slots__ = ("one", "reader", "rows")

    def __init__(self, reader: EntryReader, one: Callable[[IndexEntry], Message], rows: Rows | None) -> None:
        self.reader = reader
        self.one = one
        self.rows = rows


class EntryReader:
    """Makes messages from entries. `paths` is what an entry knows of its record."""

    def __init__(self, record_type: RecordType, key: Sequence[Column], value: Sequence[Column]) -> None:
        self._record_type = record_type
        self._key = [(place, column) for place, column in enumerate(key) if _can_be_set(column)]
        self._value = [(place, column) for place, column in enumerate(value) if _can_be_set(column)]
        self.paths = frozenset(column.path for _, column in (*self._key, *self._value) if column.path is not None)
        self.kinds = [kind_of(column.field) for column in key]
        """What the columns of a key usually hold."""
        self.plain: dict[Path, tuple[int, FieldDescriptor]] = {
            column.path: (place, column.field.field)
            for place, column in self._key
            if _is_plain(column) and column.path is not None and column.field is not None
        }
        """Fields that are columns of the key as they are, by their places in it."""
        self._makers: dict[frozenset[Path], EntryMessages] = {}
        self._tuples: dict[tuple[Path, ...], Rows | None] = {}

    def covers(self, paths: frozenset[Path]) -> bool:
        """Whether an entry has all these fields."""
        return paths <= self.paths

    def maker(self, paths: frozenset[Path]) -> EntryMessages:
        """What makes messages with these fields."""
        made = self._makers.get(paths)
        if made is None:
            made = self._makers[paths] = self._made(paths)
        return made

    def tuples(self, paths: tuple[Path, ...]) -> Rows | None:
        """What makes tuples of these fields of all entries of a page at once; None where that is not known."""
        if paths not in self._tuples:
            known = [self.plain.get(path) for path in paths]
            wanted = [(place, _null(field)) for place, field in [one for one in known if one is not None]]
            full = len(wanted) == len(paths)
            self._tuples[paths] = compile_tuples(self.kinds, wanted, name="tuples_of_entries") if full else None
        return self._tuples[paths]

    def _made(self, paths: frozenset[Path]) -> EntryMessages:
        make = self._record_type.message_class
        key = [(place, column) for place, column in self._key if column.path in paths]
        value = [(place, column) for place, column in self._value if column.path in paths]
        if not value and all(_is_plain(column) for _, column in key):
            named = [(place, column.path[0].name) for place, column in key if column.path is not None]
            return self._in_one_call(named)
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

        return EntryMessages(self, any_kind, None)

    def _in_one_call(self, named: Sequence[tuple[int, str]]) -> EntryMessages:
        """Generated functions that make a message with one call: None leaves a field out.

        Names of fields are identifiers, and those that Python keeps for itself go in by a dictionary.
        """
        make: Any = self._record_type.message_class
        if any(keyword.iskeyword(name) or not name.isidentifier() for _, name in named):
            return EntryMessages(self, lambda entry: make(**{name: entry.items[place] for place, name in named}), None)
        arguments = ", ".join(f"{name}=items[{place}]" for place, name in named)
        lines = ["items = entry.items", f"return make({arguments})"]
        one = define(lines, name="message_of_entry", parameters=("entry",), names={"make": make})
        return EntryMessages(self, one, compile_rows(self.kinds, make, named, name="messages_of_entries"))


def _null(field: FieldDescriptor) -> Any:
    """What a null in the column of a field stands for: the default, where the field has no presence."""
    return None if field.has_presence else field.default_value


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


class CoveredPage(Messages):
    """The records of one page of entries."""

    __slots__ = ("_codec", "_made_by", "_type", "entries")

    def __init__(
        self, codec: Codec, record_type: RecordType, entries: Sequence[IndexEntry], made_by: EntryMessages
    ) -> None:
        self._values = None
        self._codec = codec
        self._type = record_type
        self.entries = entries
        self._made_by = made_by

    @property
    def reader(self) -> EntryReader:
        """What knows the columns of the entries."""
        return self._made_by.reader

    def __len__(self) -> int:
        return len(self.entries)

    def make(self) -> list[StoredRecord]:
        codec, record_type, make = self._codec, self._type, self._made_by.one
        return [CoveredRecord(codec, record_type, entry, make) for entry in self.entries]

    def part(self, places: slice) -> CoveredPage:
        return CoveredPage(self._codec, self._type, self.entries[places], self._made_by)

    def messages(self) -> list[Message]:
        entries, rows = self.entries, self._made_by.rows
        if self._values is None and rows is not None and isinstance(entries, EntryPage) and not entries.is_made:
            made = rows(entries.pairs, entries.start)
            if made is not None:
                return made
        return [record.message for record in self.values]


class Cover:
    """Records with the fields that an index has."""

    unit = "records"

    def __init__(self, source: Plan, record_type: RecordType, made_by: EntryMessages) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self._record_type = record_type
        self._made_by = made_by
        self.title = f"{record_type.name} from the index alone"
        self.estimate = replace(source.estimate)

    @cached_property
    def line(self) -> str:
        return f"Cover({self.children[0].line})"

    @property
    def identity(self) -> Part:
        return self.children[0].identity

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        store = run.store
        return MapAll(self.children[0].execute(run), lambda entries: self.page(store, entries))

    def page(self, store: RecordStore, entries: Sequence[IndexEntry]) -> CoveredPage:
        """The records of some entries."""
        return CoveredPage(store.codec, self._record_type, entries, self._made_by)
