"""What is asked for: record types, a condition, an order, and which fields are needed.

    query("Order").where(q.customer == "ana").order_by("total", reverse=True)
    query("Order").where(q.customer == param("who")).bind(who="ana")

A query is a value: every method gives a new one. It holds no metadata; what does not fit is found by `check`, or when a
store is asked, before anything is read.

Source  Record Layer, RecordQuery
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Union

from recordlayer.errors import UsageError, WrongType
from recordlayer.options import Limits
from recordlayer.query.aggregates import Aggregate
from recordlayer.query.comparison import Operator
from recordlayer.query.group import GroupQuery, grouped
from recordlayer.query.hints import NO_HINTS, Hints
from recordlayer.query.join import JoinQuery, On, joined
from recordlayer.query.paths import FieldPath, as_steps, checked_list
from recordlayer.query.predicate import (
    And,
    Compare,
    CompareKey,
    CompareRank,
    Parameter,
    Path,
    PathStep,
    Predicate,
    shown,
    walk,
)
from recordlayer.tuples.compiled import define

if TYPE_CHECKING:
    from recordlayer.keys import KeyExpression
    from recordlayer.metadata import RecordMetaData

SortKey = Union[Path, "KeyExpression"]
"""A field, or a key expression of one column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuery:
    """One query.

    record_types  names; none means all of the metadata's
    filter        the condition that records fulfil, None for none
    sort          fields and key expressions in order of importance
    reverse       descending
    fields        what is needed of the records; None for all. Others may be missing in what comes back, except those of
                  the primary key.
    distinct      each record comes once. Else, where a condition is about elements of a repeated field, it may come for
                  several of them: that costs less, and is for those who do not mind
    hints         which indexes may be used
    in_memory     how many records may be held in memory to be sorted where no index has the order; 0 for none
    limits        what it may cost, None for what the store was opened with: see `within`
    """

    record_types: tuple[str, ...] = ()
    filter: Predicate | None = None
    sort: tuple[SortKey, ...] = ()
    reverse: bool = False
    fields: tuple[Path, ...] | None = None
    distinct: bool = True
    in_memory: int = 0
    limits: Limits | None = None
    hints: Hints = NO_HINTS
    kept: Any = field(default=None, init=False, repr=False, compare=False)
    """The planner's: the plan that this very query was given last, and for what. No part of its value."""

    def __getstate__(self) -> list[Any]:
        """For pickling and copying: without the plan."""
        return [None if one.name == "kept" else getattr(self, one.name) for one in fields(self)]

    def where(self, *conditions: Predicate) -> RecordQuery:
        """Only records for which all these, and all conditions before, are true."""
        found = self.filter
        for condition in conditions:
            if not isinstance(condition, Predicate):
                raise WrongType(
                    condition=condition,
                    hint='compare a field, as in q.customer == "ana"; one that is called as a method is: q["like"]',
                )
            found = condition if found is None else And((found, condition))
        return _with(self, filter=found)

    def order_by(
        self, *fields: FieldPath | str | KeyExpression, reverse: bool = False, in_memory: int = 0
    ) -> RecordQuery:
        """In the order of these fields, null first; `reverse`: descending, null last. A key expression of one column
        orders as well: order_by(version()) by the last change.

        in_memory  how many records may be held in memory to be sorted, if no index has this order; 0: then there is no
                   plan. With a limit no more than so many are held. `within(memory=...)` bounds their bytes

        A field without presence that holds its default sorts as a null: zeros come before negative numbers.
        """
        if not fields:
            raise UsageError(what="order_by without fields", hint='name at least one: order_by("total")')
        paths = tuple(_sort_key(field) for field in fields)
        if not isinstance(in_memory, int) or isinstance(in_memory, bool) or in_memory < 0:
            raise UsageError(in_memory=in_memory, hint="give a number of records")
        return _with(self, sort=paths, reverse=reverse, in_memory=in_memory)

    def use_indexes(self, *names: str) -> RecordQuery:
        """Only these indexes may be used, or none at all; also such as their option keeps from queries."""
        return replace(self, hints=replace(self.hints, allowed=_names(names)))

    def hide_indexes(self, *names: str) -> RecordQuery:
        """These indexes may not be used."""
        return replace(self, hints=replace(self.hints, hidden=self.hints.hidden | _names(names)))

    def try_indexes(self, *names: str) -> RecordQuery:
        """Plan as if these indexes were readable: `explain` shows what they would bring before they are built. A plan
        that uses one cannot run until it is."""
        return replace(self, hints=replace(self.hints, trial=self.hints.trial | _names(names)))

    def with_duplicates(self) -> RecordQuery:
        """A record may come several times, once for each element of a repeated field that a condition speaks of."""
        return replace(self, distinct=False)

    def within(
        self,
        *,
        keys: int | None = None,
        bytes: int | None = None,  # noqa: A002  (the word for it, as in Limits)
        time: timedelta | None = None,
        memory: int | None = None,
        fail: bool = False,
    ) -> RecordQuery:
        """The query with a budget, in place of what the store was opened with. A query whose plan is expected to read
        more keys or bytes is refused before it reads any, and the error names an index that would help. What turns out
        to cost more stops with a continuation where the budget ends, or raises BudgetSpent with `fail`.

        The budget is for each page. Parameters as those of `Limits`; none at all takes every limit away.
        """
        return replace(self, limits=Limits(keys=keys, bytes=bytes, time=time, memory=memory, fail=fail))

    @property
    def of_chosen(self) -> RecordQuery:
        """The query as one for a store whose indexes are kept for some records only: see `Hints.chosen`."""
        return replace(self, hints=replace(self.hints, chosen=True))

    @property
    def asked(self) -> RecordQuery:
        """The query without what makes no difference to its records: budgets, hints, what may be held in memory."""
        return replace(self, in_memory=0, limits=None, hints=NO_HINTS)

    # -- groups ----------------------------------------------------------------------------------------

    def group_by(self, *fields: FieldPath | str, in_memory: int = 0) -> GroupQuery:
        """Groups of these records: one row for each value of these fields. `aggregate` says what is worked out.

        in_memory  how many groups may be held in memory, if no index has the records group by group; 0: then there is
                   no plan
        """
        if not fields:
            raise UsageError(what="group_by without fields", hint="use aggregate(...) for one row over all records")
        return grouped(self, fields, in_memory=in_memory)

    def aggregate(self, **aggregates: Aggregate) -> GroupQuery:
        """One row with what is worked out over all these records: aggregate(orders=agg.count())."""
        if not aggregates:
            raise UsageError(what="aggregate without anything", hint="name what is wanted: orders=agg.count()")
        return grouped(self, (), in_memory=0).aggregate(**aggregates)

    def select_distinct(self, *fields: FieldPath | str, in_memory: int = 0) -> GroupQuery:
        """One row for each value that these fields have together, null among them.

        in_memory  how many rows may be held in memory, if no index has the records in order of these fields
        """
        if not fields:
            raise UsageError(what="select_distinct without fields", hint='name at least one: "customer"')
        return grouped(self, fields, in_memory=in_memory)

    # -- joins -----------------------------------------------------------------------------------------

    def join(
        self,
        other: RecordQuery | str,
        *,
        on: On | None = None,
        feed: Mapping[str, FieldPath | str] | None = None,
        kind: str = "inner",
    ) -> JoinQuery:
        """Each of these records with those of another query, or of a record type, that belong to it: as pairs.

        on    what is equal: {"customer": "name"}, fields of these records first; or a name that is the same in both
        feed  parameters of the other query that fields of these records give: {"least": "total"}
        kind  "inner", or "left": a record that has no other comes once, with None
        """
        if isinstance(other, str):
            other = RecordQuery(record_types=(other,))
        if not isinstance(other, RecordQuery):
            raise WrongType(query=other, hint='name a record type, or make a query: query("Customer").where(...)')
        return joined(self, other, on, feed or {}, kind)

    # -- parameters ------------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters that have no value yet, each once."""
        found = [one.value.name for one in _comparisons(self.filter) if isinstance(one.value, Parameter)]
        return tuple(dict.fromkeys(found))

    def bind(self, **values: Any) -> RecordQuery:
        """The same query with values for some or all of its parameters.

        Raises  UsageError for a parameter that it does not have, or None for one: nothing compares with None.
        """
        known = self.parameters
        unknown = [name for name in values if name not in known]
        if unknown:
            hint = f"its parameters are {', '.join(known)}" if known else "it has no parameters"
            raise UsageError(parameter=unknown[0], hint=hint)
        if self.filter is None:
            return self
        return _with(self, filter=self.filter.exchanged(lambda operator, value: _bound(operator, value, values)))

    def check(self, metadata: RecordMetaData) -> RecordQuery:
        """This query, if it fits the metadata: names of types and fields, kinds of values. Parameters without a value
        pass.

        Raises  UnknownRecordType, UnknownField, WrongType, QueryError.
        """
        from recordlayer.query.problem import check

        check(self, metadata)
        return self

    def select(self, *fields: FieldPath | str) -> RecordQuery:
        """Only these fields are needed: an index that has them all answers without reading records."""
        if not fields:
            raise UsageError(what="select without fields", hint='name at least one: select("id", "total")')
        return _with(self, fields=tuple([as_steps(field) for field in fields]))

    def __str__(self) -> str:
        parts = [", ".join(self.record_types) or "all records"]
        if self.filter is not None:
            parts.append(f"where {self.filter}")
        if self.sort:
            parts.append(f"order by {', '.join(shown_key(key) for key in self.sort)}{' descending' * self.reverse}")
        if self.fields is not None:
            parts.append(f"select {', '.join(shown(path) for path in self.fields)}")
        if not self.distinct:
            parts.append("with duplicates")
        if self.in_memory:
            parts.append(f"sorting {self.in_memory} in memory")
        if self.limits is not None:
            parts.append(f"within {self.limits}")
        return " ".join(parts)


