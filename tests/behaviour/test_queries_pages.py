"""Pages of queries: skipping, sealing, streaming, and letting others go first; continuations that were not given."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import aio, errors, field, q, query
from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.testing.clock import ManualClock
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Order, builder

LONG = os.environ.get("RECORDLAYER_LONG_TESTS") == "1"
ORDERS = [
    Order(id=number, customer=("ana", "bo", "cy")[number % 3], total=number // 2, tags=["a", "b"][: number % 3])
    for number in range(1, 21)
]
QUERIES = {
    "scan": query("Order"),
    "index": query("Order").where(q.customer == "ana"),
    "union": query("Order").where((q.customer == "ana") | (q.total == 3)),
    "ordered union": query("Order").where(q.customer.in_(["ana", "cy"])).order_by("total"),
    "one after the other": query("Order").where((q.total > 6) | (q.tags.one_of_them() == "b")),
    "intersection": query("Order").where(q.customer == "ana", q.total == 3),
    "in memory": query("Order").order_by("ratio", "id", in_memory=7),
}


@pytest.fixture
def orders(shop: Shop) -> Shop:
    shop.save(*ORDERS)
    return shop


def ids(messages: Any) -> list[int]:
    return [message.id for message in messages]


# -- skipping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("skip", [1, 3, 50])
def test_skipped_records_are_left_out_once_whatever_stops_the_page(orders: Shop, asked: Any, skip: int) -> None:
    whole = orders.messages(asked)
    for how in ({"limit": 2}, {"limits": rl.Limits(keys=1)}, {"limits": rl.Limits(bytes=1)}):
        found: list[Any] = []
        resume = None
        for _ in range(200):
            with orders.db.transaction() as tx:
                page = tx.store(SHOP, path=PATH).query(asked, skip=skip, resume=resume, **how)
                found += page.all()
                resume = page.continuation
            if resume is None:
                break
        assert found == whole[skip:]


def test_a_page_with_a_skip_is_not_resumed_without_it(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        page = store.query(QUERIES["scan"], skip=2, limit=1)
        assert ids(page.all()) == [3]
        with pytest.raises(errors.BadContinuation, match="skip"):
            store.query(QUERIES["scan"], resume=page.continuation)
        with pytest.raises(errors.UsageError):
            store.query(QUERIES["scan"], skip=-1)


def test_prefetching_changes_nothing_about_what_comes(orders: Shop) -> None:
    for asked in QUERIES.values():
        assert orders.messages(asked, prefetch=True) == orders.messages(asked)


# -- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize(
    "limits", [rl.Limits(keys=1), rl.Limits(bytes=1), rl.Limits(time=timedelta(0)), rl.Limits(keys=2, bytes=100)]
)
def test_every_plan_makes_progress_under_the_tightest_limits(orders: Shop, asked: Any, limits: rl.Limits) -> None:
    whole = orders.messages(asked)
    found: list[Any] = []
    resume = None
    for _ in range(300):
        with orders.db.transaction() as tx:
            page = tx.store(SHOP, path=PATH).query(asked, resume=resume, limits=limits)
            found += page.all()
            resume = page.continuation
            if resume is None:
                assert page.stopped is rl.Stop.EXHAUSTED
                break
            assert page.stopped.out_of_band
    assert found == whole


def test_values_that_nothing_has_cost_time_and_the_time_limit_sees_it(orders: Shop) -> None:
    asked = query("Order").where(q.customer.in_([f"nobody {number}" for number in range(100)])).order_by("customer")
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        page = store.query(asked, limits=rl.Limits(time=timedelta(0)))
        assert page.all() == []
        assert page.stopped is rl.Stop.TIME_LIMIT
        assert page.continuation is not None


def test_records_of_entries_count_against_a_bound_of_bytes(db: Any) -> None:
    shop = Shop(db, SHOP)
    shop.save(*(Order(id=number, customer="ana", note="x" * 1_000) for number in range(80)))
    asked = query("Order").where(q.customer == "ana")
    sizes, found, resume = [], [], None
    while True:
        with db.transaction() as tx:
            page = tx.store(SHOP, path=PATH).query(asked, resume=resume, limits=rl.Limits(bytes=10_000))
            part = ids(page.all())
            resume = page.continuation
        sizes.append(len(part))
        found += part
        if resume is None:
            break
        assert page.stopped is rl.Stop.BYTE_LIMIT
    assert found == list(range(80))
    assert max(sizes) < 40, "a portion of records, and not all that the entries name"


# -- continuations that were not given -------------------------------------------------------------------------------


def one_continuation(shop: Shop, asked: rl.RecordQuery) -> bytes:
    with shop.db.transaction() as tx:
        page = tx.store(SHOP, path=PATH).query(asked, limit=1)
        page.all()
        return bytes(page.continuation)


@pytest.mark.parametrize("name", QUERIES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_continuation_that_was_damaged_is_refused(stored: Any, name: str, data: st.DataObject) -> None:
    store, continuations = stored
    good = continuations[name]
    kind = data.draw(st.sampled_from(["cut", "flip", "longer", "two in one"]))
    if kind == "cut":
        bad = good[: data.draw(st.integers(0, len(good) - 1))]
    elif kind == "flip":
        place = data.draw(st.integers(0, len(good) - 1))
        bad = good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))]) + good[place + 1 :]
    elif kind == "longer":
        bad = good + data.draw(st.binary(min_size=1, max_size=9))
    else:
        other = continuations[data.draw(st.sampled_from(sorted(set(QUERIES) - {name})))]
        place = data.draw(st.integers(1, len(good) - 1))
        bad = good[:place] + other[place:]
        if bad == good:
            return
    with pytest.raises(errors.BadContinuation):
        store.query(QUERIES[name], resume=bad)


@pytest.fixture(scope="module")
def stored() -> Any:
    with rl.open("memory:", world=ManualClock().world()) as db, db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        for order in ORDERS:
            store.save(order)
        continuations = {}
        for name, asked in QUERIES.items():
            page = store.query(asked, limit=1)
            page.all()
            continuations[name] = bytes(page.continuation)
        yield store, continuations


def test_a_continuation_of_one_query_resumes_no_other(orders: Shop) -> None:
    given_out = {name: one_continuation(orders, asked) for name, asked in QUERIES.items()}
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        for name, continuation in given_out.items():
            for other, asked in QUERIES.items():
                if other != name:
                    with pytest.raises(errors.BadContinuation):
                        store.query(asked, resume=continuation)


@pytest.mark.parametrize(
    "resume",
    [b"", b"x", b"\x08", b"\xff" * 20, b"\x08\x01", b"\x08\x02\x12\x00", "text", 7, b"\x0a\x0416042a1411accd7398"],
)
def test_foreign_bytes_resume_no_query(orders: Shop, resume: Any) -> None:
    with orders.db.transaction() as tx, pytest.raises(errors.BadContinuation):
        tx.store(SHOP, path=PATH).query(QUERIES["index"], resume=resume)


def test_a_continuation_of_a_later_release_says_so(orders: Shop) -> None:
    later = b"\x08\x02" + one_continuation(orders, QUERIES["index"])[2:]
    with orders.db.transaction() as tx, pytest.raises(errors.BadContinuation, match="later release"):
        tx.store(SHOP, path=PATH).query(QUERIES["index"], resume=later)


def test_a_continuation_outlives_metadata_that_changes_nothing_about_its_index_and_ends_with_it(db: Any) -> None:
    first = builder().index("Order", "by_customer", field("customer")).build()
    shop = Shop(db, first)
    shop.save(*ORDERS)
    asked = query("Order").where(q.customer == "ana")
    with db.transaction() as tx:
        page = tx.store(first, path=PATH).query(asked, limit=2)
        start = ids(page.all())
        resume = page.continuation
    more = rl.RecordMetaDataBuilder.from_proto(first.to_bytes()).index("Order", "by_total", field("total")).build()
    assert more.version > first.version
    with db.transaction() as tx:
        rest = ids(tx.store(more, path=PATH).query(asked, resume=resume).all())
    assert start + rest == ids(shop_messages(db, more, asked))
    without = builder().build()
    with db.transaction() as tx:
        fresh = tx.store(without, path=("shop", "other"))
        with pytest.raises(errors.BadContinuation, match="dropped"):
            fresh.query(asked, resume=resume)


def shop_messages(db: Any, metadata: rl.RecordMetaData, asked: rl.RecordQuery) -> list[Any]:
    with db.transaction() as tx:
        return tx.store(metadata, path=PATH).query(asked).all()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=20), st.sampled_from([0, 1, 2, 3]))
def test_any_bytes_resume_a_scan_within_its_range_or_not_at_all(stored: Any, noise: bytes, cut: int) -> None:
    store, _ = stored
    scans = (
        (lambda **how: store.scan(bounds=rl.Bounds.between((3,), (9,)), **how), lambda record: record.id),
        (lambda **how: store.scan_index("by_customer", "ana", **how), lambda entry: entry.primary_key),
    )
    for scan, name in scans:
        whole = [name(one) for one in scan().all()]
        page = scan(limit=1)
        page.all()
        for resume in (noise, bytes(page.continuation)[: -cut or None] + noise):
            try:
                found = [name(one) for one in scan(resume=resume).all()]
            except errors.BadContinuation:
                continue
            assert found == whole[len(whole) - len(found) :], "the rest of the range from some place on"


def test_types_with_equal_numbers_in_their_keys_both_come_from_every_plan(db: Any) -> None:
    from tests.support.shop import FILE, Customer

    metadata = (
        rl.RecordMetaDataBuilder(FILE)
        .primary_key("Order", rl.concat(rl.record_type(), "id"))
        .primary_key("Customer", rl.concat(rl.record_type(), "id"))
        .index("Order", "order_by_id", field("id"))
        .index("Order", "by_customer", field("customer"))
        .index("Order", "by_total", field("total"))
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(Order(id=1, customer="a", total=5), Customer(id=1, name="a"), Order(id=2, customer="a"), Customer(id=2))
    assert len(shop.messages(query())) == 4
    assert len(shop.messages(query("Order", "Customer").where((q.id == 1) | (q.id == 2)))) == 4
    assert len(shop.messages(query("Order", "Customer").where(q.id.in_([1, 2]), q.id > 1))) == 2
    assert ids(shop.messages(query("Order").where((q.customer == "a") | (q.total == 5)))) == [1, 2]
    assert ids(shop.messages(query("Order").where(q.customer == "a", q.total == 5))) == [1]
    assert len(shop.messages(query("Order", "Customer").order_by("id", in_memory=2))) == 4
    shop.check()


# -- seals -----------------------------------------------------------------------------------------------------------

OLD, NEW = bytes(range(32)), bytes(range(64))


def sealed_page(db: Any, seal: ContinuationSeal, path: Any = PATH, **how: Any) -> tuple[list[int], bytes | None]:
    with db.transaction() as tx:
        page = tx.store(SHOP, path=path).query(QUERIES["index"], seal=seal, **how)
        return ids(page.all()), page.continuation


def test_sealed_pages_resume_and_show_nothing(orders: Shop) -> None:
    seal = ContinuationSeal({"a": OLD})
    whole = ids(orders.messages(QUERIES["index"]))
    found: list[int] = []
    resume = None
    while True:
        part, resume = sealed_page(orders.db, seal, limit=2, resume=resume)
        found += part
        if resume is None:
            break
        assert one_continuation(orders, QUERIES["index"])[8:16] not in resume
    assert found == whole
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        for scan in (store.scan, lambda **how: store.scan_index("by_customer", **how)):
            page = scan(limit=3, seal=seal)
            first = page.all()
            assert first + scan(resume=page.continuation, seal=seal).all() == scan().all()
            with pytest.raises(errors.BadContinuation):
                scan(resume=page.continuation)


def test_a_seal_is_bound_to_its_key_its_store_and_its_bytes(orders: Shop) -> None:
    seal = ContinuationSeal({"a": OLD})
    _, token = sealed_page(orders.db, seal, limit=2)
    assert token is not None
    refused = [
        (ContinuationSeal({"b": OLD}), PATH, token),
        (ContinuationSeal({"a": NEW}), PATH, token),
        (seal, ("shop", "other"), token),
        (seal, PATH, token[:-1]),
        (seal, PATH, token[:-1] + bytes([token[-1] ^ 1])),
        (seal, PATH, one_continuation(orders, QUERIES["index"])),
        (seal, PATH, b""),
        (seal, PATH, b"\x08\x01\x12\x01a\x1a\x01x"),
    ]
    for another, path, resume in refused:
        with pytest.raises(errors.BadContinuation):
            sealed_page(orders.db, another, path, resume=resume)
    with orders.db.transaction() as tx, pytest.raises(errors.BadContinuation):
        tx.store(SHOP, path=PATH).query(QUERIES["index"], resume=token)


def test_keys_are_exchanged_while_old_continuations_are_out(orders: Shop) -> None:
    before = ContinuationSeal({"old": OLD})
    both = ContinuationSeal({"old": OLD, "new": NEW}, current="new")
    after = ContinuationSeal({"new": NEW})
    first, token = sealed_page(orders.db, before, limit=1)
    second, token = sealed_page(orders.db, both, limit=1, resume=token)
    rest, _ = sealed_page(orders.db, after, resume=token)
    assert first + second + rest == ids(orders.messages(QUERIES["index"]))
    with pytest.raises(errors.BadContinuation, match="key"):
        sealed_page(orders.db, after, resume=sealed_page(orders.db, before, limit=1)[1])


def test_a_sealed_continuation_expires(open_database: Any) -> None:
    clock = ManualClock()
    with open_database("memory:", world=clock.world()) as db:
        Shop(db, SHOP).save(*ORDERS)
        seal = ContinuationSeal({"a": OLD}, lifetime=timedelta(minutes=1))
        _, token = sealed_page(db, seal, limit=1)
        clock.advance(59)
        assert sealed_page(db, seal, resume=token)[0]
        clock.advance(3)
        with pytest.raises(errors.BadContinuation, match="expired"):
            sealed_page(db, seal, resume=token)


@pytest.mark.parametrize(
    ("keys", "how"),
    [
        ({}, {}),
        ("secret", {}),
        ({"a": b"short"}, {}),
        ({"a": "text"}, {}),
        ({7: OLD}, {}),
        ({"a": OLD, "b": NEW}, {}),
        ({"a": OLD}, {"current": "b"}),
        ({"a": OLD}, {"lifetime": 60}),
        ({"a": OLD}, {"lifetime": timedelta(0)}),
    ],
)
def test_a_seal_is_checked_when_it_is_made(keys: Any, how: Any) -> None:
    with pytest.raises(errors.UsageError):
        ContinuationSeal(keys, **how)


def test_a_seal_is_a_seal(orders: Shop) -> None:
    with orders.db.transaction() as tx, pytest.raises(errors.WrongType):
        tx.store(SHOP, path=PATH).query(QUERIES["scan"], seal="secret")
    assert repr(ContinuationSeal({"a": OLD})) == "<ContinuationSeal with the keys a, current a>"


# -- streams ---------------------------------------------------------------------------------------------------------


def test_a_stream_goes_through_many_transactions() -> None:
    with rl.open("memory:") as db:
        Shop(db, SHOP).save(*ORDERS)
        opened: list[Any] = []

        def page(tx: Any, resume: bytes | None) -> Any:
            opened.append(resume)
            return tx.store(SHOP, path=PATH).query(QUERIES["scan"], resume=resume, limit=6)

        assert ids(db.stream(page)) == list(range(1, 21))
        assert len(opened) == 4
        assert opened[0] is None
        entries = db.stream(
            lambda tx, resume: tx.store(SHOP, path=PATH).scan_index("by_customer", resume=resume, limit=6)
        )
        assert len(list(entries)) == 20
        keys = db.stream(
            lambda tx, resume: tx.store(SHOP, path=PATH).query(
                QUERIES["scan"], resume=resume, limits=rl.Limits(keys=4, time=timedelta(seconds=1))
            )
        )
        assert ids(keys) == list(range(1, 21))


def test_a_stream_with_asyncio_is_the_same() -> None:
    async def run() -> list[int]:
        async with aio.open("memory:") as db:
            async with db.transaction() as tx:
                store = await tx.store(SHOP, path=PATH)
                for order in ORDERS:
                    await store.save(order)

            async def page(tx: Any, resume: bytes | None) -> Any:
                store = await tx.store(SHOP, path=PATH)
                return store.query(QUERIES["scan"], resume=resume, limit=6)

            return [order.id async for order in db.stream(page)]

    assert asyncio.run(run()) == list(range(1, 21))


# -- letting others go first, and memory -----------------------------------------------------------------------------

MANY = 1_000_000 if LONG else 6_000


def fill(db: Any, number: int) -> None:
    for start in range(0, number, 2_000):
        with db.transaction() as tx:
            store = tx.store(builder().build(), path=PATH)
            for one in range(start, min(start + 2_000, number)):
                store.save(Order(id=one, customer="ana", note="x" * 40))


def test_a_long_query_of_ready_reads_lets_the_event_loop_go_on() -> None:
    metadata = builder().index("Order", "by_customer", field("customer")).build()

    async def run() -> None:
        turns = 0
        done = False

        async def tick() -> None:
            nonlocal turns
            while not done:
                turns += 1
                await asyncio.sleep(0)

        async with aio.open("memory:", world=ManualClock().world()) as db:
            async with db.transaction() as tx:
                store = await tx.store(metadata, path=PATH)
                for one in range(2_500):
                    await store.save(Order(id=one, customer="ana"))
            for asked in (
                query("Order"),
                query("Order").where(q.note == "nobody"),
                query("Order").where(q.customer == "ana"),
                query("Order").where(q.id.in_(range(10_000, 11_000))),
                query("Order").order_by("note", in_memory=2_000),
            ):
                async with db.transaction() as tx:
                    store = await tx.store(metadata, path=PATH)
                    turns, done = 0, False
                    ticking = asyncio.create_task(tick())
                    await asyncio.sleep(0)
                    before = turns
                    async for _ in store.query(asked, limit=2_400):
                        pass
                    assert turns - before >= 2, str(asked)
                    done = True
                    await ticking

    asyncio.run(run())


def test_a_scan_of_many_records_keeps_memory_flat() -> None:
    with rl.open("memory:") as db:
        fill(db, MANY)
        peaks = []
        for wanted in (MANY // 4, MANY):
            tracemalloc.start()
            count = 0

            def page(tx: Any, resume: bytes | None) -> Any:
                return tx.store(builder().build(), path=PATH).query(query("Order"), resume=resume, limit=1_000)

            for _ in db.stream(page):
                count += 1
                if count == wanted:
                    break
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert count == wanted
        assert peaks[1] < 1.5 * peaks[0]


def test_one_long_page_keeps_no_more_than_a_chunk() -> None:
    with rl.open("memory:", world=ManualClock().world()) as db:
        fill(db, 6_000)
        with db.transaction() as tx:
            store = tx.store(builder().build(), path=PATH)
            peaks = []
            for wanted in (3_000, 6_000):
                tracemalloc.start()
                count = sum(
                    1 for _ in store.query(query("Order").where(q.note == "x" * 40), limit=wanted, snapshot=True)
                )
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
                assert count == wanted
        assert peaks[1] < 1.5 * peaks[0]


# -- records are parsed when somebody looks --------------------------------------------------------------------------


def test_records_that_nobody_looks_at_are_not_parsed(orders: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from recordlayer.store import record as records

    parsed = []
    real = records.parse

    def counted(record_type: Any, body: bytes) -> Any:
        parsed.append(body)
        return real(record_type, body)

    monkeypatch.setattr(records, "parse", counted)
    with orders.db.transaction() as tx:
        page = tx.store(SHOP, path=PATH).query(QUERIES["index"])
        found = list(page.records())
        assert len(found) == 6
        assert parsed == []
        assert [record.primary_key for record in found][:2] == [(3,), (6,)]
        assert found[0].message.id == 3
        assert found[0].message.id == 3
        assert len(parsed) == 1


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("versions", [False, True])
def test_a_record_that_is_saved_in_other_parts_between_two_pages_comes_once(
    db: Any, reverse: bool, versions: bool
) -> None:
    metadata = builder().split_long_records(True).store_record_versions(versions).build()
    for before, after in ((1, 250_000), (250_000, 1)):
        found: list[int] = []
        for number in (1, 2, 3):
            with db.transaction() as tx:
                tx.store(metadata, path=PATH).save(Order(id=number, body=bytes(before)))
        resume = None
        for _ in range(3):
            with db.transaction() as tx:
                store = tx.store(metadata, path=PATH)
                page = store.scan(limit=1, reverse=reverse, resume=resume)
                found += ids(page.all())
                resume = page.continuation
            with db.transaction() as tx:
                tx.store(metadata, path=PATH).save(Order(id=found[-1], body=bytes(after)))
        assert found == ([3, 2, 1] if reverse else [1, 2, 3])
        with db.transaction() as tx:
            store = tx.store(metadata, path=PATH)
            assert ids(store.scan(reverse=reverse, resume=resume).all() if resume else []) == []
            assert store.check() == []
