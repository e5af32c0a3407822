"""Groups from the indexes that keep them are those of the records, whichever plan gives them, and page by page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import agg, field, q, query
from recordlayer.cursor.limits import Budget, Limits
from recordlayer.cursor.step import Stop, drain
from recordlayer.index.state import IndexState
from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.metadata import Index, definitions
from recordlayer.query.execute import planned
from recordlayer.query.plan.base import Run
from recordlayer.query.rules.grouping import plan_groups
from recordlayer.store.open import open_store
from recordlayer.store.store import RecordStore
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.support.shop import shop_file

BY_BOTH = rl.concat("customer", "note")


def metadata_of(syntax: str) -> rl.RecordMetaData:
    return (
        rl.RecordMetaDataBuilder(shop_file(syntax))
        .primary_key("Order", rl.concat(rl.record_type(), "id"))
        .primary_key("Customer", rl.concat(rl.record_type(), "id"))
        .index("Order", "orders", rl.count())
        .index("Order", "per_both", rl.count(group_by=BY_BOTH))
        .index("Order", "set_per_both", definitions.count_not_null("total", group_by=BY_BOTH))
        .index("Order", "sum_per_both", rl.sum_of("total", group_by=BY_BOTH, clear_when_zero=True))
        .index("Order", "most_per_both", definitions.permuted_max("total", group_by=BY_BOTH, permuted=0))
        .index("Order", "least_per_both", definitions.permuted_min("total", group_by=BY_BOTH, permuted=0))
        .index("Order", "most_of_customer", definitions.permuted_max("total", group_by=BY_BOTH, permuted=1))
        .index("Order", "least_note", definitions.permuted_min("note", group_by=field("customer"), permuted=0))
        .index("Order", "by_customer_total", rl.concat("customer", "total"))
        .index("Order", "by_both_total", rl.concat("customer", "note", "total"))
        .index("Order", "by_note_customer", rl.concat("note", "customer"))
        .index("Order", "by_total", field("total"))
        .index("Order", "by_note", field("note"))
        .index("Order", "per_customer", rl.count(group_by="customer", clear_when_zero=True))
        .index(("Order", "Customer"), "all", rl.count(group_by=rl.record_type()))
        .index("Order", "by_customer", field("customer"))
        .build()
    )


METADATA = {syntax: metadata_of(syntax) for syntax in ("proto2", "proto3")}
ALL = {
    "n": agg.count(),
    "priced": agg.count("total"),
    "spent": agg.sum("total"),
    "mean": agg.avg("total"),
    "most": agg.max("total"),
}
EXTREMES = {"least": agg.min("total"), "most": agg.max("total")}
NOTES = {"first": agg.min("note"), "last": agg.max("note")}
WORKED_OUT: dict[str, dict[str, Any]] = {
    "all": ALL,
    "extremes": EXTREMES,
    "least": {"least": EXTREMES["least"]},
    "most and number": {"n": ALL["n"], "most": EXTREMES["most"]},
    "notes": NOTES,
    "nothing": {},
}
ORDER = query("Order")
ASKED: dict[str, tuple[Any, Any, tuple[str, ...]]] = {
    "by both": (ORDER.group_by("customer", "note", in_memory=100), lambda row: True, ("customer", "note")),
    "turned round": (ORDER.group_by("note", "customer", in_memory=100), lambda row: True, ("note", "customer")),
    "rolled up": (ORDER.group_by("customer", in_memory=100), lambda row: True, ("customer",)),
    "of one": (
        ORDER.where(q.customer == "a").group_by("note", in_memory=100),
        lambda row: row["customer"] == "a",
        ("note",),
    ),
    "from one on": (
        ORDER.where(q.customer > "a").group_by("customer", in_memory=100),
        lambda row: row["customer"] is not None and row["customer"] > "a",
        ("customer",),
    ),
    "of some": (
        ORDER.where(q.customer.in_(["b", "a"])).group_by("customer", "note", in_memory=100),
        lambda row: row["customer"] in ("a", "b"),
        ("customer", "note"),
    ),
    "of one it is": (
        ORDER.where(q.customer == "a").group_by("customer", in_memory=100),
        lambda row: row["customer"] == "a",
        ("customer",),
    ),
    "by note": (ORDER.group_by("note", in_memory=100), lambda row: True, ("note",)),
    "of one from 1 on": (
        ORDER.where(q.customer == "a", q.total >= 1).group_by("customer", in_memory=100),
        lambda row: row["customer"] == "a" and row["total"] is not None and row["total"] >= 1,
        ("customer",),
    ),
    "in some": (ORDER.where(q.customer.in_(["b", "a"])), lambda row: row["customer"] in ("a", "b"), ()),
    "from 1 on": (ORDER.where(q.total >= 1), lambda row: row["total"] is not None and row["total"] >= 1, ()),
    "in all": (ORDER, lambda row: True, ()),
    "in all of one": (ORDER.where(q.customer == "b"), lambda row: row["customer"] == "b", ()),
}


def rows_of(presence: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    missing = st.none() if presence else st.nothing()
    row = st.fixed_dictionaries(
        {
            "customer": missing | st.sampled_from(["", "a", "b"]),
            "note": missing | st.sampled_from(["", "x", "y"]),
            "total": missing | st.sampled_from([-2, 0, 1, 5]),
            "gone": st.booleans(),
        }
    )
    return st.lists(row, max_size=10)


def folded(one: Any, members: list[Any]) -> Any:
    if one.field is None:
        return len(members)
    values = [row[one.field[0].name] for row in members if row[one.field[0].name] is not None]
    if one.function == "count":
        return len(values)
    if not values:
        return None
    if one.function == "avg":
        return sum(values) / len(values)
    return {"sum": sum, "min": min, "max": max}[one.function](values)


def expected(rows: list[dict[str, Any]], keep: Any, columns: tuple[str, ...], work: Any) -> list[tuple[Any, ...]]:
    groups: dict[tuple[Any, ...], list[Any]] = {} if columns else {(): []}
    for row in rows:
        if not row["gone"] and keep(row):
            groups.setdefault(tuple(row[name] for name in columns), []).append(row)
    found = [(*key, *[folded(one, members) for one in work.values()]) for key, members in groups.items()]
    return sorted(found, key=repr)


@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
@settings(max_examples=60)
@given(data=st.data())
def test_every_plan_gives_the_groups_of_the_records(syntax: str, data: st.DataObject) -> None:
    rows = data.draw(rows_of(syntax == "proto2"), label="rows")
    name = data.draw(st.sampled_from(sorted(ASKED)), label="query")
    asked, keep, columns = ASKED[name]
    work = data.draw(st.sampled_from(sorted(name for name in WORKED_OUT if columns or name != "nothing")), label="work")
    grouped = asked.aggregate(**WORKED_OUT[work]) if work != "nothing" else replace(asked)
    metadata = METADATA[syntax]
    order: Any = message_factory.GetMessageClass(metadata.record_type("Order").descriptor)
    engine = open_engine("memory:")
    context = Context(engine.begin(), world=World())

    async def compare() -> None:
        store = await open_store(context, metadata, b"\x02s\x00")
        for number, row in enumerate(rows, 1):
            given = {key: value for key, value in row.items() if value is not None and key != "gone"}
            await store.save(order(id=number, **given))
        for number, row in enumerate(rows, 1):
            if row["gone"]:
                await store.delete((metadata.record_type("Order").record_type_key, number))
        found = planned(store, grouped)
        for plan in (found.plan, *found.others):
            whole = [tuple(row) for row in await drain(plan.execute(Run(store=store)))]
            assert sorted(whole, key=repr) == expected(rows, keep, columns, WORKED_OUT[work]), plan.line
            assert [tuple(row) for row in await paged(store, plan)] == whole, plan.line
            assert [tuple(row) for row in await squeezed(store, plan)] == whole, plan.line

    async def paged(store: RecordStore, plan: Any) -> list[Any]:
        found: list[Any] = []
        continuation = None
        while True:
            step = await plan.execute(Run(store=store, continuation=continuation)).next()
            if not step.has_value:
                return found
            found.append(step.value)
            continuation = step.continuation

    async def squeezed(store: RecordStore, plan: Any) -> list[Any]:
        """Page by page, each of which may read one key."""
        found: list[Any] = []
        continuation = None
        for _ in range(500):
            budget = Budget(context.world.clock, Limits(keys=1))
            cursor = plan.execute(Run(store=store, continuation=continuation, budget=budget))
            while (batch := await cursor.batch()).stop is None:
                found += batch.values
            found += batch.values
            if batch.stop is Stop.EXHAUSTED:
                return found
            continuation = batch.end
        raise AssertionError("it does not come to its end")

    run_blocking(compare())
    context.close()
    engine.close()


def readable(index: Index) -> IndexState:
    return IndexState.READABLE


PROTO3 = METADATA["proto3"]


@pytest.mark.parametrize(
    ("asked", "expected_line"),
    [
        (
            ORDER.group_by("customer").aggregate(n=agg.count()),
            "Groups(per_customer[all] by customer: count() as n)",
        ),
        (
            ORDER.where(q.customer == "a").group_by("note").aggregate(n=agg.count(), s=agg.sum("total")),
            "Groups(per_both[= 'a'], sum_per_both[= 'a'] by note: count() as n, sum(total) as s)",
        ),
        (ORDER.aggregate(n=agg.count()), "Groups(all[= 'Order'] by nothing: count() as n)"),
        (query("Customer").aggregate(n=agg.count()), "Groups(all[= 'Customer'] by nothing: count() as n)"),
        (ORDER.select_distinct("customer"), "Groups(per_customer[all] by customer)"),
        (
            ORDER.group_by("customer").aggregate(n=agg.count()).having(q.n > 3),
            "Having(Groups(per_customer[all] by customer: count() as n), n > 3)",
        ),
        (
            ORDER.where(q.total > 3).group_by("customer").aggregate(n=agg.count()),
            "Group(Cover(FilterEntries(Scan(by_both_total[all]), total > 3)) by customer: count() as n)",
        ),
        (
            ORDER.aggregate(**EXTREMES),
            "Groups(ends of by_total[all] by nothing: min(total) as least, max(total) as most)",
        ),
        (
            ORDER.where(q.customer == "a", q.total > 3).aggregate(most=agg.max("total")),
            "Groups(ends of by_customer_total(('a', 3), 'a'] by nothing: max(total) as most)",
        ),
        (
            ORDER.group_by("customer").aggregate(most=agg.max("total")),
            "Groups(most_per_both[all] by customer: max(total) as most)",
        ),
        (
            ORDER.group_by("customer").aggregate(first=agg.min("note")),
            "Groups(least_note[all] by customer: min(note) as first)",
        ),
        (
            ORDER.use_indexes("by_customer_total").group_by("customer").aggregate(**EXTREMES),
            "Groups(ends of by_customer_total[all] by customer: min(total) as least, max(total) as most)",
        ),
        (
            ORDER.use_indexes("most_of_customer").group_by("customer").aggregate(most=agg.max("note")),
            "Groups(ends of most_of_customer[all] by customer: max(note) as most)",
        ),
        (ORDER.select_distinct("note"), "Groups(ends of by_note[all] by note)"),
        (
            ORDER.where(q.customer.in_(["b", "a"])).aggregate(n=agg.count()),
            "Groups(per_customer[= 'a'] [= 'b'] by nothing: count() as n)",
        ),
    ],
)
def test_groups_come_from_the_indexes_that_keep_them(asked: Any, expected_line: str) -> None:
    line = plan_groups(asked, PROTO3, readable).plan.line
    for name in ("Order", "Customer"):
        expected_line = expected_line.replace(f"'{name}'", repr(PROTO3.record_type(name).record_type_key))
    assert line == expected_line


def test_what_an_index_cannot_tell_from_nothing_is_left_to_the_records() -> None:
    """A sum of 0."""
    proto2 = METADATA["proto2"]

    def without(index: Index) -> IndexState:
        return IndexState.DISABLED if index.name == "set_per_both" else IndexState.READABLE

    spent = ORDER.group_by("customer").aggregate(spent=agg.sum("total"))
    assert "Groups(" in plan_groups(spent, proto2, readable).plan.line
    assert "Groups(" not in plan_groups(spent, proto2, without).plan.line
    found = plan_groups(ORDER.where(q.total > 3).group_by("customer").aggregate(n=agg.count()), PROTO3, readable)
    assert found.rejected["per_customer"] == "does not answer total > 3"
