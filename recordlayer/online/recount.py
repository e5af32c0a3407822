"""Counting the records of all groups of an index again, while others write, as they were at one moment.

No transaction lasts long enough for all records. So each counts a piece of them, and its commit finds out which of the
pieces counted before have changed since: it reads at the version below that of the commit before, and conflicts with
whoever has written in any of them. When few records are left that were not counted, or have changed, these are read at
the version at which all others are known to hold, and the groups with them: no writer can be between the two, whoever
he is.

Nothing of this outlives its process. Groups are counted again some at a time, in their order, and how far they are is
noted; a recount that is interrupted begins with the groups that were not finished.

Cost    every record is read once, and again where it is written to meanwhile; in memory a number for each piece and
        group in it
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from recordlayer.cursor.scan import KeyRange, ScanOptions
from recordlayer.cursor.step import Stop
from recordlayer.errors import Conflict, CorruptRecord, TooOld, TransactionError
from recordlayer.index.judging import Off, Recounting
from recordlayer.index.range_set import FIRST, LAST
from recordlayer.kv.context import Context
from recordlayer.metadata import Index
from recordlayer.online.work import LongWork
from recordlayer.store.check_records import is_unknown_type
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore
from recordlayer.store.synthesis import indexed_records
from recordlayer.tuples import pack

MOST_GROUPS = 100_000
"""Groups that are counted at once, at most."""

MOST_AT_LAST = 10_000
"""Records that are read in the last transaction, at most: it has to end within five seconds."""


@dataclass(slots=True)
class _Piece:
    """Records from one packed primary key up to another.

    totals   what they add up to, by packed group; None if that is not known, or no longer
    records  how many they were when they were counted; None before
    """

    begin: bytes
    end: bytes
    totals: Counter[bytes] | None = None
    records: int | None = None


@dataclass(frozen=True, slots=True)
class Recounted:
    """Which of the packed groups up to `high` have another number than their records add up to."""

    high: bytes
    wrong: list[Off]


class Recount:
    """One recount of the groups of an index from `low` on.

    find   gives the index in a store, and the type at work on it; refuses what must not be
    mark   writes something that nobody reads, so that a commit is one
    done   is told of each piece
    """

    def __init__(
        self,
        work: LongWork,
        low: bytes,
        *,
        find: Callable[[RecordStore], tuple[Index, Recounting]],
        mark: Callable[[RecordStore], None],
        done: Callable[[int, timedelta], object],
        most_groups: int = MOST_GROUPS,
        most_at_last: int = MOST_AT_LAST,
    ) -> None:
        self._work = work
        self._low, self._high = low, b"\xff"
        self._find, self._mark, self._done = find, mark, done
        self._most_groups, self._most_at_last = most_groups, most_at_last
        self._pieces = [_Piece(FIRST, LAST)]
        self._version: int | None = None
        self._is_new = False  # nothing is known to have changed since
        self._base = b""

    async def count(self) -> Recounted | None:
        """What is wrong; None if the work was stopped before.  Raises  what keeps on happening."""
        held: list[Context] = []
        try:
            return await self._counting(held)
        finally:
            for context in held:
                context.close()

    async def _counting(self, held: list[Context]) -> Recounted | None:
        """`held` are transactions that keep the version readable at which the next one will begin."""
        failures = 0
        while not self._work.is_over:
            began = self._work.world.clock.monotonic()
            last = self._few_are_left and (self._is_new or self._version is None)
            context = self._work.context(version=self._version)
            while held:
                held.pop().close()
            held.append(context)
            try:
                if last:
                    counted, wrong = await self._at_last(context)
                    await self._work.succeeded(counted, began, self._done)
                    return Recounted(self._high, wrong)
                counted = await self._transaction(context)
                held.append(self._work.context())
                await held[-1].read_version()
                await context.commit()
                # Others may have the same commit version, and those behind this one were not looked at: what holds is
                # known of the version before.
                self._version, self._is_new = context.committed_version() - 1, True
            except TransactionError as error:
                failures += 1
                if failures > self._work.limits().retries:
                    raise
                await self._failed(context, error, last=last)
                continue
            failures = 0
            self._limit_groups()
            await self._work.succeeded(counted, began, self._done)
        return None

    @property
    def _few_are_left(self) -> bool:
        left = [piece.records for piece in self._pieces if piece.totals is None]
        return None not in left and sum(records or 0 for records in left) <= self._most_at_last

    async def _transaction(self, context: Context) -> int:
        """Count some records that were never counted, and conflict with who changes what was. How many."""
        store = await self._work.open(context)
        self._base = store.layout.records
        self._version = await context.read_version()
        scanned = 0
        place = self._next_place()
        if place is not None and (self._is_new or not any(piece.totals is not None for piece in self._pieces)):
            piece = self._pieces[place]
            totals, scanned, end = await self._counted(store, piece.begin, piece.end, self._work.limits().records)
            rest = [] if end == piece.end else [_Piece(end, piece.end)]
            self._pieces[place : place + 1] = [_Piece(piece.begin, end, totals, scanned), *rest]
        for piece in self._pieces:
            if piece.totals is not None:
                # A key where no record lies stays free between two pieces: ranges that touch would become one, and a
                # conflict would not say which piece it was about.
                context.add_read_conflict_range(self._base + piece.begin + b"\x00", self._base + piece.end)
        self._mark(store)
        return scanned

    def _next_place(self) -> int | None:
        """A piece to count: first those that never were."""
        places = [place for place, piece in enumerate(self._pieces) if piece.totals is None]
        return min(places, key=lambda place: self._pieces[place].records is not None, default=None)

    async def _at_last(self, context: Context) -> tuple[int, list[Off]]:
        """Count what is left, and compare: all as it is at one version. Nothing is written."""
        store = await self._work.open(context)
        total, scanned = Counter[bytes](), 0
        for piece in self._pieces:
            totals = piece.totals
            if totals is None:
                totals, number, _ = await self._counted(store, piece.begin, piece.end, 0)
                scanned += number
            total.update(totals)
        _, counting = self._find(store)
        return scanned, await counting.differing(total, self._low, self._high)

    async def _counted(
        self, store: RecordStore, begin: bytes, end: bytes, limit: int
    ) -> tuple[Counter[bytes], int, bytes]:
        """What the first records of a range add up to, at most `limit`, 0 for all; how many they are, and where others
        begin."""
        base, (index, counting) = store.layout.records, self._find(store)
        keys = KeyRange(base + begin, base + end, len(base))
        cursor = store.records.scan(keys, ScanOptions(snapshot=True, limit=limit + 1 if limit else 0))
        totals, scanned, whole = Counter[bytes](), 0, True
        while True:
            batch = await cursor.batch()
            records = list(batch.values)
            if limit and scanned + len(records) > limit:
                end, whole = records[limit - scanned].primary_key_bytes, False
                records = records[: limit - scanned]
            scanned += len(records)
            for record in await indexed_records(store, index, [one for one in records if _is_known(one)]):
                for group, amount in counting.amounts(record):
                    packed = pack(group)
                    if self._low <= packed < self._high:
                        totals[packed] += amount
            if batch.stop is Stop.EXHAUSTED or not whole:
                return totals, scanned, end

    async def _failed(self, context: Context, error: TransactionError, *, last: bool) -> None:
        """Find out which pieces still hold. Those that do not are known to be at the version, and to have changed."""
        ranges = await context.transaction.conflicting_ranges() if isinstance(error, Conflict) else []
        self._work.failed(error)
        self._is_new = False
        if last and isinstance(error, TooOld):
            self._most_at_last = max(self._work.limits().records, self._most_at_last // 2)
        if not isinstance(error, (Conflict, TooOld)):
            return  # what was counted before holds, or the next commit finds out
        for piece in self._pieces:
            begin, end = self._base + piece.begin, self._base + piece.end
            if not ranges or any(low < end and high > begin for low, high in ranges):
                piece.totals = None
        if all(piece.totals is None for piece in self._pieces):
            self._version = None

    def _limit_groups(self) -> None:
        """Leave the last groups to another recount where there are too many."""
        groups = {group for piece in self._pieces for group in piece.totals or ()}
        if len(groups) <= self._most_groups:
            return
        self._high = sorted(groups)[self._most_groups]
        for piece in self._pieces:
            for group in [group for group in piece.totals or () if group >= self._high]:
                assert piece.totals is not None, "it has groups"
                del piece.totals[group]


def _is_known(record: StoredRecord) -> bool:
    """Whether a record is of a type that the metadata have: the others count for nothing.  Raises  CorruptRecord."""
    try:
        return record.record_type is not None
    except CorruptRecord as error:
        if is_unknown_type(error):
            return False
        raise