def _with(asked: RecordQuery, **changes: Any) -> RecordQuery:
    """`replace`, for less: a query is made as often as it is run."""
    new = object.__new__(RecordQuery)
    _copy(asked, new)
    for name, part in changes.items():
        object.__setattr__(new, name, part)
    return new


def _copier() -> Callable[[RecordQuery, RecordQuery], None]:
    """A generated function that gives one query all parts of another, save what the planner keeps."""
    parts = [one.name for one in fields(RecordQuery) if one.init]
    lines = [*[f"set_{name}(new, asked.{name})" for name in parts], "set_kept(new, None)"]
    setters = {f"set_{name}": getattr(RecordQuery, name).__set__ for name in (*parts, "kept")}
    return define(lines, name="copy_query", parameters=("asked", "new"), names=setters)


_copy = _copier()

Query = RecordQuery | GroupQuery | JoinQuery
"""What stores can be asked."""


def _comparisons(condition: Predicate | None) -> list[Compare | CompareKey | CompareRank]:
    if condition is None:
        return []
    return [one for one in walk(condition) if isinstance(one, (Compare, CompareKey, CompareRank))]


def _bound(operator: Operator, value: Any, values: dict[str, Any]) -> tuple[Operator, Any]:
    """The operator and operand of a comparison whose parameter has a value now."""
    if not isinstance(value, Parameter) or value.name not in values:
        return operator, value
    given = values[value.name]
    if operator is Operator.IN:
        return operator, checked_list(str(value), given)
    if given is None:
        if operator is Operator.DISTINCT:
            return Operator.NOT_NULL, None
        if operator is Operator.NOT_DISTINCT:
            return Operator.IS_NULL, None
        raise UsageError(
            parameter=value.name, hint="nothing compares with None: use is_not_distinct_from(param(...)) if it may be"
        )
    if isinstance(given, Parameter):
        raise UsageError(parameter=value.name, got=given, hint="give a value")
    return operator, tuple(given) if isinstance(given, list) else given


