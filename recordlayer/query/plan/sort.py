"""Sorting in memory, with a bound on how many records are held; only the first few if only those are wanted.

Cost  the source is read to its end before the first record comes, and once more for each time the bound is full
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.sort import Sort, Sorting
from recordlayer.cursor.step import Cursor
from recordlayer.query.identity import Part, parts_of
from recordlayer.query.ordering import keys_of
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.query import SortKey, shown_key
from recordlayer.store.record import StoredRecord
from recordlayer.store.synthesis import load_synthetic
from recordlayer.tuples import unpack

if TYPE_CHECKING:
    from recordlayer.metadata import RecordType


class SortRecords:
    """The records of another plan in the order of some fields, as an index of those fields would have them."""

    unit = "records"
    gathers = True
    """Nothing comes before the source is read to its end."""

    def __init__(
        self, source: Plan, sort: tuple[SortKey, ...], types: Mapping[str, RecordType], size: int, reverse: bool
    ) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self._sort = sort
        self._keys = keys_of(sort, types)
        self._names = tuple(types)
        self._size = size
        self._reverse = reverse
        self._by = f"{', '.join(shown_key(key) for key in sort)}{' descending' * reverse}"
        self.title = f"Sort in memory by {self._by}, holding {size:,} records at most"
        below = source.estimate
        passes = max(1, -(-int(below.rows) // size))
        self.estimate = replace(
            below, keys=below.keys * passes, fetched=below.fetched * passes, round_trips=below.round_trips * passes
        )

    @cached_property
    def line(self) -> str:
        return f"Sort({self.children[0].line} by {self._by})"

    @property
    def identity(self) -> Part:
        return ("Sort", parts_of(self._sort), self._reverse, self.children[0].identity)

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        child, store = self.children[0], run.store
        made = any(name in store.metadata.synthetic for name in self._names)

        async def load(names: Sequence[bytes]) -> list[Any]:
            if made:
                return [await load_synthetic(store, unpack(name), snapshot=run.snapshot) for name in names]
            return await store.load_many([unpack(name) for name in names], snapshot=run.snapshot)

        sorting = Sorting(
            keys=self._keys,
            name=lambda record: record.primary_key_bytes,
            load=load,
            size=min(self._size, run.limit) if run.limit else self._size,
            reverse=self._reverse,
            memory=None if run.budget is None else run.budget.memory,
            weight=lambda record: 2 * record.size,  # its bytes, and about as many again once it is parsed
        )
        # The source is read to its end: how many results are wanted says nothing about how much to read.
        below = replace(run, expect=0, limit=0)
        return Sort(lambda place: child.execute(replace(below, continuation=place)), sorting, run.continuation)
