"""What operations cost, counted by an engine in between: reads begun, and writes of every kind. The figures are those
of the design; `tests/golden/test_operation_counts.py` compares them with Java's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import field, q, query
from recordlayer.blocking.database import Database
from recordlayer.kv.mutations import Write, write_each
from recordlayer.kv.registry import open_engine
from recordlayer.world import World
from tests.support.shop import PATH, Customer, Order, builder


@dataclass
class Ops:
    """Calls of an engine's transaction."""

    reads: int = 0
    sets: int = 0
    mutations: int = 0
    clears: int = 0
    range_clears: int = 0

    @property
    def writes(self) -> int:
        return self.sets + self.mutations + self.clears + self.range_clears


_COUNTED = {
    "get": "reads",
    "get_range": "reads",
    "get_key": "reads",
    "set": "sets",
    "atomic": "mutations",
    "clear": "clears",
    "clear_range": "range_clears",
}


class CountedTransaction:
    def __init__(self, inner: Any, ops: Ops) -> None:
        self._inner = inner
        self._ops = ops

    def get_many(self, keys: list[bytes], *, snapshot: bool = False) -> Any:
        self._ops.reads += len(keys)
        return self._inner.get_many(keys, snapshot=snapshot)

    def get_ranges(self, ranges: list[tuple[bytes, bytes]], **how: Any) -> Any:
        self._ops.reads += len(ranges)
        return self._inner.get_ranges(ranges, **how)

    def write_many(self, writes: list[Write]) -> None:
        write_each(self, writes)

    def __getattr__(self, name: str) -> Any:
        counter = _COUNTED.get(name)
        if counter is not None:
            setattr(self._ops, counter, getattr(self._ops, counter) + 1)
        return getattr(self._inner, name)


