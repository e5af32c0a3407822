"""The clock that a test moves by hand."""

from __future__ import annotations

import threading

import pytest

from recordlayer.testing.clock import ManualClock


def test_time_stands_still_until_it_is_moved_and_then_all_clocks_move() -> None:
    clock = ManualClock(monotonic=1, boot=2, wall=3)
    assert (clock.monotonic(), clock.boot(), clock.wall()) == (1, 2, 3)
    clock.advance(10)
    assert (clock.monotonic(), clock.boot(), clock.wall()) == (11, 12, 13)


def test_alarms_ring_at_their_times_in_order_and_so_do_those_set_meanwhile() -> None:
    clock = ManualClock(monotonic=0)
    rung: list[tuple[str, float]] = []

    def again() -> None:
        rung.append(("again", clock.monotonic()))
        clock.call_later(2, lambda: rung.append(("later", clock.monotonic())))

    clock.call_later(3, lambda: rung.append(("three", clock.monotonic())))
    clock.call_later(1, again)
    clock.call_later(3, lambda: rung.append(("three, set after", clock.monotonic())))
    taken_back = clock.call_later(2, lambda: rung.append(("taken back", clock.monotonic())))
    clock.call_later(9, lambda: rung.append(("too late", clock.monotonic())))
    taken_back()
    clock.advance(5)
    assert rung == [("again", 1), ("three", 3), ("three, set after", 3), ("later", 3)]
    assert clock.monotonic() == 5
    assert clock.sleepers == 1


def test_going_to_the_next_alarm_passes_no_more_time_than_that() -> None:
    clock = ManualClock(monotonic=0)
    assert not clock.advance_to_next()
    clock.call_later(4, lambda: None)
    clock.call_later(6, lambda: None)
    assert clock.advance_to_next()
    assert clock.monotonic() == 4
    assert clock.advance_to_next()
    assert clock.monotonic() == 6
    assert not clock.advance_to_next()


def test_the_wall_clock_can_be_set_and_the_machine_started_anew() -> None:
    clock = ManualClock(monotonic=100, boot=200, wall=300)
    clock.call_later(1, lambda: None)
    clock.step_wall(-50)
    assert (clock.monotonic(), clock.boot(), clock.wall()) == (100, 200, 250)
    clock.reboot()
    assert (clock.monotonic(), clock.boot(), clock.wall()) == (0, 0, 250)
    assert clock.sleepers == 0


def test_one_can_wait_for_sleepers_of_other_threads() -> None:
    clock = ManualClock()
    threading.Thread(target=lambda: clock.call_later(1, lambda: None)).start()
    clock.wait_for_sleepers(1)
    with pytest.raises(TimeoutError, match="1 of 2 sleepers"):
        clock.wait_for_sleepers(2, timeout=0.01)


def test_a_world_has_the_clock_and_the_numbers_of_its_seed() -> None:
    clock = ManualClock()
    assert clock.world().clock is clock
    assert clock.world(7).random.random() == clock.world(7).random.random()
    assert clock.world(7).random.random() != clock.world(8).random.random()
