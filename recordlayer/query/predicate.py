"""Conditions on records, with SQL's three-valued logic.

A comparison with a field that is not set is unknown: neither it nor its opposite selects the record. A field without
presence (proto3 without `optional`) is always set: 0 and "" are values like others. A comparison over the elements of
a repeated field is decided as SQL's ANY and ALL are: one element that decides it is enough, an unknown one leaves it
open, and for no elements at all ANY is false and ALL is true.

Predicates are values and know no metadata; `evaluate` makes functions of them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from recordlayer.errors import UsageError, WrongType
from recordlayer.query.comparison import Operator

if TYPE_CHECKING:
    from recordlayer.keys import KeyExpression
    from recordlayer.query.ranked import Ranked


class Elements(enum.Enum):
    """Of which elements of a repeated field a comparison speaks. The values are the words in explanations."""

    ANY = "any"
    """At least one; false if there are none."""
    ANY_OR_UNKNOWN = "any, unknown if empty"
    """At least one; unknown if there are none, so that the opposite does not hold for an empty list either."""
    ALL = "all"
    """Every one; true if there are none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry of a map with this key."""

    key: Any


@dataclass(frozen=True, slots=True)
class PathStep:
    """A field on the way.

    any    it is repeated, and each of its elements is looked at
    of     then: which of them count
    entry  it is a map, and the value of one entry is looked at
    """

    name: str
    any: bool = False
    of: Elements = Elements.ANY
    entry: Entry | None = None

    def __hash__(self) -> int:
        """Of the name alone: paths are keys wherever plans are kept, and few steps differ in the rest only."""
        return hash(self.name)

    def __str__(self) -> str:
        if self.entry is not None:
            return f"{self.name}[{self.entry.key!r}]"
        return f"{self.name}[{self.of.value}]" if self.any else self.name


Path = tuple[PathStep, ...]


def shown(path: Path) -> str:
    return ".".join(str(step) for step in path)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that is given when the query is bound."""

    name: str

    def __repr__(self) -> str:
        return f"${self.name}"


def param(name: str) -> Parameter:
    """A value that is given later, with `query.bind(name=value)`."""
    if not isinstance(name, str) or not name.isidentifier():
        raise WrongType(parameter=name, hint='name a parameter as in Python: param("customer")')
    return Parameter(name)


Exchange = Callable[[Operator, Any], "tuple[Operator, Any]"]
"""From the operator and the operand of a comparison to others."""


class Predicate:
    """A condition. `&`, `|` and `~` combine conditions; `and`, `or` and `not` cannot."""

    __slots__ = ()

    def __and__(self, other: Predicate) -> And:
        return And((*_parts(And, self), *_parts(And, _checked(other))))

    def __or__(self, other: Predicate) -> Or:
        return Or((*_parts(Or, self), *_parts(Or, _checked(other))))

    def __invert__(self) -> Not:
        return Not(self)

    def __bool__(self) -> NoReturn:
        raise UsageError(
            what="a condition used as true or false",
            hint="combine conditions with &, | and ~, each in parentheses: (q.a == 1) & (q.b > 2)",
        )

    @property
    def parts(self) -> tuple[Predicate, ...]:
        """The conditions that this one is made of."""
        return ()

    def paths(self) -> frozenset[Path]:
        """The fields it looks at."""
        return frozenset[Path]().union(*(child.paths() for child in self.parts))

    @property
    def needs_record(self) -> bool:
        """Whether it looks at more than the fields it names: a key expression, or what an index knows of the record."""
        return any(child.needs_record for child in self.parts)

    def exchanged(self, exchange: Exchange) -> Predicate:
        """The same with other operands."""
        return self


def _checked(other: object) -> Predicate:
    if not isinstance(other, Predicate):
        raise WrongType(condition=other, hint="put comparisons in parentheses: (q.a == 1) & (q.b > 2)")
    return other


def _parts(kind: type[And | Or], predicate: Predicate) -> tuple[Predicate, ...]:
    return predicate.children if isinstance(predicate, kind) else (predicate,)


def _comparison(left: str, operator: Operator, value: Any) -> str:
    if not operator.takes_value:
        return f"{left} {operator.value}"
    if operator is Operator.TEXT:
        return f"{left} {value}"
    listed = operator is Operator.IN and not isinstance(value, Parameter)
    return f"{left} {operator.value} {list(value) if listed else value!r}"


@dataclass(frozen=True, slots=True)
class Compare(Predicate):
    """One field and one value."""

    path: Path
    operator: Operator
    value: Any = None

    def __eq__(self, other: object) -> bool:
        """0.0 and -0.0 are equal numbers, and as operands they are not the same."""
        if not isinstance(other, Compare):
            return NotImplemented
        same = (self.operator, self.path, self.value) == (other.operator, other.path, other.value)
        return same and (not isinstance(self.value, (float, tuple)) or repr(self.value) == repr(other.value))

    def paths(self) -> frozenset[Path]:
        return frozenset((self.path,))

    def exchanged(self, exchange: Exchange) -> Compare:
        operator, value = exchange(self.operator, self.value)
        return Compare(self.path, operator, value)

    def __str__(self) -> str:
        return _comparison(shown(self.path), self.operator, self.value)


