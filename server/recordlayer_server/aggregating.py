"""Numbers over many records: from an index, never by reading records, but for a count under a condition that no index
counts by.

Such a count reads within the limits of a page, and is refused when they do not suffice: a number that is only a part
would be taken for the whole.
"""

from __future__ import annotations

from typing import Any

from google.rpc import code_pb2

from recordlayer import RecordMetaData, Stop, agg, concat
from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import records_pb2, types_pb2
from recordlayer.errors import UsageError
from recordlayer.keys import Grouping, KeyExpression, field_path
from recordlayer.keys.access import is_message, is_repeated
from recordlayer.pb.types import FieldDescriptor
from recordlayer.query.paths import FieldPath
from recordlayer_server import statuses
from recordlayer_server.databases import Databases
from recordlayer_server.filters import operand, query_of, steps_of
from recordlayer_server.limits import Limits
from recordlayer_server.paging import read_limits
from recordlayer_server.places import Tenant
from recordlayer_server.schema import COUNT_INDEX, ZONE
from recordlayer_server.statuses import bad_request
from recordlayer_server.unreadable import builds_are_told
from recordlayer_server.values import of_python
from recordlayer_server.zone_catalog import missing_zones

Function = records_pb2.AggregateRequest
_FUNCTIONS = {
    Function.COUNT: "count",
    Function.COUNT_NOT_NULL: "count_not_null",
    Function.SUM: "sum",
    Function.MIN: "min",
    Function.MAX: "max",
    Function.COUNT_DISTINCT: "count_distinct",
}


async def aggregate(
    databases: Databases,
    tx: Transaction,
    tenant: Tenant,
    zone: str,
    request: records_pb2.AggregateRequest,
    time_left: float,
) -> types_pb2.Value:
    """The value that is asked for.  Raises  Refusal."""
    metadata = await databases.metadata(tx, tenant)
    if metadata is None:
        raise statuses.forbidden()
    if request.record_type not in metadata.record_types:
        raise bad_request("record_type", "there is no such record type")
    if await missing_zones(databases, tx, tenant, (zone,)):
        raise statuses.not_found("zone", zone)
    asked = _Asked(request, metadata, zone)
    store = await databases.records(tx, tenant)
    if store is None:
        return of_python(0 if "count" in _FUNCTIONS.get(request.function, "") else None)
    async with builds_are_told(store):
        return of_python(await _value(store, asked, databases, time_left))


async def _value(store: RecordStore, asked: _Asked, databases: Databases, time_left: float) -> Any:
    request, zone = asked.request, asked.zone
    if request.HasField("filter"):
        return await _counted(store, asked, databases, time_left)
    if request.function == Function.COUNT and not request.group:
        key = store.metadata.record_type(request.record_type).record_type_key
        return await store.aggregate(COUNT_INDEX, zone, key, snapshot=True)
    if request.function in (Function.RANK, Function.PERCENTILE):
        return await _ranked(store, asked)
    extreme = await _extreme(store, asked, databases.limits)
    if extreme is not None:
        return extreme.value
    try:
        return await store.evaluate_aggregate(
            _FUNCTIONS[request.function],
            request.record_type,
            asked.columns,
            by=asked.by,
            group=asked.group,
            snapshot=True,
        )
    except UsageError as error:
        raise _no_index(asked) from error


async def _extreme(store: RecordStore, asked: _Asked, limits: Limits) -> Any:
    """The row with the least or the greatest value, where indexes have it; None if it is not asked for, or they have
    not."""
    request = asked.request
    if request.function not in (Function.MIN, Function.MAX) or not asked.plain:
        return None
    bare = records_pb2.QueryRequest(record_types=[request.record_type])
    field, *grouped = asked.paths
    of_group = [path == wanted for path, wanted in zip(grouped, asked.group[1:], strict=True)]
    records = query_of(bare, asked.zone, store.metadata, limits, *of_group)
    query = records.aggregate(value=agg.min(field) if request.function == Function.MIN else agg.max(field))
    if store.explain(query).root.children:
        return None  # it would read all of them
    return (await store.query(query, snapshot=True).all())[0]


