"""What operations cost: the figures of the design, exactly, and never more than Java's for the same operation.

Java counted the operations of one transaction, opening left out unless it is the operation. Here an engine in between
counts what the store asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import recordlayer as rl
from recordlayer import field, q, query
from recordlayer.kv.registry import open_engine
from recordlayer.testing import Counting, Counts
from recordlayer.world import World
from tests.golden.scenario import Scenario
from tests.support.shop import PATH, Customer, Order, builder


def CONCERNS(scenario: Scenario) -> bool:
    return scenario.kind == "opcounts"


def _three_indexes() -> rl.RecordMetaDataBuilder:
    return (
        builder()
        .index("Order", "by_customer", field("customer"))
        .index("Order", "by_total", field("total"))
        .index("Order", "by_both", rl.concat("customer", "note"))
    )


METADATA = {
    "three VALUE indexes": _three_indexes().build(),
    "split long records, record versions, three VALUE indexes and a COUNT": (
        _three_indexes()
        .index("Order", "counted", rl.count(group_by=field("customer")))
        .split_long_records(True)
        .store_record_versions(True)
        .build()
    ),
}
SIMPLE, VERSIONED = METADATA.values()
UNIQUE = builder().index("Customer", "by_name", field("name"), unique=True).build()


def order(number: int, **fields: Any) -> Any:
    return Order(**{"id": number, "customer": "ana", "total": number % 7, "note": "n"} | fields)


class Measured:
    """A store whose operations are counted."""

    def __init__(self, metadata: rl.RecordMetaData, there: list[Any]) -> None:
        self.engine = Counting(open_engine("memory:"))
        self.db = rl.Database(self.engine, world=World())
        self.metadata = metadata
        if there:
            self.cost(lambda store: store.save_many(there))

    def opening(self) -> Counts:
        with self.engine.measured() as counts, self.db.transaction() as tx:
            tx.store(self.metadata, path=PATH)
        return counts

    def cost(self, work: Callable[[Any], Any]) -> Counts:
        """What `work(store)` costs, opening left out, commit included."""
        with self.db.transaction() as tx:
            store = tx.store(self.metadata, path=PATH)
            with self.engine.measured() as counts:
                work(store)
                tx.commit()
        return counts

    def close(self) -> None:
        with self.db.transaction() as tx:
            assert tx.store(self.metadata, path=PATH).check() == []
        self.db.close()


class Expected(NamedTuple):
    """Reads, their round trips, and writes of every kind."""

    reads: int
    round_trips: int
    writes: int


def _of(counts: Counts) -> Expected:
    return Expected(counts.reads, counts.round_trips, counts.writes)


class Case(NamedTuple):
    """An operation: on which records, what is done, and what it costs without and with versions and a count."""

    there: list[Any]
    work: Callable[[Any], Any]
    simple: Expected
    versioned: Expected


BIG = order(1, body=bytes(250_000))
TWENTY_TWO = [order(number) for number in range(22)]


def save(*records: Any) -> Callable[[Any], Any]:
    def work(store: Any) -> None:
        for record in records:
            store.save(record)

    return work


def twice(store: Any) -> None:
    store.load(1)
    store.load(1)


CASES: dict[str, Case] = {
    "save one new record": Case([], save(order(1)), Expected(1, 1, 4), Expected(1, 1, 6)),
    "save one new record, told that it does not exist (insert)": Case(
        [], lambda store: store.insert(order(1)), Expected(1, 1, 4), Expected(1, 1, 6)
    ),
    "save 20 new records": Case(
        [], lambda store: store.save_many(TWENTY_TWO[:20]), Expected(20, 1, 80), Expected(20, 1, 120)
    ),
    "replace a record without change": Case([order(1)], save(order(1)), Expected(1, 1, 1), Expected(1, 1, 2)),
    "replace a record, one indexed field changed": Case(
        [order(1)], save(order(1, total=9)), Expected(1, 1, 3), Expected(1, 1, 4)
    ),
    "replace a record, a field in no index changed": Case(
        [order(1)], save(order(1, body=b"x")), Expected(1, 1, 1), Expected(1, 1, 2)
    ),
    "load by primary key": Case([order(1)], lambda store: store.load(1), Expected(1, 1, 0), Expected(1, 1, 0)),
    "load by primary key, absent": Case([], lambda store: store.load(1), Expected(1, 1, 0), Expected(1, 1, 0)),
    "load the same record twice in a transaction": Case([order(1)], twice, Expected(2, 2, 0), Expected(2, 2, 0)),
    "scan 10 index entries and fetch the records": Case(
        TWENTY_TWO,
        lambda store: store.query(query("Order").where(q.customer == "ana"), limit=10).all(),
        Expected(11, 2, 0),
        Expected(11, 2, 0),
    ),
    "scan 10 index entries only": Case(
        TWENTY_TWO,
        lambda store: store.scan_index("by_customer", limit=10).all(),
        Expected(1, 1, 0),
        Expected(1, 1, 0),
    ),
    "scan all records (22)": Case(TWENTY_TWO, lambda store: store.scan().all(), Expected(1, 1, 0), Expected(1, 1, 0)),
    "delete one record": Case([order(1)], lambda store: store.delete(1), Expected(1, 1, 4), Expected(1, 1, 5)),
    "delete one record, absent": Case([], lambda store: store.delete(1), Expected(1, 1, 0), Expected(1, 1, 0)),
    "save a new record of 250 kB": Case([], save(BIG), Expected(1, 1, 6), Expected(1, 1, 8)),
    "load a record of 250 kB": Case([BIG], lambda store: store.load(1), Expected(1, 1, 0), Expected(1, 1, 0)),
    "delete a record of 250 kB": Case([BIG], lambda store: store.delete(1), Expected(1, 1, 4), Expected(1, 1, 5)),
}
OPENING = {"create the store (first open)": Expected(2, 1, 1), "open the store (nothing changed)": Expected(2, 1, 0)}


def test_no_operation_that_java_counted_costs_more_here(scenario: Scenario, compared: Any) -> None:
    for recorded in scenario.data["operations"]:
        name, java = recorded["operation"], recorded["counts"]
        metadata = METADATA[recorded["configuration"]]
        if name in OPENING:
            measured = Measured(metadata, [] if OPENING[name].writes else [order(1)])
            counts, expected = measured.opening(), OPENING[name]
        else:
            case = CASES[name]
            measured = Measured(metadata, case.there)
            counts, expected = measured.cost(case.work), case.simple if metadata is SIMPLE else case.versioned
        measured.close()
        assert _of(counts) == expected, (recorded["configuration"], name)
        assert counts.reads <= java["reads"], name
        assert counts.rows <= java["range_keyvalues_fetched"], name
        assert counts.writes <= sum(java[kind] for kind in ("writes", "mutations", "deletes", "range_deletes")), name
        compared("operations, none of them dearer than in Java")


# -- what Java has no figures for ----------------------------------------------------------------------------

CUSTOMERS = [Customer(ref=name, name=name) for name in "abc"]
BY_CUSTOMER = query("Order").where(q.customer == "ana")

OTHERS: dict[str, tuple[rl.RecordMetaData, list[Any], Callable[[Any], Any], Expected]] = {
    "save, unique index": (UNIQUE, [], save(CUSTOMERS[0]), Expected(2, 1, 2)),
    "save, unique index, replaced": (UNIQUE, CUSTOMERS, save(Customer(ref="a", name="z")), Expected(2, 1, 3)),
    "batch save, unique index": (UNIQUE, [], lambda store: store.save_many(CUSTOMERS), Expected(6, 1, 6)),
    "batch load": (SIMPLE, TWENTY_TWO, lambda store: store.load_many(range(22)), Expected(22, 1, 0)),
    "batch load, versions": (VERSIONED, TWENTY_TWO, lambda store: store.load_many(range(22)), Expected(22, 1, 0)),
    "batch delete": (SIMPLE, TWENTY_TWO, lambda store: store.delete_many(range(22)), Expected(22, 1, 88)),
    "preload, then change": (
        SIMPLE,
        TWENTY_TWO,
        lambda store: (store.preload([1, 2]), store.load(1), store.save(order(1)), store.delete(2)),
        Expected(2, 1, 5),
    ),
    "exists": (SIMPLE, TWENTY_TWO, lambda store: store.exists(1), Expected(1, 1, 0)),
    "dry save": (UNIQUE, CUSTOMERS, lambda store: store.dry_save(Customer(ref="z", name="z")), Expected(2, 1, 0)),
    "dry delete": (SIMPLE, TWENTY_TWO, lambda store: store.dry_delete(1), Expected(1, 1, 0)),
    "delete all": (SIMPLE, TWENTY_TWO, lambda store: store.delete_all(), Expected(0, 0, 2)),
    "count of one group": (VERSIONED, TWENTY_TWO, lambda store: store.count("counted", "ana"), Expected(1, 1, 0)),
    "count of a type": (VERSIONED, TWENTY_TWO, lambda store: store.record_count("Order"), Expected(1, 1, 0)),
    "index query, 22 records": (SIMPLE, TWENTY_TWO, lambda store: store.query(BY_CUSTOMER).all(), Expected(23, 2, 0)),
    "covering query": (
        SIMPLE,
        TWENTY_TWO,
        lambda store: store.query(BY_CUSTOMER.select("customer", "id")).all(),
        Expected(1, 1, 0),
    ),
    "header field": (
        SIMPLE,
        [],
        lambda store: store.header.info,
        Expected(0, 0, 0),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_operations_cost_what_the_design_says(name: str) -> None:
    metadata, there, work, expected = OTHERS[name]
    measured = Measured(metadata, there)
    counts = measured.cost(work)
    measured.close()
    assert _of(counts) == expected


def test_deleting_by_the_beginning_of_keys_costs_the_same_however_many_there_are() -> None:
    metadata = (
        rl.RecordMetaDataBuilder(Order.DESCRIPTOR.file)
        .primary_key("Order", rl.concat(rl.record_type(), "customer", "id"))
        .primary_key("Customer", rl.concat(rl.record_type(), "ref"))
        .index("Order", "by_total", rl.concat("customer", "total"))
        .index("Order", "counted", rl.count(group_by=field("customer")))
        .build()
    )
    for records in (1, 40):
        measured = Measured(metadata, [order(number) for number in range(records)])
        counts = measured.cost(lambda store: store.delete_where("Order", customer="ana"))
        measured.close()
        assert _of(counts) == Expected(0, 0, 3)
