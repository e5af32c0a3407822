"""Records of synthetic types: those of index entries, and all that are made from the records of another plan.

Cost  of an entry: 1 range read for each stored record, those of a batch under way together; made from a record: for
      unnested types none, for joined ones looking for its partners, see `store.partners`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields
from recordlayer.cursor.step import Batch, Cursor
from recordlayer.errors import BadContinuation
from recordlayer.metadata.joined import JoinedType
from recordlayer.query.cost import Estimate
from recordlayer.query.identity import Part
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.plan.fetch import Once
from recordlayer.store.joining import Joining
from recordlayer.store.partners import InStore
from recordlayer.store.synthesis import SyntheticRecords
from recordlayer.waiting.overlap import gather

if TYPE_CHECKING:
    from recordlayer.metadata.metadata import Synthetic
    from recordlayer.metadata.synthetic import SyntheticRecord
    from recordlayer.store.record import StoredRecord
    from recordlayer.store.store import RecordStore

ELEMENTS = 3
"""So many records are expected of each that is unnested."""


def _stored_parts(kind: Synthetic) -> int:
    return len(kind.constituents) if isinstance(kind, JoinedType) else 1


class FetchSynthetic:
    """The synthetic records of index entries, in the order of the entries."""

    unit = "records"

    def __init__(self, source: Plan, kind: Synthetic, *, once: Once | None = None) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self._once = once
        each = "" if once is None else ", each once"
        self.title = f"Load what {kind.name} is made from{each}"
        self.line = f"FetchParts({source.line}{each})"
        below, parts = source.estimate, source.estimate.rows * _stored_parts(kind)
        self.estimate = Estimate(below.rows, below.keys + parts, below.round_trips + 1, below.fetched + parts)

    @property
    def identity(self) -> Part:
        return self.children[0].identity

    def execute(self, run: Run) -> Cursor[Any]:
        keep: Any = None if self._once is None else self._once.of(run.store)
        return SyntheticRecords(
            run.store, self.children[0].execute(run), snapshot=run.snapshot, keep=keep, budget=run.budget
        )


class MakeRecords:
    """All records of a synthetic type that are made from those of another plan, in their order."""

    unit = "records"

    def __init__(self, source: Plan, kind: Synthetic, *, reverse: bool) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self._kind = kind
        self._reverse = reverse
        self.title = f"Make {kind.name}"
        self.line = f"Make({source.line}, {kind.name})"
        below = source.estimate
        if isinstance(kind, JoinedType):
            others = len(kind.constituents) - 1
            found = below.rows * others
            trips = below.round_trips + 2 * others
            self.estimate = Estimate(below.rows, below.keys + 2 * found, trips, below.fetched + found)
        else:
            self.estimate = replace(below, rows=below.rows * ELEMENTS)

    @property
    def identity(self) -> Part:
        return ("make", self._kind.record_type_key, self._reverse, self.children[0].identity)

    def execute(self, run: Run) -> Cursor[Any]:
        return _Making(self.children[0], self._kind, run, reverse=self._reverse)


class _Making(Cursor[Any]):
    """What each record of a plan gives: in the order of primary keys, so that a place is told by one of them.

    Layout  {1 the plan's continuation before a record, 2 packed key of the last that it gave, 3 its own packed key}
    """

    __slots__ = ("_after", "_budget", "_kind", "_of", "_prior", "_reverse", "_snapshot", "_source", "_store")

    def __init__(self, source: Plan, kind: Synthetic, run: Run, *, reverse: bool) -> None:
        fields = {} if run.continuation is None else decode_fields(run.continuation, known=3)
        if run.continuation is not None and not fields:
            raise BadContinuation(reason="it is empty")
        self._prior, self._after, self._of = (bytes_field(fields, number) for number in (1, 2, 3))
        self._kind = kind
        self._reverse = reverse
        self._snapshot = run.snapshot
        self._budget = run.budget
        self._store: RecordStore = run.store
        self._source: Cursor[StoredRecord] = source.execute(replace(run, continuation=self._prior))

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[Any]:
        batch = await self._source.batch()
        made = await self._made(batch.values)
        found: list[SyntheticRecord] = []
        places: list[bytes] = []
        for place, (record, ours) in enumerate(zip(batch.values, made, strict=True)):
            ours.sort(key=lambda one: one.primary_key_bytes, reverse=self._reverse)
            prior, behind = self._prior, batch.resume(place)
            if self._after is not None and self._of == record.primary_key_bytes:
                ours = [one for one in ours if self._is_behind(one.primary_key_bytes, self._after)]
            self._after, self._prior = None, behind
            for at, one in enumerate(ours, 1):
                inside: dict[int, bytes | int | None] = {
                    1: prior,
                    2: one.primary_key_bytes,
                    3: record.primary_key_bytes,
                }
                places.append(encode_fields({1: behind} if at == len(ours) else inside))
            found += ours
        end = None if batch.end is None else encode_fields({1: batch.end})
        return Batch(found, places.__getitem__, batch.stop, end)

    def _is_behind(self, key: bytes, last: bytes) -> bool:
        return key < last if self._reverse else key > last

    async def _made(self, records: Sequence[StoredRecord]) -> list[list[SyntheticRecord]]:
        kind, counters = self._kind, self._store.context.counters
        if not isinstance(kind, JoinedType):
            return [kind.records(record.message, record.primary_key) for record in records]
        rows, size = counters.rows_read, counters.bytes_read
        joining = Joining(kind, InStore(self._store, snapshot=self._snapshot))
        made: list[list[SyntheticRecord]] = []
        for at in range(0, len(records), _AT_ONCE):
            made += await gather(*map(joining.records_built_from, records[at : at + _AT_ONCE]))
        if self._budget is not None:
            self._budget.charge(counters.rows_read - rows, counters.bytes_read - size)
        return made


_AT_ONCE = 64
"""Records whose partners are looked for side by side."""
