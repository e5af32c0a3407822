"""How far the build of an index is.

Source  Record Layer: IndexBuildState
"""

from __future__ import annotations

from dataclasses import dataclass

from recordlayer.errors import CorruptBuild, UsageError
from recordlayer.index.state import IndexState
from recordlayer.metadata import Index
from recordlayer.online.over_records import range_set_of
from recordlayer.online.stamp import Method, method_of, read_stamp, scanned
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
    """

    state: IndexState
    method: Method | None = None
    scanned: int = 0
    total: int | None = None
    gaps: int = 0
    blocked: bool = False
    block_id: str = ""

    @property
    def fraction(self) -> float | None:
        """The part that is done, 0 to 1, if it can be told."""
        if self.state.is_readable:
            return 1.0
        if self.total is None or self.method is None:
            return None
        return 1.0 if not self.gaps else min(1.0, self.scanned / max(1, self.total))


async def progress(store: RecordStore, index: Index) -> BuildProgress:
    """How far the build of an index is.  Cost  2 reads and 1 range read; 1 more if an index counts the records."""
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
        total=await _total(store) if building else None,
        gaps=len(await range_set_of(store, index).missing()) if building else 0,
        blocked=bool(stamp is not None and stamp.block),
        block_id=stamp.blockID if stamp is not None and stamp.block else "",
    )


async def _total(store: RecordStore) -> int | None:
    try:
        return await record_count(store)
    except UsageError:  # nothing counts them
        return None
