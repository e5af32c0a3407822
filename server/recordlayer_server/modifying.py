"""Changes of records: the seven operations in one transaction, and what is said of each.

All records that are concerned are read in one round trip, then the operations run in their order, each on what the ones
before it left. An operation that is refused has written nothing, so a batch that is not atomic goes on behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.rpc import code_pb2, status_pb2

from recordlayer import StoredRecord
from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import errors_pb2, records_pb2
from recordlayer_server import statuses
from recordlayer_server.assets.referring import Referring
from recordlayer_server.contents import Shape, name_of, outgoing, take
from recordlayer_server.databases import Databases
from recordlayer_server.limits import Limits
from recordlayer_server.operations import (
    DELETING,
    TAGGED,
    UPDATING,
    Author,
    Operation,
    Type,
    check_type,
)
from recordlayer_server.places import Tenant
from recordlayer_server.references import check as check_references
from recordlayer_server.references import followers
from recordlayer_server.transforms import transform
from recordlayer_server.zone_catalog import missing_zones


@dataclass(slots=True)
class Done:
    """What became of one operation: a refusal, a saved record, or a deletion."""

    operation: Operation
    status: status_pb2.Status | None = None
    saved: StoredRecord | None = None


class BatchFailed(Exception):
    """An operation of an atomic batch was refused: nothing of the batch may be committed."""

    def __init__(self, place: int, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.place = place
        self.status = status

    def refusal(self, size: int) -> statuses.Refusal:
        """The status of the call: the operation's own, which one it was, and what that means for the others."""
        status = status_pb2.Status()
        status.CopyFrom(self.status)
        short = status_pb2.Status(code=self.status.code, message=self.status.message)
        for detail in self.status.details:
            if not detail.Is(errors_pb2.ConflictInfo.DESCRIPTOR):
                short.details.append(detail)
        if size > 1 or self.place:
            text = f"undone because of operation {self.place}"
            others = statuses.refusal(code_pb2.ABORTED, "ATOMIC", text, operation=self.place).status
            failure = errors_pb2.BatchFailure(operation=self.place, status=short, others=others, operations=size)
            status.details.add().Pack(failure)
        return statuses.Refusal(status)


@dataclass(slots=True)
class Batch:
    """The operations of one transaction."""

    tenant: Tenant
    operations: Sequence[Operation]
    author: Author
    atomic: bool
    limits: Limits
    done: list[Done] = field(default_factory=list)

    async def run(self, databases: Databases, tx: Transaction) -> list[Done]:
        """Run all in a transaction.  Raises  BatchFailed if one is refused and the batch is atomic."""
        return await run_all(databases, tx, [self])

    async def _run(
        self, databases: Databases, tx: Transaction, store: RecordStore, gone: Collection[str], full: bool
    ) -> list[Done]:
        assets = Referring(databases, tx, self.tenant, self.author.now)
        self.done = []
        for place, operation in enumerate(self.operations):
            try:
                if operation.key[0] in gone:
                    raise statuses.not_found("zone", operation.key[0])
                if full and operation.type not in DELETING:
                    raise databases.storage.exceeded()
                self.done.append(await self._one(store, operation, assets))
            except Exception as error:
                status = statuses.known(error)
                if status is None or _passing(status):
                    raise
                if self.atomic:
                    raise BatchFailed(place, status) from error
                self.done.append(Done(operation, status=status))
        return self.done

    async def _one(self, store: RecordStore, operation: Operation, assets: Referring) -> Done:
        kind, key = operation.type, operation.key
        old = await store.load_record(key)
        if old is None and kind in TAGGED:
            raise statuses.not_found("record", key[1])
        if old is not None and kind == Type.CREATE:
            raise statuses.refusal(code_pb2.ALREADY_EXISTS, "EXISTS", "there is such a record already")
        if old is not None and kind in TAGGED and _tag_of(old) != operation.said.record.change_tag:
            raise statuses.conflict(outgoing(old, _WHOLE))
        if kind in DELETING:
            going = [*await followers(store, key, self.limits), key]
            left = await assets.of_records(store, going)
            for each in going:
                await store.delete(each)
            await assets.left(left)
            return Done(operation)
        check_type(store.metadata, operation)
        message = self._message(store, operation, old)
        where = f"{operation.where}.record.fields"
        before = None if old is None else old.message
        await check_references(store, key, message, before, where, self.limits)
        left = await assets.taken(key, message, before, where)
        self._check_size(message, operation)
        done = Done(operation, saved=await store.save(message))
        await assets.left(left)
        return done

    def _message(self, store: RecordStore, operation: Operation, old: StoredRecord | None) -> Any:
        """What to save."""
        said, where = operation.said, operation.where
        record_type = store.metadata.record_type(said.record.record_type)
        message = record_type.message_class()
        if old is not None and operation.type in UPDATING:
            if old.record_type.name != record_type.name:
                message_text = f"the record is of the type {old.record_type.name}"
                raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "EXISTS", message_text)
            message.CopyFrom(old.message)
        take(said.record, message, said.given_fields, f"{where}.record")
        for place, one in enumerate(said.transforms):
            transform(message, one, self.author.now, f"{where}.transforms[{place}]")
        self.author.sign(message, operation.key, None if old is None else old.message)
        return message

    def _check_size(self, message: Any, operation: Operation) -> None:
        size = message.ByteSize()
        if size > self.limits.record_bytes:
            raise statuses.too_large(f"{operation.where}.record", limit=self.limits.record_bytes, size=size)


async def run_all(databases: Databases, tx: Transaction, batches: Sequence[Batch]) -> list[Done]:
    """Run batches of one database in a transaction, one behind the other.  Raises  as `Batch.run`."""
    tenant, keys = batches[0].tenant, [one.key for batch in batches for one in batch.operations]
    store = await databases.records(tx, tenant, create=True)
    if store is None:
        raise statuses.forbidden()
    gone = await missing_zones(databases, tx, tenant, {zone for zone, _ in keys})
    full = await databases.is_full(tenant)
    await store.preload(keys)
    done: list[Done] = []
    for batch in batches:
        done += await batch._run(databases, tx, store, gone, full)
    return done


_WHOLE = Shape(None, 0)


def _passing(status: status_pb2.Status) -> bool:
    """Whether it is about the transaction as a whole, which is tried again."""
    return status.code in (code_pb2.UNAVAILABLE, code_pb2.UNKNOWN, code_pb2.DEADLINE_EXCEEDED, code_pb2.CANCELLED) or (
        status.code == code_pb2.ABORTED and statuses.reason_of(status) != "CONFLICT"
    )


def _tag_of(record: StoredRecord) -> bytes:
    return b"" if record.version is None else record.version.to_bytes()


def result_of(done: Done, shape: Shape, stamp: bytes) -> records_pb2.RecordResult:
    """What the caller is told of an operation that was committed with a versionstamp; b"" before that."""
    result = records_pb2.RecordResult()
    if done.status is not None:
        result.status.CopyFrom(done.status)
    elif done.saved is None:
        result.status.SetInParent()
        result.record.name.CopyFrom(name_of(done.operation.key))
        result.record.deleted = True
    else:
        result.status.SetInParent()
        version = done.saved.version
        tag = b"" if version is None else version.to_bytes()
        if tag and stamp:
            tag = stamp + tag[len(stamp) :]
        outgoing(done.saved, shape, tag=tag, into=result.record)
    return result
