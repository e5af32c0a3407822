"""Orders and customers with an index of every type, and what they are asked: for tests of everything at once."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import recordlayer as rl
from recordlayer import agg, concat, field, q, query
from recordlayer.index.leaderboard_directory import Windows
from recordlayer.metadata import compare
from recordlayer.metadata.definitions import (
    bitmap_index,
    count_not_null,
    count_updates,
    leaderboard,
    max_ever,
    max_ever_version,
    min_ever,
    multidimensional,
    permuted_max,
    permuted_min,
    rank,
    text_index,
    version_index,
)
from tests.support.shop import Customer, Order, builder

WORDS = ("apple", "apples", "pear", "plum", "fig")
NAMES = ("ana", "bo", "cy", "di")

EVERY = (
    builder()
    .store_record_versions()
    .split_long_records(True)
    .index("Order", "by_customer", field("customer"))
    .index("Order", "by_tag", concat(field("tags").fan_out(), "total"))
    .index("Order", "open", field("total"), where=compare("paid", "=", True))
    .index("Order", "per_customer", rl.count(group_by="customer"))
    .index("Order", "in_cells", rl.count(cells=4))
    .index("Order", "updates", count_updates(group_by="customer"))
    .index("Order", "with_note", count_not_null("note"))
    .index("Order", "spent", rl.sum_of("total", group_by="customer"))
    .index("Order", "least_ever", min_ever("total", group_by="customer"))
    .index("Order", "most_ever", max_ever("total"))
    .index("Order", "last_change", max_ever_version(group_by="customer"))
    .index("Order", "least", permuted_min("total", group_by=concat("customer", "status")))
    .index("Order", "most", permuted_max("total", group_by="customer"))
    .index("Order", "ranked", rank("total"))
    .index("Order", "ranked_apart", rank("total", group_by="customer", count_duplicates=True, hash_function="CRC"))
    .index("Order", "words", text_index("note"))
    .index("Order", "ids", bitmap_index("id", group_by="customer", entry_size=16))
    .index("Order", "place", multidimensional(concat("id", "total")))
    .index(
        "Order",
        "places",
        multidimensional(concat("id", "total"), prefix="customer", options={"rtreeStorage": "BY_SLOT"}),
    )
    .index("Order", "changed", version_index())
    .index("Order", "board", leaderboard(concat("total", "id"), group_by="customer"))
    .index("Customer", "by_name", field("name"), unique=True)
    .unnested("OrderItem", "Order", parent="order", nested={"item": field("items").fan_out()})
    .index("OrderItem", "by_sku", concat(field("item").nest("sku"), field("order").nest("total")))
    .joined("Sale", {"order": "Order", "customer": "Customer"}, on=[("order.customer", "customer.ref")])
    .index("Sale", "sales", concat(field("customer").nest("name"), field("order").nest("total")))
    .build()
)

LATER = rl.RecordMetaDataBuilder.from_proto(EVERY.to_bytes()).index("Order", "by_total", field("total")).build()
"""With one index more, to be built online."""

WEEK = 1


def begin(store: Any) -> Any:
    """What a new store needs beside its records: the windows of its leaderboard. Await it where the store is async."""
    return store.leaderboard("board").update_windows(0, [Windows(WEEK, 0, 50, 50, 4)])


def order(number: int, draw: int, *, long: float = 0.05) -> Any:
    """An order whose content follows from its number and another one; such a share of them is long."""
    chance = random.Random(draw * 1_000_003 + number)
    made = Order(id=number, customer=chance.choice(NAMES), total=chance.randrange(60), status=chance.randrange(3))
    made.note = " ".join(chance.choices(WORDS, k=chance.randrange(4)))
    made.tags.extend(chance.sample(WORDS, k=chance.randrange(3)))
    made.paid = chance.random() < 0.5
    for sku in chance.sample("abcd", k=chance.randrange(3)):
        made.items.add(sku=sku, price=chance.randrange(9))
    if chance.random() < long:
        made.body = chance.randbytes(110_000)  # two pairs
    return made


def customers() -> list[Any]:
    return [Customer(id=place, ref=name, name=name.upper()) for place, name in enumerate(NAMES)]


Question = Callable[[Any], Any]

QUESTIONS: Mapping[str, Question] = {
    "load": lambda store: [store.load(3), store.load_record(3)],
    "scan": lambda store: store.scan().all(),
    "scan backwards": lambda store: store.scan(reverse=True, limit=5).all(),
    "value": lambda store: store.query(query("Order").where(q.customer == "bo").order_by("customer")).all(),
    "tags": lambda store: store.query(query("Order").where(q.tags.contains("fig"))).all(),
    "filtered": lambda store: store.query(query("Order").where((q.paid == True) & (q.total > 9))).all(),  # noqa: E712
    "unique": lambda store: store.query(query("Customer").where(q.name == "CY")).all(),
    "covering": lambda store: store.query(query("Order").where(q.customer > "b").select("customer")).all(),
    "counts": lambda store: [store.count("per_customer", "bo"), store.count("in_cells"), store.record_count("Order")],
    "aggregates": lambda store: [
        store.aggregate(name, *group)
        for name, group in (
            ("updates", ("bo",)),
            ("with_note", ()),
            ("spent", ("ana",)),
            ("least_ever", ("ana",)),
            ("most_ever", ()),
            ("last_change", ("bo",)),
        )
    ],
    "groups": lambda store: store.query(
        query("Order").group_by("customer").aggregate(n=agg.count(), spent=agg.sum("total"))
    ).all(),
    "extremes": lambda store: [store.extremes("least", "ana").all(), store.extremes("most").all()],
    "ranks": lambda store: [
        store.ranks("ranked").rank(30),
        store.ranks("ranked").score(2),
        store.ranks("ranked").size(),
        store.ranks("ranked").records(0, 5, reverse=True).all(),
    ],
    "ranks of groups": lambda store: [
        store.ranks("ranked_apart", "bo").percentile(0.5),
        store.ranks("ranked_apart", "bo").entries(1, 4).all(),
    ],
    "words": lambda store: [
        store.texts("words").records("apple").all(),
        store.texts("words").entries("fig").all(),
        store.query(query("Order").where(q.note.has_words("plum fig", within=2))).all(),
    ],
    "bitmaps": lambda store: store.bitmaps(("ids", "ana"), ("ids", "bo"), combine="any").all(),
    "space": lambda store: [
        store.space("place").within((0, 30), (10, None)).all(),
        store.space("place").nearest(5, 20, limit=3).all(),
    ],
    "spaces of groups": lambda store: [
        store.space("places", "bo").entries_within((None, None), (0, 30)).all(),
    ],
    "versions": lambda store: store.scan_index("changed").all(),
    "leaderboard": lambda store: [
        store.leaderboard("board").windows(),
        store.leaderboard("board").ranks("ana").entries(0, 5).all(),
        store.leaderboard("board").ranks("bo", type=WEEK, at=10).size(),
        store.leaderboard("board").rank_of(3),
    ],
    "unnested": lambda store: store.query(query("OrderItem").where(q.item.sku == "a")).all(),
    "joined": lambda store: store.query(query("Sale").where(q.customer.name == "BO")).all(),
    "two at once": lambda store: store.query(
        query("Order").where((q.customer == "ana") | q.tags.contains("pear")).order_by("total", in_memory=100)
    ).all(),
}
"""What a store of the blocking facade is asked, by what it is about: every index is read by one of them."""
