"""How far a build is, for people: on a terminal one line that is drawn anew, elsewhere a line now and then.

    with ProgressBar(sys.stderr) as bar:
        db.online_indexer(..., told=bar).build()

Lines are plain ASCII without colour, and no longer than the terminal is wide.
"""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Self, TextIO

from recordlayer.errors import UsageError
from recordlayer.online.indexer import BuildReport

_BAR = 20
_NARROWEST = 40


def line(report: BuildReport, *, width: int = 80) -> str:
    """A report in one line of at most `width` characters, at least 40."""
    fraction = report.fraction
    seconds = report.took.total_seconds()
    parts = []
    if fraction is not None:
        full = int(fraction * _BAR)
        parts.append(f"[{'#' * full}{'-' * (_BAR - full)}] {int(fraction * 100):3} %")
    of = "" if report.total is None else f" of {report.total:,}"
    parts.append(f"{report.scanned:,}{of} records")
    if seconds > 0:
        parts.append(f"{report.records / seconds:,.0f}/s")
    if report.remaining is not None and not report.finished:
        parts.append(f"{_short(report.remaining)} left")
    if report.retries:
        parts.append(f"{report.retries:,} conflicts")
    while len(parts) > 1 and len("  ".join(parts)) > width:
        del parts[-1]
    facts = "  ".join(parts)
    room = width - len(facts) - 2
    names = ", ".join(report.indexes)
    if len(names) > room:
        names = names[: room - 3] + "..." if room > 6 else ""
    return f"{names}  {facts}"[:width] if names else facts[:width]


def _short(time: timedelta) -> str:
    minutes, seconds = divmod(int(time.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class ProgressBar:
    """Draws the reports that it is called with.

    width  of the lines in characters
    every  where lines are not drawn anew, one comes after so much time
    """

    def __init__(self, stream: TextIO, *, width: int = 80, every: timedelta = timedelta(seconds=10)) -> None:
        if type(width) is not int or width < _NARROWEST:
            raise UsageError(option="width", got=width, hint=f"give a whole number of at least {_NARROWEST}")
        self._stream, self._width, self._every = stream, width, every
        self._redraws = stream.isatty()
        self._due = timedelta(0)
        self._last: BuildReport | None = None
        self._drawn = False

    def __call__(self, report: BuildReport) -> None:
        self._last, self._drawn = report, False
        if self._redraws:
            self._draw("\r", report, "")
        elif report.took >= self._due:
            self._due = report.took + self._every
            self._draw("", report, "\n")

    def _draw(self, before: str, report: BuildReport, behind: str) -> None:
        text = line(report, width=self._width - 1 if self._redraws else self._width)
        self._stream.write(before + (text.ljust(self._width - 1) if self._redraws else text) + behind)
        self._stream.flush()
        self._drawn = True

    def close(self) -> None:
        """Draw the last report, if it was left out, and end the line."""
        if self._last is None:
            return
        if self._redraws:
            self._stream.write("\n")
            self._stream.flush()
        elif not self._drawn:
            self._draw("", self._last, "\n")
        self._last = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
