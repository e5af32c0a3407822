"""Replicas that are fed by a change feed alone equal the store, whatever happens to who feeds them.

A writer does whatever changes records, with commits whose outcome nobody knows. Three followers die at random and go on
from what they have kept:

    exact   a consumer that writes to a store of the same database, and counts what it was given: each change once
    loose   keeps its token elsewhere, behind what it has applied: some changes twice
    synced  asks which groups have changed, then what changed in them, each record once, as a client of a service does

Changes are trimmed, the incarnation is raised, groups are cleared and filled again. RECORDLAYER_LONG_TESTS=1 for more.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.feed.consumers import FeedStart
from recordlayer.kv.registry import open_engine
from recordlayer.store.change_layout import ChangeKind
from recordlayer.testing.faults import Fault, Faulty
from recordlayer.world import World
from tests.behaviour.conftest import ENGINES, clear
from tests.conftest import CLUSTER_FILE
from tests.support.embedded import LONG
from tests.support.hurried import HurriedClock
from tests.support.processes import running
from tests.support.shop import FILE, PATH, Order

STEPS = 3_000 if LONG else 120
KILLS = 30 if LONG else 3
ZONES = rl.RecordMetaDataBuilder(FILE).primary_key("Order", rl.concat("customer", "id")).build()
REPLICA = ("shop", "replica")
TALLY = ("shop", "tally")
AGAIN = rl.Retry(attempts=100, idempotent=True)
SEAL = ContinuationSeal({"k": b"\x07" * 32})

Copy = dict[tuple[Any, ...], bytes]


class Died(Exception):
    """A follower's process is gone."""


class Scene:
    """A store with a feed, who writes to it, and what the followers need."""

    def __init__(self, db: Any, chance: random.Random, clock: HurriedClock) -> None:
        self.db = db
        self.chance = chance
        self.clock = clock
        with db.transaction() as tx:
            self.source(tx).feed.enable(group_by=1, new_images=True)

    def source(self, tx: Any) -> Any:
        return tx.store(ZONES, path=PATH, format_version=13)

    def do(self, work: Callable[[Any], Any]) -> Any:
        return self.db.run(work, retry=AGAIN)

    def write(self) -> None:
        """One transaction that changes something, drawn before so that a second try does the same."""
        chance = self.chance
        steps: list[Callable[[Any], object]] = []
        for _ in range(chance.randrange(1, 6)):
            zone, number = chance.choice("abcd"), chance.randrange(8)
            order = Order(customer=zone, id=number, total=chance.randrange(10**6))
            more = [Order(customer=zone, id=chance.randrange(8), total=chance.randrange(99)) for _ in range(3)]
            keys = [(zone, chance.randrange(8)) for _ in range(3)]
            steps.append(
                chance.choice(
                    [
                        *[lambda store, order=order: store.save(order)] * 6,
                        *[lambda store, more=more: store.save_many(more)] * 2,
                        *[lambda store, keys=keys: store.delete(keys[0])] * 4,
                        lambda store, keys=keys: store.delete_many(keys),
                        lambda store, zone=zone: store.delete_where(customer=zone),
                    ]
                )
            )
        if chance.random() < 0.02:
            steps.insert(chance.randrange(len(steps)), lambda store: store.delete_all())
        raises = chance.random() < 0.03

        def work(tx: Any) -> None:
            store = self.source(tx)
            if raises:
                store.header.raise_incarnation()
            for step in steps:
                step(store)

        self.do(work)
        self.clock.advance(0.01)

    def trim(self) -> None:
        place = None
        for _ in range(100):
            step = self.do(lambda tx, place=place: self.source(tx).feed.trim(timedelta(0), limit=20, place=place))
            place = step.place
            if not step.more:
                return

    def records(self, path: Any = PATH) -> Copy:
        def work(tx: Any) -> Copy:
            store = tx.store(ZONES, path=path, format_version=13)
            return {record.primary_key: image(record.message) for record in store.scan().records()}

        found: Copy = self.do(work)
        return found


def image(message: Any) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))


def applied(copy: Copy, change: Any) -> None:
    key = change.primary_key
    if change.kind is ChangeKind.CLEAR:
        for known in [known for known in copy if known[: len(key)] == key]:
            del copy[known]
    elif change.kind is ChangeKind.DELETE:
        copy.pop(key, None)
    else:
        copy[key] = image(change.message)


