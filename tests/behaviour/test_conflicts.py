"""Conflicts say what they were about: the store, the record, the entry of the index."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.kv.embedded.transaction import EmbeddedTransaction
from recordlayer.observe.events import ConflictMet
from recordlayer.options import TransactionOptions
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.waitable import Ready
from tests.support.recording import Recording
from tests.support.shop import FILE, SHOP, Customer, Order, builder

RIVALS = TransactionOptions(report_conflicts=True)

Work = Callable[[Any], object]
"""What one of two transactions does with the shop's store."""


def _case(reads: Work, rival: Work, *, metadata: rl.RecordMetaData = SHOP) -> Any:
    return reads, rival, metadata


TYPED = (
    rl.RecordMetaDataBuilder(FILE)
    .primary_key("Order", rl.concat(rl.record_type(), field("id")))
    .primary_key("Customer", rl.concat(rl.record_type(), field("ref")))
    .build()
)
TWO_COLUMNS = builder().primary_key("Order", rl.concat("customer", "id")).build()
WITHIN = (
    builder()
    .primary_key("Order", rl.concat("customer", "id"))
    .index("Order", "within", rl.concat("customer", "total"))
    .build()
)

CASES: dict[str, Any] = {
    "a record that was loaded": _case(
        lambda store: store.load(42),
        lambda store: store.save(Order(id=42, total=1)),
    ),
    "a record that was not there": _case(
        lambda store: store.load(43),
        lambda store: store.save(Order(id=43)),
    ),
    "a record that both saved": _case(
        lambda store: store.save(Order(id=44, customer="ana")),
        lambda store: store.save(Order(id=44, customer="bo")),
    ),
    "a query on an index": _case(
        lambda store: store.query(rl.query("Order").where(rl.q.customer == "ana")).all(),
        lambda store: store.save(Order(id=50, customer="ana")),
    ),
    "a range of an index": _case(
        lambda store: store.scan_index("by_customer_and_total", bounds=rl.Bounds.between(("ana", 5), ("ana", 9))).all(),
        lambda store: store.save(Order(id=51, customer="ana", total=7)),
    ),
    "a whole index": _case(
        lambda store: store.scan_index("by_customer").all(),
        lambda store: store.save(Order(id=52, customer="zoe")),
    ),
    "a scan of all records": _case(
        lambda store: store.scan().all(),
        lambda store: store.save(Order(id=53)),
    ),
    "a scan of the first records": _case(
        lambda store: store.scan(limit=1).all(),
        lambda store: store.delete(42),
    ),
    "a count of one group": _case(
        lambda store: store.count("orders_per_customer", "ana"),
        lambda store: store.save(Order(id=54, customer="ana")),
    ),
    "a sum over all groups": _case(
        lambda store: store.aggregate("sales_per_customer"),
        lambda store: store.save(Order(id=55, customer="ana", total=5)),
    ),
    "a unique value": _case(
        lambda store: store.save(Customer(ref="a", name="Ana")),
        lambda store: store.save(Customer(ref="b", name="Ana")),
    ),
    "a record type in the primary key": _case(
        lambda store: store.load((TYPED.record_types["Customer"].record_type_key, "a")),
        lambda store: store.save(Customer(ref="a")),
        metadata=TYPED,
    ),
    "a primary key of two columns": _case(
        lambda store: store.load(("ana", 42)),
        lambda store: store.save(Order(customer="ana", id=42)),
        metadata=TWO_COLUMNS,
    ),
    "a record that was read for conflicts only": _case(
        lambda store: store.add_read_conflict(42),
        lambda store: store.save(Order(id=42, total=1)),
    ),
    "the beginning of a primary key": _case(
        lambda store: store.scan("ana").all(),
        lambda store: store.save(Order(customer="ana", id=43)),
        metadata=TWO_COLUMNS,
    ),
    "the beginning of an index that has a part of the primary key": _case(
        lambda store: store.scan_index("within", ("ana", 6)).all(),
        lambda store: store.save(Order(customer="ana", total=6, id=43)),
        metadata=WITHIN,
    ),
}


@pytest.fixture(params=["memory", pytest.param("fdb", marks=pytest.mark.fdb)])
def url(request: pytest.FixtureRequest) -> str:
    return "memory:" if request.param == "memory" else f"fdb:{os.environ['RECORDLAYER_TEST_CLUSTER_FILE']}"


@pytest.fixture
def anywhere(open_database: Any, url: str) -> Iterator[tuple[Any, tuple[str, ...], Recording]]:
    """A database on every engine, the path of a shop in it, and what an observer is told."""
    recording = Recording(ConflictMet)
    db = open_database(url, observer=recording)
    root = "shop" if url == "memory:" else f"shop-{uuid.uuid4()}"
    yield db, (root, "acme"), recording
    with db.transaction() as tx:
        begin = rl.Subspace((root,)).key()
        tx.context.clear_range(begin, begin + b"\xff")
    db.close()


def conflict_of(db: Any, path: Any, metadata: rl.RecordMetaData, reads: Work, rival: Work) -> errors.Conflict:
    """The error of a transaction that reads, while another commits what `rival` does."""
    with db.transaction() as tx:
        store = tx.store(metadata, path=path)
        store.save(Order(id=42, customer="ana", total=6))
        store.save(Order(id=45, customer="bo", total=6))
    return met_by(db, lambda tx: meet(tx.store(metadata, path=path), reads, db, path, metadata, rival))


def meet(store: Any, reads: Work, db: Any, path: Any, metadata: rl.RecordMetaData, rival: Work) -> None:
    reads(store)
    store.save(Order(id=99, customer="mo"))
    with db.transaction() as other:
        rival(other.store(metadata, path=path))


