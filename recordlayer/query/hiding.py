"""Queries on a store that hides what has expired: the condition says so too, so that every plan keeps to it.

All pages of a query hide what had expired when its first page began: that time goes along in the continuations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields, number_field
from recordlayer.cursor.step import Batch, Cursor
from recordlayer.errors import BadContinuation, UsageError
from recordlayer.keys import Field, KeyExpression, Nesting
from recordlayer.query.evaluate import resolve
from recordlayer.query.paths import FieldPath, as_steps, q
from recordlayer.query.query import Query, RecordQuery
from recordlayer.store.expired import by_field
from recordlayer.store.store import RecordStore

FORM = 1


def without_expired(store: RecordStore, query: Query, now: int) -> RecordQuery:
    """The same query for records that have not expired by `now`, in milliseconds since 1970.

    Raises  UsageError for a query for which that cannot be said.
    """
    if not isinstance(query, RecordQuery):
        raise UsageError(
            query=str(query), hint="groups and joins cannot leave out what has expired: open the store without it"
        )
    names = query.record_types or tuple(store.metadata.record_types)
    found = {name: by_field(store.metadata, name) for name in names if name in store.metadata.record_types}
    if any(name in store.metadata.synthetic for name in names):
        raise UsageError(
            record_types=names, hint="what is made from records that expire is hidden by load_synthetic only"
        )
    if not any(found.values()):
        return query
    if len(names) > 1:
        raise UsageError(record_types=names, hint="where records expire, ask for one record type at a time")
    for index, expiry in found[names[0]]:
        path = _path(index.root_expression.normalized()[0])
        stays = path.is_null() | (path > expiry.latest(now / 1000))
        if not resolve(as_steps(path), store.metadata.record_types[names[0]].descriptor)[-1].has_presence:
            stays = stays | (path == 0)  # nobody has set it: no time, as for indexes
        query = query.where(stays)
    return query


def _path(column: KeyExpression) -> FieldPath:
    path: Any = q
    while isinstance(column, Nesting):
        path = path[column.parent.name]
        column = column.child
    if not isinstance(column, Field):
        raise UsageError(expression=column, hint="only a time in a field can be hidden by")
    found: FieldPath = path[column.name]
    return found


def run_visible(store: RecordStore, query: Query, run: Callable[..., Cursor[Any]], **how: Any) -> Cursor[Any]:
    """The rows of a query without what has expired."""
    resume = how.pop("resume")
    now, inner = _now(store), None
    if resume is not None:
        fields = decode_fields(resume, known=3)
        inner = bytes_field(fields, 3)
        if number_field(fields, 1) != FORM or inner is None:
            raise BadContinuation(reason="it is of a store that was opened otherwise", hint="hide_expired as before")
        now = number_field(fields, 2)
    return _AsOf(run(store, without_expired(store, query, now), resume=inner, **how), now)


def count_visible(store: RecordStore, query: RecordQuery) -> RecordQuery:
    """The query whose records are counted."""
    return without_expired(store, query, _now(store))


def _now(store: RecordStore) -> int:
    return max(0, int(store.context.world.clock.wall() * 1000))


class _AsOf(Cursor[Any]):
    """A cursor whose continuations tell what time its query goes by."""

    __slots__ = ("_now", "_source")

    def __init__(self, source: Cursor[Any], now: int) -> None:
        self._source = source
        self._now = now

    def start(self) -> None:
        self._source.start()

    async def batch(self) -> Batch[Any]:
        batch, now = await self._source.batch(), self._now

        def told(inner: bytes) -> bytes:
            return encode_fields({1: FORM, 2: now, 3: inner})

        def end() -> bytes | None:
            return None if batch.end is None else told(batch.end)

        return Batch(batch.values, lambda place: told(batch.resume(place)), batch.stop, end)
