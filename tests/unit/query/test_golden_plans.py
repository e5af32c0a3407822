"""What plans over indexes of every type say about themselves, word for word, in tests/golden/text/plans.txt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from recordlayer import concat, q, query
from recordlayer.index.state import IndexState
from recordlayer.keys.functions import function
from recordlayer.keys.special import VERSION
from recordlayer.metadata import Index
from recordlayer.query.effort import Effort
from recordlayer.query.explain import explain
from recordlayer.query.planner import plan
from recordlayer.query.problem import problem_of
from tests.support.things import metadata_of

THINGS = metadata_of("proto2")
THING = query("Thing")
ASKED: dict[str, Any] = {
    "everything": query(),
    "one type": THING,
    "by primary key": THING.where(q.id == 3),
    "several primary keys": THING.where(q.id.in_([1, 3])),
    "a range of primary keys": THING.where(q.id > 3, q.id <= 9),
    "equality and range": THING.where(q.name == "a", q.total > 1),
    "covering": THING.where(q.total == 1).select("id", "name"),
    "a filter on entries": THING.where(q.tags.contains("x"), q.total != 3),
    "order in reverse": THING.where(q.name == "a").order_by("total", reverse=True),
    "IN in the order of the index": THING.where(q.name.in_(["b", "a"])).order_by("name", "total"),
    "IN in another order": THING.where(q.name.in_(["b", "a"])).order_by("total"),
    "alternatives": THING.where((q.name == "a") | (q.total == 3)),
    "alternatives without a common order": THING.where((q.name > "a") | (q.total == 3)),
    "alternatives multiplied out": THING.where((q.name == "a") | (q.name == "b"), (q.total == 1) | (q.total == 2)),
    "not both": THING.where(~((q.name != "a") | (q.total <= 1))),
    "an intersection": THING.where(q.total == 1, q.text.has_words("be"), q.tags.contains("x")),
    "words": THING.where(q.text.has_words("to be"), q.total > 1),
    "words of a group": THING.where(q.text.has_phrase("to be"), q.kind == "k"),
    "beginnings of words": THING.where(q.text.has_any_prefix(["b", "t"])),
    "ranks": THING.where(q.total.ranked() < 10),
    "ranks of a group": THING.where(q.total.ranked(group_by="kind") == 3, q.kind == "k"),
    "ranks in a window": THING.where(q.points.ranked(group_by="kind", leaderboard=1, at=5) < 3, q.kind == "k"),
    "ranks that are tested": THING.where(q.total.ranked() != 3, q.name == "a"),
    "a box": THING.where(q.x.between(0, 9), q.y.between(-3, 3)),
    "a box of a group": THING.where(q.x.between(0, 9), q.y > 3, q.kind == "k"),
    "bitmaps": THING.where(q.tags.contains("x"), (q.name == "a") | (q.kind == "k")),
    "the last changes": THING.order_by(VERSION, reverse=True),
    "a function": THING.where(q(function("sub", "total")) > 3),
    "columns together": THING.where(q(concat("name", "total")) == ("a", 3)),
    "one and the same element": THING.where(q.items.one_of_them().matches((q.sku == "p") & (q.price > 3))),
    "two types": query("Thing", "Note").where(q.name == "a"),
    "sorted in memory": THING.where(q.name == "a").order_by("text", in_memory=100),
    "hints": THING.where(q.name == "a").hide_indexes("by_name_total", "all_by_name").try_indexes("by_city"),
}


def readable(index: Index) -> IndexState:
    return IndexState.WRITE_ONLY if index.name == "by_city" else IndexState.READABLE


def test_plans_word_for_word(golden_text: Callable[[str, str], None]) -> None:
    parts = []
    for name, asked in ASKED.items():
        explained = explain(plan(asked, THINGS, readable), problem_of(asked, THINGS, readable))
        parts.append(f"-- {name}\n{explained.query}\n\n{explained}\n")
    golden_text("plans", "\n".join(parts))


@pytest.mark.parametrize("name", ["equality and range", "words", "a box", "an intersection", "alternatives"])
def test_other_values_are_planned_with_as_many_looks_as_the_plan_has_scans(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps planning a known shape far below running it: a survey of all indexes takes a hundred looks."""
    from recordlayer.query.comparison import Operator

    metadata = metadata_of("proto2")
    first = plan(ASKED[name], metadata, readable)
    looks = 0

    def spend(effort: Effort) -> None:
        nonlocal looks
        looks += 1
        effort.looks += 1

    monkeypatch.setattr(Effort, "spend", spend)
    assert plan(ASKED[name], metadata, readable) is first
    assert looks == 0, "the same query is not planned again"

    def other(operator: Operator, value: Any) -> tuple[Operator, Any]:
        return operator, value + 10 if isinstance(value, int) and value > 0 else value

    changed = ASKED[name].filter.exchanged(other)
    found = plan(THING.where(changed), metadata, readable)
    assert looks <= 8
    monkeypatch.undo()
    fresh = plan(THING.where(changed), metadata_of("proto2"), readable)
    assert found.plan.line == fresh.plan.line
