"""Judging ranked sets: their lowest level against the entries of the index, each other level against the one below.

Cost  1 range read for each pair of the lowest level, 2 for each of another
Source  the layout of `index.ranked_set`
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from recordlayer.errors import MalformedTuple
from recordlayer.index.judging import Evidence, Fault, Mend, clearing, putting
from recordlayer.index.maintainer import IndexSpace, Items
from recordlayer.index.ranked_set import RankedSet, RankedSetOptions, encode
from recordlayer.kv.engine import KeyValue
from recordlayer.tuples import pack, unpack

_EXACT_BYTES = 8


class _Place(NamedTuple):
    """What a key of a ranked set is."""

    group: Items
    level: int
    member: bytes

    def level_prefix(self, ranks: bytes, level: int) -> bytes:
        return pack((*self.group, level), ranks)


class RankJudge:
    """Judges the ranked sets of one index.

    ranks     the prefix of them all; behind it come `grouping` columns of the group
    exact     each entry is one count of its score; else a score may count more often than it has entries
    """

    def __init__(self, space: IndexSpace, ranks: bytes, grouping: int, options: RankedSetOptions) -> None:
        self._space = space
        self._ranks = ranks
        self._grouping = grouping
        self._options = options
        self._exact = not (options.count_duplicates and space.index.root_expression.creates_duplicates)

    def _set(self, group: Items) -> RankedSet:
        return RankedSet(self._space.context, pack(group, self._ranks), self._options)

    async def scores(self, rows: Iterable[tuple[Items, bytes]], evidence: Evidence) -> list[Fault]:
        """What is missing of the scores of some records: rows of the index, and whose they are."""
        wanted = {(row[: self._grouping], pack(row[self._grouping :])): owner for row, owner in rows}
        keys = [pack((*group, 0, score), self._ranks) for group, score in wanted]
        faults = []
        there = await evidence.values(keys)
        for (group, score), key, value in zip(wanted, keys, there, strict=True):
            if value is None:
                detail = (*group, *unpack(score))
                owner = wanted[group, score]
                mend = self._counting(group, score, 0)
                faults.append(Fault("a score is missing in its ranked set", detail, mend, owner, key))
        return faults

    async def pairs(self, pairs: Sequence[KeyValue], evidence: Evidence) -> list[Fault]:
        """What is wrong with some pairs of ranked sets."""
        faults: list[Fault] = []
        places: list[tuple[_Place, bytes, bytes]] = []
        for key, value in pairs:
            try:
                items = unpack(key, len(self._ranks))
                place = _Place(items[: self._grouping], *items[self._grouping :])
            except (MalformedTuple, TypeError):
                place = _Place((), -1, b"")
            if not 0 <= place.level < self._options.levels or not isinstance(place.member, bytes):
                faults.append(_broken("a key of no level", key, clearing(self._space, key), key))
            else:
                places.append((place, key, value))
        faults += await self._beginnings(places, evidence)
        for place, key, value in places:
            if place.level:
                faults += await self._upper(place, key, value, evidence)
            else:
                faults += await self._lowest(place, key, value, evidence)
        return faults

    async def _beginnings(self, places: list[tuple[_Place, bytes, bytes]], evidence: Evidence) -> list[Fault]:
        """Each level of each set must begin with the empty member."""
        groups = dict.fromkeys(place.group for place, _, _ in places)
        levels = [_Place(group, level, b"") for group in groups for level in range(self._options.levels)]
        keys = [pack((*level.group, level.level, b""), self._ranks) for level in levels]
        return [
            _broken(
                f"level {level.level} does not begin with the empty member", level.group, self._summing(level, key), key
            )
            for level, key, value in zip(levels, keys, await evidence.values(keys), strict=True)
            if value is None
        ]

    async def _lowest(self, place: _Place, key: bytes, value: bytes, evidence: Evidence) -> list[Fault]:
        count = _count(value)
        if not place.member:
            return (
                []
                if count == 0
                else [_broken("its beginning counts", place.group, putting(self._space, key, encode(0)), key)]
            )
        entries = pack(place.group, self._space.entries) + place.member
        limit = 0 if self._options.count_duplicates and self._exact else 1
        rows = await evidence.rows(entries + b"\x00", entries + b"\xff", limit=limit)
        rows = rows or await evidence.rows(entries, entries + b"\x00", limit=1)  # the primary key is in the score
        wanted = len(rows) if self._exact or not rows else count
        if count == wanted:
            return []
        detail = (*place.group, *_score(place.member)), count, wanted
        mend = self._counting(place.group, place.member, wanted)
        return [Fault("a ranked set counts a score wrongly", detail, mend, None, key)]

    async def _upper(self, place: _Place, key: bytes, value: bytes, evidence: Evidence) -> list[Fault]:
        level, below = (place.level_prefix(self._ranks, number) for number in (place.level, place.level - 1))
        element = key[len(level) :]
        found: list[Fault] = []
        if place.member and (await evidence.values([below + element]))[0] is None:
            what = f"level {place.level} has a member that the level below has not"
            return [_broken(what, (*place.group, *_score(place.member)), self._leaving(place, key), key)]
        behind = await evidence.rows(key + b"\x00", level + b"\xff", limit=1)
        end = behind[0][0][len(level) :] if behind else b"\xff"
        total = sum([_count(one) for _, one in await evidence.rows(below + element, below + end)])
        if _count(value) != total:
            where = place.member.hex() or "its beginning"
            what = f"level {place.level} counts {_count(value)} from {where}, the level below {total}"
            found.append(_broken(what, place.group, self._summing(place, key), key))
        return found

    # -- mending

    def _counting(self, group: Items, score: bytes, wanted: int) -> Mend:
        """Have a score that is there counted so often, and one that is not come in once."""

        async def mend() -> None:
            ranked = self._set(group)
            count = await ranked.count(score)
            if count:
                await ranked.recount(score, count, wanted)
            elif await self._space.context.get(pack((*group, 0, score), self._ranks)) is not None:
                self._space.context.clear(pack((*group, 0, score), self._ranks))
            else:
                await ranked.add(score)

        return mend

    def _summing(self, place: _Place, key: bytes) -> Mend:
        """Have a key count what the level below does, up to the next key."""

        async def mend() -> None:
            self._space.context.set(key, encode(await self._sum(place, key)))

        return mend

    async def _sum(self, place: _Place, key: bytes) -> int:
        if not place.level:
            return 0
        context = self._space.context
        level, below = (place.level_prefix(self._ranks, number) for number in (place.level, place.level - 1))
        behind = (await context.get_range(key + b"\x00", level + b"\xff", limit=1)).rows
        end = behind[0][0][len(level) :] if behind else b"\xff"
        return sum([_count(value) for _, value in await context.read_all(below + key[len(level) :], below + end)])

    def _leaving(self, place: _Place, key: bytes) -> Mend:
        """Take a key out of its level; the one before it counts what it counted."""

        async def mend() -> None:
            context, level = self._space.context, place.level_prefix(self._ranks, place.level)
            context.clear(key)
            before = (await context.get_range(level, key, limit=1, reverse=True)).rows
            if before:
                context.set(before[0][0], encode(await self._sum(place, before[0][0])))

        return mend


def _broken(wrong: str, where: Any, mend: Mend, key: bytes) -> Fault:
    return Fault(f"a ranked set is broken: {wrong}", where, mend, None, key)


def _count(value: bytes) -> int:
    return int.from_bytes(value, "little", signed=True) if len(value) == _EXACT_BYTES else -1


def _score(member: bytes) -> Any:
    try:
        return unpack(member)
    except MalformedTuple:
        return (member,)
