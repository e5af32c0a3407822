"""Letting a container have another schema: by the settings of a server, by callers, by promotion."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from typing import TYPE_CHECKING, Any

from google.rpc import code_pb2

from recordlayer import RecordMetaData, Retry
from recordlayer.aio import Database, Transaction
from recordlayer.client.pb import schemas_pb2
from recordlayer.metadata import Evolution
from recordlayer.metadata.successor import successor
from recordlayer.migrate.changes import SchemaDiff
from recordlayer_server import logs, schema, statuses
from recordlayer_server.pb import schemas_pb2 as stored
from recordlayer_server.schemas import history, judging, rollout

if TYPE_CHECKING:
    from recordlayer_server.schemas.instances import Instance

Version = schemas_pb2.SchemaVersion
_LOOK_AGAIN = 0.1
_BY_CALLERS = (Version.APPLIED, Version.PROMOTED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A schema that somebody wants.

    metadata  that follow nothing: versions are worked out
    origin    where it comes from; its version is worked out
    rules     of evolution
    expected  the version that has to be active, 0 for none, None for whatever is
    """

    container: str
    environment: int
    metadata: RecordMetaData
    description: bytes
    origin: stored.VersionOrigin
    rules: Evolution
    expected: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """How it is now.

    rollout    the id of what is staged, "" if it is active
    unchanged  it was there, or on its way, before
    """

    diff: SchemaDiff
    origin: stored.VersionOrigin
    rollout: str
    unchanged: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What is there.  `staged`: the row of a roll-out, and its content."""

    current: RecordMetaData | None
    staged: tuple[Any, Any] | None


async def found(tx: Transaction, container: str, environment: int) -> Found:
    """What is active and what is staged.  Cost  2 range reads, up to 2 reads."""
    before = await rollout.current(tx, container, environment)
    row = await rollout.staged(tx, container, environment)
    if row is None:
        return Found(before, None)
    return Found(before, (row, await rollout.content_of(row.id)(tx)))


async def change(database: Database, instance: Instance, wanted: Wanted, *, retry: Retry) -> Changed:
    """Stage a schema, which is active at once if nobody has to know it first.

    Raises  Refusal: another one is active than was expected, or staged; the rules of evolution. Nothing has changed
            then.
    """
    while True:
        seen = await database.run(lambda tx: found(tx, wanted.container, wanted.environment), retry=retry)
        before = seen.current
        version = 0 if before is None else before.version
        diff = await asyncio.to_thread(judging.judged, before, wanted.metadata, wanted.rules)
        if seen.staged is not None:
            row, content = seen.staged
            if diff.target is not None and diff.target.to_bytes() == content.metadata:
                return Changed(diff=diff, origin=row.origin, rollout=row.id, unchanged=True)
            raise _is_staged(row.origin.version)
        if diff.is_empty:
            return Changed(diff=diff, origin=stored.VersionOrigin(version=version), rollout="", unchanged=True)
        if wanted.expected is not None and wanted.expected != version:
            raise _conflict(version)
        if diff.refused or diff.target is None:
            raise judging.refusal(diff.refused)
        row = await _staged(database, instance, wanted, seen, diff.target, retry)
        if row is not None:
            return Changed(diff=diff, origin=row.origin, rollout=row.id, unchanged=False)


async def _staged(
    database: Database, instance: Instance, wanted: Wanted, seen: Found, target: RecordMetaData, retry: Retry
) -> stored.Rollout | None:
    """The roll-out of a version, without an id if it is active; None if something has changed meanwhile."""
    origin = stored.VersionOrigin()
    origin.CopyFrom(wanted.origin)
    origin.version = target.version
    origin.stored_at = time.time_ns() // 1_000
    version = rollout.Next(
        container=wanted.container,
        environment=wanted.environment,
        before=seen.current,
        metadata=target,
        origin=origin,
        description=wanted.description,
        rules=wanted.rules,
    )
    return await database.run(lambda tx: rollout.stage(tx, version, instance.now, by=instance.id), retry=retry)


async def wait(
    database: Database, instance: Instance, container: str, environment: int, row: str, until: float
) -> bool:
    """Go along with a roll-out until it is over, or the event loop's clock says so; whether it is over."""
    loop = asyncio.get_running_loop()
    while True:
        await instance.look()
        left = await database.run(lambda tx: rollout.staged(tx, container, environment))
        if left is None or left.id != row:
            return True
        if loop.time() + _LOOK_AGAIN > until:
            return False
        await asyncio.sleep(_LOOK_AGAIN)


async def put_settings(
    database: Database, instance: Instance, container: str, environment: int, description: bytes
) -> RecordMetaData:
    """Let a container have the schema of a server's settings; what is active then. It is passed over, and said in the
    log, where callers have applied or promoted one: that is where schemas come from then.

    Raises  SchemaError, EvolutionRefused; nothing has changed then.
    """
    wanted = await asyncio.to_thread(schema.derived, description)

    async def work(tx: Transaction) -> RecordMetaData:
        before = await rollout.current(tx, container, environment)
        target = wanted if before is None else await asyncio.to_thread(successor, before, wanted)
        if before is not None:
            if target is before:
                return before
            if await rollout.staged(tx, container, environment) is not None:
                return before  # as another server with these settings may have done it just now
            newest = await history.origins(tx, container, environment)
            if newest and newest[0].origin in _BY_CALLERS:
                _passed_over(container, before.version)
                return before
        version = rollout.Next(
            container=container,
            environment=environment,
            before=before,
            metadata=target,
            origin=stored.VersionOrigin(
                version=target.version, origin=Version.SETTINGS, stored_at=time.time_ns() // 1_000
            ),
            description=description,
            rules=Evolution(),
        )
        row = await rollout.stage(tx, version, instance.now, by=instance.id)
        return target if row is not None and not row.id else before or target

    return await database.run(work)


def _passed_over(container: str, version: int) -> None:
    event = "the settings describe another schema than callers have applied: they are passed over"
    logs.write(logs.server, logging.WARNING, event, container=container, version=version)


def _is_staged(version: int) -> statuses.Refusal:
    text = f"version {version} waits to become active: wait, or withdraw it"
    return statuses.refusal(code_pb2.FAILED_PRECONDITION, "SCHEMA_STAGED", text, retry=2.0, version=version)


def _conflict(version: int) -> statuses.Refusal:
    text = f"version {version} is active, and not the expected one"
    return statuses.refusal(code_pb2.ABORTED, "CONFLICT", text, version=version)
