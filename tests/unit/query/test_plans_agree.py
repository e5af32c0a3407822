"""Every plan of a random query gives what a plain loop over dictionaries gives, whole and page by page.

The oracle knows nothing of protobuf, tuples or plans: conditions are drawn together with a function on dictionaries
that decides them in three values.
"""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import field
from recordlayer.cursor.limits import Budget, Limits
from recordlayer.cursor.step import Stop, drain
from recordlayer.cursor.transform import Limit
from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.metadata import predicate
from recordlayer.query.execute import planned, run_query
from recordlayer.query.explain import explain
from recordlayer.query.plan.base import Run
from recordlayer.store.check import check
from recordlayer.store.open import open_store
from recordlayer.store.store import RecordStore
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.support.conditions import (
    both,
    compare_with,
    either,
    is_null,
    like,
    negated,
    not_null,
    one_of,
    pair,
    same,
    some_tag,
)
from tests.support.shop import shop_file

NAMES = ["", "a", "a\x00", "ab", "b"]
NUMBERS = [-3, 0, 1, 2]
TAGS = ["x", "y", "z"]


LEAVES = st.one_of(
    compare_with("customer", NAMES),
    compare_with("total", NUMBERS),
    compare_with("id", list(range(1, 6))),
    one_of("customer", NAMES),
    one_of("total", NUMBERS),
    st.builds(is_null, st.sampled_from(["customer", "total"])),
    st.builds(not_null, st.sampled_from(["customer", "total"])),
    st.builds(some_tag, st.booleans(), st.sampled_from(TAGS)),
    st.builds(same, st.just("customer"), st.sampled_from(NAMES)),
    st.sampled_from(
        [
            like("a%", lambda text: text.startswith("a")),
            like("_", lambda text: len(text) == 1),
            like("a_", lambda text: len(text) == 2 and text[0] == "a"),
            like("b", lambda text: text == "b"),
        ]
    ),
    st.builds(pair, st.sampled_from(["a", "b"]), st.sampled_from([-3, 1, 2])),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(both, inner, inner),
        st.builds(both, inner, inner),
        st.builds(either, inner, inner),
        st.builds(negated, inner),
    ),
    max_leaves=5,
)


