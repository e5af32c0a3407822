"""Indexes over joined records: kept in step with every constituent, scanned, built, checked, loaded from; and what
cannot be done with them."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import aio, concat, errors, field
from recordlayer.index.state import IndexState
from recordlayer.keys import key_with_value, version
from recordlayer.metadata import Evolution, count_updates, rank, text_index, value_index
from recordlayer.online.options import BuildLimits
from recordlayer.pb import record_metadata_pb2 as pb
from recordlayer.store import marking
from recordlayer.store.synthesis import indexed_records_of
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.behaviour.conftest import Shop
from tests.support.embedded import LONG
from tests.support.joins import TYPES, Expected, key_of
from tests.support.shop import FILE, PATH, Customer, Order, builder

ORDER, CUSTOMER = field("order"), field("customer")
BOTH = {"order": "Order", "customer": "Customer"}


def with_partners() -> rl.RecordMetaDataBuilder:
    return builder().index("Order", "by_customer", field("customer"))


def joined(*, outer: tuple[str, ...] = ()) -> rl.RecordMetaDataBuilder:
    return with_partners().joined("Sale", BOTH, on=[("order.customer", "customer.ref")], outer=outer)


SALES = (
    joined()
    .index("Sale", "by_name", concat(CUSTOMER.nest("name"), ORDER.nest("total")))
    .index("Sale", "sold", rl.sum_of(ORDER.nest("total"), group_by=CUSTOMER.nest("name")))
    .build()
)


def order(number: int, customer: str | None = None, total: int = 0) -> Any:
    return Order(id=number, customer=customer, total=total)


@pytest.fixture
def sales(db: Any) -> Any:
    shop = Shop(db, SALES)
    shop.save(order(1, "a", 5), order(2, "a", 7), order(3, "b", 9), Customer(ref="a", name="ana"))
    yield shop
    shop.check()


def scanned(shop: Shop, index: str, *prefix: Any, **how: Any) -> list[Any]:
    with shop.db.transaction() as tx:
        found = tx.store(shop.metadata, path=PATH).scan_index(index, prefix, **how).all()
    return [
        (entry.group, entry.value) if hasattr(entry, "group") else (entry.key, entry.primary_key) for entry in found
    ]


def test_each_pair_of_records_has_an_entry_with_columns_of_both(sales: Shop) -> None:
    assert scanned(sales, "by_name") == [(("ana", 5), (-1, (1,), ("a",))), (("ana", 7), (-1, (2,), ("a",)))]
    assert scanned(sales, "sold") == [(("ana",), 12)]
    keys = [key for key in sales.pairs() if key.startswith(pack((2, "by_name")))]
    assert keys[0] == pack((2, "by_name", "ana", 5, -1, (1,), ("a",)))
    assert keys[0].endswith(bytes.fromhex("13fe 05150100 0502610000"))


def test_a_change_of_either_record_changes_the_entries(sales: Shop) -> None:
    sales.save(Customer(ref="b", name="bo"))
    assert scanned(sales, "by_name", "bo") == [(("bo", 9), (-1, (3,), ("b",)))]
    sales.save(order(1, "b", 6))
    assert scanned(sales, "sold") == [(("ana",), 7), (("bo",), 15)]
    sales.save(Customer(ref="b", name="ben"))
    assert scanned(sales, "sold") == [(("ana",), 7), (("ben",), 15), (("bo",), 0)]
    with sales.db.transaction() as tx:
        store = tx.store(SALES, path=PATH)
        store.delete("a")
        store.delete(3)
    assert scanned(sales, "by_name") == [(("ben", 6), (-1, (1,), ("b",)))]
    assert scanned(sales, "sold") == [(("ana",), 0), (("ben",), 6), (("bo",), 0)]


def test_a_missing_record_is_null_until_it_comes_and_again_when_it_goes(db: Any) -> None:
    """Java leaves the entry without the customer behind when the customer comes."""
    metadata = joined(outer=("customer",)).index("Sale", "by_name", CUSTOMER.nest("name")).build()
    shop = Shop(db, metadata)
    shop.save(order(1, "a"), order(2))
    assert scanned(shop, "by_name") == [((None,), (-1, (1,), None)), ((None,), (-1, (2,), None))]
    shop.save(Customer(ref="a", name="ana"))
    assert scanned(shop, "by_name") == [((None,), (-1, (2,), None)), (("ana",), (-1, (1,), ("a",)))]
    with db.transaction() as tx:
        tx.store(metadata, path=PATH).delete("a")
    assert scanned(shop, "by_name") == [((None,), (-1, (1,), None)), ((None,), (-1, (2,), None))]
    shop.check()


def test_keys_of_joined_records_have_the_bytes_of_the_format() -> None:
    assert pack((-1, (1,), (2,))) == bytes.fromhex("13fe 05150100 05150200")
    assert pack((-1, (1,), None)) == bytes.fromhex("13fe 05150100 00")


# -- against nested loops ----------------------------------------------------------------------------------------


def all_types() -> rl.RecordMetaData:
    made = (
        with_partners()
        .index("Order", "by_note", field("note"))
        .index("Order", "by_total", field("total"))
        .index("Order", "by_tag", field("tags").fan_out())
        .index("Customer", "by_customers_name", field("name"))
    )
    for kind in TYPES:
        ids = [field(name).nest("id" if kind.constituents[name] == "Order" else "ref") for name in kind.constituents]
        kind.add_to(made).index(kind.name, f"of_{kind.name}", value_index(concat(*ids)))
        made.index(kind.name, f"number_of_{kind.name}", rl.count())
    return made.build()


ALL = all_types()


def drawn(numbers: random.Random) -> Any:
    letter = lambda: numbers.choice([None, "a", "b", "c"])  # noqa: E731
    if numbers.random() < 0.4:
        return Customer(ref=numbers.choice("abc"), name=letter())
    return Order(
        id=numbers.randrange(5),
        customer=letter(),
        total=numbers.choice([None, 0, 1, 2, 9]),
        note=letter(),
        tags=numbers.choices("abd", k=numbers.randrange(3)),
    )


def holds(shop: Shop, kind: Expected, records: list[Any]) -> None:
    wanted = kind.keys(records)
    found = scanned(shop, f"of_{kind.name}")
    assert {key[1:] for _, key in found} == wanted, (kind.name, records)
    assert sum(number for _, number in scanned(shop, f"number_of_{kind.name}")) == len(wanted), (kind.name, records)


@pytest.mark.parametrize("seed", range(40 if LONG else 3))
def test_indexes_hold_what_nested_loops_find_after_every_change(db: Any, seed: int) -> None:
    numbers = random.Random(seed)
    shop = Shop(db, ALL)
    records: dict[Any, Any] = {}
    for _ in range(14):
        with db.transaction() as tx:
            store = tx.store(ALL, path=PATH)
            for _ in range(numbers.randrange(1, 3)):
                some = [drawn(numbers) for _ in range(numbers.randrange(1, 4))]
                if numbers.random() < 0.25:
                    gone = [key for key in map(key_of, some) if key in records]
                    store.delete_many(gone)
                    for key in gone:
                        records.pop(key, None)
                    continue
                if numbers.random() < 0.5:
                    store.save_many(some)
                else:
                    for one in some:
                        store.save(one)
                records.update((key_of(one), one) for one in some)
        for kind in TYPES:
            holds(shop, kind, list(records.values()))
    shop.check()


def test_changes_side_by_side_in_one_transaction_leave_what_nested_loops_find() -> None:
    for seed in range(6):
        asyncio.run(side_by_side(random.Random(seed)))


async def side_by_side(numbers: random.Random) -> None:
    async with aio.open("memory:") as db:
        some = [drawn(numbers) for _ in range(12)]
        some = list({key_of(one): one for one in some}.values())
        later = list({key_of(one): one for one in (drawn(numbers) for _ in range(8))}.values())
        async with db.transaction() as tx:
            store = await tx.store(ALL, path=PATH)
            await asyncio.gather(*(store.save(one) for one in some))
            gone = key_of(some[0])
            later = [one for one in later if key_of(one) != gone]
            await asyncio.gather(store.save_many(later[:3]), store.delete(gone), *map(store.save, later[3:]))
        records = {key_of(one): one for one in [*some, *later]}
        records.pop(gone)
        async with db.transaction() as tx:
            store = await tx.store(ALL, path=PATH)
            assert await store.check() == []
            for kind in TYPES:
                entries = await store.scan_index(f"of_{kind.name}").all()
                assert {entry.primary_key[1:] for entry in entries} == kind.keys(list(records.values())), kind.name


def test_indexes_over_joined_records_are_built_when_a_store_is_opened_and_anew(db: Any) -> None:
    numbers = random.Random(7)
    records = {key_of(one): one for one in (drawn(numbers) for _ in range(20))}
    Shop(db, builder().build()).save(*records.values())
    shop = Shop(db, ALL)
    shop.save()
    for kind in TYPES:
        holds(shop, kind, list(records.values()))
    for kind in TYPES:
        with db.transaction() as tx:
            store = tx.store(ALL, path=PATH)
            store.rebuild_index(f"of_{kind.name}")
            store.rebuild_index(f"number_of_{kind.name}")
        holds(shop, kind, list(records.values()))
    shop.check()


# -- loading, deleting, uniqueness -------------------------------------------------------------------------------


def test_the_joined_record_of_an_entry_is_loaded(db: Any) -> None:
    metadata = joined(outer=("customer",)).index("Sale", "by_total", ORDER.nest("total")).build()
    shop = Shop(db, metadata)
    shop.save(order(1, "a", 5), order(2, "x", 7), Customer(ref="a", name="ana"))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        with_customer, without = [
            store.load_synthetic(entry.primary_key) for entry in store.scan_index("by_total").all()
        ]
        assert (with_customer.message.order, with_customer.message.customer.name) == (order(1, "a", 5), "ana")
        assert (without.message.order.id, without.message.HasField("customer")) == (2, False)
        assert (without.primary_key, without.record_type.name) == ((-1, (2,), None), "Sale")
        reads = tx.context.counters.rows_read
        assert store.load_synthetic((-1, (1,), ("nobody",))) is None
        assert tx.context.counters.rows_read - reads == 1
        for wrong in (
            1,
            (),
            (-1,),
            (-1, None, None),
            (-1, None, ("a",)),
            (-2, (1,), ("a",)),
            (True, (1,), ("a",)),
            (-1, (1,)),
        ):
            with pytest.raises(errors.UsageError):
                store.load_synthetic(wrong)
    shop.check()


def test_what_is_no_longer_joined_is_no_record_of_an_index(db: Any) -> None:
    metadata = (
        joined(outer=("customer",))
        .unnested("OrderItem", "Order", parent="order", nested={"item": field("items").fan_out()})
        .index("Sale", "by_total", ORDER.nest("total"))
        .index("OrderItem", "by_sku", field("item").nest("sku"))
        .build()
    )
    Shop(db, metadata).save(order(1, "a"), order(2, "b"), Customer(ref="a"), Customer(ref="c"))

    def there(index: str, *keys: Any) -> list[bool]:
        with db.transaction() as tx:
            core = tx.store(metadata, path=PATH).core
            found = run_blocking(indexed_records_of(core, metadata.index(index), [pack(key) for key in keys]))
        assert all(one is None or one.primary_key == key for one, key in zip(found, keys, strict=True))
        return [one is not None for one in found]

    of_a, of_b = (-1, (1,), ("a",)), (-1, (2,), None)
    assert (
        there("by_total", of_a, of_b, (-1, (1,), None), (-1, (1,), ("c",)), (-1, (9,), None))
        == [True, True] + [False] * 3
    )
    assert there("by_total", (-1, ("a",), (1,)), (-1, None, ("a",)), (-2, (1,), (0,)), (1,)) == [False] * 4
    assert there("by_customer", (1,), ("a",), (9,)) == [True, False, False]
    assert there("by_sku", (-2, (1,), (0,))) == [False]


def test_entries_of_what_is_no_longer_joined_are_found_and_removed_by_scrubs(db: Any) -> None:
    """Java leaves the entry without the customer behind when the customer comes."""
    metadata = joined(outer=("customer",)).index("Sale", "by_total", ORDER.nest("total")).build()
    shop = Shop(db, metadata)
    shop.save(order(1, "a", 5), order(2, "b", 6), order(3, "a", 7), Customer(ref="a"), Customer(ref="c"))
    with db.transaction() as tx:
        prefix = tx.store(metadata, path=PATH).core.layout.prefix
        for stale in (5, -1, (1,), None), (7, -1, (3,), ("c",)):
            tx.context.set(prefix + pack((2, "by_total", *stale)), b"")
    found = db.index_scrubber(metadata, path=PATH, indexes=["by_total"]).scrub()
    assert (found.found, found.repaired) == (2, 0)
    mended = db.index_scrubber(metadata, path=PATH, indexes=["by_total"], repair=True).scrub()
    assert (mended.found, mended.repaired) == (2, 2)
    assert [key for _, key in scanned(shop, "by_total")] == [(-1, (1,), ("a",)), (-1, (2,), None), (-1, (3,), ("a",))]
    shop.check()


def test_a_refused_entry_of_a_joined_record_leaves_no_trace(db: Any) -> None:
    metadata = joined().index("Sale", "by_note", concat(CUSTOMER.nest("name"), ORDER.nest("note"))).build()
    shop = Shop(db, metadata)
    shop.save(Customer(ref="a", name="x" * 6_000))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        long = Order(id=1, customer="a", note="y" * 6_000)
        for refused in (
            lambda: store.save(long),
            lambda: store.save_many([order(2, "a"), long]),
            lambda: store.dry_save(long),
        ):
            with pytest.raises(errors.IndexEntryTooLarge, match="by_note"):
                refused()
        store.save(order(3, "a"))
    assert [key for _, key in scanned(shop, "by_note")] == [(-1, (3,), ("a",))]
    shop.check()


def test_values_of_joined_records_can_be_unique(db: Any) -> None:
    metadata = joined().index("Sale", "once", concat(CUSTOMER.nest("name"), ORDER.nest("total")), unique=True).build()
    shop = Shop(db, metadata)
    shop.save(order(1, "a", 5), order(2, "a", 7), Customer(ref="a", name="ana"), Customer(ref="b", name="ana"))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        for refused in (
            lambda: store.save(order(3, "b", 5)),
            lambda: store.save(order(2, "a", 5)),
            lambda: store.save_many([order(4, "a", 9), order(5, "b", 9)]),
        ):
            with pytest.raises(errors.UniquenessViolation, match="once"):
                refused()
        store.save_many([order(1, "a", 7), order(2, "b", 5)])  # what one gives up is free for another of the batch
        store.save(order(6, "b", 9))
    assert [key for key, _ in scanned(shop, "once")] == [("ana", 5), ("ana", 7), ("ana", 9)]
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        with pytest.raises(errors.UniquenessViolation, match="once"):
            store.save(order(7, "a", 9))
    shop.check()


def test_all_records_of_a_tenant_are_dropped_where_the_join_is_by_tenant(db: Any) -> None:
    """The path of the tenant is the same in both types, so one condition is about both."""
    same = (
        builder()
        .primary_key("Order", concat("id", "customer"))
        .primary_key("Customer", concat("id", "ref"))
        .joined("Sale", BOTH, on=[("order.id", "customer.id")])
        .index("Sale", "totals", concat(CUSTOMER.nest("id"), ORDER.nest("total")))
        .build()
    )
    shop = Shop(db, same)
    shop.save(order(1, "a", 5), order(2, "a", 7), Customer(id=1, ref="x"), Customer(id=2, ref="x"))
    with db.transaction() as tx:
        tx.store(same, path=PATH).delete_where(id=1)
    assert scanned(shop, "totals") == [((2, 7), (-1, (2, "a"), (2, "x")))]
    shop.check()


def test_records_with_partners_are_not_dropped_by_what_the_index_cannot_tell(sales: Shop) -> None:
    typed = (
        joined()
        .primary_key("Order", concat(rl.record_type(), "id"))
        .primary_key("Customer", concat(rl.record_type(), "ref"))
        .index("Sale", "names", CUSTOMER.nest("name"))
        .build()
    )
    with sales.db.transaction() as tx:
        store = tx.store(typed, path=("shop", "typed"))
        store.save_many([order(1, "a"), Customer(ref="a", name="ana")])
        with pytest.raises(errors.IndexCannotClear, match="names"):
            store.delete_where("Order")
        assert len(store.scan_index("names").all()) == 1
        store.delete_all()
        assert (store.check(), store.scan_index("names").all()) == ([], [])


def test_a_store_says_what_does_not_follow_from_the_records_joined(sales: Shop) -> None:
    prefix = rl.Subspace(PATH).key()
    with sales.db.transaction() as tx:
        store = tx.store(SALES, path=PATH)
        lost = pack((2, "by_name", "ana", 5, -1, (1,), ("a",)), prefix)
        extra = pack((2, "by_name", "ana", 5, -1, (3,), ("a",)), prefix)
        tx.context.clear(lost)
        tx.context.set(extra, b"")
        words = [str(finding) for finding in store.check()]
        assert [word.split(": ")[1] for word in words] == ["an entry is missing", "an entry has no record"]
        tx.cancel()


def test_a_serving_index_that_lost_an_entry_does_not_hide_what_is_missing(sales: Shop) -> None:
    prefix = rl.Subspace(PATH).key()
    with sales.db.transaction() as tx:
        store = tx.store(SALES, path=PATH)
        tx.context.clear(pack((2, "by_customer", "a", 1), prefix))
        store.save(Customer(ref="a", name="ann"))
        assert {str(finding).split(":")[0] for finding in store.check()} == {
            "index by_customer",
            "index by_name",
            "index sold",
        }
        tx.cancel()


# -- cost --------------------------------------------------------------------------------------------------------


def test_a_save_looks_for_the_partners_of_its_own_record_only(db: Any) -> None:
    shop = Shop(db, SALES)
    shop.save(*(order(number, f"c{number % 3}") for number in range(30)), *(Customer(ref=f"c{at}") for at in range(3)))
    with db.transaction() as tx:
        store = tx.store(SALES, path=PATH)
        counters = tx.context.counters
        before = counters.reads, counters.rows_read
        store.save(order(99, "c1", 3))
        # its own record and its customer
        assert (counters.reads - before[0], counters.rows_read - before[1]) == (2, 1)
        before = counters.reads, counters.rows_read
        store.save(order(99, "c1", 4))
        assert (counters.reads - before[0], counters.rows_read - before[1]) == (2, 2)
    shop.check()


def test_whether_a_record_is_missing_is_told_by_one_of_them(db: Any) -> None:
    metadata = joined(outer=("order",)).index("Sale", "names", CUSTOMER.nest("name")).build()
    shop = Shop(db, metadata)
    shop.save(*(order(number, "c") for number in range(200)), Customer(ref="c", name="cleo"))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        rows = tx.context.counters.rows_read
        store.save(order(999, "c"))
        assert tx.context.counters.rows_read - rows < 20
    shop.check()


def test_a_change_that_no_join_and_no_index_is_about_looks_for_no_partner(db: Any) -> None:
    covering = key_with_value(concat(CUSTOMER.nest("name"), ORDER.nest("total")), split_point=1)
    metadata = joined(outer=("order",)).index("Sale", "names", covering).build()
    counted = joined().index("Sale", "updates", count_updates(group_by=CUSTOMER.nest("name"))).build()
    shop = Shop(db, metadata)
    shop.save(*(order(number, "c", 1) for number in range(50)), Customer(ref="c", name="cleo"))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        reads = tx.context.counters.reads
        store.save(Customer(ref="c", name="cleo", id=7))
        assert tx.context.counters.reads - reads == 1
        rows = tx.context.counters.rows_read
        store.save(Customer(ref="c", name="carl", id=7))
        assert tx.context.counters.rows_read - rows > 50
    with db.transaction() as tx:
        store = tx.store(counted, path=("shop", "counted"))
        store.save_many([order(1, "c"), Customer(ref="c", name="cleo")])
        store.save(Customer(ref="c", name="cleo"))
        store.save_many([order(1, "c", 5), order(1, "c", 5)])
        assert store.aggregate("updates", "cleo") == 3
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        store.save_many([Customer(ref="c", name="carl", id=8), order(3, "c", 9)])
        assert [entry.value for entry in store.scan_index("names", "carl").all()].count((9,)) == 1
    shop.check()


def test_ranks_and_texts_over_joined_records_give_their_records(db: Any) -> None:
    metadata = (
        joined(outer=("customer",))
        .index("Sale", "ranked", rank(ORDER.nest("total"), group_by=CUSTOMER.nest("name")))
        .index("Sale", "words", text_index(CUSTOMER.nest("name")))
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(*(order(number, "a", 10 * number) for number in range(5)), Customer(ref="a", name="ana maria"))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        assert store.ranks("ranked", "ana maria").rank(20) == 2
        best = store.ranks("ranked", "ana maria").records(0, 2, reverse=True).all()
        assert [(one.order.id, one.customer.ref) for one in best] == [(4, "a"), (3, "a")]
        assert len(store.texts("words").records("maria").all()) == 5
        assert store.texts("words").records("marias").all() == []
    shop.check()


def test_what_is_about_stored_records_alone_says_so(sales: Shop) -> None:
    unique = joined().index("Sale", "once", CUSTOMER.nest("name"), unique=True).build()
    with sales.db.transaction() as tx:
        hiding = tx.store(SALES, path=PATH, hide_expired=True)
        with pytest.raises(errors.UsageError, match="load_synthetic"):
            hiding.query(rl.query("Sale")).all()
        with pytest.raises(errors.UsageError, match="made from stored ones"):
            tx.store(unique, path=("shop", "other")).resolve_violation("once", (-1, (1,), ("a",)))


# -- definitions -------------------------------------------------------------------------------------------------


def test_metadata_without_an_index_to_find_partners_by_is_refused_and_the_index_named() -> None:
    with pytest.raises(errors.InvalidRecordType) as refused:
        builder().joined("Sale", BOTH, on=[("order.customer", "customer.ref")]).build()
    assert 'add .index("Order", "order_by_customer", field("customer"))' in str(refused.value)
    with pytest.raises(errors.InvalidMetaData) as both:
        builder().joined("Sale", BOTH, on=[("order.note", "customer.name")]).build()
    assert "order_by_note" in str(both.value)
    assert "customer_by_name" in str(both.value)


@pytest.mark.parametrize(
    ("constituents", "on", "outer", "words"),
    [
        ({}, [], (), "name the constituents"),
        ({"a-b": "Order"}, [], (), "name of a field"),
        (BOTH, [], (), "all records would be combined"),
        (BOTH, [("order.customer", "client.ref")], (), "constituent.field"),
        (BOTH, [("order", "customer.ref")], (), "constituent.field"),
        (BOTH, ["order.customer = customer.ref"], (), "order.customer"),
        (BOTH, [("order.customer", "order.note")], (), "between two constituents"),
        (BOTH, [("order.customer", "customer.reff")], (), "ref"),
        (BOTH, [("order.id", "customer.ref")], (), "never equal"),
        (BOTH, [(("order", concat("id", "total")), ("customer", concat("id", "id")))], (), "one join for each"),
        (BOTH, [("order.customer", "customer.ref")], ("client",), "not the names"),
        (BOTH, [(("order", version()), "customer.ref")], (), "not known before the commit"),
    ],
)
def test_joins_that_cannot_be_meant_are_refused_when_they_are_defined(
    constituents: Any, on: Any, outer: Any, words: str
) -> None:
    with pytest.raises(errors.SchemaError) as refused:
        with_partners().joined("Sale", constituents, on=on, outer=outer).build()
    assert words in str(refused.value)


def test_names_of_joined_types_are_their_own() -> None:
    for wrong in (
        lambda: joined().joined("Sale", BOTH, on=[("order.customer", "customer.ref")]).build(),
        lambda: with_partners().joined("Order", BOTH, on=[("order.customer", "customer.ref")]).build(),
        lambda: with_partners().joined("Sale", {"order": "Order", "nobody": "Nobody"}, on=[]).build(),
        lambda: joined().index("Sale", "wrong", ORDER.nest("nothing")).build(),
        lambda: joined().index("Sale", "wrong", rl.sum_of(CUSTOMER.nest("name"))).build(),
    ):
        with pytest.raises(errors.SchemaError):
            wrong()


def test_stored_metadata_has_what_java_writes_and_knows_the_same_types(sales: Shop) -> None:
    message = pb.MetaData.FromString(SALES.to_bytes())
    (stored,) = message.joined_record_types
    assert (stored.name, stored.record_type_key.long_value) == ("Sale", -1)
    assert [(one.name, one.record_type, one.HasField("outer_joined")) for one in stored.join_constituents] == [
        ("order", "Order", False),
        ("customer", "Customer", False),
    ]
    (join,) = stored.joins
    assert (join.left, join.left_expression.field.field_name, join.right) == ("order", "customer", "customer")
    again = Shop(sales.db, rl.RecordMetaData.from_bytes(SALES.to_bytes(), local=FILE))
    again.save(Customer(ref="b", name="bo"))
    assert scanned(again, "sold", "bo") == [(("bo",), 9)]
    more = rl.RecordMetaDataBuilder.from_proto(SALES.to_bytes()).index("Sale", "more", ORDER.nest("id")).build()
    assert more.indexes["more"].record_types == ("Sale",)


def test_stored_metadata_without_an_index_for_a_join_reads_all_records_as_java_does(db: Any) -> None:
    message = pb.MetaData.FromString(SALES.to_bytes())
    for at in reversed(range(len(message.indexes))):
        if message.indexes[at].name == "by_customer":
            del message.indexes[at]
    metadata = rl.RecordMetaData.from_bytes(message.SerializeToString(), local=FILE)
    shop = Shop(db, metadata)
    shop.save(order(1, "a", 5), order(2, "a", 7), Customer(ref="a", name="ana"))
    assert scanned(shop, "sold") == [(("ana",), 12)]
    shop.check()


def test_partners_are_found_while_the_index_that_serves_is_not_readable(sales: Shop) -> None:
    def off(_: Any) -> Any:
        return IndexState.DISABLED

    later = (
        rl.RecordMetaDataBuilder.from_proto(SALES.to_bytes(), local=FILE)
        .remove_index("by_customer")
        .index("Order", "by_customer_anew", field("customer"))
        .build()
    )
    with sales.db.transaction() as tx:
        store = tx.store(later, path=PATH, new_index_state=off)
        store.save(Customer(ref="b", name="bo"))
        store.save(Customer(ref="a", name="ann"))
    anew = Shop(sales.db, later)
    assert scanned(anew, "sold") == [(("ana",), 0), (("ann",), 12), (("bo",), 9)]
    sales.metadata = later


def test_evolution_keeps_what_entries_were_made_by() -> None:
    def findings(new: rl.RecordMetaDataBuilder, **allowed: bool) -> list[str]:
        rules = Evolution(allow_no_version_change=True, **allowed)
        return [finding.rule for finding in rules.findings(SALES, new.build())]

    def changed(**how: Any) -> rl.RecordMetaDataBuilder:
        made = joined(**how).index("Sale", "by_name", concat(CUSTOMER.nest("name"), ORDER.nest("total")))
        return made.index("Sale", "sold", rl.sum_of(ORDER.nest("total"), group_by=CUSTOMER.nest("name")))

    assert findings(changed()) == []
    assert findings(changed(outer=("customer",))) == ["synthetic record type changed"]
    rebuilt = (
        joined(outer=("customer",))
        .version(10)
        .index("Sale", "by_name", concat(CUSTOMER.nest("name"), ORDER.nest("total")), added_version=2)
        .index("Sale", "sold", rl.sum_of(ORDER.nest("total"), group_by=CUSTOMER.nest("name")), added_version=3)
    )
    assert findings(rebuilt, allow_index_rebuilds=True) == []


# -- builds and writers at once ----------------------------------------------------------------------------------

WRITERS = 4


def write(db: Any, metadata: rl.RecordMetaData, seed: int, turns: int, failed: list[BaseException]) -> None:
    numbers = random.Random(seed)

    def change(tx: Any, some: list[Any], gone: Any) -> None:
        store = tx.store(metadata, path=PATH)
        store.save_many(some)
        store.delete(gone)

    try:
        for _ in range(turns):
            some, gone = [drawn(numbers) for _ in range(2)], key_of(drawn(numbers))
            db.run(lambda tx, some=some, gone=gone: change(tx, some, gone), retry=rl.Retry(attempts=1_000))
    except BaseException as error:
        failed.append(error)
        raise


def agree(db: Any, metadata: rl.RecordMetaData) -> None:
    with db.transaction() as tx:
        records = list(tx.store(metadata, path=PATH).scan().all())
    shop = Shop(db, metadata)
    for kind in TYPES:
        holds(shop, kind, records)
    shop.check()


def test_writers_of_both_sides_end_with_what_nested_loops_find(db: Any) -> None:
    Shop(db, ALL).save(*(drawn(random.Random(number)) for number in range(8)))
    failed: list[BaseException] = []
    threads = [threading.Thread(target=write, args=(db, ALL, seed, 5, failed)) for seed in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    agree(db, ALL)


@pytest.mark.parametrize("seed", range(3))
def test_indexes_over_joined_records_are_built_while_others_write(db: Any, seed: int) -> None:
    """Counts as well: what the build has not come to is not counted by who changes it."""
    numbers = random.Random(seed)
    Shop(db, ALL).save(*(drawn(numbers) for _ in range(25)))
    names = [name for name in ALL.indexes if ALL.synthetic_of(ALL.indexes[name])]
    with db.transaction() as tx:
        core = tx.store(ALL, path=PATH).core
        for name in names:
            marking.clear_and_mark(core, ALL.index(name), IndexState.WRITE_ONLY)
    beside = rl.Database(db.engine, world=World())
    pieces: list[int] = []

    def told(report: Any) -> None:
        pieces.append(report.records)
        write(beside, ALL, 100 * seed + len(pieces), 1, [])

    limits = BuildLimits(records=1, records_per_second=None)
    assert db.online_indexer(ALL, path=PATH, indexes=names, limits=limits, told=told).build().finished
    assert len(pieces) > 3
    agree(db, ALL)
