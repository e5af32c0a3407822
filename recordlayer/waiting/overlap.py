"""Waiting for many things at once, under every driver.

A `Group` steps several core coroutines side by side in the waiter's own thread or task: no task, thread or future is
made for any of them. `gather` runs them all; `pipelined` runs a window of them and gives the results in order.

Cost    one registration with each waitable that a member waits for, however many members there are.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable
from functools import partial
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, cast

from recordlayer.errors import Closed, UsageError
from recordlayer.waiting.waitable import Waitable, Wake, block_on, checked, ring

S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Member(Generic[T]):
    """One core coroutine (or bare waitable) of a group."""

    __slots__ = ("_error", "_result", "body", "done", "waiting")

    def __init__(self, body: Awaitable[T]) -> None:
        self.body: Generator[Any, None, T] = body.__await__()
        # What it waits for. A bare waitable is under way before anybody steps it, and has to be cancelled too.
        self.waiting: Waitable[Any] | None = cast("Waitable[Any]", body) if hasattr(body, "on_ready") else None
        self.done = False
        self._result: T
        self._error: BaseException | None = None

    @property
    def error(self) -> BaseException | None:
        return self._error

    def check(self) -> None:
        """Raises  what it raised."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame: leave no cycle behind

    def outcome(self) -> T:
        """What it returned; only when `done`.  Raises  what it raised."""
        self.check()
        return self._result

    def advance(self, error: BaseException | None = None) -> bool:
        """Step to the next wait, or to the end. Whether it waits."""
        while True:
            try:
                yielded = self.body.send(None) if error is None else self.body.throw(error)
            except StopIteration as stop:
                self.done, self.waiting, self._result = True, None, stop.value
                return False
            except BaseException as failure:
                self.done, self.waiting, self._error = True, None, failure
                return False
            try:
                self.waiting = checked(yielded)
                return True
            except BaseException as foreign:
                error = foreign

    def close(self) -> None:
        """Give up what it waits for and run its `finally` blocks."""
        if not self.done:
            self.done = True
            if self.waiting is not None:
                self.waiting.cancel()
            self.body.close()


class Group(Waitable[None]):
    """Members that step side by side. As a waitable, it is ready when one of them can go on; then `step` it.

    Whoever makes a group closes it.
    """

    __slots__ = ("_due", "_members", "_wakes")

    def __init__(self) -> None:
        self._members: dict[Member[Any], None] = {}  # those that are not done, in the order of their joining
        self._due: deque[Member[Any]] = deque()  # those whose waitable has become ready; filled from any thread
        self._wakes: list[Wake] = []

    def enrol(self, body: Awaitable[T]) -> Member[T]:
        """A member that is not started yet, but closed with the others."""
        member = Member(body)
        self._members[member] = None
        return member

    def start(self, member: Member[T]) -> Member[T]:
        """Step it to its first wait."""
        self._advance(member, None)
        return member

    def add(self, body: Awaitable[T]) -> Member[T]:
        return self.start(self.enrol(body))

    def step(self) -> list[Member[Any]]:
        """Step each member whose waitable is ready. Those that are done by it."""
        finished: list[Member[Any]] = []
        for _ in range(len(self._due)):  # not those that become ready meanwhile: every waiter gets a look in between
            member = self.step_one(0)
            if member.done:
                finished.append(member)
        return finished

    @property
    def due(self) -> int:
        """How many members can go on."""
        return len(self._due)

    def step_one(self, place: int) -> Member[Any]:
        """Step the member that is in this place among those that can go on."""
        member = self._due[place]
        del self._due[place]
        if not member.done:
            self._advance(member, None)
        return member

    def throw(self, member: Member[Any], error: BaseException) -> None:
        """Have `error` raised where the member waits, and what it waits for cancelled."""
        if member.waiting is not None:
            member.waiting.cancel()
        self._advance(member, error)

    def close(self) -> None:
        """Close the members that are not done.

        Raises  what the first of them raised while closing; what others raised becomes notes of it.
        """
        errors = self._close()
        if errors:
            try:
                raise _noted(errors[0], errors[1:])
            finally:
                errors.clear()  # their tracebacks refer to this frame

    def abandon(self, error: BaseException) -> None:
        """Close because of `error`, which is about to be raised: what members raise while closing becomes its notes."""
        _noted(error, self._close())

    def _close(self) -> list[BaseException]:
        errors: list[BaseException] = []
        members, self._members = self._members, {}
        for member in members:
            try:
                member.close()
            except BaseException as error:
                errors.append(error)
        return errors

    def _advance(self, member: Member[Any], error: BaseException | None) -> None:
        if member.advance(error):
            waiting = member.waiting
            assert waiting is not None, "a member that waits, waits for something"
            waiting.on_ready(partial(self._wake, member, waiting))
        else:
            self._members.pop(member, None)

    def _wake(self, member: Member[Any], waiting: Waitable[Any]) -> None:
        if member.waiting is waiting:  # not a late call of what it was thrown out of
            self._due.append(member)
            ring(self._wakes)

    # -- the waitable

    def ready(self) -> bool:
        return bool(self._due)

    def on_ready(self, wake: Wake) -> None:
        self._wakes.append(wake)
        if self._due:  # filled before the wakes are rung: one of the two rings this one
            ring(self._wakes)

    def block(self) -> None:
        if not self._due:
            block_on(self.on_ready)

    def cancel(self) -> None:
        for member in list(self._members):
            if member.waiting is not None:
                member.waiting.cancel()

    def __await__(self) -> Generator[Any, None, None]:
        while not self._due:
            yield self


