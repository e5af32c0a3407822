"""Pages of queries: limits, early ends with their reasons, and continuations that only their own database opens.

A continuation says in which zone to go on and where in the library's query there. It is sealed for the database, so
that nobody reads keys from it, and for what it continues; the library's part says of which query and plan it is.

Layout  of an opened continuation: a tuple (zone, the library's continuation or b"")
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from google.rpc import code_pb2

from recordlayer import Limits as ReadLimits
from recordlayer import RecordMetaData, RecordQuery, Stop, q
from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import context_pb2, records_pb2, types_pb2
from recordlayer.cursor.sealing import ContinuationSeal, Tenant
from recordlayer.errors import BadContinuation, ExpiredContinuation
from recordlayer.metadata.envelope import varint
from recordlayer.query.predicate import Predicate
from recordlayer.tuples import pack, unpack
from recordlayer_server import places, statuses
from recordlayer_server.contents import Shape, outgoing, shape_of, zone_of
from recordlayer_server.databases import Databases
from recordlayer_server.filters import query_of
from recordlayer_server.limits import Limits
from recordlayer_server.record_bytes import told
from recordlayer_server.schema import SYSTEM
from recordlayer_server.unreadable import builds_are_told
from recordlayer_server.writing import cost_of
from recordlayer_server.zone_catalog import missing_zones, zone_names

_ROOM = 64 << 10  # of a reply, for what is not records
_RECORD = b"\x12"  # the tag of a reply's records
_REASONS = {
    Stop.EXHAUSTED: context_pb2.EXHAUSTED,
    Stop.LIMIT_REACHED: context_pb2.RECORD_LIMIT,
    Stop.SCAN_LIMIT: context_pb2.SCAN_LIMIT,
    Stop.BYTE_LIMIT: context_pb2.BYTE_LIMIT,
    Stop.TIME_LIMIT: context_pb2.TIME_LIMIT,
}


@dataclass(slots=True)
class Page:
    """One page. `records` are serialised; `too_large` is the message of a last record that does not fit into a reply;
    `full` says that the page ended since the reply had no room."""

    records: list[bytes] = field(default_factory=list)
    continuation: bytes = b""
    end_reason: context_pb2.EndReason = context_pb2.EXHAUSTED
    read_version: int = 0
    cost: context_pb2.Cost = field(default_factory=context_pb2.Cost)
    too_large: bytes = b""
    full: bool = False

    @property
    def in_reply(self) -> bytes:
        """The records as the bytes of a QueryReply or a QueryStreamReply that has nothing else."""
        return b"".join([part for record in self.records for part in (_RECORD, varint(len(record)), record)])


class Sealing:
    """Seals what belongs to one database, for one purpose."""

    def __init__(self, seal: ContinuationSeal, place: bytes, purpose: bytes) -> None:
        self._seal = seal
        self._tenant = Tenant(name=place + b"\0" + purpose, now=time.time())

    def close(self, *items: Any) -> bytes:
        return self._seal.seal(pack(items), self._tenant)

    def open(self, sealed: bytes) -> tuple[Any, ...]:
        """Raises  Refusal."""
        try:
            return unpack(self._seal.open(sealed, self._tenant))
        except ExpiredContinuation as error:
            raise _expired() from error
        except BadContinuation as error:
            raise _mismatch() from error


def _mismatch() -> statuses.Refusal:
    text = "the continuation is not one of this query on this database"
    return statuses.refusal(code_pb2.INVALID_ARGUMENT, "CONTINUATION_MISMATCH", text)


def _expired() -> statuses.Refusal:
    text = "the continuation can no longer be used: begin anew"
    return statuses.refusal(code_pb2.INVALID_ARGUMENT, "CONTINUATION_EXPIRED", text)


def read_limits(said: context_pb2.ReadLimits, limits: Limits, time_left: float) -> ReadLimits:
    """What a page may read: what the caller says, but not more than the server's limits.  Raises  Refusal."""
    if said.keys < 0 or said.bytes < 0 or said.time.ToMicroseconds() < 0:
        raise statuses.bad_request("limits", "0 or more of each")
    longest = min(limits.time_per_page.total_seconds(), max(0.001, time_left * 0.8))
    seconds = said.time.ToMicroseconds() / 1e6 or longest
    return ReadLimits(
        keys=min(said.keys or limits.keys_per_page, limits.keys_per_page),
        bytes=min(said.bytes or limits.bytes_per_page, limits.bytes_per_page),
        time=timedelta(seconds=min(seconds, longest)),
    )


