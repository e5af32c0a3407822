"""Groups of records: what comes out, nulls, from which order, in how much memory, and page by page."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import message_factory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import agg, errors, field, param, q, query
from recordlayer.testing.clock import ManualClock
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Order, builder, shop_file

ORDERS = [
    Order(
        id=number,
        customer=("ana", "bo", "cy")[number % 3] if number % 7 else None,
        total=number // 2 if number % 5 else None,
        ratio=number / 4,
        weight=number / 8,
        tags=["a", "b"][: number % 3],
        paid=number % 2 == 0,
        address={"city": ("Oslo", "Ghent")[number % 2]} if number % 4 else None,
    )
    for number in range(1, 31)
]
EVERYTHING = {
    "orders": agg.count(),
    "priced": agg.count("total"),
    "spent": agg.sum("total"),
    "least": agg.min("total"),
    "most": agg.max("ratio"),
    "mean": agg.avg("total"),
}


@pytest.fixture
def orders(shop: Shop) -> Shop:
    shop.save(*ORDERS)
    return shop


def value(order: Any, name: str) -> Any:
    for step in name.split(".")[:-1]:
        order = getattr(order, step) if order.HasField(step) else Order().address
    name = name.rsplit(".", 1)[-1]
    return getattr(order, name) if order.HasField(name) else None


def expected(columns: list[str], keep: Callable[[Any], bool] = lambda order: True) -> list[tuple[Any, ...]]:
    """The same groups by a plain loop."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for order in ORDERS:
        if keep(order):
            groups.setdefault(tuple(value(order, name) for name in columns), []).append(order)
    rows = []
    for key in sorted(groups, key=lambda key: [(one is not None, one) for one in key]):
        totals = [order.total for order in groups[key] if order.HasField("total")]
        ratios = [order.ratio for order in groups[key]]
        rows.append(
            (
                *key,
                len(groups[key]),
                len(totals),
                sum(totals) if totals else None,
                min(totals, default=None),
                max(ratios),
                sum(totals) / len(totals) if totals else None,
            )
        )
    return rows


def rows(shop: Shop, asked: Any, **how: Any) -> list[Any]:
    with shop.db.transaction() as tx:
        return list(tx.store(shop.metadata, path=shop.path).query(asked, **how).all())


def line(shop: Shop, asked: Any) -> str:
    with shop.db.transaction() as tx:
        return str(tx.store(shop.metadata, path=shop.path).explain(asked).line)


QUERIES = {
    "streaming over records": query("Order").group_by("customer").aggregate(**EVERYTHING),
    "streaming over entries": query("Order").group_by("customer").aggregate(spent=agg.sum("total"), n=agg.count()),
    "columns in another order": query("Order").group_by("total", "customer").aggregate(n=agg.count(), m=agg.max("id")),
    "in memory": query("Order").group_by("paid", in_memory=10).aggregate(**EVERYTHING),
    "in little memory": query("Order").group_by("ratio", in_memory=4).aggregate(**EVERYTHING),
    "nested": query("Order").group_by("address.city").aggregate(n=agg.count()),
    "having": query("Order")
    .group_by("customer")
    .aggregate(n=agg.count(), s=agg.sum("total"))
    .having(q.n > 5, q.s > 20),
    "distinct": query("Order").select_distinct("customer"),
    "distinct in memory": query("Order").select_distinct("paid", "weight", in_memory=3),
    "a total": query("Order").where(q.id > 3).aggregate(**EVERYTHING),
    "a total of nothing": query("Order").where(q.id > 300).aggregate(**EVERYTHING),
    "of a condition": query("Order").where(q.customer == "ana").group_by("total").aggregate(n=agg.count()),
    "of a union": query("Order").where(q.customer.in_(["ana", "bo"])).group_by("total").aggregate(n=agg.count()),
}


# -- what comes out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [["customer"], ["address.city"], ["customer", "total"]])
def test_groups_are_those_of_a_plain_loop_whatever_order_they_come_from(orders: Shop, columns: list[str]) -> None:
    streaming = query("Order").group_by(*columns).aggregate(**EVERYTHING)
    in_memory = query("Order").group_by(*columns, "paid", in_memory=100).aggregate(**EVERYTHING)
    assert rows(orders, streaming) == expected(columns)
    assert rows(orders, in_memory) == expected([*columns, "paid"])
    kept = query("Order").where(q.id > 9).group_by(*columns).aggregate(**EVERYTHING)
    assert rows(orders, kept) == expected(columns, lambda order: order.id > 9)


