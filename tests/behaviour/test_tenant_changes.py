"""Bringing a copy of a tenant up to date with what has changed since, in both facades."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.keyspace import InternedDirectory, KeySpace, KeySpaceDirectory
from recordlayer.tenant import StepLimits
from tests.support.shop import SHOP, Customer, Order, builder

VERSIONED = (
    builder()
    .store_record_versions()
    .split_long_records(True)
    .index("Order", "by_customer", rl.field("customer"))
    .index("Order", "orders_per_customer", rl.count(group_by=rl.field("customer")))
    .build()
)
SPACE = KeySpace(
    KeySpaceDirectory("app", str, InternedDirectory("tenant", KeySpaceDirectory("year", int)), value="shop")
)
ACME = SPACE.path("app").add("tenant", "acme")
COPY = SPACE.path("app").add("tenant", "copy")
SMALL = StepLimits(keys=7, bytes=600)


@pytest.fixture
def other(open_database: Any, opened_stores: Any) -> Iterator[Any]:
    database = open_database("memory:")
    with database.transaction() as tx:
        tx.names().resolve("a stranger")
    yield database
    opened_stores.check(database)
    database.close()


def order(number: int, text: str = "") -> Any:
    return Order(id=number, customer=f"c{number % 3}", total=number, note=text)


def change(db: Any, numbers: random.Random, year: int) -> None:
    for _ in range(5):
        with db.transaction() as tx:
            store = tx.store(VERSIONED, path=ACME.add("year", year), format_version=13)
            for _ in range(6):
                number = numbers.randrange(60)
                if numbers.random() < 0.4:
                    store.delete(number)
                else:
                    store.save(order(number, "x" * numbers.choice((0, 20, 400))))


def records(db: Any, path: Any) -> dict[Any, Any]:
    with db.transaction() as tx:
        store = tx.store(VERSIONED, path=path)
        assert store.check() == []
        return {
            record.primary_key: (record.record_type.name, record.message.SerializeToString(), record.version)
            for record in store.scan().records()
        }


def exported(db: Any) -> tuple[io.BytesIO, int]:
    file = io.BytesIO()
    report = db.tenant(ACME).export().write_to(file)
    file.seek(0)
    return file, report.version


def changes(db: Any, since: int, **how: Any) -> tuple[io.BytesIO, int]:
    file = io.BytesIO()
    report = db.tenant(ACME).export_changes(VERSIONED, since=since, **how).write_to(file)
    file.seek(0)
    return file, report.version


@pytest.mark.parametrize("limits", [None, SMALL, StepLimits(keys=1)])
def test_a_copy_is_brought_up_to_date_again_and_again(db: Any, other: Any, limits: StepLimits | None) -> None:
    numbers = random.Random(11)
    years = (2025, 2026)
    for year in years:
        change(db, numbers, year)
    whole, since = exported(db)
    other.tenant(COPY).import_from(whole)
    for step in range(3):
        for year in (*years, 2027)[: 2 + (step > 1)]:
            change(db, numbers, year)
        file, since = changes(db, since, limits=limits)
        report = other.tenant(COPY).import_changes(file, VERSIONED, limits=limits)
        assert report.finished
        assert report.stores == 2 + (step > 1)
        assert report.changed > 0
        for year in years:
            assert records(other, COPY.add("year", year)) == records(db, ACME.add("year", year))
    assert records(other, COPY.add("year", 2027)) == records(db, ACME.add("year", 2027))
    file, _ = changes(db, since)
    report = other.tenant(COPY).import_changes(file, VERSIONED)
    assert (report.changed, report.deleted) == (0, 0)
    assert report.unchanged == sum(len(records(db, ACME.add("year", year))) for year in (*years, 2027))
    other.tenant(COPY).delete()


def test_only_what_has_changed_is_in_the_stream(db: Any) -> None:
    with db.transaction() as tx:
        store = tx.store(VERSIONED, path=ACME.add("year", 2026))
        store.save_many([order(number, "x" * 1_000) for number in range(100)])
    whole, since = exported(db)
    with db.transaction() as tx:
        tx.store(VERSIONED, path=ACME.add("year", 2026)).save(order(7, "y" * 1_000))
    file, _ = changes(db, since)
    assert len(file.getvalue()) < len(whole.getvalue()) / 10
    db.tenant(ACME).delete()


def test_a_copy_that_is_not_what_was_exported_is_told_apart(db: Any, other: Any) -> None:
    with db.transaction() as tx:
        tx.store(VERSIONED, path=ACME.add("year", 2026)).save_many([order(number) for number in range(20)])
    whole, since = exported(db)
    file, _ = changes(db, since)
    with pytest.raises(errors.NameNotInterned):
        other.tenant(COPY).import_changes(file, VERSIONED)
    with other.transaction() as tx:
        tx.key_space(SPACE).resolve(COPY)
    file.seek(0)
    with pytest.raises(errors.IncrementalRefused, match=r"\(0,\)"):
        other.tenant(COPY).import_changes(file, VERSIONED)
    assert other.tenant(COPY).stores().stores == []
    other.tenant(COPY).import_from(whole)
    with other.transaction() as tx:
        tx.store(VERSIONED, path=COPY.add("year", 2026)).save(order(3, "somebody's own"))
    file.seek(0)
    with pytest.raises(errors.IncrementalRefused, match=r"\(3,\)"):
        other.tenant(COPY).import_changes(file, VERSIONED)
    db.tenant(ACME).delete()


def test_nothing_is_changed_by_a_stream_that_is_damaged_or_another(db: Any, other: Any) -> None:
    with db.transaction() as tx:
        store = tx.store(VERSIONED, path=ACME.add("year", 2026))
        store.save_many([order(number) for number in range(20)])
        store.save(Customer(ref="r", name="ana"))
    whole, since = exported(db)
    other.tenant(COPY).import_from(whole)
    before = records(other, COPY.add("year", 2026))
    with db.transaction() as tx:
        store = tx.store(VERSIONED, path=ACME.add("year", 2026))
        store.delete(3)
        store.save(order(4, "new"))
    data = changes(db, since, limits=SMALL)[0].getvalue()
    copy = other.tenant(COPY)
    for place in range(10, len(data), 97):
        with pytest.raises(errors.StreamTruncated):
            copy.import_changes(io.BytesIO(data[:place]), VERSIONED)
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises((errors.StreamDamaged, errors.StreamTruncated)):
            copy.import_changes(io.BytesIO(bytes(damaged)), VERSIONED)
    whole.seek(0)
    with pytest.raises(errors.ImportRefused, match="import_from"):
        copy.import_changes(whole, VERSIONED)
    with pytest.raises(errors.StreamDamaged):
        other.tenant(("elsewhere",)).import_from(io.BytesIO(data))
    assert records(other, COPY.add("year", 2026)) == before
    copy.import_changes(io.BytesIO(data), VERSIONED)
    assert records(other, COPY.add("year", 2026)) == records(db, ACME.add("year", 2026))
    db.tenant(ACME).delete()


def test_records_without_versions_do_not_tell_what_has_changed(db: Any) -> None:
    with pytest.raises(errors.IncrementalRefused):
        db.tenant(ACME).export_changes(SHOP, since=1)
    with pytest.raises(errors.UsageError):
        db.tenant(ACME).export_changes(VERSIONED, since=0)
