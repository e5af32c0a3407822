"""What a query will do, and parts of a zone for readers side by side."""

from __future__ import annotations

from itertools import pairwise

from recordlayer.aio import Transaction
from recordlayer.client.pb import records_pb2
from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.errors import NoPlan
from recordlayer.query.explain import ExplainedNode
from recordlayer_server import statuses
from recordlayer_server.databases import Databases
from recordlayer_server.paging import Pages, Sealing
from recordlayer_server.places import Tenant
from recordlayer_server.zone_catalog import missing_zones

MOST_PARTS = 100


async def explain(
    databases: Databases, tx: Transaction, pages: Pages, request: records_pb2.ExplainRequest, time_left: float
) -> records_pb2.ExplainReply:
    """The plan of a query in its zone, or in each of them; `analyze` runs one page of it.  Raises  Refusal."""
    reply = records_pb2.ExplainReply()
    store = await databases.records(tx, pages.tenant)
    if await databases.metadata(tx, pages.tenant) is None:
        raise statuses.forbidden()
    if store is None:
        reply.plan = reply.line = "nothing was written to this database yet"
        return reply
    query = pages.query(store.metadata, pages.zone)
    try:
        found = store.explain(query)
    except NoPlan as error:
        reply.plan = reply.line = "there is no plan"
        reply.missing_index = error.hint
        return reply
    reply.plan, reply.line = str(found), found.line
    reply.indexes.extend(sorted(_indexes(found.root)))
    reply.missing_index = found.would_help or ""
    for index, reason in found.not_used:
        reply.rejected.add(index=index, reason=reason)
    reply.estimated_keys, reply.estimated_round_trips = found.keys, found.round_trips
    if request.analyze:
        page = await pages.page(tx, request.query.continuation, time_left)
        reply.analysis.records = len(page.records)
        reply.analysis.end_reason = page.end_reason
        reply.analysis.cost.CopyFrom(page.cost)
    return reply


def _indexes(node: ExplainedNode) -> set[str]:
    """The indexes that a plan reads."""
    own = set() if node.index is None else {node.index}
    return own.union(*(_indexes(child) for child in node.children))


async def partitions(
    databases: Databases, tx: Transaction, tenant: Tenant, zone: str, parts: int, seal: ContinuationSeal
) -> list[bytes]:
    """Parts of a zone, each a token for a query; one at least.  Raises  Refusal."""
    if not 1 <= parts <= MOST_PARTS:
        raise statuses.bad_request("parts", f"1 to {MOST_PARTS}")
    if await databases.metadata(tx, tenant) is None:
        raise statuses.forbidden()
    if await missing_zones(databases, tx, tenant, (zone,)):
        raise statuses.not_found("zone", zone)
    store = await databases.records(tx, tenant)
    points = [] if store is None else await store.split_points(zone, pieces=parts)
    names = ["", *(point[1] for point in points if len(point) == 2), ""]
    sealing = Sealing(seal, await databases.prefix(tx, tenant), b"partition")
    return [sealing.close(zone, low, high) for low, high in pairwise(names)]