def test_one_row_over_all_records_is_there_also_if_there_are_none(orders: Shop) -> None:
    assert rows(orders, query("Order").aggregate(**EVERYTHING)) == expected([])
    (nothing,) = rows(orders, QUERIES["a total of nothing"])
    assert nothing == (0, 0, None, None, None, None)
    grouped = query("Order").where(q.id > 300).group_by("customer").aggregate(n=agg.count())
    assert rows(orders, grouped) == []


def test_a_row_is_read_by_name_by_place_and_as_a_whole(orders: Shop) -> None:
    first = rows(orders, QUERIES["streaming over entries"])[1]
    assert (first.customer, first["n"], first[0]) == ("ana", 9, "ana")
    name, spent, number = first
    assert first.as_dict() == {"customer": name, "spent": spent, "n": number}
    assert repr(first) == f"Row(customer='ana', spent={spent}, n=9)"
    assert hash(first) == hash(tuple(first))
    assert len(first) == 3
    assert pickle.loads(pickle.dumps(first)) == copy.deepcopy(first) == first
    with pytest.raises(AttributeError, match="it has customer, spent, n"):
        _ = first.nothing
    with pytest.raises(KeyError):
        _ = first["nothing"]
    nested = rows(orders, QUERIES["nested"])
    assert [row["address.city"] for row in nested] == [None, "Ghent", "Oslo"]


def test_extremes_are_those_in_the_order_of_an_index(db: Any) -> None:
    shop = Shop(db, builder().build())
    nan = float("nan")
    shop.save(
        Order(id=1, ratio=nan, weight=1.5, note="b", body=b"\xff", customer="x"),
        Order(id=2, ratio=-0.0, weight=0.1, note="B", body=b"", paid=False),
        Order(id=3, ratio=0.0, note="\u00e9", paid=True),
    )
    asked = query("Order").aggregate(
        high=agg.max("ratio"),
        low=agg.min("ratio"),
        light=agg.min("weight"),
        first=agg.min("note"),
        last=agg.max(q.note),
        body=agg.max("body"),
        paid=agg.max("paid"),
        mean=agg.avg("weight"),
    )
    (row,) = rows(shop, asked)
    assert row.high != row.high
    assert str(row.low) == "-0.0"
    assert row.light == pytest.approx(0.1)
    assert (row.first, row.last, row.body, row.paid) == ("B", "\u00e9", b"\xff", True)
    assert row.mean == pytest.approx(0.8)
    whole = query("Order").group_by("ratio", in_memory=10).aggregate(n=agg.count())
    assert [str(row.ratio) for row in rows(shop, whole)] == ["-0.0", "0.0", "nan"]
    shop.check()


def test_sums_of_whole_numbers_are_exact(db: Any) -> None:
    shop = Shop(db, builder().build())
    shop.save(*(Order(id=number, total=(1 << 63) - 1) for number in range(5)))
    assert rows(shop, query("Order").aggregate(sum=agg.sum("total"))) == [(5 * ((1 << 63) - 1),)]
    resumed = paged(shop, query("Order").group_by("customer", in_memory=1).aggregate(sum=agg.sum("total")), keys=1)
    assert resumed == [(None, 5 * ((1 << 63) - 1))]


