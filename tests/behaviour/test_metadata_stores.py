"""Metadata kept in the database: replaced by rules, with its history, seen by every process, and newer than what a
process knows when others are ahead of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.keyspace import InternedDirectory, KeySpace, KeySpaceDirectory, ScopedInterningLayer
from recordlayer.kv.registry import open_engine
from recordlayer.metadata import Evolution
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import Cacheable
from recordlayer.testing import Counting
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.support.shop import FILE, PATH, SHOP, Order, builder, plain

PLACE = ("shop", "metadata")
NAMES = ScopedInterningLayer(rl.Subspace(("shop", "names")).key())
KEPT = StoredMetaData(path=PLACE)
PREFIX = rl.Subspace(PLACE).key()


def pairs(db: Any) -> dict[bytes, bytes]:
    with db.transaction() as tx:
        rows = run_blocking(tx.context.read_all(PREFIX, PREFIX + b"\xff"))
    return {key[len(PREFIX) :]: value for key, value in rows}


def save(db: Any, metadata: rl.RecordMetaData, where: Any = PLACE) -> None:
    with db.transaction() as tx:
        tx.metadata_store(where).save(metadata)


def load(db: Any, where: Any = PLACE) -> rl.RecordMetaData:
    with db.transaction() as tx:
        return tx.metadata_store(where).load()


def with_index(name: str = "by_total") -> rl.RecordMetaData:
    return builder().index("Order", name, field("total")).build()


# -- replacing ---------------------------------------------------------------------------------------------


def test_what_was_saved_is_loaded_by_whoever_comes_next(db: Any) -> None:
    save(db, SHOP)
    loaded = load(db)
    assert loaded.to_bytes() == SHOP.to_bytes()
    assert load(db) is loaded, "and is the same object as long as nobody replaces it"
    save(db, builder().version(SHOP.version + 1).build(), where=("shop", "elsewhere"))
    assert load(db) is loaded, "also when it has to be read again"


def test_nothing_stored_is_an_error_unless_there_is_a_seed(db: Any) -> None:
    with pytest.raises(errors.MetaDataMissing):
        load(db)
    with db.transaction() as tx, pytest.raises(errors.MetaDataMissing):
        tx.metadata_store(PLACE).drop_index("by_total")
    assert pairs(db) == {}
    with db.transaction() as tx:
        assert tx.metadata_store(StoredMetaData(path=PLACE, seed=SHOP)).load() is SHOP
    assert load(db).version == SHOP.version
    assert load(db, StoredMetaData(path=PLACE, seed=plain())).version == SHOP.version, "a seed replaces nothing"


def test_replaced_versions_stay_readable(db: Any) -> None:
    save(db, plain())
    save(db, with_index())
    with db.transaction() as tx:
        tx.metadata_store(PLACE).drop_index("by_total")
    with db.transaction() as tx:
        kept = tx.metadata_store(PLACE)
        assert kept.history() == [0, 1]
        assert [set(kept.version(number).indexes) for number in (0, 1)] == [set(), {"by_total"}]
        assert kept.version(2) is None, "the newest is no history"
        assert kept.load().former_indexes[0].former_name == "by_total"
    assert sorted(pairs(db)) == [bytes.fromhex(key) for key in ("0014", "0248001414", "024800150114")], (
        "current, and two of history"
    )


def test_without_history_only_the_newest_is_kept(db: Any) -> None:
    place = StoredMetaData(path=PLACE, keeps_history=False)
    save(db, plain(), place)
    save(db, with_index(), place)
    assert list(pairs(db)) == [b"\x00\x14"]


def test_metadata_that_may_not_follow_is_refused_and_nothing_is_written(db: Any) -> None:
    save(db, with_index())
    before = pairs(db)
    for refused in (plain(), with_index(), builder().version(9).build()):
        with db.transaction() as tx:
            with pytest.raises(errors.EvolutionRefused):
                tx.metadata_store(PLACE).save(refused)
            assert tx.counters.writes == 0
    with pytest.raises(errors.WrongType):
        save(db, b"metadata")  # type: ignore[arg-type]
    assert pairs(db) == before


def test_the_rules_may_be_relaxed_but_a_version_is_never_used_twice(db: Any) -> None:
    rebuilt = builder().index("Order", "by_total", rl.concat("total", "id"), added_version=1, last_modified_version=2)
    save(db, with_index())
    with pytest.raises(errors.EvolutionRefused):
        save(db, rebuilt.build())
    lenient = Evolution(allow_index_rebuilds=True, allow_no_version_change=True)
    with pytest.raises(errors.EvolutionRefused, match="version"):
        save(db, with_index(), StoredMetaData(path=PLACE, evolution=lenient))
    save(db, rebuilt.build(), StoredMetaData(path=PLACE, evolution=lenient))
    assert load(db).version == 2


def test_two_who_replace_the_same_metadata_do_not_both_succeed(db: Any) -> None:
    save(db, plain())

    def both() -> None:
        with db.transaction() as tx:
            tx.metadata_store(PLACE).add_index("Order", "one", "total")
            with db.transaction() as other:
                other.metadata_store(PLACE).add_index("Order", "two", "total")

    with pytest.raises(errors.Conflict):
        both()
    assert list(load(db).indexes) == ["two"]


def test_metadata_may_lie_at_a_path_of_a_key_space(db: Any) -> None:
    space = KeySpace(
        KeySpaceDirectory(
            "application", str, InternedDirectory("tenant", KeySpaceDirectory("kind", str), resolver=NAMES)
        )
    )
    tenant = space.path("application", "shop").add("tenant", "acme")
    place = StoredMetaData(path=tenant.add("kind", "metadata"), seed=with_index())
    for _ in range(2):
        with db.transaction() as tx:
            store = tx.store(place, path=tenant.add("kind", "orders"))
            store.save(Order(id=1, total=5))
            assert store.metadata.version == 1
    with db.transaction() as tx:
        assert tx.metadata_store(place.path).drop_index("by_total").version == 2
        resolved = tx.key_space(space).resolve(place.path)
        assert tx.metadata_store(resolved).history() == [1]
    with db.transaction() as tx:
        store = tx.store(place, path=tenant.add("kind", "orders"))
        assert store.metadata.version == 2
        assert store.check() == []


# -- changing ----------------------------------------------------------------------------------------------


def test_calls_that_change_metadata_give_what_is_stored_now(db: Any) -> None:
    save(db, plain())
    changes = [
        lambda kept: kept.add_index("Order", "by_total", field("total"), unique=True),
        lambda kept: kept.add_index(None, "all", rl.count()),
        lambda kept: kept.drop_index("by_total"),
        lambda kept: kept.store_record_versions(),
        lambda kept: kept.store_record_versions(False),
        lambda kept: kept.mutate(change=lambda builder: None),
        lambda kept: kept.mutate(change=lambda builder: builder.version(40)),
    ]
    for change in changes:
        with db.transaction() as tx:
            given = change(tx.metadata_store(PLACE))
        assert given.to_bytes() == load(db).to_bytes()
    with db.transaction() as tx:
        assert tx.metadata_store(PLACE).history() == [0, 1, 2, 3, 4, 5, 6]
    now = load(db)
    assert (now.version, list(now.indexes), now.store_record_versions) == (40, ["all"], False)


def test_changes_that_the_rules_or_the_builder_refuse_leave_everything(db: Any) -> None:
    save(db, with_index())
    before = pairs(db)
    for error, change in (
        (errors.UnknownIndex, lambda kept: kept.drop_index("by_price")),
        (errors.InvalidIndex, lambda kept: kept.add_index("Order", "by_total", field("total"))),
        (errors.UnknownField, lambda kept: kept.add_index("Order", "by_price", field("price"))),
        (errors.EvolutionRefused, lambda kept: kept.split_long_records()),
        (errors.InvalidMetaData, lambda kept: kept.mutate(change=lambda builder: builder.version(0))),
    ):
        with db.transaction() as tx:
            with pytest.raises(error):
                change(tx.metadata_store(PLACE))
            assert tx.counters.writes == 0
    assert pairs(db) == before


def test_records_may_become_longer_where_the_rules_allow_it(db: Any) -> None:
    place = StoredMetaData(path=PLACE, evolution=Evolution(allow_unsplit_to_split=True))
    save(db, plain())
    with db.transaction() as tx:
        assert tx.metadata_store(place).split_long_records().split_long_records


def file_with(*names: str, union: tuple[str, ...] = ()) -> Any:
    """The shop's file with more messages of one field, and perhaps a union with these messages."""
    proto = descriptor_pb2.FileDescriptorProto()
    FILE.CopyToProto(proto)
    for name in names:
        message = proto.message_type.add(name=name)
        message.field.add(name="id", number=1, label=1, type=3)
    if union:
        made = proto.message_type.add(name="RecordTypeUnion")
        for number, name in enumerate(union, 1):
            if name:
                kind = f".{proto.package}.{name}"
                made.field.add(name=f"_{name}", number=number, label=1, type=11, type_name=kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(proto)
    return pool.FindFileByName(proto.name)


def test_a_newer_file_brings_new_record_types_and_keeps_the_numbers_of_the_old(db: Any) -> None:
    from recordlayer.metadata.update import update_records

    save(db, with_index())
    before = {field.name: field.number for field in load(db).union.fields}

    def change(builder: rl.RecordMetaDataBuilder) -> None:
        update_records(builder, file_with("Refund", "Address2"))
        builder.primary_key("Refund", field("id"))

    with db.transaction() as tx:
        tx.metadata_store(PLACE).mutate(change=change)
    now = load(db)
    after = {field.name: field.number for field in now.union.fields}
    assert {name: after[name] for name in before} == before
    assert after["_Refund"] > max(before.values())
    assert now.record_type("Refund").since_version == now.version == 2
    assert now.record_type("Order").since_version is None
    assert "Address2" not in now.record_types, "a message without a primary key is no record type"
    with db.transaction() as tx:
        refund = now.record_type("Refund").message_class(id=7)
        tx.store(KEPT, path=PATH).save(refund)
        assert tx.store(KEPT, path=PATH).load(7) == refund


def test_a_record_type_of_a_union_may_get_another_name(db: Any) -> None:
    first = rl.RecordMetaDataBuilder(file_with(union=("Order", "Customer"))).primary_key("Order", field("id"))
    save(db, first.primary_key("Customer", field("id")).index("Customer", "by_name", field("name")).build())
    proto = descriptor_pb2.FileDescriptorProto()
    file_with(union=("Order", "Customer")).CopyToProto(proto)
    for message in proto.message_type:
        if message.name == "Customer":
            message.name = "Client"
    proto.message_type[-1].field[1].type_name = f".{proto.package}.Client"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(proto)
    with db.transaction() as tx:
        renamed = tx.metadata_store(PLACE).update_records(pool.FindFileByName(proto.name))
    assert set(renamed.record_types) == {"Order", "Client"}
    assert renamed.index("by_name").record_types == ("Client",)


def test_a_newer_file_that_lost_a_message_is_refused(db: Any) -> None:
    save(db, plain())
    proto = descriptor_pb2.FileDescriptorProto()
    FILE.CopyToProto(proto)
    del proto.message_type[[message.name for message in proto.message_type].index("Customer")]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(proto)
    with db.transaction() as tx, pytest.raises(errors.InvalidRecordType, match="Customer"):
        tx.metadata_store(PLACE).update_records(pool.FindFileByName(proto.name))


# -- remembering -------------------------------------------------------------------------------------------


class Counted:
    """A database over an engine that counts, and a process that works with stored metadata."""

    def __init__(self, database_over: Any, engine: Any = None) -> None:
        self.engine = Counting(open_engine("memory:") if engine is None else engine)
        self.db = database_over(self.engine, world=World())

    def ranges(self, where: StoredMetaData = KEPT) -> int:
        with self.engine.measured() as counts, self.db.transaction() as tx:
            tx.metadata_store(where).load()
        return counts.ranges

    def opening(self) -> tuple[int, int]:
        with self.engine.measured() as counts, self.db.transaction() as tx:
            tx.store(KEPT, path=PATH)
        return counts.gets, counts.ranges


@pytest.fixture
def counted(database_over: Any) -> Iterator[Counted]:
    made = Counted(database_over)
    save(made.db, plain())
    yield made
    made.db.close()


def test_metadata_that_is_known_is_not_read_again_until_somebody_replaces_it(counted: Counted) -> None:
    assert [counted.ranges() for _ in range(3)] == [1, 0, 0]
    with counted.db.transaction() as tx:
        tx.context.set(b"elsewhere", b"")
    assert counted.ranges() == 0, "the stamp is the same"
    with counted.db.transaction() as tx:
        tx.metadata_store(PLACE).add_index("Order", "by_total", "total")
    assert [counted.ranges() for _ in range(3)] == [1, 0, 0]
    with counted.engine.measured() as counts, counted.db.transaction() as tx:
        assert "by_total" in tx.metadata_store(PLACE).load(fresh=True).indexes
    assert counts.ranges == 1


def test_a_known_store_with_known_metadata_is_opened_without_reading(counted: Counted) -> None:
    for _ in range(2):
        with counted.db.transaction() as tx:
            tx.store(KEPT, path=PATH, cacheable=Cacheable.YES)
    counted.opening()
    with counted.db.transaction() as tx:
        tx.context.set(b"elsewhere", b"")
    assert counted.opening() == (1, 0), "the stamp, once for both"
    assert counted.opening() == (0, 0)


def test_what_an_undone_transaction_has_saved_is_not_remembered(db: Any) -> None:
    save(db, plain())
    load(db)
    with db.transaction() as tx:
        kept = tx.metadata_store(PLACE)
        kept.add_index("Order", "by_total", "total")
        assert "by_total" in kept.load().indexes
        tx.cancel()
    assert "by_total" not in load(db).indexes


def test_whoever_goes_by_known_metadata_conflicts_with_who_replaces_it(db: Any) -> None:
    save(db, plain())
    load(db)

    def replaced_meanwhile() -> None:
        with db.transaction() as tx:
            tx.metadata_store(PLACE).load()
            tx.context.set(rl.Subspace(("shop", "x")).key(), b"")
            with db.transaction() as other:
                other.metadata_store(PLACE).add_index("Order", "by_total", "total")

    with pytest.raises(errors.Conflict):
        replaced_meanwhile()


# -- other layouts, other bytes ----------------------------------------------------------------------------


def test_long_metadata_is_split_and_shrinks_again(db: Any) -> None:
    names = [f"{'index' * 20}_{number}" for number in range(500)]
    large = builder()
    for name in names:
        large.index("Order", name, field("total"))
    save(db, large.build())
    assert [key.hex() for key in pairs(db)] == ["001501", "001502"]
    assert len(load(db).indexes) == 500

    def drop(builder: rl.RecordMetaDataBuilder) -> None:
        for name in names[10:]:
            builder.remove_index(name)

    with db.transaction() as tx:
        tx.metadata_store(PLACE).mutate(change=drop)
    with db.transaction() as tx:
        assert len(tx.metadata_store(PLACE).version(500).indexes) == 500
    assert len(load(db).indexes) == 10


def test_metadata_of_the_old_layout_is_moved_when_it_is_read(db: Any) -> None:
    data = SHOP.to_bytes()
    for old in ({b"\x14": data}, {b"\x15\x01": data[:1_000], b"\x15\x02": data[1_000:]}):
        with db.transaction() as tx:
            tx.context.clear_range(PREFIX, PREFIX + b"\xff")
            for key, value in old.items():
                tx.context.set(PREFIX + key, value)
        assert load(db).to_bytes() == data
        assert pairs(db) == {b"\x00\x14": data}


def test_damaged_metadata_is_refused_with_its_place(db: Any) -> None:
    data = SHOP.to_bytes()
    for damaged in ({b"\x00\x14": b"\xff\xff"}, {b"\x00\x14": b""}, {b"\x00\x15\x02": data}, {b"\x14": data[:-1]}):
        with db.transaction() as tx:
            tx.context.clear_range(PREFIX, PREFIX + b"\xff")
            for key, value in damaged.items():
                tx.context.set(PREFIX + key, value)
        with db.transaction() as tx, pytest.raises(errors.SchemaError):
            tx.metadata_store(PLACE).load()


def test_records_may_be_messages_of_the_program_s_own_classes(db: Any) -> None:
    save(db, SHOP)
    place = StoredMetaData(path=PLACE, local=FILE)
    with db.transaction() as tx:
        tx.store(place, path=PATH).save(Order(id=1, customer="ana"))
        assert type(tx.store(place, path=PATH).load(1)) is message_factory.GetMessageClass(Order.DESCRIPTOR)
    with db.transaction() as tx:
        assert type(tx.store(KEPT, path=PATH).load(1)) is not Order
    assert load(db, place) is load(db, place)


# -- others are ahead --------------------------------------------------------------------------------------


def test_a_program_with_older_metadata_than_the_store_is_told_both_versions_and_how_to_go_on(db: Any) -> None:
    with db.transaction() as tx:
        tx.store(SHOP, path=PATH)
    with db.transaction() as tx, pytest.raises(errors.StaleMetaData) as raised:
        tx.store(plain(), path=PATH)
    found = raised.value
    assert (found.fields["stored_version"], found.fields["given_version"]) == (SHOP.version, 0)
    assert "StoredMetaData" in found.hint


def ahead(database_over: Any, *, says_so: bool) -> tuple[Counted, Counted]:
    """Two processes of one database. The second has replaced the metadata and opened the store with it; `says_so`: with
    the metadata version stamp. The first remembers the older metadata."""
    engine = open_engine("memory:")
    first, second = Counted(database_over, engine), Counted(database_over, engine)
    save(first.db, plain())
    first.opening()
    newer = with_index()
    with second.db.transaction() as tx:
        if says_so:
            tx.metadata_store(PLACE).save(newer)
        else:
            tx.context.set(PREFIX + b"\x00\x14", newer.to_bytes())
    with second.db.transaction() as tx:
        tx.store(newer, path=PATH).save(Order(id=1, total=5))
    return first, second


@pytest.mark.parametrize("says_so", [True, False], ids=["by the stamp", "without the stamp, as Java saves metadata"])
def test_a_process_that_others_are_ahead_of_reads_the_newer_metadata_and_goes_on(
    database_over: Any, says_so: bool
) -> None:
    first, _ = ahead(database_over, says_so=says_so)
    with first.db.transaction() as tx:
        store = tx.store(KEPT, path=PATH)
        assert store.metadata.version == 1
        assert store.index_state("by_total") is rl.IndexState.READABLE
        assert len(store.scan_index("by_total").all()) == 1
        assert store.check() == []
    assert first.ranges() == 0, "and remembers it"
    first.db.close()


def test_a_process_looks_for_newer_metadata_once(database_over: Any) -> None:
    first, second = ahead(database_over, says_so=False)
    with second.db.transaction() as tx:
        tx.store(SHOP, path=PATH)  # newer than anything that is stored
    with first.engine.measured() as counts, first.db.transaction() as tx, pytest.raises(errors.StaleMetaData):
        tx.store(KEPT, path=PATH)
    assert counts.ranges == 2 + 1 + 2, "the store, the metadata, the store"
    first.db.close()
