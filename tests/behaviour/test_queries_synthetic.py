"""Queries for records that are not stored: joined and unnested ones. Every plan of a query gives what nested loops and
plain Python find; the one that is chosen also page by page and key by key."""

from __future__ import annotations

import random
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import concat, errors, field, q, query
from recordlayer.cursor.limits import Budget, Limits
from recordlayer.cursor.step import Stop, drain
from recordlayer.query.execute import planned
from recordlayer.query.plan.base import Run
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from tests.behaviour.conftest import Shop
from tests.support.joins import JOINS, key_of, part, rows_of
from tests.support.shop import PATH, Customer, Order, builder

ORDER, CUSTOMER = field("order"), field("customer")


def metadata_of_all() -> rl.RecordMetaData:
    made = builder().index("Order", "by_customer", field("customer")).index("Order", "by_total", field("total"))
    made.unnested("Line", "Order", parent="order", nested={"item": field("items").fan_out()})
    made.index("Line", "line_sku", concat(field("item").nest("sku"), ORDER.nest("total")))
    made.index("Line", "line_tag", concat(ORDER.nest(field("tags").fan_out()), field("item").nest("sku")))
    for kind in JOINS:
        kind.add_to(made)
        made.index(kind.name, f"name_{kind.name}", concat(CUSTOMER.nest("name"), ORDER.nest("total")))
        made.index(kind.name, f"total_{kind.name}", ORDER.nest("total"))
        made.index(kind.name, f"count_{kind.name}", rl.count(group_by=CUSTOMER.nest("name")))
    return made.build()


ALL = metadata_of_all()


def drawn(numbers: random.Random) -> Any:
    letter = lambda: numbers.choice([None, "a", "b", "c"])  # noqa: E731
    if numbers.random() < 0.4:
        return Customer(ref=numbers.choice("abc"), name=letter())
    made = Order(
        id=numbers.randrange(7),
        customer=letter(),
        total=numbers.choice([None, 0, 1, 2, 9]),
        tags=numbers.choices("ab", k=numbers.randrange(3)),
    )
    for _ in range(numbers.randrange(3)):
        made.items.add(sku=numbers.choice("ab"), price=numbers.randrange(3))
    return made


CONDITIONS: list[tuple[Any, Any]] = [
    (None, lambda row: True),
    (q.order.total >= 1, lambda row: (part(row, "order", "total") or 0) >= 1),
    (q.order.total.is_null(), lambda row: part(row, "order", "total") is None),
    (q.order.customer == "a", lambda row: part(row, "order", "customer") == "a"),
    (
        (q.order.total == 2) | (q.order.customer == "b"),
        lambda row: part(row, "order", "total") == 2 or part(row, "order", "customer") == "b",
    ),
]
OF_JOINED: list[tuple[Any, Any]] = [
    (q.customer.name == "a", lambda row: part(row, "customer", "name") == "a"),
    (q.customer.name.is_null(), lambda row: part(row, "customer", "name") is None),
    (q.customer.name.in_(["a", "c"]), lambda row: part(row, "customer", "name") in ("a", "c")),
    ((q.customer.name == "b") & (q.order.total > 0),
     lambda row: part(row, "customer", "name") == "b" and (part(row, "order", "total") or 0) > 0),
    ((q.customer.name == "b") | (q.order.total == 9),
     lambda row: part(row, "customer", "name") == "b" or part(row, "order", "total") == 9),
]  # fmt: skip
OF_LINES: list[tuple[Any, Any]] = [
    (q.item.sku == "a", lambda row: row["item"].sku == "a"),
    ((q.item.sku == "b") & (q.order.total <= 1),
     lambda row: row["item"].sku == "b" and part(row, "order", "total") in (0, 1)),
    (q.item.price < 2, lambda row: row["item"].price < 2),
    (q.order.tags.one_of_them() == "a", lambda row: "a" in row["order"].tags),
]  # fmt: skip


def all_of(core: Any, plan: Any) -> list[Any]:
    return [one.primary_key[1:] for one in run_blocking(drain(plan.execute(Run(store=core))))]


