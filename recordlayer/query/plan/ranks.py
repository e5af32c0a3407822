"""Ranks: for each record what an index knows about its place among others, and the conditions on that.

Cost  a record and rank: the reads of a ranked set, for all records of a batch side by side
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from recordlayer.cursor.step import Batch, Cursor
from recordlayer.errors import NoPlan
from recordlayer.keys import Grouping, RecordContext
from recordlayer.metadata import Index
from recordlayer.query.cost import CONDITION
from recordlayer.query.decide import Decide
from recordlayer.query.identity import Part
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.predicate import CompareRank, Predicate, walk
from recordlayer.query.ranked import Facts, Ranked
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore
from recordlayer.waiting.overlap import gather

if TYPE_CHECKING:
    from recordlayer.index.leaderboard import LeaderboardIndex
    from recordlayer.index.rank import RankIndex

LEVELS = 7
"""About how many reads a rank takes: one for the score and one for each level."""
WIDTH = 32
"""Most records of which the ranks are looked up side by side."""


def ranks_of(predicate: Predicate) -> tuple[Ranked, ...]:
    """The ranks that a condition asks about, each once."""
    return tuple(dict.fromkeys(one.ranked for one in walk(predicate) if isinstance(one, CompareRank)))


def knows(index: Index, ranked: Ranked) -> bool:
    """Whether an index is one that keeps these ranks."""
    root = index.root_expression
    if not isinstance(root, Grouping) or index.predicate is not None:
        return False
    wanted = ranked.expression.ignoring_nulls()
    if ranked.window is None:
        return index.type == "rank" and root.ignoring_nulls() == wanted
    columns = (root.grouping_count, root.normalized()[: root.grouping_count + 1])
    ours = (wanted.grouping_count, wanted.normalized())
    return index.type == "time_window_leaderboard" and columns == ours


def missing(ranked: Ranked) -> NoPlan:
    """The error where no index keeps these ranks."""
    kind = "RANK" if ranked.window is None else "TIME_WINDOW_LEADERBOARD"
    return NoPlan(rank=str(ranked), hint=f"only a readable {kind} index over {ranked.expression.whole!r} can tell")


class Known:
    """A record with what was looked up for it."""

    __slots__ = ("_record", "facts")

    def __init__(self, record: StoredRecord, facts: Facts) -> None:
        self._record = record
        self.facts = facts

    @property
    def key_context(self) -> RecordContext:
        return self._record.key_context


class FilterByRank:
    """The records for which a condition on ranks is true."""

    unit = "records"

    def __init__(
        self, source: Plan, predicate: Predicate, decide: Mapping[str, Decide], indexes: Mapping[Ranked, str]
    ) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self._decide = decide
        self._indexes = dict(indexes)
        self.asks = sorted(set(indexes.values()))
        self.title = f"Filter {predicate}, asking {', '.join(self.asks)}"
        self.line = f"FilterByRank({source.line}, {predicate})"
        below = source.estimate
        reads = below.rows * LEVELS * len(indexes)
        self.estimate = replace(
            below,
            rows=below.rows * CONDITION,
            keys=below.keys + reads,
            fetched=below.fetched + reads,
            round_trips=below.round_trips + LEVELS,
        )

    @property
    def identity(self) -> Part:
        return self.children[0].identity

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        lookups = {
            ranked: _lookup(run.store, ranked, name, snapshot=run.snapshot) for ranked, name in self._indexes.items()
        }
        return _ByRank(self.children[0].execute(run), self._decide, lookups)


Lookup = Callable[[StoredRecord], Awaitable[int | None]]


def _lookup(store: RecordStore, ranked: Ranked, name: str, *, snapshot: bool) -> Lookup:
    maintainer = store.index_maintainer(name)
    window = ranked.window
    if window is not None:
        leaderboard = cast("LeaderboardIndex", maintainer)  # the index was chosen for its type

        async def in_window(record: StoredRecord) -> int | None:
            found = await leaderboard.rank_of(record, window.type, window.at, snapshot=snapshot)
            return None if found is None else found[0]

        return in_window
    ranks, expression = cast("RankIndex", maintainer), ranked.expression
    grouping = expression.grouping_count

    async def plain(record: StoredRecord) -> int | None:
        row = expression.evaluate_single(record.message, record.key_context)
        return await ranks.scores(row[:grouping]).rank(row[grouping:], snapshot=snapshot)

    return plain


class _ByRank(Cursor[StoredRecord]):
    """The records that a condition keeps, once their ranks are known."""

    __slots__ = ("_decide", "_lookups", "_source")

    def __init__(
        self, source: Cursor[StoredRecord], decide: Mapping[str, Decide], lookups: Mapping[Ranked, Lookup]
    ) -> None:
        self._source = source
        self._decide = decide
        self._lookups = lookups

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[StoredRecord]:
        batch = await self._source.batch()
        places: list[int] = []
        values = batch.values
        for start in range(0, len(values), WIDTH):
            part = values[start : start + WIDTH]
            facts = await gather(*[self._facts(record) for record in part])
            for place, (record, known) in enumerate(zip(part, facts, strict=True), start):
                decide = self._decide[record.record_type.name]
                if decide(record.message, Known(record, known)) is True:
                    places.append(place)
        resume: Any = batch.resume
        return Batch([values[place] for place in places], lambda index: resume(places[index]), batch.stop, batch.end)

    async def _facts(self, record: StoredRecord) -> Facts:
        return {ranked: await look_up(record) for ranked, look_up in self._lookups.items()}
