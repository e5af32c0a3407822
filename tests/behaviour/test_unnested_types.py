"""Indexes over the elements of records: kept in step, scanned, rebuilt, checked; and what cannot be done with them."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import concat, errors, field
from recordlayer.index.state import IndexState
from recordlayer.metadata.definitions import text_index
from recordlayer.online.options import BuildLimits
from recordlayer.store import marking
from recordlayer.tuples import pack
from recordlayer.world import World
from tests.behaviour.conftest import Shop
from tests.support.every_index import LATER
from tests.support.shop import FILE, PATH, Customer, Order, builder

ITEM, ORDER = field("item"), field("order")


def with_items() -> rl.RecordMetaDataBuilder:
    return builder().unnested("OrderItem", "Order", parent="order", nested={"item": field("items").fan_out()})


LINES = (
    with_items()
    .index("OrderItem", "by_sku", concat(ITEM.nest("sku"), ORDER.nest("customer")))
    .index("OrderItem", "by_place", concat(field("__positions").nest("item"), ITEM.nest("price")))
    .index("OrderItem", "sold", rl.sum_of(ITEM.nest("price"), group_by=ITEM.nest("sku")))
    .index("OrderItem", "words", text_index(ITEM.nest("sku")))
    .index("Order", "by_customer", field("customer"))
    .build()
)


def order(number: int, customer: str, *items: tuple[str, int]) -> Any:
    made = Order(id=number, customer=customer)
    for sku, price in items:
        made.items.add(sku=sku, price=price)
    return made


@pytest.fixture
def lines(db: Any) -> Any:
    shop = Shop(db, LINES)
    shop.save(order(1, "ana", ("tea", 3), ("jam", 5)), order(2, "bo", ("tea", 4)), order(3, "cleo"), Customer(ref="c"))
    yield shop
    shop.check()


def scanned(shop: Shop, index: str, *prefix: Any, **how: Any) -> list[Any]:
    with shop.db.transaction() as tx:
        found = tx.store(shop.metadata, path=PATH).scan_index(index, prefix, **how).all()
    return [
        (entry.group, entry.value) if hasattr(entry, "group") else (entry.key, entry.primary_key) for entry in found
    ]


def test_each_element_has_an_entry_with_columns_of_its_record(lines: Shop) -> None:
    assert scanned(lines, "by_sku") == [
        (("jam", "ana"), (-1, (1,), (1,))),
        (("tea", "ana"), (-1, (1,), (0,))),
        (("tea", "bo"), (-1, (2,), (0,))),
    ]
    assert scanned(lines, "by_place", 1) == [((1, 5), (-1, (1,), (1,)))]
    assert scanned(lines, "sold") == [(("jam",), 5), (("tea",), 7)]
    assert scanned(lines, "by_sku", "tea", reverse=True)[0][1] == (-1, (2,), (0,))


def test_entries_have_the_bytes_of_the_format(lines: Shop) -> None:
    keys = [key for key in lines.pairs() if key.startswith(pack((2, "by_sku")))]
    assert keys[0] == pack((2, "by_sku", "jam", "ana", -1, (1,), (1,)))
    assert keys[0].endswith(bytes.fromhex("13fe 05150100 05150100"))


def test_a_changed_record_changes_the_entries_of_the_elements_that_changed(lines: Shop) -> None:
    lines.save(order(1, "ana", ("tea", 3), ("ham", 6), ("jam", 5)))
    assert scanned(lines, "by_sku", "jam") == [(("jam", "ana"), (-1, (1,), (2,)))]
    assert scanned(lines, "sold") == [(("ham",), 6), (("jam",), 5), (("tea",), 7)]
    lines.save(order(1, "dan"))
    assert scanned(lines, "by_sku") == [(("tea", "bo"), (-1, (2,), (0,)))]
    with lines.db.transaction() as tx:
        tx.store(LINES, path=PATH).delete(2)
    assert scanned(lines, "by_sku") == []
    assert scanned(lines, "sold") == [(("ham",), 0), (("jam",), 0), (("tea",), 0)]


def test_saving_the_same_elements_writes_no_entry(lines: Shop) -> None:
    with lines.db.transaction() as tx:
        store = tx.store(LINES, path=PATH)
        before = tx.context.counters.writes
        store.save(order(1, "ana", ("tea", 3), ("jam", 5)))
        assert tx.context.counters.writes - before == 1


def test_an_index_over_elements_is_built_over_records_that_are_there(db: Any) -> None:
    earlier = builder().index("Order", "by_customer", field("customer")).build()
    shop = Shop(db, earlier)
    shop.save(order(1, "ana", ("tea", 3), ("jam", 5)), order(2, "bo", ("tea", 4)))
    later = Shop(
        db,
        with_items()
        .index("Order", "by_customer", field("customer"))
        .index("OrderItem", "by_sku", ITEM.nest("sku"))
        .index("OrderItem", "sold", rl.sum_of(ITEM.nest("price"), group_by=ITEM.nest("sku")))
        .build(),
    )
    later.save()
    assert [entry for entry, _ in scanned(later, "by_sku")] == [("jam",), ("tea",), ("tea",)]
    with db.transaction() as tx:
        tx.store(later.metadata, path=PATH).rebuild_index("sold")
    assert scanned(later, "sold") == [(("jam",), 5), (("tea",), 7)]
    later.check()


def test_a_store_says_which_element_has_lost_its_entry(lines: Shop) -> None:
    prefix = rl.Subspace(PATH).key()
    with lines.db.transaction() as tx:
        store = tx.store(LINES, path=PATH)
        lost = pack((2, "by_sku", "jam", "ana", -1, (1,), (1,)), prefix)
        tx.context.clear(lost)
        assert any("by_sku" in str(finding) for finding in store.check())
        tx.context.set(lost, b"")


def test_elements_of_elements_and_several_kinds_of_them_are_combined(db: Any) -> None:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="deep.proto", package="deep", syntax="proto2")
    for name, fields in {
        "Leaf": (("value", kinds.TYPE_INT64, None, kinds.LABEL_OPTIONAL),),
        "Branch": (("leaves", kinds.TYPE_MESSAGE, "Leaf", kinds.LABEL_REPEATED),),
        "Tree": (
            ("id", kinds.TYPE_INT64, None, kinds.LABEL_OPTIONAL),
            ("branches", kinds.TYPE_MESSAGE, "Branch", kinds.LABEL_REPEATED),
            ("crown", kinds.TYPE_MESSAGE, "Branch", kinds.LABEL_OPTIONAL),
        ),
    }.items():
        message = file.message_type.add(name=name)
        for number, (field_name, kind, inner, label) in enumerate(fields, 1):
            made = message.field.add(name=field_name, number=number, type=kind, label=label)
            if inner:
                made.type_name = f".deep.{inner}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindFileByName("deep.proto")
    tree_class = message_factory.GetMessageClass(descriptor.message_types_by_name["Tree"])
    metadata = (
        rl.RecordMetaDataBuilder(descriptor)
        .primary_key("Tree", "id")
        .unnested(
            "Pair",
            "Tree",
            parent="tree",
            nested={
                "branch": field("branches").fan_out(),
                "leaf": ("branch", field("leaves").fan_out()),
                "top": field("crown").nest(field("leaves").fan_out()),
            },
        )
        .index("Pair", "pairs", concat(field("leaf").nest("value"), field("top").nest("value")))
        .build()
    )
    shop = Shop(db, metadata)
    tree = tree_class(id=7)
    for values in ((1, 2), (), (3,)):
        branch = tree.branches.add()
        for number in values:
            branch.leaves.add(value=number)
    for number in (8, 9):
        tree.crown.leaves.add(value=number)
    shop.save(tree, tree_class(id=8))
    assert scanned(shop, "pairs") == [
        ((leaf, top), (-1, (7,), (branch,), (place,), (crown,)))
        for branch, place, leaf in ((0, 0, 1), (0, 1, 2), (2, 0, 3))
        for crown, top in enumerate((8, 9))
    ]
    shop.check()


def test_stored_metadata_knows_the_same_types(lines: Shop) -> None:
    again = Shop(lines.db, rl.RecordMetaData.from_bytes(LINES.to_bytes(), local=FILE))
    again.save(order(4, "dan", ("ham", 1)))
    assert scanned(again, "by_sku", "ham") == [(("ham", "dan"), (-1, (4,), (0,)))]
    again.check()


def test_records_are_dropped_with_the_entries_of_their_elements_where_these_begin_alike(db: Any) -> None:
    typed = (
        with_items()
        .primary_key("Order", concat(rl.record_type(), "customer", "id"))
        .primary_key("Customer", concat(rl.record_type(), "ref"))
        .index("OrderItem", "by_customer", concat(ORDER.nest("customer"), ITEM.nest("sku")))
    )
    metadata = typed.build()
    shop = Shop(db, metadata)
    shop.save(order(1, "ana", ("tea", 3)), order(2, "bo", ("jam", 3)), Customer(ref="c"))
    with db.transaction() as tx:
        tx.store(metadata, path=PATH).delete_where("Order", customer="ana")
    assert [key for key, _ in scanned(shop, "by_customer")] == [("bo", "jam")]
    shop.check()
    with db.transaction() as tx:
        tx.store(metadata, path=PATH).delete_where("Order")
    assert scanned(shop, "by_customer") == []
    shop.check()
    later = typed.index("OrderItem", "by_sku", ITEM.nest("sku")).build()
    with db.transaction() as tx:
        store = tx.store(later, path=PATH)
        store.save(order(1, "ana", ("tea", 3)))
        with pytest.raises(errors.IndexCannotClear, match="by_sku"):
            store.delete_where("Order", customer="ana")
        store.delete_where("Customer")
    assert len(scanned(Shop(db, later), "by_sku")) == 1


def test_values_of_elements_can_be_unique(db: Any) -> None:
    metadata = with_items().index("OrderItem", "skus", ITEM.nest("sku"), unique=True).build()
    shop = Shop(db, metadata)
    shop.save(order(1, "ana", ("tea", 3), ("jam", 5)))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        for refused in (
            lambda: store.save(order(2, "bo", ("ham", 1), ("tea", 4))),
            lambda: store.save(order(2, "bo", ("ham", 1), ("ham", 2))),
            lambda: store.save_many([order(3, "bo", ("egg", 1)), order(4, "bo", ("egg", 1))]),
        ):
            with pytest.raises(errors.UniquenessViolation, match="skus"):
                refused()
        store.save(order(1, "ana", ("jam", 5), ("egg", 1), ("tea", 3)))  # elements may change places
        store.save(order(2, "bo", ("ham", 1)))
    assert [key for key, _ in scanned(shop, "skus")] == [("egg",), ("ham",), ("jam",), ("tea",)]
    shop.check()


def test_the_element_of_an_entry_is_loaded_with_its_record(lines: Shop) -> None:
    with lines.db.transaction() as tx:
        store = tx.store(LINES, path=PATH)
        (entry,) = store.scan_index("by_sku", ("jam",)).all()
        found = store.load_synthetic(entry.primary_key)
        assert (found.message.item.price, found.message.order.customer) == (5, "ana")
        assert getattr(found.message, "__positions").item == 1
        assert store.load_synthetic((-1, (1,), (2,))) is None
        assert store.load_synthetic((-1, (9,), (0,))) is None


def test_elements_that_a_build_has_not_come_to_are_not_counted_twice(lines: Shop) -> None:
    with lines.db.transaction() as tx:
        core = tx.store(LINES, path=PATH).core
        marking.clear_and_mark(core, LINES.index("sold"), IndexState.WRITE_ONLY)
    beside = rl.Database(lines.db.engine, world=World())
    seen: list[int] = []

    def told(report: Any) -> None:
        seen.append(report.records)
        with beside.transaction() as tx:
            tx.store(LINES, path=PATH).save(order(len(seen) % 3 + 1, "ana", ("tea", 10 * len(seen)), ("egg", 1)))

    limits = BuildLimits(records=1, records_per_second=None)
    assert lines.db.online_indexer(LINES, path=PATH, indexes=["sold"], limits=limits, told=told).build().finished
    assert len(seen) > 2
    lines.check()


def test_what_cannot_be_meant_is_refused() -> None:
    for wrong in (
        lambda: with_items().unnested("OrderItem", "Order", parent="order", nested={}).build(),
        lambda: builder().unnested("X", "Order", parent="order", nested={"tag": field("tags").fan_out()}).build(),
        lambda: builder().unnested("X", "Order", parent="o", nested={"i": ("p", field("items").fan_out())}).build(),
        lambda: with_items().index("OrderItem", "wrong", ITEM.nest("nothing")).build(),
        lambda: with_items().index("OrderItem", "wrong", rl.sum_of(ITEM.nest("sku"))).build(),
        lambda: builder().unnested("X", "Nobody", parent="o", nested={}).build(),
    ):
        with pytest.raises(errors.SchemaError):
            wrong()


def test_messages_of_a_programs_own_classes_are_taken_apart_and_joined_under_loaded_metadata(db: Any) -> None:
    with db.transaction() as tx:
        store = tx.store(LATER, path=PATH, format_version=13)
        store.save(Customer(id=1, ref="ana", name="ANA"))
        for items in ([("tea", 3), ("jam", 5)], [("jam", 6)]):
            made = order(1, "ana", *items)
            made.total = 9
            store.save(made)
        assert [entry.key for entry in store.scan_index("by_sku").all()] == [("jam", 9)]
        assert [entry.key for entry in store.scan_index("sales").all()] == [("ANA", 9)]
        assert store.check() == []
