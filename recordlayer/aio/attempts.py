"""Work that is tried until it succeeds, in the asyncio facade."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

from recordlayer.aio.transaction import Transaction
from recordlayer.kv.idempotency import Applied
from recordlayer.kv.retry import Attempts
from recordlayer.waiting.drivers import run_asyncio

T = TypeVar("T")


class Unsettled(Generic[T]):
    """Attempts of work with an idempotency key whose commits may have happened, and what they would return."""

    def __init__(self) -> None:
        self._attempts: dict[int, tuple[Transaction, list[T]]] = {}

    def add(self, number: int, transaction: Transaction, result: list[T]) -> None:
        self._attempts[number] = transaction, result

    async def settle(self, applied: Applied | None = None) -> list[T]:
        """One of them was applied, or none. Their hooks run; the result of the one."""
        found: list[T] = []
        attempts, self._attempts = self._attempts, {}
        for number, (transaction, result) in attempts.items():
            happened = applied if applied is not None and applied.attempt == number else None
            if happened is not None:
                found = result
            await transaction.settle(happened)
        return found


async def run_until_done(attempts: Attempts, function: Callable[[Transaction], Awaitable[T]]) -> T:
    """The result of `function(transaction)`, committed."""
    unsettled: Unsettled[T] = Unsettled()
    claim = attempts.claim
    context = attempts.begin()
    while True:
        transaction = Transaction(context, claim=claim)
        result: list[T] = []
        try:
            if attempts.prepares:
                applied = await run_asyncio(attempts.prepare(context))
                if claim is not None and applied is not None:
                    context.close()
                    if found := await unsettled.settle(applied):
                        return found[0]
                    raise claim.refusal(applied)  # its function committed by itself and never returned
            result.append(await function(transaction))
            await transaction.finish()
        except BaseException as error:
            if claim is not None and transaction.unsettled:
                unsettled.add(claim.attempts, transaction, result)
            try:
                context = await run_asyncio(attempts.failed(error, context))
            except BaseException:
                await unsettled.settle()
                raise
        else:
            context.close()
            await unsettled.settle()
            return result[0]


class Attempt:
    """One try of `Database.attempts`: a context like a transaction, which lets an error pass only if it is final."""

    def __init__(self, transaction: Transaction, attempts: Attempts, unsettled: Unsettled[None]) -> None:
        self._transaction = transaction
        self._attempts = attempts
        self._unsettled = unsettled
        self._ready = False
        self._tried = False
        self._next: Attempt | None = None

    @property
    def number(self) -> int:
        """1 for the first try."""
        return self._attempts.made

    @property
    def following(self) -> Attempt | None:
        """The next try, None if this one succeeded."""
        return self._next if self._tried else self

    async def prepared(self) -> Attempt | None:
        """This try, or a later one, when its work may begin; None if an earlier one turns out to have done it."""
        attempt = self
        while attempt._attempts.prepares and not attempt._ready:
            context = attempt._transaction.context
            try:
                applied = await run_asyncio(attempt._attempts.prepare(context))
            except BaseException as failure:
                attempt = await attempt._failed(failure)
                continue
            if applied is not None:
                context.close()
                await attempt._unsettled.settle(applied)
                return None
            attempt._ready = True
        return attempt

    def close(self) -> None:
        """Give up."""
        self._transaction.context.close()

    async def __aenter__(self) -> Transaction:
        return self._transaction

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._tried = True
        try:
            if error is not None:
                raise error
            await self._transaction.finish()
        except BaseException as failure:
            self._next = await self._failed(failure)
            return True
        self._transaction.context.close()
        await self._unsettled.settle()
        return False

    async def _failed(self, failure: BaseException) -> Attempt:
        """The next try; or the failure, if it is final."""
        transaction, claim = self._transaction, self._attempts.claim
        if claim is not None and transaction.unsettled:
            self._unsettled.add(claim.attempts, transaction, [])
        try:
            fresh = await run_asyncio(self._attempts.failed(failure, transaction.context))
        except BaseException:
            await self._unsettled.settle()
            raise
        return Attempt(Transaction(fresh, claim=claim), self._attempts, self._unsettled)
