"""Cursors over several ordered cursors: all their values in order, or only those that every one of them has.

The values of each source come in the order of their keys, descending if `reverse`; what has the same key is one value.
Where the sources' values are not alike, each source has its own function from a value to its key.
The sources are read side by side, so a merge of n costs the round trips of one.

Layout  a continuation has a field for each source, numbered from 1: absent at its beginning, else {1 continuation
        behind the last value taken from it, 2 whether it has no more}
Source  Record Layer, MergeCursor, UnionCursor, IntersectionCursor; the continuations are ours
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, Generic, TypeVar

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields, flag_field
from recordlayer.cursor.page import Page
from recordlayer.cursor.step import Batch, Cursor, Stop, never
from recordlayer.cursor.transform import CursorFactory, Empty
from recordlayer.errors import BadContinuation

T = TypeVar("T")

Key = Callable[[T], Any]


class KeyOfAll(Generic[T]):
    """A function from values to their keys that takes all values of a batch together."""

    __slots__ = ("of_all",)

    def __init__(self, of_all: Callable[[Sequence[T]], list[Any]]) -> None:
        self.of_all = of_all


class Merged(Page[T]):
    """Values of several batches with their keys. Those who need the keys alone have them without a value being made.

    keys    of the values, in order
    of_all  what gives these keys of the values; None if the sources have different ways
    """

    __slots__ = ("_origins", "keys", "of_all")

    def __init__(
        self,
        keys: list[Any],
        origins: Sequence[tuple[Sequence[T], int]],
        of_all: Callable[[Sequence[T]], list[Any]] | None,
    ) -> None:
        """`origins`: for each value the values of a batch, and its place among them."""
        self._values = None
        self.keys = keys
        self._origins = origins
        self.of_all = of_all

    def __len__(self) -> int:
        return len(self.keys)

    def make(self) -> list[T]:
        return [
            values.pick((place,))[0] if isinstance(values, Page) else values[place] for values, place in self._origins
        ]

    def part(self, places: slice) -> Merged[T]:
        return Merged(self.keys[places], self._origins[places], self.of_all)


class _Held(Generic[T]):
    """One batch of a source, with the keys of its values. `base` is the continuation where it begins."""

    __slots__ = ("base", "batch", "distinct", "keys")

    def __init__(self, base: bytes | None, batch: Batch[T], key: Key[T] | KeyOfAll[T]) -> None:
        self.base = base
        self.batch = batch
        if isinstance(key, KeyOfAll):
            self.keys = key.of_all(batch.values)
            self.distinct = len(set(self.keys)) == len(self.keys)
            """Whether no two of its values have the same key, as far as that is known."""
        else:
            self.keys = [key(value) for value in batch.values]
            self.distinct = False

    def place(self, taken: int) -> bytes | None:
        """The source's continuation when so many of the values have been taken; None at its very beginning."""
        batch = self.batch
        if taken == len(self.keys) and batch.stop is not None and batch.end is not None:
            return batch.end
        return batch.resume(taken - 1) if taken else self.base

    def state(self, taken: int) -> bytes | None:
        """Its part of the merge's continuation."""
        if taken == len(self.keys) and self.batch.stop is Stop.EXHAUSTED:
            return encode_fields({2: 1})
        place = self.place(taken)
        return None if place is None else encode_fields({1: place})


class _Source(Generic[T]):
    """One source: the batch at hand, and how many of its values have been taken."""

    __slots__ = ("_cursor", "_key", "held", "taken")

    def __init__(self, make: CursorFactory[T], key: Key[T] | KeyOfAll[T], state: bytes | None) -> None:
        fields = {} if state is None else decode_fields(state, known=2)
        base, exhausted = bytes_field(fields, 1), flag_field(fields, 2)
        if state is not None and (base is None) is not exhausted:
            raise BadContinuation(reason="a part of it neither goes on nor ends")
        self._cursor: Cursor[T] = Empty() if exhausted else make(base)
        self._key = key
        self.held: _Held[T] = _Held(base, Batch([], never, Stop.EXHAUSTED if exhausted else None), key)
        self.taken = 0

    @property
    def way(self) -> Callable[[Sequence[T]], list[Any]] | None:
        """What gives the keys of all values together."""
        return self._key.of_all if isinstance(self._key, KeyOfAll) else None

    @property
    def is_used_up(self) -> bool:
        return self.taken == len(self.held.keys)

    @property
    def stop(self) -> Stop | None:
        """Why nothing follows what has been taken; None if something does, or may."""
        return self.held.batch.stop if self.is_used_up else None

    def start(self) -> None:
        if self.is_used_up and self.held.batch.stop is None:
            self._cursor.start()

    async def fill(self) -> None:
        """Have a value at hand, or know why there is none."""
        while self.is_used_up and self.held.batch.stop is None:
            base = self.held.place(self.taken)
            self.held = _Held(base, await self._cursor.batch(), self._key)
            self.taken = 0


