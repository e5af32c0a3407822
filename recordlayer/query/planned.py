"""What planning gives: a plan, and what is known of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from recordlayer.query.direct import AsTheyAre, Direct, direct_of
from recordlayer.query.effort import Effort
from recordlayer.query.knowledge import Knowledge
from recordlayer.query.plan.base import Plan
from recordlayer.query.problem import Problem
from recordlayer.query.query import Query
from recordlayer.query.slot import Values

Rule = Callable[[Problem], Iterator[Plan]]
Found = list[tuple[Rule | None, Plan]]


@dataclass(frozen=True, slots=True)
class Survey:
    """All plans with the rules that gave them, the cheapest first; why indexes were not used; what looking cost."""

    found: Found
    rejected: dict[str, str]
    effort: Effort


class Planned:
    """The plan of a query; and, worked out when somebody asks, the others that would answer it too and which indexes
    could not, with the reason. `cached`: it was there from an earlier query, or came from a template of its shape."""

    __slots__ = ("_direct", "_looked", "_plan", "_survey", "cached", "knowledge", "query")

    def __init__(
        self, query: Query, plan: Plan, knowledge: Knowledge, survey: Callable[[], Survey], *, cached: bool = False
    ) -> None:
        self.query = query
        self._plan = plan
        self._direct: Direct | Literal[False] | None = False
        self.knowledge = knowledge
        self.cached = cached
        self._survey = survey
        self._looked: Survey | None = None

    @property
    def plan(self) -> Plan:
        """What is run."""
        return self._plan

    @property
    def direct(self) -> tuple[Direct | None, Values]:
        """How that is run directly, and for which values; None if it is not."""
        if self._direct is False:
            self._direct = direct_of(self._plan, AsTheyAre())
        return self._direct, ()

    @property
    def survey(self) -> Survey:
        """All that was looked at."""
        if self._looked is None:
            self._looked = self._survey()
        return self._looked

    @property
    def others(self) -> tuple[Plan, ...]:
        return tuple([plan for _, plan in self.survey.found if plan.line != self.plan.line])

    @property
    def rejected(self) -> dict[str, str]:
        return self.survey.rejected
