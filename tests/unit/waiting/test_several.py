"""Several waitables as one."""

from __future__ import annotations

import pytest

from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.several import Several
from recordlayer.waiting.waitable import Failed, Promise, Ready, Waitable


async def _outcome(several: Several[int]) -> list[int]:
    return await several


def test_it_is_ready_when_the_last_of_them_is() -> None:
    first, last = Promise[int](), Promise[int]()
    several = Several([first, Ready(2), last])
    woken: list[str] = []
    several.on_ready(lambda: woken.append("woken"))
    last.resolve(3)
    assert (several.ready(), woken) == (False, [])
    first.resolve(1)
    assert (several.ready(), woken) == (True, ["woken"])
    several.block()
    assert run_blocking(_outcome(several)) == run_blocking(_outcome(several)) == [1, 2, 3]


def test_an_error_is_raised_and_the_rest_is_cancelled() -> None:
    cancelled: list[int] = []
    rest = [Promise[int](lambda number=number: cancelled.append(number)) for number in range(2)]  # type: ignore[misc]
    parts: list[Waitable[int]] = [Ready(1), Failed(KeyError("x")), *rest]
    with pytest.raises(KeyError):
        run_blocking(_outcome(Several(parts)))
    assert cancelled == [0, 1]


def test_who_gives_up_cancels_all_of_them() -> None:
    cancelled: list[int] = []
    Several([Ready(1), Promise[int](lambda: cancelled.append(1)), Promise[int](lambda: cancelled.append(2))]).cancel()
    assert cancelled == [1, 2]
