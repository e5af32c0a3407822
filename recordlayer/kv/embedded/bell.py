"""How the thread of a file is woken."""

from __future__ import annotations

import threading


class Bell:
    """Anybody may ring it, one thread waits for it. Ringing before the wait, or several times, counts as once.

    It is a lock that is held while nobody has rung: releasing it is one step, which a Ctrl-C comes before or after. A
    `threading.Event` takes several; an interrupt among them leaves an event that is set and a thread that sleeps on.
    """

    __slots__ = ("_quiet",)

    def __init__(self) -> None:
        self._quiet = threading.Lock()
        self._quiet.acquire()

    def ring(self) -> None:
        if self._quiet.locked():
            try:
                self._quiet.release()
            except RuntimeError:
                pass  # somebody else rang in between

    def wait(self, seconds: float | None = None) -> bool:
        """Return when it rings, or has rung since the last wait; False if `seconds` pass first."""
        return self._quiet.acquire(timeout=-1 if seconds is None else max(0.0, seconds))
