"""Batches of changes, applied once: transactions, tries, idempotency keys.

A batch with a key records with its commit what it was and what became of it. Whoever sends it again gets that, without
contents, and nothing is applied twice; the same key with another batch is refused. Keys of different databases and
callers never meet.

Where an operation of a batch that is not atomic has a key of its own, it goes in a transaction of its own.

Layout  of a recorded result: 16 bytes that tell the batch from others, then a ModifyReply whose change tags are the two
        bytes behind the versionstamp
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2, records_pb2
from recordlayer.errors import AlreadyApplied, TransactionError
from recordlayer.kv.idempotency import LARGEST_RESULT, Applied
from recordlayer_server import statuses
from recordlayer_server.call import Call
from recordlayer_server.contents import Shape, name_of
from recordlayer_server.databases import Databases
from recordlayer_server.modifying import Batch, BatchFailed, Done, result_of, run_all
from recordlayer_server.operations import DELETING, Author, Operation
from recordlayer_server.places import Tenant
from recordlayer_server.writing import add_cost, shares, writing

_FINGERPRINT = 16
_ATTEMPTS = 3  # of a transaction that is shared: whoever is in the way of one of its changes holds up all of them
_SMALL = 64 << 10  # bytes of an operation that shares a transaction: eight are far from the largest there may be
_STAMP = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    results: list[records_pb2.RecordResult]
    commit_version: int
    cost: context_pb2.Cost
    replayed: bool = False


def check_key(key: str, where: str) -> None:
    """Raises  Refusal."""
    if len(key.encode()) > 64:
        raise statuses.bad_request(where, "1 to 64 bytes")


async def apply(
    databases: Databases,
    call: Call,
    tenant: Tenant,
    operations: Sequence[Operation],
    shape: Shape,
    *,
    atomic: bool,
    key: str,
) -> Outcome:
    """Run a batch to its commit.  Raises  Refusal."""
    if atomic or not any(one.said.idempotency_key for one in operations):
        return await _apply(databases, call, tenant, operations, shape, atomic=atomic, key=key)
    places: list[list[int]] = []
    unkeyed: list[int] = []
    for place, one in enumerate(operations):
        if one.said.idempotency_key:
            places.append([place])
        elif unkeyed:
            unkeyed.append(place)
        else:
            unkeyed.append(place)
            places.append(unkeyed)
    results: dict[int, records_pb2.RecordResult] = {}
    committed = 0
    cost, replayed = context_pb2.Cost(), True
    for group in places:
        some = [operations[place] for place in group]
        try:
            own = some[0].said.idempotency_key or key
            outcome = await _apply(databases, call, tenant, some, shape, atomic=False, key=own)
        except Exception as error:
            status = statuses.known(error)
            if status is None:
                raise
            results.update({place: records_pb2.RecordResult(status=status) for place in group})
            continue
        results.update(zip(group, outcome.results, strict=True))
        committed = max(committed, outcome.commit_version)
        replayed = replayed and outcome.replayed
        add_cost(cost, outcome.cost)
    return Outcome([results[place] for place in range(len(operations))], committed, cost, replayed)


async def _apply(
    databases: Databases,
    call: Call,
    tenant: Tenant,
    operations: Sequence[Operation],
    shape: Shape,
    *,
    atomic: bool,
    key: str,
) -> Outcome:
    batch = Batch(tenant, operations, Author.of(call), atomic, databases.limits)
    told = _fingerprint(operations, atomic) if key else b""

    async def work(tx: Transaction) -> list[Done]:
        done = await batch.run(databases, tx)
        if key:
            tx.record_result(told + _recorded(done))
        return done

    try:
        done, written = await writing(databases, call, work, key=scoped(tenant, call, key) if key else None)
    except BatchFailed as failed:
        raise failed.refusal(len(operations)) from failed
    except AlreadyApplied:
        return await _replayed(databases, call, tenant, operations, key, told)
    saved = any(one.saved is not None for one in done)
    stamp = await written.transaction.versionstamp() if saved else b""
    results = [result_of(one, shape, stamp) for one in done]
    return Outcome(results, written.version, written.cost)


@dataclass(frozen=True, slots=True)
class Change:
    """A batch of one operation without a key, which may share a transaction with those of other calls."""

    call: Call
    operation: Operation
    shape: Shape

    @classmethod
    def of(cls, call: Call, operations: Sequence[Operation], shape: Shape, *, key: str) -> Change | None:
        """The batch, if it is such a one: a small save. A deletion may take many records along."""
        if key or len(operations) != 1 or not call.is_usual or operations[0].type in DELETING:
            return None
        said = operations[0].said
        return None if said.idempotency_key or said.ByteSize() > _SMALL else cls(call, operations[0], shape)


async def apply_together(databases: Databases, tenant: Tenant, changes: Sequence[Change]) -> Sequence[Outcome] | None:
    """What became of each of some changes in one transaction; None if one of them is not to be had, or others are in
    the way again and again: then none has happened, and each has to be applied by itself.

    Raises  what the table knows as COMMIT_UNKNOWN.
    """
    if len({change.operation.key for change in changes}) < len(changes):
        return None
    batches = [Batch(tenant, [one.operation], Author.of(one.call), True, databases.limits) for one in changes]
    patient = max((one.call for one in changes), key=lambda call: call.deadline)

    async def work(tx: Transaction) -> list[Done]:
        return await run_all(databases, tx, batches)

    try:
        done, written = await writing(databases, patient, work, attempts=_ATTEMPTS)
    except Exception as error:
        if isinstance(error, TransactionError) and error.maybe_committed:
            raise
        return None
    stamp = await written.transaction.versionstamp()
    costs = shares(written.cost, len(changes))
    return [
        Outcome([result_of(one, change.shape, stamp)], written.version, cost)
        for change, one, cost in zip(changes, done, costs, strict=True)
    ]


async def apply_alone(databases: Databases, tenant: Tenant, change: Change) -> Outcome:
    """What became of a change in a transaction of its own.  Raises  Refusal."""
    return await apply(databases, change.call, tenant, [change.operation], change.shape, atomic=True, key="")


def scoped(tenant: Tenant, call: Call, key: str, *, purpose: bytes = b"") -> bytes:
    """A key that no other database, caller or purpose has."""
    told = hashlib.blake2b(digest_size=32, person=purpose)
    for part in (tenant.container, str(tenant.environment), str(tenant.scope), tenant.user, call.identity.user, key):
        told.update(len(part.encode()).to_bytes(4, "big") + part.encode())
    return told.digest()


def _fingerprint(operations: Sequence[Operation], atomic: bool) -> bytes:
    told = hashlib.blake2b(bytes([atomic]), digest_size=_FINGERPRINT)
    for one in operations:
        data = one.said.SerializeToString(deterministic=True)
        told.update(len(data).to_bytes(4, "big") + data)
    return told.digest()


def _recorded(done: Sequence[Done]) -> bytes:
    """What is kept of a batch's results."""
    reply = records_pb2.ModifyReply()
    for one in done:
        result = reply.results.add()
        if one.status is not None:
            result.status.CopyFrom(one.status)
        elif one.saved is not None and one.saved.version is not None:
            result.record.change_tag = one.saved.version.to_bytes()[_STAMP:]
    if reply.ByteSize() > LARGEST_RESULT - _FINGERPRINT:
        for result in reply.results:
            del result.status.details[1:]  # the reason stays
    return reply.SerializeToString()