class Pages:
    """The pages of one QueryRequest, one after the other.  Raises, when made  Refusal."""

    def __init__(
        self,
        databases: Databases,
        tenant: places.Tenant,
        request: records_pb2.QueryRequest,
        seal: ContinuationSeal,
        *,
        snapshot: bool = True,
    ) -> None:
        limits = databases.limits
        if request.limit < 0:
            raise statuses.bad_request("limit", "0 or more")
        if request.zone_wide and (request.HasField("zone") or request.sort):
            raise statuses.bad_request("zone_wide", "not with a zone, and not with an order")
        self._databases = databases
        self.tenant = tenant
        self._request = request
        self._seal = seal
        self._snapshot = snapshot
        self.zone = zone_of(request.zone, "zone", limits)
        self._most = min(request.limit or limits.records_per_page, limits.records_per_page)
        self.shape: Shape = shape_of(request, limits)

    async def page(self, tx: Transaction, continuation: bytes, time_left: float, *, most: int = 0) -> Page:
        """The page behind a continuation, or the first one, of at most so many records.  Raises  Refusal."""
        page, before = Page(read_version=await tx.read_version()), tx.counters.rows_read
        place = await self._databases.prefix(tx, self.tenant)
        sealing = Sealing(self._seal, place, b"query of all zones" if self._request.zone_wide else b"query")
        limits = read_limits(self._request.limits, self._databases.limits, time_left)
        zone, inner = sealing.open(continuation) if continuation else (None, b"")
        conditions = self._partition(Sealing(self._seal, place, b"partition"))
        store = await self._databases.records(tx, self.tenant)
        if store is None:
            metadata = await self._databases.metadata(tx, self.tenant)
            if metadata is None:
                raise statuses.forbidden()
            self.query(metadata, "")  # says what is wrong with it all the same
            if not self._request.zone_wide:
                await self._check_zone(tx)
            return page
        zones = await self._zones(tx, zone)
        spent = _Room(min(self._most, most or self._most), self._databases.limits.message_bytes - _ROOM)
        while zones:
            zone = zones.pop(0)
            async with builds_are_told(store):
                reason, behind = await self._in_zone(store, zone, inner, limits, conditions, page, spent)
            inner = b""
            if behind is None and zones:
                if spent.full or tx.counters.rows_read - before >= (limits.keys or 0):
                    reason = context_pb2.RECORD_LIMIT if spent.full else context_pb2.SCAN_LIMIT
                    page.continuation = sealing.close(zones[0], b"")
                    break
                continue
            if behind is not None:
                page.continuation = sealing.close(zone, behind)
            break
        page.end_reason = reason if page.continuation else context_pb2.EXHAUSTED
        page.cost = cost_of(tx)
        return page

    async def _in_zone(
        self,
        store: RecordStore,
        zone: str,
        inner: bytes,
        limits: ReadLimits,
        conditions: list[Predicate],
        page: Page,
        room: _Room,
    ) -> tuple[context_pb2.EndReason, bytes | None]:
        """Adds the records of a zone to the page: why it ended, and where to go on, None if there is no more."""
        query = self.query(store.metadata, zone, *conditions)
        try:
            cursor = store.query(
                query, limit=room.records, limits=limits, resume=inner or None, snapshot=self._snapshot
            )
            async for stored in cursor.records():
                record = told(stored, self.shape)
                if not room.takes(len(record) + 8):
                    page.full = True
                    if page.records:
                        cursor.give_back()
                        return context_pb2.RECORD_LIMIT, cursor.continuation if cursor.begun else inner
                    page.too_large = outgoing(stored, Shape(self.shape.wanted, types_pb2.MESSAGE)).message
                    without = types_pb2.Record.FromString(record)
                    without.ClearField("content")
                    without.chunked = True
                    page.records.append(without.SerializeToString())
                    return context_pb2.RECORD_LIMIT, cursor.continuation
                page.records.append(record)
        except ExpiredContinuation as error:
            raise _expired() from error
        except BadContinuation as error:
            raise _mismatch() from error
        assert cursor.stopped is not None, "the cursor was read to its end"
        return _REASONS[cursor.stopped], cursor.continuation

    def query(self, metadata: RecordMetaData, zone: str, *conditions: Predicate) -> RecordQuery:
        """The query in one zone.  Raises  Refusal."""
        return query_of(self._request, zone, metadata, self._databases.limits, *conditions)

    def _partition(self, sealing: Sealing) -> list[Predicate]:
        if not self._request.partition:
            return []
        zone, low, high = sealing.open(self._request.partition)
        if self._request.zone_wide or zone != self.zone:
            raise statuses.bad_request("partition", "it is one of another zone")
        name = q[SYSTEM]["name"]
        return ([name >= low] if low else []) + ([name < high] if high else [])

    async def _check_zone(self, tx: Transaction) -> None:
        if await missing_zones(self._databases, tx, self.tenant, (self.zone,)):
            raise statuses.not_found("zone", self.zone)

    async def _zones(self, tx: Transaction, first: str | None) -> list[str]:
        """The zones that are asked for, from one on."""
        if not self._request.zone_wide:
            await self._check_zone(tx)
            if first not in (None, self.zone):
                raise _mismatch()
            return [self.zone]
        names = await zone_names(self._databases, tx, self.tenant)
        return [name for name in names if first is None or name >= first]


class _Room:
    """What still fits into a page."""

    __slots__ = ("records", "size")

    def __init__(self, records: int, size: int) -> None:
        self.records = records
        self.size = size

    @property
    def full(self) -> bool:
        return self.records <= 0

    def takes(self, size: int) -> bool:
        if size > self.size:
            return False
        self.size -= size
        self.records -= 1
        return True
