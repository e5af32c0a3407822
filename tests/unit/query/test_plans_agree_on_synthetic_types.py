"""Every plan of a random query for joined or unnested records gives what nested loops and a function on dictionaries
give, whole, in pages of one record and in pages of one key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import concat, field
from recordlayer.cursor.limits import Budget, Limits
from recordlayer.cursor.step import Stop, drain
from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.query.execute import planned
from recordlayer.query.plan.base import Run
from recordlayer.store.check import check
from recordlayer.store.open import open_store
from recordlayer.testing.clock import ManualClock
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from tests.support.conditions import both, compare_with, either, is_null, negated, not_null, one_of
from tests.support.joins import JOINS, part, rows_of
from tests.support.shop import Customer, Order, builder

ORDER, CUSTOMER, ITEM = field("order"), field("customer"), field("item")
LETTERS, NUMBERS = ["a", "b"], [0, 1, 2]
CHOSEN = [one for one in JOINS if one.name in ("Inner", "Full")]


def metadata_of_all() -> rl.RecordMetaData:
    made = builder().index("Order", "by_customer", field("customer")).index("Order", "by_total", field("total"))
    made.unnested("Line", "Order", parent="order", nested={"item": field("items").fan_out()})
    made.index("Line", "line_sku", ITEM.nest("sku")).index("Line", "line_total", ORDER.nest("total"))
    made.index("Line", "line_both", concat(ITEM.nest("sku"), ORDER.nest("total")))
    for kind in CHOSEN:
        kind.add_to(made)
        made.index(kind.name, f"name_{kind.name}", CUSTOMER.nest("name"))
        made.index(kind.name, f"total_{kind.name}", ORDER.nest("total"))
        made.index(kind.name, f"both_{kind.name}", concat(CUSTOMER.nest("name"), ORDER.nest("total")))
    return made.build()


ALL = metadata_of_all()
FIELDS = {
    "Line": ["order.total", "order.customer", "item.sku"],
    "Inner": ["order.total", "order.customer", "customer.name"],
    "Full": ["order.total", "order.customer", "customer.name"],
}


def conditions(name: str) -> st.SearchStrategy[Any]:
    leaves = [
        make(path, NUMBERS if path == "order.total" else LETTERS)
        for path in FIELDS[name]
        for make in (compare_with, compare_with, one_of)
    ]
    nulls = [st.builds(make, st.just(path)) for path in FIELDS[name] for make in (is_null, not_null)]
    return st.recursive(
        st.one_of(*leaves, *nulls),
        lambda inner: st.one_of(
            st.builds(both, inner, inner), st.builds(either, inner, inner), st.builds(negated, inner)
        ),
        max_leaves=4,
    )


LETTER = st.none() | st.sampled_from(LETTERS)
ITEMS = st.lists(st.builds(lambda sku: {"sku": sku}, st.sampled_from(LETTERS)), max_size=2)
ORDERS = st.lists(st.tuples(LETTER, st.none() | st.sampled_from(NUMBERS), ITEMS), max_size=4)
CUSTOMERS = st.lists(st.tuples(st.sampled_from(LETTERS), LETTER), max_size=2, unique_by=lambda one: one[0])


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=25)
@given(data=st.data())
def test_every_plan_gives_what_nested_loops_give(name: str, data: st.DataObject) -> None:
    records: list[Any] = [
        Order(id=number, customer=customer, total=total, items=items)
        for number, (customer, total, items) in enumerate(data.draw(ORDERS, label="orders"), 1)
    ]
    records += [Customer(ref=ref, name=own) for ref, own in data.draw(CUSTOMERS, label="customers")]
    condition = data.draw(conditions(name), label="condition")
    sort = data.draw(st.sampled_from([(), (), ("order.total",)]), label="sort")
    asked = rl.query(name).where(condition.predicate)
    if sort:
        asked = asked.order_by(rl.q.order.total, in_memory=2)
    rows = {
        key: {path: part(row, *path.split(".")) for path in FIELDS[name]} for key, row in rows_of(name, records).items()
    }
    expected = sorted([key for key, row in rows.items() if condition.decide(row) is True], key=pack)
    world = ManualClock().world()  # a transaction that stays young however long a busy machine takes
    engine = open_engine("memory:", world=world)
    context = Context(engine.begin(), world=world)

    async def compare() -> None:
        store = await open_store(context, ALL, b"\x02s\x00")
        for record in records:
            await store.save(record)
        found = planned(store, asked)
        for plan in (found.plan, *found.others):
            keys = [record.primary_key[1:] for record in await drain(plan.execute(Run(store=store)))]
            assert sorted(keys, key=pack) == expected, plan.line
            if sort:
                totals = [rows[key]["order.total"] for key in keys]
                assert totals == sorted(totals, key=lambda one: (one is not None, one or 0)), plan.line
            assert await paged(store, plan) == keys, plan.line
            assert await squeezed(store, plan) == keys, plan.line
        assert await check(store) == []

    async def paged(store: Any, plan: Any) -> list[Any]:
        found: list[Any] = []
        place = None
        while (step := await plan.execute(Run(store=store, continuation=place, expect=1)).next()).has_value:
            found.append(step.value.primary_key[1:])
            place = step.continuation
        return found

    async def squeezed(store: Any, plan: Any) -> list[Any]:
        found: list[Any] = []
        place = None
        for _ in range(500):
            cursor = plan.execute(Run(store=store, continuation=place, budget=Budget(world.clock, Limits(keys=1))))
            while (batch := await cursor.batch()).stop is None:
                found += [record.primary_key[1:] for record in batch.values]
            found += [record.primary_key[1:] for record in batch.values]
            if batch.stop is Stop.EXHAUSTED:
                return found
            place = batch.end
        raise AssertionError("it does not come to its end")

    run_blocking(compare())
    context.close()
    engine.close()


def test_entries_of_synthetic_records_are_merged_before_their_parts_are_read() -> None:
    from recordlayer.index.state import IndexState
    from recordlayer.query.planner import plan

    def line(asked: Any) -> str:
        return plan(asked, ALL, lambda index: IndexState.READABLE).plan.line

    name, total = rl.q.customer.name == "a", rl.q.order.total == 1
    both_hidden = rl.query("Inner").hide_indexes("both_Inner", "by_total")
    assert line(both_hidden.where(name | total)) == (
        "FetchParts(Union(Scan(name_Inner[customer.name = 'a']), Scan(total_Inner[order.total = 1]) by primary key))"
    )
    assert line(both_hidden.where(name, total)) == (
        "FetchParts(Intersect(Scan(name_Inner[customer.name = 'a']), Scan(total_Inner[order.total = 1]) "
        "by primary key))"
    )
