"""What queries say about themselves before and after they run: texts, JSON, graphs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, q, query
from recordlayer.query.explain import ExplainedNode
from recordlayer.testing.clock import ManualClock
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Order

ORDERS = [
    Order(id=number, customer=("ana", "bo", "cy")[number % 3], total=number // 2, tags=["a", "b"][: number % 3])
    for number in range(1, 21)
]
QUERIES = {
    "scan": query("Order"),
    "fetch": query("Order").where(q.customer == "ana", q.paid.is_null()).order_by("total"),
    "cover": query("Order").where(q.customer == "ana").select("customer", "id"),
    "entries": query("Order").where(q.total > 3, q.note.is_null()),
    "union": query("Order").where((q.customer == "ana") | (q.total == 3)),
    "one after the other": query("Order").where(
        q.customer.starts_with("b") | q.tags.one_of_them().starts_with("b"), q.id > 2
    ),
    "intersection": query("Order").where(q.customer == "ana", q.total == 3),
    "load": query("Order").where(q.id.in_([1, 5, 9])),
    "sort": query("Order").where(q.note.is_null()).order_by("ratio", "id", in_memory=7),
}


@pytest.fixture
def orders(open_database: Any) -> Iterator[Shop]:
    """A shop whose clock stands still, so that what queries did is the same in every run."""
    clock = ManualClock()
    with open_database("memory:", world=clock.world()) as db:
        shop = Shop(db, SHOP)
        shop.save(*ORDERS)
        yield shop
        shop.check()


def nodes(node: ExplainedNode) -> Iterator[ExplainedNode]:
    yield node
    for child in node.children:
        yield from nodes(child)


def analyzed(shop: Shop, asked: Any, **how: Any) -> Any:
    with shop.db.transaction() as tx:
        return tx.store(SHOP, path=PATH).analyze(asked, **how)


def test_what_queries_did_word_for_word(orders: Shop, golden_text: Callable[[str, str], None]) -> None:
    parts = [f"{name}\n{analyzed(orders, asked)}\n" for name, asked in QUERIES.items()]
    golden_text("analyze", "\n".join(parts))


def test_plans_as_json_and_as_graphs_word_for_word(orders: Shop, golden_text: Callable[[str, str], None]) -> None:
    explanation = analyzed(orders, QUERIES["fetch"], limit=3)
    golden_text("explain_json", explanation.to_json(indent=2) + "\n")
    golden_text("explain_dot", explanation.to_dot())


@pytest.mark.parametrize("name", QUERIES)
def test_every_node_of_a_plan_is_measured_and_the_whole_is_what_the_transaction_counted(
    orders: Shop, name: str
) -> None:
    asked = QUERIES[name]
    whole = orders.messages(asked)
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        counters = tx.counters
        before = counters.rows_read, counters.bytes_read, counters.reads
        explanation = store.analyze(asked)
        spent = (counters.rows_read - before[0], counters.bytes_read - before[1], counters.reads - before[2])
    actual = explanation.actual
    assert (actual.keys, actual.bytes, actual.reads) == spent
    assert actual.rows == len(whole)
    assert actual.stopped is rl.Stop.EXHAUSTED
    for node in nodes(explanation.root):
        assert node.actual.runs >= 1, node.title
        assert sum(child.actual.keys for child in node.children) <= node.actual.keys


def test_an_analysis_says_why_it_stopped_and_keeps_to_limits(orders: Shop) -> None:
    few = analyzed(orders, QUERIES["fetch"], limit=2)
    assert few.actual.rows == 2
    stopped = analyzed(orders, QUERIES["scan"], limits=rl.Limits(keys=5))
    assert stopped.actual.stopped is rl.Stop.SCAN_LIMIT
    assert (stopped.actual.rows, stopped.actual.keys) == (5, 5)
    with pytest.raises(errors.OverBudget):
        analyzed(orders, QUERIES["scan"].within(keys=5))
    with pytest.raises(errors.BudgetSpent):
        analyzed(orders, QUERIES["scan"], limits=rl.Limits(keys=5, fail=True))
    with pytest.raises(errors.UsageError):
        analyzed(orders, QUERIES["scan"], limit=-1)


def test_time_is_taken_from_the_worlds_clock(open_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    with open_database("memory:", world=clock.world()) as db:
        shop = Shop(db, SHOP)
        shop.save(*ORDERS)
        monkeypatch.setattr(clock, "monotonic", lambda: next(ticks))
        ticks = iter(range(1_000_000))
        assert analyzed(shop, QUERIES["scan"]).actual.time.total_seconds() >= 1
        monkeypatch.undo()
        shop.check()


def test_explaining_reads_nothing_and_says_what_was_not_run(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        reads = tx.counters.reads
        explanation = store.explain(QUERIES["fetch"])
        assert tx.counters.reads == reads
    assert explanation.actual is None
    found = json.loads(explanation.to_json())
    assert found["form"] == 1
    assert found["plan"]["actual"] is None
    assert found["plan"]["children"][0]["children"][0]["index"] == "by_customer_and_total"
    assert found["query"] == str(QUERIES["fetch"])


def test_an_index_that_would_help_is_named_where_records_are_filtered_or_sorted(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        filtered = store.explain(query("Order").where(q.note == "x", q.ratio > 2.0))
        assert filtered.would_help == '.index("Order", "by_note_ratio", concat(field("note"), field("ratio")))'
        assert str(filtered).endswith(f"would help: {filtered.would_help}")
        assert store.explain(QUERIES["cover"]).would_help is None
        assert store.explain(QUERIES["union"]).would_help is None


def test_a_drawing_is_made_by_graphviz_where_it_is(
    orders: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explanation = analyzed(orders, QUERIES["union"])
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\n[ "$1" = -Tpng ] || exit 3\nprintf "drawn: "\ncat\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert explanation.to_png() == b"drawn: " + explanation.to_dot().encode()
    program.write_text("#!/bin/sh\necho wrong graph >&2\nexit 1\n")
    with pytest.raises(errors.UsageError, match="wrong graph"):
        explanation.to_png()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(errors.LibraryMissing, match="graphviz"):
        explanation.to_png()
