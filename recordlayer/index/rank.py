"""RANK index: entries by score as in a VALUE index, and for each group a ranked set of its scores.

Layout  2 entries   (*grouping columns, *score columns, *primary key columns not among them) -> nothing
        3 ranks     (*grouping columns): a ranked set of packed scores (`index.ranked_set`)
        Where duplicates are not counted, all entries with one score are one member. Where they are, a record that has
        a score twice (in a repeated field) has one entry and counts twice.
Cost    save: as VALUE, and a change of a ranked set for each entry that goes or comes: for a score that nobody
        has, 1 read and then 1 a level in one round trip, 1 write a level; for one that others have, 1 read, or 2 when
        it goes
Source  Record Layer, RankIndexMaintainer, RankedSetIndexHelper
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields
from recordlayer.cursor.scan import FORWARD, ScanOptions
from recordlayer.cursor.step import Batch, Cursor, Stop, never
from recordlayer.errors import BadContinuation, CorruptIndexEntry, IndexNotSupported, UsageError
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.built import built_part
from recordlayer.index.entry import IndexEntry
from recordlayer.index.judging import Evidence, Fault
from recordlayer.index.maintainer import IndexedRecord, IndexSpace, Items
from recordlayer.index.rank_judging import RankJudge
from recordlayer.index.ranked_set import (
    DEFAULT_LEVELS,
    MAX_LEVELS,
    MIN_LEVELS,
    RankedSet,
    RankedSetOptions,
)
from recordlayer.index.ranked_set_hash import NAMES, hash_function
from recordlayer.index.standard import clear_entries, row_difference
from recordlayer.index.state import IndexState
from recordlayer.index.value import ValueIndex
from recordlayer.keys.grouping import Grouping
from recordlayer.kv.engine import KeyValue, StreamingMode
from recordlayer.kv.mutations import perform
from recordlayer.tuples import pack, unpack
from recordlayer.waiting.overlap import gather


class Scores(Protocol):
    """The scores of one group in order, each with its rank: how many others come before it."""

    async def rank(self, score: Items, *, snapshot: bool = False) -> int:
        """How many scores come before this one, whether it is there or not."""

    async def count(self, score: Items, *, snapshot: bool = False) -> int:
        """How many entries have this score: at most 1 where duplicates are not counted."""

    async def score_at(self, rank: int, *, snapshot: bool = False) -> Items | None:
        """The score with so many before it; None behind the last."""

    async def size(self, *, snapshot: bool = False) -> int:
        """How many scores there are."""

    def scan(self, low: int | None, high: int | None, options: ScanOptions = FORWARD) -> Cursor[IndexEntry]:
        """The entries with ranks from `low` up to, not including, `high`; None is no end."""


RankEnd = tuple[int, End]
"""A rank and whether it is inside."""

_WANT_ALL = StreamingMode.WANT_ALL

RANKS = 3
"""The keyspace of ranked sets."""


def ranked_set_options(space: IndexSpace) -> RankedSetOptions:
    """How an index's options say its ranked sets are kept.  Raises  IndexNotSupported."""
    given = space.index.options
    levels, name = given.get("rankNLevels", str(DEFAULT_LEVELS)), given.get("rankHashFunction", NAMES[0])
    if not levels.isdecimal() or not MIN_LEVELS <= int(levels) <= MAX_LEVELS:
        hint = f"rankNLevels is a number from {MIN_LEVELS} to {MAX_LEVELS}"
        raise IndexNotSupported(index=space.index.name, rankNLevels=levels, hint=hint)
    if name not in NAMES:
        hint = f"rankHashFunction is one of {', '.join(NAMES)}"
        raise IndexNotSupported(index=space.index.name, rankHashFunction=name, hint=hint)
    hashed = hash_function(name, space.context.world.random.getrandbits)
    return RankedSetOptions(int(levels), hashed, space.index.flag("rankCountDuplicates"))


async def keep_ranks(
    space: IndexSpace,
    ranks: bytes,
    options: RankedSetOptions,
    removed: Sequence[tuple[bytes, bytes]],
    added: Sequence[bytes],
) -> None:
    """Bring one ranked set in step with entries that were cleared and set already: of each removed one its score and
    the prefix of all entries that have it, of each added one its score.

    Cost    see the module.
    Raises  CorruptIndexEntry if a removed score is missing in the set of an index that is complete.
    """
    context = space.context
    found = RankedSet(context, ranks, options)
    # Changes of one set that run side by side in a transaction would each count without the other.
    turns = context.turns
    if not turns.take(ranks):
        await turns.wait(ranks)
    try:
        for score, entries in removed:
            if not options.count_duplicates:
                left = await context.get_range(entries + b"\x00", entries + b"\xff", limit=1, mode=_WANT_ALL)
                if left.rows:
                    continue
            if not await found.remove(score) and space.state is not IndexState.WRITE_ONLY:
                raise CorruptIndexEntry(
                    index=space.index.name,
                    key=unpack(score),
                    found="a score with entries is missing in its ranked set",
                    hint="rebuild the index",
                )
        for score in added:
            await found.add(score)
    finally:
        turns.leave(ranks)


