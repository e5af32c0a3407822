"""A stream of Watch in a test."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from google.rpc import status_pb2

from recordlayer.client.pb import sync_pb2, types_pb2
from tests.support.service import Caller


class Watch:
    """An open stream; replies are taken one by one."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.tokens: dict[int, bytes] = {}
        self._call: Any = None
        self._kept: dict[int, list[sync_pb2.WatchReply]] = {}

    async def __aenter__(self) -> Self:
        self._call = self.caller.sync.Watch()
        await self._call.write(sync_pb2.WatchRequest(open=sync_pb2.WatchRequest.Open(context=self.caller.context)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.cancel()

    async def add(self, target: int, *, zone: str = "", **said: Any) -> None:
        """Watch a zone; comes back when the server says that it does."""
        await self._ask(target, zone, said)
        while True:
            reply = await self._read()
            if reply.added.target == target and reply.WhichOneof("kind") == "added":
                return
            self._keep(reply)

    async def refused(self, target: int, *, zone: str = "", **said: Any) -> status_pb2.Status:
        """Try to watch a zone: the status with which the server does not."""
        await self._ask(target, zone, said)
        while True:
            reply = await self._read()
            if reply.WhichOneof("kind") == "removed" and reply.removed.target == target:
                return reply.removed.status

    async def remove(self, target: int) -> None:
        await self._call.write(sync_pb2.WatchRequest(remove=sync_pb2.WatchRequest.Remove(target=target)))

    async def next(self, *, progress: bool = False) -> sync_pb2.WatchReply:
        """The next reply; notes of progress only where they are asked for."""
        for kept in self._kept.values():
            if kept:
                return kept.pop(0)
        while True:
            reply = await self._read()
            if progress or reply.WhichOneof("kind") != "progress":
                return reply

    async def until_current(self, target: int) -> list[str]:
        """The names of records that came until a target was current, those that are gone with a dash."""
        told: list[str] = []
        while True:
            kept = self._kept.get(target)
            reply = kept.pop(0) if kept else await self._read()
            kind = reply.WhichOneof("kind")
            if kind == "current" and reply.current.target == target:
                self.tokens[target] = reply.current.token
                return told
            if kind == "changed" and reply.changed.target == target:
                told += ["-" * record.deleted + record.name.name for record in reply.changed.records]
            elif kind in ("changed", "current"):
                self._keep(reply)
            elif kind == "removed" and reply.removed.target == target:
                raise AssertionError(reply)

    def _keep(self, reply: sync_pb2.WatchReply) -> None:
        kind = reply.WhichOneof("kind")
        if kind in ("changed", "current", "reset", "removed"):
            self._kept.setdefault(getattr(reply, kind).target, []).append(reply)

    async def _ask(self, target: int, zone: str, said: dict[str, Any]) -> None:
        add = sync_pb2.WatchRequest.Add(target=target, zone=types_pb2.ZoneName(name=zone), **said)
        await self._call.write(sync_pb2.WatchRequest(add=add))

    async def _read(self) -> sync_pb2.WatchReply:
        reply = await self._call.read()
        if not isinstance(reply, sync_pb2.WatchReply):  # the stream has ended: what with is raised
            async for _ in self._call:
                pass
            raise AssertionError("the stream has ended")
        return reply
