"""What a release writes, recorded once in a file that every later release has to read.

    python -m tests.golden.recorded_release 0.2.0      at a release: writes releases/0.2.0.rl.gz and releases/0.2.0.json

The file is a database with everything in it that has bytes of its own: a store with an index of every type, its change
feed, a build and a migration that were stopped half way, interned names, the service's databases. The JSON beside it
has what programs may have kept elsewhere (continuations, tokens, an exported tenant) and what was in there.
To record an earlier commit, put this file into its tests/golden; what it has no calls for is listed under "missing".
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import recordlayer as rl
from recordlayer import concat, field, q, query
from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.metadata.definitions import (
    bitmap_index,
    count_not_null,
    count_updates,
    leaderboard,
    max_ever,
    min_ever,
    multidimensional,
    permuted_max,
    rank,
    text_index,
    version_index,
)
from recordlayer.store.metadata_store import StoredMetaData
from tests.support.shop import Customer, Order, builder

FOLDER = Path(__file__).parent / "releases"
SHOP, HALF, FLEET = ("shop", "acme"), ("shop", "half"), ("shop", "fleet")
SEAL = ContinuationSeal({"golden": bytes(range(32))})
ORDERS, STORES = 40, 4
TIMES = (1, 30)

METADATA = (
    builder()
    .store_record_versions()
    .split_long_records(True)
    .index("Order", "by_customer", field("customer"))
    .index("Order", "by_total_with_note", rl.key_with_value(concat("total", "note")))
    .index("Order", "by_tag", field("tags").fan_out())
    .index("Order", "by_city", field("address").nest("city"))
    .index("Customer", "by_name", field("name"), unique=True)
    .index(None, "records", rl.count())
    .index("Order", "per_customer", rl.count(group_by="customer"))
    .index("Order", "with_note", count_not_null("note", group_by="customer"))
    .index("Order", "updates", count_updates(group_by="customer"))
    .index("Order", "spent", rl.sum_of("total", group_by="customer"))
    .index("Order", "least_ever", min_ever("total", group_by="customer"))
    .index("Order", "most_ever", max_ever("total", group_by="customer"))
    .index("Order", "most", permuted_max("total", group_by="customer"))
    .index("Order", "ids", bitmap_index("id", group_by="customer"))
    .index("Order", "words", text_index("note"))
    .index("Order", "ranked", rank("total"))
    .index("Order", "board", leaderboard(concat("total", "id")))
    .index("Order", "place", multidimensional(concat("id", "total")))
    .index("Order", "changed", version_index())
    .build()
)
LATER = (
    rl.RecordMetaDataBuilder.from_proto(builder().build().to_bytes()).index("Order", "by_total", field("total")).build()
)


def order(number: int) -> Any:
    made = Order(
        id=number, customer="abc"[number % 3], total=number * 7 % 31, tags=["new", "gift", "old"][: number % 4]
    )
    made.note = " ".join(("apple", "pear", "plum", "fig")[(number + step) % 4] for step in range(1 + number % 3))
    made.address.city = ("Rome", "Oslo")[number % 2]
    return made


def kept(path: Any, seed: Any = None) -> StoredMetaData:
    """Where the metadata of a store lies."""
    return StoredMetaData(path=("metadata", *path), seed=seed)


def shown(one: Any) -> Any:
    """A record or an entry or a row, as JSON has it."""
    if hasattr(one, "id"):
        return one.id
    if hasattr(one, "primary_key"):
        return list(one.primary_key)
    return [shown(part) if hasattr(part, "id") else part for part in one]


def digest(message: Any) -> str:
    return hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()[:20]


def change(one: Any) -> list[Any]:
    return [one.kind.name, list(one.primary_key)]


def ways(store: Any) -> dict[str, Callable[..., Any]]:
    """Each page that can be asked for of the shop, as a function of where it goes on."""
    asked: dict[str, Any] = {
        "records in reverse": query("Order").order_by("id", reverse=True),
        "index equality": query("Order").where(q.customer == "a"),
        "index range": query("Order").where(q.total > 4).order_by("total"),
        "union": query("Order").where((q.customer == "a") | (q.total == 14)),
        "intersection": query("Order").where(q.customer == "b", q.tags.one_of_them() == "new"),
        "words": query("Order").where(q.note.has_words("apple pear")),
        "nested": query("Order").where(q.address.city == "Rome", q.total < 25),
        "sorted in memory": query("Order").order_by("note", in_memory=60),
    }
    found: dict[str, Any] = {name: lambda one=one, **how: store.query(one, **how) for name, one in asked.items()}
    found["groups"] = lambda **how: store.query(_groups(), **how)
    found["join"] = lambda **how: store.query(
        query("Order").where(q.id < 9).join("Order", on={"total": "total"}), **how
    )
    found["sealed"] = lambda **how: store.query(asked["union"], seal=SEAL, **how)
    found["scan"] = lambda **how: store.scan(**how)
    found["entries"] = lambda **how: store.scan_index("by_tag", "new", **how)
    found["entries by version"] = lambda **how: store.scan_index("changed", **how)
    found["entries by text"] = lambda **how: store.texts("words").entries("apple", **how)
    found["entries by rank"] = lambda **how: store.ranks("ranked").entries(**how)
    found["entries in a box"] = lambda **how: store.space("place").entries_within((5, 30), (3, 25), **how)
    found["leaders"] = lambda **how: store.leaderboard("board").ranks().entries(**how)
    return found


def _groups() -> Any:
    from recordlayer import agg

    return query("Order").group_by("customer").aggregate(n=agg.count(), all=agg.sum("total"))


class Attempts:
    """Records parts one by one.

    is_whole  every part has to be there
    """

    def __init__(self, *, is_whole: bool) -> None:
        self.missing: list[str] = []
        self._is_whole = is_whole

    def __call__(self, made: dict[str, Any], name: str, part: Callable[[], Any]) -> None:
        """Put what a part gives into `made`, unless what it calls is not there."""
        try:
            made[name] = part()
        except (AttributeError, ImportError, TypeError):
            if self._is_whole:
                raise
            self.missing.append(name)


# -- the parts


def shop(db: Any) -> dict[str, Any]:
    """A store with every type of index, records that were changed and deleted, and one that is split."""
    with db.transaction() as tx:
        store = tx.store(kept(SHOP, METADATA), path=SHOP, format_version=13)
        store.leaderboard("board").update_windows(0)
        if hasattr(store, "feed"):
            store.feed.enable(new_images=True)
    for at in range(0, ORDERS, 8):
        with db.transaction() as tx:
            store = tx.store(kept(SHOP), path=SHOP)
            for number in range(at, at + 8):
                made = order(number)
                if number == 13:
                    made.body = bytes(range(250)) * 900  # in three pieces
                store.save(made)
    with db.transaction() as tx:
        store = tx.store(kept(SHOP), path=SHOP)
        store.save(Customer(ref="x", name="no order"))
        for number in range(0, ORDERS, 5):
            store.delete(number)
        for number in range(1, ORDERS, 5):
            changed = order(number)
            changed.total, changed.customer, changed.note = 99 - number, "d", "fig apple"
            store.save(changed)
    with db.transaction() as tx:
        store = tx.store(kept(SHOP), path=SHOP)
        assert store.check() == []
        found = {str(list(one.primary_key)): one.message for one in store.scan().records()}
        return {"records": {key: digest(one) for key, one in found.items()}}


def pages(db: Any, attempts: Attempts) -> dict[str, Any]:
    """Of each way to ask a page of three, where it goes on, and what comes then."""
    made: dict[str, Any] = {}
    with db.transaction() as tx:
        store = tx.store(kept(SHOP), path=SHOP)
        for name, page_of in ways(store).items():
            attempts(made, name, lambda page_of=page_of: two_pages(page_of))
    return made


def two_pages(page_of: Callable[..., Any]) -> dict[str, Any]:
    page = page_of(limit=3)
    first = [shown(one) for one in page.all()]
    continuation = page.continuation
    rest = [shown(one) for one in page_of(resume=continuation).all()]
    assert len(first) == 3
    assert rest
    return {"first": first, "continuation": continuation.hex(), "rest": rest}


def feed(db: Any) -> dict[str, Any]:
    """Tokens of the change feed and of the feed by versions, and a consumer that has read some."""
    with db.transaction() as tx:
        store = tx.store(kept(SHOP), path=SHOP)
        list(store.feed.consume("replica", limit=5))
    with db.transaction() as tx:
        store = tx.store(kept(SHOP), path=SHOP)
        page = store.feed.changes(limit=4)
        list(page)
        by_version = store.version_feed("changed")
        versions = by_version.changes(limit=4)
        list(versions)
        return {
            "token": page.token.hex(),
            "rest": [change(one) for one in store.feed.changes(since=page.token)],
            "now": store.feed.now().hex(),
            "consumed next": [
                change(one) for one in store.feed.changes(limit=5, since=store.feed.changes(limit=5).token)
            ],
            "by version": versions.token.hex(),
            "rest by version": [list(one.primary_key) for one in by_version.changes(since=versions.token)],
        }


class Stopped(Exception):
    pass


def half(db: Any) -> dict[str, Any]:
    """A store whose index is built half way."""
    from recordlayer.online.options import BuildLimits

    with db.transaction() as tx:
        store = tx.store(kept(HALF, builder().build()), path=HALF)
        for number in range(ORDERS):
            store.save(order(number))
    with db.transaction() as tx:
        tx.metadata_store(kept(HALF)).save(LATER)
        tx.store(kept(HALF), path=HALF, new_index_state=lambda *_: rl.IndexState.DISABLED)
    slices = []

    def told(report: Any) -> None:
        slices.append(report)
        if len(slices) == 2:
            raise Stopped

    indexer = db.online_indexer(kept(HALF), path=HALF, indexes=["by_total"], limits=BuildLimits(records=9), told=told)
    with contextlib.suppress(Stopped):
        indexer.build()
    assert len(slices) == 2
    with db.transaction() as tx:
        assert tx.store(kept(HALF), path=HALF).index_state("by_total") is rl.IndexState.WRITE_ONLY
    return {}


def fleet(db: Any) -> dict[str, Any]:
    """A fleet whose canaries have been migrated."""
    from recordlayer.migrate.fleet import FleetRules

    for store in range(STORES):
        with db.transaction() as tx:
            opened = tx.store(kept(FLEET, builder().build()), path=(*FLEET, store))
            opened.save_many([order(number) for number in range(10)])
    rules = FleetRules(canary=0.5, only_canary=True)
    report = db.migration(LATER, metadata=("metadata", *FLEET), below=FLEET, rules=rules).apply()
    assert report.stopped
    return {"run": report.run, "done": report.done}


def tenant(db: Any) -> dict[str, Any]:
    """The shop as a stream, and a token of the list of stores."""
    stream = io.BytesIO()
    db.tenant(SHOP).export().write_to(stream)
    page = db.tenant(("shop",)).stores(limit=1)
    rest = db.tenant(("shop",)).stores(continuation=page.continuation)
    packed = base64.b64encode(gzip.compress(stream.getvalue(), mtime=0)).decode()
    return {"stream": packed, "token": page.continuation.hex(), "rest": [one.prefix.hex() for one in rest.stores]}


def names(db: Any) -> dict[str, Any]:
    """Interned names, and directories."""
    found = {}
    with db.transaction() as tx:
        for name in ("ana", "bo"):
            found[name] = tx.key_space(space()).resolve(space().path("app").add("user", name)).subspace.key().hex()
        directory = tx.directories().create_or_open(("a", "b")).prefix.hex()
    return {"users": found, "directory": directory}


def space() -> Any:
    from recordlayer.keyspace import InternedDirectory, KeySpace, KeySpaceDirectory

    return KeySpace(KeySpaceDirectory("app", str, InternedDirectory("user"), value="app"))


async def service(url: str) -> dict[str, Any]:
    """A database of the service: records, pages, idempotency keys, change lists."""
    from recordlayer import aio
    from tests.support.service import Caller, calling, operation, photos, where

    said: dict[str, Any] = {"time": time.time()}
    async with photos(database=aio.open(url)) as (server, _), calling(server) as channel:
        caller = Caller(channel, user="ana")
        await caller.zone("trip")
        for number in range(12):
            await caller.create(f"p{number:02}", title=f"t{number}", rating=number % 5, tags=["x"], caption="one two")
            await caller.create(f"q{number:02}", zone="trip", title="t", rating=number)
        once = operation("CREATE", "once", title="once", rating=9)
        results = (await caller.modify(once, idempotency_key="golden key")).results
        said["once"] = [one.record.change_tag.hex() for one in results]
        asked = where("rating", "GREATER_THAN", 1)
        page = await caller.query(asked, limit=4)
        said["continuation"] = page.continuation.hex()
        said["first"] = [record.name.name for record in page.records]
        said["rest"] = [name for name in await caller.names(asked) if name not in said["first"]]
        if hasattr(caller, "zone_changes"):
            changes = (await caller.zone_changes({"trip": b""}, limit=5)).zones[0]
            said["zone token"] = changes.token.hex()
            said["zone first"] = [record.name.name for record in changes.records]
            said["database token"] = (await caller.database_changes()).token.hex()
    return said


def record(label: str, folder: Path = FOLDER, *, is_whole: bool) -> None:
    """Write the two files.  `is_whole`: see `Attempts`."""
    attempts = Attempts(is_whole=is_whole)
    said: dict[str, Any] = {"version": rl.__version__, "missing": attempts.missing}
    with tempfile.TemporaryDirectory() as scratch:
        url = f"file:{scratch}/release.rl"
        for part in (shop, feed, half, fleet, tenant, names):
            with rl.open(url) as db:
                attempts(said, part.__name__, lambda db=db, part=part: part(db))
        with rl.open(url) as db:
            said["pages"] = pages(db, attempts)
        attempts(said, "service", lambda: asyncio.run(service(url)))
        packed = gzip.compress((Path(scratch) / "release.rl").read_bytes(), mtime=0)
    folder.mkdir(exist_ok=True)
    (folder / f"{label}.rl.gz").write_bytes(packed)
    lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in said.items()]
    (folder / f"{label}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    record(sys.argv[1], is_whole="--earlier" not in sys.argv)
