"""The service's client for asyncio: records of the caller's own message types, in the zones of a database.

    async with connect("grpc://127.0.0.1:50051", container="com.example.shop") as client:
        zone = client.zone("orders")
        saved = await zone.save(Order(id=1), name="1")
        found = await zone.load(Order, "1")

When calls are tried again says `recordlayer.client.retries`.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self, TypeVar

import grpc

from recordlayer.client.addresses import address_of
from recordlayer.client.aio.transaction import Transaction, run_until_committed
from recordlayer.client.aio.zone import Zone
from recordlayer.client.pb import (
    assets_pb2_grpc,
    context_pb2,
    records_pb2_grpc,
    sync_pb2,
    sync_pb2_grpc,
    transactions_pb2_grpc,
    types_pb2,
    zones_pb2,
    zones_pb2_grpc,
)
from recordlayer.client.refusals import refusal_of
from recordlayer.client.retries import Attempts, Budget
from recordlayer.client.transport import AsyncTransport

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatabaseChanges:
    """A page of zones that have changed, or may have.

    changed   ask these for their changes
    deleted   these are gone
    complete  `changed` are all zones that there are: others that you know are gone
    """

    changed: list[str]
    deleted: list[str]
    token: bytes
    more_coming: bool
    complete: bool


class Client:
    """One database over a connection, which is made on first use and again after it was lost. `connect` makes one."""

    def __init__(
        self,
        transport: AsyncTransport,
        context: context_pb2.RequestContext,
        *,
        timeout: timedelta,
        token: str | Callable[[], str] | None,
        budget: Budget | None = None,
    ) -> None:
        self.transport = transport
        self.context = context
        self._timeout = timeout
        self._token = token
        self._budget = Budget() if budget is None else budget
        self.records: Any = records_pb2_grpc.RecordsStub(transport.channel)
        self.sync: Any = sync_pb2_grpc.SyncStub(transport.channel)
        self.assets: Any = assets_pb2_grpc.AssetsStub(transport.channel)
        self.transactions: Any = transactions_pb2_grpc.TransactionsStub(transport.channel)
        self._zones: Any = zones_pb2_grpc.ZonesStub(transport.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection, for all databases that use it."""
        await self.transport.close()

    def database(self, *, user: str | None = None) -> Client:
        """Another database of the container over the same connection: the public one, or the private one of a user."""
        context = context_pb2.RequestContext()
        context.CopyFrom(self.context)
        context.ClearField("database")
        _address_user(context, user)
        return Client(self.transport, context, timeout=self._timeout, token=self._token, budget=self._budget)

    def zone(self, name: str = "") -> Zone:
        """A zone of the database; "" is the default one. Asks the server nothing."""
        return Zone(self, types_pb2.ZoneName(name=name))

    async def create_zone(self, name: str) -> Zone:
        """The zone, which may have been there."""
        await self._change_zone("CREATE", name)
        return self.zone(name)

    async def delete_zone(self, name: str) -> None:
        """Delete a zone with all its records."""
        await self._change_zone("DELETE", name)

    async def zone_names(self) -> list[str]:
        """All zones of the database."""
        request, names = zones_pb2.ListZonesRequest(context=self.context), []
        while True:
            page = await self.call(self._zones.List, request)
            names += [zone.name.name for zone in page.zones]
            if not page.continuation:
                return names
            request.continuation = page.continuation

    async def changes(self, token: bytes = b"") -> DatabaseChanges:
        """Which zones have changed since a token; without one, all there are. Ask again at once while more is coming.

        Raises  CallRefused with the reason TOKEN_EXPIRED: begin without a token
        """
        request = sync_pb2.DatabaseChangesRequest(context=self.context, token=token)
        reply = await self.call(self.sync.DatabaseChanges, request)
        return DatabaseChanges(
            changed=[zone.name.name for zone in reply.zones if not zone.deleted],
            deleted=[zone.name.name for zone in reply.zones if zone.deleted],
            token=reply.token,
            more_coming=reply.more_coming,
            complete=reply.complete,
        )

    def transaction(self, *, read_only: bool = False, key: str = "") -> Transaction:
        """One interactive transaction, as a context; it is never tried again: `run` does that.

        read_only  writes are refused, and others may change what was read
        key        an idempotency key, 1 to 64 bytes: what was committed with it before is not committed again
        """
        return Transaction(self, read_only=read_only, key=key)

    async def run(self, function: Callable[[Transaction], Awaitable[T]], *, read_only: bool = False) -> T:
        """The result of `function(transaction)`, committed; begun again when others have changed what it read, or an
        answer was lost, and committed once.

        `function` may run several times: it must not change anything outside but through the transaction.

        Raises  what the function raises; CallRefused, NoAnswer when the time of a call is over
        """
        return await run_until_committed(self, function, read_only=read_only, key=uuid.uuid4().hex)

    async def _change_zone(self, kind: str, name: str) -> None:
        operation = zones_pb2.ZoneOperation(type=kind, name=types_pb2.ZoneName(name=name))
        # The same key however often it is sent: what another has made anew meanwhile is not deleted.
        request = zones_pb2.ModifyZonesRequest(
            context=self.context, operations=[operation], idempotency_key=uuid.uuid4().hex
        )
        (result,) = (await self.call(self._zones.Modify, request)).results
        if result.status.code:
            raise refusal_of(result.status)

    def attempts(self) -> Attempts:
        """Those of a call that begins now."""
        return Attempts(self._budget, self._timeout.total_seconds())

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What says who calls."""
        if self._token is None:
            return ()
        return (("authorization", f"Bearer {self._token if isinstance(self._token, str) else self._token()}"),)

    async def call(
        self, method: Callable[..., Awaitable[Any]], request: Any, *, attempts: Attempts | None = None
    ) -> Any:
        """The reply to a request that may be sent more than once: a read, or a write with an idempotency key.

        Raises  CallRefused and the errors that the library shares with the service; NoAnswer.
        """
        attempts = self.attempts() if attempts is None else attempts
        while True:
            try:
                reply = await method(request, timeout=attempts.left(), metadata=self.metadata())
            except grpc.RpcError as error:
                await self.transport.sleep(attempts.delay_behind(error))
            else:
                self._budget.earn()
                return reply


def _address_user(context: context_pb2.RequestContext, user: str | None) -> None:
    if user is not None:
        context.database.scope, context.database.user = context_pb2.Database.PRIVATE, user


def connect(
    url: str,
    *,
    container: str,
    user: str | None = None,
    production: bool = False,
    timeout: timedelta = timedelta(seconds=30),
    token: str | Callable[[], str] | None = None,
    credentials: Any = None,
    plain_text_anywhere: bool = False,
) -> Client:
    """A client of one database: the container's public one, or the private one of `user` ("" is the caller).

    url          grpc://HOST:PORT, only for loopback; grpcs://HOST:PORT for TLS
    production   the container's production environment instead of development
    timeout      of one call with all its retries
    token        a bearer token, or what gives one before each attempt
    credentials  of the channel, for grpcs: `grpc.ssl_channel_credentials(...)`, with a key and a certificate for mTLS;
                 None: the system's authorities
    plain_text_anywhere  grpc:// to other machines too: whoever is on the way reads everything, tokens too

    Raises  UsageError
    """
    address = address_of(url, credentials=credentials, plain_text_anywhere=plain_text_anywhere)
    context = context_pb2.RequestContext(container=container)
    if production:
        context.environment = context_pb2.PRODUCTION
    _address_user(context, user)
    return Client(AsyncTransport(address), context, timeout=timeout, token=token)