class _Merge(Cursor[T]):
    """What union and intersection share."""

    __slots__ = ("_first", "_sources")

    def __init__(
        self,
        sources: Sequence[CursorFactory[T]],
        key: Key[T] | Sequence[Key[T] | KeyOfAll[T]],
        continuation: bytes | None = None,
        *,
        reverse: bool = False,
    ) -> None:
        fields = {} if continuation is None else decode_fields(continuation, known=len(sources))
        if continuation is not None and not fields:
            raise BadContinuation(reason="it is empty")
        keys = [key] * len(sources) if callable(key) else key
        self._sources = [
            _Source(make, own, bytes_field(fields, number))
            for number, (make, own) in enumerate(zip(sources, keys, strict=True), 1)
        ]
        self._first: Callable[..., Any] = max if reverse else min

    def start(self) -> None:
        for source in self._sources:
            source.start()

    async def batch(self) -> Batch[T]:
        sources = self._sources
        self.start()
        for source in sources:
            await source.fill()
        held = [source.held for source in sources]
        values: list[T] = []
        places: list[tuple[int, ...]] = []
        merged = self._merge_sets() if all(one.distinct for one in held) else None
        if merged is None:
            self._merge(values, places)

        def continuation(taken: Sequence[int]) -> bytes:
            return encode_fields({n: one.state(t) for n, (one, t) in enumerate(zip(held, taken, strict=True), 1)})

        def resume(index: int) -> bytes:
            if merged is None:
                return continuation(places[index])
            return continuation([self._behind(one.keys, merged.keys[index]) for one in held])

        stop = self._stop()
        end = None
        if stop is not None and stop is not Stop.EXHAUSTED:
            end = continuation([source.taken for source in sources]) or None
        return Batch(values if merged is None else merged, resume, stop, end)

    def _behind(self, keys: list[Any], key: Any) -> int:
        """How many keys of a batch come before what follows a key."""
        if self._first is max:
            return bisect_left(keys, True, key=lambda one: bool(one < key))
        return bisect_right(keys, key)

    def _merge(self, values: list[T], places: list[tuple[int, ...]]) -> None:
        """Take what can be told from the batches at hand; behind each value how many of each have been taken."""
        raise NotImplementedError

    def _merge_sets(self) -> Merged[T] | None:
        """The same for batches that have no key twice, with less to do for each value. None, and nothing is taken,
        where it cannot."""
        return None

    def _merged(self, keys: list[Any], origins: Sequence[tuple[Sequence[T], int]]) -> Merged[T]:
        ways = {source.way for source in self._sources}
        return Merged(keys, origins, ways.pop() if len(ways) == 1 else None)

    def _stop(self) -> Stop | None:
        """Why there is nothing behind what has been taken, None if there is or may be."""
        raise NotImplementedError