async def found_again(databases: Databases, keyed: bytes, told: bytes) -> Applied:
    """What was recorded with a key; it begins with `told`, which tells the request from others.  Raises  Refusal."""
    applied = await databases.database.idempotency.find(keyed)
    if applied is None:
        raise statuses.refusal(code_pb2.ABORTED, "CONTENTION", "the key was just taken back", retry=0.1)
    if applied.result[: len(told)] != told:
        text = "another request had this idempotency key"
        raise statuses.refusal(code_pb2.INVALID_ARGUMENT, "KEY_REUSED", text)
    return applied


async def _replayed(
    databases: Databases, call: Call, tenant: Tenant, operations: Sequence[Operation], key: str, told: bytes
) -> Outcome:
    """What was recorded when the batch was applied."""
    applied = await found_again(databases, scoped(tenant, call, key), told)
    reply = records_pb2.ModifyReply.FromString(applied.result[_FINGERPRINT:])
    for operation, result in zip(operations, reply.results, strict=True):
        if result.status.code:
            continue
        result.status.SetInParent()
        result.record.name.CopyFrom(name_of(operation.key))
        if operation.type in DELETING:
            result.record.deleted = True
            continue
        result.record.record_type = operation.said.record.record_type
        result.record.change_tag = applied.versionstamp + result.record.change_tag
        result.record.modified.time.FromMilliseconds(round(applied.when.timestamp() * 1_000))
    return Outcome(list(reply.results), applied.version, context_pb2.Cost(), replayed=True)