class CountedEngine:
    """An engine whose transactions all count into `ops`."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.ops = Ops()

    def begin(self) -> Any:
        return CountedTransaction(self._inner.begin(), self.ops)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


METADATA = (
    builder()
    .index("Order", "a", field("customer"))
    .index("Order", "b", field("total"))
    .index("Order", "c", rl.concat("customer", "total"))
    .index("Customer", "unique", field("name"), unique=True)
    .build()
)
VERSIONED = (
    builder()
    .split_long_records(True)
    .store_record_versions(True)
    .index("Order", "a", field("customer"))
    .index("Order", "b", field("total"))
    .index("Order", "c", rl.concat("customer", "total"))
    .index("Order", "counted", rl.count(group_by=field("customer")))
    .build()
)


class Bench:
    """A database whose operations are counted one by one."""

    def __init__(self, metadata: rl.RecordMetaData) -> None:
        self.engine = CountedEngine(open_engine("memory:"))
        self.db = Database(self.engine, world=World())  # type: ignore[arg-type]  # an engine in all but its type
        self.metadata = metadata

    def cost(self, work: Callable[[Any], Any]) -> Ops:
        """What `work(store)` costs, opening left out, commit included."""
        with self.db.transaction() as tx:
            store = tx.store(self.metadata, path=PATH)
            self.engine.ops = counted = Ops()
            tx.context.transaction._ops = counted  # type: ignore[attr-defined]  # the counting one
            work(store)
        return counted

    def opening(self) -> Ops:
        self.engine.ops = counted = Ops()
        with self.db.transaction() as tx:
            tx.store(self.metadata, path=PATH)
        return counted


@pytest.fixture
def simple() -> Iterator[Bench]:
    bench = Bench(METADATA)
    yield bench
    bench.db.close()


@pytest.fixture
def versioned() -> Iterator[Bench]:
    bench = Bench(VERSIONED)
    yield bench
    bench.db.close()


ORDER = Order(id=1, customer="ana", total=5)


def save(*records: Any) -> Callable[[Any], None]:
    def work(store: Any) -> None:
        for record in records:
            store.save(record)

    return work


def test_opening_a_store_reads_two_ranges_and_writes_nothing(simple: Bench) -> None:
    assert simple.opening() == Ops(reads=2, sets=1), "the first time, with its header"
    assert simple.opening() == Ops(reads=2)


def test_saving_a_new_record_costs_one_read_and_a_write_for_it_and_each_entry(simple: Bench) -> None:
    assert simple.cost(save(ORDER)) == Ops(reads=1, sets=4)
    assert simple.cost(lambda store: store.insert(Order(id=2, customer="ana"))) == Ops(reads=1, sets=4)


def test_saving_without_a_change_to_anything_indexed_costs_one_write(simple: Bench) -> None:
    simple.cost(save(ORDER))
    assert simple.cost(save(ORDER)) == Ops(reads=1, sets=1)
    assert simple.cost(save(Order(id=1, customer="ana", total=5, note="x"))) == Ops(reads=1, sets=1)


def test_a_changed_field_costs_a_clear_and_a_set_in_each_of_its_indexes(simple: Bench) -> None:
    simple.cost(save(ORDER))
    assert simple.cost(save(Order(id=1, customer="ana", total=6))) == Ops(reads=1, sets=3, clears=2)


def test_a_unique_index_costs_one_read_more(simple: Bench) -> None:
    assert simple.cost(save(Customer(ref="a", name="ana"))) == Ops(reads=2, sets=2)
    assert simple.cost(save(Customer(ref="b"))) == Ops(reads=1, sets=2), "a null needs no look"


def test_loading_costs_one_read_whether_it_is_there_or_not(simple: Bench) -> None:
    simple.cost(save(ORDER))
    assert simple.cost(lambda store: store.load(1)) == Ops(reads=1)
    assert simple.cost(lambda store: store.load(2)) == Ops(reads=1)
    assert simple.cost(lambda store: store.load_many([1, 2, 3])) == Ops(reads=3)


def test_deleting_costs_one_read_a_range_clear_and_a_clear_for_each_entry(simple: Bench) -> None:
    simple.cost(save(ORDER))
    assert simple.cost(lambda store: store.delete(1)) == Ops(reads=1, clears=3, range_clears=1)
    assert simple.cost(lambda store: store.delete(1)) == Ops(reads=1)


def test_a_query_costs_one_read_for_the_entries_and_one_for_each_record(simple: Bench) -> None:
    simple.cost(save(*(Order(id=number, customer="ana", total=number) for number in range(10))))
    by_index = query("Order").where(q.customer == "ana")
    assert simple.cost(lambda store: store.query(by_index).all()) == Ops(reads=11)
    assert simple.cost(lambda store: store.query(by_index, limit=3).all()) == Ops(reads=4)
    covered = by_index.select("customer", "total")
    assert simple.cost(lambda store: store.query(covered).all()) == Ops(reads=1)
    assert simple.cost(lambda store: store.scan().all()) == Ops(reads=1)
    assert simple.cost(lambda store: store.scan_index("a").all()) == Ops(reads=1)


def test_one_of_several_values_costs_a_read_for_each_of_them(simple: Bench) -> None:
    simple.cost(save(*(Order(id=number, customer="abc"[number % 3], total=number) for number in range(9))))
    some = query("Order").where(q.customer.in_(["a", "c", "x"]))
    assert simple.cost(lambda store: store.query(some.select("customer")).all()) == Ops(reads=3)
    assert simple.cost(lambda store: store.query(some).all()) == Ops(reads=3 + 6)


def test_an_aggregate_of_one_group_costs_one_read(versioned: Bench) -> None:
    versioned.cost(save(ORDER, Order(id=2, customer="bo")))
    assert versioned.cost(lambda store: store.count("counted", "ana")) == Ops(reads=1)
    assert versioned.cost(lambda store: store.count("counted")) == Ops(reads=1)


def test_a_version_costs_one_write_more(versioned: Bench) -> None:
    assert versioned.cost(save(ORDER)) == Ops(reads=1, sets=4, mutations=2)
    assert versioned.cost(save(ORDER)) == Ops(reads=1, sets=1, mutations=1)


def test_deleting_all_costs_two_range_clears(versioned: Bench) -> None:
    versioned.cost(save(ORDER))
    assert versioned.cost(lambda store: store.delete_all()) == Ops(range_clears=2)


def test_exploring_a_plan_reads_nothing(simple: Bench) -> None:
    assert simple.cost(lambda store: store.explain(query("Order").where(q.total > 3))) == Ops()
