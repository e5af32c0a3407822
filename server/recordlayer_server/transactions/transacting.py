"""One stream of Transact, from `begin` to the commit.

Steps run one after the other in one transaction of the engine, which is undone as soon as the stream ends in any other
way: the caller goes away or says nothing more, a step fails that cannot be undone by itself, the time is up. A step
that was refused before it did anything leaves the transaction as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2, transactions_pb2
from recordlayer.errors import AlreadyApplied
from recordlayer_server import statuses
from recordlayer_server.applying import check_key, scoped
from recordlayer_server.call import Call
from recordlayer_server.databases import Databases
from recordlayer_server.modifying import BatchFailed
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reply_context
from recordlayer_server.transactions.bounds import Bounds, ended
from recordlayer_server.transactions.open_ones import OpenOnes
from recordlayer_server.transactions.steps import Steps
from recordlayer_server.writing import cost_of

Request = transactions_pb2.TransactRequest
Reply = transactions_pb2.TransactReply

_PURPOSE = b"transact"
_HARMLESS = {
    code_pb2.INVALID_ARGUMENT,
    code_pb2.NOT_FOUND,
    code_pb2.FAILED_PRECONDITION,
    code_pb2.PERMISSION_DENIED,
    code_pb2.RESOURCE_EXHAUSTED,
}
"""Codes of steps that did nothing; others end the transaction."""


class _Requests:
    """What the caller says, read ahead by one step."""

    def __init__(self, requests: AsyncIterator[Request]) -> None:
        self._queue: asyncio.Queue[Request | None] = asyncio.Queue(maxsize=1)
        self._reader = asyncio.create_task(self._read(requests))
        self._taking: asyncio.Task[Request | None] | None = None
        self._refused: statuses.Refusal | None = None

    async def _read(self, requests: AsyncIterator[Request]) -> None:
        with suppress(Exception):  # a stream that breaks off has ended: grpc tells the handler itself
            try:
                async for request in requests:
                    await self._queue.put(request)
            except statuses.Refusal as refused:
                self._refused = refused
        await self._queue.put(None)

    async def next(self, seconds: float) -> Request | None:
        """The next one, None when the caller says no more.  Raises  Refusal for what is no request; TimeoutError: then
        nothing is lost."""
        if self._taking is None:
            self._taking = asyncio.create_task(self._queue.get())
        done, _ = await asyncio.wait((self._taking,), timeout=seconds)
        if not done:
            raise TimeoutError
        taking, self._taking = self._taking, None
        request = taking.result()
        if request is None and self._refused is not None:
            raise self._refused
        return request

    async def close(self) -> None:
        tasks = [task for task in (self._reader, self._taking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def transact(
    databases: Databases, open_ones: OpenOnes, call: Call, requests: AsyncIterator[Request]
) -> AsyncIterator[Reply]:
    """The replies to one stream.  Raises  Refusal, and errors of the library."""
    coming = _Requests(requests)
    try:
        first = await coming.next(databases.limits.transaction_idle.total_seconds())
        if first is None or first.WhichOneof("kind") != "begin":
            raise statuses.bad_request("begin", "the first message begins the transaction")
        begin, sequence = first.begin, first.sequence
        time = begin.time.ToMicroseconds() / 1e6
        if time < 0:
            raise statuses.bad_request("begin.time", "0 or more")
        check_key(begin.idempotency_key, "begin.idempotency_key")
        call.bind(begin.context)
        tenant = call.permit()
        with open_ones.place(tenant):
            bounds = Bounds(databases.limits, time=time)
            tx = databases.worker(tenant).transaction(
                options=call.options(reads_only=begin.read_only),
                idempotency_key=scoped(tenant, call, begin.idempotency_key, purpose=_PURPOSE)
                if begin.idempotency_key
                else None,
            )
            # Whatever holds this stream up, such as a caller that does not read, holds up no transaction.
            over = asyncio.get_running_loop().call_at(bounds.ends, tx.cancel)
            try:
                async with tx:
                    snapshot = begin.read_only or begin.context.consistency.snapshot
                    steps = Steps(databases, call, tenant, tx, bounds, snapshot, writes=not begin.read_only)
                    one = _One(steps, coming, over)
                    yield await one.begun(sequence)
                    async for reply in one.replies():
                        yield reply
            except AlreadyApplied as error:
                version = error.fields.get("version")
                context = reply_context(call, commit_version=version if isinstance(version, int) else 0)
                yield Reply(context=context, sequence=sequence, committed=Reply.Committed(replayed=True))
            finally:
                over.cancel()
    except TimeoutError:
        raise ended("idle", "nothing came for too long") from None
    finally:
        await coming.close()


class _One:
    """A transaction that has begun."""

    def __init__(self, steps: Steps, coming: _Requests, over: asyncio.TimerHandle) -> None:
        self._steps = steps
        self._call: Call = steps.call
        self._tx: Transaction = steps.tx
        self._bounds = steps.bounds
        self._coming = coming
        self._over = over
        self._told = context_pb2.Cost()

    async def begun(self, sequence: int) -> Reply:
        """Raises  Refusal if there is no such container, or no version as new as the caller wants."""
        async with asyncio.timeout_at(self._bounds.ends):
            version = await self._tx.read_version()
            if version < self._call.context.consistency.minimum_version:
                text = "this server has not seen the minimum version yet"
                raise statuses.refusal(code_pb2.UNAVAILABLE, "TOO_OLD", text, retry=0.05)
            if await self._steps.databases.metadata(self._tx, self._tenant) is None:
                raise statuses.forbidden()
        return Reply(context=self._context(version), sequence=sequence, begun=self._bounds.begun())

    @property
    def _tenant(self) -> Tenant:
        return self._steps.tenant

    async def replies(self) -> AsyncIterator[Reply]:
        """The answers to all steps, and warnings between them, to the end.  Raises  as `transact`."""
        bounds = self._bounds
        bounds.answered()
        while True:
            for warning in bounds.warnings():
                yield warning
            try:
                request = await self._coming.next(bounds.next_look())
            except TimeoutError:
                bounds.check()
                continue
            kind = None if request is None else request.WhichOneof("kind")
            if request is None or kind == "rollback":
                self._tx.cancel()
                sequence = 0 if request is None else request.sequence
                yield Reply(context=self._context(), sequence=sequence, rolled_back={})
                return
            if kind == "commit":
                yield await self._commit(request.sequence)
                return
            if kind == "begin" or kind is None:
                raise statuses.bad_request("kind", "lookup, query, modify, commit or rollback")
            yield await self._step(kind, request)
            bounds.answered()

    async def _step(self, kind: str, request: Request) -> Reply:
        steps = self._steps
        run: Any = {"lookup": steps.look_up, "query": steps.query, "modify": steps.modify}[kind]
        try:
            async with asyncio.timeout_at(self._bounds.ends):
                answer = {kind: await run(getattr(request, kind))}
        except TimeoutError:
            raise ended("time", "the transaction took too long: begin again, with less in it") from None
        except BatchFailed as failed:
            raise failed.refusal(len(request.modify.operations)) from failed
        except Exception as error:
            self._bounds.check()  # what is over fails with whatever it was about
            status = statuses.known(error)
            if status is None or status.code not in _HARMLESS:
                raise
            answer = {"refused": status}
        return Reply(context=self._context(), sequence=request.sequence, **answer)

    async def _commit(self, sequence: int) -> Reply:
        """Raises  Conflict, MaybeCommitted, ..., and Refusal if it is over before that."""
        self._bounds.check()
        self._over.cancel()  # from here on it is no more known whether anything is there
        try:
            async with asyncio.timeout(self._steps.databases.limits.default_deadline.total_seconds()):
                await self._tx.commit()
        except TimeoutError:
            text = "nothing came back of the commit"
            raise statuses.refusal(code_pb2.UNKNOWN, "COMMIT_UNKNOWN", text) from None
        saved = any(done.saved is not None for done in self._steps.written.values())
        stamp = await self._tx.versionstamp() if saved else b""
        committed = Reply.Committed(records=self._steps.committed(stamp))
        context = self._context(commit=max(0, self._tx.committed_version()))
        return Reply(context=context, sequence=sequence, committed=committed)

    def _context(self, version: int = 0, *, commit: int = 0) -> context_pb2.ReplyContext:
        """With what has been read and written since the last one."""
        before, now = self._told, cost_of(self._tx)
        self._told = now
        cost = context_pb2.Cost(
            keys_read=now.keys_read - before.keys_read,
            bytes_read=now.bytes_read - before.bytes_read,
            keys_written=now.keys_written - before.keys_written,
            bytes_written=now.bytes_written - before.bytes_written,
        )
        self._bounds.spent(cost)
        made = reply_context(self._call, read_version=version, commit_version=commit, cost=cost)
        made.time_left.FromTimedelta(timedelta(seconds=self._bounds.time_left))
        return made
