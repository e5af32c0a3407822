"""Leaping over groups: of keys that begin alike, the first and the last ones, without those in between.

Cost    a group: 1 read for its first key, and 1 for each of the others that is wanted; those of one group are under way
        together with the first of the next, so that a group takes one round trip
Source  ours; what databases call a loose index scan
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields
from recordlayer.cursor.scan import FORWARD, KeyRange, ScanOptions
from recordlayer.cursor.step import Batch, Cursor, Stop, never
from recordlayer.errors import BadContinuation
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Chunk, StreamingMode
from recordlayer.waiting.waitable import Turn, Waitable

BATCH = 16
"""Groups of one batch."""
_NULL = b"\x00"
_BEHIND_NULL = b"\x01"
"""How a null in a tuple begins, and what is behind it."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Keys of one group; what was not asked for is None.

    first  the first one
    least  the first one whose column behind the group's is not null, None if there is none
    last   the last one
    """

    first: bytes | None
    least: bytes | None
    last: bytes | None


class Leap(Cursor[Ends]):
    """The ends of each group, in the order of the keys.

    group_of  from a key to the bytes with which all keys of its group begin
    whole     the bytes with which all keys of the range begin, if they are one group: whether or not it is empty, it
              comes. None for groups that are found by their first keys
    first     whether the first key of a group is wanted; it is read anyhow where it is not known which group comes next
    """

    __slots__ = (
        "_base",
        "_begin",
        "_context",
        "_done",
        "_end",
        "_first",
        "_group_of",
        "_keys",
        "_last",
        "_least",
        "_options",
        "_pending",
        "_whole",
    )

    def __init__(
        self,
        context: Context,
        keys: KeyRange,
        group_of: Callable[[bytes], bytes],
        *,
        whole: bytes | None = None,
        first: bool = False,
        least: bool = False,
        last: bool = False,
        options: ScanOptions = FORWARD,
    ) -> None:
        self._context = context
        self._keys = keys
        self._begin, self._end = keys.begin, keys.end
        self._base = keys.prefix_length if keys.tuples_at is None else keys.tuples_at
        self._group_of = group_of
        self._whole = whole
        self._first, self._least, self._last = first, least, last
        self._options = options
        self._pending: Waitable[Chunk] | None = None
        self._done = False
        if options.continuation is not None:
            self._resume_behind(options.continuation)

    def _resume_behind(self, continuation: bytes) -> None:
        group = bytes_field(decode_fields(continuation, known=1), 1)
        if group is None:
            raise BadContinuation(reason="it is not one of groups")
        group = self._keys.begin[: self._base] + group
        behind, self._done = group + b"\xff", group == self._whole
        if not self._done and (self._whole is not None or not self._keys.begin <= behind <= self._end + b"\xff"):
            raise BadContinuation(
                reason="it lies outside the range that is scanned",
                hint="resume with the same bounds, index and query that gave it",
            )
        self._begin = min(behind, self._end)

    def start(self) -> None:
        if self._pending is None and self._whole is None:
            self._pending = self._one(self._begin, self._end)

    def _one(self, begin: bytes, end: bytes, *, reverse: bool = False) -> Waitable[Chunk]:
        return self._context.get_range(
            begin,
            max(begin, end),
            limit=1,
            reverse=reverse,
            snapshot=self._options.snapshot,
            mode=StreamingMode.EXACT,
        )

    async def batch(self) -> Batch[Ends]:
        if self._done:
            return Batch([], never, Stop.EXHAUSTED)
        if self._whole is not None:
            self._done = True
            ends = await self._ends(self._whole, self._one_if(self._first, self._whole), None)
            return Batch([ends], self._resume([self._whole]), Stop.EXHAUSTED)
        budget = self._options.budget
        found: list[Ends] = []
        groups: list[bytes] = []
        stop: Stop | None = None
        while len(groups) < BATCH and stop is None:
            self.start()
            assert self._pending is not None, "start() has begun a read"
            first = self._key(await self._pending)
            self._pending = None
            if first is None:
                stop = Stop.EXHAUSTED
                break
            group = self._group_of(first)
            self._begin = min(group + b"\xff", self._end)
            found.append(await self._ends(group, None, first))
            groups.append(group)
            if budget is not None:
                stop = budget.spent()
        await Turn()
        resume = self._resume(groups)
        end = resume(len(groups) - 1) if stop is not None and stop is not Stop.EXHAUSTED else None
        return Batch(found, resume, stop, end)

    def _one_if(self, wanted: bool, group: bytes) -> Waitable[Chunk] | None:
        return self._one(max(group, self._keys.begin), min(group + b"\xff", self._end)) if wanted else None

    async def _ends(self, group: bytes, reading: Waitable[Chunk] | None, first: bytes | None) -> Ends:
        """The keys of a group, whose first one is known or being read; with the first of the next under way."""
        begin, end = max(group, self._keys.begin), min(group + b"\xff", self._end)
        last = self._one(begin, end, reverse=True) if self._last else None
        least = None
        if self._least and (first is None or first.startswith(group + _NULL)):
            least = self._one(max(group + _BEHIND_NULL, begin), end)
        allowed = None if self._options.budget is None else self._options.budget.keys
        if allowed is None or allowed > 0:
            self.start()
        first = first if reading is None else self._key(await reading)
        found = first if self._least and least is None else None if least is None else self._key(await least)
        return Ends(first, found, None if last is None else self._key(await last))

    def _key(self, chunk: Chunk) -> bytes | None:
        """The key that was read, counted."""
        if not chunk.rows:
            return None
        key, value = chunk.rows[0]
        counters = self._context.counters
        counters.rows_read += 1
        counters.bytes_read += len(key) + len(value)
        if self._options.budget is not None:
            self._options.budget.charge(1, len(key) + len(value))
        return key

    def _resume(self, groups: list[bytes]) -> Callable[[int], bytes]:
        base = self._base
        return lambda index: encode_fields({1: groups[index][base:]})
