"""Records that are none any more: found in words, and deleted with their entries where that is asked for; and what is
of no use in a store."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.index.state import IndexState
from recordlayer.online.options import WorkLimits
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.support.shop import PATH, Customer, Order, builder

RECORDS = 30
FEW = WorkLimits(records=7, records_per_second=None)


def with_indexes() -> rl.RecordMetaDataBuilder:
    return (
        builder()
        .split_long_records(True)
        .store_record_versions(True)
        .index("Order", "by_customer", field("customer"))
        .index("Order", "per_customer", rl.count(group_by=field("customer")))
    )


METADATA = with_indexes().build()


def order(number: int, body: bytes = b"") -> Any:
    return Order(id=number, customer=f"c{number % 3}", total=number, body=body)


@pytest.fixture
def store(db: Any) -> Any:
    with db.transaction() as tx:
        opened = tx.store(METADATA, path=PATH)
        for number in range(RECORDS):
            opened.save(order(number, b"x" * 250_000 if number == 5 else b""))
        opened.save(Customer(ref="x", name="no order"))
    return db


def change(db: Any, *changes: tuple[tuple[Any, ...], bytes | None]) -> None:
    """Set or clear pairs of records, by the items of their keys."""
    with db.transaction() as tx:
        core = tx.store(METADATA, path=PATH).core
        for items, value in changes:
            key = pack(items, core.layout.records)
            if value is None:
                core.context.clear(key)
            else:
                core.context.set(key, value)


def repair(db: Any, **how: Any) -> Any:
    how.setdefault("limits", FEW)
    return db.record_repairer(METADATA, path=PATH, **how).repair()


def check(db: Any) -> list[Any]:
    with db.transaction() as tx:
        return list(tx.store(METADATA, path=PATH).check())


DAMAGE = (
    ((3, 0), b"\xff\xff\xff"),  # bytes that are no record
    ((5, 2), None),  # a part that is missing
    ((7, 0), None),  # a version is left alone
    ((9, 0), METADATA.envelope(order(99))),  # where order 9 should be
    ((11, "odd"), b"what"),  # no suffix of a record
)


def test_records_that_are_all_right_are_left_alone(store: Any) -> None:
    report = repair(store, delete=True, add_versions=True)
    assert report.finished
    assert (report.found, report.resume, report.scrub) == (0, None, None)
    assert report.records == 2 * (RECORDS + 1) + 2, "the pairs of all records: two parts more, and a version each"


def test_what_is_no_record_is_found_in_words_and_left_alone(store: Any) -> None:
    change(store, *DAMAGE)
    before = check(store)
    report = repair(store)
    assert report.finished
    assert (report.found, report.repaired) == (len(DAMAGE), 0)
    lines = [str(finding) for finding in report.findings]
    for line, words in zip(
        lines,
        (
            "a record cannot be read",
            "pairs that are no record",
            "there is a version without a record",
            "a record lies under another primary key",
            "a key without the suffix of a record's pair",
        ),
        strict=True,
    ):
        assert words in line
    assert "3" in lines[0]
    assert check(store) == before
    repair(store, delete=True)


def test_what_is_no_record_is_deleted_with_its_entries(store: Any) -> None:
    change(store, *DAMAGE)
    report = repair(store, delete=True)
    assert report.finished
    assert report.found == report.repaired == len(DAMAGE)
    assert report.scrub.finished
    assert report.scrub.repaired == 4 + 3, "entries of four records, and the counts of their three customers"
    assert check(store) == []
    with store.transaction() as tx:
        opened = tx.store(METADATA, path=PATH)
        assert [opened.load(number) is None for number in (2, 3, 4, 5, 6, 7, 9)] == [
            False, True, False, True, False, True, True,
        ]  # fmt: skip
        opened.save(order(3))
    assert repair(store).found == 0


def test_a_repair_goes_on_where_it_ended(store: Any) -> None:
    change(store, *DAMAGE)
    resume, looked, found = None, 0, 0
    for _ in range(100):
        report = repair(store, delete=True, resume=resume, stop_after=5)
        looked, found, resume = looked + report.records, found + report.found, report.resume
        if report.finished:
            break
        assert resume is not None
    assert report.finished
    assert found == len(DAMAGE)
    store.index_scrubber(METADATA, path=PATH, repair=True).scrub()
    assert check(store) == []


def test_a_missing_version_is_found_and_made_where_that_is_asked_for(store: Any) -> None:
    change(store, ((4, -1), None))
    report = repair(store)
    assert [str(finding) for finding in report.findings] == ["record (4,): a record has no version"]
    assert repair(store, add_versions=True).repaired == 1
    with store.transaction() as tx:
        record = run_blocking(tx.store(METADATA, path=PATH).core.load(4))
        assert record.version is not None
    assert repair(store).found == 0


def test_records_of_types_that_are_gone_are_deleted_only_when_they_are_named(store: Any) -> None:
    unknown = b"\xfa\x01\x02\x08\x01"  # field 31 of the union
    change(store, ((3, 0), unknown))
    report = repair(store, delete=True)
    (finding,) = report.findings
    assert finding.what == "a record of a type that is not in the metadata"
    assert not finding.repaired
    assert repair(store, delete_types=True).repaired == 1
    assert check(store) == []


def test_a_locked_store_is_not_repaired(store: Any) -> None:
    with store.transaction() as tx:
        tx.store(METADATA, path=PATH, format_version=12).header.forbid_updates(reason="moving")
    assert repair(store).finished, "looking changes nothing"
    with pytest.raises(errors.StoreLocked):
        repair(store, delete=True)


# -- what is of no use


def raw(db: Any, keyspace: int) -> list[Any]:
    begin, end = rl.Subspace(PATH).range((keyspace,))
    with db.transaction() as tx:
        return run_blocking(tx.context.read_all(begin, end))


def test_what_is_of_no_use_is_listed_and_cleared_when_asked_for(store: Any) -> None:
    assert store.vacuum(METADATA, path=PATH) == []
    with store.transaction() as tx:
        core = tx.store(METADATA, path=PATH).core
        for keyspace in (2, 3, 6, 9):
            core.context.set(pack((keyspace, "ghost", 1, 2), core.layout.prefix), b"\x00")
        core.context.set(pack((5, "ghost"), core.layout.prefix), b"\x15\x01")
        core.context.set(pack((9, "by_customer", 2), core.layout.prefix), b"\x08\x01")
        core.context.set(pack((6, "by_customer", b"\x00"), core.layout.prefix), b"\xff")
    found = store.vacuum(METADATA, path=PATH)
    assert [(one.where, one.what) for one in found] == [
        ("index with the key 'ghost'", "indexes of an index that is gone"),
        ("index with the key 'ghost'", "index secondary of an index that is gone"),
        ("index by_customer", "how far a build was that is over"),
        ("index with the key 'ghost'", "index ranges of an index that is gone"),
        ("index by_customer", "notes of builds and scrubs that are over"),
        ("index with the key 'ghost'", "index builds of an index that is gone"),
        ("index 'ghost'", "the state of an index that is gone"),
    ]
    assert raw(store, 6), "it only looked"
    assert store.vacuum(METADATA, path=PATH, remove=True) == found
    assert [raw(store, keyspace) for keyspace in (3, 5, 6, 9)] == [[], [], [], []]
    assert store.vacuum(METADATA, path=PATH) == []


def test_keys_that_nobody_packs_so_are_of_no_use_either(store: Any) -> None:
    with store.transaction() as tx:
        core = tx.store(METADATA, path=PATH).core
        core.context.set(pack((2,), core.layout.prefix) + b"\x16\x00\x05\x15\x01", b"")  # 5, in two bytes
        core.context.set(pack((2,), core.layout.prefix) + b"\x15", b"")
    found = store.vacuum(METADATA, path=PATH, remove=True)
    assert [one.where for one in found] == ["index with the key 15", "index with the key 5"]
    assert store.vacuum(METADATA, path=PATH) == []


def test_what_somebody_works_on_is_not_of_no_use(store: Any) -> None:
    store.index_scrubber(METADATA, path=PATH, indexes=["by_customer"], limits=FEW, stop_after=7).scrub()
    assert [one.what for one in store.vacuum(METADATA, path=PATH)] == ["notes of builds and scrubs that are over"]

    newer = with_indexes().index("Order", "later", field("total")).build()
    with store.transaction() as tx:
        tx.store(newer, path=PATH, new_index_state=lambda _: IndexState.WRITE_ONLY)
    found: list[Any] = []

    def told(_: Any) -> None:
        found.extend(rl.Database(store.engine, world=World()).vacuum(newer, path=PATH))

    store.index_scrubber(newer, path=PATH, indexes=["by_customer"], limits=FEW, told=told).scrub()
    store.online_indexer(newer, path=PATH, indexes=["later"], told=told).build()
    assert found == []
