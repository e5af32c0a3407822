"""Log lines of the server: a constant event with named values, as JSON or as text.

The values are in the record's attribute `recordlayer`, as `recordlayer.observe.LogEvents` puts them there, so that the
library's lines come out in the same form.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from math import isfinite
from typing import TextIO

ROOT = "recordlayer"
_OWN = frozenset({"time", "level", "logger", "event"})

quoted = encode_basestring
"""Text as JSON."""

_as_json = json.JSONEncoder(default=str, ensure_ascii=False).encode  # one for all lines: it is costly to make
_LEVELS = {level: logging.getLevelName(level).lower() for level in (10, 20, 30, 40, 50)}

server = logging.getLogger(f"{ROOT}.server")
calls = logging.getLogger(f"{ROOT}.server.call")
_ROOT, _ABOVE = logging.getLogger(), (logging.getLogger(ROOT), server, calls)


def write(
    logger: logging.Logger, level: int, event: str, *, traceback_of: BaseException | None = None, **values: object
) -> None:
    """Log an event. The traceback of `traceback_of` goes to the log, and nowhere else."""
    if logger.isEnabledFor(level):
        lines = None if traceback_of is not None else alone()
        if lines is not None:
            lines.say(level, logger.name, event, _json_values(values))
            return
        # Made here, because a logger would go up the stack for the place in the code, which no line shows.
        error = None if traceback_of is None else (type(traceback_of), traceback_of, traceback_of.__traceback__)
        record = logging.LogRecord(logger.name, level, "", 0, event, None, error)
        record.recordlayer = {"event": event, **values}
        logger.handle(record)


class Lines(logging.StreamHandler[TextIO]):
    """Where lines go: to a stream."""

    def say(self, level: int, name: str, event: str, values: str) -> None:
        """Write a line as JSON of which no record is made: a record and its way here cost more than all else that
        happens around a small call.

        values  as they stand in the line, each with a comma before it
        """
        lock = self.lock
        assert lock is not None, "handlers are made with one"
        with lock:
            try:
                self.stream.write(f"{_beginning(time.time(), level, name, event)}{values}}}{self.terminator}")
                self.stream.flush()
            except Exception:  # what a stream raises is told as logging tells it, and ends no call
                self.handleError(logging.LogRecord(name, level, "", 0, event, None, None))


def alone() -> Lines | None:
    """Where lines go if nobody else listens and they are JSON."""
    handlers = _ROOT.handlers
    if len(handlers) != 1 or type(handler := handlers[0]) is not Lines or handler.filters:
        return None
    for logger in _ABOVE:
        if logger.handlers or logger.filters or not logger.propagate:
            return None
    return handler if type(handler.formatter) is JsonLines else None


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, event, then the values."""

    def format(self, record: logging.LogRecord) -> str:
        values = getattr(record, "recordlayer", None)
        event = record.getMessage() if record.args else str(record.msg)
        known = values if isinstance(values, dict) else {}
        if record.exc_info:
            known = {**known, "traceback": self.formatException(record.exc_info)}
        beginning = _beginning(record.created, record.levelno, record.name, str(known.get("event", event)))
        return f"{beginning}{_json_values(known)}}}"


def _json_values(values: Mapping[str, object]) -> str:
    parts = []
    for key, value in values.items():
        if label := _label(key):
            kind = type(value)
            if kind is str:
                written = quoted(value)  # type: ignore[arg-type]  # it is a str
            elif kind is int or (kind is float and isfinite(value)):  # type: ignore[arg-type]  # a float
                written = repr(value)
            else:
                written = _as_json(value)
            parts.append(label + written)
    return "".join(parts)


def _beginning(at: float, level: int, name: str, event: str) -> str:
    second = int(at)
    return f'{{"time": "{_second(second)}.{int((at - second) * 1_000):03}+00:00{_kind(level, name, event)}'


@lru_cache(maxsize=256)
def _kind(level: int, name: str, event: str) -> str:
    """What stands behind the time: events, levels and loggers are constants of the code, and few."""
    word = _LEVELS.get(level) or logging.getLevelName(level).lower()
    return f'", "level": {quoted(word)}, "logger": {quoted(name)}, "event": {quoted(event)}'


@lru_cache(maxsize=256)
def _label(key: str) -> str:
    """What stands before a value; nothing for values whose names a line has already."""
    return "" if key in _OWN else f", {quoted(key)}: "


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class TextLines(logging.Formatter):
    """The same for eyes."""

    def format(self, record: logging.LogRecord) -> str:
        values = getattr(record, "recordlayer", None)
        when = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        line = f"{when} {record.levelname.lower():7} {record.getMessage()}"
        if isinstance(values, dict) and record.name.startswith(f"{ROOT}.server"):
            line += "".join(f" {name}={value}" for name, value in values.items() if name != "event")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure(level: str, form: str, *, stream: TextIO | None = None) -> None:
    """Send the lines of the library and the server, and warnings of everything else, to the standard error."""
    handler = Lines(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # No line shows these, and each record would look them up: 7 % of the cost of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger(ROOT).setLevel(level.upper())
