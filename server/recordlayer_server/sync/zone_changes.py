"""The changes of one zone: who has no token copies its records by name, page by page, and then follows the feed from
before the copy on; what both have is the same, in a later state.

A zone that was made again is another one, and its readers begin anew; so do those of a zone whose records were cleared
at once by something else than its deletion, and those whose token is older than what is remembered.

Cost    of a page: 1 read of the zone, 3 of the feed, and 1 range read a record
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from recordlayer import Limits as ReadLimits
from recordlayer import Stop
from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import context_pb2, types_pb2
from recordlayer.errors import FeedMissing, FeedTokenExpired
from recordlayer.feed.change import Change
from recordlayer.index.bounds import Bounds, End
from recordlayer.store.change_layout import ChangeKind
from recordlayer.store.record import StoredRecord
from recordlayer_server.contents import Shape, name_of, outgoing
from recordlayer_server.store_formats import can_keep_changes, not_synced
from recordlayer_server.sync.tokens import Phase, ZoneToken, expired
from recordlayer_server.values import timestamp

REASONS = {
    Stop.EXHAUSTED: context_pb2.EXHAUSTED,
    Stop.LIMIT_REACHED: context_pb2.RECORD_LIMIT,
    Stop.SCAN_LIMIT: context_pb2.SCAN_LIMIT,
    Stop.BYTE_LIMIT: context_pb2.BYTE_LIMIT,
    Stop.TIME_LIMIT: context_pb2.TIME_LIMIT,
}


@dataclass(slots=True)
class Room:
    """What still fits into a reply."""

    records: int
    size: int

    def takes(self, record: types_pb2.Record) -> bool:
        size = record.ByteSize() + 8
        if self.records < 1 or size > self.size:
            return False
        self.records -= 1
        self.size -= size
        return True


@dataclass(slots=True)
class ZonePage:
    """Records that have changed, and where to go on. `full`: it ended since the reply had no room."""

    token: ZoneToken
    records: list[types_pb2.Record] = field(default_factory=list)
    stopped: Stop = Stop.EXHAUSTED
    full: bool = False

    @property
    def more(self) -> bool:
        return self.stopped is not Stop.EXHAUSTED


@dataclass(frozen=True, slots=True)
class ZoneReader:
    """Reads the changes of zones of one database.

    types  names of record types, none for all
    """

    shape: Shape
    types: Collection[str]
    limits: ReadLimits

    async def page(
        self, store: RecordStore | None, zone: str, incarnation: int, token: ZoneToken | None, room: Room
    ) -> ZonePage:
        """The page behind a token, or the first one. `room` is what is left of the reply; 1 record at least.

        Raises  Refusal.
        """
        if token is not None and token.incarnation != incarnation:
            raise expired("the zone was deleted and made again")
        if store is None:
            if token is not None and (token.feed or token.after or token.phase == Phase.FOLLOW):
                raise expired("the database was begun anew")
            return ZonePage(ZoneToken(zone, incarnation, Phase.COPY))
        if not (keeps := store.feed.settings is not None) and not can_keep_changes(store):
            raise not_synced()
        if token is None or (token.phase == Phase.COPY and not token.after):
            feed = await store.feed.now(group=zone) if keeps else b""
            token = ZoneToken(zone, incarnation, Phase.COPY, feed)
        elif keeps and not token.feed:
            raise expired("the database has kept its changes only since then")
        if token.phase == Phase.COPY:
            return await self._copied(store, token, room)
        if not token.feed:
            return ZonePage(token)  # whatever writes lets the database keep its changes
        return await self._followed(store, token, room)

    async def _copied(self, store: RecordStore, token: ZoneToken, room: Room) -> ZonePage:
        low = (token.zone, token.after) if token.after else (token.zone,)
        low_end = End.EXCLUSIVE if token.after else End.INCLUSIVE
        bounds = Bounds.between(low, (token.zone,), low_end=low_end, high_end=End.INCLUSIVE)
        page, after = ZonePage(token), token.after
        cursor = store.scan(bounds=bounds, limit=room.records, limits=self.limits, snapshot=True)
        async for stored in cursor.records():
            if not self.types or stored.record_type.name in self.types:
                record = self._outgoing(stored, room, first=not page.records)
                if record is None:
                    page.stopped, page.full = Stop.LIMIT_REACHED, True
                    break
                page.records.append(record)
            after = stored.primary_key[1]
        else:
            assert cursor.stopped is not None, "the cursor was read to its end"
            page.stopped = cursor.stopped
        if page.more:
            page.token = ZoneToken(token.zone, token.incarnation, Phase.COPY, token.feed, after)
            return page
        page.token = ZoneToken(token.zone, token.incarnation, Phase.FOLLOW, token.feed)
        if token.after and token.feed:
            page.stopped = Stop.LIMIT_REACHED  # what has changed since the first page is still to come
        return page

    async def _followed(self, store: RecordStore, token: ZoneToken, room: Room) -> ZonePage:
        try:
            found = await store.feed.changes(
                since=token.feed,
                group=token.zone,
                types=self.types or None,
                coalesced=True,
                limit=room.records,
                limits=self.limits,
            )
        except FeedTokenExpired as error:
            raise expired(str(error.fields.get("reason", error.title))) from error
        except FeedMissing as error:
            raise expired("the database keeps its changes no more") from error
        page, behind = ZonePage(token, stopped=found.stopped), found.token
        last: Change | None = None
        for change in found.changes:
            if change.kind is ChangeKind.CLEAR and len(change.primary_key) < 2:
                raise expired("all records of the zone were removed at once")
            record = self._told(change, room, first=not page.records)
            if record is None:
                assert last is not None, "the first record of a page always fits"
                behind, page.stopped, page.full = found.token_behind(last), Stop.LIMIT_REACHED, True
                break
            page.records.append(record)
            last = change
        page.token = ZoneToken(token.zone, token.incarnation, Phase.FOLLOW, behind)
        return page

    def _told(self, change: Change, room: Room, *, first: bool) -> types_pb2.Record | None:
        stored = change.new
        if stored is not None and (not self.types or change.record_type in self.types):
            return self._outgoing(stored, room, first=first)
        gone = types_pb2.Record(
            name=name_of(change.primary_key), record_type=change.old_type or change.record_type, deleted=True
        )
        gone.modified.time.CopyFrom(timestamp(round(change.when.timestamp() * 1_000_000)))
        return gone if room.takes(gone) or first else None

    def _outgoing(self, stored: StoredRecord, room: Room, *, first: bool) -> types_pb2.Record | None:
        """A record as it goes out, None if it does not fit; the first one goes in any case."""
        record = outgoing(stored, self.shape)
        if room.takes(record):
            return record
        if not first:
            return None
        if record.ByteSize() + 8 > room.size:
            record.ClearField("content")
            record.chunked = True
        room.takes(record)
        return record


async def anything_new(tx: Transaction, store: RecordStore, token: ZoneToken) -> bool:
    """Whether a zone has changed behind a token that follows it.

    Cost    3 reads.
    Raises  Refusal.
    """
    try:
        found = await store.feed.changes(since=token.feed, group=token.zone, limit=1)
    except FeedTokenExpired as error:
        raise expired(str(error.fields.get("reason", error.title))) from error
    except FeedMissing as error:
        raise expired("the database keeps its changes no more") from error
    return bool(found.changes) or found.more
