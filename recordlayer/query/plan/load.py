"""Loading: records by their whole primary keys, in the order of these.

Cost  1 range read a key, all of a batch under way together
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from recordlayer.cursor.continuation import number_field
from recordlayer.cursor.limits import Budget
from recordlayer.cursor.pipeline import WIDTH
from recordlayer.cursor.step import Batch, Cursor, Stop
from recordlayer.errors import BadContinuation
from recordlayer.query.cost import Estimate
from recordlayer.query.identity import Part
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.plan.scan import Ranges, range_text
from recordlayer.store.fetch import fetched
from recordlayer.store.record import StoredRecord
from recordlayer.store.record_page import RecordPage
from recordlayer.store.records import Records
from recordlayer.tuples import pack
from recordlayer.waiting.waitable import Turn


class LoadRecords:
    """The records with these primary keys; what is not there is left out.

    ranges    one for each key, which it equals
    answered  the conditions that have these keys
    """

    unit = "records"
    children: tuple[Plan, ...] = ()

    def __init__(self, ranges: Ranges, *, reverse: bool, answered: Sequence[object], types: Part) -> None:
        self.keys = tuple([bounds.low or () for bounds in ranges])
        self._types = types
        self._reverse = reverse
        self._answered = answered
        count = float(len(self.keys))
        self.estimate = Estimate(count, count, 1, count)

    @cached_property
    def _packed(self) -> list[bytes]:
        return sorted(map(pack, self.keys), reverse=self._reverse)

    @cached_property
    def title(self) -> str:
        return f"Load records {range_text(self._answered, (), reverse=self._reverse)}"

    @cached_property
    def line(self) -> str:
        return f"Load(records{range_text(self._answered, (), reverse=self._reverse)})"

    @property
    def identity(self) -> Part:
        return ("load", self._types, tuple(self._packed), self._reverse)

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        return _Load(run.store.records, self._packed, run)


class _Load(Cursor[StoredRecord]):
    """Continuations are the position behind a key, 4 bytes big-endian."""

    __slots__ = ("_budget", "_keys", "_limit", "_next", "_records", "_snapshot")

    def __init__(self, records: Records, keys: Sequence[bytes], run: Run) -> None:
        self._records = records
        self._keys = keys
        self._budget: Budget | None = run.budget
        self._limit = run.limit
        self._snapshot = run.snapshot
        self._next = 0
        place = run.continuation
        if place is not None:
            if not isinstance(place, bytes) or len(place) != 4:
                raise BadContinuation(reason="a position has 4 bytes", got=place)
            self._next = number_field({1: int.from_bytes(place, "big")}, 1, below=len(keys) + 1)

    async def batch(self) -> Batch[StoredRecord]:
        first, budget = self._next, self._budget
        width = min(WIDTH, self._limit or WIDTH)
        if budget is not None and budget.keys is not None:
            width = max(1, min(width, budget.keys))
        keys = self._keys[first : first + width]
        self._next = first + len(keys)
        found = await fetched(self._records, keys, snapshot=self._snapshot, budget=budget)
        values: Sequence[StoredRecord]
        places: Sequence[int]
        if isinstance(found, RecordPage):
            values, places = found, range(first + 1, self._next + 1)
        else:
            places = [place for place, record in enumerate(found, first + 1) if record is not None]
            values = [record for record in found if record is not None]
        stop = Stop.EXHAUSTED if self._next >= len(self._keys) else None
        if stop is None:
            await Turn()
            stop = None if budget is None else budget.spent()
        end = self._next.to_bytes(4, "big") if stop is not None and stop is not Stop.EXHAUSTED else None
        return Batch(values, lambda index: places[index].to_bytes(4, "big"), stop, end)
