"""Records that are not as they were written: named in words, found by `check`, and no harm to the others."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Customer, Order, builder

SPLIT = (
    builder()
    .split_long_records(True)
    .store_record_versions(True)
    .index("Order", "by_customer", field("customer"))
    .build()
)
PREFIX = rl.Subspace(PATH).key()
RECORDS = b"\x15\x01"
ONE, TWO = RECORDS + b"\x15\x01", RECORDS + b"\x15\x02"
VERSION, WHOLE = b"\x13\xfe", b"\x14"


def part(number: int) -> bytes:
    return bytes((0x15, number))


class Damaged(Shop):
    """A store whose pairs are changed under the hands of the library."""

    def put(self, key: bytes, value: bytes | None) -> None:
        with self.db.transaction() as tx:
            if value is None:
                tx.context.transaction.clear(PREFIX + key)
            else:
                tx.context.transaction.set(PREFIX + key, value)

    def findings(self) -> list[Any]:
        with self.db.transaction() as tx:
            return list(tx.store(self.metadata, path=self.path).check())


@pytest.fixture
def damaged(db: Any, leaves_damage: None) -> Damaged:
    """Order 1 in three parts, orders 2 and 3 whole, a customer."""
    shop = Damaged(db, SPLIT)
    shop.save(Order(id=1, customer="ana", body=bytes(range(250)) * 1000))
    shop.save(Order(id=2, customer="bo"), Order(id=3, customer="bo"), Customer(ref="x", name="cy"))
    return shop


DAMAGE: dict[str, tuple[list[tuple[bytes, bytes | None]], str]] = {
    "the first part is missing": ([(ONE + part(1), None)], "part 1 was expected"),
    "a part in the middle is missing": ([(ONE + part(2), None)], "part 2 was expected"),
    "a whole record before parts": ([(ONE + WHOLE, b"")], "something follows the record"),
    "parts behind a whole record": ([(TWO + part(1), b"x")], "something follows the record"),
    "a part far behind the last": ([(ONE + part(9), b"x")], "part 4 was expected"),
    "a version and nothing else": (
        [(ONE + part(number), None) for number in (1, 2, 3)],
        "there is a version without a record",
    ),
    "a version that is none": ([(ONE + VERSION, b"\x15\x01")], "the version is not a versionstamp"),
    "a version cut short": ([(ONE + VERSION, b"\x33\x00")], "the version is not a packed versionstamp"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_pairs_that_are_no_record_are_named_and_the_others_stay_readable(damaged: Damaged, name: str) -> None:
    changes, found = DAMAGE[name]
    for key, value in changes:
        damaged.put(key, value)
    broken, whole = (2, 3) if changes[0][0].startswith(TWO) else (1, 2)
    with damaged.db.transaction() as tx:
        store = tx.store(SPLIT, path=PATH)
        for ask in (
            lambda: store.load(broken),
            lambda: store.load_many([whole, broken]),
            lambda: store.preload([broken]),
            lambda: store.scan().all(),
            lambda: store.scan(reverse=True).all(),
            lambda: store.query(rl.query("Order").where(rl.q.customer.in_(["ana", "bo"]))).all(),
            lambda: store.save(Order(id=broken)),
            lambda: store.save_many([Order(id=whole), Order(id=broken)]),
            lambda: store.delete(broken),
        ):
            with pytest.raises(errors.CorruptRecord) as raised:
                ask()
            assert raised.value.fields["where"] == f"record ({broken},) of Order in /shop/acme"
        with pytest.raises(errors.CorruptRecord, match=found):
            store.load(broken)
        assert store.load(whole).customer == "bo"
        assert store.load("x") == Customer(ref="x", name="cy")
        assert [one.id for one in store.scan(bounds=rl.Bounds.between((3,), (4,)))] == [3]
    assert any("pairs that are no record" in str(finding) for finding in damaged.findings())


def test_exchanged_parts_are_found(damaged: Damaged) -> None:
    pairs = damaged.pairs()
    damaged.put(ONE + part(1), pairs[ONE + part(2)])
    damaged.put(ONE + part(2), pairs[ONE + part(1)])
    with pytest.raises(errors.CorruptRecord) as raised:
        damaged.load(1)
    assert raised.value.fields["primary_key"] == (1,)
    assert damaged.load(2).customer == "bo"
    assert "a record cannot be read" in [finding.what for finding in damaged.findings()]


def test_exchanged_records_are_found(damaged: Damaged) -> None:
    pairs = damaged.pairs()
    damaged.put(RECORDS + b"\x02x\x00" + WHOLE, pairs[TWO + WHOLE])
    damaged.put(TWO + WHOLE, pairs[RECORDS + b"\x02x\x00" + WHOLE])
    whats = [finding.what for finding in damaged.findings()]
    assert whats.count("a record lies under another primary key") == 2


def test_every_damage_of_a_store_is_told_at_once(damaged: Damaged) -> None:
    damaged.put(ONE + part(2), None)
    damaged.put(TWO + WHOLE, b"\x0a\xff")
    damaged.put(RECORDS + b"\x15\x07" + VERSION, b"")
    damaged.put(RECORDS + b"\xff\xff", b"")
    damaged.put(b"\x15\x02\x02gone\x00\x15\x01", b"")
    damaged.put(b"\x15\x05\x02gone\x00", b"\x15\x01")
    damaged.put(b"\x15\x08\x15\x01", bytes(12))
    damaged.put(b"\x15\x0b", b"")
    whats = {finding.what for finding in damaged.findings()}
    assert whats >= {
        "pairs that are no record",
        "a record cannot be read",
        "a key that is no tuple",
        "indexes of an index that is not in the metadata",
        "the state of an index that is not in the metadata",
        "a version where this format has none",
        "a key of no part of a store",
        "an entry has no record",
    }
    assert damaged.load(3).customer == "bo"


def test_left_over_entries_violations_and_counters_are_found(db: Any, leaves_damage: None) -> None:
    metadata = (
        builder()
        .record_count_key(rl.record_type())
        .index("Order", "by_customer", field("customer"))
        .index("Customer", "by_name", field("name"), unique=True)
        .index("Order", "orders", rl.count(group_by=field("customer")))
        .build()
    )
    shop = Damaged(db, metadata)
    shop.save(Order(id=1, customer="ana"))
    assert shop.findings() == []
    shop.put(b"\x15\x07\x02by_name\x00\x02x\x00\x02a\x00", b"\x02b\x00")
    shop.put(b"\x15\x04\x02gone\x00", (3).to_bytes(8, "little"))
    shop.put(b"\x15\x02\x02orders\x00\x02ana\x00", (2).to_bytes(8, "little"))
    shop.put(b"\x15\x02\x02by_customer\x00\x02bo\x00\x15\x02", b"")
    assert sorted(str(finding).split(":")[0] + ": " + finding.what for finding in shop.findings()) == [
        "index by_customer: an entry has no record",
        "index by_name: violations of a unique index that may be read",
        "index orders: an aggregate is off",
        "record counts: a counter is off",
    ]


def test_a_counter_that_is_none_is_refused(db: Any, leaves_damage: None) -> None:
    metadata = builder().record_count_key(rl.record_type()).build()
    shop = Damaged(db, metadata)
    shop.save(Order(id=1))
    (counter,) = [key for key in shop.pairs() if key.startswith(b"\x15\x04")]
    shop.put(counter, b"\x01")
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        for count in (lambda: store.record_count(), lambda: store.record_count("Order")):
            with pytest.raises(errors.CorruptHeader):
                count()
    assert [finding.what for finding in shop.findings()] == ["a counter is off"]


# -- sizes -------------------------------------------------------------------------------------------------


def stored_in(size: int) -> Any:
    """An order that takes so many bytes as it is stored: 0 stands for the least there can be."""
    if not size:
        return Order(id=1)
    body = size - 20
    while len(SPLIT.envelope(order := Order(id=1, body=bytes(body)))) < size:
        body += 1
    assert len(SPLIT.envelope(order)) == size
    return order


SIZES = {0: 0, 99_999: 0, 100_000: 0, 100_001: 2, 200_000: 2, 200_001: 3, 5_000_000: 50}


@pytest.mark.parametrize("size", SIZES)
def test_a_record_of_a_size_takes_as_many_parts_as_it_needs(db: Any, size: int) -> None:
    shop, order = Shop(db, SPLIT), stored_in(size)
    with db.transaction() as tx:
        saved = tx.store(SPLIT, path=PATH).save(order)
        assert saved.shape.parts == SIZES[size]
        assert tx.store(SPLIT, path=PATH).load(1) == order
    assert shop.load(1) == order
    lengths = {key[len(ONE) :]: len(value) for key, value in shop.pairs().items() if key.startswith(ONE)}
    assert lengths.pop(VERSION) == 13
    assert sum(lengths.values()) == len(SPLIT.envelope(order))
    assert max(lengths.values()) <= 100_000
    assert len(lengths) == max(1, SIZES[size])


def test_a_record_grows_and_shrinks_through_all_sizes(db: Any) -> None:
    shop = Shop(db, SPLIT)
    for size in (0, 100_001, 99_999, 5_000_000, 100_000, 200_001, 0):
        shop.save(stored_in(size))
        stored = [key for key in shop.pairs() if key.startswith(ONE)]
        assert len(stored) == 1 + max(1, SIZES[size])
        shop.check()
    with db.transaction() as tx:
        tx.store(SPLIT, path=PATH).delete(1)
    assert list(shop.pairs()) == [b"\x14"]