class Exact:
    """Writes each change to a store beside, in the transaction that moves its place."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def follow(self) -> bool:
        scene, chance = self.scene, self.scene.chance
        limit, dies = chance.choice([1, 3, 50]), chance.random() < 0.2

        def work(tx: Any) -> bool:
            page = scene.source(tx).feed.consume("exact", limit=limit)
            replica = tx.store(ZONES, path=REPLICA)
            for change in page:
                if change.kind is ChangeKind.CLEAR:
                    if change.primary_key:
                        replica.delete_where(customer=change.primary_key[0])
                    else:
                        replica.delete_all()
                elif change.kind is ChangeKind.DELETE:
                    assert replica.delete(change.primary_key), "what is deleted once was there"
                else:
                    there = replica.exists(change.primary_key)
                    assert there is (change.kind is ChangeKind.UPDATE), "and what is inserted once was not"
                    replica.save(change.message)
            tally = tx.store(ZONES, path=TALLY)
            before = tally.load(("n", 0))
            tally.save(Order(customer="n", id=0, total=(before.total if before else 0) + len(page)))
            if dies:
                raise Died
            return bool(page.more)

        try:
            return bool(scene.do(work))
        except Died:
            return True
        except errors.FeedTokenExpired:
            scene.do(lambda tx: self._begin_anew(tx))
            return True

    def _begin_anew(self, tx: Any) -> None:
        store = self.scene.source(tx)
        store.feed.forget("exact")
        store.feed.consume("exact", start=FeedStart.NOW)
        replica = tx.store(ZONES, path=REPLICA)
        replica.delete_all()
        replica.save_many(store.scan().all())


class Loose:
    """Keeps its copy and its token by itself, and may die between the two."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.copy: Copy = {}
        self.token: bytes | None = None

    def follow(self) -> bool:
        scene, chance = self.scene, self.scene.chance
        how = {"limit": chance.choice([1, 2, 7, 100]), "coalesced": chance.random() < 0.5, "seal": SEAL}
        if chance.random() < 0.3:
            how["limits"] = rl.Limits(keys=chance.randrange(1, 9))
        try:
            page = scene.do(lambda tx: scene.source(tx).feed.changes(since=self.token, **how))
            for change in page:
                applied(self.copy, change)
                if chance.random() < 0.02:
                    return True
            self.token = page.token
            return bool(page.more)
        except errors.FeedTokenExpired:
            self.token = scene.do(lambda tx: scene.source(tx).feed.now(seal=SEAL))
            self.copy = scene.records()
            return True


