"""Transactions that callers have opened themselves and not closed yet, and where they did so.

A transaction that is dropped open, or open for long, is a leak: it holds a version of the database, or a client's
memory, and its work was probably meant to be committed. Both are told as a `ResourceWarning`, which Python shows in
development mode and in tests, and as a `TransactionLeaked` event.

Cost    well under a microsecond for each transaction
Source  Record Layer, FDBDatabase.warnAndCloseOldTrackedOpenContexts
"""

from __future__ import annotations

import sys
import warnings
from collections import deque
from datetime import timedelta
from types import CodeType
from typing import NamedTuple

from recordlayer.kv.observed import ObservedEngine
from recordlayer.observe.events import Origin, TransactionLeaked
from recordlayer.world import Clock

LONG = timedelta(minutes=1)
"""Nobody reads in a transaction for longer than five seconds; what is open for so long has been forgotten."""

_OURS = "recordlayer."


class Opening:
    """One transaction that is open. Dropping it without `close` is what is told."""

    __slots__ = ("_all",)

    def __init__(self, openings: OpenTransactions) -> None:
        self._all: OpenTransactions | None = openings

    def close(self) -> None:
        """The transaction is closed."""
        openings, self._all = self._all, None
        if openings is not None:
            openings.closed(self)

    def __del__(self) -> None:
        openings, self._all = self._all, None
        if openings is not None:
            openings.dropped(self)


class _Note(NamedTuple):
    """Where and when, by whom."""

    code: CodeType
    line: int
    since: float
    origin: Origin | None

    @property
    def place(self) -> str:
        return f"{self.code.co_filename}:{self.line} in {self.code.co_qualname}"


class OpenTransactions:
    """Those of one database."""

    def __init__(self, clock: Clock, observed: ObservedEngine | None, *, long: timedelta = LONG) -> None:
        self._clock = clock
        self._observed = observed
        self._long = long.total_seconds()
        self._open: dict[int, _Note] = {}  # by the address of the Opening, which is unique while it lives
        self._untold: deque[TransactionLeaked] = deque()

    def opened(self, origin: Origin | None = None) -> Opening:
        """A transaction begins, for whoever called into this library."""
        now = self._clock.monotonic()
        if self._untold:
            self._tell()
        if self._open:
            self._look_for_old_ones(now)
        frame = sys._getframe(2)  # above this method and the facade's
        while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
            frame = frame.f_back
        opening = Opening(self)
        self._open[id(opening)] = _Note(frame.f_code, frame.f_lineno, now, origin)
        return opening

    def closed(self, opening: Opening) -> None:
        self._open.pop(id(opening), None)

    def dropped(self, opening: Opening) -> None:
        """Called by a finaliser, at any moment: it warns and leaves a note, and asks nobody for anything."""
        note = self._open.pop(id(opening), None)
        if note is not None:
            self._warn(note, "was dropped without being closed")

    def close(self) -> None:
        """The database is closed: whoever is still open is told."""
        while self._open:
            _, note = self._open.popitem()
            self._warn(note, "was still open when its database was closed")
        self._tell()

    def _look_for_old_ones(self, now: float) -> None:
        """The oldest comes first. One is told for each that begins: a burst of warnings helps nobody."""
        try:
            number, note = next(iter(self._open.items()))
        except (StopIteration, RuntimeError):  # another thread is quicker
            return
        if now - note.since > self._long and self._open.pop(number, None) is not None:
            self._warn(note, f"has been open for {now - note.since:.0f} seconds")
            self._tell()

    def _warn(self, note: _Note, what: str) -> None:
        age = timedelta(seconds=self._clock.monotonic() - note.since)
        self._untold.append(TransactionLeaked(origin=note.origin, opened=note.place, age=age))
        text = f"a transaction opened at {note.place} {what}; use it in a with block, or close it"
        warnings.warn(text, ResourceWarning, stacklevel=2)

    def _tell(self) -> None:
        while self._untold:
            try:
                event = self._untold.popleft()
            except IndexError:  # another thread is quicker
                return
            if self._observed is not None:
                self._observed.observers.observe(event)
