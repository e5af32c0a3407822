"""Tenants that may read and write so much a second, over all processes, in both facades."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.keyspace import InternedDirectory, KeySpace, KeySpaceDirectory
from recordlayer.kv.registry import open_engine
from recordlayer.observe.events import TenantCharged, TenantRefused
from recordlayer.observe.observer import Callbacks
from recordlayer.tenant import Overload, TenantLimits
from recordlayer.testing.clock import ManualClock
from recordlayer.testing.counting import Counting
from recordlayer.world import World
from tests.support.shop import SHOP, Order

ACME, ZENITH = ("shop", "acme"), ("shop", "zenith")


class Processes:
    """Databases over one engine, as if each were a process of its own, and a clock that is moved by hand."""

    def __init__(self, over: Any) -> None:
        self.clock = ManualClock()
        self.world = self.clock.world()
        self.engine = Counting(open_engine("memory:", world=self.world))
        self._over = over

    def another(self, **how: Any) -> Any:
        return self._over(self.engine, world=World(clock=self.clock), **how)


@pytest.fixture
def processes(database_over: Any) -> Iterator[Processes]:
    made = Processes(database_over)
    yield made
    made.engine.close()


def save(db: Any, path: Any, number: int, **how: Any) -> None:
    with db.tenant(path).transaction(**how) as tx:
        tx.store(SHOP, path=path).save(Order(id=number, customer="ana", total=number))


def save_while_it_may(db: Any, path: Any, *, most: int = 1_000) -> int:
    """How many saves were let in."""
    for number in range(most):
        try:
            save(db, path, number)
        except errors.TenantOverLimit:
            return number
    return most


def test_a_tenant_over_its_limit_is_told_when_to_come_again(processes: Processes) -> None:
    db = processes.another()
    db.tenant(ACME).set_limits(TenantLimits(keys_written=50))
    assert db.tenant(ACME).limits() == TenantLimits(keys_written=50)
    assert 5 <= save_while_it_may(db, ACME) <= 40
    with pytest.raises(errors.TenantOverLimit, match="/shop/acme") as refused:
        save(db, ACME, 1)
    assert timedelta(0) < refused.value.retry_after <= timedelta(seconds=5)
    assert save_while_it_may(db, ZENITH, most=50) == 50, "others are not concerned"
    processes.clock.advance(refused.value.retry_after.total_seconds() + 0.01)
    save(db, ACME, 1)


def test_over_a_long_time_a_tenant_gets_what_its_limits_say(processes: Processes) -> None:
    first, second = processes.another(), processes.another()
    first.tenant(ACME).set_limits(TenantLimits(keys_written=100))
    for db in (first, second):
        save_while_it_may(db, ACME)
    before = first.tenant(ACME).usage().keys_written
    let_in = {id(first): 0, id(second): 0}
    seconds = 10
    for _ in range(seconds * 4):
        processes.clock.advance(0.25)
        for db in (first, second):
            let_in[id(db)] += save_while_it_may(db, ACME)
    second.tenant(ACME).usage()
    used = first.tenant(ACME).usage().keys_written - before
    assert 0.7 * seconds * 100 <= used <= 1.1 * seconds * 100 + 100
    assert max(let_in.values()) <= 1.5 * min(let_in.values()), "they share it"


def test_new_limits_are_gone_by_within_seconds_everywhere(processes: Processes) -> None:
    first, second = processes.another(), processes.another()
    assert save_while_it_may(second, ACME, most=200) == 200, "there are none yet"
    first.tenant(ACME).set_limits(TenantLimits(bytes_written=100))
    processes.clock.advance(2.1)
    assert save_while_it_may(second, ACME) <= 20
    first.tenant(ACME).set_limits(TenantLimits(bytes_written=10_000_000))
    processes.clock.advance(2.1)
    assert save_while_it_may(second, ACME, most=200) == 200
    first.tenant(ACME).set_limits(None)
    assert first.tenant(ACME).limits() is None
    processes.clock.advance(2.1)
    assert save_while_it_may(second, ACME, most=200) == 200


def test_reading_is_limited_too(processes: Processes) -> None:
    db = processes.another()
    save_while_it_may(db, ACME, most=100)
    db.tenant(ACME).set_limits(TenantLimits(keys_read=200))
    processes.clock.advance(3)

    def read() -> None:
        with db.tenant(ACME).transaction() as tx:
            assert len(tx.store(SHOP, path=ACME).query(rl.query("Order")).all()) == 100

    def read_for_ever() -> None:
        while True:
            read()

    read()
    with pytest.raises(errors.TenantOverLimit):
        read_for_ever()
    assert db.tenant(ACME).usage().keys_read <= 1_000


def test_a_tenant_may_wait_for_its_turn_but_not_longer_than_it_likes(open_database: Any) -> None:
    with open_database("memory:") as db:
        db.tenant(ACME).set_limits(TenantLimits(keys_written=150, burst=timedelta(milliseconds=500)))
        for number in range(25):
            save(db, ACME, number, overload=Overload.WAIT)
        assert db.tenant(ACME).run(lambda tx: 7, overload=Overload.WAIT) == 7
        db.tenant(ZENITH).set_limits(TenantLimits(keys_written=1, burst=timedelta(seconds=1)))
        save(db, ZENITH, 1, overload=Overload.WAIT)
        with pytest.raises(errors.TenantOverLimit) as refused:
            save(db, ZENITH, 2, overload=Overload.WAIT, most=timedelta(milliseconds=1))
        assert refused.value.retry_after > timedelta(milliseconds=1)
        with pytest.raises(errors.WrongType):
            db.tenant(ACME).transaction(overload="wait")


def test_being_within_the_limits_costs_no_reads_and_no_writes(processes: Processes) -> None:
    db = processes.another()
    db.tenant(ACME).set_limits(TenantLimits(keys_written=1_000_000, bytes_read=10_000_000))
    save(db, ACME, 1)
    with processes.engine.measured() as plain, db.transaction() as tx:
        tx.store(SHOP, path=ACME).save(Order(id=2, customer="ana", total=2))
    with processes.engine.measured() as limited:
        for number in range(3, 13):
            save(db, ACME, number)
    assert (limited.reads, limited.writes) == (10 * plain.reads, 10 * plain.writes)
    processes.clock.advance(0.6)
    with processes.engine.measured() as settled:
        save(db, ACME, 20)
    assert settled.reads == plain.reads + 2
    assert settled.writes <= plain.writes + 7


def test_usage_is_counted_over_all_processes_and_told_to_observers(processes: Processes) -> None:
    told: list[Any] = []
    first = processes.another(observer=Callbacks({TenantCharged: told.append, TenantRefused: told.append}))
    second = processes.another()
    save_while_it_may(first, ACME, most=10)
    save_while_it_may(second, ACME, most=5)
    second.tenant(ACME).usage()
    used = first.tenant(ACME).usage()
    assert used.transactions == 15
    assert used.keys_written > 15
    assert used.bytes_written > 15 * 20
    assert used.refused == 0
    charged = [event for event in told if isinstance(event, TenantCharged)]
    assert len(charged) == 10
    assert {event.tenant for event in charged} == {"/shop/acme"}
    assert sum(event.keys_written for event in charged) < used.keys_written
    with first.tenant(ACME).transaction() as tx:
        tx.store(SHOP, path=ACME).save(Order(id=1))
        tx.cancel()
    assert first.tenant(ACME).usage().transactions == 16, "what is not committed has been used as well"
    first.tenant(ACME).set_limits(TenantLimits(keys_written=1))
    processes.clock.advance(3)
    save_while_it_may(first, ACME)
    assert any(isinstance(event, TenantRefused) for event in told)
    assert first.tenant(ACME).usage().refused == 1


def test_a_tenant_of_a_name_that_is_not_interned_has_no_limits(processes: Processes) -> None:
    db = processes.another()
    space = KeySpace(KeySpaceDirectory("app", str, InternedDirectory("tenant"), value="shop"))
    acme = space.path("app").add("tenant", "acme")
    with db.tenant(acme).transaction() as tx:
        tx.store(SHOP, path=acme).save(Order(id=1, customer="ana"))
    with pytest.raises(errors.NameNotInterned):
        db.tenant(space.path("app").add("tenant", "nobody")).limits()
    db.tenant(acme).set_limits(TenantLimits(keys_written=10))
    processes.clock.advance(3)
    assert save_while_it_may(db, acme) <= 20
    db.tenant(acme).delete(name=True)
    db.tenant(acme).set_limits(None)


def test_work_that_is_tried_again_is_counted_each_time(processes: Processes) -> None:
    db = processes.another()
    tries: list[int] = []

    def work(tx: Any) -> int:
        tries.append(1)
        tx.store(SHOP, path=ACME).save(Order(id=1, customer="ana"))
        if len(tries) < 3:
            raise errors.Conflict
        return len(tries)

    assert db.tenant(ACME).run(work, retry=rl.Retry(max_delay=timedelta(0))) == 3
    assert db.tenant(ACME).usage().transactions == 3
