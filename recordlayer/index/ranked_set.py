"""Ranked sets: members in order, each with its rank, in a skip list of counts.

Layout  key   (level, member), the member as bytes; each level begins with the empty one, which is no member
        value 8 bytes little-endian: members from this key up to the next one on the same level. On level 0 that is 1,
              or how often the member was added where duplicates are counted; the empty one has 0 there
        A member of level n is also on the levels below; on level n + 1 with the chance 1 in 16.
Cost    add     1 read if it is there already, else up to 3 more in one round trip (+ 1 for each level above the lowest
                that the member goes on); writes: a mutation a level
        remove  1 read, then up to 3 in one round trip; writes: a mutation a level
                With few members (some 100) and an engine that need not be waited for, 1 read instead of 3; with many
                (some 100,000) up to 1 read more for each level above the third.
        rank, member_at   about 1 range read a level, one after the other
        size    1 range read
Source  Record Layer, RankedSet: same bytes, same conflicts. Neighbours are looked for in snapshots, and only that they
        stay neighbours is a condition of the commit; so writers of different members do not conflict unless one of
        them goes on a higher level where the other counts.

Two changes of one set in a transaction must not run side by side: whoever uses a set takes turns.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from recordlayer.errors import CorruptIndexEntry, UsageError
from recordlayer.index.ranked_set_hash import Hash, top_level
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Chunk, KeyValue, MutationType, StreamingMode
from recordlayer.kv.mutations import CLEAR, SET, Write, perform
from recordlayer.tuples import unpack
from recordlayer.waiting.waitable import Waitable

MIN_LEVELS, MAX_LEVELS, DEFAULT_LEVELS = 2, 8, 6

_NOBODY = b"\x01\x00"
"""The empty member, with which each level begins."""

_LEVEL = (b"\x14", *(bytes((0x15, level)) for level in range(1, MAX_LEVELS)))
_ADD = MutationType.ADD
_EXACT = StreamingMode.EXACT
_MASK = (1 << 64) - 1
_SPARSE, _FEW = 3, 40
"""From this level on, where one member in 4,096 is, levels are read together, as long as they hold so few keys; in a
small set all levels but the lowest."""

_STRIDE = 24
"""Keys of a level that are read at a time on the way to a rank: a little more than the 16 that are to be expected."""


def encode(count: int) -> bytes:
    """A count as it is stored."""
    return (count & _MASK).to_bytes(8, "little")


_PLUS_ONE, _ZERO, _ONE = encode(1), encode(0), encode(1)


@dataclass(frozen=True, slots=True)
class RankedSetOptions:
    """How a set takes members.

    levels            2 to 8; never changes while there are members
    hashed            decides on how many levels a new member is
    count_duplicates  a member that is added again counts again
    """

    levels: int
    hashed: Hash
    count_duplicates: bool = False


class _Previous:
    """The last key of a level before a member, or at it: its element, count, and what is at the member itself."""

    __slots__ = ("count", "element", "own")  # one is made for each level of each change

    def __init__(self, element: bytes, count: int, own: int | None) -> None:
        self.element = element
        self.count = count
        self.own = own


class RankedSet:
    """One ranked set in one transaction."""

    __slots__ = ("_context", "_levels", "_options", "_prefix")

    def __init__(self, context: Context, prefix: bytes, options: RankedSetOptions) -> None:
        self._context = context
        self._prefix = prefix
        self._options = options
        self._levels = [prefix + level for level in _LEVEL[: options.levels]]

    # -- changing --------------------------------------------------------------------------------------

    async def add(self, member: bytes) -> bool:
        """Put a member in. False if it is there already and duplicates are not counted: then nothing changes."""
        element = self._element(member)
        count = await self.count(member)
        if count and not self._options.count_duplicates:
            return False
        neighbours = await self._neighbours(element, or_equal=count > 0)
        # What is there already has split the levels when it came.
        top = 0 if count else top_level(self._options.hashed(member), self._options.levels)
        if neighbours is None:
            if not await self._has_begun():
                self._begin_with(element, top)
                return True
            neighbours = await self._neighbours(element, or_equal=False)
            assert neighbours is not None, "each level begins with the empty member now"
        splits = [(level, neighbours[level - 1]) for level in range(1, top + 1)]
        reads = [self._begin_counting(level, neighbour, element) for level, neighbour in splits]
        counted = [await self._counted(level, read, element) for level, read in enumerate(reads, 1)]
        levels = self._levels
        writes: list[Write] = [(_ADD, levels[0] + element, _PLUS_ONE) if count else (SET, levels[0] + element, _ONE)]
        grown = 0  # what the level below, where it was split, no longer counts before the member
        for (level, neighbour), below in zip(splits, counted, strict=True):
            ahead = below - grown
            writes.append((SET, levels[level] + neighbour.element, encode(ahead)))
            writes.append((SET, levels[level] + element, encode(neighbour.count - ahead + 1)))
            grown = neighbour.count - ahead
        for key, neighbour in zip(levels[top + 1 :], neighbours[top:], strict=True):
            writes.append((_ADD, key + neighbour.element, _PLUS_ONE))
        perform(self._context, writes)
        return True

    async def remove(self, member: bytes) -> bool:
        """Take a member out, or one of its duplicates. False if it is not there."""
        count = await self.count(member)
        if not count:
            return False
        await self.recount(member, count, count - 1)
        return True

    async def recount(self, member: bytes, count: int, wanted: int) -> None:
        """Have a member that is there counted `wanted` times instead of `count` times; not at all: take it out.

        Cost  as `remove`.
        """
        element, levels = self._element(member), self._levels
        # Which levels it is on is looked up, not worked out from its hash: the function may have changed since.
        neighbours = await self._neighbours(element, or_equal=wanted > 0, own=wanted == 0)
        if neighbours is None:
            raise self._broken(element, "a level without its first key")
        writes: list[Write] = [
            (SET, levels[0] + element, encode(wanted)) if wanted else (CLEAR, levels[0] + element, b"")
        ]
        more = encode(wanted - count)
        for key, neighbour in zip(levels[1:], neighbours, strict=True):
            if neighbour.own is None:
                writes.append((_ADD, key + neighbour.element, more))
            else:  # what it counted goes to its neighbour
                writes.append((CLEAR, key + element, b""))
                writes.append((_ADD, key + neighbour.element, encode(neighbour.own - count)))
        perform(self._context, writes)

    async def _has_begun(self) -> bool:
        """Whether there are keys on the highest level or the lowest. If so, have the levels between begin too."""
        context, levels = self._context, self._levels
        context.add_read_conflict_key(levels[0] + _NOBODY)  # whoever begins a set writes it
        ends = await context.get_many((levels[0] + _NOBODY, levels[-1] + _NOBODY), snapshot=True)
        if ends == [None, None]:
            return False
        for level in levels:
            if await context.get(level + _NOBODY) is None:
                context.set(level + _NOBODY, _ZERO)
        return True

    def _begin_with(self, element: bytes, top: int) -> None:
        """Begin each level, with the first member of all."""
        levels = self._levels
        writes: list[Write] = [(SET, level + element, _ONE) for level in levels[: top + 1]]
        writes += [(SET, level + _NOBODY, _ZERO) for level in levels[: top + 1]]
        writes += [(SET, level + _NOBODY, _ONE) for level in levels[top + 1 :]]
        perform(self._context, writes)

    # -- asking ----------------------------------------------------------------------------------------

    async def count(self, member: bytes, *, snapshot: bool = False) -> int:
        """How often a member is in the set; at most once where duplicates are not counted.  Cost  1 read."""
        value = await self._context.get(self._levels[0] + self._element(member), snapshot=snapshot)
        return 0 if value is None else self._decoded(value)

    async def rank(self, member: bytes, *, snapshot: bool = False) -> int:
        """How many members come before this one, whether it is there or not."""
        element = self._element(member)
        found, reached = 0, _NOBODY
        for level in reversed(self._levels):
            rows = await self._context.read_all(level + reached, level + element + b"\x00", snapshot=snapshot)
            if not rows:
                return found  # nothing was ever added
            *ahead, (last, count) = rows
            found += sum([self._decoded(value) for _, value in ahead])
            reached = last[len(level) :]
            if reached == element:
                return found
        return found + self._decoded(count)

    async def member_at(self, rank: int, *, snapshot: bool = False) -> bytes | None:
        """The member with so many before it; None behind the last."""
        if rank < 0:
            raise UsageError(rank=rank, hint="ranks are counted from 0")
        left, reached, end = rank, _NOBODY, b"\xff"
        for level in reversed(self._levels):
            step = await self._walk(level, reached, end, left, snapshot=snapshot)
            if step is None:
                return None
            reached, left, end = step
            if not left and reached != _NOBODY:
                break  # it is on the lower levels too, and the first of what is counted there
        return self._member(reached)

    async def _walk(
        self, level: bytes, begin: bytes, end: bytes, left: int, *, snapshot: bool
    ) -> tuple[bytes, int, bytes] | None:
        """The key of a level that counts the member, how many come before that within it, and the next key."""
        at: KeyValue | None = None
        start, stop = level + begin, level + end
        while True:
            chunk = await self._context.get_range(
                start, stop, limit=_STRIDE, snapshot=snapshot, mode=StreamingMode.WANT_ALL
            )
            self._context.counters.rows_read += len(chunk.rows)
            for key, value in chunk.rows:
                if at is not None:
                    return at[0][len(level) :], left, key[len(level) :]
                count = self._decoded(value)
                if left < count:
                    at = key, value
                else:
                    left -= count
            if not chunk.rows or (not chunk.more and len(chunk.rows) < _STRIDE):
                return None if at is None else (at[0][len(level) :], left, end)
            start = chunk.rows[-1][0] + b"\x00"

    async def size(self, *, snapshot: bool = False) -> int:
        """How many members there are, duplicates included where they are counted."""
        top = self._levels[-1]
        rows = await self._context.read_all(top + _NOBODY, top + b"\xff", snapshot=snapshot)
        return sum([self._decoded(value) for _, value in rows])

    async def levels(self) -> list[dict[bytes, int]]:
        """All that is stored, for checks: for each level its members, the empty one first, and their counts; -1 for
        what is no count."""
        found = []
        for level in self._levels:
            rows = await self._context.read_all(level + b"\x00", level + b"\xff")
            found.append({self._member(key[len(level) :]): _count_or_nothing(value) for key, value in rows})
        return found

    # -- neighbours ------------------------------------------------------------------------------------

    async def _neighbours(self, element: bytes, *, or_equal: bool, own: bool = False) -> list[_Previous] | None:
        """What comes before a member on each level but the lowest; None if a level has not begun.

        or_equal  the member itself counts as before it, where it is
        own       tell what is at the member itself too
        """
        inclusive, limit, levels = or_equal or own, 1 + own, self._levels
        begin, end = levels[1] + _NOBODY, levels[-1] + element + b"\x00"
        together = self._context.get_range(begin, end, limit=_FEW, reverse=True, snapshot=True, mode=_EXACT)
        apart: dict[int, Waitable[Chunk]] = {}
        if not together.ready():
            # Reads take time: those that a large set needs are under way together.
            for level in range(1, min(_SPARSE, len(levels) - 1)):
                apart[level] = self._begin_previous(level, element, inclusive, limit)
        found: list[_Previous | None] = [None] * (len(levels) - 1)
        chunk = await together
        self._sort_out(chunk.rows, element, found, or_equal=or_equal, own=own)
        if chunk.more or len(chunk.rows) == _FEW:
            for level, known in enumerate(found, 1):
                if known is None and level not in apart:
                    apart[level] = self._begin_previous(level, element, inclusive, limit)
        for read in apart.values():
            self._sort_out((await read).rows, element, found, or_equal=or_equal, own=own)
        neighbours = [one for one in found if one is not None]
        if len(neighbours) < len(found):
            return None
        self._stay_neighbours(element, neighbours, own=own)
        return neighbours

    def _begin_previous(self, level: int, element: bytes, inclusive: bool, limit: int) -> Waitable[Chunk]:
        begin = self._levels[level]
        end = begin + element + b"\x00" if inclusive else begin + element
        return self._context.get_range(begin + _NOBODY, end, limit=limit, reverse=True, snapshot=True, mode=_EXACT)

    def _sort_out(
        self, rows: list[KeyValue], element: bytes, found: list[_Previous | None], *, or_equal: bool, own: bool
    ) -> None:
        """Note the neighbours that rows tell of, last first, of levels of which none is known yet."""
        size = len(self._prefix) + 2
        there: dict[int, int] = {}
        for key, value in rows:
            place = key[size - 1] - 1
            if found[place] is not None:
                continue
            other = key[size:]
            if other < element or (or_equal and other == element):
                found[place] = _Previous(other, self._decoded(value), there.get(place))
            elif own and other == element:
                there[place] = self._decoded(value)

    def _stay_neighbours(self, element: bytes, neighbours: list[_Previous], *, own: bool) -> None:
        """Have the commit fail if somebody comes in between, or a neighbour goes away, or with `own` what is at the
        member itself changes. That a neighbour is counted up is no matter. (The empty member goes away only with the
        whole set, and what is in between with it.)"""
        context, levels = self._context, self._levels
        gone_too = set()
        end = element + b"\x00" if own else element
        for level, neighbour in zip(levels[1:], neighbours, strict=True):
            other = neighbour.element
            if other != element:
                context.add_read_conflict_range(level + other + b"\x00", level + end)
            if other != _NOBODY:
                gone_too.add(other)
        for other in gone_too:
            context.add_read_conflict_key(levels[0] + other)

    def _begin_counting(self, level: int, previous: _Previous, element: bytes) -> Waitable[Chunk]:
        """Begin to read what the level below counts from a neighbour up to the new member. What the neighbour itself
        counts must stay until the commit, as it will be set."""
        self._context.add_read_conflict_key(self._levels[level] + previous.element)
        below = self._levels[level - 1]
        return self._context.get_range(below + previous.element, below + element, mode=StreamingMode.WANT_ALL)

    async def _counted(self, level: int, counts: Waitable[Chunk], element: bytes) -> int:
        chunk = await counts
        rows = chunk.rows
        if chunk.more and rows:
            rows = rows + await self._context.read_all(rows[-1][0] + b"\x00", self._levels[level - 1] + element)
        return sum([self._decoded(count) for _, count in rows])

    # -- bytes -----------------------------------------------------------------------------------------

    @staticmethod
    def _element(member: bytes) -> bytes:
        if not member:
            raise UsageError(member=member, hint="the empty member stands for the beginning of a set")
        return b"\x01" + member.replace(b"\x00", b"\x00\xff") + b"\x00"

    def _member(self, element: bytes) -> bytes:
        items = unpack(element)
        if len(items) != 1 or not isinstance(items[0], bytes):
            raise self._broken(element, "a key that is no member")
        return items[0]

    def _decoded(self, value: bytes) -> int:
        if len(value) != 8:
            raise self._broken(value, "a count that has not 8 bytes")
        return int.from_bytes(value, "little", signed=True)

    def _broken(self, where: bytes, found: str) -> CorruptIndexEntry:
        return CorruptIndexEntry(what="ranked set", prefix=self._prefix, key=where, found=found)


def _count_or_nothing(value: bytes) -> int:
    return int.from_bytes(value, "little", signed=True) if len(value) == 8 else -1


def structure(levels: list[dict[bytes, int]]) -> list[str]:
    """What is wrong with the levels of a set by themselves: each count must be the sum of the level below it."""
    if not any(levels):
        return []
    wrong = [
        f"level {level} does not begin with the empty member" for level, keys in enumerate(levels) if b"" not in keys
    ]
    for level, (below, keys) in enumerate(itertools.pairwise(levels), 1):
        if keys.keys() - below.keys():
            wrong.append(f"level {level} has members that the level below has not")
        sums = dict.fromkeys(keys, 0)
        current = b""
        for member, count in sorted(below.items()):
            current = member if member in keys else current
            if current in sums:
                sums[current] += count
        wrong += [
            f"level {level} counts {keys[member]} from {member.hex() or 'its beginning'}, the level below {total}"
            for member, total in sums.items()
            if keys[member] != total
        ]
    return wrong


__all__ = ["DEFAULT_LEVELS", "MAX_LEVELS", "MIN_LEVELS", "RankedSet", "RankedSetOptions", "structure"]
