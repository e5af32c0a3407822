"""The service Subscriptions: takes requests apart, asks who may, and puts replies together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from recordlayer.aio import Transaction
from recordlayer.client.pb import subscriptions_pb2, subscriptions_pb2_grpc
from recordlayer_server import statuses
from recordlayer_server.call import WORD, current
from recordlayer_server.contents import zone_of
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reading, reply_context
from recordlayer_server.subscriptions import catalog
from recordlayer_server.subscriptions.matching import Condition, condition_of
from recordlayer_server.subscriptions.receiving import Receiving
from recordlayer_server.webhooks.addresses import is_public, parse
from recordlayer_server.writing import cost_of, writing
from recordlayer_server.zone_catalog import missing_zones

NAME = "recordlayer.v1.Subscriptions"
_MOST_BYTES = 64 << 10  # of a subscription


class Subscriptions(subscriptions_pb2_grpc.SubscriptionsServicer):  # type: ignore[misc]  # generated, without types
    """The subscriptions of all databases."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def Create(
        self, request: subscriptions_pb2.CreateSubscriptionRequest, _: Any
    ) -> subscriptions_pb2.CreateSubscriptionReply:
        call, databases = current(), self._databases
        said = request.subscription
        _check_id(said.id, "subscription.id")
        kind = said.WhichOneof("kind")
        if kind is None:
            raise statuses.bad_request("subscription.kind", "give a query, a zone or a database")
        if said.ByteSize() > _MOST_BYTES:
            raise statuses.bad_request("subscription", f"at most {_MOST_BYTES} bytes")
        said.ClearField("created")
        said.ClearField("created_by")
        said.ClearField("delivery")
        self._check_webhook(said)
        zones: tuple[str, ...] = ()
        if kind != "database":
            zones = (zone_of(getattr(said, kind).zone, f"subscription.{kind}.zone", databases.limits),)
        tenant = call.permit(zones)
        if said.HasField("webhook"):
            call.permit(zones, method=f"/{NAME}/Receive")  # it tells what Receive would

        async def checked(tx: Transaction) -> Condition | None:
            metadata = await databases.metadata(tx, tenant)
            if metadata is None:
                raise statuses.forbidden()
            for zone in await missing_zones(databases, tx, tenant, zones):
                raise statuses.not_found("zone", zone)
            return condition_of(said, metadata, databases.limits)

        async def begun(tx: Transaction) -> None:
            await checked(tx)
            await databases.records(tx, tenant, create=True)

        async def work(tx: Transaction) -> tuple[subscriptions_pb2.Subscription, str]:
            condition = await checked(tx)
            return await catalog.create(databases, tx, tenant, said, call.identity, condition)

        await writing(databases, call, begun)  # by itself: a feed begins with the commit that lets it be kept
        (made, secret), written = await writing(databases, call, work)
        reply = subscriptions_pb2.CreateSubscriptionReply(subscription=made, secret=secret)
        reply.context.CopyFrom(reply_context(call, commit_version=written.version, cost=written.cost))
        return reply

    async def List(
        self, request: subscriptions_pb2.ListSubscriptionsRequest, _: Any
    ) -> subscriptions_pb2.ListSubscriptionsReply:
        call = current()
        tenant = call.permit()

        async def work(tx: Transaction) -> subscriptions_pb2.ListSubscriptionsReply:
            if await self._databases.metadata(tx, tenant) is None:
                raise statuses.forbidden()
            found = await catalog.all_of(self._databases, tx, tenant)
            reply = subscriptions_pb2.ListSubscriptionsReply(subscriptions=found)
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        return await reading(self._databases, call, work)

    async def Delete(
        self, request: subscriptions_pb2.DeleteSubscriptionRequest, _: Any
    ) -> subscriptions_pb2.DeleteSubscriptionReply:
        call = current()
        _check_id(request.id, "id")
        tenant = call.permit_any()

        async def work(tx: Transaction) -> None:
            await self._permit(tx, tenant, request.id)
            if not await catalog.delete(self._databases, tx, tenant, request.id):
                raise statuses.not_found("subscription", request.id)

        _, written = await writing(self._databases, call, work)
        context = reply_context(call, commit_version=written.version, cost=written.cost)
        return subscriptions_pb2.DeleteSubscriptionReply(context=context)

    async def Resume(
        self, request: subscriptions_pb2.ResumeSubscriptionRequest, _: Any
    ) -> subscriptions_pb2.ResumeSubscriptionReply:
        call, databases = current(), self._databases
        _check_id(request.id, "id")
        tenant = call.permit_any()

        async def work(tx: Transaction) -> tuple[subscriptions_pb2.Subscription, str]:
            await self._permit(tx, tenant, request.id)
            await self._permit(tx, tenant, request.id, method=f"/{NAME}/Receive")  # it reads as this caller from now on
            made, secret = await catalog.resume(
                databases, tx, tenant, request.id, time.time(), call.identity, new_secret=request.new_secret
            )
            self._check_webhook(made)
            return made, secret

        (made, secret), written = await writing(databases, call, work)
        reply = subscriptions_pb2.ResumeSubscriptionReply(subscription=made, secret=secret)
        reply.context.CopyFrom(reply_context(call, commit_version=written.version, cost=written.cost))
        return reply

    async def _permit(self, tx: Transaction, tenant: Tenant, name: str, *, method: str = "") -> None:
        """Ask whether the caller may do this to a subscription, whether it is there or not. `method`: or something
        else.  Raises  Refusal."""
        one = await catalog.found(self._databases, tx, tenant, name)
        zone = None if one is None else catalog.group_of(catalog.shown(one))
        current().permit(() if zone is None else (zone,), method=method)

    def _check_webhook(self, said: subscriptions_pb2.Subscription) -> None:
        """Raises  Refusal for one that will not do here."""
        if not said.HasField("webhook"):
            return
        where, hooks = "subscription.webhook.address", self._databases.hooks
        if hooks is None:
            raise statuses.bad_request("subscription.webhook", "this server serves no webhooks")
        try:
            literal = parse(said.webhook.address).literal
        except ValueError as error:
            raise statuses.bad_request(where, str(error)) from error
        if literal is not None and not hooks.private and not is_public(literal):
            raise statuses.bad_request(where, "its host is not on the public internet")

    async def Receive(
        self, requests: AsyncIterator[subscriptions_pb2.ReceiveRequest], _: Any
    ) -> AsyncIterator[subscriptions_pb2.ReceiveReply]:
        call, coming = current(), aiter(requests)
        first = await anext(coming, None)
        if first is None or first.WhichOneof("kind") != "open":
            raise statuses.bad_request("open", "the first message opens the stream")
        call.bind(first.open.context)
        _check_id(first.open.id, "open.id")
        tenant = call.permit_any()
        async with aclosing(Receiving(self._databases, call, tenant, first.open.id, coming).replies()) as replies:
            async for reply in replies:
                yield reply


def _check_id(given: str, where: str) -> None:
    if not WORD.fullmatch(given):
        raise statuses.bad_request(where, "1 to 64 of A-Z a-z 0-9 . _ -")
