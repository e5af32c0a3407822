"""Log lines of the server: a constant event with named values, as JSON or as text.

The values are in the record's attribute `recordlayer`, as `recordlayer.observe.LogEvents` puts them there, so that the
library's lines come out in the same form.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO

ROOT = "recordlayer"
_OWN = frozenset({"time", "level", "logger"})

_as_json = json.JSONEncoder(default=str, ensure_ascii=False).encode  # one for all lines: it is costly to make
_LEVELS = {level: logging.getLevelName(level).lower() for level in (10, 20, 30, 40, 50)}

server = logging.getLogger(f"{ROOT}.server")
calls = logging.getLogger(f"{ROOT}.server.call")


def write(
    logger: logging.Logger, level: int, event: str, *, traceback_of: BaseException | None = None, **values: object
) -> None:
    """Log an event. The traceback of `traceback_of` goes to the log, and nowhere else."""
    if logger.isEnabledFor(level):
        # Made here, because a logger would go up the stack for the place in the code, which no line shows.
        error = None if traceback_of is None else (type(traceback_of), traceback_of, traceback_of.__traceback__)
        record = logging.LogRecord(logger.name, level, "", 0, event, None, error)
        record.recordlayer = {"event": event, **values}
        logger.handle(record)


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, event, then the values."""

    def format(self, record: logging.LogRecord) -> str:
        values = getattr(record, "recordlayer", None)
        line: dict[str, object] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03}+00:00",
            "level": _LEVELS.get(record.levelno) or record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage() if record.args else str(record.msg),
        }
        if isinstance(values, dict):
            # Nobody names a value as one of these: then all of them go at once.
            free = _OWN.isdisjoint(values)
            line |= values if free else {name: value for name, value in values.items() if name not in _OWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _as_json(line)


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
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # No line shows these, and each record would look them up: 7 % of the cost of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger(ROOT).setLevel(level.upper())
