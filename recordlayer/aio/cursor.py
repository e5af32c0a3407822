"""Cursors, in the asyncio facade: iterate, then ask where it stopped and why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from recordlayer.cursor.step import Batch, Cursor, Stop
from recordlayer.errors import NotFinished, UsageError
from recordlayer.store.record import StoredRecord
from recordlayer.store.record_page import messages_of, messages_until_broken
from recordlayer.waiting.drivers import run_asyncio

if TYPE_CHECKING:
    from google.protobuf.message import Message

T = TypeVar("T")

_AHEAD = 32
"""Messages that are parsed together, and for nothing where nobody asks for the next."""


class Page(Generic[T]):
    """What all cursors have: values come in batches, each of them read when the one before is used up."""

    def __init__(self, core: Cursor[T]) -> None:
        self._core = core
        self._batch: Batch[T] | None = None
        self._taken = 0
        self._given_back = False
        self._before: Batch[T] | None = None  # the last one with values that was used up

    async def _more(self) -> bool:
        """Whether a value is there to be taken; reads the next batch if need be."""
        while True:
            batch = self._batch
            if batch is not None:
                if self._taken < len(batch.values):
                    return True
                if batch.stop is not None:
                    return False
                if batch.values:
                    self._before = batch
            self._batch = await run_asyncio(self._core.batch())
            self._taken = 0

    async def _rest(self) -> list[T]:
        """Everything that is left."""
        rest: list[T] = []
        while await self._more():
            rest += self._left()
        return rest

    def _left(self) -> Sequence[T]:
        """What is left of the batch, taken."""
        assert self._batch is not None, "there is a batch when there is more"
        values, taken = self._batch.values, self._taken
        self._taken = len(values)
        return values[taken:] if taken else values

    @property
    def stopped(self) -> Stop | None:
        """Why there are no more values: EXHAUSTED, LIMIT_REACHED, or a limit of keys, bytes or time; None before."""
        batch = self._batch
        return None if batch is None or self._taken < len(batch.values) else batch.stop

    @property
    def continuation(self) -> bytes | None:
        """Where to go on, as opaque bytes: behind the last value taken; None when there are no more.

        Raises  NotFinished before the first value.
        """
        batch = self._batch
        if batch is None:
            raise NotFinished
        if self._taken == len(batch.values) and batch.stop is not None:
            return batch.end
        if self._taken:
            return batch.resume(self._taken - 1)
        before = self._before
        if before is None:
            raise NotFinished
        return before.resume(len(before.values) - 1)

    def give_back(self) -> None:
        """Let the last value that was taken be the next one again: `continuation` is before it then. Once only, for one
        that has no room where the others went.

        Raises  NotFinished if no value was taken, or it was given back already.
        """
        if self._batch is None or not self._taken or self._given_back:
            raise NotFinished
        self._taken -= 1
        self._given_back = True

    @property
    def begun(self) -> bool:
        """Whether there is a place to go on at: `continuation` can be asked for."""
        return self._batch is not None and (self._taken > 0 or self._before is not None)


class RecordCursor(Page[StoredRecord]):
    """Records, one message after the other. Iterating again goes on where the last iteration stopped."""

    def __init__(self, core: Cursor[StoredRecord], selected: tuple[Any, ...] | None = None) -> None:
        super().__init__(core)
        self._selected = selected

    async def __aiter__(self) -> AsyncIterator[Message]:
        while await self._more():
            assert self._batch is not None, "there is a batch when there is more"
            values = self._batch.values
            while (first := self._taken) < len(values):
                messages = messages_until_broken(values[first : first + _AHEAD])
                while (place := self._taken - first) < len(messages):
                    self._taken += 1
                    yield messages[place]

    async def records(self) -> AsyncIterator[StoredRecord]:
        """The same with primary key, type and version of each."""
        while await self._more():
            assert self._batch is not None, "there is a batch when there is more"
            values = self._batch.values
            while self._taken < len(values):
                self._taken += 1
                yield values[self._taken - 1]

    async def all(self) -> list[Message]:
        """All messages that are left."""
        self._core.expect_all()
        messages: list[Message] = []
        while await self._more():
            messages += messages_of(self._left())
        return messages

    async def values(self) -> list[tuple[Any, ...]]:
        """What is left, as tuples of the fields that the query selects, in that order: None for one that is not set.
        Where an index has them all, no message is made.

        Raises  UsageError for a query without `select`.
        """
        from recordlayer.query.values import Values

        if self._selected is None:
            raise UsageError(what="values of records", hint='say of which fields: query.select("id", "total")')
        self._core.expect_all()
        values = Values(self._selected)
        found: list[tuple[Any, ...]] = []
        while await self._more():
            found += values.of(self._left())
        return found

    async def first(self) -> Message | None:
        """The next message, None if there are no more."""
        async for message in self:
            return message
        return None


def whole_page(
    open_page: Callable[[Any, bytes | None], Awaitable[RecordCursor | EntryCursor]], resume: bytes | None
) -> Callable[[Any], Awaitable[tuple[list[Any], bytes | None]]]:
    """A function that reads one page to its end: its values, and where the next one begins, None if there is none."""

    async def read(transaction: Any) -> tuple[list[Any], bytes | None]:
        page = await open_page(transaction, resume)
        return await page.all(), page.continuation

    return read


class EntryCursor(Page[Any]):
    """Index entries, or the groups of an aggregate index."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        while await self._more():
            assert self._batch is not None, "there is a batch when there is more"
            values = self._batch.values
            while self._taken < len(values):
                self._taken += 1
                yield values[self._taken - 1]

    async def all(self) -> list[Any]:
        """All entries that are left."""
        return await self._rest()