class Union(_Merge[T]):
    """All values of all sources in order; one of each key, from the first source that has it."""

    __slots__ = ()

    def _merge(self, values: list[T], places: list[tuple[int, ...]]) -> None:
        sources, first = self._sources, self._first
        live = [place for place, source in enumerate(sources) if source.stop is not Stop.EXHAUSTED]
        keys = [source.held.keys for source in sources]
        taken = [source.taken for source in sources]
        while live and all(taken[place] < len(keys[place]) for place in live):
            least = first([keys[place][taken[place]] for place in live])
            giver = -1
            for place in live:
                if keys[place][taken[place]] == least:
                    taken[place] += 1
                    if giver < 0:
                        giver = place
            values.append(sources[giver].held.batch.values[taken[giver] - 1])
            places.append(tuple(taken))
            for place in live:
                if taken[place] == len(keys[place]) and sources[place].held.batch.stop is Stop.EXHAUSTED:
                    live = [one for one in live if one != place]
        for source, count in zip(sources, taken, strict=True):
            source.taken = count

    def _merge_sets(self) -> Merged[T]:
        given: dict[Any, tuple[Sequence[T], int]] = {}
        sources, backward = self._sources, self._first is max
        # A source of which more may come has given nothing yet behind its last key.
        open_ends = [source.held.keys for source in sources if source.held.batch.stop is not Stop.EXHAUSTED]
        if not all(open_ends):
            return self._merged([], [])
        bound = None if not open_ends else self._first([keys[-1] for keys in open_ends])
        for source in reversed(sources):
            keys = source.held.keys
            until = len(keys) if bound is None else self._behind(keys, bound)
            origins = zip(repeat(source.held.batch.values), range(source.taken, until))
            given.update(zip(keys[source.taken : until], origins, strict=True))
            source.taken = max(until, source.taken)
        merged = sorted(given, reverse=backward)
        return self._merged(merged, [given[key] for key in merged])

    def _stop(self) -> Stop | None:
        stops = [source.stop for source in self._sources]
        if all(stop is Stop.EXHAUSTED for stop in stops):
            return Stop.EXHAUSTED
        return next((stop for stop in stops if stop not in (None, Stop.EXHAUSTED)), None)


class Interleaved(Union[Any]):
    """All values of all sources in order, each as the number of its source (from 0) and the value. Of equal keys the
    first source comes first, and every value comes."""

    __slots__ = ()

    def _merge_sets(self) -> None:  # type: ignore[override]  # values of one key all come
        return None

    def _merge(self, values: list[Any], places: list[tuple[int, ...]]) -> None:
        sources, first = self._sources, self._first
        while True:
            live = [place for place, source in enumerate(sources) if source.stop is not Stop.EXHAUSTED]
            if not live or any(sources[place].is_used_up for place in live):
                return
            least = first([sources[place].held.keys[sources[place].taken] for place in live])
            giver = next(place for place in live if sources[place].held.keys[sources[place].taken] == least)
            source = sources[giver]
            values.append((giver, source.held.batch.values[source.taken]))
            source.taken += 1
            places.append(tuple([one.taken for one in sources]))


class Intersection(_Merge[T]):
    """The values whose key every source has, as the first source gives them."""

    __slots__ = ()

    def _merge(self, values: list[T], places: list[tuple[int, ...]]) -> None:
        sources = self._sources
        backward = self._first is max
        last, reach = (min, _reach_backward) if backward else (max, bisect_left)
        keys = [source.held.keys for source in sources]
        taken = [source.taken for source in sources]
        every = range(len(sources))
        while all(taken[place] < len(keys[place]) for place in every):
            goal = last([keys[place][taken[place]] for place in every])
            found = True
            for place in every:
                at = taken[place] = reach(keys[place], goal, taken[place])
                found = found and at < len(keys[place]) and keys[place][at] == goal
            if found:
                values.append(sources[0].held.batch.values[taken[0]])
                for place in every:
                    taken[place] += 1
                places.append(tuple(taken))
        for source, count in zip(sources, taken, strict=True):
            source.taken = count

    def _merge_sets(self) -> Merged[T] | None:
        sources = self._sources
        keys = [source.held.keys[source.taken :] for source in sources]
        if len(sources) != 2 or not all(keys):
            return None
        common = set(keys[0]).intersection(keys[1])
        first = sources[0]
        found = [place for place, key in enumerate(keys[0], first.taken) if key in common] if common else []
        values = first.held.batch.values
        merged = self._merged([first.held.keys[place] for place in found], [(values, place) for place in found])
        # The source that ends first is used up; of the other, what is behind that may still be found.
        bound = self._first([one[-1] for one in keys])
        for source in sources:
            source.taken = max(source.taken, self._behind(source.held.keys, bound))
        return merged

    def _stop(self) -> Stop | None:
        stops = [source.stop for source in self._sources if source.stop is not None]
        return Stop.EXHAUSTED if Stop.EXHAUSTED in stops else next(iter(stops), None)


def _reach_backward(keys: list[Any], goal: Any, at: int) -> int:
    """The first place from `at` on whose key is not above the goal; the keys descend."""
    while at < len(keys) and keys[at] > goal:
        at += 1
    return at
