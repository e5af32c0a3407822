"""Predicates of sparse indexes: a record has entries only if the predicate is exactly true.

    compare("total", ">", 100) & not_null("customer")

Three-valued as in SQL: a comparison with a missing value is neither true nor false. Unlike in a key expression, a
field with a default of its own (proto2) reads as that default.

Values compare as Java's objects do, because both sides must come to the same entries: numbers only with numbers of
the field's own type, texts by UTF-16 code units, floats with NaN above all and -0.0 below 0.0. A comparison picks the
type of its operand from the field when an index is built.

Source  Record Layer: IndexPredicate, IndexComparison, Comparisons.evalComparison, MessageHelpers.getFieldOnMessage
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from recordlayer.errors import InvalidIndex, SchemaError, WrongType
from recordlayer.keys import Literal, access, value
from recordlayer.keys.field import unknown_field
from recordlayer.keys.renames import rename_path
from recordlayer.metadata.comparing import comparable, kind_of
from recordlayer.metadata.files import reachable

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor, FieldDescriptor


class Comparison(Enum):
    """How a field compares with an operand. The values are those of the stored form."""

    EQUALS = 1
    NOT_EQUALS = 2
    LESS_THAN = 3
    LESS_THAN_OR_EQUALS = 4
    GREATER_THAN = 5
    GREATER_THAN_OR_EQUALS = 6


_SYMBOLS = {
    "=": Comparison.EQUALS,
    "!=": Comparison.NOT_EQUALS,
    "<": Comparison.LESS_THAN,
    "<=": Comparison.LESS_THAN_OR_EQUALS,
    ">": Comparison.GREATER_THAN,
    ">=": Comparison.GREATER_THAN_OR_EQUALS,
}


class Predicate(ABC):
    """A condition on a record. `&`, `|` and `~` combine them."""

    __slots__ = ()

    @abstractmethod
    def decide(self, message: Message) -> bool | None:
        """True, False, or None for unknown."""

    @abstractmethod
    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        """Everything that keeps this predicate from being decided on messages of a type."""

    def typed(self, descriptor: Descriptor) -> Predicate:
        """The same with operands of the types of their fields."""
        return self

    def renamed(self, old: Descriptor, new: Descriptor) -> Predicate:
        """The same after the fields of `old` were renamed as in `new`."""
        return self

    @property
    def has_window(self) -> bool:
        """Whether a sliding window is part of it."""
        return False

    def __and__(self, other: Predicate) -> And:
        return And((self, other))

    def __or__(self, other: Predicate) -> Or:
        return Or((self, other))

    def __invert__(self) -> Not:
        return Not(self)


@dataclass(frozen=True, slots=True)
class And(Predicate):
    """True if all are true, false if one is false."""

    children: tuple[Predicate, ...]

    def decide(self, message: Message) -> bool | None:
        decided: bool | None = True
        for child in self.children:
            one = child.decide(message)
            if one is False:
                return False
            if one is None:
                decided = None
        return decided

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        for child in self.children:
            yield from child.problems(descriptor)

    def typed(self, descriptor: Descriptor) -> Predicate:
        return And(tuple(child.typed(descriptor) for child in self.children))

    def renamed(self, old: Descriptor, new: Descriptor) -> Predicate:
        return And(tuple(child.renamed(old, new) for child in self.children))

    @property
    def has_window(self) -> bool:
        return any(child.has_window for child in self.children)


@dataclass(frozen=True, slots=True)
class Or(Predicate):
    """True if one is true, false if all are false."""

    children: tuple[Predicate, ...]

    def decide(self, message: Message) -> bool | None:
        decided: bool | None = False
        for child in self.children:
            one = child.decide(message)
            if one is True:
                return True
            if one is None:
                decided = None
        return decided

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        for child in self.children:
            yield from child.problems(descriptor)

    def typed(self, descriptor: Descriptor) -> Predicate:
        return Or(tuple(child.typed(descriptor) for child in self.children))

    def renamed(self, old: Descriptor, new: Descriptor) -> Predicate:
        return Or(tuple(child.renamed(old, new) for child in self.children))

    @property
    def has_window(self) -> bool:
        return any(child.has_window for child in self.children)


@dataclass(frozen=True, slots=True)
class Not(Predicate):
    """True if false, false if true."""

    child: Predicate

    def decide(self, message: Message) -> bool | None:
        one = self.child.decide(message)
        return None if one is None else not one

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        yield from self.child.problems(descriptor)

    def typed(self, descriptor: Descriptor) -> Predicate:
        return Not(self.child.typed(descriptor))

    def renamed(self, old: Descriptor, new: Descriptor) -> Predicate:
        return Not(self.child.renamed(old, new))

    @property
    def has_window(self) -> bool:
        return self.child.has_window


@dataclass(frozen=True, slots=True)
class Constant(Predicate):
    """True, False or None, whatever the record."""

    value: bool | None

    def decide(self, message: Message) -> bool | None:
        return self.value

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        yield from ()


class _OnField(Predicate):
    """A predicate on one field, by the path of names that leads to it."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def path(self) -> tuple[str, ...]: ...

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        current = descriptor
        for place, name in enumerate(self.path):
            field = current.fields_by_name.get(name)
            where = {"predicate": ".".join(self.path), "field": name}
            if field is None:
                yield unknown_field(current, name)
                return
            if access.is_repeated(field):
                yield InvalidIndex(**where, hint="predicates compare fields that are not repeated")
                return
            if place == len(self.path) - 1:
                yield from self._field_problems(field)
            elif not access.is_message(field):
                yield InvalidIndex(**where, hint="only the last name of a path is not a message")
                return
            else:
                current = field.message_type

    def _field_problems(self, field: FieldDescriptor) -> Iterator[SchemaError]:
        yield from ()

    def _read(self, message: Any) -> tuple[FieldDescriptor | None, Any]:
        """The field at the end of the path, and its value or None."""
        for name in self.path[:-1]:
            field = message.DESCRIPTOR.fields_by_name.get(name)
            if field is None or access.is_repeated(field) or not access.is_set(message, field):
                return None, None
            message = getattr(message, name)
        field = message.DESCRIPTOR.fields_by_name.get(self.path[-1])
        if field is None:
            return None, None
        if access.is_repeated(field):
            return field, tuple(access.elements(message, field))
        if field.has_default_value or access.is_set(message, field):
            return field, access.column(field, getattr(message, field.name))
        return field, None


