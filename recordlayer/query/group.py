"""Records in groups: one row for each value of some fields, with what is worked out over its records.

    query("Order").group_by("customer").aggregate(orders=agg.count(), spent=agg.sum("total")).having(q.orders > 1)
    query("Order").aggregate(orders=agg.count())          one row over all records, also if there are none
    query("Order").select_distinct("customer")            one row for each value

Records for which a field is not set are a group of their own, with None. Groups come in the order of these fields, null
first; where an index orders them otherwise, in that of the index.

Source  Record Layer, RecordQueryStreamingAggregationPlan; bounded grouping is ours
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from recordlayer.errors import UsageError, WrongType
from recordlayer.query.aggregates import Aggregate, check_single
from recordlayer.query.paths import FieldPath, as_steps
from recordlayer.query.predicate import And, Path, Predicate, shown

if TYPE_CHECKING:
    from recordlayer.metadata import RecordMetaData
    from recordlayer.options import Limits
    from recordlayer.query.query import RecordQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupQuery:
    """A query for groups of records. Made by `RecordQuery.group_by`, `aggregate` and `select_distinct`.

    source      which records
    columns     fields that are the same in a group
    aggregates  what is worked out, by name
    condition   which groups are given, None for all
    in_memory   how many groups may be held in memory where no index has the records group by group; 0 for none
    """

    source: RecordQuery
    columns: tuple[Path, ...]
    aggregates: tuple[tuple[str, Aggregate], ...] = ()
    condition: Predicate | None = None
    in_memory: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Of the values in a row: fields, then aggregates."""
        return (*[shown(path) for path in self.columns], *[name for name, _ in self.aggregates])

    @property
    def record_types(self) -> tuple[str, ...]:
        return self.source.record_types

    @property
    def limits(self) -> Limits | None:
        return self.source.limits

    @property
    def of_chosen(self) -> GroupQuery:
        """As `RecordQuery.of_chosen`."""
        return replace(self, source=self.source.of_chosen)

    @property
    def asked(self) -> GroupQuery:
        """The query without what makes no difference to its rows: budgets, and what may be held in memory."""
        return replace(self, source=self.source.asked, in_memory=0)

    def aggregate(self, **aggregates: Aggregate) -> GroupQuery:
        """Also these, each by the name that it has in a row: aggregate(spent=agg.sum("total"))."""
        for name, one in aggregates.items():
            if not isinstance(one, Aggregate):
                raise WrongType(aggregate=name, value=one, hint='give agg.count(), agg.sum("total") and the like')
            if name in self.names:
                raise UsageError(aggregate=name, hint="there is a value of that name already")
        return replace(self, aggregates=(*self.aggregates, *aggregates.items()))

    def having(self, *conditions: Predicate) -> GroupQuery:
        """Only groups for which all these are true: conditions on values of the row, as in having(q.orders > 1)."""
        from recordlayer.query import having

        found = self.condition
        for condition in conditions:
            if not isinstance(condition, Predicate):
                raise WrongType(condition=condition, hint="compare a value of the groups, as in q.orders > 1")
            having.check(condition, self.names)
            found = condition if found is None else And((found, condition))
        return replace(self, condition=found)

    def within(
        self,
        *,
        keys: int | None = None,
        bytes: int | None = None,  # noqa: A002  (the word for it, as in Limits)
        time: timedelta | None = None,
        memory: int | None = None,
        fail: bool = False,
    ) -> GroupQuery:
        """With a budget, as `RecordQuery.within`."""
        limited = self.source.within(keys=keys, bytes=bytes, time=time, memory=memory, fail=fail)
        return replace(self, source=limited)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters of the source that have no value yet."""
        return self.source.parameters

    def bind(self, **values: Any) -> GroupQuery:
        """The same with values for parameters, as `RecordQuery.bind`."""
        return replace(self, source=self.source.bind(**values))

    def check(self, metadata: RecordMetaData) -> GroupQuery:
        """This query, if it fits the metadata.  Raises  as `RecordQuery.check`; WrongType for sums of what are no
        numbers."""
        from recordlayer.query.grouping import Groups

        self.source.check(metadata)
        Groups.of(self, metadata)
        return self

    def __str__(self) -> str:
        by = ", ".join(shown(path) for path in self.columns)
        parts = [str(replace(self.source, limits=None))]
        if self.aggregates:
            parts.append(f"group by {by}" if by else "")
            parts.append(", ".join(f"{one} as {name}" for name, one in self.aggregates))
        else:
            parts.append(f"select distinct {by}")
        if self.condition is not None:
            parts.append(f"having {self.condition}")
        if self.in_memory:
            parts.append(f"holding {self.in_memory} groups in memory")
        if self.limits is not None:
            parts.append(f"within {self.limits}")
        return " ".join(part for part in parts if part)


def grouped(source: RecordQuery, fields: tuple[FieldPath | str, ...], *, in_memory: int) -> GroupQuery:
    """Groups of the records of a query.  Raises  UsageError, WrongType."""
    if source.sort:
        raise UsageError(query=str(source), hint="groups have an order of their own: leave order_by out")
    if source.fields is not None:
        raise UsageError(query=str(source), hint="groups say which fields they need: leave select out")
    paths = tuple(dict.fromkeys(as_steps(field) for field in fields))
    for path in paths:
        check_single(path)
    if not isinstance(in_memory, int) or isinstance(in_memory, bool) or in_memory < 0:
        raise UsageError(in_memory=in_memory, hint="give a number of groups")
    return GroupQuery(source=source, columns=paths, in_memory=in_memory)
