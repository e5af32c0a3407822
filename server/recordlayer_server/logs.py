"""Log lines of the server: a constant event with named values, as JSON or as text.

The values are in the record's attribute `recordlayer`, as `recordlayer.observe.LogEvents` puts them there, so that the
library's lines come out in the same form.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

ROOT = "recordlayer"

_as_json = json.JSONEncoder(default=str, ensure_ascii=False).encode  # one for all lines: it is costly to make

server = logging.getLogger(f"{ROOT}.server")
calls = logging.getLogger(f"{ROOT}.server.call")


def write(
    logger: logging.Logger, level: int, event: str, *, traceback_of: BaseException | None = None, **values: object
) -> None:
    """Log an event. The traceback of `traceback_of` goes to the log, and nowhere else."""
    if logger.isEnabledFor(level):
        logger.log(level, event, exc_info=traceback_of, extra={"recordlayer": {"event": event, **values}})


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, event, then the values."""

    def format(self, record: logging.LogRecord) -> str:
        values = getattr(record, "recordlayer", None)
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if isinstance(values, dict):
            line |= {name: value for name, value in values.items() if name not in line or name == "event"}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _as_json(line)


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
    logging.getLogger(ROOT).setLevel(level.upper())