@dataclass(frozen=True, slots=True)
class Compare(_OnField):
    """A field compared with a constant; unknown if the field has no value."""

    path: tuple[str, ...]
    comparison: Comparison
    operand: Literal

    def decide(self, message: Message) -> bool | None:
        field, found = self._read(message)
        if field is None or found is None:
            return None
        same_class = kind_of(field) == self.operand.kind
        left, right = comparable(found), comparable(self.operand.element)
        if self.comparison in (Comparison.EQUALS, Comparison.NOT_EQUALS):
            # Objects of two classes are never equal, not even the int 5 and the long 5.
            return (same_class and left == right) == (self.comparison is Comparison.EQUALS)
        if not same_class:
            hint = f"the field is compared as {kind_of(field)}, the operand is of kind {self.operand.kind}"
            raise InvalidIndex(predicate=".".join(self.path), operand=self.operand.value, hint=hint)
        if self.comparison is Comparison.LESS_THAN:
            return bool(left < right)
        if self.comparison is Comparison.LESS_THAN_OR_EQUALS:
            return bool(left <= right)
        if self.comparison is Comparison.GREATER_THAN:
            return bool(left > right)
        return bool(left >= right)

    def typed(self, descriptor: Descriptor) -> Predicate:
        current = descriptor
        for name in self.path[:-1]:
            field = current.fields_by_name.get(name)
            if field is None or field.message_type is None:
                return self
            current = field.message_type
        field = current.fields_by_name.get(self.path[-1])
        wanted = None if field is None else kind_of(field)
        if wanted is None or wanted == self.operand.kind:
            return self
        constant = self.operand.value
        if wanted in ("double", "float") and type(constant) is int:
            constant = float(constant)
        try:
            return Compare(self.path, self.comparison, Literal(constant, wanted))
        except SchemaError:
            return self  # problems() says it better

    def renamed(self, old: Descriptor, new: Descriptor) -> Predicate:
        return replace(self, path=rename_path(self.path, old, new))

    def _field_problems(self, field: FieldDescriptor) -> Iterator[SchemaError]:
        wanted = kind_of(field)
        where = {"predicate": ".".join(self.path), "operand": self.operand.value}
        if wanted is None:
            yield InvalidIndex(**where, hint="predicates compare fields that hold one value")
        elif wanted != self.operand.kind:
            hint = f"{field.name} holds values of kind {wanted}, the operand is of kind {self.operand.kind}"
            yield InvalidIndex(**where, hint=hint)


