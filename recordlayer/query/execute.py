"""Running plans: pages that can be resumed by the same plan only. See `envelope` for what their continuations are.

Source  Record Layer, RecordQueryPlan.execute, ExecuteProperties
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from recordlayer.cursor.limits import NO_LIMITS, Limits, budget_of
from recordlayer.cursor.pipeline import Prefetch
from recordlayer.cursor.step import Batch, Cursor
from recordlayer.cursor.transform import Limit, Skip
from recordlayer.errors import BadContinuation, ExpiredContinuation, RecordLayerError, UsageError, WrongType
from recordlayer.kv.engine import Chunk
from recordlayer.options import as_limits
from recordlayer.query import identity
from recordlayer.query.budget import keeps, limits_of, over_budget, within
from recordlayer.query.counting import count_plan
from recordlayer.query.direct_page import DirectPage
from recordlayer.query.envelope import Envelope, opened
from recordlayer.query.explain import Explanation, explain_plan, reasons
from recordlayer.query.group import GroupQuery
from recordlayer.query.hiding import count_visible, run_visible
from recordlayer.query.join import JoinQuery
from recordlayer.query.measuring import Measured
from recordlayer.query.observing import QueryWatch
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.plan.filter import keeper
from recordlayer.query.planned import Planned
from recordlayer.query.planner import plan
from recordlayer.query.problem import Problem, problem_of
from recordlayer.query.query import Query, RecordQuery
from recordlayer.query.rules.grouping import plan_groups
from recordlayer.query.rules.joining import plan_join, side_to_help
from recordlayer.query.slot import Unlike
from recordlayer.query.statistics import known
from recordlayer.store.store import RecordStore
from recordlayer.waiting.waitable import Waitable


def planned(store: RecordStore, query: Query) -> Planned:
    """The plan of a query on a store.  Raises  NoPlan, and what does not fit the metadata."""
    if store.states.chooses is not None and isinstance(query, Query):
        query = query.of_chosen
    if isinstance(query, RecordQuery):
        states = store.states
        return plan(query, store.metadata, states.peek, states=states.marked, knowledge=known(store))
    if isinstance(query, GroupQuery):
        marked = store.states.marked
        return plan_groups(query, store.metadata, store.states.peek, states=marked, knowledge=known(store))
    if isinstance(query, JoinQuery):
        return plan_join(query, store.metadata, store.states.peek, knowledge=known(store))
    raise WrongType(query=query, hint='make one with query("Order").where(...)')


def run_query(
    store: RecordStore,
    query: Query,
    *,
    limit: int = 0,
    skip: int = 0,
    resume: bytes | None = None,
    limits: Limits = NO_LIMITS,
    snapshot: bool = False,
    prefetch: bool = False,
) -> Cursor[Any]:
    """The records of a query, or its rows.

    limit     records, 0 for all
    skip      records that are left out before the first; with `resume` the same number again
    resume    a continuation of this query: the plan that gave it is taken again
    prefetch  begin the next read while records are used

    Raises  NoPlan; OverBudget; BadContinuation for one of another query, or when its plan is no longer possible;
            UsageError.
    """
    if store.visible is not None:
        how: dict[str, Any] = {"limit": limit, "skip": skip, "limits": limits, "snapshot": snapshot}
        return run_visible(store, query, _run, resume=resume, prefetch=prefetch, **how)
    return _run(
        store, query, limit=limit, skip=skip, resume=resume, limits=limits, snapshot=snapshot, prefetch=prefetch
    )


def _run(
    store: RecordStore,
    query: Query,
    *,
    limit: int,
    skip: int,
    resume: bytes | None,
    limits: Limits,
    snapshot: bool,
    prefetch: bool,
) -> Cursor[Any]:
    if not (type(limit) is type(skip) is int and limit >= 0 <= skip):
        _check_number("limit", limit)
        _check_number("skip", skip)
    observed = store.context.observed
    watch = None if observed is None else QueryWatch(observed, store, query)
    found = planned(store, query)
    marks = Marks(store, query)
    budgeted, wanted = limits_of(store, query), limit + skip if limit else 0
    if watch is None and resume is None and not skip and not prefetch and budgeted is limits is NO_LIMITS:
        page = _directly(found, marks, limit, snapshot)
        if page is not None:
            return page
    if resume is None:
        chosen, place = within(found, query, budgeted, wanted, lambda: _problem(store, query)), None
    else:
        chosen, place = marks.resumed(found, resume, skip)
    if watch is not None:
        watch.planned(chosen, cached=found.cached)
    run = Run(
        store=store,
        continuation=place,
        snapshot=snapshot,
        expect=wanted,
        limit=wanted,
        budget=budget_of(store.context, as_limits("limits", limits), budgeted),
    )
    cursor = _page(chosen, run, limit=limit, skip=skip)
    if prefetch:
        cursor = Prefetch(cursor)
    enveloped = Enveloped(cursor, marks, chosen, skip)
    return enveloped if watch is None else watch.around(enveloped)


def _directly(found: Planned, marks: Marks, limit: int, snapshot: bool) -> DirectPage | None:
    """The page of a plan that is run directly; None for others."""
    (direct, values), store = found.direct, marks.store
    if direct is None or store.context.read_limits is not None:
        return None
    try:
        scans, keep = direct.scans(store, values), None if direct.decide is None else keeper(direct.decide(values))
    except (Unlike, RecordLayerError):
        return None  # the plan itself says what is wrong, or is another one
    if scans is None:
        return None

    def rest(wanted: int, begun: Iterator[Waitable[Chunk]]) -> Cursor[Any]:
        run = Run(store=store, snapshot=snapshot, expect=wanted, limit=limit, begun=begun)
        return Enveloped(_page(found.plan, run, limit=limit, skip=0), marks, found.plan, 0)

    def seal(place: bytes) -> bytes:
        return marks.sealed(found.plan, 0, place)

    return DirectPage(store, scans, direct.way, keep, limit=limit, snapshot=snapshot, seal=seal, rest=rest)


def _page(chosen: Plan, run: Run, *, limit: int, skip: int) -> Cursor[Any]:
    """The rows of a plan that a page has."""
    cursor: Cursor[Any]
    if skip:
        cursor = Skip(lambda inner: chosen.execute(replace(run, continuation=inner)), skip, run.continuation)
    else:
        cursor = chosen.execute(run)
    return Limit(cursor, limit) if limit else cursor


async def analyze(
    store: RecordStore, query: Query, *, limit: int = 0, limits: Limits = NO_LIMITS, snapshot: bool = False
) -> Explanation:
    """The query is run, as far as limits let it, and explained with what each node did. Its rows are dropped.

    Cost    as running it.
    Raises  as `run_query`; BudgetSpent.
    """
    _check_number("limit", limit)
    found = planned(store, query)
    budgeted = limits_of(store, query)
    chosen = Measured(within(found, query, budgeted, limit, lambda: _problem(store, query)))
    budget = budget_of(store.context, as_limits("limits", limits), budgeted)
    run = Run(store=store, snapshot=snapshot, expect=limit, limit=limit, budget=budget)
    page = _page(chosen, run, limit=limit, skip=0)
    while (await page.batch()).stop is None:
        pass
    return explain_plan(
        chosen,
        reasons(found),
        query=str(query),
        problem=_problem(store, query),
        statistics=found.knowledge.sources,
    )


def explained(store: RecordStore, query: Query) -> Explanation:
    """What a query will do. Reads nothing."""
    found = planned(store, query)
    return explain_plan(
        found.plan,
        reasons(found),
        query=str(query),
        problem=_problem(store, query),
        statistics=found.knowledge.sources,
    )


def _check_number(name: str, number: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise UsageError(**{name: number}, hint="give a whole number; 0 or None for none")


def _problem(store: RecordStore, query: Query) -> Problem:
    """The query as one for records in the order that is wanted of them; of a join, the side that needs an index."""
    if isinstance(query, JoinQuery):
        return side_to_help(query, store.metadata, store.states.peek)
    records = replace(query.source, sort=query.columns) if isinstance(query, GroupQuery) else query
    return problem_of(records, store.metadata, store.states.peek)


class Marks:
    """What the continuations of one query on one store say. Worked out when the first one is asked for."""

    __slots__ = ("_envelope", "_query", "store")

    def __init__(self, store: RecordStore, query: Query) -> None:
        self.store = store
        self._query = query
        self._envelope: Envelope | None = None

    def sealed(self, chosen: Plan, skip: int, place: bytes) -> bytes:
        """The continuation at a place in the plan that is run."""
        if self._envelope is None:
            self._envelope = Envelope(
                query=identity.of_query(self._query),
                plan=_identity(chosen, skip),
                metadata_version=self.store.metadata.version,
            )
        return self._envelope.seal(place)

    def resumed(self, found: Planned, resume: bytes, skip: int) -> tuple[Plan, bytes]:
        """The plan that gave a continuation, and the place in it.  Raises  BadContinuation."""
        envelope, place = opened(resume)
        if envelope.query != identity.of_query(self._query):
            raise BadContinuation(
                reason="it is of another query", query=str(self._query), hint="resume with the same query and values"
            )
        for candidate in (found.plan, *found.others):
            if envelope.plan == _identity(candidate, skip):
                return candidate, place
        raise ExpiredContinuation(
            reason="no plan of this query gives it any longer",
            plan=found.plan.line,
            metadata_version=envelope.metadata_version,
            now=self.store.metadata.version,
            hint="an index was dropped, disabled or changed since, or `skip` was not given then as now: begin anew",
        )


def _identity(chosen: Plan, skip: int) -> bytes:
    """The place within a plan is told otherwise where something is skipped."""
    return identity.of_plan(("skip", chosen.identity) if skip else chosen.identity)


class Enveloped(Cursor[Any]):
    """A cursor whose continuations say which query and plan they belong to."""

    __slots__ = ("_marks", "_plan", "_skip", "_source")

    def __init__(self, source: Cursor[Any], marks: Marks, chosen: Plan, skip: int) -> None:
        self._source = source
        self._marks = marks
        self._plan = chosen
        self._skip = skip

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[Any]:
        batch = await self._source.batch()
        inner = batch.resume

        def end() -> bytes | None:
            return None if batch.end is None else self._wrap(batch.end)

        return Batch(batch.values, lambda index: self._wrap(inner(index)), batch.stop, end)

    def _wrap(self, place: bytes) -> bytes:
        return self._marks.sealed(self._plan, self._skip, place)


async def count(store: RecordStore, query: RecordQuery, *, snapshot: bool = False) -> int:
    """How many records a query has. A count is whole or not at all: where a budget ends, it fails.

    Cost    1 read from a COUNT index, else as running the query.
    Raises  OverBudget, BudgetSpent.
    """
    if store.visible is not None:
        query = count_visible(store, query)
    chosen = count_plan(store, query, lambda asked: planned(store, asked).plan)
    limits = limits_of(store, query)
    if not keeps(chosen, limits, 0):
        raise over_budget(str(query), chosen, limits, 0, _problem(store, query))
    budget = budget_of(store.context, limits)
    return await chosen.count(Run(store=store, snapshot=snapshot, budget=budget))
