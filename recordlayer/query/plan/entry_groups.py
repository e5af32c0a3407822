"""Grouping straight over the entries of an index: records with the same leading columns are told by bytes, and their
other columns are folded run by run, no record in between.

What comes out is what folding the records would give, state by state, so that pages of either kind follow each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor as FieldTypes

from recordlayer.cursor.aggregate import Run
from recordlayer.index.page import EntryPage
from recordlayer.query.folding import FoldAll, counted, fold_all
from recordlayer.query.plan.entry_code import Runs, compile_runs

if TYPE_CHECKING:
    from recordlayer.pb.types import FieldDescriptor
    from recordlayer.query.group import GroupQuery
    from recordlayer.query.plan.covering import CoveredPage, EntryReader

Items = tuple[Any, ...]


class EntryGroups:
    """One grouping, over the entries of whichever indexes it meets."""

    __slots__ = ("_made", "_query")

    def __init__(self, query: GroupQuery) -> None:
        self._query = query
        self._made: dict[EntryReader, _Folder | None] = {}

    def runs(self, page: CoveredPage) -> list[Run] | None:
        """The runs of records of one group, with what folds them; None where that is not to be told from entries."""
        entries, reader = page.entries, page.reader
        if not isinstance(entries, EntryPage) or entries.is_made:
            return None
        if reader not in self._made:
            self._made[reader] = _folder(self._query, reader)
        folder = self._made[reader]
        return None if folder is None else folder.runs(entries)


def _folder(query: GroupQuery, reader: EntryReader) -> _Folder | None:
    plain = reader.plain
    leading = len(query.columns)
    if [plain.get(path, (-1,))[0] for path in query.columns] != list(range(leading)):
        return None
    fields: list[tuple[int, FieldDescriptor] | None] = []
    for _, one in query.aggregates:
        if one.field is None:
            fields.append(None)
        elif one.field in plain:
            fields.append(plain[one.field])
        else:
            return None
    wanted = sorted({place for place, _ in filter(None, fields)})
    types = dict(filter(None, fields))
    read = compile_runs(reader.kinds, leading, wanted, name="runs_of_entries")
    steps: list[tuple[int | None, FoldAll]] = [
        (None, counted) if found is None else (wanted.index(found[0]), fold_all(one, found[1]))
        for (_, one), found in zip(query.aggregates, fields, strict=True)
    ]
    return _Folder(read, [types[place] for place in wanted], steps)


class _Folder:
    """Reads the runs of a page and folds them."""

    __slots__ = ("_fields", "_read", "_steps")

    def __init__(self, read: Runs, fields: list[FieldDescriptor], steps: list[tuple[int | None, FoldAll]]) -> None:
        self._read = read
        self._fields = fields
        self._steps = steps

    def runs(self, page: EntryPage) -> list[Run] | None:
        found = self._read(page.pairs, page.start)
        if found is None:
            return None
        groups, ends, columns = found
        for place, (column, field) in enumerate(zip(columns, self._fields, strict=True)):
            types = set(map(type, column))
            nulls = type(None) in types
            if types - {_TYPES[field.cpp_type] if field.type != FieldTypes.TYPE_BYTES else bytes, type(None)}:
                return None
            if nulls and not field.has_presence:
                default = field.default_value
                columns[place] = [default if value is None else value for value in column]
        return [((key,), end, self._fold(columns, first, end)) for key, first, end in _spans(groups, ends)]

    def _fold(self, columns: list[list[Any]], first: int, end: int) -> Callable[[Items], Items]:
        steps = self._steps
        return lambda state: tuple(
            [
                step(folded, [] if place is None else columns[place], first, end)
                for folded, (place, step) in zip(state, steps, strict=True)
            ]
        )


def _spans(groups: list[bytes], ends: list[int]) -> list[tuple[bytes, int, int]]:
    return list(zip(groups, [0, *ends], ends, strict=False))


_TYPES = {
    FieldTypes.CPPTYPE_INT32: int,
    FieldTypes.CPPTYPE_INT64: int,
    FieldTypes.CPPTYPE_UINT32: int,
    FieldTypes.CPPTYPE_UINT64: int,
    FieldTypes.CPPTYPE_ENUM: int,
    FieldTypes.CPPTYPE_STRING: str,
    FieldTypes.CPPTYPE_DOUBLE: float,
    FieldTypes.CPPTYPE_BOOL: bool,
}
"""What a column of a plain field holds. The elements of any other are not what the field holds."""
