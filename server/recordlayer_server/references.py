"""References between records: targets that must be there, and records that go when their target goes.

A field of the type recordlayer.v1.Reference, or a list of them, has an index that the service keeps by itself: of the
references with DELETE_SELF, by zone and name of the target. Who deletes a record finds there what goes with it.

    VALIDATE     its target must be there when the reference is made
    DELETE_SELF  the same, and in the zone of the record; whoever deletes the target deletes the record too, in the same
                 transaction, and what goes with that. Where that is more than a limit, the deletion is refused, and
                 nothing has been deleted
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2

from recordlayer.aio import RecordStore
from recordlayer.client.pb import types_pb2
from recordlayer_server import statuses
from recordlayer_server.contents import key_of
from recordlayer_server.holding import held, may_hold
from recordlayer_server.limits import Limits
from recordlayer_server.schema import REFERENCE, REFERENCES

Key = tuple[str, str]


async def check(store: RecordStore, key: Key, new: Message, old: Message | None, where: str, limits: Limits) -> None:
    """Look at the references of a record that its predecessor did not have.  Raises  Refusal.

    Cost  1 read for each that has a target to be there.
    """
    if not may_hold(new.DESCRIPTOR, REFERENCE):
        return
    before = set() if old is None else {one.SerializePartialToString() for one, _ in held(old, REFERENCE)}
    for found, is_direct in held(new, REFERENCE):
        one = types_pb2.Reference.FromString(found.SerializePartialToString())
        if one.action == types_pb2.Reference.NONE or found.SerializePartialToString() in before:
            continue
        target = key_of(one.target, f"{where}.target", limits)
        if one.action == types_pb2.Reference.DELETE_SELF:
            if not is_direct:
                text = "a reference with DELETE_SELF is a field of the record itself, or in a list that is one"
                raise statuses.bad_request(where, text)
            if target[0] != key[0]:
                raise statuses.bad_request(where, "a record and what it goes with are in the same zone")
        if target != key and not await store.exists(target):
            text, failure = "a record that it refers to is not there", error_details_pb2.PreconditionFailure()
            failure.violations.add(type="INVALID_REFERENCE", subject=target[1], description=f"{where}: {text}")
            raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "INVALID_REFERENCE", text, failure, record=target[1])


async def followers(store: RecordStore, key: Key, limits: Limits) -> list[Key]:
    """The keys of the records that go when this one goes, in the order in which they are found.  Raises  Refusal.

    Cost  1 range read for each field that holds references, for the record and each one found.
    """
    indexes = [name for name in store.metadata.indexes if name.startswith(REFERENCES)]
    found: dict[Key, None] = {key: None}
    ahead = [key] if indexes else []
    most = limits.records_per_cascade
    for zone, name in ahead:  # it grows
        for index in indexes:
            entries = await store.scan_index(index, (zone, types_pb2.Reference.DELETE_SELF, name), limit=most + 1).all()
            for entry in entries:
                another: Any = entry.primary_key
                if another not in found:
                    found[another] = None
                    ahead.append(another)
            if len(found) - 1 > most:
                raise statuses.too_large("records that refer to it with DELETE_SELF", limit=most, size=len(found) - 1)
    return ahead[1:]