def test_fields_without_presence_are_always_set(db: Any) -> None:
    file = shop_file("proto3")
    order: Any = message_factory.GetMessageClass(file.message_types_by_name["Order"])
    metadata = (
        builder(file)
        .index("Order", "by_total", field("total"))
        .index("Order", "by_city", field("address").nest("city"))
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(
        order(id=1, total=0, address={"city": ""}),
        order(id=2, total=-1),
        order(id=3, address={"city": "Oslo"}),
        order(id=4, total=0, address={"zip": 3}),
    )
    by_total = query("Order").group_by("total").aggregate(n=agg.count("total"), s=agg.sum("total"), x=agg.max("id"))
    assert "Scan(by_total" in line(shop, by_total)
    assert rows(shop, by_total) == [(0, 3, 0, 4), (-1, 1, -1, 2)]
    by_city = query("Order").group_by("address.city").aggregate(n=agg.count())
    assert "Scan(by_city" in line(shop, by_city)
    assert rows(shop, by_city) == [(None, 3), ("Oslo", 1)]


def test_17_5_records_of_several_types_with_equal_keys_are_all_in_their_groups(db: Any) -> None:
    metadata = (
        rl.RecordMetaDataBuilder(shop_file("proto2"))
        .primary_key("Order", rl.concat(rl.record_type(), "id"))
        .primary_key("Customer", rl.concat(rl.record_type(), "id"))
        .build()
    )
    made = {
        name: message_factory.GetMessageClass(metadata.record_type(name).descriptor) for name in ("Order", "Customer")
    }
    shop = Shop(db, metadata)
    shop.save(made["Order"](id=1), made["Customer"](id=1), made["Order"](id=2))
    asked = query("Order", "Customer").group_by("id", in_memory=10).aggregate(n=agg.count())
    assert rows(shop, asked) == [(1, 2), (2, 1)]
    with pytest.raises(errors.UnknownField):
        rows(shop, query("Order", "Customer").group_by("total", in_memory=10).aggregate(n=agg.count()))


# -- which plans -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("streaming over entries", "Group(Cover(Scan(by_customer_and_total[all])) by customer"),
        ("streaming over records", "Group(Fetch(Scan(by_customer"),
        ("columns in another order", "Group(Cover(Scan(by_customer_and_total[all])) by total, customer"),
        ("in memory", "GroupInMemory(Only(Scan(records[all]), Order) by paid"),
        ("having", "Having(Group(Cover("),
        ("distinct", "Groups(orders_per_customer[all] by customer)"),
        ("distinct in memory", "DistinctInMemory("),
        ("of a condition", "Group(Cover(Scan(by_customer_and_total[customer = 'ana'])) by total"),
        ("of a union", "Group(Fetch(Union("),
    ],
)
def test_groups_stream_by_where_an_index_has_them_together(orders: Shop, name: str, start: str) -> None:
    assert line(orders, QUERIES[name]).startswith(start)


def test_groups_without_an_order_and_without_memory_are_refused_and_told_what_would_help(orders: Shop) -> None:
    with pytest.raises(errors.NoPlan) as raised:
        rows(orders, query("Order").where(q.paid == True).group_by("ratio").aggregate(n=agg.count()))  # noqa: E712
    assert 'concat(field("paid"), field("ratio"))' in raised.value.hint
    assert "in_memory" in raised.value.hint


