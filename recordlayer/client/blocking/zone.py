# Generated from recordlayer/client/aio/zone.py by tests/house/generate_blocking.py: do not edit.
"""Records of one zone."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message

from recordlayer.client.blocking.assets import ZoneAssets
from recordlayer.client.blocking.bulk import bulk
from recordlayer.client.blocking.records import Fields, Records, want
from recordlayer.client.blocking.streaming import streamed, watched
from recordlayer.client.conditions import filter_of
from recordlayer.client.edits import Edit, Loaded, want_outcomes
from recordlayer.client.pb import records_pb2, sync_pb2, types_pb2
from recordlayer.client.refusals import refusal_of
from recordlayer.client.values import python_of, value_of
from recordlayer.errors import RecordLayerError, UsageError
from recordlayer.query.paths import q
from recordlayer.query.predicate import Predicate

if TYPE_CHECKING:
    from recordlayer.client.blocking.client import Client

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Changes:
    """A page of what has changed in a zone: records with the form MESSAGE, those that are gone `deleted`."""

    records: list[types_pb2.Record]
    token: bytes
    more_coming: bool
    reset: bool = False


class Zone(Records):
    """Records of one zone."""

    def __init__(self, client: Client, name: types_pb2.ZoneName) -> None:
        self.client = client
        self._name = name

    @property
    def assets(self) -> ZoneAssets:
        """Bytes beside the records."""
        return ZoneAssets(self.client, self._name)

    def modify(self, edits: Sequence[Edit], *, atomic: bool = True) -> list[Loaded[Any] | RecordLayerError | None]:
        """What became of each edit, in their order: the record as saved, None if it was deleted.

        atomic  all or nothing: the first failure is raised, and its `operation` says which edit it was. Without it the
                error of an edit stands in its place; those that the service wants again are sent again, by themselves.

        Raises  ChangeTagStale, RecordExists, UniquenessViolation, CallRefused, NoAnswer
        """
        outcomes: list[Any] = [None] * len(edits)
        open_edits, attempts = list(range(len(edits))), self.client.attempts()
        while open_edits:
            request = self._batch([edits[at] for at in open_edits], atomic=atomic)
            reply = self.client.call(self.client.records.Modify, request, attempts=attempts)
            again: list[int] = []
            delays: list[float] = []
            for at, result in zip(open_edits, reply.results, strict=True):
                if not result.status.code:
                    outcomes[at] = self._outcome(edits[at], result.record)
                    continue
                outcomes[at] = refusal_of(result.status)
                delay = attempts.told(result.status)
                if delay is not None:
                    again.append(at)
                    delays.append(delay)
            if not again or not attempts.may_wait(max(delays)):
                break
            self.client.transport.sleep(max(delays))
            open_edits = again
        return outcomes

    def _batch(self, edits: Sequence[Edit], *, atomic: bool) -> records_pb2.ModifyRequest:
        request = records_pb2.ModifyRequest(context=self.client.context, atomic=atomic)
        request.operations.extend(edit.operation(self._name) for edit in edits)
        want_outcomes(request, edits)
        if not atomic:
            for edit, operation in zip(edits, request.operations, strict=True):
                operation.idempotency_key = edit.key
        elif len(edits) == 1:
            request.idempotency_key = edits[0].key
        else:
            request.idempotency_key = uuid.uuid4().hex
        return request

    def explain(
        self, kind: type[M], where: Predicate | None = None, *, sort: Sequence[str] = (), analyze: bool = False
    ) -> records_pb2.ExplainReply:
        """What a query will do and cost, and why; `analyze` runs one page of it."""
        request = records_pb2.ExplainRequest(query=self._query(kind, where, sort=sort), analyze=analyze)
        request.query.context.CopyFrom(self.client.context)
        reply: records_pb2.ExplainReply = self.client.call(self.client.records.Explain, request)
        return reply

    def aggregate(
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
        return python_of((self.client.call(self.client.records.Aggregate, request)).value)

    def changes(
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
        want(request, fields)
        (one,) = (self.client.call(self.client.sync.ZoneChanges, request)).zones
        if one.status.code:
            raise refusal_of(one.status)
        return Changes(list(one.records), one.token, one.more_coming)

    def watch(self, token: bytes = b"") -> Iterator[str]:
        """Word of changes behind a token, without end: "changed", "reset" (drop what you hold), or "current". After
        the connection was lost it goes on where it was.

        Raises  CallRefused, with the reason ZONE_NOT_FOUND when the zone is gone; NoAnswer
        """
        add = sync_pb2.WatchRequest.Add(target=1, zone=self._name, token=token)
        for reply in watched(self.client, add):
            kind = reply.WhichOneof("kind")
            if kind in ("changed", "reset", "current"):
                yield kind

    def follow(
        self, token: bytes = b"", *, kinds: Sequence[type[Message]] = (), fields: Fields = None
    ) -> Iterator[Changes]:
        """The changes behind a token as they come, without end. A page for which nothing more is coming says that all
        has been told; one that is `reset` that what was told does not count any more, and all of it follows anew.

        kinds, fields  as in `changes`

        Raises  CallRefused, with the reason ZONE_NOT_FOUND when the zone is gone; NoAnswer
        """
        add = sync_pb2.WatchRequest.Add(target=1, zone=self._name, token=token, content=True, form=types_pb2.MESSAGE)
        add.record_types.extend(kind.DESCRIPTOR.name for kind in kinds)
        want(add, fields)
        for reply in watched(self.client, add):
            kind = reply.WhichOneof("kind")
            if kind == "changed":
                yield Changes(list(reply.changed.records), reply.changed.token, more_coming=True)
            elif kind == "current":
                yield Changes([], reply.current.token, more_coming=False)
            elif kind == "reset":
                yield Changes([], b"", more_coming=True, reset=True)

    def _look_up(self, request: records_pb2.LookupRequest) -> records_pb2.LookupReply:
        request.context.CopyFrom(self.client.context)
        reply: records_pb2.LookupReply = self.client.call(self.client.records.Lookup, request)
        return reply

    def _page(self, request: records_pb2.QueryRequest) -> records_pb2.QueryReply:
        request.context.CopyFrom(self.client.context)
        reply: records_pb2.QueryReply = self.client.call(self.client.records.Query, request)
        return reply

    def whole(self, record: types_pb2.Record) -> types_pb2.Record | None:
        if record.WhichOneof("content") != "chunked":
            return record
        request = records_pb2.QueryRequest(context=self.client.context, zone=self._name, form=types_pb2.MESSAGE)
        request.record_types.append(record.record_type)
        request.filter.CopyFrom(filter_of(q["$name"] == record.name.name))
        for found in streamed(self.client, request):
            return found
        return None

    def stream(
        self,
        kind: type[M],
        where: Predicate | None = None,
        *,
        sort: Sequence[str] = (),
        sort_in_memory: int = 0,
        fields: Fields = None,
    ) -> Iterator[Loaded[M]]:
        """As `query`, in one call, which the server goes on with as fast as records are taken: for many records. A call
        that is cut off goes on where it was.

        Raises  as `query`
        """
        request = self._query(kind, where, sort=sort, sort_in_memory=sort_in_memory, fields=fields)
        request.context.CopyFrom(self.client.context)
        for record in streamed(self.client, request):
            yield Loaded(name=record.name.name, message=kind.FromString(record.message), change_tag=record.change_tag)

    def modify_stream(
        self, edits: Iterable[Edit], *, batch: int = 100
    ) -> Iterator[Loaded[Any] | RecordLayerError | None]:
        """What became of each edit, in their order, as in a `modify` that is not atomic; several batches are under way
        at once, and records may be larger than a message. Edits are taken as they are sent: for many. Messages come
        back as they were given, those of an Update too.

        batch  edits that are sent together, fewer if they are large

        Raises  CallRefused, NoAnswer; what had been told until then is done
        """
        return bulk(self.client, self._name, edits, batch)
