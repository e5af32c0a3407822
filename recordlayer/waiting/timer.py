"""Waiting for time to pass, by the clock of the world that is handed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from recordlayer.errors import TimedOut
from recordlayer.waiting.overlap import Group, Member
from recordlayer.waiting.waitable import Promise, Ready, Waitable
from recordlayer.world import World

T = TypeVar("T")


class _Timer(Promise[None]):
    __slots__ = ("_take_back",)

    def __init__(self, seconds: float, world: World) -> None:
        super().__init__()
        self._take_back = world.clock.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self.resolve(None)

    def cancel(self) -> None:
        self._take_back()


def sleep(seconds: float, world: World) -> Waitable[None]:
    """Ready after `seconds`, counted from this call."""
    return _Timer(seconds, world) if seconds > 0 else Ready(None)


async def deadline(
    body: Awaitable[T], seconds: float, world: World, *, error: Callable[[], BaseException] = TimedOut
) -> T:
    """The result of `body`, a core coroutine or a waitable.

    After `seconds` what it waits for is cancelled and `error()` is thrown in where it waits, so that every `finally`
    runs. A body that handles the error goes on without a deadline; one that never waits is never interrupted.

    Raises  what `body` raises; TimedOut, or the error that was asked for.
    """
    group = Group()
    try:
        member = group.add(body)
        alarm: Member[None] | None = None if member.done else group.add(sleep(seconds, world))
        while not member.done:
            if alarm is not None and alarm.done:
                alarm = None
                group.throw(member, error())
            else:
                await group
                group.step()
    except BaseException as interrupt:
        group.abandon(interrupt)
        raise
    group.close()  # the alarm
    return member.outcome()