class _Asked:
    """The request's fields, resolved.  Raises, when made  Refusal."""

    def __init__(self, request: records_pb2.AggregateRequest, metadata: RecordMetaData, zone: str) -> None:
        self.request = request
        self.zone = zone
        descriptor = metadata.record_type(request.record_type).descriptor
        if request.function not in (*_FUNCTIONS, Function.RANK, Function.PERCENTILE):
            raise bad_request("function", "say what to compute")
        if bool(request.field) == (request.function == Function.COUNT):
            raise bad_request("field", "COUNT has none, and all others need one")
        if request.HasField("filter") and (request.function != Function.COUNT or request.group):
            raise bad_request("filter", "only COUNT without a group takes a filter")
        if len(request.group) > 10:
            raise bad_request("group", "at most 10 fields")
        self.paths: list[FieldPath] = []
        """The field, if there is one, and those of the group."""
        self.plain = True
        """Whether all of them hold one value that is no message."""
        by: list[KeyExpression] = [ZONE]
        values: list[Any] = [zone]
        for place, one in enumerate(request.group):
            path, fields = steps_of(one.field, descriptor, f"group[{place}].field")
            self.paths.append(path)
            self._note(fields)
            by.append(field_path([each.name for each in fields]))
            values.append(operand(fields[-1], one.value, f"group[{place}].value"))
        self.by = concat(*by) if len(by) > 1 else by[0]
        self.group = tuple(values)
        self.columns: KeyExpression | None = None
        self.last: Any = None
        if request.field:
            path, fields = steps_of(request.field, descriptor, "field")
            self.columns, self.last = field_path([each.name for each in fields]), fields[-1]
            self.paths.insert(0, path)
            self._note(fields)

    def _note(self, fields: list[FieldDescriptor]) -> None:
        self.plain = self.plain and not is_message(fields[-1]) and not any(map(is_repeated, fields))


async def _counted(store: RecordStore, asked: _Asked, databases: Databases, time_left: float) -> int:
    query = query_of(
        records_pb2.QueryRequest(record_types=[asked.request.record_type], filter=asked.request.filter),
        asked.zone,
        store.metadata,
        databases.limits,
    )
    if not store.explain(query, counting=True).root.children:
        return await store.count(query, snapshot=True)  # kept by an index
    limits = read_limits(asked.request.limits, databases.limits, time_left)
    cursor = store.query(query, limits=limits, snapshot=True)
    number = 0
    async for _ in cursor.records():
        number += 1
    if cursor.stopped is not Stop.EXHAUSTED:
        text = "there are more records than may be read for it: an index by these conditions would help"
        raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "INDEX_REQUIRED", text, counted=number)
    return number


async def _ranked(store: RecordStore, asked: _Asked) -> Any:
    assert asked.columns is not None, "ranks are of a field"
    wanted = Grouping(concat(asked.by, asked.columns), 1).normalized()
    for index in store.metadata.indexes.values():
        types = index.record_types or (asked.request.record_type,)
        root = index.root_expression
        if index.type != "rank" or types != (asked.request.record_type,) or not isinstance(root, Grouping):
            continue
        if root.grouped_count == 1 and root.normalized() == wanted:
            ranks = store.ranks(index.name, *asked.group)
            if asked.request.function == Function.RANK:
                return await ranks.rank(operand(asked.last, asked.request.value, "value"), snapshot=True)
            if not 0 <= asked.request.fraction <= 1:
                raise bad_request("fraction", "0 to 1")
            return await ranks.percentile(asked.request.fraction, snapshot=True)
    raise _no_index(asked)


def _no_index(asked: _Asked) -> statuses.Refusal:
    name = records_pb2.AggregateRequest.Function.Name(asked.request.function)
    grouped = ", ".join(one.field for one in asked.request.group)
    wanted = f"{name} of {asked.request.field or 'records'}{f' grouped by {grouped}' if grouped else ''}"
    text = f"no index that can be read answers {wanted}"
    return statuses.refusal(code_pb2.FAILED_PRECONDITION, "INDEX_REQUIRED", text, definition=wanted)
