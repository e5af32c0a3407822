"""Ranks as people ask for them, as the key expressions of the indexes that know them."""

from __future__ import annotations

from recordlayer.errors import UsageError
from recordlayer.keys import Field, Grouping, KeyExpression, as_expression, concat
from recordlayer.query.predicate import Path, shown
from recordlayer.query.ranked import Leaderboard, Ranked


def ranked_by(path: Path, group_by: str | KeyExpression | None, leaderboard: int | None, at: int | None) -> Ranked:
    """The rank by a field.  Raises  UsageError."""
    if not path or any(step.any or step.entry is not None for step in path):
        raise UsageError(field=shown(path), hint="ranks are by a field with one value: q.score.ranked()")
    if (leaderboard is None) is not (at is None):
        raise UsageError(
            leaderboard=leaderboard, at=at, hint="give both the type of the windows and a time, or neither"
        )
    score: KeyExpression = Field(path[-1].name)
    for step in reversed(path[:-1]):
        score = Field(step.name).nest(score)
    whole = score if group_by is None else concat(as_expression(group_by), score)
    window = None if leaderboard is None or at is None else Leaderboard(leaderboard, at)
    return Ranked(Grouping(whole, 1), window)
