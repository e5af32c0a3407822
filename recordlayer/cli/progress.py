"""How far long commands are, on the stream for errors: what is piped is the outcome. And what Ctrl-C leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from recordlayer.cli.screen import Screen

_REDRAWN, _SAID = 0.1, 10.0
_WIDTH = 79


class Progress:
    """Shows reports: on a terminal in one line that is drawn anew, elsewhere a line now and then.

    words  of a report
    """

    def __init__(self, screen: Screen, words: Callable[[Any], str]) -> None:
        self._screen, self._words = screen, words
        self._redraws = screen.err.isatty()
        self._every = _REDRAWN if self._redraws else _SAID
        self._due = time.monotonic() + (0 if self._redraws else _SAID)
        self._drawn = False

    def __call__(self, report: Any) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self._every
        line = self._words(report)[:_WIDTH]
        if self._redraws:
            self._screen.err.write(f"\r{line:{_WIDTH}}")
            self._screen.err.flush()
        else:
            self._screen.say(line, to_errors=True)
        self._drawn = True

    def close(self) -> None:
        """End the line."""
        if self._redraws and self._drawn:
            self._screen.say(to_errors=True)
        self._drawn = False


@contextmanager
def shown(screen: Screen, words: Callable[[Any], str], *, then: str) -> Iterator[Progress]:
    """What shows the reports of a long work; interrupted, it says what is left and how to go on.

    Raises  click.exceptions.Exit with status 1 for Ctrl-C.
    """
    progress = Progress(screen, words)
    try:
        yield progress
    except KeyboardInterrupt:
        progress.close()
        screen.say(f"stopped: {then}", to_errors=True)
        screen.status = 1
        raise click.exceptions.Exit(1) from None
    finally:
        progress.close()
