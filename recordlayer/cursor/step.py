"""What a cursor gives: a value, or the reason why there is none and the place to go on.

A cursor's one verb is `batch`: as many values as are at hand, and how to go on behind each of them. A continuation is
computed when somebody asks for it, so a row costs no more than its value. `next` gives the same one value at a time.

Source  Record Layer, RecordCursor, RecordCursorResult, NoNextReason.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from recordlayer.errors import UsageError

T = TypeVar("T")


class Stop(enum.Enum):
    """Why a cursor gives no more values."""

    EXHAUSTED = "exhausted"
    """There are no more."""
    LIMIT_REACHED = "limit"
    """As many as were asked for. There may be more."""
    TIME_LIMIT = "time limit"
    SCAN_LIMIT = "scan limit"
    BYTE_LIMIT = "byte limit"

    @property
    def out_of_band(self) -> bool:
        """Whether what stopped the cursor has nothing to do with the values: a budget, not the range or the count."""
        return self not in (Stop.EXHAUSTED, Stop.LIMIT_REACHED)


Resume = Callable[[int], bytes]
End = bytes | None | Callable[[], bytes | None]


class Batch(Generic[T]):
    """Some values of a cursor.

    values  in order; may be empty although there are more
    resume  resume(i) is the continuation behind values[i]
    stop    None: ask for another batch; else why nothing follows
    end     the continuation when `stop` is set: None if exhausted, or if nothing was read at all. May be given as a
            function, which is called when somebody asks
    """

    __slots__ = ("_end", "resume", "stop", "values")

    def __init__(self, values: Sequence[T], resume: Resume, stop: Stop | None = None, end: End = None) -> None:
        self.values = values
        self.resume = resume
        self.stop = stop
        self._end = end

    @property
    def end_when_asked(self) -> End:
        """The end as it was given, for a batch made of this one."""
        return self._end

    @property
    def end(self) -> bytes | None:
        end = self._end
        if end is None or isinstance(end, bytes):
            return end
        found = self._end = end()
        return found


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """One value with the continuation behind it; or, when `stop` is set, no value, why, and where to go on."""

    value: T | None
    continuation: bytes | None
    stop: Stop | None = None

    @property
    def has_value(self) -> bool:
        return self.stop is None


class Cursor(Generic[T]):
    """Base of all cursors. Used by one thread or task at a time."""

    __slots__ = ("_at", "_current")

    def start(self) -> None:
        """Begin the first read without waiting for it, so that several cursors wait together."""

    def expect_all(self) -> None:
        """Whoever asks will take all there is: the first read may be large."""

    async def batch(self) -> Batch[T]:
        """The next values. Not to be called again once a batch had a `stop`."""
        raise NotImplementedError

    async def next(self) -> Step[T]:
        """The next value, or why there is none; asked again after that, the same answer."""
        current: Batch[T] | None = getattr(self, "_current", None)
        while True:
            if current is None:
                current = self._current = await self.batch()
                self._at = 0
            if self._at < len(current.values):
                at = self._at
                self._at += 1
                return Step(current.values[at], current.resume(at))
            if current.stop is not None:
                return Step(None, current.end, current.stop)
            current = None


def never(index: int) -> bytes:
    """The `resume` of an empty batch."""
    raise UsageError(what="continuation of an empty batch", index=index)


async def drain(cursor: Cursor[T]) -> list[T]:
    """All values that the cursor still has, until it stops."""
    values: list[T] = []
    while True:
        batch = await cursor.batch()
        values += batch.values
        if batch.stop is not None:
            return values
