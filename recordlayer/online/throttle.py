"""The rate that an operator sets for the build of an index, whoever builds it and in whichever process: a note in the
store, which goes with the other notes when the build is over.

Layout  `index.build_notes`
Cost    setting: 1 read, 1 write; a builder looks once a second: 1 read an index
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from recordlayer.errors import UsageError
from recordlayer.index.build_notes import RATE
from recordlayer.metadata import Index
from recordlayer.online.options import WorkLimits
from recordlayer.online.stamp import begun, build_prefix
from recordlayer.store.store import RecordStore

_SIZE = 8
_EVERY = 1.0


async def set_rate(store: RecordStore, index: Index, records_per_second: int | None) -> None:
    """Have builds of an index look at no more records a second; None lets them go at their own rate again.

    Cost  1 read, 1 write.  Raises  UsageError, also if no build has begun.
    """
    await begun(store, index)
    key = build_prefix(store, index) + RATE
    if records_per_second is None:
        store.context.clear(key)
    elif type(records_per_second) is not int or not 0 < records_per_second < 1 << 63:
        hint = "give a whole number of at least 1, or None; a block stops a build"
        raise UsageError(option="records_per_second", got=records_per_second, hint=hint)
    else:
        store.context.set(key, records_per_second.to_bytes(_SIZE, "little"))


async def rate_of(store: RecordStore, index: Index) -> int | None:
    """The rate that was set for builds of an index, None if there is none.  Cost  1 read."""
    raw = await store.context.get(build_prefix(store, index) + RATE, snapshot=True)
    return int.from_bytes(raw, "little") if raw is not None and len(raw) == _SIZE else None


class Throttle:
    """The limits of a builder under the rates that were set for what it builds."""

    def __init__(self, limits: WorkLimits | Callable[[], WorkLimits]) -> None:
        self._limits: Callable[[], WorkLimits] = limits if callable(limits) else lambda: limits
        self._rate: int | None = None
        self._due = 0.0

    def __call__(self) -> WorkLimits:
        limits, rate = self._limits(), self._rate
        if rate is None:
            return limits
        own = limits.records_per_second
        least = rate if own is None else min(rate, own)
        # In one transaction no more than in one second: a builder that pauses for longer seems to have fallen silent.
        return replace(limits, records=min(limits.records, least), records_per_second=least)

    async def look(self, store: RecordStore, indexes: Sequence[Index]) -> None:
        """See which rates are set now, unless that was looked up within this second."""
        now = store.context.world.clock.monotonic()
        if now < self._due:
            return
        self._due = now + _EVERY
        rates = [rate for index in indexes if (rate := await rate_of(store, index)) is not None]
        self._rate = min(rates, default=None)