def squeezed(core: Any, plan: Any) -> list[Any]:
    """In pages that may read one pair each, and in pages of one record."""

    async def by_keys() -> list[Any]:
        found: list[Any] = []
        place = None
        for _ in range(2_000):
            budget = Budget(core.context.world.clock, Limits(keys=1))
            cursor = plan.execute(Run(store=core, continuation=place, budget=budget))
            while True:
                batch = await cursor.batch()
                found += [one.primary_key[1:] for one in batch.values]
                if batch.stop is not None:
                    break
            if batch.stop is Stop.EXHAUSTED:
                return found
            assert batch.end is not None
            place = batch.end
        raise AssertionError("it does not come to its end")

    async def by_records() -> list[Any]:
        found: list[Any] = []
        place = None
        while (step := await plan.execute(Run(store=core, continuation=place)).next()).has_value:
            found.append(step.value.primary_key[1:])
            place = step.continuation
        return found

    found = run_blocking(by_keys())
    assert run_blocking(by_records()) == found, plan.line
    return found


@pytest.mark.parametrize("name", ["Line", *(kind.name for kind in JOINS)])
def test_every_plan_gives_what_nested_loops_give(db: Any, name: str) -> None:
    numbers = random.Random(name)
    shop = Shop(db, ALL)
    records = list({key_of(one): one for one in (drawn(numbers) for _ in range(16))}.values())
    shop.save(*records)
    rows = rows_of(name, records)
    used: set[str] = set()
    for condition, decide in [*CONDITIONS, *(OF_LINES if name == "Line" else OF_JOINED)]:
        expected = sorted((key for key, row in rows.items() if decide(row)), key=lambda key: pack(key))
        with db.transaction() as tx:  # one for each: they live five seconds
            store = tx.store(ALL, path=PATH)
            core = store.core
            for sort, reverse in ((None, False), (q.order.total, False), (q.order.total, True)):
                asked = query(name) if condition is None else query(name).where(condition)
                if sort is not None:
                    asked = asked.order_by(sort, reverse=reverse, in_memory=3)
                found = planned(core, asked)
                assert squeezed(core, found.plan) == all_of(core, found.plan), found.plan.line
                for plan in (found.plan, *found.others):
                    keys = all_of(core, plan)
                    assert sorted(keys, key=lambda key: pack(key)) == expected, (plan.line, str(asked))
                    if sort is not None:
                        totals = [part(rows[key], "order", "total") for key in keys]
                        in_order = sorted(totals, key=lambda one: (one is not None, one or 0), reverse=reverse)
                        assert totals == in_order, plan.line
                    used.add(plan.line.partition("(")[0])
            assert store.count(query(name) if condition is None else query(name).where(condition)) == len(expected)
    assert {"Filter", "FetchParts", "Make", "Sort"} <= used
    shop.check()


SALES = (
    builder()
    .index("Order", "by_customer", field("customer"))
    .joined("Sale", {"order": "Order", "customer": "Customer"}, on=[("order.customer", "customer.ref")])
    .unnested("Line", "Order", parent="order", nested={"item": field("items").fan_out()})
    .index("Sale", "by_name", concat(CUSTOMER.nest("name"), ORDER.nest("total")))
    .build()
)


def test_sales_are_asked_for_like_records(db: Any) -> None:
    shop = Shop(db, SALES)
    shop.save(*(Order(id=one, customer="ab"[one % 2], total=one) for one in range(6)))
    shop.save(Customer(ref="a", name="ana"), Customer(ref="b", name="bo"))
    with db.transaction() as tx:
        store = tx.store(SALES, path=PATH)
        of_ana = query("Sale").where(q.customer.name == "ana", q.order.total > 0).order_by(q.order.total, reverse=True)
        page = store.query(of_ana, limit=1)
        (first,) = list(page)
        assert (first.order.id, first.customer.ref) == (4, "a")
        assert [one.order.id for one in store.query(of_ana, resume=page.continuation)] == [2]
        assert [node.kind for node in (store.explain(of_ana).root,)] == ["FetchSynthetic"]
        covered = of_ana.select(q.customer.name, q.order.total)
        reads = tx.context.counters.reads
        assert [(one.customer.name, one.order.total) for one in store.query(covered)] == [("ana", 4), ("ana", 2)]
        assert tx.context.counters.reads - reads == 1
        assert store.explain(query("Sale").where(q.order.customer == "b")).line == (
            "Make(Fetch(Scan(by_customer[customer = 'b'])), Sale)"
        )
        by_name = query("Sale").group_by(q.customer.name).aggregate(spent=rl.agg.sum(q.order.total))
        assert [tuple(row) for row in store.query(by_name)] == [("ana", 6), ("bo", 9)]
        with pytest.raises(errors.NoPlan, match="sort"):
            store.query(query("Line").order_by(q.item.sku)).all()
        with pytest.raises(errors.QueryError, match="by themselves"):
            store.query(query("Sale", "Order")).all()
        with pytest.raises(errors.UnknownField):
            store.query(query("Sale").where(q.customer.nobody == 1)).all()
    shop.check()
