"""The records of a joined type that a stored record takes part in, and what a change of stored records makes of them.

Which combinations are records is decided for each alone (`Joining.holds`), by its records and by whether something
fits where a constituent is missing. So it is enough to find all combinations that may be concerned, and to decide on
each as it was before a change and as it is after it:

    those with a record that has changed, and those without a constituent that such a record fits for: it takes the
    place of the missing one, or leaves it

Java looks at the former alone, and so leaves entries behind when a missing constituent comes or goes.

Source  Record Layer, JoinedRecordPlan, FDBRecordStore.updateSyntheticIndexes
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from recordlayer.metadata.joined import JoinedType, Side, next_of
from recordlayer.metadata.synthetic import SyntheticRecord
from recordlayer.store.partners import Finder, InStore, Wanted, values_of
from recordlayer.store.record import StoredRecord
from recordlayer.waiting.overlap import gather

Parts = Mapping[str, StoredRecord | None]
"""A combination: for each constituent its record, None where it is missing."""

Changed = Mapping[bytes, StoredRecord | None]
"""Records by packed primary key; None for those that are not there."""

_AT_ONCE = 64
"""Partners whose own partners are looked for side by side."""


class Joining:
    """A joined type, and the records that there are."""

    def __init__(self, kind: JoinedType, finder: Finder) -> None:
        self.kind = kind
        self._finder = finder

    async def records_built_from(self, record: StoredRecord) -> list[SyntheticRecord]:
        """The records that a build makes of a stored record: each of a type comes from one stored record only."""
        kind = self.kind
        made: list[SyntheticRecord] = []
        for place in kind.beginnings:
            if kind.by_name[place].stored.name == record.record_type.name:
                ours = [parts for parts in await self.around(record, place) if kind.owner(parts) == place]
                made += [kind.record(parts) for parts in ours if await self.holds(parts)]
        return made

    async def around(self, record: StoredRecord, place: str) -> list[Parts]:
        """All combinations with a record as one of the constituents, and more."""
        return await self.extended({place: record}, [name for name in self.kind.by_name if name != place])

    async def missing(self, record: StoredRecord, place: str) -> list[tuple[Parts, list[str]]]:
        """The combinations as far as they lead to a constituent that is missing there, and that this record would fit
        for; each with the constituents that are still to be found."""
        found: list[tuple[Parts, list[str]]] = []
        if self.kind.by_name[place].outer:
            for order in self.kind.orders.values():
                at = order.index(place)
                ways = await self.extended({place: record}, list(order[:at])) if at else []
                rest = list(order[at + 1 :])
                found += [({**parts, place: None}, rest) for parts in ways if parts[order[0]] is not None]
        return found

    async def extended(self, parts: Parts, left: Sequence[str]) -> list[Parts]:
        """A combination with the constituents that are left, in every way that may be one of a record."""
        if not left:
            return [parts]
        there = {name for name, part in parts.items() if part is not None}
        name = next_of(self.kind, left, there, set(parts))
        if name is None:  # nothing leads there
            if not all(self.kind.by_name[one].outer for one in left):
                return []
            return [{**parts, **dict.fromkeys(left)}]
        constituent = self.kind.by_name[name]
        choices: list[StoredRecord | None] = []
        choices += await self._finder.find(constituent.stored, _wanted(self.kind.sides[name], parts))
        everything = all(parts.get(side.other) is not None for side in self.kind.sides[name])
        if constituent.outer and not (choices and everything):  # by fewer joins, what was found may not be what fits
            choices.append(None)
        rest = [one for one in left if one != name]
        ways: list[Parts] = [{**parts, name: choice} for choice in choices]
        if not rest:
            return ways
        found: list[Parts] = []
        for at in range(0, len(ways), _AT_ONCE):
            for some in await gather(*(self.extended(way, rest) for way in ways[at : at + _AT_ONCE])):
                found += some
        return found

    async def holds(self, parts: Parts) -> bool:
        """Whether a combination is a record. Its own records are known to be there."""
        for order in self.kind.orders.values():
            if parts[order[0]] is not None and await self._holds(parts, order):
                return True
        return False

    async def _holds(self, parts: Parts, order: Sequence[str]) -> bool:
        before = {order[0]}
        for name in order[1:]:
            part = parts[name]
            sides = [side for side in self.kind.sides[name] if side.other in before]
            before.add(name)
            if part is not None:
                for side in sides:
                    other = parts[side.other]
                    if other is None or values_of(side.own, part).isdisjoint(values_of(side.others, other)):
                        return False
            elif not self.kind.by_name[name].outer or await self._is_there(name, sides, parts):
                return False
        return True

    async def _is_there(self, name: str, sides: Sequence[Side], parts: Parts) -> bool:
        """Whether something fits where a constituent is missing."""
        if any(parts[side.other] is None for side in sides):
            return False
        return await self._finder.any(self.kind.by_name[name].stored, _wanted(sides, parts))


def _wanted(sides: Iterable[Side], parts: Parts) -> list[Wanted]:
    """What is asked of a constituent by those that are there."""
    wanted: list[Wanted] = []
    for side in sides:
        other = parts.get(side.other)
        if other is not None:
            wanted.append((side.own, values_of(side.others, other)))
    return wanted


Change = tuple[SyntheticRecord | None, SyntheticRecord | None]


async def changes_of(kind: JoinedType, there: InStore, before: Changed, after: Changed) -> list[Change]:
    """What becomes of the records of a joined type when stored records change, before that is written: each record that
    has gone, has come, or has another constituent now.

    there  the store as it is; `before` and `after` have the same keys
    """
    states = [(Joining(kind, there), before), (Joining(kind, there.with_changes(after)), after)]
    concerned: dict[tuple[bytes | None, ...], Parts] = {}

    def note(found: Iterable[Parts]) -> None:
        for parts in found:
            concerned[tuple(_key(parts[name]) for name in kind.by_name)] = parts

    for joining, changed in states:
        for record in changed.values():
            for place in () if record is None else kind.places_of(record.record_type):
                assert record is not None, "there are no places for none"
                note(await joining.around(record, place))
                for parts, left in await joining.missing(record, place):
                    for either, _ in states:
                        note(await either.extended(parts, left))
    changes: list[Change] = []
    for parts in concerned.values():
        old, new = [await _as_of(joining, parts, changed) for joining, changed in states]
        if (old is None) != (new is None) or (old is not None and _touched(parts, before)):
            changes.append((old, new))
    return changes


def _key(part: StoredRecord | None) -> bytes | None:
    return None if part is None else part.primary_key_bytes


def _touched(parts: Parts, changed: Changed) -> bool:
    return any(part is not None and part.primary_key_bytes in changed for part in parts.values())


async def _as_of(joining: Joining, parts: Parts, changed: Changed) -> SyntheticRecord | None:
    """A combination with its records as they are in one state; None if it is no record there."""
    now: dict[str, StoredRecord | None] = {}
    for name, part in parts.items():
        if part is not None and part.primary_key_bytes in changed:
            part = changed[part.primary_key_bytes]
            if part is None or part.record_type.name != joining.kind.by_name[name].stored.name:
                return None
        now[name] = part
    return joining.kind.record(now) if await joining.holds(now) else None
