"""Conditions on records, with SQL's three-valued logic.

A comparison with a field that is not set is unknown: neither it nor its opposite selects the record. A field without
presence (proto3 without `optional`) is always set: 0 and "" are values like others. `one_of_them` is true if it is for
one element, and false for no elements at all.

Predicates are values and know no metadata; `evaluate` makes functions of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from recordlayer.errors import UsageError, WrongType
from recordlayer.query.comparison import Operator


@dataclass(frozen=True, slots=True)
class PathStep:
    """A field on the way; `any`: each of its elements."""

    name: str
    any: bool = False

    def __str__(self) -> str:
        return f"{self.name}[any]" if self.any else self.name


Path = tuple[PathStep, ...]


def shown(path: Path) -> str:
    return ".".join(str(step) for step in path)


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

    def paths(self) -> frozenset[Path]:
        """The fields it looks at."""
        raise NotImplementedError


def _checked(other: object) -> Predicate:
    if not isinstance(other, Predicate):
        raise WrongType(condition=other, hint="put comparisons in parentheses: (q.a == 1) & (q.b > 2)")
    return other


def _parts(kind: type[And | Or], predicate: Predicate) -> tuple[Predicate, ...]:
    return predicate.children if isinstance(predicate, kind) else (predicate,)


@dataclass(frozen=True, slots=True)
class Compare(Predicate):
    """One field and one value."""

    path: Path
    operator: Operator
    value: Any = None

    def paths(self) -> frozenset[Path]:
        return frozenset((self.path,))

    def __str__(self) -> str:
        if not self.operator.takes_value:
            return f"{shown(self.path)} {self.operator.value}"
        value = list(self.value) if self.operator is Operator.IN else self.value
        return f"{shown(self.path)} {self.operator.value} {value!r}"


@dataclass(frozen=True, slots=True)
class And(Predicate):
    """True if all are true, false if one is false."""

    children: tuple[Predicate, ...]

    def paths(self) -> frozenset[Path]:
        return frozenset[Path]().union(*(child.paths() for child in self.children))

    def __str__(self) -> str:
        return " and ".join(_nested(child, Or) for child in self.children)


@dataclass(frozen=True, slots=True)
class Or(Predicate):
    """True if one is true, false if all are false."""

    children: tuple[Predicate, ...]

    def paths(self) -> frozenset[Path]:
        return frozenset[Path]().union(*(child.paths() for child in self.children))

    def __str__(self) -> str:
        return " or ".join(_nested(child, And) for child in self.children)


@dataclass(frozen=True, slots=True)
class Not(Predicate):
    """True if it is false, unknown if it is unknown."""

    child: Predicate

    def paths(self) -> frozenset[Path]:
        return self.child.paths()

    def __str__(self) -> str:
        return f"not ({self.child})"


def _nested(predicate: Predicate, kind: type[Predicate]) -> str:
    return f"({predicate})" if isinstance(predicate, kind) else str(predicate)


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
