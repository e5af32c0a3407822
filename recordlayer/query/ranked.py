"""The rank of a record: how many records of its group come before it by score. Only an index can tell.

Source  Record Layer, QueryRecordFunction for `rank` and `time_window_rank`, TimeWindowForFunction
"""

from __future__ import annotations

from dataclasses import dataclass

from recordlayer.keys import Grouping


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A window of a time window leaderboard.

    type  the kind of window, as the index numbers them; 0 is all time
    at    a time within the window that is meant
    """

    type: int
    at: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """The rank by the grouped columns of an expression, among the records with the same grouping columns.

    window  of a leaderboard; None for a plain rank
    """

    expression: Grouping
    window: Leaderboard | None = None

    def __str__(self) -> str:
        columns = self.expression.normalized()
        count = self.expression.grouping_count
        score = ", ".join(str(column) for column in columns[count:])
        within = f" within {', '.join(str(column) for column in columns[:count])}" if count else ""
        window = "" if self.window is None else f" in window {self.window.type} at {self.window.at}"
        return f"rank of {score}{within}{window}"


Facts = dict[Ranked, int | None]
"""What was looked up for one record before its conditions are decided."""
