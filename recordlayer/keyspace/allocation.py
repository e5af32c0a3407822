"""Giving out short numbers to many writers at once, each number once.

Numbers come in windows. A counter for each window says about how many of it are taken; a writer draws numbers at random
from the newest window that is less than half full, so that two rarely draw the same, and only those who do conflict.
Two forms share the keys: FoundationDB's directory layer marks a number as taken, Java's resolvers write who took it.

Layout  counters: the window's start -> 8 bytes, little-endian; allocations: the number -> the taker
Cost    about 3 reads and 2 writes a number
Source  FoundationDB's directory layer, HighContentionAllocator; Record Layer, HighContentionAllocator
"""

from __future__ import annotations

from recordlayer.errors import NamesCollide
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Chunk, MutationType, StreamingMode, TransactionOption
from recordlayer.tuples import Subspace, prefix_range
from recordlayer.waiting.waitable import Waitable

_ONE = (1).to_bytes(8, "little")
_BEING_TAKEN = b""
_UNUSABLE = b"\xfd"
_JAVA_LARGEST, _DIRECTORIES_LARGEST = 4096, 8192


def window_size(start: int, largest: int) -> int:
    """How many numbers the window that begins at `start` has."""
    if start < 255:
        return 64
    return 1024 if start < 65_535 else largest


_MOST_TAKEN = 32
"""So many numbers in a row are found taken where at most half of the window is, once in 4 billion times."""


async def allocate_for(
    context: Context, counters: Subspace, allocations: Subspace, taker: bytes, *, at_root: bool
) -> int:
    """A number nobody had before, taken down with its taker, as Java's resolvers do.

    at_root  numbers are whole prefixes of the database: refuse one below which there are keys

    Raises  NamesCollide.
    """
    start = await _newest_window(context, counters)
    while await _count(context, counters, start) * 2 > window_size(start, _JAVA_LARGEST):
        start += window_size(start, _JAVA_LARGEST)
        context.clear_range(counters.key(), counters.pack((start,)))
    taken = 0
    while True:
        number = _draw(context, start, _JAVA_LARGEST)
        key = allocations.pack((number,))
        found = await _swap(context, key)
        if found is None:
            usable = not (at_root and await _has_keys(context, number))
            context.set(key, taker if usable else _UNUSABLE)
            if not usable:
                raise NamesCollide(number=number, hint="keys that are no directory's begin with it: try again")
            return number
        if found != _BEING_TAKEN:
            _no_conflict(context)
            context.set(key, found)
            taken += 1
            if taken % _MOST_TAKEN == 0:  # by names that were put here with their numbers, which nobody has counted
                start += window_size(start, _JAVA_LARGEST)
                context.clear_range(counters.key(), counters.pack((start,)))
                await _count(context, counters, start)


async def allocate_directory(context: Context, counters: Subspace, recent: Subspace) -> int:
    """A number that was not given out before, as FoundationDB's directory layer takes it."""
    while True:
        start = await _newest_window(context, counters)
        advanced = False
        while True:
            if advanced:
                context.clear_range(counters.key(), counters.pack((start,)))
                _no_conflict(context)
                context.clear_range(recent.key(), recent.pack((start,)))
            if await _count(context, counters, start) * 2 < window_size(start, _DIRECTORIES_LARGEST):
                break
            start += window_size(start, _DIRECTORIES_LARGEST)
            advanced = True
        while True:
            number = _draw(context, start, _DIRECTORIES_LARGEST)
            key = recent.pack((number,))
            newest = _newest_counter(context, counters)
            found = await _swap(context, key)
            rows = (await newest).rows
            if rows and counters.unpack(rows[0][0])[0] > start:
                break  # the window was closed meanwhile
            if found is None:
                context.add_write_conflict_range(key, key + b"\x00")
                return number


_EXACT = StreamingMode.EXACT


async def _has_keys(context: Context, number: int) -> bool:
    begin, end = prefix_range(Subspace((number,)).key())
    return bool((await context.get_range(begin, end, limit=1, snapshot=True, mode=_EXACT)).rows)


def _draw(context: Context, start: int, largest: int) -> int:
    return context.world.random.randrange(start, start + window_size(start, largest))


def _newest_counter(context: Context, counters: Subspace) -> Waitable[Chunk]:
    return context.get_range(*counters.range(), limit=1, reverse=True, snapshot=True, mode=_EXACT)


async def _newest_window(context: Context, counters: Subspace) -> int:
    rows = (await _newest_counter(context, counters)).rows
    start: int = counters.unpack(rows[0][0])[0] if rows else 0
    return start


async def _count(context: Context, counters: Subspace, start: int) -> int:
    """How many of a window have been asked for, this time included."""
    key = counters.pack((start,))
    context.atomic(MutationType.ADD, key, _ONE)
    return int.from_bytes(await context.get(key, snapshot=True) or b"", "little", signed=True)


async def _swap(context: Context, key: bytes) -> bytes | None:
    """What is there, read so that others who take it conflict; marked as being taken, so that others in this
    transaction see it. Both are begun before anything waits."""
    found = context.get(key)
    _no_conflict(context)
    context.set(key, _BEING_TAKEN)
    return await found


def _no_conflict(context: Context) -> None:
    context.transaction.set_option(TransactionOption.NEXT_WRITE_NO_WRITE_CONFLICT_RANGE)
