"""A stream of Transact in a test."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from recordlayer.client.pb import records_pb2, transactions_pb2, types_pb2
from tests.support.service import Caller, record_name

Request = transactions_pb2.TransactRequest
Reply = transactions_pb2.TransactReply


class Transact:
    """One transaction; every step waits for its answer. Warnings are kept apart."""

    def __init__(self, caller: Caller, **said: Any) -> None:
        self.caller = caller
        self.warned: list[int] = []
        self._begin = Request.Begin(context=caller.context, **said)
        self._call: Any = None
        self._sequence = 0
        self.begun = Reply()

    async def __aenter__(self) -> Self:
        self._call = self.caller.transactions.Transact()
        self.begun = await self.step(begin=self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.cancel()

    async def step(self, **kind: Any) -> Reply:
        """The answer to one step; raises the status with which the transaction ends instead."""
        self._sequence += 1
        await self._call.write(Request(sequence=self._sequence, **kind))
        while True:
            reply = await self._call.read()
            assert isinstance(reply, Reply), "the stream has ended without an answer"
            if reply.WhichOneof("kind") != "warning":
                assert reply.sequence == self._sequence
                return reply
            self.warned.append(reply.warning.bound)

    async def end(self) -> list[Reply]:
        """What comes until the stream ends; raises its status, and keeps the warnings."""
        found = []
        while isinstance(reply := await self._call.read(), Reply):
            if reply.WhichOneof("kind") == "warning":
                self.warned.append(reply.warning.bound)
            else:
                found.append(reply)
        return found

    async def done_writing(self) -> None:
        await self._call.done_writing()

    async def look_up(self, *names: str, zone: str = "") -> list[types_pb2.Record | None]:
        said = records_pb2.LookupRequest(names=[record_name(name, zone) for name in names])
        results = (await self.step(lookup=said)).lookup.results
        return [None if result.status.code else result.record for result in results]

    async def modify(self, *operations: records_pb2.Operation, **said: Any) -> Reply:
        return await self.step(modify=Request.Modify(operations=operations, **said))

    async def commit(self) -> Reply:
        return await self.step(commit={})
