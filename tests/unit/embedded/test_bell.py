"""The bell that wakes the thread of a file."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType

from recordlayer.kv.embedded.bell import Bell


def test_a_ring_is_heard_once_however_often_it_rang() -> None:
    bell = Bell()
    assert not bell.wait(0.001)
    bell.ring()
    bell.ring()
    assert bell.wait(0.001)
    assert not bell.wait(0.001)
    assert not bell.wait(-5.0)  # a moment that is past


def test_who_waits_is_woken_by_any_of_many_that_ring() -> None:
    bell, heard = Bell(), threading.Event()
    waiting = threading.Thread(target=lambda: (bell.wait(), heard.set()))
    waiting.start()
    ringing = [threading.Thread(target=bell.ring) for _ in range(20)]
    for thread in ringing:
        thread.start()
    for thread in (*ringing, waiting):
        thread.join()
    assert heard.is_set()


def interrupted_after(steps: int, work: Callable[[], object]) -> bool:
    """Run `work` and raise KeyboardInterrupt before its bytecode number `steps`; whether it came to that."""
    left = steps

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode":
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_an_interrupt_at_any_bytecode_of_ringing_leaves_a_bell_that_the_next_ring_sounds() -> None:
    steps = 0
    while True:
        bell, heard = Bell(), threading.Event()
        waiting = threading.Thread(target=lambda bell=bell, heard=heard: (bell.wait(), heard.set()), daemon=True)
        waiting.start()
        interrupted = interrupted_after(steps, bell.ring)
        bell.ring()
        assert heard.wait(20), steps
        waiting.join()
        if not interrupted:
            break
        steps += 1
    assert steps > 3
