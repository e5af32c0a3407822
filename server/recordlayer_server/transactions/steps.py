"""What the steps of a transaction do: look up, query a page, modify."""

from __future__ import annotations

from dataclasses import dataclass, field

from recordlayer.aio import Transaction
from recordlayer.client.pb import records_pb2, transactions_pb2, types_pb2
from recordlayer_server.call import Call
from recordlayer_server.contents import name_of, shape_of, zone_of
from recordlayer_server.databases import Databases
from recordlayer_server.looking_up import fit, keys_of, look_up, no_room, tell
from recordlayer_server.modifying import Batch, Done, result_of
from recordlayer_server.operations import FORCED, Author, Names, checked
from recordlayer_server.paging import Pages
from recordlayer_server.places import Tenant
from recordlayer_server.statuses import bad_request
from recordlayer_server.transactions.bounds import Bounds

_RECORDS = "/recordlayer.v1.Records/"


@dataclass(slots=True)
class Steps:
    """The steps of one transaction.

    snapshot  reads let others change what was read
    writes    whether anything may be modified
    """

    databases: Databases
    call: Call
    tenant: Tenant
    tx: Transaction
    bounds: Bounds
    snapshot: bool
    writes: bool = True
    written: dict[tuple[str, str], Done] = field(default_factory=dict)
    """What became of every record that was changed, by the last step that did."""

    async def look_up(self, said: records_pb2.LookupRequest) -> records_pb2.LookupReply:
        """Raises  Refusal."""
        _without_context(said, "lookup")
        keys, shape = keys_of(said, self.databases.limits), shape_of(said, self.databases.limits)
        self.call.permit({zone for zone, _ in keys}, method=_RECORDS + "Lookup")
        self.bounds.take(len(keys))
        reply = records_pb2.LookupReply()
        found = await look_up(self.databases, self.tx, self.tenant, keys, snapshot=self.snapshot)
        tell(reply, keys, found, shape, self.databases.limits.message_bytes)
        return reply

    async def query(self, said: records_pb2.QueryRequest) -> records_pb2.QueryReply:
        """Raises  Refusal."""
        _without_context(said, "query")
        zones = () if said.zone_wide else (zone_of(said.zone, "query.zone", self.databases.limits),)
        self.call.permit(zones, method=_RECORDS + "Query")
        pages = Pages(self.databases, self.tenant, said, await self.databases.seal(), snapshot=self.snapshot)
        self.bounds.take(1)
        page = await pages.page(self.tx, said.continuation, self.bounds.time_left)
        self.call.page_ended(page.end_reason, full=page.full)
        if page.too_large:
            raise no_room(self.databases.limits.message_bytes)
        reply = records_pb2.QueryReply(continuation=page.continuation, end_reason=page.end_reason)
        reply.MergeFromString(page.in_reply)
        return reply

    async def modify(self, said: transactions_pb2.TransactRequest.Modify) -> records_pb2.ModifyReply:
        """Raises  BatchFailed: then a part of it may be there, and the transaction is of no use; Refusal."""
        limits = self.databases.limits
        if not self.writes:
            raise bad_request("modify", "the transaction was begun as `read_only`: begin one that is not")
        for place, one in enumerate(said.operations):
            if one.idempotency_key:
                raise bad_request(
                    f"modify.operations[{place}].idempotency_key", "a transaction has one key, in `begin`"
                )
        operations = checked(said.operations, limits, Names(b""), where="modify.operations")
        shape = shape_of(said, limits)
        self.call.permit({one.key[0] for one in operations}, method=_RECORDS + "Modify")
        self.bounds.take(len(operations))
        self.call.forced += sum(one.type in FORCED for one in operations)
        atomic = said.atomic or not said.HasField("atomic")
        batch = Batch(self.tenant, operations, Author.of(self.call), atomic, limits)
        done = await batch.run(self.databases, self.tx)
        self.written.update((one.operation.key, one) for one in done if one.status is None)
        reply = records_pb2.ModifyReply(results=[result_of(one, shape, b"") for one in done])
        fit(reply, limits)
        return reply

    def committed(self, stamp: bytes) -> list[types_pb2.Record]:
        """What was changed, with the final change tags."""
        found = []
        for key, done in self.written.items():
            record = types_pb2.Record(name=name_of(key), deleted=done.saved is None)
            if done.saved is not None:
                record.record_type = done.saved.record_type.name
                if done.saved.version is not None:
                    record.change_tag = done.saved.version.completed(stamp).to_bytes()
            found.append(record)
        return found


def _without_context(said: records_pb2.LookupRequest | records_pb2.QueryRequest, where: str) -> None:
    if said.HasField("context"):
        raise bad_request(f"{where}.context", "steps have the context of `begin`")
