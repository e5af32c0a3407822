"""How far the build of an index is, by what its transactions have counted in the database.

Source  Record Layer: IndexBuildState
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from recordlayer.errors import CorruptBuild, UsageError
from recordlayer.index.state import IndexState
from recordlayer.metadata import Index
from recordlayer.online.share import range_set_of
from recordlayer.online.stamp import Method, method_of, read_stamp, scanned
from recordlayer.online.throttle import rate_of
from recordlayer.store.counting import record_count
from recordlayer.store.store import RecordStore


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildProgress:
    """The state of an index, and of its build if it has one.

    method    how it is being built; None if no build has begun, or has ended
    scanned   records that builds have looked at, as far as they counted
    total     records there are, if an index or a counter tells; None otherwise
    gaps      parts of the records that are missing
    blocked   an operator has stopped the build; `block_id` is what he called it
    rate      records a second that an operator allows; None for the builder's own rate
    seen      seconds since 1970 when this was so, by the clock of who asked
    """

    state: IndexState
    method: Method | None = None
    scanned: int = 0
    total: int | None = None
    gaps: int = 0
    blocked: bool = False
    block_id: str = ""
    rate: int | None = None
    seen: float = 0.0

    @property
    def fraction(self) -> float | None:
        """The part that is done, 0 to 1, if it can be told."""
        if self.state.is_readable:
            return 1.0
        if self.total is None or self.method is None:
            return None
        return 1.0 if not self.gaps else min(1.0, self.scanned / max(1, self.total))

    def remaining(self, earlier: BuildProgress) -> timedelta | None:
        """How long the build will still take at its pace since `earlier`, whoever builds; None if that cannot be told,
        or it stands still."""
        if self.state.is_readable or (self.method is not None and not self.gaps):
            return timedelta(0)
        took = timedelta(seconds=self.seen - earlier.seen)
        return remaining(self.total, self.scanned, self.scanned - earlier.scanned, took)


def remaining(total: int | None, scanned: int, records: int, took: timedelta) -> timedelta | None:
    """How long the rest will take if `records` have taken `took`; None if that cannot be told."""
    if total is None or records <= 0:
        return None
    try:
        return took * (max(0, total - scanned) / records)
    except OverflowError:  # longer than there are days
        return None


async def progress(store: RecordStore, index: Index) -> BuildProgress:
    """How far the build of an index is.  Cost  3 reads and 1 range read; 1 more if an index counts the records."""
    state = store.states.peek(index)
    stamp = await read_stamp(store, index, snapshot=True)
    method = None
    if stamp is not None and not state.is_readable:
        try:
            method = method_of(stamp)
        except CorruptBuild:
            method = None
    building = not state.is_readable and state is not IndexState.DISABLED
    return BuildProgress(
        state=state,
        method=method,
        scanned=await scanned(store, index) if building else 0,
        total=await total_of(store) if building else None,
        gaps=len(await range_set_of(store, index).missing()) if building else 0,
        blocked=bool(stamp is not None and stamp.block),
        block_id=stamp.blockID if stamp is not None and stamp.block else "",
        rate=await rate_of(store, index) if building else None,
        seen=store.context.world.clock.wall(),
    )


async def total_of(store: RecordStore) -> int | None:
    """How many records there are, if an index or a counter tells. For transactions XX
    with whoever saves a record.  Cost  1 read."""
    try:
        return await record_count(store)
    except UsageError:  # nothing counts them
        return None
