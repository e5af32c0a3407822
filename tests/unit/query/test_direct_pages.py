"""Pages that are made directly are those of the plan's cursors: records, continuations, why they stop, and reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import product
from operator import le
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import errors, q, query
from recordlayer.cursor.step import Cursor
from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.query import direct_page, execute
from recordlayer.query.direct_page import DirectPage
from recordlayer.query.execute import run_query
from recordlayer.store.open import open_store
from recordlayer.store.store import RecordStore
from recordlayer.testing.clock import ManualClock
from recordlayer.waiting.drivers import run_blocking
from tests.unit.query.test_plans_of_a_shape import NAMES, NUMBERS, begun, filled, metadata_of

CONDITIONS: dict[str, Any] = {
    "=": lambda a, b, n: q.customer == a,
    "= two columns": lambda a, b, n: (q.customer == a) & (q.total == n),
    "= and range": lambda a, b, n: (q.customer == a) & (q.total > n),
    "range": lambda a, b, n: q.total >= n,
    "beginning": lambda a, b, n: q.customer.starts_with(a),
    "or": lambda a, b, n: (q.customer == a) | (q.total == n),
    "or of three": lambda a, b, n: (q.customer == a) | (q.total == n) | (q.customer == b),
    "and": lambda a, b, n: (q.customer == a) & (q.total == n) & (q.id > 1),
    "and of two indexes": lambda a, b, n: (q.customer == a) & (q.total == n),
    "in": lambda a, b, n: q.customer.in_([a, b, "c"]),
    "in and range": lambda a, b, n: q.customer.in_([a, b]) & (q.total > n),
    "in and filter": lambda a, b, n: q.total.in_([n, 1, 7]) & (q.note != "x"),
    "filter": lambda a, b, n: (q.customer == a) & (q.id != 3) & (q.note != "x"),
    "filter of or": lambda a, b, n: ((q.customer == a) | (q.customer == b)) & (q.note != "x"),
}
INDEXES = {"and of two indexes": ("by_customer", "by_total"), "or": ("by_customer", "by_total")}


@contextmanager
def by_cursors() -> Iterator[None]:
    """Nothing is run directly."""
    kept = execute._directly
    execute._directly = lambda *_: None
    try:
        yield
    finally:
        execute._directly = kept


async def steps(cursor: Cursor[Any]) -> list[Any]:
    """All that a cursor says."""
    found: list[Any] = []
    while True:
        step = await cursor.next()
        if step.stop is not None:
            return [*found, (step.stop, step.continuation)]
        record: Any = step.value
        found.append((record.primary_key, record.primary_key_bytes, record.message, step.continuation))


def run(store: RecordStore, asked: Any, **how: Any) -> list[Any]:
    return run_blocking(steps(run_query(store, asked, **how)))


def cost(store: RecordStore, asked: Any, limit: int) -> tuple[list[Any], tuple[int, int, int]]:
    """What a query gives; the reads, the pairs and the bytes that it takes."""
    counters = store.context.counters
    before = counters.reads, counters.rows_read, counters.bytes_read
    found = run(store, asked, limit=limit)
    return found, (
        counters.reads - before[0],
        counters.rows_read - before[1],
        counters.bytes_read - before[2],
    )


def both_ways(store: RecordStore, asked: Any, limit: int) -> list[Any]:
    """What a query gives, which is the same both ways and costs the same, or less where a limit cuts it."""
    found, spent = cost(store, asked, limit)
    with by_cursors():
        expected, there = cost(store, asked, limit)
    assert found == expected
    assert all(map(le, spent, there)) if limit else spent == there
    return found


@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
def test_direct_pages_are_those_of_the_cursors(syntax: str) -> None:
    context, metadata = begun(), metadata_of(syntax)
    store, used = run_blocking(filled(context, metadata)), {True: 0, False: 0}

    @settings(max_examples=120, deadline=None)
    @given(st.data())
    def agree(data: st.DataObject) -> None:
        name, draw = data.draw(st.sampled_from(sorted(CONDITIONS))), data.draw
        names, number = st.sampled_from(NAMES), draw(st.sampled_from(NUMBERS))
        order, reverse = draw(st.sampled_from([(), (), ("id",), ("total",), ("customer",)])), draw(st.booleans())
        selected, limit = draw(st.sampled_from([(), ("id", "customer")])), draw(st.sampled_from([0, 0, 1, 2, 3, 5]))
        for _ in range(3):  # the third has a template
            asked = query("Order").where(CONDITIONS[name](draw(names), draw(names), number))
            asked = asked.use_indexes(*INDEXES[name]) if name in INDEXES else asked
            asked = asked.order_by(*order, reverse=reverse, in_memory=50) if order else asked
            asked = asked.select(*selected) if selected else asked
            used[isinstance(run_query(store, asked, limit=limit), DirectPage)] += 1
            found = both_ways(store, asked, limit)
            eager = run_query(store, asked, limit=limit)
            eager.expect_all()
            assert run_blocking(steps(eager)) == found
            with by_cursors():
                whole = run(store, asked)
            for place, (*_, continuation) in enumerate(found[:-1], 1):
                assert run(store, asked, resume=continuation) == whole[place:]

    agree()
    assert used[True] > used[False] // 4
    context.close()


@pytest.mark.parametrize(
    "name", ["=", "range", "in", "in and filter", "or", "and of two indexes", "filter", "filter of or"]
)
@pytest.mark.parametrize("reverse", [False, True])
def test_reads_that_do_not_bring_all_are_the_first_of_the_cursors(
    name: str, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_page, "CHUNK", 2)
    monkeypatch.setattr("recordlayer.cursor.scan.CHUNK", 2)
    context, metadata = begun(), metadata_of("proto2")
    store = run_blocking(filled(context, metadata))
    for first, number, limit in product(NAMES, NUMBERS, (0, 3)):
        asked = query("Order").where(CONDITIONS[name](first, "b", number))
        order = {"in": "customer", "in and filter": "total"}.get(name, "id")
        asked = asked.order_by(order, reverse=reverse, in_memory=50)
        both_ways(store, asked.use_indexes(*INDEXES[name]) if name in INDEXES else asked, limit)
    context.close()


@pytest.mark.parametrize("name", ["=", "or", "and of two indexes"])
def test_an_entry_without_a_record_is_named_by_both(name: str) -> None:
    context, metadata = begun(), metadata_of("proto2")
    store = run_blocking(filled(context, metadata))
    asked = query("Order").where(CONDITIONS[name]("b", "c", -3)).use_indexes(*INDEXES.get(name, ("by_customer",)))
    (key, packed, *_), *_ = run(store, asked)
    context.clear_range(store.layout.records + packed, store.layout.records + packed + b"\xff")
    seen = []
    for way in (nullcontext(), by_cursors()):
        with way, pytest.raises(errors.CorruptIndexEntry) as caught:
            run(store, asked)
        seen.append((str(caught.value), caught.value.fields))
    assert seen[0] == seen[1]
    assert seen[0][1]["primary_key"] == key
    context.close()


async def lopsided(context: Context, metadata: rl.RecordMetaData) -> RecordStore:
    """60 records of one customer, 5 of another, of few totals."""
    store = await open_store(context, metadata, b"\x02s\x00")
    order: Any = metadata.record_type("Order").message_class
    for number in range(1, 66):
        await store.save(order(id=number, customer="few" if number % 13 == 0 else "many", total=number % 7 % 3))
    return store


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("first", "snapshot"), [(1, False), (4, True), (16, False)])
def test_what_a_short_range_has_is_asked_of_the_others(
    first: int, snapshot: bool, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_page, "FEW", first)
    context, metadata = begun(), metadata_of("proto2")
    store, less = run_blocking(lopsided(context, metadata)), 0
    order: Any = metadata.record_type("Order").message_class
    for written in (False, True):
        if written:  # by the transaction that reads
            run_blocking(store.save(order(id=13, customer="many", total=2)))
            run_blocking(store.save(order(id=70, customer="few", total=1)))
            run_blocking(store.delete(39))
        for customer, total, limit in product(("few", "many"), (1, 2, 3), (0, 2, 100)):
            asked = query("Order").where(q.customer == customer, q.total == total)
            asked = asked.order_by("id", reverse=reverse).use_indexes("by_customer", "by_total")
            how: Any = {"limit": limit, "snapshot": snapshot}
            assert isinstance(run_query(store, asked, **how), DirectPage)
            before = store.context.counters.rows_read
            found = run(store, asked, **how)
            spent, before = store.context.counters.rows_read - before, store.context.counters.rows_read
            with by_cursors():
                expected = run(store, asked, **how)
                whole = run(store, asked)
            assert spent <= store.context.counters.rows_read - before
            less += spent < store.context.counters.rows_read - before
            assert [one[:-1] for one in found] == [one[:-1] for one in expected]
            assert (found[-1][1] is None) is (expected[-1][1] is None)
            for place, (*_, continuation) in enumerate(found[: len(found) - (found[-1][1] is None)], 1):
                rest = whole[min(place, limit or place) :]
                # Only whether a range has ended behind its last entry is known to those who have read it.
                assert [one[:-1] for one in run(store, asked, resume=continuation)] == [one[:-1] for one in rest]
    assert less > (8 if first > 1 else 0)
    context.close()


def test_who_asks_for_what_a_short_range_has_conflicts_with_no_more_than_that() -> None:
    metadata = metadata_of("proto2")
    order: Any = metadata.record_type("Order").message_class
    asked = query("Order").where(q.customer == "few", q.total == 2).use_indexes("by_customer", "by_total")
    world = ManualClock().world()
    engine = open_engine("memory:", world=world)

    def begin() -> Context:
        return Context(engine.begin(), world=world)

    def conflicts(**changed: Any) -> bool:
        reader, writer = begin(), begin()
        store = run_blocking(open_store(reader, metadata, b"\x02s\x00"))
        assert [record.primary_key for record in run_blocking(run_query(store, asked).batch()).values] == [(26,), (65,)]
        reader.set(b"\x03", b"")
        other = run_blocking(open_store(writer, metadata, b"\x02s\x00"))
        run_blocking(other.save(order(**changed)))
        run_blocking(writer.commit())
        try:
            run_blocking(reader.commit())
        except errors.Conflict:
            return True
        return False

    first = begin()
    run_blocking(lopsided(first, metadata))
    run_blocking(first.commit())
    assert not conflicts(id=64, customer="many", total=2)  # the range of 2 was not read as far
    assert not conflicts(id=100, customer="many", total=2)
    assert conflicts(id=65, customer="few", total=0)
    engine.close()
