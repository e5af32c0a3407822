"""Waitables by themselves: what they promise to whoever drives."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from recordlayer.errors import ForeignAwaitable
from recordlayer.waiting.waitable import Failed, Promise, Ready, Turn, checked, ring


def test_what_is_ready_gives_its_outcome_without_waiting() -> None:
    calls: list[str] = []
    for waitable in (Ready(7), Failed(KeyError("x"))):
        assert waitable.ready()
        waitable.block()
        waitable.on_ready(lambda: calls.append("woken"))
        waitable.cancel()
        assert waitable.ready()
    assert calls == ["woken", "woken"]
    with pytest.raises(StopIteration) as result:
        Ready(7).__await__().send(None)
    assert result.value.value == 7
    with pytest.raises(KeyError):
        Failed(KeyError("x")).__await__().send(None)


def test_waitables_carry_no_dictionary() -> None:
    for waitable in (Ready(1), Failed(KeyError()), Turn(), Promise[int]()):
        assert not hasattr(waitable, "__dict__")


def test_a_promise_is_settled_once() -> None:
    promise: Promise[int] = Promise()
    assert promise.resolve(1)
    assert not promise.resolve(2)
    assert not promise.fail(KeyError())
    assert promise.result() == 1

    broken: Promise[int] = Promise()
    assert broken.fail(KeyError("first"))
    assert not broken.resolve(1)
    with pytest.raises(KeyError, match="first"):
        broken.result()


def test_wakes_are_called_once_in_order_and_at_once_when_it_is_over() -> None:
    promise: Promise[None] = Promise()
    calls: list[int] = []
    for number in range(5):
        promise.on_ready(lambda number=number: calls.append(number))  # type: ignore[misc]
    assert calls == []
    promise.resolve(None)
    promise.resolve(None)
    assert calls == [0, 1, 2, 3, 4]
    promise.on_ready(lambda: calls.append(5))
    assert calls == [0, 1, 2, 3, 4, 5]


def test_cancelling_is_told_to_the_maker_only_before_the_outcome() -> None:
    cancelled: list[str] = []
    promise: Promise[None] = Promise(on_cancel=lambda: cancelled.append("early"))
    promise.cancel()
    promise.resolve(None)
    promise.cancel()
    assert cancelled == ["early"]


def test_a_wake_may_register_and_settle_again_without_a_deadlock() -> None:
    first: Promise[None] = Promise()
    second: Promise[None] = Promise()
    order: list[str] = []

    def on_first() -> None:
        first.on_ready(lambda: order.append("registered while ringing"))
        second.resolve(None)

    first.on_ready(on_first)
    second.on_ready(lambda: order.append("second"))
    first.resolve(None)
    assert sorted(order) == ["registered while ringing", "second"]


def test_of_many_threads_that_settle_a_promise_one_succeeds_and_every_wake_is_called_once() -> None:
    for _ in range(50):
        promise: Promise[int] = Promise()
        start = threading.Barrier(8)
        won: list[int] = []
        woken: list[int] = []

        def settle(number: int, promise: Promise[int] = promise, start: threading.Barrier = start) -> None:
            start.wait()
            if number % 2:
                promise.on_ready(lambda: woken.append(number))  # noqa: B023  # read before the next round
            elif promise.resolve(number):
                won.append(number)  # noqa: B023

        threads = [threading.Thread(target=settle, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [promise.result()]
        assert sorted(woken) == [1, 3, 5, 7]


def test_two_that_ring_at_once_share_the_wakes() -> None:
    rung: list[int] = []

    class Shared(list[Any]):
        """Between another's look and its pop, somebody else has rung them all."""

        def pop(self, place: Any = -1) -> Any:
            while self:
                super().pop(0)()
            return super().pop(place)

    ring(Shared([lambda: rung.append(1), lambda: rung.append(2)]))
    assert rung == [1, 2]


def test_several_threads_may_block_on_one_promise() -> None:
    promise: Promise[int] = Promise()
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: (promise.block(), seen.append(promise.result()))) for _ in range(5)]
    for thread in threads:
        thread.start()
    promise.resolve(9)
    for thread in threads:
        thread.join()
    assert seen == [9] * 5


def test_a_turn_is_had_by_waiting_for_it() -> None:
    turn = Turn()
    assert not turn.ready()
    turn.block()
    assert turn.ready()
    woken: list[bool] = []
    other = Turn()
    other.on_ready(lambda: woken.append(other.ready()))
    assert woken == [True]


@pytest.mark.parametrize("foreign", [None, 3, object()])
def test_what_is_no_waitable_is_refused_by_name(foreign: object) -> None:
    with pytest.raises(ForeignAwaitable, match=type(foreign).__name__):
        checked(foreign)
