"""Continuations of scans, queries and what else comes in pages: any bytes, and any place in an envelope whose check
agrees, are refused or go on within what was asked for; and the continuation of a page goes on where the page ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import recordlayer as rl
from recordlayer import agg, q, query
from recordlayer.errors import BadContinuation, BudgetSpent
from recordlayer.query.envelope import opened
from recordlayer.testing.clock import ManualClock
from tests.fuzz.harness import Target
from tests.support.every_index import EVERY, begin, customers, order

PATH = ("paged",)
ENVELOPED = 0x80
"""A bit of the first byte of an input: the rest is the place in an envelope. The other bits say what is resumed."""

Ask = Callable[..., Any]


def _query(asked: Any) -> Ask:
    return lambda store, **how: store.query(asked, **how)


ORDERS = query("Order")
SCANS: dict[str, Ask] = {
    "scan": lambda store, **how: store.scan(**how),
    "scan backwards": lambda store, **how: store.scan(bounds=rl.Bounds.between((2,), (7,)), reverse=True, **how),
    "index": lambda store, **how: store.scan_index("by_customer", "bo", **how),
    "texts": lambda store, **how: store.texts("words").entries(["fig", "apple"], match="any", **how),
    "prefixes": lambda store, **how: store.texts("words").entries("app", match="any prefix", **how),
    "ranks": lambda store, **how: store.ranks("ranked").entries(1, 6, **how),
    "box": lambda store, **how: store.space("place").entries_within((1, 9), (None, 50), **how),
    "near": lambda store, **how: store.space("place").entries_nearest(5, 20, **how),
    "bitmaps": lambda store, **how: store.bitmaps(("ids", "ana"), ("ids", "bo"), combine="any", **how),
    "extremes": lambda store, **how: store.extremes("least", "ana", **how),
    "board": lambda store, **how: store.leaderboard("board").ranks("ana").entries(0, 5, **how),
}
QUERIES: dict[str, Ask] = {
    "all": _query(ORDERS),
    "value": _query(ORDERS.where(q.customer == "bo")),
    "union": _query(ORDERS.where((q.customer == "ana") | q.tags.contains("fig"))),
    "one of": _query(ORDERS.where(q.customer.in_(["ana", "cy"])).order_by("customer")),
    "both": _query(ORDERS.where(q.customer == "ana", q.tags.contains("fig"))),
    "covering": _query(ORDERS.where(q.customer > "a").select("customer")),
    "sorted": _query(ORDERS.where(q.total >= 0).order_by("note", "id", in_memory=50)),
    "words": _query(ORDERS.where(q.note.has_words("fig plum", within=5))),
    "ranked": _query(ORDERS.where(q.total.ranked() < 5)),
    "unnested": _query(query("OrderItem").where(q.item.sku >= "a")),
    "joined types": _query(query("Sale").where(q.customer.name >= "A")),
    "pairs": _query(ORDERS.join("Customer", on={"customer": "ref"}, kind="left")),
}
GROUPS: dict[str, Ask] = {
    "groups": _query(ORDERS.group_by("customer").aggregate(n=agg.count(), most=agg.max("total"))),
    "groups in memory": _query(ORDERS.group_by("status", in_memory=10).aggregate(n=agg.count(), t=agg.sum("total"))),
    "distinct": _query(ORDERS.select_distinct("customer")),
}
COUNTED = {*GROUPS, "bitmaps", "texts"}
"""Continuations of these hold what was counted so far, or which of several goes on: a forged one counts otherwise."""

ALL = {**SCANS, **QUERIES, **GROUPS}
NAMES = tuple(ALL)
KEYS = rl.Limits(keys=2_000)


@cache
def database() -> Any:
    db = rl.open("memory:", world=ManualClock().world())
    with db.transaction() as tx:
        store = tx.store(EVERY, path=PATH)
        begin(store)
        for record in (*customers(), *map(made, range(10))):
            store.save(record)
    return db


def made(number: int) -> Any:
    """An order; several answer every question."""
    one = order(number, 3, long=0)
    if number % 3 == 0:
        one.body = bytes(200_000 if number == 3 else 0)
        one.MergeFrom(type(one)(customer="ana", tags=["fig"], note="fig plum apple", items=[{"sku": "a"}]))
    return one


def shown(found: Iterable[Any]) -> list[Any]:
    return [one.SerializeToString() if hasattr(one, "SerializeToString") else repr(one) for one in found]


@cache
def given(name: str) -> tuple[list[Any], bytes]:
    """All that is given for a question, and the continuation behind the first of it."""
    with database().transaction() as tx:
        store = tx.store(EVERY, path=PATH)
        page = ALL[name](store, limit=1)
        first = shown(page)
        assert first, f"{name}: nothing to page through"
        whole = shown(ALL[name](store))
        tx.cancel()
    return whole, bytes(page.continuation)


def check(data: bytes) -> None:
    kind = data[0] if data else 0
    name = NAMES[(kind & ~ENVELOPED) % len(NAMES)]
    resume, ask = data[1:], ALL[name]
    whole, continuation = given(name)
    if kind & ENVELOPED and name not in SCANS:
        resume = opened(continuation)[0].seal(resume)
    with database().transaction() as tx:
        try:
            store = tx.store(EVERY, path=PATH)
            found = shown(ask(store, resume=resume, limits=KEYS))
            page = ask(store, resume=resume, limit=1)
            again = shown(page)
            if page.continuation is not None:
                again += shown(ask(store, resume=bytes(page.continuation), limits=KEYS))
        finally:
            tx.cancel()
    assert again == found, "a page and what follows it are the whole"
    if name not in COUNTED:
        assert set(found) <= set(whole), "nothing from outside of what was asked for"
        assert len(found) <= 4 * len(whole)


def seeds() -> Iterable[bytes]:
    for place, name in enumerate(NAMES):
        _, continuation = given(name)
        yield bytes((place,)) + continuation
        if name not in SCANS:
            yield bytes((place | ENVELOPED,)) + opened(continuation)[1]


TARGET = Target("continuations", check, (BadContinuation, BudgetSpent), seeds)
