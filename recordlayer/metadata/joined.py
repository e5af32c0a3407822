"""Joined record types: records that are not stored, one for each combination of stored records that belong together.

A constituent is a record type under a name. A join is between two constituents: an expression of each, and both
records have a value in common there. A null is a value like others, as for Java's index scans: in proto3 it may be the
number 0. A constituent that is missing has no values.
A constituent may be `outer`: where no record fits what is before it, it is missing instead of the whole record.

Which is before which: it begins with the first constituent that is not outer, and goes on with one whose joins all lead
to those that are there, or else has most joins to them; the first named of several. If all are outer, each of them is a
beginning, and the records of all beginnings together are those of the type. (With two constituents: left, right, inner
and full outer joins as in SQL.)

Source  Record Layer, JoinedRecordType, JoinedRecordPlanner, SyntheticRecordPlanner
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from recordlayer.keys import KeyExpression, access
from recordlayer.keys import serial as keys_serial
from recordlayer.metadata import files
from recordlayer.metadata.record_type import RecordType
from recordlayer.metadata.synthetic import SyntheticRecord, described
from recordlayer.pb import record_metadata_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor


class Part(Protocol):
    """A stored record as a constituent."""

    @property
    def message(self) -> Message: ...

    @property
    def primary_key(self) -> tuple[Any, ...]: ...

    @property
    def primary_key_bytes(self) -> bytes: ...


P = TypeVar("P", bound=Part)


@dataclass(frozen=True, slots=True)
class Constituent:
    """A record type under the name that it has in a joined type."""

    name: str
    stored: RecordType
    outer: bool = False


@dataclass(frozen=True, slots=True)
class Join:
    """Records of two constituents that have a value in common."""

    left: str
    left_expression: KeyExpression
    right: str
    right_expression: KeyExpression


@dataclass(frozen=True, slots=True)
class Side:
    """A join as one of its constituents sees it."""

    own: KeyExpression
    other: str
    others: KeyExpression


@dataclass(frozen=True, eq=False)
class JoinedType:
    """A joined record type."""

    name: str
    record_type_key: Any
    constituents: tuple[Constituent, ...]
    joins: tuple[Join, ...]
    message_class: type[Message]

    @property
    def descriptor(self) -> Descriptor:
        return self.message_class.DESCRIPTOR

    @cached_property
    def by_name(self) -> Mapping[str, Constituent]:
        return {constituent.name: constituent for constituent in self.constituents}

    @cached_property
    def sides(self) -> Mapping[str, tuple[Side, ...]]:
        """The joins of each constituent."""
        found: dict[str, list[Side]] = {constituent.name: [] for constituent in self.constituents}
        for join in self.joins:
            found[join.left].append(Side(join.left_expression, join.right, join.right_expression))
            found[join.right].append(Side(join.right_expression, join.left, join.left_expression))
        return {name: tuple(sides) for name, sides in found.items()}

    @cached_property
    def beginnings(self) -> tuple[str, ...]:
        """The constituents that it begins with: one, unless all are outer."""
        inner = [constituent.name for constituent in self.constituents if not constituent.outer]
        return tuple(inner[:1]) or tuple(self.by_name)

    @cached_property
    def orders(self) -> Mapping[str, tuple[str, ...]]:
        """For each beginning the order in which the constituents are found."""
        return {name: self._order(name) for name in self.beginnings}

    def _order(self, beginning: str) -> tuple[str, ...]:
        there = [beginning]
        left = [name for name in self.by_name if name != beginning]
        while left:
            following = next_of(self, left, set(there), set(there))
            there.append(following if following is not None else left[0])
            left.remove(there[-1])
        return tuple(there)

    @cached_property
    def stored_types(self) -> tuple[RecordType, ...]:
        """The types of its constituents, each once."""
        return _once(constituent.stored for constituent in self.constituents)

    @cached_property
    def built_from(self) -> tuple[RecordType, ...]:
        """The types of its beginnings, each once."""
        return _once(self.by_name[name].stored for name in self.beginnings)

    def places_of(self, record_type: RecordType) -> tuple[str, ...]:
        """The constituents that records of a type may be."""
        return tuple(one.name for one in self.constituents if one.stored.name == record_type.name)

    def owner(self, parts: Mapping[str, Part | None]) -> str:
        """The constituent at which a build comes to a record: one that is there, and the same one always."""
        return next(name for name in self.beginnings if parts[name] is not None)

    def record(self, parts: Mapping[str, Part | None]) -> SyntheticRecord:
        """The record of these constituents."""
        message: Any = self.message_class()
        key: list[Any] = [self.record_type_key]
        for constituent in self.constituents:
            part = parts[constituent.name]
            if part is not None:
                access.take_over(getattr(message, constituent.name), part.message)
            key.append(None if part is None else part.primary_key)
        owner = parts[self.owner(parts)]
        assert owner is not None, "an owner is there"
        return SyntheticRecord(self, message, tuple(key), owner.primary_key_bytes)


def next_of(kind: JoinedType, left: Iterable[str], there: set[str], known: set[str]) -> str | None:
    """The constituent to be found next, of those that are left; None if no join leads to any of them.

    there  constituents that have been found
    known  those, and the ones that are known to be missing
    """
    best, most = None, 0
    for name in left:
        sides = kind.sides[name]
        bound = sum(side.other in there for side in sides)
        if bound and all(side.other in known for side in sides):
            return name
        if bound > most:
            best, most = name, bound
    return best


def _once(types: Iterable[RecordType]) -> tuple[RecordType, ...]:
    return tuple({known.name: known for known in types}.values())


def joined_type(stored: pb.JoinedRecordType, record_types: Mapping[str, RecordType]) -> JoinedType | None:
    """The type of a stored definition; None for what Java would refuse as well."""
    constituents: dict[str, Constituent] = {}
    for one in stored.join_constituents:
        known = record_types.get(one.record_type)
        if known is None or one.name in constituents or not one.name.isidentifier() or one.name.startswith("__"):
            return None
        constituents[one.name] = Constituent(one.name, known, one.outer_joined)
    joins: list[Join] = []
    for join in stored.joins:
        left, right = keys_serial.from_proto(join.left_expression), keys_serial.from_proto(join.right_expression)
        if not {join.left, join.right} <= constituents.keys() or join.left == join.right:
            return None
        if left.column_size != 1 or right.column_size != 1 or left.version_columns or right.version_columns:
            return None
        joins.append(Join(join.left, left, join.right, right))
    if not constituents:
        return None
    key = keys_serial.value_from_proto(stored.record_type_key).element
    kind = described(stored.name, {name: one.stored.descriptor for name, one in constituents.items()})
    made = JoinedType(stored.name, key, tuple(constituents.values()), tuple(joins), files.message_class(kind))
    return made if _connected(made) else None


def _connected(kind: JoinedType) -> bool:
    """Whether joins lead from each constituent to every other one: else all would be combined with all."""
    names = list(kind.by_name)
    reached, waiting = {names[0]}, [names[0]]
    while waiting:
        for side in kind.sides[waiting.pop()]:
            if side.other not in reached:
                reached.add(side.other)
                waiting.append(side.other)
    return len(reached) == len(names)
