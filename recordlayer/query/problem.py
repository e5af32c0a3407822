"""A query against a metadata, checked, and in the form in which the planner's rules take it apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from recordlayer.errors import QueryError, UnknownField
from recordlayer.keys import KeyExpression, access
from recordlayer.query.comparison import Operator
from recordlayer.query.decide import Decide
from recordlayer.query.effort import Effort
from recordlayer.query.evaluate import compiled, resolve
from recordlayer.query.implication import answered, not_implied
from recordlayer.query.kinds import asked_types
from recordlayer.query.knowledge import ASSUMED, Knowledge
from recordlayer.query.normal import normalized
from recordlayer.query.predicate import IsType, Parameter, Predicate, shown, walk
from recordlayer.query.query import RecordQuery, SortKey
from recordlayer.query.tokens import with_tokenizers

if TYPE_CHECKING:
    from recordlayer.index.state import IndexState
    from recordlayer.metadata import Index, RecordMetaData, RecordType
    from recordlayer.metadata.metadata import Synthetic

    StateOf = Callable[[Index], IndexState]


@dataclass(slots=True)
class Problem:
    """A query as the rules see it.

    conditions  what all must be true
    rejected    why indexes were not used, by name
    only        the names of the indexes that are looked at, None for all
    knowledge   how much there is
    effort      what planning has cost
    """

    query: RecordQuery
    metadata: RecordMetaData
    types: tuple[RecordType, ...]
    conditions: tuple[Predicate, ...]
    state_of: StateOf
    rejected: dict[str, str] = field(default_factory=dict)
    only: frozenset[str] | None = None
    knowledge: Knowledge = ASSUMED
    effort: Effort = field(default_factory=Effort)

    @property
    def indexes(self) -> Iterable[Index]:
        """The indexes that are looked at."""
        known = self.metadata.indexes
        return known.values() if self.only is None else [known[name] for name in sorted(self.only)]

    def hidden(self, index: Index) -> str | None:
        """Why an index may not be used for this query, whatever it asks; None if it may."""
        return self.query.hints.against(index, self.state_of(index))

    def has_all(self, index: Index) -> str | None:
        """Why an index with a condition of its own may lack records that are asked for; None if it has them all."""
        if index.predicate is None:
            return None
        missing = not_implied(index.predicate, self.conditions, self.types)
        return None if missing is None else f"has only records with {missing}, and the query does not say so"

    def left_by(self, index: Index) -> tuple[Predicate, ...]:
        """The conditions that are not true of an index's records already because it has no others."""
        if index.predicate is None:
            return self.conditions
        known = answered(index.predicate, self.conditions, self.types)
        return tuple([one for one in self.conditions if not any(one is other for other in known)])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(known.name for known in self.types)

    @property
    def all_types(self) -> bool:
        """Whether records of every type are asked for."""
        return self.synthetic is None and len(self.types) == len(self.metadata.record_types)

    @property
    def synthetic(self) -> Synthetic | None:
        """The synthetic type that is asked for, None for stored ones."""
        return self.metadata.synthetic.get(self.names[0])

    def decide(self, predicate: Predicate) -> dict[str, Decide]:
        """For each record type a function for a condition."""
        return {known.name: compiled(predicate, known) for known in self.types}

    def reject(self, index: str, reason: str) -> None:
        self.rejected.setdefault(index, reason)

    def asking(self, *conditions: Predicate, sort: tuple[SortKey, ...] = ()) -> Problem:
        """The same records under other conditions, in another order; what it rejects is not noted here."""
        query = replace(self.query, sort=sort, reverse=self.query.reverse and bool(sort), fields=None, in_memory=0)
        return type(self)(
            query,
            self.metadata,
            self.types,
            tuple(conditions),
            self.state_of,
            only=self.only,
            knowledge=self.knowledge,
            effort=self.effort,
        )


def problem_of(
    query: RecordQuery,
    metadata: RecordMetaData,
    state_of: StateOf,
    *,
    only: frozenset[str] | None = None,
    knowledge: Knowledge = ASSUMED,
) -> Problem:
    """The query's parts, checked against the metadata.

    Raises  UnknownRecordType, UnknownField, UnknownIndex, WrongType, QueryError; UsageError for a parameter without a
            value.
    """
    types = _checked(query, metadata)
    query.hints.check(metadata)
    condition = None if query.filter is None else with_tokenizers(query.filter, metadata, types)
    return Problem(query, metadata, types, normalized(condition), state_of, only=only, knowledge=knowledge)


def check(query: RecordQuery, metadata: RecordMetaData) -> None:
    """Raises  as `problem_of`; parameters need no values."""

    def without(operator: Operator, value: Any) -> tuple[Operator, Any]:
        return (Operator.NOT_NULL, None) if isinstance(value, Parameter) else (operator, value)

    if query.filter is not None:
        query = replace(query, filter=query.filter.exchanged(without))
    _checked(query, metadata)


def _checked(query: RecordQuery, metadata: RecordMetaData) -> tuple[RecordType, ...]:
    types = asked_types(query.record_types, metadata)
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


def check_field(path: SortKey, record_type: RecordType) -> None:
    """Raises  UnknownField; QueryError for a field that is repeated, or holds a message; InvalidKeyExpression."""
    if isinstance(path, KeyExpression):
        for problem in path.problems(record_type.descriptor):
            raise problem
        return
    try:
        fields = resolve(path, record_type.descriptor)
    except UnknownField:
        raise
    except QueryError as error:
        raise QueryError(field=shown(path), hint="name a field that is not repeated") from error
    last = fields[-1]
    if access.is_message(last) and not access.is_tuple_field(last.message_type):
        raise QueryError(field=shown(path), hint=f"{last.name} holds a message: name a field of it")
