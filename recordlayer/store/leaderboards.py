"""Changing the windows of a leaderboard.

Cost    1 read and 1 write; a rebuild reads all records and writes all entries
Source  Record Layer, TimeWindowLeaderboardIndexMaintainer.UpdateState. Windows that go are cleared; Java leaves their
        entries behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recordlayer.errors import UsageError
from recordlayer.index.leaderboard import LeaderboardIndex
from recordlayer.index.leaderboard_directory import Rebuild, WindowUpdate, apply
from recordlayer.index.leaderboard_scores import WindowScores
from recordlayer.metadata import Index
from recordlayer.store.build import rebuild
from recordlayer.store.ranking import Ranking, as_elements
from recordlayer.store.store import RecordStore


@dataclass(frozen=True, slots=True)
class WindowsUpdated:
    """Whether windows were added or removed, and whether the index was built anew."""

    changed: bool
    rebuilt: bool


def leaderboard(store: RecordStore, name: str) -> LeaderboardIndex:
    """A leaderboard index that may be read.  Raises  UnknownIndex, IndexNotReadable, UsageError."""
    maintainer = store.index_maintainer(name)
    if not isinstance(maintainer, LeaderboardIndex):
        hint = "only a TIME_WINDOW_LEADERBOARD index has windows: define one with leaderboard(...)"
        raise UsageError(index=name, type=maintainer.type, hint=hint)
    return maintainer


async def update_windows(store: RecordStore, index: Index, update: WindowUpdate) -> WindowsUpdated:
    """Add the windows that are missing, remove those that have ended, and index what is there already, if need be.

    Raises  UsageError; as `build.rebuild`.
    """
    store.header.check_may_write()
    board = leaderboard(store, index.name)
    always, conditional = (update.rebuild is kind for kind in (Rebuild.ALWAYS, Rebuild.IF_OVERLAPPING_CHANGED))
    existing = await board.directory()
    change = apply(None if always else existing, update)
    rebuilds = always or (conditional and (change.begins_anew or change.adds_all_time))
    if conditional and change.earliest_added is not None:
        latest = await board.latest_timestamp()
        rebuilds = rebuilds or (latest is not None and latest >= change.earliest_added)
    for window in change.removed:
        board.clear_window(window)
    if change.changes:
        board.save_directory(change.directory)
    if rebuilds:
        await rebuild(store, index)
    return WindowsUpdated(change.changes, rebuilds)


def window_ranking(store: RecordStore, name: str, kind: int, at: int, group: tuple[Any, ...]) -> Ranking:
    """The ranks of a group in the oldest window of a type that contains a time.

    Raises  UnknownIndex, IndexNotReadable, UsageError.
    """
    for argument, number in (("type", kind), ("at", at)):
        if not isinstance(number, int) or isinstance(number, bool):
            raise UsageError(argument=argument, got=number, hint="types and times of windows are whole numbers")
    board = leaderboard(store, name)
    index = store.metadata.index(name)
    elements = as_elements(store, index, group, start=0)
    board.check_group(elements)
    return Ranking(store, index, WindowScores(board, kind, at, elements))


async def rank_of(
    store: RecordStore, name: str, key: Any, kind: int, at: int, *, snapshot: bool
) -> tuple[int, tuple[Any, ...]] | None:
    """The rank of a record's best score in a window, and that score; None without a record or a score there."""
    board = leaderboard(store, name)
    record = await store.load(key, snapshot=snapshot)
    return None if record is None else await board.rank_of(record, kind, at, snapshot=snapshot)
