"""A file that operators replace while the server runs: what it says is taken up without a restart.

It is looked at when it is used, once a second at most. A file that is gone or does not parse changes nothing: what was
read last goes on, and the log says why, once for each state of the file.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from recordlayer_server import logs

T = TypeVar("T")

State = tuple[tuple[int, int, int] | None, ...]


class KeptFiles(Generic[T]):
    """What some files say together, as it is now.

    `read` makes a value of their contents, and raises ValueError, with words for the operator, if it cannot.

    Raises  OSError and ValueError when it is made: a server does not begin with files that it cannot read.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        read: Callable[[Sequence[bytes]], T],
        *,
        every: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = [Path(path) for path in paths]
        self._read = read
        self._every = every
        self._clock = clock
        self._state = self._look()
        self._value = read([path.read_bytes() for path in self._paths])
        self._next = clock() + every

    @property
    def value(self) -> T:
        now = self._clock()
        if now >= self._next:
            self._next = now + self._every
            self._refresh()
        return self._value

    def _refresh(self) -> None:
        state = self._look()
        if state == self._state:
            return
        self._state = state
        names = ", ".join(path.name for path in self._paths)
        try:
            self._value = self._read([path.read_bytes() for path in self._paths])
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            logs.write(logs.server, logging.ERROR, "changed files are not usable", files=names, reason=reason)
        else:
            logs.write(logs.server, logging.INFO, "changed files are in use", files=names)

    def _look(self) -> State:
        return tuple(_state(path) for path in self._paths)


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes whenever a file is written or replaced; None if it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
