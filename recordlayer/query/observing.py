"""Queries as observers see them: the plan that was chosen, and what a page cost once it has been given out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from recordlayer.cursor.step import Batch, Cursor
from recordlayer.kv.observed import ObservedTransaction
from recordlayer.observe.events import Bytes, QueryFinished, QueryPlanned
from recordlayer.query.plan.base import Plan
from recordlayer.query.query import Query
from recordlayer.store.places import path_of
from recordlayer.store.store import RecordStore


class QueryWatch:
    """One query from its planning on. Made only when somebody observes the transaction."""

    def __init__(self, observed: ObservedTransaction, store: RecordStore, query: Query) -> None:
        self.observed = observed
        self.store = store
        self.clock = store.context.world.clock
        self.query = query
        self.plan = ""
        self.path = path_of(store.layout.prefix)
        self._began = self.clock.monotonic()

    def planned(self, plan: Plan, *, cached: bool) -> None:
        """The plan is chosen."""
        self.plan = plan.line
        if self.observed.wants(QueryPlanned):
            took = timedelta(seconds=self.clock.monotonic() - self._began)
            self.observed.emit(
                QueryPlanned(
                    origin=self.observed.origin,
                    store=self.path,
                    query=str(self.query),
                    plan=self.plan,
                    took=took,
                    cached=cached,
                )
            )

    def around(self, cursor: Cursor[Any]) -> Cursor[Any]:
        """The cursor that runs the plan; tells when it has stopped."""
        return _Watched(cursor, self) if self.observed.wants(QueryFinished) else cursor


class _Watched(Cursor[Any]):
    """Counts what passes. The time is that of reading, not of whoever uses the records."""

    __slots__ = ("_keys", "_read", "_rows", "_source", "_took", "_watch")

    def __init__(self, source: Cursor[Any], watch: QueryWatch) -> None:
        self._source = source
        self._watch = watch
        self._rows = self._keys = self._read = 0
        self._took = 0.0

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[Any]:
        watch = self._watch
        counters = watch.store.context.counters
        began, keys, read = watch.clock.monotonic(), counters.rows_read, counters.bytes_read
        found = await self._source.batch()
        self._took += watch.clock.monotonic() - began
        self._keys += counters.rows_read - keys
        self._read += counters.bytes_read - read
        self._rows += len(found.values)
        if found.stop is not None:
            watch.observed.emit(
                QueryFinished(
                    origin=watch.observed.origin,
                    store=watch.path,
                    query=str(watch.query),
                    plan=watch.plan,
                    rows=self._rows,
                    keys=self._keys,
                    read=Bytes(self._read),
                    took=timedelta(seconds=self._took),
                    stopped=found.stop.name.lower(),
                )
            )
        return found
