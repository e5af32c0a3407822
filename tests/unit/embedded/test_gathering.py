"""When a group is large enough to begin, without any time passing but that of its steps."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from recordlayer.kv.embedded import gathering
from recordlayer.kv.embedded.gathering import Gathering
from recordlayer.testing.clock import ManualClock


class Steps:
    """Stands for the bell: each wait of it is a step, in which requests come as planned."""

    def __init__(self, queue: list[int], coming: list[int]) -> None:
        self._queue = queue
        self._coming = coming
        self.taken = 0
        self.rung = 0

    def wait(self, seconds: float) -> bool:
        if seconds > 0:
            self.taken += 1
            self._queue.extend([0] * (self._coming.pop(0) if self._coming else 0))
        return False

    def ring(self) -> None:
        self.rung += 1


def gathered(
    waiting: int, coming: list[int], *, readers: int = 0, last: int = 0, times: int = 1
) -> tuple[int, list[int]]:
    """How many requests the group has in the end, and the steps that each of `times` waits took."""
    file = SimpleNamespace(world=ManualClock().world(), readers=SimpleNamespace(count=readers))
    subject = Gathering(file)  # type: ignore[arg-type]  # of a file it knows these two
    subject.taken(last)
    queue = [0] * waiting
    steps = []
    for _ in range(times):
        subject._complete = bell = Steps(queue, coming)  # type: ignore[assignment]
        subject.wait(queue)
        steps.append(bell.taken)
    return len(queue), steps


def test_one_caller_waits_for_nobody() -> None:
    assert gathered(1, [], readers=1, last=1) == (1, [0])


@pytest.mark.parametrize("expected", [{"readers": 100}, {"last": 100}])
def test_a_group_waits_while_requests_keep_coming(expected: dict[str, int]) -> None:
    assert gathered(1, [30, 0, 40, 29, 50], **expected) == (100, [4])


def test_two_steps_without_a_request_end_the_wait() -> None:
    assert gathered(1, [5, 0, 0, 90], readers=100) == (6, [3])


def test_enough_is_enough() -> None:
    assert gathered(1, [100, 100, 100], readers=1000, last=1000) == (201, [2])


def test_who_waited_in_vain_does_without_for_longer_and_longer() -> None:
    _, steps = gathered(1, [], readers=5, times=20)
    assert steps == [2, 0, 2, 0, 0, 0, 2] + [0] * 7 + [2] + [0] * 5


def test_the_last_request_that_is_expected_ends_the_wait() -> None:
    file = SimpleNamespace(world=ManualClock().world(), readers=SimpleNamespace(count=2))
    subject = Gathering(file)  # type: ignore[arg-type]
    subject.taken(3)
    subject._complete = bell = Steps([], [])  # type: ignore[assignment]
    for waiting in (1, 2):
        subject.came(waiting)
    assert bell.rung == 0
    subject.came(3)
    assert bell.rung == 1


def test_a_bell_that_rings_ends_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real bell, whose step would last a minute."""
    monkeypatch.setattr(gathering, "_STEP", 60.0)
    file = SimpleNamespace(world=ManualClock().world(), readers=SimpleNamespace(count=2))
    subject = Gathering(file)  # type: ignore[arg-type]
    queue = [0]
    waiting = threading.Thread(target=subject.wait, args=(queue,))
    waiting.start()
    while waiting.is_alive():
        if len(queue) < 2:
            queue.append(0)
        subject.came(len(queue))
        waiting.join(0.001)
    assert len(queue) == 2