@dataclass(frozen=True, slots=True)
class IsNull(_OnField):
    """Whether a field has no value (or, if `negated`, whether it has one)."""

    path: tuple[str, ...]
    negated: bool = False

    def decide(self, message: Message) -> bool | None:
        return (self._read(message)[1] is None) != self.negated

    def renamed(self, old: Descriptor, new: Descriptor) -> Predicate:
        return replace(self, path=rename_path(self.path, old, new))


@dataclass(frozen=True, slots=True)
class Window(Predicate):
    """A sliding window: only so many records of each partition are kept. We read it, and never maintain it."""

    ordering: tuple[str, ...]
    size: int
    descending: bool
    partitions: tuple[tuple[str, ...], ...] = ()

    def decide(self, message: Message) -> bool | None:
        return True

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        yield from ()

    def renamed(self, old: Descriptor, new: Descriptor) -> Predicate:
        partitions = tuple(rename_path(path, old, new) for path in self.partitions)
        return replace(self, ordering=rename_path(self.ordering, old, new), partitions=partitions)

    @property
    def has_window(self) -> bool:
        return True


def _path(path: str | Sequence[str]) -> tuple[str, ...]:
    names = tuple(path.split(".")) if isinstance(path, str) else tuple(path)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise WrongType(path=path, hint='write a field as "name" or "message.name"')
    return names


def compare(path: str | Sequence[str], comparison: str | Comparison, operand: Any) -> Compare:
    """A field compared with a constant: `compare("address.city", "=", "Oslo")`; = != < <= > >= are known."""
    known = comparison if isinstance(comparison, Comparison) else _SYMBOLS.get(comparison)
    if known is None:
        raise WrongType(comparison=comparison, hint=f"comparisons are {' '.join(_SYMBOLS)}")
    literal = operand if isinstance(operand, Literal) else value(operand)
    if literal.kind == "null":
        raise WrongType(operand=None, hint="write is_null(...) or not_null(...)")
    return Compare(_path(path), known, literal)


def is_null(path: str | Sequence[str]) -> IsNull:
    """Whether a field has no value."""
    return IsNull(_path(path))


def not_null(path: str | Sequence[str]) -> IsNull:
    """Whether a field has a value."""
    return IsNull(_path(path), negated=True)


def recursive(descriptor: Descriptor) -> bool:
    """Whether a message type that a record reaches contains itself: Java cannot evaluate predicates on such records."""
    return descriptor.full_name in circular([descriptor])


def circular(descriptors: Iterable[Descriptor]) -> frozenset[str]:
    """The full names of those types, and of those they reach, that are `recursive`: all of them in one go."""
    # Types that hold none of those left go away until nothing changes: what stays is in a circle or leads to one.
    reached = {each.full_name: each for each in reachable(descriptors)}
    needs = {
        name: {field.message_type.full_name for field in each.fields if field.message_type is not None}
        for name, each in reached.items()
    }
    needed_by: dict[str, list[str]] = {name: [] for name in reached}
    for name, others in needs.items():
        for other in others:
            needed_by[other].append(name)
    free = [name for name, others in needs.items() if not others]
    while free:
        gone = free.pop()
        for name in needed_by[gone]:
            needs[name].discard(gone)
            if not needs[name]:
                free.append(name)
        del needs[gone]
    return frozenset(needs)