def rows_of(presence: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    missing = st.none() if presence else st.nothing()
    row = st.fixed_dictionaries(
        {
            "customer": missing | st.sampled_from(NAMES),
            "total": missing | st.sampled_from(NUMBERS),
            "tags": st.lists(st.sampled_from(TAGS), max_size=3),
        }
    )
    return st.lists(row, max_size=8)


SORTS: list[tuple[str, ...]] = [(), (), (), ("id",), ("customer",), ("total",), ("customer", "total"), ("total", "id")]


A_OR_0 = predicate.compare("customer", "=", "a") | predicate.compare("total", "<=", 0)


def metadata_of(syntax: str) -> rl.RecordMetaData:
    return (
        rl.RecordMetaDataBuilder(shop_file(syntax))
        .primary_key("Order", field("id"))
        .index("Order", "by_customer_total", rl.concat("customer", "total"))
        .index("Order", "by_total", field("total"))
        .index("Order", "by_tag_total", rl.concat(field("tags").fan_out(), "total"))
        .index("Order", "by_customer_tag", rl.concat("customer", field("tags").fan_out()))
        .index("Order", "by_total_covering", rl.key_with_value(rl.concat("total", "customer")))
        .index("Order", "per_customer", rl.count(group_by="customer"))
        .index("Order", "with_customer", field("total"), where=predicate.not_null("customer"))
        .index("Order", "above_0", rl.concat("customer", "total"), where=predicate.compare("total", ">", 0))
        .index("Order", "a_or_0", field("tags").fan_out(), where=A_OR_0)
        .build()
    )


METADATA = {syntax: metadata_of(syntax) for syntax in ("proto2", "proto3")}


async def filled(context: Context, metadata: rl.RecordMetaData, rows: list[dict[str, Any]]) -> RecordStore:
    store = await open_store(context, metadata, b"\x02s\x00")
    order: Any = message_factory.GetMessageClass(metadata.record_type("Order").descriptor)
    for number, row in enumerate(rows, 1):
        await store.save(order(id=number, **{name: value for name, value in row.items() if value is not None}))
    return store


def sort_key(row: dict[str, Any], names: tuple[str, ...], *, presence: bool) -> tuple[Any, ...]:
    """Null first; a field without presence that holds its default counts as null (see `order_by`)."""
    key = []
    for name in names:
        value = row[name]
        null = value is None or (not presence and name != "id" and not value)
        key.append((0,) if null else (1, value))
    return tuple(key)


@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
@settings(max_examples=150)
@given(data=st.data())
def test_every_plan_gives_what_a_plain_loop_gives(syntax: str, data: st.DataObject) -> None:
    presence = syntax == "proto2"
    rows = data.draw(rows_of(presence), label="rows")
    condition = data.draw(CONDITIONS, label="condition")
    sort = data.draw(st.sampled_from(SORTS), label="sort")
    reverse = bool(sort) and data.draw(st.booleans(), label="reverse")
    in_memory = data.draw(st.sampled_from([0, 1, 3, 100]), label="in memory") if sort else 0
    limit = data.draw(st.sampled_from([0, 2]), label="limit")
    numbered = [{**row, "id": number, "presence": presence} for number, row in enumerate(rows, 1)]
    expected = [row["id"] for row in numbered if condition.decide(row) is True]
    asked = rl.query("Order").where(condition.predicate)
    if sort:
        asked = asked.order_by(*sort, reverse=reverse, in_memory=in_memory)
    by_id = {row["id"]: row for row in numbered}
    engine = open_engine("memory:")
    context = Context(engine.begin(), world=World())

    async def compare() -> None:
        store = await filled(context, METADATA[syntax], rows)
        found = planned(store, asked)
        assert str(explain(found))
        for plan in (found.plan, *found.others):
            records = await drain(plan.execute(Run(store=store)))
            ids = [record.primary_key[0] for record in records]
            assert sorted(ids) == expected, plan.line
            if sort:
                keys = [sort_key(by_id[one], sort, presence=presence) for one in ids]
                assert keys == sorted(keys, reverse=reverse), plan.line
            assert await paged(store, plan) == ids, plan.line
            assert await squeezed(store, plan) == ids, plan.line
            if limit:
                few = Limit(plan.execute(Run(store=store, expect=limit, limit=limit)), limit)
                assert [record.primary_key[0] for record in await drain(few)] == ids[:limit], plan.line
        whole = [record.primary_key[0] for record in await drain(run_query(store, asked))]
        assert sorted(whole) == expected
        assert await check(store) == []

    async def paged(store: RecordStore, plan: Any) -> list[int]:
        ids: list[int] = []
        continuation = None
        while True:
            step = await plan.execute(Run(store=store, continuation=continuation, expect=1)).next()
            if not step.has_value:
                return ids
            ids.append(step.value.primary_key[0])
            continuation = step.continuation

    async def squeezed(store: RecordStore, plan: Any) -> list[int]:
        """Page by page, each of which may read one key."""
        ids: list[int] = []
        continuation = None
        for _ in range(2_000):
            budget = Budget(context.world.clock, Limits(keys=1))
            cursor = plan.execute(Run(store=store, continuation=continuation, budget=budget))
            while (batch := await cursor.batch()).stop is None:
                ids += [record.primary_key[0] for record in batch.values]
            ids += [record.primary_key[0] for record in batch.values]
            if batch.stop is Stop.EXHAUSTED:
                return ids
            assert batch.end is not None
            continuation = batch.end
        raise AssertionError("it does not come to its end")

    run_blocking(compare())
    context.close()
    engine.close()
