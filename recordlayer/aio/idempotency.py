"""Idempotency keys that are recorded in a database, in the asyncio facade."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.kv.idempotency import Applied, Key
from recordlayer.kv.idempotency import IdempotencyKeys as Keys
from recordlayer.kv.retry import Attempts, Retry
from recordlayer.waiting.drivers import Core, run_asyncio

T = TypeVar("T")


class IdempotencyKeys:
    """The keys of work that has been applied. `Database.run` and its like record them."""

    def __init__(self, core: Keys, beginning: Beginning) -> None:
        self._core = core
        self._beginning = beginning

    def generate(self) -> bytes:
        """A key that nobody else has. Keep it for as long as the work may be tried again."""
        return self._core.generate()

    async def find(self, key: Key) -> Applied | None:
        """What is recorded of the work with a key, None if it was not applied.  Cost  1 read."""
        return await self._run(lambda context: self._core.find(context, key))

    async def forget(self, key: Key) -> bool:
        """Take a key back, so that its work can be applied anew. Whether it was there.  Cost  1 read, 2 clears."""
        return await self._run(lambda context: self._core.forget(context, key))

    async def _run(self, work: Callable[[Context], Core[T]]) -> T:
        """The result of core work that may be done twice, committed."""
        attempts = Attempts(self._beginning, Retry(idempotent=True), work="idempotency keys")
        context = attempts.begin()
        while True:
            try:
                found = await run_asyncio(work(context))
                await run_asyncio(context.commit())
            except BaseException as error:
                context = await run_asyncio(attempts.failed(error, context))
            else:
                context.close()
                return found

    async def reap(self, older_than: timedelta, *, batch: int = 500) -> int:
        """Remove the keys recorded longer ago than `older_than`, at most `batch` in one transaction. How many there
        were. Work whose key is gone can be applied again: keep keys for longer than anybody tries.

        Cost  16 range reads; for each batch 1 range read, 1 clear range, 1 clear a key.
        """
        return await run_asyncio(self._core.reap(self._beginning.engine, older_than, batch=batch))
