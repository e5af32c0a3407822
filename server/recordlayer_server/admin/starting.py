"""Operations as they are when they are started, and whether there is room for them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2, types_pb2
from recordlayer_server import places, statuses
from recordlayer_server.admin import journal
from recordlayer_server.admin.journal import Entry, Shown
from recordlayer_server.pb import operations_pb2 as stored
from recordlayer_server.places import Tenant
from recordlayer_server.values import timestamp

FASTEST = 1_000_000
"""Records a second."""
_WHOLE = frozenset({"repair", "delete", "move"})
"""Works that are about all of a database."""


def asked_rate(request: Any) -> int | None:
    """How fast it may be, None where nothing is said.  Raises  Refusal."""
    if "records_per_second" not in request.DESCRIPTOR.fields_by_name or not request.HasField("records_per_second"):
        return None
    if not 1 <= request.records_per_second <= FASTEST:
        raise statuses.bad_request("records_per_second", f"1 to {FASTEST}")
    return int(request.records_per_second)


def checked_indexes(request: Any, work: str, *, most: int) -> list[str]:
    """The indexes that a request names.  Raises  Refusal where it needs some, or says what does not go together."""
    if work in _WHOLE:
        return []
    said = getattr(request, work)
    names = list(said.indexes)
    if len(names) > most or len(set(names)) < len(names) or (work != "scrub" and not names):
        raise statuses.bad_request(f"{work}.indexes", f"1 to {most} names of indexes, each once")
    if work == "build" and said.source:
        if len(names) > 1:
            raise statuses.bad_request("build.source", "for one index")
        names.append(said.source)
    if work == "build" and request.everywhere and (said.anew or said.source):
        raise statuses.bad_request("everywhere", "not anew, and not by a source")
    if work == "build":
        if not request.everywhere and (said.canaries or said.HasField("most_failed")):
            raise statuses.bad_request("build.canaries", "for a build everywhere")
        check_caution(said, "build.")
    return names


def check_caution(said: Any, where: str = "") -> None:
    """What a build everywhere, or what starts one, says of canaries.  Raises  Refusal."""
    if said.canaries < 0:
        raise statuses.bad_request(f"{where}canaries", "0 or more databases")
    if said.HasField("most_failed") and not 0 <= said.most_failed <= 1:
        raise statuses.bad_request(f"{where}most_failed", "a share of the databases, from 0 to 1")


def new(tenant: Tenant, work: str, said: Any, *, name: str, who: str, now: float, rate: int | None = None) -> Entry:
    """An operation that nobody has begun with.

    work  which of the works of the message AdminOperation, and `said`: what of it
    name  "" for one that the server makes up
    """
    at = round(now * 1e6)
    name = name or f"{at:014x}-{work}-{secrets.token_hex(4)}"
    shown = Shown(name=name, created=types_pb2.Change(time=timestamp(at), user=who), records_per_second=rate)
    if tenant.scope != places.EVERY:
        scope = "PUBLIC" if tenant.scope == places.PUBLIC else "PRIVATE"
        shown.database.CopyFrom(context_pb2.Database(scope=scope, user=tenant.user))
    getattr(shown, work).CopyFrom(said)
    getattr(shown, work).SetInParent()
    row = stored.Operation(
        container=tenant.container,
        environment=tenant.environment,
        name=name,
        scope=tenant.scope,
        user=tenant.user,
        open=True,
    )
    entry = Entry(row, shown)
    entry.wait(0.0)
    return entry


def asked(request: Any) -> bytes:
    """What a request says, its context apart: to know it again."""
    plain = type(request).FromString(request.SerializeToString())
    plain.ClearField("context")
    return bytes(request.DESCRIPTOR.name.encode() + b" " + plain.SerializeToString(deterministic=True))


async def start(tx: Transaction, entry: Entry, *, most: int) -> Entry:
    """Let an operation be there. The one that is there under its name, if that was asked for in the same words.

    most  operations of a database that are not over

    Raises  Refusal if there are as many, or one is about the same index.
    """
    there = await journal.load(tx, entry.key)
    if there is not None:
        if (there.row.asked, there.tenant) != (entry.row.asked, entry.tenant):
            raise statuses.refusal(code_pb2.ALREADY_EXISTS, "EXISTS", "there is another operation of this name")
        return there
    others = await journal.open_of(tx, entry.tenant)
    if len(others) >= most:
        text = f"a database has at most {most} operations that are not over: cancel one"
        raise statuses.refusal(code_pb2.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", text)
    for other in others:
        if _meet(_about(entry.shown), _about(other.shown)):
            text = "another operation is about the same index, and is not over"
            code, reason = code_pb2.FAILED_PRECONDITION, "OPERATION_RUNNING"
            raise statuses.refusal(code, reason, text, operation=other.row.name)
    await journal.save(tx, entry)
    return entry


async def start_of_schema(
    tx: Transaction,
    container: str,
    environment: int,
    indexes: Sequence[str],
    version: int,
    caution: Shown.Build,
    *,
    who: str,
    now: float,
) -> str:
    """The name of the operation that builds what a version of a schema needs, in all databases; the one that is there,
    if it is not over. It waits until the version is active. `caution`: canaries and what may fail.

    Cost  1 read; 1 more and 5 writes for a new one.
    """
    tenant = places.everywhere(container, environment)
    build = Shown.Build(indexes=indexes, schema_version=version)
    build.MergeFrom(caution)
    name = f"schema-{version}"
    there = await journal.load(tx, (container, environment, name))
    if there is not None and not there.is_over:
        return name
    if there is not None:
        name += f"-{secrets.token_hex(4)}"
    entry = new(tenant, "build", build, name=name, who=who, now=now)
    await journal.save(tx, entry)
    return name


def _about(shown: Shown) -> frozenset[str] | None:
    """The indexes that an operation is about; None for all of them."""
    kind = shown.WhichOneof("work")
    names = None if kind in _WHOLE else getattr(shown, str(kind)).indexes
    return frozenset(names) if names else None


def _meet(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return one is None or other is None or bool(one & other)
