"""Continuations that earlier releases gave: recorded once, resumed by every later release.

`--update-golden` writes the file of this release only. A continuation that was given to somebody stays as it is: if a
file of an earlier release does not resume any more, the code is wrong and not the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import agg, field, q, query
from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.keys.functions import function
from recordlayer.keys.special import VERSION
from recordlayer.query.join import Pair
from recordlayer.query.rows import Row
from tests.support.shop import PATH, Order, builder

RECORDED = Path(__file__).parent / "continuations"
THIS = RECORDED / f"{rl.__version__}.json"
FILES = sorted(RECORDED.glob("*.json"))

METADATA = (
    builder()
    .index("Order", "by_customer", field("customer"))
    .index("Order", "by_customer_total", rl.concat("customer", "total"))
    .index("Order", "by_total", field("total"))
    .index("Order", "by_tag", field("tags").fan_out())
    .build()
)
ORDERS = [
    Order(
        id=number,
        customer=("ana", "bo", "cy", "dé")[number % 4],
        total=(number * 7) % 10 - 3,
        tags=["new", "gift", "old"][: number % 4],
        ratio=number / 4,
    )
    for number in range(1, 31)
]
SEAL = ContinuationSeal({"golden": bytes(range(32))})

QUERIES: dict[str, Any] = {
    "records": query("Order"),
    "records in reverse": query("Order").order_by("id", reverse=True),
    "records by a range of keys": query("Order").where(q.id > 5, q.id <= 20),
    "index equality": query("Order").where(q.customer == "ana"),
    "index range": query("Order").where(q.total > -2).order_by("total"),
    "index prefix of text": query("Order").where(q.customer.starts_with("d")),
    "filtered": query("Order").where(q.customer == "ana", q.ratio > 2.5),
    "like and null tests": query("Order").where(q.customer.like("_n%"), q.note.is_null(), q.ratio.not_null()),
    "one of several": query("Order").where(q.customer.in_(["cy", "ana"])),
    "ordered union": query("Order").where(q.customer.in_(["cy", "ana"])).order_by("total", reverse=True),
    "union": query("Order").where((q.customer == "ana") | (q.total == 3)),
    "one after the other": query("Order").where((q.total > 4) | (q.tags.one_of_them() >= "old")),
    "intersection": query("Order").where(q.customer == "bo", q.tags.one_of_them() == "new"),
    "elements": query("Order").where(q.tags.one_of_them() > "h"),
    "elements with duplicates": query("Order").where(q.tags.one_of_them() > "a").with_duplicates(),
    "sorted in memory": query("Order").order_by("ratio", in_memory=10),
    "covered": query("Order").where(q.customer > "b").order_by("customer", "total").select("customer", "total"),
    "bound": query("Order").where(q.customer == rl.param("who")).bind(who="ana"),
    "expressions": query("Order").where(q(rl.concat("customer", "total")) > ("bo", 1), q(VERSION).is_null()),
    "a function": query("Order").where(q(function("add", rl.concat("total", "id"))) > 9),
    "groups": query("Order")
    .group_by("customer")
    .aggregate(n=agg.count(), most=agg.max("total"), mean=agg.avg("ratio")),
    "groups in memory": query("Order")
    .group_by("ratio", in_memory=5)
    .aggregate(n=agg.count(), least=agg.min("customer")),
    "distinct": query("Order").where(q.id > 3).select_distinct("customer", "total"),
    "join": query("Order").where(q.id < 9).join("Order", on={"customer": "customer"}),
    "left join": query("Order").join(query("Order").where(q.id < 4), on={"total": "total"}, kind="left"),
    "words and a list": query("Order").where(q.customer.has_words("ana"), q.tags.is_empty() | (q.tags == ["new"])),
}


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    from recordlayer.testing.clock import ManualClock

    with rl.open("memory:", world=ManualClock().world()) as db, db.transaction() as tx:
        opened = tx.store(METADATA, path=PATH)
        for order in ORDERS:
            opened.save(order)
        yield opened


def ways(store: Any) -> dict[str, Any]:
    """Each page that can be asked for, as a function of where it goes on."""
    found: dict[str, Any] = {
        name: lambda asked=asked, **how: store.query(asked, **how) for name, asked in QUERIES.items()
    }
    found["skipping"] = lambda **how: store.query(QUERIES["records"], skip=4, **how)
    found["sealed"] = lambda **how: store.query(QUERIES["union"], seal=SEAL, **how)
    found["scan"] = lambda **how: store.scan(**how)
    found["scan of an index"] = lambda **how: store.scan_index("by_customer", "ana", **how)
    return found


def shown(values: Any) -> list[Any]:
    return [_shown(value) for value in values]


def _shown(value: Any) -> Any:
    if isinstance(value, Row):
        return list(value)
    if isinstance(value, Pair):
        return [None if one is None else one.id for one in value]
    return value.id if hasattr(value, "id") else list(value.primary_key)


def recorded(store: Any) -> dict[str, Any]:
    """A page of three, where it goes on, and what comes then."""
    made = {}
    for name, page_of in ways(store).items():
        page = page_of(limit=3)
        first = shown(page.all())
        made[name] = {
            "first": first,
            "continuation": page.continuation.hex(),
            "rest": shown(page_of(resume=page.continuation).all()),
        }
    return made


def test_continuations_of_this_release_are_as_they_were_recorded(store: Any, request: pytest.FixtureRequest) -> None:
    made = recorded(store)
    if request.config.getoption("--update-golden"):
        THIS.parent.mkdir(exist_ok=True)
        lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in made.items()]
        THIS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    assert THIS.exists(), "a new release: run with --update-golden, and keep the files of those before"
    assert made == json.loads(THIS.read_text(encoding="utf-8")), "what was given before must still resume: see envelope"


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_continuations_of_every_release_resume_where_they_were_taken(store: Any, file: Path) -> None:
    pages = ways(store)
    for name, one in json.loads(file.read_text(encoding="utf-8")).items():
        assert shown(pages[name](resume=bytes.fromhex(one["continuation"])).all()) == one["rest"], name


def test_recorded_pages_and_what_follows_them_are_the_whole(store: Any) -> None:
    pages = ways(store)
    for name, one in json.loads(THIS.read_text(encoding="utf-8")).items():
        assert one["first"] + one["rest"] == shown(pages[name]().all()), name
        assert len(one["first"]) == 3, name
