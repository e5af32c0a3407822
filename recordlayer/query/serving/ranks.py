"""RANK indexes: as their entries lie by score, and by conditions on ranks, of a group that is bound to values.
TIME_WINDOW_LEADERBOARD indexes: by conditions on the ranks in a window.

Source  Record Layer, RankComparisons, TimeWindowLeaderboardIndexMaintainer
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.entry import IndexEntry
from recordlayer.index.leaderboard import LeaderboardIndex
from recordlayer.index.leaderboard_scores import WindowScores
from recordlayer.index.rank import RankEnd, RankIndex
from recordlayer.keys import Grouping
from recordlayer.query.comparison import Operator
from recordlayer.query.cost import RANGE, Estimate
from recordlayer.query.match import Bound
from recordlayer.query.plan.entries import Open, ScanBy
from recordlayer.query.plan.ranks import LEVELS, knows
from recordlayer.query.predicate import CompareRank, Predicate
from recordlayer.query.ranked import Leaderboard, Ranked
from recordlayer.query.rules.shared import keeper_of
from recordlayer.query.serving.by_columns import by_columns
from recordlayer.query.serving.protocol import Asked, Offer

Items = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Ranks:
    """Ranks behind `low` and up to and including `high`; None is no end.

    Where equal scores count, one score has several ranks and is found by each of them, but only the first is the rank
    of its records. So a range that begins inside is one that begins behind the rank before.
    """

    low: int | None
    high: int | None

    @property
    def is_empty(self) -> bool:
        return self.high is not None and (self.high < 0 or (self.low is not None and self.high <= self.low))

    @property
    def count(self) -> float | None:
        return None if self.high is None else max(0.0, self.high - (-1 if self.low is None else self.low))

    def ends(self) -> tuple[RankEnd | None, RankEnd | None]:
        low = None if self.low is None else (self.low, End.EXCLUSIVE)
        return low, None if self.high is None else (self.high, End.INCLUSIVE)


def serve_rank(asked: Asked) -> Iterator[Offer]:
    """By score as a VALUE index, and by rank."""
    for one in _ranked(asked) or ():
        scan = _scan(asked, one, partial(_by_rank, one.ranks, one.group.values))
        yield asked.offer(scan, answered=one.answered, equalities=len(one.group.values), ordered=True)
    yield from by_columns(asked)


def _by_rank(ranks: _Ranks, group: Items, maintainer: RankIndex, options: ScanOptions) -> Cursor[IndexEntry]:
    low = group or None if ranks.low is None else (*group, ranks.low)
    high = group or None if ranks.high is None else (*group, ranks.high)
    low_end = End.TREE if low is None else End.INCLUSIVE if ranks.low is None else End.EXCLUSIVE
    return maintainer.scan_by_rank(Bounds(low, high, low_end, End.TREE if high is None else End.INCLUSIVE), options)


def serve_leaderboard(asked: Asked) -> Iterator[Offer]:
    """By rank in a window, the best first."""
    found = _ranked(asked)
    if found is None:
        asked.refuse("answers conditions on ranks only")
    for one in found or ():
        at, window = len(one.group.values), one.ranked.window
        assert window is not None, "a leaderboard knows such ranks only"
        columns, reader = asked.hiding(*range(at, asked.index.column_size))
        scan = _scan(asked, one, partial(_in_window, window, one.ranks, one.group.values))
        yield asked.offer(scan, answered=one.answered, equalities=at, columns=columns, reader=reader)


def _in_window(
    window: Leaderboard, ranks: _Ranks, group: Items, maintainer: LeaderboardIndex, options: ScanOptions
) -> Cursor[IndexEntry]:
    return WindowScores(maintainer, window.type, window.at, group).between(*ranks.ends(), options)


@dataclass(frozen=True, slots=True)
class _Found:
    """Ranks that conditions ask for, of one group. `answered`: those conditions, and those that bind the group."""

    ranked: Ranked
    ranks: _Ranks
    group: Bound
    answered: tuple[Predicate, ...]


def _ranked(asked: Asked) -> list[_Found] | None:
    """The ranks that conditions ask for and the index keeps, each with its group; None if there are none."""
    index, root = asked.index, asked.index.root_expression
    conditions = [one for one in asked.conditions if isinstance(one, CompareRank) and knows(index, one.ranked)]
    assert isinstance(root, Grouping), "such indexes are"
    if not conditions:
        return None
    if any(column.creates_duplicates for column in root.normalized()[: root.grouping_count]):
        asked.refuse("has ranks of records in several groups")
        return []
    group = asked.bound(asked.columns[: root.grouping_count])
    if group is None:
        asked.refuse("has ranks within its groups, and no condition binds those")
        return []
    found: list[_Found] = []
    for ranked in dict.fromkeys(one.ranked for one in conditions):
        if keeper_of(asked.problem, ranked) != index.name:
            asked.refuse("has ranks that another index is asked for")
            continue
        own = [one for one in conditions if one.ranked == ranked]
        ranks, answered = _range(own)
        if answered:
            found.append(_Found(ranked, ranks, group, (*group.answered, *answered)))
    return found


def _range(conditions: list[CompareRank]) -> tuple[_Ranks, tuple[CompareRank, ...]]:
    low: int | None = None
    high: int | None = None
    answered = []
    for one in conditions:
        behind, last = _ends(one)
        if behind is None and last is None:
            continue
        answered.append(one)
        if behind is not None:
            low = behind if low is None else max(low, behind)
        if last is not None:
            high = last if high is None else min(high, last)
    return _Ranks(None if low is None or low < 0 else low, high), tuple(answered)


def _ends(one: CompareRank) -> tuple[int | None, int | None]:
    """The rank that comes before those of a condition, and the last of them."""
    rank = one.value
    if one.operator in (Operator.EQUALS, Operator.NOT_DISTINCT):
        return rank - 1, rank
    if one.operator is Operator.GREATER:
        return rank, None
    if one.operator is Operator.GREATER_OR_EQUAL:
        return rank - 1, None
    if one.operator is Operator.LESS:
        return None, rank - 1
    if one.operator is Operator.LESS_OR_EQUAL:
        return None, rank
    return None, None


def _scan(asked: Asked, one: _Found, open_scan: Open) -> ScanBy:
    entries = asked.problem.knowledge.entries(asked.index, asked.problem.metadata)
    ranks, window = one.ranks, one.ranked.window
    rows = max(1.0, min(entries, entries * RANGE if ranks.count is None else ranks.count))
    return ScanBy(
        asked.index,
        "ScanByRank",
        ", ".join([str(condition) for condition in one.answered]),
        (one.group.values, ranks.low, ranks.high, *(() if window is None else (window.type, window.at))),
        open_scan,
        Estimate(rows, rows + 2 * LEVELS, 1 + LEVELS),
        reverse=asked.reverse,
    )
