"""The service Schema."""

from __future__ import annotations

import asyncio
from typing import Any

from google.rpc import code_pb2

from recordlayer import RecordMetaData
from recordlayer.aio import Transaction
from recordlayer.client.pb import admin_pb2, context_pb2, schemas_pb2, schemas_pb2_grpc
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer_server import places, statuses
from recordlayer_server.admin.starting import check_caution, start_of_schema
from recordlayer_server.call import Call, current
from recordlayer_server.databases import Databases
from recordlayer_server.pb import schemas_pb2 as stored
from recordlayer_server.places import PUBLIC, Tenant
from recordlayer_server.replies import reading, reply_context, retry_of
from recordlayer_server.schemas import changing, costs, history, judging, rollout, showing
from recordlayer_server.writing import cost_of

NAME = "recordlayer.v1.Schema"

Version = schemas_pb2.SchemaVersion
_LEFT = 0.5
"""Seconds of a call's time that a reply needs."""


class Schema(schemas_pb2_grpc.SchemaServicer):  # type: ignore[misc]  # generated, without types
    """The schemas of all containers."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def Get(self, request: schemas_pb2.GetSchemaRequest, _: Any) -> schemas_pb2.GetSchemaReply:
        call = current()
        container, environment, *_rest = _permitted(call)
        wanted = _version(request.version, "version")

        async def work(tx: Transaction) -> schemas_pb2.GetSchemaReply:
            active = await rollout.current(tx, container, environment)
            if active is None:
                raise statuses.forbidden()
            metadata, state = await self._with_version(tx, container, environment, active, wanted)
            origin = await history.origin_of(tx, container, environment, metadata.version)
            reply = schemas_pb2.GetSchemaReply(version=showing.version_of(origin, state))
            reply.description = await history.description_of(tx, container, environment, metadata.version)
            await asyncio.to_thread(showing.show, reply, metadata)
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        return await reading(self._databases, call, work)

    async def Validate(self, request: schemas_pb2.ValidateSchemaRequest, _: Any) -> schemas_pb2.ValidateSchemaReply:
        call = current()
        container, environment, *_rest = _permitted(call)
        rules = judging.evolution_of(request.allowed)
        wanted = await judging.described(request.description)

        async def work(tx: Transaction) -> tuple[RecordMetaData | None, int]:
            return await rollout.current(tx, container, environment), await tx.read_version()

        before, read_version = await reading(self._databases, call, work)
        diff = await asyncio.to_thread(judging.judged, before, wanted, rules)
        changes, more = judging.changes_of(diff)
        reply = schemas_pb2.ValidateSchemaReply(
            accepted=not diff.refused and diff.target is not None,
            from_version=0 if before is None else before.version,
            to_version=0 if diff.target is None else diff.target.version,
            changes=changes,
            more_changes=more,
            builds=await costs.builds_of(self._databases, container, environment, diff),
        )
        reply.context.CopyFrom(reply_context(call, read_version=read_version))
        return reply

    async def Apply(self, request: schemas_pb2.ApplySchemaRequest, _: Any) -> schemas_pb2.ApplySchemaReply:
        call = current()
        container, environment, *_rest = _permitted(call)
        expected = _version(request.expected_version, "expected_version")
        wanted = changing.Wanted(
            container=container,
            environment=environment,
            rules=judging.evolution_of(request.allowed),
            metadata=await judging.described(request.description),
            description=request.description,
            origin=stored.VersionOrigin(origin=Version.APPLIED, stored_by=call.identity.name),
            expected=expected if request.HasField("expected_version") else None,
        )
        return await self._changed(call, wanted, request)

    async def Promote(self, request: schemas_pb2.PromoteSchemaRequest, _: Any) -> schemas_pb2.ApplySchemaReply:
        call = current()
        container, environment, *_rest = _permitted(call)
        if environment != places.PRODUCTION:
            raise statuses.bad_request("context.environment", "PRODUCTION: that is where it becomes active")
        version = _version(request.version, "version")
        expected = _version(request.expected_version, "expected_version")

        async def work(tx: Transaction) -> tuple[RecordMetaData, bytes]:
            active = await rollout.current(tx, container, places.DEVELOPMENT)
            if active is None:
                raise statuses.forbidden()
            metadata, _ = await self._with_version(tx, container, places.DEVELOPMENT, active, version)
            return metadata, await history.description_of(tx, container, places.DEVELOPMENT, metadata.version)

        metadata, description = await reading(self._databases, call, work)
        origin = stored.VersionOrigin(
            origin=Version.PROMOTED, stored_by=call.identity.name, promoted_from=metadata.version
        )
        wanted = changing.Wanted(
            container=container,
            environment=environment,
            rules=judging.evolution_of(request.allowed),
            metadata=metadata,
            description=description,
            origin=origin,
            expected=expected if request.HasField("expected_version") else None,
        )
        return await self._changed(call, wanted, request)

    async def Withdraw(self, request: schemas_pb2.WithdrawSchemaRequest, _: Any) -> schemas_pb2.WithdrawSchemaReply:
        call = current()
        container, environment, *_rest = _permitted(call)
        version = _version(request.version, "version")

        async def work(tx: Transaction) -> bool:
            return await rollout.withdraw(tx, container, environment, version)

        if not await self._databases.database.run(work, retry=retry_of(call, idempotent=True)):
            text = "this version is not staged: it may be active by now"
            raise statuses.refusal(code_pb2.NOT_FOUND, "NOT_FOUND", text)
        return schemas_pb2.WithdrawSchemaReply(context=reply_context(call))

    async def ListVersions(
        self, request: schemas_pb2.ListSchemaVersionsRequest, _: Any
    ) -> schemas_pb2.ListSchemaVersionsReply:
        call, limits = current(), self._databases.limits
        container, environment, *_rest = _permitted(call)
        if request.limit < 0:
            raise statuses.bad_request("limit", "0 or more")
        most = min(request.limit or limits.records_per_page, limits.records_per_page)
        before = _version(request.before, "before")

        async def work(tx: Transaction) -> schemas_pb2.ListSchemaVersionsReply:
            active = await rollout.current(tx, container, environment)
            if active is None:
                raise statuses.forbidden()
            reply = schemas_pb2.ListSchemaVersionsReply()
            found = await history.origins(tx, container, environment, before=before, limit=most + 1)
            if not before:
                row = await rollout.staged(tx, container, environment)
                if row is not None:
                    reply.versions.append(showing.version_of(row.origin, Version.STAGED))
                    reply.waiting_for.extend(await rollout.missing(tx, row.id, self._databases.instance.now))
                if active.version not in {origin.version for origin in found[:1]}:
                    found.insert(0, stored.VersionOrigin(version=active.version))
            for origin in found[:most]:
                state = Version.ACTIVE if origin.version == active.version else Version.REPLACED
                reply.versions.append(showing.version_of(origin, state))
            reply.more = len(found) > most
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version(), cost=cost_of(tx)))
            return reply

        return await reading(self._databases, call, work)

    async def _with_version(
        self, tx: Transaction, container: str, environment: int, active: RecordMetaData, version: int
    ) -> tuple[RecordMetaData, int]:
        """The metadata of a version, 0 for the active one, and its state.  Raises  Refusal."""
        if version in (0, active.version):
            return active, Version.ACTIVE
        kept = tx.metadata_store(StoredMetaData(path=places.of_metadata(container, environment)))
        found = await kept.version(version)
        if found is None:
            raise statuses.not_found("schema version", str(version))
        return found, Version.REPLACED

    async def _changed(self, call: Call, wanted: changing.Wanted, request: Any) -> schemas_pb2.ApplySchemaReply:
        """Apply or promote; `request` says whether builds are to be started, and how carefully."""
        check_caution(request)
        if request.start_builds:
            call.permit_everywhere(method="/recordlayer.v1.Admin/BuildIndexes")
        databases, place = self._databases, (wanted.container, wanted.environment)
        database, instance = databases.database, databases.instance
        done = await changing.change(database, instance, wanted, retry=retry_of(call, idempotent=True))
        changes, more = judging.changes_of(done.diff)
        reply = schemas_pb2.ApplySchemaReply(
            unchanged=done.unchanged,
            changes=changes,
            more_changes=more,
            builds=await costs.builds_of(databases, *place, done.diff),
        )
        if request.start_builds and reply.builds.indexes:
            caution = admin_pb2.AdminOperation.Build(canaries=request.canaries)
            if request.HasField("most_failed"):
                caution.most_failed = request.most_failed
            names, version = list(reply.builds.indexes), done.origin.version
            reply.operation = await self._building(call, *place, names, version, caution)
        over = not done.rollout
        if not over:
            until = call.deadline - min(_LEFT, call.time_left / 2)
            over = await changing.wait(database, instance, *place, done.rollout, until)

        async def work(tx: Transaction) -> None:
            if not over:
                reply.waiting_for.extend(await rollout.missing(tx, done.rollout, instance.now))
            active = await rollout.current(tx, *place)
            if over and (active is None or active.version != done.origin.version):
                raise statuses.refusal(code_pb2.ABORTED, "CONFLICT", "it was withdrawn, or another version came first")
            known = await history.origin_of(tx, *place, done.origin.version) if over else done.origin
            reply.version.CopyFrom(showing.version_of(known, Version.ACTIVE if over else Version.STAGED))
            reply.context.CopyFrom(reply_context(call, read_version=await tx.read_version()))

        await database.run(work, retry=retry_of(call, idempotent=True))
        return reply

    async def _building(
        self,
        call: Call,
        container: str,
        environment: int,
        names: list[str],
        version: int,
        caution: admin_pb2.AdminOperation.Build,
    ) -> str:
        """The operation that builds what a version needs, once it is active."""
        databases, who, now = self._databases, call.identity.name, self._databases.instance.now

        async def work(tx: Transaction) -> str:
            return await start_of_schema(tx, container, environment, names, version, caution, who=who, now=now)

        name = await databases.database.run(work, retry=retry_of(call, idempotent=True))
        databases.operations_due.set()
        return name


def _permitted(call: Call) -> Tenant:
    """The container and environment that a request is about, if the caller may do this there.  Raises  Refusal."""
    if call.context.database.scope not in (context_pb2.Database.SCOPE_UNSPECIFIED, PUBLIC):
        raise statuses.bad_request("context.database", "a schema is the container's: leave it out")
    return call.permit()


def _version(given: int, name: str) -> int:
    if not 0 <= given < 1 << 31:
        raise statuses.bad_request(name, "0 or a version")
    return given