def _names(names: tuple[str, ...]) -> frozenset[str]:
    for name in names:
        if not isinstance(name, str):
            raise WrongType(index=name, hint='indexes are named by strings: use_indexes("by_total")')
    return frozenset(names)


def _sort_key(field: FieldPath | str | KeyExpression) -> SortKey:
    if not isinstance(field, (FieldPath, str)):
        from recordlayer.keys import KeyExpression

        if isinstance(field, KeyExpression):
            if field.column_size != 1 or field.creates_duplicates:
                raise UsageError(expression=repr(field), hint="order by expressions of one column that do not fan out")
            return field_path(field) or field
    path = as_steps(field)
    if any(step.any or step.entry is not None for step in path):
        raise UsageError(field=shown(path), hint="records cannot be ordered by a repeated field")
    return path


def field_path(expression: KeyExpression) -> Path | None:
    """The path of a field that an expression gives as it is; None for others."""
    from recordlayer.keys import Field, Nesting, NullInterpretation

    names: list[str] = []
    while isinstance(expression, Nesting):
        if expression.parent.nulls is NullInterpretation.NOT_NULL:
            return None
        names.append(expression.parent.name)
        expression = expression.child
    if not isinstance(expression, Field) or expression.nulls is NullInterpretation.NOT_NULL:
        return None
    return tuple([PathStep(name) for name in (*names, expression.name)])


def shown_key(key: SortKey) -> str:
    """What is ordered by, in words."""
    return shown(key) if isinstance(key, tuple) else repr(key)


def query(*record_types: str) -> RecordQuery:
    """A query for records of one type, of several, or with no name of all."""
    for name in record_types:
        if not isinstance(name, str) or not name:
            raise WrongType(record_type=name, hint='name a record type: query("Order")')
    return RecordQuery(record_types=tuple(record_types))
