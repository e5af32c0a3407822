"""Plans in words: a tree for people, with what it is expected to cost and why other indexes were not used; and beside
that what it did cost, if it was run.

Fetch Order                                    ~100 records
└─ Scan order_by_customer [customer = 'ana']   ~100 entries
reads ~200 pairs in 2 round trips (estimates without statistics)
not used: order_by_total gives another order
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from recordlayer.query import cost, drawing
from recordlayer.query.advice import helpful_index
from recordlayer.query.measuring import Actual, Measured
from recordlayer.query.plan.base import Node
from recordlayer.query.planned import Planned
from recordlayer.query.planner import sources
from recordlayer.query.problem import Problem

FORM = 1
"""Of the JSON: raised when a field that was there goes or means something else. New fields raise nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedNode:
    """One node of a plan. Costs include those of the nodes below it.

    kind         what sort of node it is, for programs
    title        the same in words, with what it is about
    unit         what its rows are
    index        the index it reads, None if it reads none itself
    rows, keys, round_trips   what is expected
    actual       what it did, None if it was not run
    """

    kind: str
    title: str
    unit: str
    index: str | None
    rows: float
    keys: float
    round_trips: int
    children: tuple[ExplainedNode, ...]
    actual: Actual | None = None

    def as_dict(self) -> dict[str, Any]:
        actual = self.actual
        return {
            "kind": self.kind,
            "title": self.title,
            "unit": self.unit,
            "index": self.index,
            "estimate": {"rows": self.rows, "keys": self.keys, "round_trips": self.round_trips},
            "actual": None
            if actual is None
            else {
                "rows": actual.rows,
                "keys": actual.keys,
                "bytes": actual.bytes,
                "reads": actual.reads,
                "seconds": actual.time.total_seconds(),
                "runs": actual.runs,
                "stopped": None if actual.stopped is None else actual.stopped.name.lower(),
            },
            "children": [child.as_dict() for child in self.children],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a query will do; and what it did, if it was analyzed. `str()` is the text for people.

    query      in words
    line       the plan in one line
    root       the plan's nodes
    not_used   names of indexes that are not used, each with the reason
    would_help the definition of an index that would leave less to be read; None if there is none, or no need
    statistics what the estimates go by, in words; nothing if they are assumptions
    """

    query: str
    line: str
    root: ExplainedNode
    not_used: tuple[tuple[str, str], ...]
    would_help: str | None = None
    statistics: tuple[str, ...] = ()

    @property
    def keys(self) -> float:
        """Pairs that are expected to be read."""
        return self.root.keys

    @property
    def round_trips(self) -> int:
        """Waits one after the other that are expected."""
        return self.root.round_trips

    @property
    def actual(self) -> Actual | None:
        """What the whole plan did, None if it was not run."""
        return self.root.actual

    @property
    def tree(self) -> str:
        """One line for each node, with the rows expected to come out of it, and what it did."""
        return tree(self.root)

    def as_dict(self) -> dict[str, Any]:
        """The explanation as plain values: see `to_json`."""
        return {
            "form": FORM,
            "query": self.query,
            "line": self.line,
            "plan": self.root.as_dict(),
            "not_used": [{"index": name, "reason": reason} for name, reason in self.not_used],
            "would_help": self.would_help,
            "statistics": list(self.statistics),
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """The explanation as JSON, in a form that stays the same:

            {"form": 1, "query": TEXT, "line": TEXT, "plan": NODE, "not_used": [{"index": NAME, "reason": TEXT}],
             "would_help": TEXT or null, "statistics": [TEXT]}
            NODE    {"kind": WORD, "title": TEXT, "unit": WORD, "index": NAME or null,
                     "estimate": {"rows": N, "keys": N, "round_trips": N}, "actual": null or ACTUAL, "children": [NODE]}
            ACTUAL  {"rows": N, "keys": N, "bytes": N, "reads": N, "seconds": N, "runs": N, "stopped": WORD or null}

        Costs of a node include those of its children. `stopped` is exhausted, limit_reached, time_limit, scan_limit or
        byte_limit; null for a node that was not asked until it stopped. Texts may be worded better one day.
        """
        return json.dumps(self.as_dict(), indent=indent, ensure_ascii=False)

    def to_dot(self) -> str:
        """The plan as a graph in the language of Graphviz."""
        return drawing.dot(self.root, _labels)

    def to_png(self) -> bytes:
        """The same drawn, by Graphviz's program `dot`.  Raises  LibraryMissing if it is not on the PATH."""
        return drawing.png(self.to_dot())

    def __str__(self) -> str:
        trips = f"{self.round_trips} round trip{'s' * (self.round_trips != 1)}"
        by = "; ".join(self.statistics)
        source = f"an estimate by statistics: {by}" if by else "an estimate without statistics"
        lines = [self.tree, f"reads {cost.shown(self.keys)} pairs in {trips} ({source})"]
        lines += [f"not used: {name} {reason}" for name, reason in self.not_used]
        if self.would_help is not None:
            lines.append(f"would help: {self.would_help}")
        return "\n".join(lines)


def explain(planned: Planned, problem: Problem | None = None) -> Explanation:
    """The plan of a query, explained; with the query's problem, what would help is said too."""
    return explain_plan(
        planned.plan,
        reasons(planned),
        query=str(planned.query),
        problem=problem,
        statistics=planned.knowledge.sources,
    )


def reasons(planned: Planned) -> dict[str, str]:
    """Why indexes are not used."""
    not_used = dict(planned.rejected)
    for other in planned.others:
        for source in sources(other):
            not_used.setdefault(source, f"costs more ({cost.shown(other.estimate.keys)} pairs)")
    return not_used


def explain_plan(
    plan: Node,
    not_used: dict[str, str],
    *,
    query: str,
    problem: Problem | None = None,
    statistics: tuple[str, ...] = (),
) -> Explanation:
    """One plan, explained; a measured one with what it did. `statistics`: what the estimates go by."""
    used = sources(plan)
    root = _explained(plan)
    return Explanation(
        query=query,
        line=plan.line,
        root=root,
        would_help=helpful_index(problem) if problem is not None and _leaves_work(root) else None,
        not_used=tuple((name, reason) for name, reason in sorted(not_used.items()) if name not in used),
        statistics=statistics,
    )


_WORK = frozenset(("FilterRecords", "FilterByRank", "SortRecords", "GroupInMemory"))


def _leaves_work(node: ExplainedNode) -> bool:
    """Whether records are read that no index has chosen or ordered."""
    return node.kind in _WORK or any(_leaves_work(child) for child in node.children)


def _explained(plan: Node) -> ExplainedNode:
    measured = plan if isinstance(plan, Measured) else None
    estimate = plan.estimate
    return ExplainedNode(
        kind=type(plan).__name__ if measured is None else measured.kind,
        title=plan.title,
        unit=plan.unit,
        index=getattr(plan, "index", None),
        rows=estimate.rows,
        keys=estimate.keys,
        round_trips=estimate.round_trips,
        children=tuple(_explained(child) for child in plan.children),
        actual=None if measured is None else measured.actual,
    )


def tree(root: ExplainedNode) -> str:
    """One line for each node."""
    rows = list(_lines(root, "", ""))
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    return "\n".join(
        "   ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _lines(node: ExplainedNode, first: str, rest: str) -> Iterator[tuple[str, str, str]]:
    title, expected, did = _labels(node)
    yield first + title, expected, did
    for place, child in enumerate(node.children, 1):
        last = place == len(node.children)
        yield from _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _labels(node: ExplainedNode) -> tuple[str, str, str]:
    """What a node is, what is expected of it, and what it did."""
    did = "" if node.actual is None else _did(node.actual, node.unit)
    return node.title, f"{cost.shown(node.rows)} {node.unit}", did


def _did(actual: Actual, unit: str) -> str:
    if not actual.runs:
        return "not run"
    parts = [
        f"{actual.rows:,} {unit}",
        f"{actual.keys:,} keys",
        f"{actual.bytes:,} bytes",
        f"{actual.reads:,} read{'s' * (actual.reads != 1)}",
        f"{actual.time / timedelta(milliseconds=1):.1f} ms",
    ]
    if actual.runs > 1:
        parts.append(f"{actual.runs:,} runs")
    parts.append("not asked to its end" if actual.stopped is None else f"stopped: {actual.stopped.value}")
    return ", ".join(parts)