class Synced:
    """First which groups, then what in them."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.copy: Copy = {}
        self.token: bytes | None = None
        self.tokens: dict[tuple[Any, ...], bytes | None] = {}

    def follow(self) -> bool:
        scene, chance = self.scene, self.scene.chance
        try:
            limit = chance.choice([1, 2, 100])
            page = scene.do(lambda tx: scene.source(tx).feed.groups_changed(since=self.token, limit=limit))
            for group in sorted({*page, *(self.tokens if page.everything else ())}):
                self._group(group)
                if chance.random() < 0.1:
                    return True
            self.token = page.token
            return bool(page.more)
        except errors.FeedTokenExpired:
            self._begin_anew()
            return True

    def _group(self, group: tuple[Any, ...]) -> None:
        scene = self.scene
        while True:
            how = {"since": self.tokens.get(group), "group": group, "limit": 5, "coalesced": True}
            page = scene.do(lambda tx, how=how: scene.source(tx).feed.changes(**how))
            for change in page:
                applied(self.copy, change)
            self.tokens[group] = page.token
            if not page.more:
                return

    def _begin_anew(self) -> None:
        def places(tx: Any) -> tuple[bytes, dict[tuple[Any, ...], bytes | None]]:
            feed = self.scene.source(tx).feed
            return feed.groups_now(), {(zone,): feed.now(group=zone) for zone in "abcd"}

        self.token, self.tokens = self.scene.do(places)
        self.copy = self.scene.records()


def settle(follower: Any) -> None:
    """Follow until there is nothing more: a pass over groups ends where the store was when it began, so one more."""
    quiet = 0
    for _ in range(10_000):
        quiet = 0 if follower.follow() else quiet + 1
        if quiet == 2:
            return
    raise AssertionError("the changes have no end")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Faulty:
    url = "memory:" if request.param == "memory:" else f"fdb:{CLUSTER_FILE}"
    return Faulty(open_engine(url, world=HurriedClock().world()), [])


@pytest.mark.parametrize("seed", range(20 if LONG else 2))
def test_replicas_equal_the_store(database_over: Any, engine: Faulty, opened_stores: Any, seed: int) -> None:
    chance = random.Random(seed)
    clock = HurriedClock()
    world = World(clock=clock, random=random.Random(seed))
    with database_over(engine, world=world) as db:
        if "fdb" in db.url:
            clear(db)
        scene = Scene(db, chance, clock)
        kinds: list[Any] = [None] * 6 + [Fault.APPLIED, Fault.NOT_APPLIED, Fault.LATE, errors.Conflict]
        engine._faults = iter(lambda: chance.choice(kinds), "never")
        followers = [Exact(scene), Loose(scene), Synced(scene)]
        for step in range(STEPS):
            scene.write()
            for follower in followers:
                if chance.random() < 0.5:
                    follower.follow()
            if chance.random() < 0.03:
                scene.trim()
            if step % 40 == 39 or step == STEPS - 1:
                for follower in followers:
                    settle(follower)
                expected = scene.records()
                assert scene.records(REPLICA) == expected
                assert followers[1].copy == expected
                assert followers[2].copy == expected
        engine._faults = iter([])
        engine.deliver()
        assert engine.told["APPLIED"] > 0
        opened_stores.check(db)
        if "fdb" in db.url:
            clear(db)


WORK = """
    import random, sys, threading
    import recordlayer as rl
    from recordlayer.store.change_layout import ChangeKind
    from tests.behaviour.test_feed_replicas import PATH, REPLICA, ZONES, AGAIN, Order

    db = rl.open("file:" + sys.argv[1], durability="relaxed")
    chance = random.Random(int(sys.argv[2]))

    def write():
        while True:
            def work(tx):
                store = tx.store(ZONES, path=PATH, format_version=13)
                store.feed.enable(group_by=1, new_images=True)
                for _ in range(3):
                    zone, number = chance.choice("ab"), chance.randrange(20)
                    if chance.random() < 0.3:
                        store.delete((zone, number))
                    elif chance.random() < 0.03:
                        store.delete_where(customer=zone)
                    else:
                        store.save(Order(customer=zone, id=number, total=chance.randrange(1000)))
            db.run(work, retry=AGAIN)

    def follow(tx):
        store = tx.store(ZONES, path=PATH, format_version=13)
        store.feed.enable(group_by=1, new_images=True)
        replica = tx.store(ZONES, path=REPLICA)
        page = store.feed.consume("replica", limit=10)
        for change in page:
            if change.kind is ChangeKind.CLEAR:
                replica.delete_where(customer=change.primary_key[0])
            elif change.kind is ChangeKind.DELETE:
                assert replica.delete(change.primary_key)
            else:
                assert replica.exists(change.primary_key) is (change.kind is ChangeKind.UPDATE)
                replica.save(change.message)
        return page.more

    if sys.argv[3] == "write":
        threading.Thread(target=write, daemon=True).start()
    number = 0
    while db.run(follow, retry=AGAIN) or sys.argv[3] == "write":
        number += 1
        print(number, flush=True)
    db.close()
    print("done", flush=True)
"""


def test_a_consumer_that_is_killed_goes_on_where_its_last_commit_was(tmp_path: Path) -> None:
    path, chance = tmp_path / "feed.rl", random.Random(5)
    for run in range(KILLS):
        with running(WORK, path, run, "write") as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(5, 60)):
                assert process.stdout.readline().strip().isdigit()
            process.kill()
    with running(WORK, path, 0, "finish") as process:
        output, complaints = process.communicate(timeout=60)
        assert output.splitlines()[-1:] == ["done"], complaints
    with rl.open(f"file:{path}") as db, db.transaction() as tx:
        store, replica = tx.store(ZONES, path=PATH, format_version=13), tx.store(ZONES, path=REPLICA)
        assert store.check() == replica.check() == []
        assert replica.scan().all() == store.scan().all()
        assert store.scan().all(), "there is something to compare"
