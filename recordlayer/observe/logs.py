"""Events to the standard library's logging, under `recordlayer.*`.

    recordlayer.transaction   transactions, reads, writes, commits, conflicts, retries
    recordlayer.store         stores opened
    recordlayer.query         queries
    recordlayer.build         index builds

A line is the constant title of its kind and then `name=value`; the same names and values are in the record's attribute
`recordlayer`, for formatters that write JSON. Nothing here configures logging.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import timedelta

from recordlayer.errors import WrongType
from recordlayer.observe import events as kinds
from recordlayer.observe.events import Event
from recordlayer.observe.fields import Plain, fields_of, title_of

_PARTS: tuple[tuple[str, str], ...] = (("Store", "store"), ("Query", "query"), ("Build", "build"))

_LEVELS: dict[type[Event], int] = {
    kinds.TransactionLeaked: logging.WARNING,
    kinds.ConflictMet: logging.INFO,
    kinds.Retried: logging.INFO,
    kinds.IdempotencyKeyFound: logging.INFO,
    kinds.BuildBegan: logging.INFO,
    kinds.BuildFinished: logging.INFO,
}

_READS: frozenset[type[Event]] = frozenset({kinds.PointRead, kinds.RangeRead})


def logger_of(kind: type[Event], root: str = "recordlayer") -> logging.Logger:
    """The logger for a kind of event."""
    for beginning, part in _PARTS:
        if kind.__name__.startswith(beginning):
            return logging.getLogger(f"{root}.{part}")
    return logging.getLogger(f"{root}.transaction")


class _Lines:
    """Writes events as lines."""

    def __init__(self, *, keys: bool, root: str) -> None:
        self._keys = keys
        self._root = root
        self._of: dict[type[Event], tuple[logging.Logger, str]] = {}

    def write(self, event: Event, level: int, *, before: str = "") -> None:
        kind = type(event)
        if kind not in self._of:
            self._of[kind] = logger_of(kind, self._root), title_of(kind)
        logger, title = self._of[kind]
        if logger.isEnabledFor(level):
            values = fields_of(event, keys=self._keys)
            text = " ".join(f"{name}={_quoted(value)}" for name, value in values.items())
            extra = {"recordlayer": {"event": title, **values}}
            logger.log(level, "%s%s: %s", before, title, text, extra=extra)


class LogEvents:
    """Writes a line for every event: at INFO what is worth a look, at WARNING what is wrong, at DEBUG the rest.

    kinds  which events; None for all but single reads
    keys   also write keys, ranges and what conflicts, which may hold what users stored
    root   the first part of the loggers' names
    """

    def __init__(
        self, kinds: Collection[type[Event]] | None = None, *, keys: bool = False, root: str = "recordlayer"
    ) -> None:
        self._kinds = None if kinds is None else frozenset(kinds)
        self._lines = _Lines(keys=keys, root=root)

    def wants(self, kind: type[Event]) -> bool:
        return kind not in _READS if self._kinds is None else kind in self._kinds

    def observe(self, event: Event) -> None:
        self._lines.write(event, _LEVELS.get(type(event), logging.DEBUG))


class LogSlow:
    """Writes a line for what took long, at WARNING. For a query that is its plan and what it read.

    over   what took at least so long
    reads  also watch single reads; they are what a slow transaction is made of, and many
    """

    def __init__(
        self,
        over: timedelta = timedelta(milliseconds=100),
        *,
        reads: bool = False,
        keys: bool = False,
        root: str = "recordlayer",
    ) -> None:
        if not isinstance(over, timedelta):
            raise WrongType(argument="over", got=over, hint="give a datetime.timedelta")
        self._over = over
        self._reads = reads
        self._lines = _Lines(keys=keys, root=root)

    def wants(self, kind: type[Event]) -> bool:
        return "took" in kind.__dataclass_fields__ and (self._reads or kind not in _READS)

    def observe(self, event: Event) -> None:
        took = getattr(event, "took", None)
        if took is not None and took >= self._over and self.wants(type(event)):
            self._lines.write(event, logging.WARNING, before="slow: ")


def _quoted(value: Plain) -> str:
    if isinstance(value, str) and (not value or any(mark in value for mark in ' ="\n')):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return str(value)
