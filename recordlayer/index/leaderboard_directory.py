"""Which windows of time a leaderboard has, and which scores are the best in them.

Layout  TimeWindowLeaderboardDirectory: time of the last change, direction, next key, windows by type, start and length;
        times are 64 bits in two's complement
        TimeWindowLeaderboardSubDirectory: the direction of one group
Source  Record Layer, TimeWindowLeaderboardDirectory, TimeWindowLeaderboard, TimeWindowLeaderboardWindowUpdate
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from recordlayer.errors import CorruptIndexEntry, UsageError
from recordlayer.index.ranked_set import DEFAULT_LEVELS, MAX_LEVELS, MIN_LEVELS
from recordlayer.pb.parsing import PARSE_ERRORS
from recordlayer.pb.time_window_leaderboard_pb2 import (
    TimeWindowLeaderboard,
    TimeWindowLeaderboardDirectory,
    TimeWindowLeaderboardSubDirectory,
)
from recordlayer.tuples import SingleFloat, pack

Items = tuple[Any, ...]

ALL_TIME = 0
"""The type of the one window that has no beginning and no end."""

_SIGN, _MASK = 1 << 63, (1 << 64) - 1
FIRST, LAST = -_SIGN, _SIGN - 1
"""The first and the last time there is."""


class Rebuild(enum.Enum):
    """When an update of the windows builds the index anew over all records, in the same transaction."""

    ALWAYS = "always"
    NEVER = "never"
    """Scores that were saved before a window was added are not in it."""
    IF_OVERLAPPING_CHANGED = "if overlapping changed"
    """When a window is added that may concern scores which are there already."""


@dataclass(frozen=True, slots=True)
class Windows:
    """`count` windows of one type: each `duration` long, the next beginning `step` after the one before.

    Times are numbers in the unit of the timestamps in the records.
    """

    type: int
    base: int
    step: int
    duration: int
    count: int

    def __post_init__(self) -> None:
        for name in ("type", "base", "step", "duration", "count"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise UsageError(argument=name, got=value, hint="windows are made of whole numbers")
        if self.type < 1 or self.duration < 1 or self.count < 0:
            hint = "types count from 1 (0 is all time), a duration is at least 1, a count at least 0"
            raise UsageError(type=self.type, duration=self.duration, count=self.count, hint=hint)


@dataclass(frozen=True, slots=True)
class Window:
    """One window, from `start` up to, not including, `end`. `key` is the packed element under which it lies."""

    type: int
    start: int
    end: int
    key: bytes
    levels: int

    def contains(self, timestamp: int) -> bool:
        return self.start <= timestamp < self.end

    @property
    def order(self) -> Any:
        return self.type, self.start, -self.end, self.key, self.levels


@dataclass(frozen=True, slots=True)
class Directory:
    """The windows of one leaderboard, in order: by type, the oldest first."""

    high_score_first: bool
    updated: int = 0
    next_key: int = 0
    windows: tuple[Window, ...] = ()

    @classmethod
    def from_bytes(cls, data: bytes, *, index: str) -> Directory:
        """Raises  CorruptIndexEntry."""
        try:
            message = TimeWindowLeaderboardDirectory.FromString(data)
        except PARSE_ERRORS as error:
            raise CorruptIndexEntry(index=index, what="directory of a leaderboard", found=str(error)) from error
        windows = [
            Window(
                window.type,
                _signed(window.start_timestamp),
                _signed(window.end_timestamp),
                window.subspace_key,
                window.nlevels if window.HasField("nlevels") else DEFAULT_LEVELS,
            )
            for window in message.leaderboards
        ]
        windows.sort(key=lambda window: window.order)
        return cls(message.high_score_first, _signed(message.update_timestamp), message.next_key, tuple(windows))

    def to_bytes(self) -> bytes:
        windows = [
            TimeWindowLeaderboard(
                type=window.type,
                start_timestamp=window.start & _MASK,
                end_timestamp=window.end & _MASK,
                subspace_key=window.key,
                nlevels=window.levels,
            )
            for window in self.windows
        ]
        return TimeWindowLeaderboardDirectory(
            update_timestamp=self.updated & _MASK,
            high_score_first=self.high_score_first,
            next_key=self.next_key,
            leaderboards=windows,
        ).SerializeToString()

    def find(self, kind: int, timestamp: int) -> Window | None:
        """The oldest window of a type that contains a time."""
        return next((one for one in self.windows if one.type == kind and one.contains(timestamp)), None)

    def has(self, kind: int, start: int, end: int) -> bool:
        return any((one.type, one.start, one.end) == (kind, start, end) for one in self.windows)

    def with_window(self, kind: int, start: int, end: int, levels: int) -> Directory:
        window = Window(kind, start, end, pack((self.next_key,)), levels)
        windows = tuple(sorted((*self.windows, window), key=lambda one: one.order))
        return replace(self, next_key=self.next_key + 1, windows=windows)

    def without_those_before(self, timestamp: int) -> Directory:
        """Without the windows that have ended by then; the window of all time stays."""
        kept = tuple(one for one in self.windows if one.type == ALL_TIME or timestamp < one.end)
        return replace(self, windows=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowUpdate:
    """What an update of the windows asks for."""

    updated: int
    high_score_first: bool
    delete_before: int
    all_time: bool
    windows: Sequence[Windows] = ()
    levels: int = DEFAULT_LEVELS
    rebuild: Rebuild = Rebuild.IF_OVERLAPPING_CHANGED

    def __post_init__(self) -> None:
        if not MIN_LEVELS <= self.levels <= MAX_LEVELS:
            raise UsageError(levels=self.levels, hint=f"give a number from {MIN_LEVELS} to {MAX_LEVELS}")
        for time in (self.updated, self.delete_before):
            if not isinstance(time, int) or not FIRST <= time <= LAST:
                raise UsageError(time=time, hint="times are numbers of 64 bits")


@dataclass(frozen=True, slots=True)
class Change:
    """What an update makes of a directory.

    begins_anew     there was none, or one in the other direction
    adds_all_time   the window of all time is new
    earliest_added  the first time that one of the other new windows is about; None if there is none
    """

    directory: Directory
    removed: tuple[Window, ...]
    begins_anew: bool
    adds_all_time: bool
    earliest_added: int | None

    @property
    def changes(self) -> bool:
        return bool(self.removed) or self.adds_all_time or self.earliest_added is not None


def apply(existing: Directory | None, update: WindowUpdate) -> Change:
    """The directory after an update.  Raises  UsageError if the direction changes and nothing is to be rebuilt."""
    if existing is not None and existing.high_score_first != update.high_score_first:
        if update.rebuild is Rebuild.NEVER:
            hint = "entries in the other direction are there: the update must rebuild the index"
            raise UsageError(high_score_first=update.high_score_first, rebuild=update.rebuild.value, hint=hint)
        existing = None
    directory = replace(existing or Directory(update.high_score_first), updated=update.updated)
    kept = directory.without_those_before(update.delete_before)
    removed = tuple(window for window in directory.windows if window not in kept.windows)
    directory, adds_all_time, earliest = kept, False, None
    if update.all_time and not any(window.type == ALL_TIME for window in directory.windows):
        directory, adds_all_time = directory.with_window(ALL_TIME, FIRST, LAST, update.levels), True
    for wanted in update.windows:
        for place in range(wanted.count):
            start = wanted.base + wanted.step * place
            end = start + wanted.duration
            if not FIRST <= start < end <= LAST:
                raise UsageError(windows=wanted, start=start, end=end, hint="times are numbers of 64 bits")
            if not directory.has(wanted.type, start, end):
                directory = directory.with_window(wanted.type, start, end, update.levels)
                earliest = start if earliest is None else min(earliest, start)
    return Change(directory, removed, existing is None, adds_all_time, earliest)


def direction_from_bytes(data: bytes, *, index: str) -> bool:
    """Whether a group has high scores first.  Raises  CorruptIndexEntry."""
    try:
        return TimeWindowLeaderboardSubDirectory.FromString(data).high_score_first
    except PARSE_ERRORS as error:
        raise CorruptIndexEntry(index=index, what="direction of a group", found=str(error)) from error


def direction_to_bytes(high_score_first: bool) -> bytes:
    return TimeWindowLeaderboardSubDirectory(high_score_first=high_score_first).SerializeToString()


def negated(score: Items) -> Items:
    """A score whose first column sorts the other way round; twice gives the score again."""
    first, *rest = score
    if isinstance(first, SingleFloat):
        first = first.value
    return (-first, *rest)


def _signed(number: int) -> int:
    return number - (1 << 64) if number & _SIGN else number
