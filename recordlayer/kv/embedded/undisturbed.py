"""Keeping what others do from disturbing a commit: their Ctrl-C, and what they do when they are told its outcome."""

from __future__ import annotations

import threading

# What `signal` wraps: its enums cost more than the writes of a small commit.
from _signal import SIGINT, getsignal, signal  # type: ignore[import-not-found]
from collections.abc import Callable
from types import FrameType
from typing import TypeVarTuple

Ts = TypeVarTuple("Ts")


def tell(settle: Callable[[*Ts], object], *outcome: *Ts) -> None:
    """Settle something that others wait for. What they do about it then must not stop those behind them."""
    try:
        settle(*outcome)
    except Exception as error:
        report(error)


def report(error: Exception) -> None:
    """Tell of a fault as a thread would: the commit has its outcome, and nobody's call is to blame."""
    threading.excepthook(
        threading.ExceptHookArgs([type(error), error, error.__traceback__, threading.current_thread()])
    )


def without_interrupts(work: Callable[[], bool]) -> bool:
    """Run `work` in the main thread and let Ctrl-C come after it: it takes microseconds and must not stop half-way."""
    handler = getsignal(SIGINT)
    if not callable(handler):
        return work()
    arrived: list[tuple[int, FrameType | None]] = []
    signal(SIGINT, lambda number, frame: arrived.append((number, frame)))
    try:
        return work()
    finally:
        signal(SIGINT, handler)
        if arrived:
            handler(*arrived[0])
