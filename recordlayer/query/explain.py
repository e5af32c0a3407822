"""Plans in words: a tree for people, with what it is expected to cost and why other indexes were not used.

Fetch Order                                    ~100 records
└─ Scan order_by_customer [customer = 'ana']   ~100 entries
reads ~200 pairs in 2 round trips (estimates without statistics)
not used: order_by_total gives another order
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recordlayer.query import cost
from recordlayer.query.plan.base import Node
from recordlayer.query.planner import Planned, sources


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a query will do. `str()` is the text for people, `line` the plan in one line."""

    line: str
    tree: str
    keys: float
    round_trips: int
    not_used: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        trips = f"{self.round_trips} round trip{'s' * (self.round_trips != 1)}"
        lines = [self.tree, f"reads {cost.shown(self.keys)} pairs in {trips} (an estimate without statistics)"]
        lines += [f"not used: {name} {reason}" for name, reason in self.not_used]
        return "\n".join(lines)


def explain(planned: Planned) -> Explanation:
    """The plan of a query, explained."""
    not_used = dict(planned.rejected)
    for other in planned.others:
        for source in sources(other):
            not_used.setdefault(source, f"costs more ({cost.shown(other.estimate.keys)} pairs)")
    return explain_plan(planned.plan, not_used)


def explain_plan(plan: Node, not_used: dict[str, str]) -> Explanation:
    """One plan, explained."""
    used = sources(plan)
    return Explanation(
        plan.line,
        tree(plan),
        plan.estimate.keys,
        plan.estimate.round_trips,
        tuple((name, reason) for name, reason in sorted(not_used.items()) if name not in used),
    )


def tree(plan: Node) -> str:
    """One line for each node, with the rows expected to come out of it."""
    rows = list(_nodes(plan, "", ""))
    width = max(len(text) for text, _ in rows)
    return "\n".join(f"{text:<{width}}   {expected}" for text, expected in rows)


def _nodes(plan: Node, first: str, rest: str) -> Iterator[tuple[str, str]]:
    yield first + plan.title, f"{cost.shown(plan.estimate.rows)} {plan.unit}"
    for place, child in enumerate(plan.children, 1):
        last = place == len(plan.children)
        yield from _nodes(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
