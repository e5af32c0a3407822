"""Records of one zone."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf.message import Message

from recordlayer.client.aio.assets import ZoneAssets
from recordlayer.client.conditions import filter_of
from recordlayer.client.edits import Delete, Loaded, Save
from recordlayer.client.pb import records_pb2, sync_pb2, types_pb2
from recordlayer.client.refusals import reason_of, refusal_of
from recordlayer.client.values import python_of, value_of
from recordlayer.errors import RecordLayerError, UsageError
from recordlayer.query.paths import q
from recordlayer.query.predicate import Predicate

if TYPE_CHECKING:
    from recordlayer.client.aio.client import Client
    from recordlayer.client.retries import Attempts

M = TypeVar("M", bound=Message)

Fields = Sequence[str] | None
"""Which fields are wanted: "customer", or "address.city" for a field of a message; None: all of them."""

_NAMES = 200
"""Of one request; GetServerInfo says so."""


@dataclass(frozen=True, slots=True)
class Changes:
    """A page of what has changed in a zone: records with the form MESSAGE, those that are gone `deleted`."""

    records: list[types_pb2.Record]
    token: bytes
    more_coming: bool


class Zone:
    """Records of one zone."""

    def __init__(self, client: Client, name: types_pb2.ZoneName) -> None:
        self.client = client
        self._name = name

    @property
    def name(self) -> str:
        return self._name.name

    @property
    def assets(self) -> ZoneAssets:
        """Bytes beside the records."""
        return ZoneAssets(self.client, self._name)

    async def save(
        self, message: Message, *, name: str = "", change_tag: bytes | None = None, create: bool = False
    ) -> Loaded[Any]:
        """The record as saved, with its new change tag and, where no name was given to a new one, the server's.

        change_tag  the record must still have it; None: replace whatever is there
        create      it must not be there yet

        Raises  ChangeTagStale, with the server's record; RecordExists; UniquenessViolation
        """
        (saved,) = await self.modify([Save(message, name, change_tag=change_tag, create=create)])
        assert isinstance(saved, Loaded), "an atomic batch fails as a whole"
        return saved

    async def delete(self, name: str, *, change_tag: bytes | None = None) -> None:
        """Delete a record; without a change tag whatever it holds.  Raises  ChangeTagStale"""
        await self.modify([Delete(name, change_tag=change_tag)])

    async def modify(
        self, edits: Sequence[Save | Delete], *, atomic: bool = True
    ) -> list[Loaded[Any] | RecordLayerError | None]:
        """What became of each edit, in their order: the record as saved, None if it was deleted.

        atomic  all or nothing: the first failure is raised, and its `operation` says which edit it was. Without it the
                error of an edit stands in its place; those that the service wants again are sent again, by themselves.

        Raises  ChangeTagStale, RecordExists, UniquenessViolation, CallRefused, NoAnswer
        """
        outcomes: list[Any] = [None] * len(edits)
        open_edits, attempts = list(range(len(edits))), self.client.attempts()
        while open_edits:
            request = self._batch([edits[at] for at in open_edits], atomic=atomic)
            reply = await self.client.call(self.client.records.Modify, request, attempts=attempts)
            again: list[int] = []
            delays: list[float] = []
            for at, result in zip(open_edits, reply.results, strict=True):
                if not result.status.code:
                    outcomes[at] = edits[at].outcome(result.record)
                    continue
                outcomes[at] = refusal_of(result.status)
                delay = attempts.told(result.status)
                if delay is not None:
                    again.append(at)
                    delays.append(delay)
            if not again or not attempts.may_wait(max(delays)):
                break
            await self.client.transport.sleep(max(delays))
            open_edits = again
        return outcomes

    def _batch(self, edits: Sequence[Save | Delete], *, atomic: bool) -> records_pb2.ModifyRequest:
        request = records_pb2.ModifyRequest(context=self.client.context, atomic=atomic)
        request.operations.extend(edit.operation(self._name) for edit in edits)
        if not atomic:
            for edit, operation in zip(edits, request.operations, strict=True):
                operation.idempotency_key = edit.key
        elif len(edits) == 1:
            request.idempotency_key = edits[0].key
        else:
            request.idempotency_key = uuid.uuid4().hex
        return request

    async def load(self, kind: type[M], name: str) -> Loaded[M] | None:
        """The record with this name, None if there is none.  Raises  UsageError for one of another type"""
        return (await self.load_many(kind, [name])).get(name)

    async def load_many(self, kind: type[M], names: Sequence[str]) -> dict[str, Loaded[M]]:
        """Those of the names that are there.  Raises  UsageError for a record of another type"""
        found = {}
        for name, record in (await self.records(names)).items():
            if (one := await self.decoded(kind, record)) is not None:
                found[name] = one
        return found

    async def records(self, names: Sequence[str]) -> dict[str, types_pb2.Record]:
        """Those of the names that are there, of whatever type, with the form MESSAGE."""
        found: dict[str, types_pb2.Record] = {}
        for start in range(0, len(names), _NAMES):
            some = names[start : start + _NAMES]
            request = records_pb2.LookupRequest(context=self.client.context, form=types_pb2.MESSAGE)
            request.names.extend(types_pb2.RecordName(zone=self._name, name=name) for name in some)
            reply = await self.client.call(self.client.records.Lookup, request)
            for name, result in zip(some, reply.results, strict=True):
                if not result.status.code:
                    found[name] = result.record
                elif reason_of(result.status) != "NOT_FOUND":
                    raise refusal_of(result.status)
        return found

    async def query(
        self,
        kind: type[M],
        where: Predicate | None = None,
        *,
        sort: Sequence[str] = (),
        page: int = 0,
        sort_in_memory: int = 0,
    ) -> AsyncIterator[Loaded[M]]:
        """The records of a type that fulfil a condition, page after page; each page is a call of its own.

        sort            fields; "-field" for all of them: descending
        page            records of a page; 0: as the server likes
        sort_in_memory  so many records may be sorted by the server where no index has the order

        Raises  CallRefused, with the reason INDEX_REQUIRED where no index serves
        """
        request = self._query(kind, where, sort=sort, page=page, sort_in_memory=sort_in_memory)
        while True:
            reply = await self.client.call(self.client.records.Query, request)
            for record in reply.records:
                if (one := await self.decoded(kind, record)) is not None:
                    yield one
            if not reply.continuation:  # a page without records is no end
                return
            request.continuation = reply.continuation

    async def explain(
        self, kind: type[M], where: Predicate | None = None, *, sort: Sequence[str] = (), analyze: bool = False
    ) -> records_pb2.ExplainReply:
        """What a query will do and cost, and why; `analyze` runs one page of it."""
        request = records_pb2.ExplainRequest(query=self._query(kind, where, sort=sort), analyze=analyze)
        reply: records_pb2.ExplainReply = await self.client.call(self.client.records.Explain, request)
        return reply

    async def aggregate(
        self,
        kind: type[M],
        function: str,
        of: str = "",
        *,
        group: dict[str, Any] | None = None,
        where: Predicate | None = None,
        value: Any = None,
        fraction: float = 0.0,
    ) -> Any:
        """A number over many records: `function` is COUNT, COUNT_NOT_NULL, SUM, MIN, MAX, COUNT_DISTINCT, RANK of
        `value`, or PERCENTILE at `fraction`; None where there is none.

        Raises  CallRefused, with the reason INDEX_REQUIRED where no index has it
        """
        if function not in dict(records_pb2.AggregateRequest.Function.items()):
            raise UsageError(what=f"no function {function}", hint="names are those of records.proto")
        request = records_pb2.AggregateRequest(
            context=self.client.context, zone=self._name, record_type=kind.DESCRIPTOR.name
        )
        request.MergeFrom(records_pb2.AggregateRequest(function=function, field=of, fraction=fraction))
        for name, one in (group or {}).items():
            request.group.add(field=name, value=value_of(one))
        if value is not None:
            request.value.CopyFrom(value_of(value))
        if where is not None:
            request.filter.CopyFrom(filter_of(where))
        return python_of((await self.client.call(self.client.records.Aggregate, request)).value)

    async def changes(
        self, token: bytes = b"", *, limit: int = 0, kinds: Sequence[type[Message]] = (), fields: Fields = None
    ) -> Changes:
        """A page of what has changed since a token; without one, of everything. Ask again at once while more is coming.

        limit   records of the page; 0: as the server likes
        kinds   of these types only
        fields  as in `load_many`

        Raises  CallRefused with the reason TOKEN_EXPIRED: drop what you hold and begin without a token
        """
        request = sync_pb2.ZoneChangesRequest(context=self.client.context, form=types_pb2.MESSAGE, limit=limit)
        request.zones.add(zone=self._name, token=token)
        request.record_types.extend(kind.DESCRIPTOR.name for kind in kinds)
        _want(request, fields)
        (one,) = (await self.client.call(self.client.sync.ZoneChanges, request)).zones
        if one.status.code:
            raise refusal_of(one.status)
        return Changes(list(one.records), one.token, one.more_coming)

    async def watch(self, token: bytes = b"") -> AsyncIterator[str]:
        """Word of changes behind a token, without end: "changed", "reset" (drop what you hold), or "current". After
        the connection was lost it goes on where it was.

        Raises  CallRefused, with the reason ZONE_NOT_FOUND when the zone is gone; NoAnswer
        """
        attempts: Attempts | None = None
        while True:
            requests = [
                sync_pb2.WatchRequest(open=sync_pb2.WatchRequest.Open(context=self.client.context)),
                sync_pb2.WatchRequest(add=sync_pb2.WatchRequest.Add(target=1, zone=self._name, token=token)),
            ]
            try:
                call = await self.client.transport.stream(self.client.sync.Watch, requests, self.client.metadata())
                try:
                    async for reply in call:
                        attempts = None  # it went well: after a cut, however long from now, they begin anew
                        kind = reply.WhichOneof("kind")
                        if kind == "removed":
                            raise refusal_of(reply.removed.status)
                        for current in [reply.current] if kind == "current" else reply.progress.targets:
                            token = current.token
                        if kind == "reset":
                            token = b""
                        if kind in ("changed", "reset", "current"):
                            yield kind
                finally:
                    call.cancel()
            except grpc.RpcError as error:
                attempts = self.client.attempts() if attempts is None else attempts
                await self.client.transport.sleep(attempts.delay_behind(error))

    def _query(
        self,
        kind: type[M],
        where: Predicate | None,
        *,
        sort: Sequence[str] = (),
        page: int = 0,
        sort_in_memory: int = 0,
    ) -> records_pb2.QueryRequest:
        request = records_pb2.QueryRequest(
            context=self.client.context,
            zone=self._name,
            record_types=[kind.DESCRIPTOR.name],
            form=types_pb2.MESSAGE,
            limit=page,
            sort_in_memory=sort_in_memory,
        )
        if where is not None:
            request.filter.CopyFrom(filter_of(where))
        for one in sort:
            request.sort.add(field=one.removeprefix("-"), descending=one.startswith("-"))
        return request

    async def decoded(self, kind: type[M], record: types_pb2.Record) -> Loaded[M] | None:
        """A record of a reply as a message; None where it was too large for the reply and has gone since.

        Raises  UsageError for one of another type
        """
        if record.record_type != kind.DESCRIPTOR.name:
            raise UsageError(
                record=record.name.name, type=record.record_type, hint=f"it is no {kind.DESCRIPTOR.name}: load its own"
            )
        whole = await self.whole(record)
        if whole is None:
            return None
        return Loaded(name=whole.name.name, message=kind.FromString(whole.message), change_tag=whole.change_tag)

    async def whole(self, record: types_pb2.Record) -> types_pb2.Record | None:
        """The record with its message; one that fits into no reply is fetched in chunks, as it is then. None if it has
        gone since."""
        if record.WhichOneof("content") != "chunked":
            return record
        request = records_pb2.QueryRequest(context=self.client.context, zone=self._name, form=types_pb2.MESSAGE)
        request.record_types.append(record.record_type)
        request.filter.CopyFrom(filter_of(q["$name"] == record.name.name))
        found: types_pb2.Record | None = await self.client.call(self._chunks, request)
        return found

    async def _chunks(self, request: records_pb2.QueryRequest, **said: Any) -> types_pb2.Record | None:
        found: types_pb2.Record | None = None
        contents = bytearray()
        async for reply in self.client.records.QueryStream(request, **said):
            for record in reply.records:
                found = record
            contents += reply.chunk
        if found is not None and found.WhichOneof("content") == "chunked":
            found.message = bytes(contents)
        return found


def _want(request: Any, fields: Fields) -> None:
    if fields is not None:
        request.desired_keys.SetInParent()
        request.desired_keys.fields.extend(fields)