def test_streaming_over_entries_reads_no_record(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        before = tx.counters.reads
        store.query(QUERIES["streaming over entries"]).all()
        assert tx.counters.reads - before == 1


def test_extremes_are_read_where_an_index_ends_and_not_in_between(orders: Shop) -> None:
    """Of each group its first and its last entry, however many lie between them."""
    orders.save(*[Order(id=100 + number, customer="ana", total=number + 1000) for number in range(40)])
    whole = query("Order").aggregate(least=agg.min("total"), most=agg.max("total"))
    by_customer = query("Order").use_indexes("by_customer_and_total").group_by("customer")
    by_customer = by_customer.aggregate(least=agg.min("total"), most=agg.max("total"))
    for asked, groups in ((whole, 1), (by_customer, len({order.customer for order in ORDERS}))):
        with orders.db.transaction() as tx:
            store = tx.store(SHOP, path=PATH)
            before = tx.counters.reads, tx.counters.rows_read
            found = [tuple(row) for row in store.query(asked).all()]
            read = tx.counters.reads - before[0], tx.counters.rows_read - before[1]
        assert "ends of by_" in line(orders, asked)
        assert len(found) == groups
        assert read[1] <= 3 * groups < 40
        assert read[0] <= 3 * groups + 1
        assert any(row[-1] == 1039 for row in found)


def test_explaining_and_analyzing_groups(orders: Shop, golden_text: Callable[[str, str], None]) -> None:
    clock = ManualClock()
    with rl.open("memory:", world=clock.world()) as db:
        shop = Shop(db, SHOP)
        shop.save(*ORDERS)
        parts = []
        for name in ("streaming over records", "in little memory", "having", "distinct", "a total"):
            with db.transaction() as tx:
                explanation = tx.store(SHOP, path=PATH).analyze(QUERIES[name])
            parts.append(f"{explanation.query}\n{explanation.tree}\n")
    golden_text("analyze_groups", "\n".join(parts))


# -- page by page ----------------------------------------------------------------------------------------------------


def paged(shop: Shop, asked: Any, *, limit: int | None = None, **limits: Any) -> list[Any]:
    """Page by page, each in a transaction of its own."""
    found: list[Any] = []
    resume = None
    for _ in range(3_000):
        with shop.db.transaction() as tx:
            store = tx.store(shop.metadata, path=shop.path)
            page = store.query(asked, resume=resume, limit=limit, limits=rl.Limits(**limits))
            part = page.all()
            found += part
            resume = page.continuation
        if resume is None:
            return found
        assert limit is None or len(part) <= limit
    raise AssertionError("it does not come to its end")


@pytest.mark.parametrize("asked", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize(
    "how",
    [{"limit": 1}, {"keys": 1}, {"bytes": 1}, {"limit": 1, "keys": 3}, {"time": timedelta(0)}],
    ids=str,
)
def test_17_12_groups_stop_and_resume_anywhere_also_within_a_group(orders: Shop, asked: Any, how: Any) -> None:
    assert paged(orders, asked, **how) == rows(orders, asked)


@pytest.mark.parametrize("asked", QUERIES.values(), ids=QUERIES)
def test_17_12_every_continuation_of_a_page_gives_the_rest(orders: Shop, asked: Any) -> None:
    whole = rows(orders, asked)
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        page = store.query(asked)
        for number, _ in enumerate(page, 1):
            resume = page.continuation
            rest = [] if resume is None else store.query(asked, resume=resume).all()
            assert rest == whole[number:]


@pytest.mark.parametrize("memory", [1, 300, 600, 1_200, 100_000])
def test_memory_in_bytes_bounds_what_is_held_and_every_group_comes(orders: Shop, memory: int) -> None:
    for name in ("in memory", "in little memory", "distinct in memory"):
        asked = QUERIES[name]
        whole = rows(orders, asked)
        with orders.db.transaction() as tx:
            store = tx.store(SHOP, path=PATH)
            assert store.query(asked.within(memory=memory)).all() == whole
            most = store.analyze(asked.within(memory=memory)).root
        passes = _runs(most)
        assert passes >= (len(whole) if memory == 1 else 1)
        assert paged(orders, asked.within(memory=memory), keys=2) == whole


def _runs(node: Any) -> int:
    return max([node.actual.runs, *[_runs(child) for child in node.children]])


def test_what_a_continuation_holds_is_bounded_by_memory(db: Any) -> None:
    shop = Shop(db, builder().build())
    shop.save(*(Order(id=number, note=f"{number * 7919 % 200:03} " + "x" * 100) for number in range(200)))
    asked = query("Order").group_by("note", in_memory=1_000).aggregate(n=agg.count(), most=agg.max("note"))
    sizes, found, resume = [], [], None
    while True:
        with db.transaction() as tx:
            store = tx.store(shop.metadata, path=PATH)
            page = store.query(asked.within(memory=8_000), resume=resume, limits=rl.Limits(keys=50))
            found += page.all()
            resume = page.continuation
        if resume is None:
            break
        sizes.append(len(resume))
    assert [row.n for row in found] == [1] * 200
    assert max(sizes) < 12_000
    shop.check()


def test_a_budget_refuses_groups_that_are_expected_to_cost_more(orders: Shop) -> None:
    asked = QUERIES["in memory"].within(keys=100)
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        with pytest.raises(errors.OverBudget, match="by_paid"):
            store.query(asked, limit=1)
        with pytest.raises(errors.BudgetSpent):
            store.query(QUERIES["in memory"], limits=rl.Limits(keys=5, fail=True)).all()


def test_a_continuation_of_groups_resumes_no_other_query(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        page = store.query(QUERIES["distinct"], limit=1)
        page.all()
        others = [query("Order"), QUERIES["having"], query("Order").select_distinct("customer", "total")]
        for other in others:
            with pytest.raises(errors.BadContinuation):
                store.query(other, resume=page.continuation)
        more = query("Order").select_distinct("customer", in_memory=9).within(memory=99)
        assert len(store.query(more, resume=page.continuation).all()) == 3, "budgets make no difference"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_place_that_was_made_up_is_refused_or_harmless(data: st.DataObject) -> None:
    from recordlayer.cursor.gather import Gather, Gathering
    from recordlayer.cursor.step import drain
    from recordlayer.cursor.transform import ListCursor
    from recordlayer.waiting.drivers import run_blocking

    noise = data.draw(st.binary(max_size=30))
    gathering = Gathering(key=bytes, initial=(0,), fold=lambda state, one: (state[0] + 1,), size=2)
    try:
        cursor = Gather(lambda place: ListCursor([b"a", b"b", b"c"], place), gathering, noise)
        found = run_blocking(drain(cursor))
    except errors.BadContinuation:
        return
    assert all(isinstance(key, bytes) for key, _ in found)


# -- wrong use -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: query("Order").group_by(),
        lambda: query("Order").aggregate(),
        lambda: query("Order").select_distinct(),
        lambda: query("Order").order_by("total").group_by("total"),
        lambda: query("Order").select("total").group_by("total"),
        lambda: query("Order").group_by(q.tags.one_of_them()),
        lambda: query("Order").group_by("total", in_memory=-1),
        lambda: query("Order").group_by("total").aggregate(total=agg.count()),
        lambda: query("Order").group_by("total").aggregate(n="count"),
        lambda: query("Order").group_by("total").aggregate(n=agg.count()).having(q.customer == "x"),
        lambda: query("Order").group_by("total").aggregate(n=agg.count()).having(q.n.one_of_them() == 3),
        lambda: query("Order").group_by("total").aggregate(n=agg.count()).having(True),
        lambda: agg.sum(q.tags.one_of_them()),
        lambda: agg.sum(7),
    ],
)
def test_what_cannot_be_grouped_is_refused_when_it_is_written(wrong: Any) -> None:
    with pytest.raises((errors.UsageError, errors.QueryError)):
        wrong()


@pytest.mark.parametrize(
    "asked",
    [
        query("Order").group_by("customer").aggregate(s=agg.sum("note")),
        query("Order").group_by("customer").aggregate(s=agg.avg("status")),
        query("Order").group_by("nothing").aggregate(n=agg.count()),
        query("Order").group_by("address").aggregate(n=agg.count()),
        query("Order").group_by("tags").aggregate(n=agg.count()),
        query("Order").group_by("customer").aggregate(m=agg.max("items")),
        query("Order").group_by("customer").aggregate(n=agg.count()).having(q.n > param("least")),
    ],
    ids=str,
)
def test_what_does_not_fit_the_metadata_is_refused_before_anything_is_read(orders: Shop, asked: Any) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        before = tx.counters.reads
        with pytest.raises(errors.RecordLayerError):
            store.query(asked)
        assert tx.counters.reads == before


def test_a_having_of_another_kind_is_refused(orders: Shop) -> None:
    asked = query("Order").group_by("customer").aggregate(n=agg.count()).having(q.n > "many")
    with pytest.raises(errors.WrongType):
        rows(orders, asked)


def test_conditions_on_groups_have_three_values(orders: Shop) -> None:
    by = query("Order").group_by("customer").aggregate(n=agg.count(), s=agg.sum("total"))
    everything = rows(orders, by)
    tests: list[tuple[Any, Callable[[Any], bool]]] = [
        (q.customer == "ana", lambda row: row.customer == "ana"),
        (~(q.customer == "ana"), lambda row: row.customer not in (None, "ana")),
        (q.customer.is_null(), lambda row: row.customer is None),
        (q.customer.not_null() & (q.n >= 8), lambda row: row.customer is not None and row.n >= 8),
        ((q.customer == "bo") | (q.n < 6), lambda row: row.customer == "bo" or row.n < 6),
        (q.customer.in_(["bo", "cy"]), lambda row: row.customer in ("bo", "cy")),
        (q.customer.like("%o"), lambda row: row.customer == "bo"),
        (q.customer.starts_with("c"), lambda row: row.customer == "cy"),
        (q.customer.is_distinct_from("bo"), lambda row: row.customer != "bo"),
        (q.customer.is_not_distinct_from(None), lambda row: row.customer is None),
        (q.s.between(40, 70), lambda row: 40 <= row.s <= 70),
    ]
    for condition, keep in tests:
        assert rows(orders, by.having(condition)) == [row for row in everything if keep(row)], str(condition)


def test_groups_are_bound_checked_and_counted_by_type_as_queries_are(orders: Shop) -> None:
    asked = query("Order").where(q.customer == param("who")).group_by("total").aggregate(n=agg.count())
    assert asked.parameters == ("who",)
    assert rows(orders, asked.bind(who="ana")) == rows(orders, QUERIES["of a condition"])
    assert asked.check(SHOP) is asked
    with pytest.raises(errors.WrongType):
        query("Order").group_by("customer").aggregate(s=agg.sum("note")).check(SHOP)
    with orders.db.transaction() as tx, pytest.raises(errors.WrongType):
        tx.store(SHOP, path=PATH).count(asked.bind(who="ana"))
