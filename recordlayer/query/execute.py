"""Running plans: pages that can be resumed by the same plan only.

Layout  a continuation is a protobuf message {1 "RLQ" as a number, 2 fingerprint of the plan, 3 the plan's own}
Source  ours; a continuation of Java's query plans is refused (it means something for Java's plan only)
"""

from __future__ import annotations

import hashlib
from typing import Any

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields
from recordlayer.cursor.limits import NO_LIMITS, Limits
from recordlayer.cursor.step import Batch, Cursor
from recordlayer.cursor.transform import Limit
from recordlayer.errors import BadContinuation, UsageError, WrongType
from recordlayer.query.observing import QueryWatch
from recordlayer.query.plan.aggregate import CountFromIndex, CountRows
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.planner import Planned, plan
from recordlayer.query.problem import problem_of
from recordlayer.query.query import RecordQuery
from recordlayer.query.rules.count import count_from_index
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore

_MARK = 0x524C51
_FINGERPRINT_BYTES = 8


def planned(store: RecordStore, query: RecordQuery) -> Planned:
    """The plan of a query on a store.  Raises  NoPlan, and what does not fit the metadata."""
    if not isinstance(query, RecordQuery):
        raise WrongType(query=query, hint='make one with query("Order").where(...)')
    return plan(query, store.metadata, store.states.peek)


def fingerprint(chosen: Plan) -> bytes:
    """Eight bytes that tell plans apart."""
    return hashlib.blake2b(chosen.line.encode(), digest_size=_FINGERPRINT_BYTES).digest()


def run_query(
    store: RecordStore,
    query: RecordQuery,
    *,
    limit: int = 0,
    resume: bytes | None = None,
    limits: Limits = NO_LIMITS,
    snapshot: bool = False,
) -> Cursor[StoredRecord]:
    """The records of a query.

    limit   records, 0 for all
    resume  a continuation of this query: the plan that gave it is taken again

    Raises  NoPlan; BadContinuation for one of another query, or when its plan is no longer possible; UsageError.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise UsageError(limit=limit, hint="give a whole number; 0 or None for all")
    observed = store.context.observed
    watch = None if observed is None else QueryWatch(observed, store, query)
    found = planned(store, query)
    chosen, inner = (found.plan, None) if resume is None else _resumed(found, resume)
    if watch is not None:
        watch.planned(chosen)
    run = Run(
        store=store,
        continuation=inner,
        snapshot=snapshot,
        expect=limit,
        budget=limits.budget(store.context.world.clock),
    )
    cursor: Cursor[Any] = chosen.execute(run)
    if limit:
        cursor = Limit(cursor, limit)
    enveloped = Enveloped(cursor, fingerprint(chosen))
    return enveloped if watch is None else watch.around(enveloped)


def _resumed(found: Planned, resume: bytes) -> tuple[Plan, bytes | None]:
    fields = decode_fields(resume)
    if fields.get(1) != _MARK:
        raise BadContinuation(
            reason="it is not one of a query", hint="scans resume scans, and queries resume queries of recordlayer"
        )
    wanted = bytes_field(fields, 2)
    for candidate in (found.plan, *found.others):
        if fingerprint(candidate) == wanted:
            return candidate, bytes_field(fields, 3)
    raise BadContinuation(
        reason="no plan of this query gave it",
        plan=found.plan.line,
        hint="resume with the same query and values; if an index has been dropped or disabled since, begin anew",
    )


class Enveloped(Cursor[StoredRecord]):
    """A cursor whose continuations say which plan they belong to."""

    __slots__ = ("_fingerprint", "_source")

    def __init__(self, source: Cursor[StoredRecord], plan_fingerprint: bytes) -> None:
        self._source = source
        self._fingerprint = plan_fingerprint

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[StoredRecord]:
        batch = await self._source.batch()
        inner = batch.resume
        end = None if batch.end is None else self._wrap(batch.end)
        return Batch(batch.values, lambda index: self._wrap(inner(index)), batch.stop, end)

    def _wrap(self, inner: bytes) -> bytes:
        return encode_fields({1: _MARK, 2: self._fingerprint, 3: inner})


def count_plan(store: RecordStore, query: RecordQuery) -> CountFromIndex | CountRows:
    """How records of a query are counted: from an index that counts them, else one by one."""
    if query.sort:
        query = RecordQuery(record_types=query.record_types, filter=query.filter, fields=query.fields)
    counted = count_from_index(problem_of(query, store.metadata, store.states.peek))
    return counted if counted is not None else CountRows(planned(store, query).plan)


async def count(store: RecordStore, query: RecordQuery, *, snapshot: bool = False) -> int:
    """How many records a query has.  Cost  1 read from a COUNT index, else as running the query."""
    return await count_plan(store, query).count(Run(store=store, snapshot=snapshot))
