"""A query against a metadata, checked, and in the form in which the planner's rules take it apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from recordlayer.errors import QueryError, UnknownField
from recordlayer.keys import access
from recordlayer.query.comparison import Operator
from recordlayer.query.decide import Decide
from recordlayer.query.evaluate import compiled, resolve
from recordlayer.query.pattern import Pattern
from recordlayer.query.predicate import (
    Compare,
    Elements,
    IsType,
    Parameter,
    Path,
    Predicate,
    conjuncts,
    shown,
    walk,
)
from recordlayer.query.query import RecordQuery

if TYPE_CHECKING:
    from recordlayer.index.state import IndexState
    from recordlayer.metadata import Index, RecordMetaData, RecordType

    StateOf = Callable[[Index], IndexState]


@dataclass(slots=True)
class Problem:
    """A query as the rules see it.

    conditions  what all must be true
    rejected    why indexes were not used, by name
    only        the names of the indexes that are looked at, None for all
    """

    query: RecordQuery
    metadata: RecordMetaData
    types: tuple[RecordType, ...]
    conditions: tuple[Predicate, ...]
    state_of: StateOf
    rejected: dict[str, str] = field(default_factory=dict)
    only: frozenset[str] | None = None

    @property
    def indexes(self) -> Iterable[Index]:
        """The indexes that may be used."""
        known = self.metadata.indexes
        return known.values() if self.only is None else [known[name] for name in self.only]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(known.name for known in self.types)

    @property
    def all_types(self) -> bool:
        """Whether records of every type are asked for."""
        return len(self.types) == len(self.metadata.record_types)

    def decide(self, predicate: Predicate) -> dict[str, Decide]:
        """For each record type a function for a condition."""
        return {known.name: compiled(predicate, known) for known in self.types}

    def reject(self, index: str, reason: str) -> None:
        self.rejected.setdefault(index, reason)

    def asking(self, *conditions: Predicate, sort: tuple[Path, ...] = ()) -> Problem:
        """The same records under other conditions, in another order; what it rejects is not noted here."""
        query = replace(self.query, sort=sort, reverse=self.query.reverse and bool(sort), fields=None, in_memory=0)
        return Problem(query, self.metadata, self.types, tuple(conditions), self.state_of, only=self.only)


def problem_of(
    query: RecordQuery, metadata: RecordMetaData, state_of: StateOf, *, only: frozenset[str] | None = None
) -> Problem:
    """The query's parts, checked against the metadata.

    Raises  UnknownRecordType, UnknownField, WrongType, QueryError; UsageError for a parameter without a value.
    """
    types = _checked(query, metadata)
    conditions = tuple(part for one in conjuncts(query.filter) for part in normal(one))
    return Problem(query, metadata, types, conditions, state_of, only=only)


def check(query: RecordQuery, metadata: RecordMetaData) -> None:
    """Raises  as `problem_of`; parameters need no values."""

    def without(operator: Operator, value: Any) -> tuple[Operator, Any]:
        return (Operator.NOT_NULL, None) if isinstance(value, Parameter) else (operator, value)

    if query.filter is not None:
        query = replace(query, filter=query.filter.exchanged(without))
    _checked(query, metadata)


def _checked(query: RecordQuery, metadata: RecordMetaData) -> tuple[RecordType, ...]:
    names = query.record_types or tuple(metadata.record_types)
    for name in names:
        if name in metadata.synthetic:
            hint = "its records are made from stored ones: scan an index over it, and load_synthetic what entries name"
            raise QueryError(record_type=name, hint=hint)
    types = tuple(metadata.record_type(name) for name in dict.fromkeys(names))
    if query.filter is not None:
        for condition in walk(query.filter):
            if isinstance(condition, IsType):
                for name in condition.names:
                    metadata.record_type(name)
    for known in types:
        if query.filter is not None:
            compiled(query.filter, known)
        for path in (*query.sort, *(query.fields or ())):
            check_field(path, known)
    return types


def check_field(path: Path, record_type: RecordType) -> None:
    """Raises  UnknownField; QueryError for a field that is repeated, or holds a message."""
    try:
        fields = resolve(path, record_type.descriptor)
    except UnknownField:
        raise
    except QueryError as error:
        raise QueryError(field=shown(path), hint="name a field that is not repeated") from error
    last = fields[-1]
    if access.is_message(last) and not access.is_tuple_field(last.message_type):
        raise QueryError(field=shown(path), hint=f"{last.name} holds a message: name a field of it")


def normal(condition: Predicate) -> tuple[Predicate, ...]:
    """Conditions that are true where this one is, in words that indexes understand.

    Only of what must be true: false and unknown are alike there.
    """
    if not isinstance(condition, Compare):
        return (condition,)
    if any(step.of is Elements.ANY_OR_UNKNOWN for step in condition.path):
        path = tuple(
            replace(step, of=Elements.ANY) if step.of is Elements.ANY_OR_UNKNOWN else step for step in condition.path
        )
        condition = replace(condition, path=path)
    if condition.operator is Operator.NOT_DISTINCT:
        return (replace(condition, operator=Operator.EQUALS),)
    pattern = condition.value
    if condition.operator is Operator.LIKE and isinstance(pattern, Pattern) and pattern.start:
        begins = replace(condition, operator=Operator.STARTS_WITH, value=pattern.start)
        if pattern.is_start:
            return (begins,)
        if not any(wild for wild, _ in pattern.parts()):
            return (replace(condition, operator=Operator.EQUALS, value=pattern.start),)
        return begins, condition
    return (condition,)
