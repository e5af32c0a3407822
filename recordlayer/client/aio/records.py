"""Records of one zone, read and changed: in calls of their own, or as steps of a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from recordlayer.client.conditions import filter_of
from recordlayer.client.edits import Delete, Edit, Loaded, Save, Update
from recordlayer.client.pb import records_pb2, types_pb2
from recordlayer.client.refusals import reason_of, refusal_of
from recordlayer.errors import UsageError
from recordlayer.query.predicate import Predicate

M = TypeVar("M", bound=Message)

Fields = Sequence[str] | None
"""Which fields are wanted: "customer", or "address.city" for a field of a message; None: all of them."""

_NAMES = 200
"""Of one request; GetServerInfo says so."""


class Records:
    """Records of a zone. `_name`: which zone."""

    _name: types_pb2.ZoneName

    async def _look_up(self, request: records_pb2.LookupRequest) -> records_pb2.LookupReply:
        raise NotImplementedError

    async def _page(self, request: records_pb2.QueryRequest) -> records_pb2.QueryReply:
        raise NotImplementedError

    async def whole(self, record: types_pb2.Record) -> types_pb2.Record | None:
        """The record with its message; one that fits into no reply is fetched in chunks, as it is then. None if it has
        gone since."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return self._name.name

    async def modify(self, edits: Sequence[Edit]) -> list[Any]:
        """What became of each edit, in their order: the record as saved, None if it was deleted."""
        raise NotImplementedError

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

    async def update(
        self,
        message: Message,
        *,
        name: str,
        fields: Fields = None,
        transforms: Sequence[records_pb2.Transform] = (),
        change_tag: bytes | None = None,
    ) -> Loaded[Any]:
        """The record as it is behind a change of some of its fields; `recordlayer.client.edits.Update` says how.

        Raises  ChangeTagStale, UniquenessViolation; CallRefused
        """
        edit = Update(message, name, fields=fields, transforms=transforms, change_tag=change_tag)
        (saved,) = await self.modify([edit])
        assert isinstance(saved, Loaded), "an atomic batch fails as a whole"
        return saved

    async def delete(self, name: str, *, change_tag: bytes | None = None) -> None:
        """Delete a record; without a change tag whatever it holds.  Raises  ChangeTagStale"""
        await self.modify([Delete(name, change_tag=change_tag)])

    async def _outcome(self, edit: Edit, record: types_pb2.Record) -> Loaded[Any] | None:
        if isinstance(edit, Update) and record.WhichOneof("content") is None:
            # What all of them are now did not fit into the reply, or it was the reply to an earlier sending.
            return await self.load(type(edit.message), edit.name)
        return edit.outcome(record)

    async def load(self, kind: type[M], name: str, *, fields: Fields = None) -> Loaded[M] | None:
        """The record with this name, None if there is none.  Raises  UsageError for one of another type"""
        return (await self.load_many(kind, [name], fields=fields)).get(name)

    async def load_many(self, kind: type[M], names: Sequence[str], *, fields: Fields = None) -> dict[str, Loaded[M]]:
        """Those of the names that are there.

        fields  those that are wanted, "customer" or "address.city"; others are not set in the messages. None: all

        Raises  UsageError for a record of another type
        """
        found = {}
        for name, record in (await self.records(names, fields=fields)).items():
            if (one := await self.decoded(kind, record)) is not None:
                found[name] = one
        return found

    async def records(self, names: Sequence[str], *, fields: Fields = None) -> dict[str, types_pb2.Record]:
        """Those of the names that are there, of whatever type, with the form MESSAGE."""
        found: dict[str, types_pb2.Record] = {}
        for start in range(0, len(names), _NAMES):
            some = names[start : start + _NAMES]
            request = records_pb2.LookupRequest(form=types_pb2.MESSAGE)
            want(request, fields)
            request.names.extend(types_pb2.RecordName(zone=self._name, name=name) for name in some)
            for name, result in zip(some, (await self._look_up(request)).results, strict=True):
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
        fields: Fields = None,
    ) -> AsyncIterator[Loaded[M]]:
        """The records of a type that fulfil a condition, page after page; each page is a call of its own.

        sort            fields; "-field" for all of them: descending
        page            records of a page; 0: as the server likes
        sort_in_memory  so many records may be sorted by the server where no index has the order
        fields          as in `load_many`

        Raises  CallRefused, with the reason INDEX_REQUIRED where no index serves; UsageError for a condition that the
                service has no word for
        """
        request = self._query(kind, where, sort=sort, page=page, sort_in_memory=sort_in_memory, fields=fields)
        while True:
            reply = await self._page(request)
            for record in reply.records:
                if (one := await self.decoded(kind, record)) is not None:
                    yield one
            if not reply.continuation:  # a page without records is no end
                return
            request.continuation = reply.continuation

    def _query(
        self,
        kind: type[M],
        where: Predicate | None,
        *,
        sort: Sequence[str] = (),
        page: int = 0,
        sort_in_memory: int = 0,
        fields: Fields = None,
    ) -> records_pb2.QueryRequest:
        request = records_pb2.QueryRequest(
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
        want(request, fields)
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


def want(request: Any, fields: Fields) -> None:
    """Ask for some fields only."""
    if fields is not None:
        request.desired_keys.SetInParent()
        request.desired_keys.fields.extend(fields)
