"""Who is connected to a server, what runs there, and which servers there are.

A server knows of the connections on which calls run, streams included. What is shown is that of the server that is
asked; `ListServers` says which others there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from recordlayer.aio import Transaction
from recordlayer.client.pb import admin_pb2, context_pb2
from recordlayer_server import places, statuses
from recordlayer_server.admin.part import Part
from recordlayer_server.call import Call, current
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reply_context
from recordlayer_server.running_calls import Running
from recordlayer_server.schemas import rollout
from recordlayer_server.values import timestamp

_HEALTH = "/grpc.health."


class Connections(Part):
    """The methods about servers, connections and calls."""

    async def ListServers(self, request: admin_pb2.ListServersRequest, _: Any) -> admin_pb2.ListServersReply:
        call = current()
        call.permit_server()
        instance = self._databases.instance

        async def work(tx: Transaction) -> list[Any]:
            return await rollout.instances(await rollout.opened(tx), after=instance.now)

        reply = admin_pb2.ListServersReply(context=reply_context(call))
        for row in await self._run(call, work, reads_only=True):
            reply.servers.add(
                id=row.id, release=row.release, lease_ends=timestamp(row.expires_at), asked=row.id == instance.id
            )
        return reply

    async def ListConnections(
        self, request: admin_pb2.ListConnectionsRequest, _: Any
    ) -> admin_pb2.ListConnectionsReply:
        call = current()
        most = self._most(request.limit)
        by_peer: dict[str, list[Running]] = {}
        for one in self._calls(call):
            by_peer.setdefault(one.peer, []).append(one)
        reply = admin_pb2.ListConnectionsReply(server=self._databases.instance.id, total=len(by_peer))
        oldest = sorted(by_peer.items(), key=lambda item: min(one.began for one in item[1]))
        for peer, calls in oldest[:most]:
            shown = reply.connections.add(
                peer=peer,
                identities=sorted({one.call.identity.name for one in calls}),
                calls=sum(not one.stream for one in calls),
                streams=sum(one.stream for one in calls),
                watch_targets=sum(one.call.follows for one in calls),
            )
            shown.oldest_call.FromMilliseconds(round(max(one.age for one in calls) * 1_000))
        reply.context.CopyFrom(reply_context(call))
        return reply

    async def ListCalls(self, request: admin_pb2.ListCallsRequest, _: Any) -> admin_pb2.ListCallsReply:
        call = current()
        most = self._most(request.limit)
        found = [one for one in self._calls(call) if _fits(one, request.method, request.peer)]
        reply = admin_pb2.ListCallsReply(server=self._databases.instance.id, total=len(found))
        reply.calls.extend(_shown(one) for one in sorted(found, key=lambda one: one.began)[:most])
        reply.context.CopyFrom(reply_context(call))
        return reply

    async def EndCalls(self, request: admin_pb2.EndCallsRequest, _: Any) -> admin_pb2.EndCallsReply:
        call = current()
        visible = {one.call for one in self._calls(call)}
        names = frozenset(request.request_ids)
        if not names and not request.peer:
            raise statuses.bad_request("request_ids", "which calls, or the peer whose calls")
        assert call.beside is not None, "it runs on a server"
        ended = call.beside.end(
            lambda one: (
                one.call in visible
                and (not names or one.call.request_id in names)
                and (not request.peer or one.peer == request.peer)
            )
        )
        return admin_pb2.EndCallsReply(ended=ended, context=reply_context(call))

    def _calls(self, call: Call) -> Iterable[Running]:
        """The calls that the caller may see: those about a container in an environment, or all.  Raises  Refusal."""
        assert call.beside is not None, "it runs on a server"
        if call.tenant is None:
            call.permit_server()
            return [one for one in call.beside if not one.call.method.startswith(_HEALTH)]
        where = call.permit_everywhere()
        return [one for one in call.beside if one.call.tenant is not None and one.call.tenant[:2] == where]


def _fits(one: Running, method: str, peer: str) -> bool:
    return method in ("", one.call.method) and peer in ("", one.peer)


def _shown(one: Running) -> admin_pb2.RunningCall:
    call = one.call
    shown = admin_pb2.RunningCall(
        request_id=call.request_id,
        method=call.method,
        peer=one.peer,
        identity=call.identity.name,
        stream=one.stream,
        watch_targets=call.follows,
        labels=call.labels,
    )
    shown.age.FromMilliseconds(round(one.age * 1_000))
    if call.tenant is not None:
        _show_database(shown, call.tenant)
    return shown


def _show_database(shown: admin_pb2.RunningCall, tenant: Tenant) -> None:
    shown.container = tenant.container
    shown.environment = context_pb2.PRODUCTION if tenant.environment == places.PRODUCTION else context_pb2.DEVELOPMENT
    scope = "PRIVATE" if tenant.scope == places.PRIVATE else "PUBLIC"
    shown.database.CopyFrom(context_pb2.Database(scope=scope, user=tenant.user))
