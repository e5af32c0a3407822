"""How the records of one query become groups: keys, what is folded of each, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from recordlayer.cursor.aggregate import Run
from recordlayer.keys import access
from recordlayer.metadata import RecordMetaData
from recordlayer.query.evaluate import resolve
from recordlayer.query.folding import FoldAll, counted, fold_all
from recordlayer.query.kinds import asked_types
from recordlayer.query.ordering import grouped_by, key_of
from recordlayer.query.plan.entry_groups import EntryGroups
from recordlayer.query.predicate import Path
from recordlayer.query.problem import check_field
from recordlayer.query.rows import Row
from recordlayer.store.record import StoredRecord
from recordlayer.store.record_page import messages_of
from recordlayer.tuples import SingleFloat, unpack

if TYPE_CHECKING:
    from recordlayer.metadata import RecordType
    from recordlayer.pb.types import FieldDescriptor
    from recordlayer.query.group import GroupQuery

Items = tuple[Any, ...]
Fold = Callable[[Items], Items]
Read = Callable[[Any], Any]
"""From a message to the value of a field, None if it is not set."""


class Groups:
    """Grouping of the records of some types by some columns.

    key      of a record: the packed columns
    fold     what was folded of a group and a record give what is folded then
    at_once  the same for all records of a page, None where there are several types
    """

    def __init__(self, query: GroupQuery, types: tuple[RecordType, ...]) -> None:
        self.names = query.names
        self._aggregates = [aggregate for _, aggregate in query.aggregates]
        for known in types:
            for path in (*query.columns, *[one.field for one in self._aggregates if one.field is not None]):
                check_field(path, known)
        self.key = key_of(query.columns, {known.name: known for known in types}, unique=False)
        self.initial: Items = tuple([one.initial for one in self._aggregates])
        self._shown = [_shown(resolve(path, types[0].descriptor)) for path in query.columns]
        self.over_entries = EntryGroups(query)
        """The same where the records come from the entries of an index."""
        self.at_once = PageFolder(query, types[0]) if len(types) == 1 else None
        folds = {known.name: self._fold_of(known) for known in types}
        self.fold: Callable[[Items, StoredRecord], Items]
        if len(folds) == 1:
            (only,) = folds.values()
            self.fold = lambda state, record: only(state, record.message)
        else:
            self.fold = lambda state, record: folds[record.record_type.name](state, record.message)

    @classmethod
    def of(cls, query: GroupQuery, metadata: RecordMetaData) -> Groups:
        """Made once for a metadata and all queries that group alike.  Raises  UnknownField, WrongType, QueryError."""
        types = asked_types(query.record_types, metadata)
        known = _MADE.setdefault(metadata, {})
        key = tuple([one.name for one in types]), query.columns, query.aggregates
        found = known.get(key)
        if found is None:
            found = known[key] = cls(query, types)
            if len(known) > _CACHED:
                del known[next(iter(known))]
        return found

    def _fold_of(self, record_type: RecordType) -> Callable[[Items, Any], Items]:
        steps = []
        for one in self._aggregates:
            fields = None if one.field is None else resolve(one.field, record_type.descriptor)
            read = None if fields is None else reader(fields)
            steps.append((read, one.step(None if fields is None else fields[-1])))
        if len(steps) == 1 and steps[0][0] is None:
            return lambda state, message: (state[0] + 1,)

        def fold(state: Items, message: Any) -> Items:
            after = []
            for folded, (read, step) in zip(state, steps, strict=True):
                if read is None:
                    after.append(step(folded, message))
                else:
                    value = read(message)
                    after.append(folded if value is None else step(folded, value))
            return tuple(after)

        return fold

    def row(self, key: bytes, state: Items) -> Row:
        """The row of a group."""
        columns = [shown(item) for shown, item in zip(self._shown, unpack(key), strict=True)]
        results = [one.result(folded) for one, folded in zip(self._aggregates, state, strict=True)]
        return Row(self.names, (*columns, *results))


class PageFolder:
    """Folds the records of a page: their messages are parsed together, and each field is read of all of them."""

    __slots__ = ("_keys", "_reads", "_steps")

    def __init__(self, query: GroupQuery, record_type: RecordType) -> None:
        self._keys = grouped_by(query.columns, record_type)
        places: dict[Path, int] = {}
        self._reads: list[Read] = []
        self._steps: list[tuple[int | None, FoldAll]] = []
        for _, one in query.aggregates:
            if one.field is None:
                self._steps.append((None, counted))
                continue
            fields = resolve(one.field, record_type.descriptor)
            if one.field not in places:
                places[one.field] = len(self._reads)
                self._reads.append(reader(fields))
            self._steps.append((places[one.field], fold_all(one, fields[-1])))

    def groups(self, records: Sequence[StoredRecord]) -> list[tuple[bytes, Fold]]:
        """The groups of a page, each once, and what folds the records that it has there."""
        messages = messages_of(records)
        among: dict[bytes, list[int]] = {}
        for place, key in enumerate(self._keys(messages)):
            known = among.get(key)
            if known is None:
                among[key] = [place]
            else:
                known.append(place)
        columns = self._columns(messages)
        if len(among) == 1:
            (key,) = among
            return [(key, self._fold(columns, 0, len(messages)))]
        return [
            (key, self._fold([[column[place] for place in places] for column in columns], 0, len(places)))
            for key, places in among.items()
        ]

    def runs(self, records: Sequence[StoredRecord]) -> list[Run]:
        """The runs of records of one group that follow each other."""
        messages = messages_of(records)
        columns, found = self._columns(messages), list[Run]()
        first = 0
        for key, run in groupby(self._keys(messages)):
            end = first + sum(1 for _ in run)
            found.append(((key,), end, self._fold(columns, first, end)))
            first = end
        return found

    def _columns(self, messages: Sequence[Any]) -> list[list[Any]]:
        return [[read(message) for message in messages] for read in self._reads]

    def _fold(self, columns: list[list[Any]], first: int, end: int) -> Fold:
        steps = self._steps
        return lambda state: tuple(
            [
                step(folded, [] if place is None else columns[place], first, end)
                for folded, (place, step) in zip(state, steps, strict=True)
            ]
        )


_CACHED = 256
_MADE: WeakKeyDictionary[RecordMetaData, dict[tuple[Any, ...], Groups]] = WeakKeyDictionary()


def reader(fields: list[FieldDescriptor]) -> Read:
    """Reads the value at the end of a path, None if it, or a message above it, is not set."""
    *above, last = fields
    name, has_presence = last.name, last.has_presence
    convert = access.TUPLE_FIELDS[last.message_type.full_name] if access.is_message(last) else None
    names = [field.name for field in above]
    if not names and convert is None:
        if not has_presence:
            return attrgetter(name)
        return lambda message: getattr(message, name) if message.HasField(name) else None

    def read(message: Any) -> Any:
        for parent in names:
            if not message.HasField(parent):
                return None
            message = getattr(message, parent)
        if has_presence and not message.HasField(name):
            return None
        value = getattr(message, name)
        return value if convert is None else _plain(convert(value))

    return read


def _shown(fields: list[FieldDescriptor]) -> Callable[[Any], Any]:
    """From an element of a packed column to the value that people see. A field of the record itself without presence is
    always set: there a null is its default."""
    last = fields[-1]
    if len(fields) == 1 and not last.has_presence:
        default = last.default_value
        return lambda item: default if item is None else _plain(item)
    return _plain


def _plain(item: Any) -> Any:
    return item.value if isinstance(item, SingleFloat) else item


def needed(query: GroupQuery) -> tuple[Path, ...]:
    """The fields that groups are made of."""
    fields = [one.field for _, one in query.aggregates if one.field is not None]
    return tuple(dict.fromkeys((*query.columns, *fields)))