def met_by(db: Any, work: Work) -> errors.Conflict:
    """The conflict that some work in one transaction meets."""
    with pytest.raises(errors.Conflict) as met:
        db.run(work, retry=rl.Retry(attempts=1), options=RIVALS)
    return met.value


def test_conflicts_are_told_in_words(anywhere: Any, golden_text: Callable[[str, str], None]) -> None:
    db, path, _ = anywhere
    text = ""
    for number, (name, (reads, rival, metadata)) in enumerate(CASES.items()):
        error = conflict_of(db, (path[0], f"acme-{number}"), metadata, reads, rival)
        told = "\n".join(f"  {line}" for line in error.fields["conflicts"])  # type: ignore[attr-defined]
        text += f"{name}\n{told}\n\n".replace(path[0], "shop")
    golden_text("conflicts", text.rstrip("\n") + "\n")


def test_the_whole_error_says_what_conflicted_and_what_to_do(
    anywhere: Any, golden_text: Callable[[str, str], None]
) -> None:
    db, path, _ = anywhere
    error = conflict_of(db, path, SHOP, *CASES["a record that both saved"][:2])
    golden_text("conflict_error", str(error).replace(path[0], "shop") + "\n")


def test_observers_are_told_the_ranges_and_the_words_of_every_attempt(anywhere: Any) -> None:
    db, path, recording = anywhere
    with db.transaction() as tx:
        tx.store(SHOP, path=path)
    calls = []

    def work(tx: Any) -> None:
        store = tx.store(SHOP, path=path)
        store.load(7)
        calls.append(1)
        if len(calls) < 3:
            with db.transaction() as other:
                other.store(SHOP, path=path).save(Order(id=7, total=len(calls)))
        store.save(Order(id=8))

    db.run(work, options=RIVALS)
    events = recording.of(ConflictMet)
    assert [event.origin.attempt for event in events if event.origin] == [1, 2]
    for event in events:
        assert event.conflicts == (f"record (7,) of Order in /{path[0]}/{path[1]}",)
        ((begin, end),) = event.ranges
        assert begin < end


def test_a_record_can_be_declared_written_so_that_its_readers_conflict(open_database: Any) -> None:
    def work(tx: Any) -> None:
        store = tx.store(SHOP, path=("shop",))
        store.load(1)
        store.save(Order(id=2))
        with db.transaction() as other:
            other.store(SHOP, path=("shop",)).add_write_conflict(1)

    with open_database("memory:") as db:
        with db.transaction() as tx:
            tx.store(SHOP, path=("shop",))
        assert met_by(db, work).fields["conflicts"] == ("record (1,) of Order in /shop",)


def test_reading_a_snapshot_meets_no_conflict(open_database: Any) -> None:
    def work(tx: Any) -> None:
        store = tx.store(SHOP, path=("shop",))
        store.load(1, snapshot=True)
        store.query(rl.query("Order").where(rl.q.customer == "ana"), snapshot=True).all()
        store.save(Order(id=2))
        with db.transaction() as other:
            other.store(SHOP, path=("shop",)).save(Order(id=1, customer="ana"))

    with open_database("memory:") as db:
        with db.transaction() as tx:
            tx.store(SHOP, path=("shop",))
        db.run(work, retry=rl.Retry(attempts=1))


def test_many_conflicts_are_told_in_part(open_database: Any) -> None:
    def work(tx: Any) -> None:
        store = tx.store(SHOP, path=("shop",))
        for number in range(30):
            store.load(number)
        store.save(Order(id=99))
        save_all(range(30))

    def save_all(numbers: range) -> None:
        with db.transaction() as other:
            theirs = other.store(SHOP, path=("shop",))
            for number in numbers:
                theirs.save(Order(id=number))

    with open_database("memory:") as db:
        save_all(range(1))
        told: Any = met_by(db, work).fields["conflicts"]
    assert told[:2] == ("record (0,) of Order in /shop", "record (1,) of Order in /shop")
    assert told[10:] == ("20 more",)


def test_keys_outside_of_stores_are_shown_as_keys(open_database: Any) -> None:
    async def get(tx: Any) -> bytes | None:
        value: bytes | None = await tx.context.get(b"key\x00")
        return value

    def work(tx: Any) -> None:
        run_blocking(tx.context.read_all(b"a", b"b\xff"))
        run_blocking(get(tx))
        tx.context.set(b"mine", b"")
        with db.transaction() as other:
            other.context.set(b"key\x00", b"")
            other.context.set(b"a1", b"")

    with open_database("memory:") as db:
        assert met_by(db, work).fields["conflicts"] == (
            r"keys from a up to b\xff, in no store that this transaction opened",
            r"key key\x00, in no store that this transaction opened",
        )


def test_a_key_of_the_same_work_is_named(open_database: Any) -> None:
    recording = Recording(ConflictMet)
    with open_database("memory:", observer=recording) as db:

        def work(tx: Any) -> None:
            tx.store(SHOP, path=("shop",)).save(Order(id=1))
            if not db.idempotency.find("order-1"):
                db.run(lambda other: None, idempotency_key="order-1")

        with pytest.raises(errors.AlreadyApplied):
            db.run(work, idempotency_key="order-1")
    assert recording.of(ConflictMet)[0].conflicts == ("idempotency key 'order-1'",)


def test_nothing_is_said_where_nothing_is_known(open_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a cluster whose transaction was not asked to report."""
    monkeypatch.setattr(EmbeddedTransaction, "conflicting_ranges", lambda self: Ready([]))
    with open_database("memory:") as db:
        error = conflict_of(db, ("shop",), SHOP, *CASES["a record that both saved"][:2])
    assert "conflicts" not in error.fields