class RankIndex(ValueIndex):
    """Entries by score, with the rank of each score among those of its group."""

    type: ClassVar[str] = "rank"

    __slots__ = ("_grouping", "_options", "_ranks")

    def __init__(self, space: IndexSpace) -> None:
        super().__init__(space)
        root = space.index.root_expression
        if not isinstance(root, Grouping):
            raise IndexNotSupported(index=space.index.name, type=self.type, hint="ranks need a grouping expression")
        self._grouping = root.grouping_count
        self._options = ranked_set_options(space)
        self._ranks = space.space(RANKS)

    @property
    def idempotent(self) -> bool:
        return not self._options.count_duplicates

    # -- maintenance -----------------------------------------------------------------------------------

    def finish(self, old: IndexedRecord | None, new: IndexedRecord | None) -> Coroutine[Any, None, None] | None:
        if self.only_where_built:
            return self._write_if_built(old, new)
        entries = super().finish(old, new)
        removed, added = row_difference(self.rows(old), self.rows(new))
        if not removed and not added:
            return entries
        return self._finish_both(entries, removed, added)

    async def _finish_both(
        self, entries: Coroutine[Any, None, None] | None, removed: list[Items], added: list[Items]
    ) -> None:
        if entries is not None:
            await entries
        await self._rank(removed, added)

    async def _write_if_built(self, old: IndexedRecord | None, new: IndexedRecord | None) -> None:
        old, new = await built_part(self.space, old, new)
        perform(self.space.context, self.writes(old, new))
        entries = super().finish(old, new) if self.checks and old is not None else None
        await self._finish_both(entries, *row_difference(self.rows(old), self.rows(new)))

    async def _rank(self, removed: list[Items], added: list[Items]) -> None:
        if not self._options.count_duplicates:  # a record may have a score twice; its one entry goes or comes once
            removed, added = list(dict.fromkeys(removed)), list(dict.fromkeys(added))
        gone: dict[bytes, list[tuple[bytes, bytes]]] = {}
        come: dict[bytes, list[bytes]] = {}
        at = self._grouping
        for row in removed:
            gone.setdefault(self._of_group(row[:at]), []).append((pack(row[at:]), pack(row, self.space.entries)))
        for row in added:
            come.setdefault(self._of_group(row[:at]), []).append(pack(row[at:]))
        groups = [*gone, *(group for group in come if group not in gone)]
        changes = [
            keep_ranks(self.space, group, self._options, gone.get(group, ()), come.get(group, ())) for group in groups
        ]
        await (changes[0] if len(changes) == 1 else gather(*changes))

    def _of_group(self, group: Items) -> bytes:
        return pack(group, self._ranks)

    def can_clear_prefix(self, columns: int) -> bool:
        return columns <= self._grouping

    def clear_prefix(self, prefix: Items) -> None:
        super().clear_prefix(prefix)
        clear_entries(self.space, prefix, keyspace=RANKS)

    # -- ranks -----------------------------------------------------------------------------------------

    def ranked_set(self, group: Items) -> RankedSet:
        """The scores of a group."""
        self._check_columns("group", group, self._grouping)
        return RankedSet(self.space.context, self._of_group(group), self._options)

    def score_of(self, score: Items) -> bytes:
        """A score as the ranked set has it.  Raises  UsageError for another number of columns."""
        self._check_columns("score", score, self.space.index.column_size - self._grouping)
        return pack(score)

    def _check_columns(self, what: str, items: Items, wanted: int) -> None:
        if len(items) != wanted:
            raise UsageError(
                index=self.space.index.name, hint=f"the {what} of this index has {wanted} columns", **{what: items}
            )

    def scores(self, group: Items) -> GroupScores:
        """The scores of a group, to be asked.  Raises  UsageError for another number of columns."""
        return GroupScores(self, group)

    def scan_by_rank(self, bounds: Bounds, options: ScanOptions = FORWARD) -> Cursor[IndexEntry]:
        """The entries whose ranks lie within bounds: tuples of the grouping columns and a rank, or these columns alone.

        Cost    2 ranks, then 1 range read a chunk.
        Raises  UsageError for bounds that are not of one group.
        """
        group = self._group_of(bounds)
        low, high = self._end(bounds.low, bounds.low_end), self._end(bounds.high, bounds.high_end)

        async def entries(inner: ScanOptions) -> Cursor[IndexEntry] | None:
            scores = await scores_between(self.ranked_set(group), group, low, high, snapshot=inner.snapshot)
            return None if scores is None else self.scan(scores, inner)

        return Sought(entries, options)

    def _group_of(self, bounds: Bounds) -> Items:
        low, high = bounds.low or (), bounds.high or ()
        at = self._grouping
        if len(low) < at or len(high) < at or low[:at] != high[:at]:
            hint = "ranks are those of one group: begin both ends with its columns"
            raise UsageError(index=self.space.index.name, bounds=str(bounds), hint=hint)
        return low[:at]

    def _end(self, items: Items | None, end: End) -> RankEnd | None:
        """The rank at one end of a range; None for all there is."""
        if items is None or end is End.TREE or len(items) == self._grouping:
            return None
        rank = items[self._grouping]
        wrong = len(items) > self._grouping + 1 or not isinstance(rank, int) or isinstance(rank, bool)
        if wrong or end is End.TEXT:
            raise UsageError(index=self.space.index.name, rank=rank, hint="a rank is one whole number")
        return rank, end

    # -- checking --------------------------------------------------------------------------------------

    @property
    def judged(self) -> tuple[bytes, ...]:
        return self.space.entries, self._ranks

    @property
    def _judge(self) -> RankJudge:
        return RankJudge(self.space, self._ranks, self._grouping, self._options)

    async def judge_records(self, records: Sequence[IndexedRecord], evidence: Evidence) -> list[Fault]:
        rows = [(row, record.primary_key_bytes) for record in records for row in self.rows(record)]
        return await super().judge_records(records, evidence) + await self._judge.scores(rows, evidence)

    async def judge_pairs(self, pairs: Sequence[KeyValue], evidence: Evidence) -> list[Fault]:
        if pairs and pairs[0][0].startswith(self._ranks):
            return await self._judge.pairs(pairs, evidence)
        return await super().judge_pairs(pairs, evidence)


