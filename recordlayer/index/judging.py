"""Judging an index against the records that it should follow from: as a whole, or part by part.

One judgement serves both. `store.check` has read everything before; a scrub looks up what the judgement asks for, in
transactions that end soon. Records are judged by what they should have in the index, and the index's own pairs by what
they are there for; a pair that two records would have to agree on is judged with the pairs.

Source  Record Layer: IndexScrubbingTools, which looks whether records and entries exist; here also what is in them
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from recordlayer.index.maintainer import IndexedRecord, IndexSpace, Items
from recordlayer.kv.engine import KeyValue
from recordlayer.kv.mutations import CLEAR, SET, perform
from recordlayer.tuples import unpack

Mend = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that does not agree, in words, and what it is about.

    mend         makes it right in the transaction of the judgement; None if nobody knows how. It looks again at what
                 is not in `primary_key` and `key`
    primary_key  packed, of the record by which it was judged, whether that is there or not
    key          of the pair that is missing or wrong
    """

    what: str
    detail: Any
    mend: Mend | None = None
    primary_key: bytes | None = None
    key: bytes | None = None


class Evidence(Protocol):
    """Where a judgement looks things up. All of it is as it was at one moment."""

    async def values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What is at some keys of the index."""

    async def rows(self, begin: bytes, end: bytes, *, limit: int = 0, reverse: bool = False) -> list[KeyValue]:
        """The index's pairs of a range, in its order or the reverse; 0 for all."""

    async def records(self, primary_keys: Sequence[bytes]) -> list[IndexedRecord | None]:
        """The records with these packed primary keys, None for one that is missing or that the index is not about."""


@runtime_checkable
class Judging(Protocol):
    """Index types that can be judged part by part."""

    @property
    def judged(self) -> tuple[bytes, ...]:
        """The prefixes of the index's pairs, which are to be walked over in this order."""

    async def judge_records(self, records: Sequence[IndexedRecord], evidence: Evidence) -> list[Fault]:
        """What these records, which the index is about, should have in it and have not."""

    async def judge_pairs(self, pairs: Sequence[KeyValue], evidence: Evidence) -> list[Fault]:
        """What of these pairs, of one of the prefixes, does not follow from the records, or from other pairs."""


class Off(NamedTuple):
    """A packed group whose number is not what its records add up to."""

    group: bytes
    there: int
    wanted: int

    @property
    def detail(self) -> tuple[Items, int, int]:
        """The group's columns, its number, and what it should be."""
        return unpack(self.group), self.there, self.wanted


@runtime_checkable
class Recounting(Protocol):
    """Index types that keep a number for each group, to which each record of the group adds. No record tells whether it
    is right: all of them are counted again."""

    @property
    def follows_from_records(self) -> bool:
        """Whether that is so for this index: the number of a group is what its records add up to."""

    def amounts(self, record: IndexedRecord) -> list[tuple[Items, int]]:
        """How much a record that is there adds to which groups."""

    async def differing(self, totals: Mapping[bytes, int], low: bytes, high: bytes) -> list[Off]:
        """Which packed groups from `low` up to `high` have another number than these totals say, which have all groups
        with records.  Cost  1 range read a chunk of groups."""

    def add(self, group: bytes, amount: int) -> None:
        """Add to the number of a packed group: what it lacks, at whatever time, once. (Writers change a record and its
        group together, so what a group lacks stays the same.)  Cost  1 write."""


class Remembered:
    """Evidence that was read before: all pairs of an index, and all records that it is about."""

    def __init__(self, pairs: Mapping[bytes, bytes], records: Sequence[IndexedRecord]) -> None:
        self._pairs = pairs
        self._keys = sorted(pairs)
        self._records = {record.primary_key_bytes: record for record in records}

    async def values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._pairs.get(key) for key in keys]

    async def rows(self, begin: bytes, end: bytes, *, limit: int = 0, reverse: bool = False) -> list[KeyValue]:
        keys = self._keys[bisect_left(self._keys, begin) : bisect_left(self._keys, end)]
        if reverse:
            keys.reverse()
        return [(key, self._pairs[key]) for key in (keys[:limit] if limit else keys)]

    async def records(self, primary_keys: Sequence[bytes]) -> list[IndexedRecord | None]:
        return [self._records.get(key) for key in primary_keys]


async def judge_all(judging: Judging, pairs: Mapping[bytes, bytes], records: Sequence[IndexedRecord]) -> list[Fault]:
    """The judgement of an index as a whole: `pairs` are all it has, `records` all it is about."""
    evidence = Remembered(pairs, records)
    faults = await judging.judge_records(records, evidence)
    for prefix in judging.judged:
        faults += await judging.judge_pairs(await evidence.rows(prefix, prefix + b"\xff"), evidence)
    return faults


async def audit(space: IndexSpace, judging: Judging, records: Sequence[IndexedRecord]) -> list[tuple[str, Any]]:
    """The same in words, for an index in one transaction.  Cost  reads the whole index."""
    pairs: dict[bytes, bytes] = {}
    for prefix in judging.judged:
        pairs.update(await space.context.read_all(prefix, prefix + b"\xff"))
        pairs.update(space.context.stamped_rows(prefix, prefix + b"\xff"))
    return [(fault.what, fault.detail) for fault in await judge_all(judging, pairs, records)]


def putting(space: IndexSpace, key: bytes, value: bytes) -> Mend:
    """Mends by setting a pair."""

    async def mend() -> None:
        perform(space.context, [(SET, key, value)])

    return mend


def clearing(space: IndexSpace, key: bytes) -> Mend:
    """Mends by clearing a pair."""

    async def mend() -> None:
        perform(space.context, [(CLEAR, key, b"")])

    return mend


def columns_of(key: bytes, start: int, unpack_key: Callable[[bytes], Items]) -> Any:
    """The items of a key for people; its bytes where it has none."""
    try:
        return unpack_key(key[start:])
    except Exception:  # whatever it is, it is shown
        return key[start:]
