"""Records of one type, each with the records of another that belong to it.

    query("Order").join("Customer", on={"customer": "name"})                      pairs of an order and its customer
    query("Customer").join(query("Order").where(q.paid == False), on={"name": "customer"}, kind="left")
    query("Order").join(query("Order").where(q.total > param("least")), feed={"least": "total"})

For each record of the outer query the inner one is run, with values of the outer record: an index on what they have in
common makes that a look-up. Pairs come in the order of the outer query, and for each of its records in that of the
inner one. A field that is not set is equal to nothing, as in SQL.

Source  Record Layer, FlatMapPipelinedCursor, RecordQueryFlatMapPlan; SQL for nulls and LEFT JOIN
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from recordlayer.errors import UsageError, WrongType
from recordlayer.query.aggregates import check_single
from recordlayer.query.comparison import Operator
from recordlayer.query.paths import FieldPath, as_steps
from recordlayer.query.predicate import Compare, CompareKey, Parameter, Path, Predicate, conjuncts, shown, walk

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.metadata import RecordMetaData
    from recordlayer.options import Limits
    from recordlayer.query.query import RecordQuery

KINDS = ("inner", "left")
_TAKE_NULL = (Operator.DISTINCT, Operator.NOT_DISTINCT)

On = str | FieldPath | Mapping[str, FieldPath | str] | Iterable[FieldPath | str]


class Pair(NamedTuple):
    """Two records that belong together; `inner` is None where a left join has found none."""

    outer: Message
    inner: Message | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinQuery:
    """A query for pairs of records. Made by `RecordQuery.join`.

    outer  whose records come first
    inner  what is asked for each of them, with parameters
    feeds  the parameters of the inner query that fields of the outer record give
    kind   "inner": only pairs; "left": an outer record that has no other comes once, with None
    """

    outer: RecordQuery
    inner: RecordQuery
    feeds: tuple[tuple[str, Path], ...]
    kind: str = "inner"

    @property
    def record_types(self) -> tuple[str, ...]:
        return (*self.outer.record_types, *self.inner.record_types)

    @property
    def limits(self) -> Limits | None:
        return self.outer.limits

    @property
    def of_chosen(self) -> JoinQuery:
        """As `RecordQuery.of_chosen`."""
        return replace(self, outer=self.outer.of_chosen, inner=self.inner.of_chosen)

    @property
    def asked(self) -> JoinQuery:
        """The query without what makes no difference to its pairs: budgets, and what may be held in memory."""
        return replace(self, outer=self.outer.asked, inner=self.inner.asked)

    def within(
        self,
        *,
        keys: int | None = None,
        bytes: int | None = None,  # noqa: A002  (the word for it, as in Limits)
        time: timedelta | None = None,
        memory: int | None = None,
        fail: bool = False,
    ) -> JoinQuery:
        """With a budget for both sides together, as `RecordQuery.within`."""
        return replace(self, outer=self.outer.within(keys=keys, bytes=bytes, time=time, memory=memory, fail=fail))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters that have no value yet; those that the outer record gives are not among them."""
        fed = [name for name, _ in self.feeds]
        inner = [name for name in self.inner.parameters if name not in fed]
        return tuple(dict.fromkeys((*self.outer.parameters, *inner)))

    def bind(self, **values: Any) -> JoinQuery:
        """The same with values for parameters of either query, as `RecordQuery.bind`."""
        known = self.parameters
        for name in values:
            if name not in known:
                raise UsageError(parameter=name, hint=f"its parameters are {', '.join(known) or 'none'}")
        outer = {name: value for name, value in values.items() if name in self.outer.parameters}
        inner = {name: value for name, value in values.items() if name in self.inner.parameters}
        return replace(self, outer=self.outer.bind(**outer), inner=self.inner.bind(**inner))

    def check(self, metadata: RecordMetaData) -> JoinQuery:
        """This query, if both sides and what they have in common fit the metadata.  Raises  as `RecordQuery.check`."""
        from recordlayer.query.joining import Feeding

        self.outer.check(metadata)
        self.inner.check(metadata)
        bound = Feeding.of(self, metadata).stand_in()
        bound.check(metadata)
        return self

    def __str__(self) -> str:
        fed = ", ".join(f"${name} = {shown(path)}" for name, path in self.feeds if f"outer.{shown(path)}" != name)
        word = "left join" if self.kind == "left" else "join"
        parts = [str(replace(self.outer, limits=None)), word, str(self.inner)]
        if fed:
            parts.append(f"with {fed}")
        if self.limits is not None:
            parts.append(f"within {self.limits}")
        return " ".join(parts)


def joined(
    outer: RecordQuery, inner: RecordQuery, on: On | None, feed: Mapping[str, FieldPath | str], kind: str
) -> JoinQuery:
    """The pairs of two queries.  Raises  UsageError, WrongType."""
    if kind not in KINDS:
        raise UsageError(kind=kind, hint=f"it is one of {', '.join(map(repr, KINDS))}")
    if inner.limits is not None:
        raise UsageError(query=str(inner), hint="a budget is for both sides: query.join(...).within(...)")
    feeds: dict[str, Path] = {}
    for path, own in _equal(on):
        name = f"outer.{shown(path)}"
        feeds[name] = path
        inner = inner.where(Compare(own, Operator.EQUALS, Parameter(name)))
    for parameter, field in feed.items():
        if parameter not in inner.parameters:
            raise UsageError(parameter=parameter, hint=f"the inner query's parameters: {', '.join(inner.parameters)}")
        feeds[parameter] = _field(field)
    if not feeds:
        raise UsageError(what="join", hint='say what they have in common: on={"customer": "name"}, outer field first')
    _check_fed(inner.filter, feeds)
    return JoinQuery(outer=outer, inner=inner, feeds=tuple(feeds.items()), kind=kind)


def _equal(on: On | None) -> list[tuple[Path, Path]]:
    """Fields of the outer records, and those of the inner that are equal to them."""
    if on is None:
        return []
    if isinstance(on, (str, FieldPath)):
        return [(_field(on), _field(on))]
    if isinstance(on, Mapping):
        return [(_field(outer), _field(inner)) for outer, inner in on.items()]
    if isinstance(on, Iterable):
        return [(_field(name), _field(name)) for name in on]
    raise WrongType(argument="on", value=on, hint='give {"customer": "name"}, or "id" where both have the name')


def _field(field: FieldPath | str) -> Path:
    path = as_steps(field)
    check_single(path)
    return path


def _check_fed(condition: Predicate | None, feeds: Mapping[str, Path]) -> None:
    """What an outer record gives may be None: that must mean something wherever it is used."""
    tops = conjuncts(condition)
    for one in [] if condition is None else walk(condition):
        if not (
            isinstance(one, (Compare, CompareKey)) and isinstance(one.value, Parameter) and one.value.name in feeds
        ):
            continue
        if one.operator is Operator.IN:
            raise UsageError(condition=str(one), hint="a record gives one value: compare with ==")
        if one.operator not in _TAKE_NULL and one not in tops:
            raise UsageError(
                condition=str(one),
                hint="the outer record's field may not be set: let this be a condition of its own in where(...), or "
                "use is_not_distinct_from(...)",
            )


def finds_nothing(inner: RecordQuery, nulls: frozenset[str]) -> bool:
    """Whether an inner query has no records because these parameters are None: nothing compares with that."""
    return any(
        isinstance(one, (Compare, CompareKey))
        and isinstance(one.value, Parameter)
        and one.value.name in nulls
        and one.operator not in _TAKE_NULL
        for one in conjuncts(inner.filter)
    )
