"""What a transaction reads and writes, counted by part of a store, for events."""

from __future__ import annotations

from typing import Protocol

from recordlayer.observe.events import ELSEWHERE, Bytes, Counts, Place

SET, ATOMIC, CLEAR, CLEAR_RANGE = range(4)


class Places(Protocol):
    """What a key means to whoever owns the keys with a prefix."""

    @property
    def prefix(self) -> bytes: ...

    def place_of(self, key: bytes) -> Place:
        """The part of a store that a key with this prefix lies in."""


class _Tally:
    """Counts that grow."""

    __slots__ = ("clears", "empty", "read", "reads", "rows", "writes", "written")

    def __init__(self) -> None:
        self.reads = self.empty = self.rows = self.read = self.writes = self.clears = self.written = 0

    def add(self, other: _Tally) -> None:
        for name in _Tally.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def counts(self) -> Counts:
        return Counts(
            reads=self.reads,
            empty=self.empty,
            rows=self.rows,
            read=Bytes(self.read),
            writes=self.writes,
            clears=self.clears,
            written=Bytes(self.written),
        )


class Tallies:
    """The counts of one attempt.

    places  whose the keys are: those with the longest prefix decide
    kinds   writes by kind: SET, ATOMIC, CLEAR, CLEAR_RANGE
    """

    def __init__(self) -> None:
        self.places: list[Places] = []
        self.kinds = [0, 0, 0, 0]
        self._by_place: dict[Place, _Tally] = {}

    def place_of(self, key: bytes) -> Place:
        """Where a key lies, as far as the stores that are open in this transaction know."""
        found, length = ELSEWHERE, -1
        for places in self.places:
            prefix = places.prefix
            if len(prefix) > length and key.startswith(prefix):
                found, length = places.place_of(key), len(prefix)
        return found

    def _at(self, place: Place) -> _Tally:
        tally = self._by_place.get(place)
        if tally is None:
            tally = self._by_place[place] = _Tally()
        return tally

    def came(self, key: bytes, rows: int, size: int) -> Place:
        """A read at or from `key` gave so many rows and bytes."""
        place = self.place_of(key)
        tally = self._at(place)
        tally.reads += 1
        if rows:
            tally.rows += rows
            tally.read += size
        else:
            tally.empty += 1
        return place

    def wrote(self, kind: int, key: bytes, size: int) -> None:
        self.kinds[kind] += 1
        tally = self._at(self.place_of(key))
        tally.writes += 1
        tally.clears += kind >= CLEAR
        tally.written += size

    @property
    def written(self) -> Bytes:
        return Bytes(sum([tally.written for tally in self._by_place.values()]))

    def whole(self) -> Counts:
        total = _Tally()
        for tally in self._by_place.values():
            total.add(tally)
        return total.counts()

    def by_place(self, *, written: bool = False) -> dict[Place, Counts]:
        """The counts of each place; with `written`, only of those that were written to."""
        return {place: tally.counts() for place, tally in self._by_place.items() if tally.writes or not written}
