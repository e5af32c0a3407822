"""Which zones of a database have changed: those whose records have, and those that were made or deleted.

Zones may be told of that have not changed: what was told last was uncertain, or several were cleared at once. Who comes
without a token is told all zones there are.

Cost    2 reads of feeds and 3 of groups; without a token a range read over the zones
"""

from __future__ import annotations

from typing import Any

from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import sync_pb2
from recordlayer.errors import FeedMissing, FeedTokenExpired
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant
from recordlayer_server.store_formats import can_keep_changes, not_synced
from recordlayer_server.sync.tokens import DatabaseToken, Tokens, expired
from recordlayer_server.zone_catalog import DEFAULT_ZONE
from recordlayer_server.zones import zone_reply


async def database_changes(
    databases: Databases, tx: Transaction, tenant: Tenant, tokens: Tokens, token: DatabaseToken | None
) -> sync_pb2.DatabaseChangesReply:
    """One page.  Raises  Refusal."""
    records = await databases.records(tx, tenant)
    zones = await databases.zones(tx, tenant)
    known = await _known(databases, zones)
    changed: set[str] = set()
    try:
        of_records, of_zones, everything, more = await _behind(records, zones, token, changed)
    except FeedTokenExpired as error:
        raise expired(str(error.fields.get("reason", error.title))) from error
    except FeedMissing as error:
        raise expired("the database keeps its changes no more") from error
    if everything:
        changed = {DEFAULT_ZONE, *known}
    reply = sync_pb2.DatabaseChangesReply(
        token=tokens.database(DatabaseToken(of_records, of_zones)), more_coming=more, complete=token is None
    )
    for name in sorted(changed):
        zone = known.get(name)
        if name == DEFAULT_ZONE or (zone is not None and not (token is None and zone.HasField("deleted_at"))):
            reply.zones.append(zone_reply(name, zone))
    return reply


async def _behind(
    records: RecordStore | None, zones: RecordStore | None, token: DatabaseToken | None, changed: set[str]
) -> tuple[bytes, bytes, bool, bool]:
    """The next tokens, whether all zones may have changed, and whether there is more."""
    of_records = of_zones = b""
    everything, more = token is None, False
    for store in (records, zones):
        if store is not None and store.feed.settings is None and not can_keep_changes(store):
            raise not_synced()
    if records is None or records.feed.settings is None:
        if token is not None and token.records:
            raise FeedTokenExpired(reason="the database was begun anew")
    elif token is None or not token.records:
        of_records, everything = await records.feed.groups_now(), True
    else:
        page = await records.feed.groups_changed(since=token.records)
        of_records, more, everything = page.token, page.more, page.everything
        changed.update(str(group[0]) for group in page)
    if zones is None or zones.feed.settings is None:
        if token is not None and token.zones:
            raise FeedTokenExpired(reason="the database was begun anew")
    elif token is None or not token.zones:
        of_zones, everything = await zones.feed.now(), True
    else:
        made = await zones.feed.changes(since=token.zones)
        of_zones, more = made.token, more or made.more
        changed.update(str(change.primary_key[0]) for change in made if change.primary_key)
    return of_records, of_zones, everything, more


async def _known(databases: Databases, zones: RecordStore | None) -> dict[str, Any]:
    """All zones that there are or were, but the default one."""
    if zones is None:
        return {}
    found: list[Any] = await zones.scan(limit=2 * databases.limits.zones_per_database, snapshot=True).all()
    return {zone.name: zone for zone in found}
