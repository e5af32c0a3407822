"""Fields as people write them in queries.

q.customer == "ana"
q.address.city.starts_with("Am")
q.tags.one_of_them() == "new"
q.items.one_of_them().price > 100
q["in_"].is_null()                     a field whose name is taken by a method
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from recordlayer.errors import UsageError, WrongType
from recordlayer.query.comparison import Operator
from recordlayer.query.predicate import Compare, PathStep


class FieldPath:
    """A field of the record, or of a message in it. Comparing one gives a predicate."""

    __slots__ = ("_steps",)

    def __init__(self, steps: tuple[PathStep, ...] = ()) -> None:
        self._steps = steps

    @property
    def steps(self) -> tuple[PathStep, ...]:
        return self._steps

    def __getattr__(self, name: str) -> FieldPath:
        if name.startswith("__"):
            raise AttributeError(name)
        return FieldPath((*self._steps, PathStep(name)))

    def __getitem__(self, name: str) -> FieldPath:
        if not isinstance(name, str):
            raise WrongType(field=name, hint="fields are named by strings; q.tags.one_of_them() is about elements")
        return FieldPath((*self._steps, PathStep(name)))

    def one_of_them(self) -> FieldPath:
        """At least one element of a repeated field."""
        if not self._steps:
            raise UsageError(what="one_of_them without a field", hint="write q.tags.one_of_them()")
        return FieldPath((*self._steps[:-1], PathStep(self._steps[-1].name, any=True)))

    # -- comparing -------------------------------------------------------------------------------------

    def _compare(self, operator: Operator, value: Any = None) -> Compare:
        if not self._steps:
            raise UsageError(what="a comparison without a field", hint='write q.customer == "ana"')
        if operator.takes_value and value is None:
            raise UsageError(
                field=str(self), operator=operator.value, hint="nothing compares with None: use is_null() or not_null()"
            )
        return Compare(self._steps, operator, value)

    def __eq__(self, value: object) -> Compare:  # type: ignore[override]  # builds a predicate, as in SQLAlchemy
        return self._compare(Operator.EQUALS, value)

    def __ne__(self, value: object) -> Compare:  # type: ignore[override]  # builds a predicate
        return self._compare(Operator.NOT_EQUALS, value)

    def __lt__(self, value: Any) -> Compare:
        return self._compare(Operator.LESS, value)

    def __le__(self, value: Any) -> Compare:
        return self._compare(Operator.LESS_OR_EQUAL, value)

    def __gt__(self, value: Any) -> Compare:
        return self._compare(Operator.GREATER, value)

    def __ge__(self, value: Any) -> Compare:
        return self._compare(Operator.GREATER_OR_EQUAL, value)

    def starts_with(self, start: str) -> Compare:
        """Text that begins with `start`."""
        if not isinstance(start, str):
            raise WrongType(field=str(self), value=start, hint="only text has a beginning to look for")
        return self._compare(Operator.STARTS_WITH, start)

    def in_(self, values: Iterable[Any]) -> Compare:
        """One of some values."""
        if isinstance(values, (str, bytes)):
            raise WrongType(field=str(self), value=values, hint="give a list of values")
        listed = tuple(values)
        if None in listed:
            raise UsageError(field=str(self), hint="nothing compares with None: add `| q.field.is_null()`")
        return self._compare(Operator.IN, listed)

    def is_null(self) -> Compare:
        """The field is not set. (A field without presence always is.)"""
        return self._compare(Operator.IS_NULL)

    def not_null(self) -> Compare:
        """The field is set."""
        return self._compare(Operator.NOT_NULL)

    __hash__ = None  # type: ignore[assignment]  # == builds a predicate: a set or dict of paths could not work

    def __bool__(self) -> NoReturn:
        raise UsageError(field=str(self), hint='a field alone is no condition: compare it, as in q.customer == "ana"')

    def __iter__(self) -> NoReturn:
        raise TypeError("a field path is not iterable")

    def __str__(self) -> str:
        return ".".join(str(step) for step in self._steps)

    def __repr__(self) -> str:
        return f"q.{self}" if self._steps else "q"


q = FieldPath()
"""The record: `q.customer` is its field `customer`."""


def as_steps(field: FieldPath | str) -> tuple[PathStep, ...]:
    """A path given as `q.address.city` or as "address.city".  Raises  WrongType."""
    if isinstance(field, FieldPath):
        steps = field.steps
    elif isinstance(field, str):
        steps = tuple(PathStep(name) for name in field.split("."))
    else:
        raise WrongType(field=field, hint='name a field: "total", or q.total')
    if not steps or any(not step.name for step in steps):
        raise WrongType(field=str(field), hint='name a field: "total", or q.total')
    return steps