@dataclass(frozen=True, slots=True)
class CompareKey(Predicate):
    """A key expression and one value: of one column, or a tuple of as many as it has columns.

    any  the expression may have several rows, and one of them is enough
    """

    expression: KeyExpression
    operator: Operator
    value: Any = None
    any: bool = False

    @property
    def needs_record(self) -> bool:
        return True

    def exchanged(self, exchange: Exchange) -> CompareKey:
        operator, value = exchange(self.operator, self.value)
        return replace(self, operator=operator, value=value)

    def __str__(self) -> str:
        left = f"one row of {self.expression!r}" if self.any else repr(self.expression)
        return _comparison(left, self.operator, self.value)


@dataclass(frozen=True, slots=True)
class CompareRank(Predicate):
    """The rank of a record among others, which only an index knows, and one value."""

    ranked: Ranked
    operator: Operator
    value: Any = None

    @property
    def needs_record(self) -> bool:
        return True

    def exchanged(self, exchange: Exchange) -> CompareRank:
        operator, value = exchange(self.operator, self.value)
        return CompareRank(self.ranked, operator, value)

    def __str__(self) -> str:
        return _comparison(str(self.ranked), self.operator, self.value)


@dataclass(frozen=True, slots=True)
class Near(Predicate):
    """A place on earth, the message in a field with latitude and longitude in degrees, is within metres of a point."""

    path: Path
    latitude: float
    longitude: float
    within: float

    @property
    def value(self) -> tuple[float, float, float]:
        """What may differ between conditions of one shape."""
        return (self.latitude, self.longitude, self.within)

    def paths(self) -> frozenset[Path]:
        return frozenset((*self.path, PathStep(name)) for name in ("latitude", "longitude"))

    def __str__(self) -> str:
        return f"{shown(self.path)} within {self.within:g} m of ({self.latitude:g}, {self.longitude:g})"


@dataclass(frozen=True, slots=True)
class Matches(Predicate):
    """A condition on the messages in a field, or on each of the elements of a repeated one."""

    path: Path
    child: Predicate

    @property
    def parts(self) -> tuple[Predicate, ...]:
        return (self.child,)

    def paths(self) -> frozenset[Path]:
        return frozenset((*self.path, *path) for path in self.child.paths())

    def exchanged(self, exchange: Exchange) -> Matches:
        return Matches(self.path, self.child.exchanged(exchange))

    def __str__(self) -> str:
        return f"{shown(self.path)} matches ({self.child})"


@dataclass(frozen=True, slots=True)
class And(Predicate):
    """True if all are true, false if one is false."""

    children: tuple[Predicate, ...]

    @property
    def parts(self) -> tuple[Predicate, ...]:
        return self.children

    def exchanged(self, exchange: Exchange) -> And:
        return And(tuple(child.exchanged(exchange) for child in self.children))

    def __str__(self) -> str:
        return " and ".join(_nested(child, Or) for child in self.children)


@dataclass(frozen=True, slots=True)
class Or(Predicate):
    """True if one is true, false if all are false."""

    children: tuple[Predicate, ...]

    @property
    def parts(self) -> tuple[Predicate, ...]:
        return self.children

    def exchanged(self, exchange: Exchange) -> Or:
        return Or(tuple(child.exchanged(exchange) for child in self.children))

    def __str__(self) -> str:
        return " or ".join(_nested(child, And) for child in self.children)


@dataclass(frozen=True, slots=True)
class Not(Predicate):
    """True if it is false, unknown if it is unknown."""

    child: Predicate

    @property
    def parts(self) -> tuple[Predicate, ...]:
        return (self.child,)

    def exchanged(self, exchange: Exchange) -> Not:
        return Not(self.child.exchanged(exchange))

    def __str__(self) -> str:
        return f"not ({self.child})"


@dataclass(frozen=True, slots=True)
class NotTrue(Predicate):
    """True if it is false or unknown. Never unknown. Plans use it, and queries have no word for it."""

    child: Predicate

    @property
    def parts(self) -> tuple[Predicate, ...]:
        return (self.child,)

    def exchanged(self, exchange: Exchange) -> NotTrue:
        return NotTrue(self.child.exchanged(exchange))

    def __str__(self) -> str:
        return f"({self.child}) is not true"


@dataclass(frozen=True, slots=True)
class IsType(Predicate):
    """Whether a record is of one of these types. Never unknown."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"is {' or '.join(self.names)}"


def _nested(predicate: Predicate, kind: type[Predicate]) -> str:
    return f"({predicate})" if isinstance(predicate, kind) else str(predicate)


def walk(predicate: Predicate) -> Iterator[Predicate]:
    """A condition and all that it is made of."""
    yield predicate
    for child in predicate.parts:
        yield from walk(child)


def conjuncts(predicate: Predicate | None) -> tuple[Predicate, ...]:
    """The conditions that all must be true."""
    if predicate is None:
        return ()
    if isinstance(predicate, And):
        return tuple(part for child in predicate.children for part in conjuncts(child))
    return (predicate,)


def conjunction(predicates: tuple[Predicate, ...]) -> Predicate | None:
    """One condition that is true if all are; None for none."""
    if not predicates:
        return None
    return predicates[0] if len(predicates) == 1 else And(predicates)
