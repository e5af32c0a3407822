"""Records by name, and what becomes of records that do not fit into a reply."""

from __future__ import annotations

from collections.abc import Sequence

from google.rpc import code_pb2

from recordlayer import StoredRecord
from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import records_pb2, types_pb2
from recordlayer.errors import CorruptRecord
from recordlayer.metadata.envelope import varint
from recordlayer_server import record_bytes, statuses
from recordlayer_server.contents import WHOLE, Shape, key_of, outgoing
from recordlayer_server.databases import Databases
from recordlayer_server.limits import Limits
from recordlayer_server.places import Tenant
from recordlayer_server.zone_catalog import missing_zones

_ROOM = 64 << 10  # of a reply, for what is not records
_RESULT = b"\x12"  # the tag of a LookupReply's results
_FOUND = b"\x0a\x00\x12"  # a RecordResult with a status that is empty, and the tag of its record


Keys = Sequence[tuple[str, str]]


def keys_of(request: records_pb2.LookupRequest, limits: Limits) -> Keys:
    """The primary keys that are asked for.  Raises  Refusal."""
    if not 1 <= len(request.names) <= limits.names_per_request:
        raise statuses.bad_request("names", f"1 to {limits.names_per_request}")
    if len(request.names) == 1:
        return (key_of(request.names[0], "names[0]", limits),)
    return [key_of(name, f"names[{place}]", limits) for place, name in enumerate(request.names)]


class Gone:
    """In the place of a record whose zone is not there."""


Found = StoredRecord | CorruptRecord | type[Gone] | None
"""What is there under a name: a record, one that cannot be read, or nothing."""


async def look_up(
    databases: Databases,
    tx: Transaction,
    tenant: Tenant,
    keys: Keys,
    *,
    snapshot: bool = True,
) -> list[Found]:
    """What is there under each key.

    snapshot  let others change what was read before this transaction commits

    Raises  Refusal if there is no such container.
    """
    store = await databases.records(tx, tenant)
    gone = await missing_zones(databases, tx, tenant, {zone for zone, _ in keys})
    if store is None:
        if await databases.metadata(tx, tenant) is None:
            raise statuses.forbidden()
        found: list[Found] = [None] * len(keys)
    else:
        try:
            if len(keys) == 1:
                found = [await store.load_record(keys[0], snapshot=snapshot)]
            else:
                found = [*await store.load_records(keys, snapshot=snapshot)]
        except CorruptRecord:  # one of them: the others are whole
            found = [await _or_damage(store, key, snapshot=snapshot) for key in keys]
    return [Gone if key[0] in gone else one for key, one in zip(keys, found, strict=True)] if gone else found


def told(keys: Keys, found: Sequence[Found], shape: Shape, most: int) -> bytes:
    """The results of `tell` as the bytes of a reply that has nothing else."""
    whole = _whole(found, most - _ROOM) if shape.wanted is None and shape.form != types_pb2.MESSAGE else None
    if whole is not None:
        return whole
    reply = records_pb2.LookupReply()
    tell(reply, keys, found, shape, most)
    return bytes(reply.SerializeToString())


def _whole(found: Sequence[Found], room: int) -> bytes | None:
    """Results with all fields of records, if they are there, can be read and have room."""
    parts: list[bytes] = []
    for stored in found:
        if type(stored) is not StoredRecord:
            return None
        try:
            record = record_bytes.told(stored, WHOLE[types_pb2.FIELDS])
        except CorruptRecord:
            return None
        size = len(record)
        room -= size + 16
        if room < 0:
            return None
        end = _FOUND + varint(size)
        parts += (_RESULT, varint(len(end) + size), end, record)
    return b"".join(parts)


def tell(reply: records_pb2.LookupReply, keys: Keys, found: Sequence[Found], shape: Shape, most: int) -> None:
    """Add a result for each key to a reply of `most` bytes."""
    room = most - _ROOM
    for key, stored in zip(keys, found, strict=True):
        result = reply.results.add()
        if isinstance(stored, StoredRecord):
            try:
                record = outgoing(stored, shape, into=result.record)
            except CorruptRecord as error:
                _say_damage(result, error, key)
                continue
            room -= (size := record.ByteSize() + 16)
            if room < 0:
                room += size
                result.ClearField("record")
                result.status.CopyFrom(no_room(most).status)
            else:
                result.status.SetInParent()
        elif stored is None:
            result.status.CopyFrom(statuses.not_found("record", key[1]).status)
        elif isinstance(stored, CorruptRecord):
            _say_damage(result, stored, key)
        else:
            result.status.CopyFrom(statuses.not_found("zone", key[0]).status)


async def _or_damage(store: RecordStore, key: tuple[str, str], *, snapshot: bool) -> Found:
    """A record, None if it is not there, or the error of one that cannot be read."""
    try:
        found: Found = await store.load_record(key, snapshot=snapshot)
        return found
    except CorruptRecord as error:
        return error


def _say_damage(result: records_pb2.RecordResult, error: CorruptRecord, key: tuple[str, str]) -> None:
    result.ClearField("record")
    result.status.CopyFrom(statuses.known(CorruptRecord(primary_key=key, found=error.fields.get("found", ""))))


def fit(reply: records_pb2.ModifyReply, limits: Limits) -> None:
    """Take the contents out of a reply that is too large: what it tells of has happened, and the caller has to hear."""
    if reply.ByteSize() > limits.message_bytes - _ROOM:
        for result in reply.results:
            result.record.ClearField("fields")
            result.record.ClearField("message")


def no_room(limit: int) -> statuses.Refusal:
    """A record alone is larger than a reply."""
    text = "the record does not fit into the reply: ask for it alone, for fewer fields, or by QueryStream"
    return statuses.refusal(code_pb2.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", text, limit=limit)