class GroupScores:
    """The scores of one group of a RANK index."""

    __slots__ = ("_group", "_index", "_set")

    def __init__(self, index: RankIndex, group: Items) -> None:
        self._index = index
        self._group = group
        self._set = index.ranked_set(group)

    async def rank(self, score: Items, *, snapshot: bool = False) -> int:
        return await self._set.rank(self._index.score_of(score), snapshot=snapshot)

    async def count(self, score: Items, *, snapshot: bool = False) -> int:
        return await self._set.count(self._index.score_of(score), snapshot=snapshot)

    async def score_at(self, rank: int, *, snapshot: bool = False) -> Items | None:
        member = await self._set.member_at(rank, snapshot=snapshot)
        return None if member is None else unpack(member)

    async def size(self, *, snapshot: bool = False) -> int:
        return await self._set.size(snapshot=snapshot)

    def scan(self, low: int | None, high: int | None, options: ScanOptions = FORWARD) -> Cursor[IndexEntry]:
        return self._index.scan_by_rank(rank_bounds(self._group, low, high), options)


def rank_bounds(group: Items, low: int | None, high: int | None) -> Bounds:
    """The ranks of a group from `low` up to, not including, `high`."""
    first = group or None if low is None else (*group, low)
    last = group or None if high is None else (*group, high)
    begins = End.INCLUSIVE if first else End.TREE
    ends = End.TREE if last is None else End.INCLUSIVE if high is None else End.EXCLUSIVE
    return Bounds(first, last, begins, ends)


async def scores_between(
    ranks: RankedSet, group: Items, low: RankEnd | None, high: RankEnd | None, *, snapshot: bool
) -> Bounds | None:
    """The scores of a group between two ranks, None if there are none; no end where a rank is None.

    Cost  2 ranks, side by side.
    """
    if low is not None and low[0] < 0:
        low = None
    if high is not None and (high[0] < 0 or high == (0, End.EXCLUSIVE)):
        return None
    if high is not None and high == low and high[1] is End.EXCLUSIVE:
        return None
    if low is None and high is None:
        return Bounds.equal(group)
    least, most = await gather(
        ranks.member_at(0 if low is None else low[0], snapshot=snapshot),
        _nobody() if high is None else ranks.member_at(high[0], snapshot=snapshot),
    )
    if least is None:
        return None
    begin = (*group, *unpack(least))
    low_end = End.INCLUSIVE if low is None else low[1]
    if high is None or most is None:  # behind the last: all there are from the first on
        return Bounds(begin, group or None, low_end, End.INCLUSIVE if group else End.TREE)
    return Bounds(begin, (*group, *unpack(most)), low_end, high[1])


async def _nobody() -> bytes | None:
    return None


class Sought(Cursor[IndexEntry]):
    """Entries between bounds that have to be looked up first.

    make    their cursor, with the options that it shall have; None if there are none

    Layout  a continuation is that of the entries in field 2, as Java's, where the look-up is the outer of two loops
    """

    __slots__ = ("_make", "_options", "_source")

    def __init__(
        self, make: Callable[[ScanOptions], Coroutine[Any, Any, Cursor[IndexEntry] | None]], options: ScanOptions
    ) -> None:
        self._make = make
        self._options = options
        if options.continuation is not None:
            inner = bytes_field(decode_fields(options.continuation, known=2), 2)
            if inner is None:
                raise BadContinuation(reason="it does not say where in the entries")
            self._options = replace(options, continuation=inner)
        self._source: Cursor[IndexEntry] | None = None

    async def batch(self) -> Batch[IndexEntry]:
        if self._source is None:
            self._source = await self._make(self._options)
            if self._source is None:
                return Batch([], never, Stop.EXHAUSTED)
        batch = await self._source.batch()
        resume, end = batch.resume, batch.end
        end = None if end is None else encode_fields({2: end})
        return Batch(batch.values, lambda index: encode_fields({2: resume(index)}), batch.stop, end)
