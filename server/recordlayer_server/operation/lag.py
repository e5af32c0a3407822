"""How late the event loop is: what else waits for it waits as long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

EVERY = 0.25
"""Seconds between two looks."""


async def watch(tell: Callable[[float], None]) -> None:
    """Tell again and again by how many seconds a timer was late, for ever."""
    while True:
        due = time.monotonic() + EVERY
        await asyncio.sleep(EVERY)
        tell(max(0.0, time.monotonic() - due))