async def gather(*bodies: Awaitable[T]) -> list[T]:
    """The results of core coroutines and waitables that run side by side, in the order of the arguments.

    The first error closes the others (what they wait for is cancelled, their `finally` blocks run) and is raised; so
    does an interrupt. Errors that the others raise while closing become notes of it.
    """
    group = Group()
    try:
        members = [group.enrol(body) for body in bodies]
        for member in members:
            group.start(member).check()
        left = sum(not member.done for member in members)
        while left:
            await group
            for member in group.step():
                member.check()
                left -= 1
        return [member.outcome() for member in members]
    except BaseException as error:
        group.abandon(error)
        raise


def _noted(error: BaseException, later: list[BaseException]) -> BaseException:
    for another in later:
        error.add_note(f"closing what ran beside it raised {another!r}")
    return error


class End(enum.Enum):
    END = "end"


END: Final = End.END
"""What a source gives behind its last item."""


class Source(Protocol[T_co]):
    """Something that gives one item after the other; a pipeline is one."""

    async def next(self) -> T_co | Literal[End.END]:
        """The next item, or END, then and ever after."""


class Pipeline(Generic[S, T]):
    """The results of `start(item)` for each item of a source, in the source's order, a window of them under way.

    The window is filled and its members make progress while somebody awaits `next`. An error is raised when its turn
    has come; it and an interrupt close the pipeline.
    """

    __slots__ = ("_closed", "_exhausted", "_group", "_pull", "_queue", "_source", "_start", "_window")

    def __init__(self, source: Source[S], start: Callable[[S], Awaitable[T]], *, window: int) -> None:
        self._source = source
        self._start = start
        self._window = window
        self._group = Group()
        self._queue: deque[Member[Any]] = deque()  # started, not given yet, in order
        self._pull: Member[S | Literal[End.END]] | None = None  # the one question to the source under way
        self._exhausted = False
        self._closed = False

    async def next(self) -> T | Literal[End.END]:
        """The next result, or END.  Raises  what the source or the item's coroutine raised; Closed."""
        if self._closed:
            raise Closed(what="pipeline")
        try:
            while True:
                self._fill()
                if self._queue and self._queue[0].done:
                    result: T = self._queue.popleft().outcome()
                    return result
                if self._exhausted and not self._queue:
                    return END
                await self._group
                for member in self._group.step():
                    _uninterrupted(member)
        except BaseException as error:
            self._closed = True
            self._queue.clear()
            self._group.abandon(error)
            raise

    def close(self) -> None:
        """Cancel what is under way. May be called again."""
        self._closed = True
        self._queue.clear()
        self._group.close()

    def _fill(self) -> None:
        """Ask for items and start them, as long as there is room and the source answers at once."""
        while not self._exhausted:
            if self._pull is None:
                if len(self._queue) >= self._window:
                    return
                self._pull = _uninterrupted(self._group.add(self._source.next()))
            if not self._pull.done:
                return
            pull, self._pull = self._pull, None
            if pull.error is not None:
                self._exhausted = True
                self._queue.append(pull)  # it is raised behind the results of the items before it
                return
            item = pull.outcome()
            if item is END:
                self._exhausted = True
            else:
                self._queue.append(_uninterrupted(self._group.add(self._start(item))))


def _uninterrupted(member: Member[T]) -> Member[T]:
    """The member; an interrupt that ended it is raised now and does not wait for its turn."""
    if member.error is not None and not isinstance(member.error, Exception):
        member.outcome()
    return member


class _Items(Generic[S]):
    __slots__ = ("_items",)

    def __init__(self, items: Iterable[S]) -> None:
        self._items = iter(items)

    async def next(self) -> S | Literal[End.END]:
        return next(self._items, END)


def pipelined(
    source: Source[S] | Iterable[S], start: Callable[[S], Awaitable[T]], *, window: int = 8
) -> Pipeline[S, T]:
    """The results of `start(item)` in order, at most `window` of them under way or waiting to be taken.

    `start` gives a core coroutine or a waitable. Nothing begins before the first `next`.
    """
    if window < 1:
        raise UsageError(argument="window", got=window, hint="give a whole number of at least 1")
    return Pipeline(_Items(source) if isinstance(source, Iterable) else source, start, window=window)
