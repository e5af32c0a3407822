"""What lies below a path as a whole: listed, measured, deleted, exported and imported, in both facades."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.keyspace import (
    ExtendedDirectoryLayer,
    InternedDirectory,
    KeySpace,
    KeySpaceDirectory,
    ScopedInterningLayer,
)
from recordlayer.store import StoreStateCache
from recordlayer.store.layout import StoreLayout
from recordlayer.tenant import Guard, StepLimits
from recordlayer.tenant.marks import KEPT
from recordlayer.testing.clock import ManualClock
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.support.shop import SHOP, Customer, Order, builder

VERSIONED = builder().store_record_versions().index("Order", "by_customer", rl.field("customer")).build()


class Killed(BaseException):
    """The end of a process."""


SMALL = StepLimits(keys=20, bytes=2_000)

PLAIN = builder().index("Order", "by_customer", rl.field("customer")).build()

SPACE = KeySpace(
    KeySpaceDirectory(
        "application",
        str,
        InternedDirectory(
            "tenant",
            KeySpaceDirectory("year", int),
            KeySpaceDirectory("notes", str, value="notes"),
            resolver=ScopedInterningLayer(pack(("shop", "names"))),
        ),
        value="shop",
    )
)


def tenant(name: str) -> Any:
    return SPACE.path("application").add("tenant", name)


def fill(db: Any, path: Any, *, metadata: Any = SHOP, orders: int = 20, format_version: int = 13) -> None:
    with db.transaction() as tx:
        store = tx.store(metadata, path=path, format_version=format_version)
        for number in range(orders):
            store.save(Order(id=number, customer=f"c{number % 3}", total=number, tags=["a", "b"][: number % 3]))
        store.save(Customer(ref="r", name="ana"))


def pairs(db: Any, prefix: bytes = b"", end: bytes | None = None) -> dict[bytes, bytes]:
    with db.transaction() as tx:
        rows = run_blocking(tx.context.read_all(prefix, prefix + b"\xff" if end is None else end))
    return {key[len(prefix) :]: value for key, value in rows}


def kept(db: Any) -> dict[bytes, bytes]:
    """What is kept of tenants outside of their paths."""
    return pairs(db, KEPT)


def exported(db: Any, path: Any, **how: Any) -> io.BytesIO:
    file = io.BytesIO()
    db.tenant(path).export(**how).write_to(file)
    file.seek(0)
    return file


@pytest.fixture
def other(open_database: Any, opened_stores: Any) -> Iterator[Any]:
    """Another database, whose names have other numbers."""
    database = open_database("memory:")
    with database.transaction() as tx:
        names = tx.names(ScopedInterningLayer(pack(("shop", "names"))))
        for number in range(20):
            names.resolve(f"a stranger {number}")
    yield database
    opened_stores.check(database)
    database.close()


# -- looking


def test_stores_below_a_path_are_listed_in_pages(db: Any) -> None:
    for year in (2024, 2025, 2026):
        fill(db, tenant("acme").add("year", year), orders=1)
    fill(db, tenant("zenith").add("year", 2030), orders=1)
    with db.transaction() as tx:
        notes = tx.key_space(SPACE).resolve(tenant("acme").add("notes"))
        for number in range(300):
            tx.context.set(notes.prefix + pack((number,)), b"no store")
    acme = db.tenant(tenant("acme"))
    first = acme.stores(limit=2)
    assert [found.path.path.value for found in first.stores] == [2024, 2025]
    assert first.stores[0].info.format_version == 13
    rest = acme.stores(limit=2, continuation=first.continuation)
    assert ([found.path.path.value for found in rest.stores], rest.continuation) == ([2026], None)
    with db.transaction() as tx:
        assert tx.store(SHOP, path=rest.stores[0].path).load(0).customer == "c0"
    with pytest.raises(errors.BadContinuation, match="another tenant"):
        db.tenant(tenant("zenith")).stores(continuation=first.continuation)
    with pytest.raises(errors.BadContinuation):
        acme.stores(continuation=b"\x00what")
    with pytest.raises(errors.NameNotInterned):
        db.tenant(tenant("nobody")).stores()


def test_every_byte_of_a_tenant_is_counted_by_type_and_index(db: Any) -> None:
    split = builder().split_long_records(True).index("Order", "by_customer", rl.field("customer")).build()
    with db.transaction() as tx:
        store = tx.store(split, path=("shop", "acme", 1))
        store.save(Order(id=1, customer="ana", body=b"x" * 250_000))
        store.save(Order(id=2, customer="bo"))
        store.save(Customer(ref="r", name="ana"))
        tx.context.set(pack(("shop", "acme", 2)), b"no store")
    fill(db, ("shop", "acme0", 1))
    everything = pairs(db, pack(("shop", "acme")))
    prefix = len(pack(("shop", "acme")))
    for limits in (None, StepLimits(keys=1), StepLimits(keys=2)):
        found = db.tenant(("shop", "acme")).statistics(split, limits=limits)
        assert found.stores == 1
        assert {name: (size.records, size.keys) for name, size in found.records.items()} == {
            "Order": (2, 4),
            "Customer": (1, 1),
        }
        assert found.indexes["by_customer"].keys == 2
        assert (found.other["outside of stores"].keys, found.other["header"].keys) == (1, 1)
        assert found.total.keys == len(everything)
        assert found.total.bytes == sum(len(key) + prefix + len(value) for key, value in everything.items())
    assert db.tenant(("shop", "acme")).statistics().records["?"].records == 3
    estimated = db.tenant(("shop", "acme")).statistics(split, exact=False)
    assert (estimated.stores, estimated.exact) == (1, False)
    assert estimated.records["?"].bytes > 0
    assert db.tenant(("shop", "acme")).size() > 0


# -- deleting


def test_a_tenant_is_deleted_in_small_steps_and_its_neighbours_stay(db: Any) -> None:
    names = ("acme", "acme\x00", "acme\x00zoe", "acmf")
    for name in names:
        fill(db, ("shop", name, 1), orders=300)
    before = pairs(db, pack(("shop",)))
    told: list[Any] = []
    report = db.tenant(("shop", "acme")).delete(limits=StepLimits(bytes=5_000), told=told.append)
    assert report.finished
    assert len(told) > 3
    assert told[0].estimated_left > 0
    after = pairs(db, pack(("shop",)))
    gone = pack(("acme",))
    assert after == {
        key: value for key, value in before.items() if not key.startswith(gone) or key.startswith(gone + b"\xff")
    }
    assert db.tenant(("shop", "acme")).stores().stores == []


def test_a_deletion_that_was_interrupted_leaves_no_store_to_be_opened(db: Any) -> None:
    fill(db, ("shop", "acme", 1), orders=300)

    def interrupt(report: Any) -> None:
        raise Killed

    with pytest.raises(Killed):
        db.tenant(("shop", "acme")).delete(limits=StepLimits(bytes=5_000), told=interrupt)
    assert pairs(db, pack(("shop", "acme")))
    with db.transaction() as tx, pytest.raises(errors.NotARecordStore):
        tx.store(SHOP, path=("shop", "acme", 1))
    db.tenant(("shop", "acme")).delete()
    assert pairs(db, pack(("shop", "acme"))) == {}


def test_the_name_of_a_deleted_tenant_is_free_and_its_number_is_not(db: Any) -> None:
    fill(db, tenant("acme").add("year", 2026))
    with db.transaction() as tx:
        number = tx.names(tenant("acme").directory.resolver).find("acme").number
    db.tenant(tenant("acme")).delete(name=True)
    assert db.tenant(tenant("acme")).delete().finished, "nobody of that name"
    with db.transaction() as tx:
        names = tx.names(tenant("acme").directory.resolver)
        assert names.find("acme") is None
        assert names.resolve("acme").number != number
        assert all(names.resolve(f"another {count}").number != number for count in range(60))


# -- moving


def test_an_export_is_imported_elsewhere_with_names_and_versions(db: Any, other: Any) -> None:
    for year in (2025, 2026):
        fill(db, tenant("acme").add("year", year), metadata=VERSIONED)
    with db.transaction() as tx:
        notes = tx.key_space(SPACE).resolve(tenant("acme").add("notes"))
        tx.context.set(notes.prefix + b"anything", b"at all")
        versions = {
            order.primary_key: order.version
            for order in tx.store(VERSIONED, path=tenant("acme").add("year", 2026)).query(rl.query("Order")).records()
        }
    with other.transaction() as tx:  # numbers are drawn from a window, which is another one behind so many names
        for count in range(60):
            tx.key_space(SPACE).resolve(tenant(f"another {count}"))
    report = other.tenant(tenant("moved")).import_from(exported(db, tenant("acme")))
    assert (report.stores, report.raised, report.not_raised, report.finished) == (2, 2, 0, True)
    with other.transaction() as tx:
        moved = tx.key_space(SPACE).resolve(tenant("moved"))
        store = tx.store(VERSIONED, path=tenant("moved").add("year", 2026))
        assert store.header.info.incarnation == 1
        found = {order.primary_key: order.version for order in store.query(rl.query("Order")).records()}
        assert found == versions
        assert store.check() == []
    with db.transaction() as tx:
        assert tx.key_space(SPACE).resolve(tenant("acme")).stored != moved.stored, "numbers that differ are the point"
    here, there = pairs(db, pack(("shop", resolved(db, "acme")))), pairs(other, moved.prefix)
    headers = {pack((year, 0)) for year in (2025, 2026)}
    assert here.keys() == there.keys()
    assert {key for key in here if here[key] != there[key]} == headers
    assert kept(other) == {}


def resolved(db: Any, name: str) -> int:
    with db.transaction() as tx:
        number: int = tx.key_space(SPACE).resolve(tenant(name)).stored
        return number


def inner_space(resolver: type[Any]) -> KeySpace:
    """A key space in which tenants keep the names of their folders themselves."""
    root = KeySpaceDirectory("root", str, value="shop")
    own = KeySpace(KeySpaceDirectory("root", str, KeySpaceDirectory("tenant", str, root), value="shop"))
    scope = own.path("root").add("tenant", "acme").add("root")
    folder = InternedDirectory("folder", resolver=resolver(scope))
    return KeySpace(
        KeySpaceDirectory(
            "root",
            str,
            KeySpaceDirectory("tenant", str, root, KeySpaceDirectory("folders", bytes, folder, value=b"f")),
            value="shop",
        )
    )


@pytest.mark.parametrize("resolver", [ScopedInterningLayer, ExtendedDirectoryLayer])
def test_names_that_a_tenant_keeps_itself_move_with_it(db: Any, other: Any, resolver: type[Any]) -> None:
    space = inner_space(resolver)
    acme = space.path("root").add("tenant", "acme")
    folder = acme.add("folders").add("folder", "inbox")
    with other.transaction() as tx:
        tx.names(ExtendedDirectoryLayer()).resolve("the reverse directory has another number here")
    with db.transaction() as tx:
        tx.store(SHOP, path=folder).save(Order(id=1, customer="ana"))
    db.tenant(acme).copy_to(other.tenant(acme))
    with db.transaction() as tx, other.transaction() as there:
        number = tx.names(resolver(acme.add("root"))).find("inbox").number
        names = there.names(resolver(acme.add("root")))
        assert names.name_of(number) == "inbox", "from its number, before anybody looked the name up"
        assert names.find("inbox").number == number
        assert there.store(SHOP, path=folder).load(1).customer == "ana"


def test_a_place_that_is_not_empty_is_left_alone(db: Any) -> None:
    fill(db, ("shop", "acme", 1))
    fill(db, ("shop", "zenith", 1))
    before = pairs(db, pack(("shop",)))
    with pytest.raises(errors.TenantNotEmpty):
        db.tenant(("shop", "zenith")).import_from(exported(db, ("shop", "acme")))
    with pytest.raises(errors.TenantNotEmpty):
        db.tenant(("shop", "acme")).copy_to(db.tenant(("shop", "zenith")))
    assert pairs(db, pack(("shop",))) == before


def test_nothing_is_left_of_a_stream_that_is_cut_off_or_damaged(db: Any) -> None:
    fill(db, ("shop", "acme", 1))
    whole = exported(db, ("shop", "acme"), limits=SMALL).getvalue()
    target = db.tenant(("shop", "zenith"))
    places = [0, 4, 8, 9, 12, *range(20, len(whole), len(whole) // 25), len(whole) - 1]
    for place in places:
        with pytest.raises(errors.StreamTruncated):
            target.import_from(io.BytesIO(whole[:place]), limits=SMALL)
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        with pytest.raises((errors.StreamDamaged, errors.StreamTooNew, errors.StreamTruncated)):
            target.import_from(io.BytesIO(bytes(damaged)), limits=SMALL)
        assert pairs(db, pack(("shop", "zenith"))) == {}
        assert kept(db) == {}
    with pytest.raises(errors.StreamDamaged):
        target.import_from(io.BytesIO(whole + b"x"))
    with pytest.raises(errors.StreamDamaged):
        target.import_from(io.BytesIO(whole + whole[9:]))
    with pytest.raises(errors.WrongType):
        target.import_from(io.StringIO("a text"))
    with pytest.raises(errors.WrongType):
        target.import_from(7)
    assert pairs(db, pack(("shop", "zenith"))) == {}
    assert target.import_from(io.BytesIO(whole), limits=SMALL).finished


def test_nobody_sees_half_of_an_import_and_it_goes_on_after_a_kill(db: Any) -> None:
    fill(db, ("shop", "acme", 1))
    fill(db, ("shop", "acme", 2))
    whole = exported(db, ("shop", "acme"), limits=SMALL).getvalue()
    target = db.tenant(("shop", "zenith"))

    def kill(report: Any) -> None:
        raise Killed

    with pytest.raises(Killed):
        target.import_from(io.BytesIO(whole[: len(whole) * 3 // 4]), limits=SMALL, told=kill)
    assert pairs(db, pack(("shop", "zenith")))
    assert target.stores().stores == []
    with db.transaction() as tx, pytest.raises(errors.NotARecordStore):
        tx.store(SHOP, path=("shop", "zenith", 1))
    with pytest.raises(errors.ImportInterrupted):
        target.import_from(exported(db, ("shop", "acme")))
    report = target.import_from(io.BytesIO(whole), limits=SMALL)
    assert (report.resumed, report.stores) == (True, 2)
    assert pairs(db, pack(("shop", "zenith"))).keys() == pairs(db, pack(("shop", "acme"))).keys()
    for number in (1, 2):
        with db.transaction() as tx:
            assert tx.store(SHOP, path=("shop", "zenith", number)).check() == []
    assert kept(db) == {}


@pytest.fixture
def blocking(opened_stores: Any) -> Iterator[Any]:
    """A database of the blocking facade, for work that is done within the work of another."""
    database = rl.open("memory:")
    yield database
    opened_stores.check(database)
    database.close()


def test_an_import_that_is_deleted_does_not_go_on(blocking: Any) -> None:
    fill(blocking, ("shop", "acme", 1))
    whole = exported(blocking, ("shop", "acme"), limits=SMALL).getvalue()
    target = blocking.tenant(("shop", "zenith"))
    with pytest.raises(errors.ImportInterrupted):
        target.import_from(
            (whole[at : at + 500] for at in range(0, len(whole), 500)),
            limits=SMALL,
            told=lambda report: blocking.tenant(("shop", "zenith")).delete(),
        )
    assert pairs(blocking, pack(("shop", "zenith"))) == {}


def test_an_import_that_is_deleted_at_its_very_end_does_not_say_that_it_is_done(blocking: Any) -> None:
    fill(blocking, ("shop", "acme", 1))
    whole = exported(blocking, ("shop", "acme")).getvalue()

    def pieces() -> Iterator[bytes]:
        yield whole
        blocking.tenant(("shop", "zenith")).delete()

    with pytest.raises(errors.ImportInterrupted):
        blocking.tenant(("shop", "zenith")).import_from(pieces(), limits=SMALL)
    assert pairs(blocking, pack(("shop", "zenith"))) == {}


def test_who_gives_up_an_import_that_another_has_finished_takes_nothing_away(blocking: Any) -> None:
    fill(blocking, ("shop", "acme", 1))
    whole = exported(blocking, ("shop", "acme"), limits=SMALL).getvalue()
    target = ("shop", "zenith")

    def hangs() -> Iterator[bytes]:
        yield whole[: len(whole) // 2]
        assert blocking.tenant(target).import_from(io.BytesIO(whole), limits=SMALL).finished
        with blocking.transaction() as tx:
            tx.store(SHOP, path=(*target, 1)).save(Order(id=1_000))

    with pytest.raises(errors.StreamTruncated):
        blocking.tenant(target).import_from(hangs(), limits=SMALL)
    with blocking.transaction() as tx:
        assert tx.store(SHOP, path=(*target, 1)).load(1_000) is not None
    assert kept(blocking) == {}


def test_an_import_meets_a_store_that_somebody_made_meanwhile(blocking: Any) -> None:
    fill(blocking, ("shop", "acme", 1))
    whole = exported(blocking, ("shop", "acme")).getvalue()

    def meddle(report: Any) -> None:
        with blocking.transaction() as tx:
            tx.context.set(StoreLayout(pack(("shop", "zenith", 1))).header, b"somebody's")

    with pytest.raises(errors.TenantChanged):
        blocking.tenant(("shop", "zenith")).import_from(io.BytesIO(whole), told=meddle)


def test_directories_that_differ_refuse_an_export(db: Any, other: Any) -> None:
    fill(db, tenant("acme").add("year", 2026))
    with db.transaction() as tx:
        tx.context.set(pack(("shop", "by month", "x")), b"")
    plain = KeySpace(KeySpaceDirectory("root", str, KeySpaceDirectory("tenant", str), value="plain"))
    texts = KeySpace(
        KeySpaceDirectory(
            "root",
            str,
            InternedDirectory("tenant", KeySpaceDirectory("year", str), resolver=tenant("a").directory.resolver),
            value="texts",
        )
    )
    for source, target in (
        (tenant("acme"), ("shop", "plain")),
        (tenant("acme"), texts.path("root").add("tenant", "zoe")),
        (SPACE.path("application"), plain.path("root")),
    ):
        whole = exported(db, source)
        with pytest.raises(errors.ImportRefused):
            other.tenant(target).import_from(whole)
        assert kept(other) == {}
        assert pairs(other, pack(("plain",))) == pairs(other, pack(("texts",))) == {}


# -- changes meanwhile


@pytest.fixture
def timed(open_database: Any) -> Iterator[tuple[Any, ManualClock]]:
    """A database with a clock that is moved by hand."""
    clock = ManualClock()
    database = open_database("memory:", world=World(clock=clock))
    yield database, clock
    database.close()


def test_an_export_that_takes_long_is_of_one_moment_or_fails(timed: tuple[Any, ManualClock]) -> None:
    db, clock = timed
    fill(db, ("shop", "acme", 1), orders=100)

    def slowly(seconds: float, meanwhile: Callable[[], object]) -> io.BytesIO:
        export = db.tenant(("shop", "acme")).export(limits=SMALL)
        whole = b""
        for piece in export:
            whole += piece
            clock.advance(seconds)
            meanwhile()
        assert export.report.transactions > 5
        return io.BytesIO(whole)

    whole = slowly(2.5, lambda: fill(db, ("shop", "acmf", 1), orders=1))
    assert db.tenant(("shop", "copy")).import_from(whole).stores == 1
    with pytest.raises(errors.TenantChanged):
        slowly(2.5, lambda: fill(db, ("shop", "acme", 1), orders=1))
    # Changes that an export at one version does not see do not matter.
    slowly(0.0, lambda: fill(db, ("shop", "acme", 1), orders=1))


def test_a_frozen_tenant_is_exported_over_any_time_and_by_several_processes(timed: tuple[Any, ManualClock]) -> None:
    db, clock = timed
    fill(db, ("shop", "acme", 1), orders=100)
    fill(db, ("shop", "acme", 2), orders=3)
    export = db.tenant(("shop", "acme")).export(guard=Guard.FREEZE, limits=SMALL)
    with pytest.raises(errors.Closed):
        export.token  # noqa: B018  (reading it is the test)
    whole = b""
    for piece in export:
        whole += piece
        if export.report.transactions > 4:
            clock.advance(100)
            with pytest.raises(errors.StoreLocked):
                fill(db, ("shop", "acme", 1), orders=1)
            assert export.report.written == len(whole)
            token = export.token
            with pytest.raises(errors.BadContinuation):
                list(db.tenant(("shop", "acmf")).export(guard=Guard.FREEZE, resume=token))
            with pytest.raises(errors.BadContinuation):
                list(db.tenant(("shop", "acme")).export(resume=token))
            break
    resumed = db.tenant(("shop", "acme")).export(guard=Guard.FREEZE, limits=SMALL, resume=token)
    whole += b"".join(resumed)
    assert resumed.report.finished
    assert db.tenant(("shop", "acme")).thaw() == 0, "it thawed at its end"
    fill(db, ("shop", "acme", 1), orders=1)
    target = db.tenant(("shop", "copy"))
    assert target.import_from(io.BytesIO(whole)).stores == 2
    fill(db, ("shop", "copy", 1), orders=1)


def test_a_token_of_an_export_is_good_as_long_as_nothing_can_have_changed(timed: tuple[Any, ManualClock]) -> None:
    db, clock = timed
    fill(db, ("shop", "acme", 1), orders=100)
    export = db.tenant(("shop", "acme")).export(limits=SMALL)
    for _ in export:
        if export.report.rows > 50:
            break
    token = export.token
    assert list(db.tenant(("shop", "acme")).export(limits=SMALL, resume=token))
    fill(db, ("shop", "acme", 1), orders=1)
    clock.advance(10)
    with pytest.raises(errors.TenantChanged):
        list(db.tenant(("shop", "acme")).export(limits=SMALL, resume=token))


def test_what_cannot_be_frozen_is_left_as_it_was(db: Any) -> None:
    fill(db, ("shop", "acme", 1))
    fill(db, ("shop", "acme", 2), format_version=7)
    with pytest.raises(errors.TenantFrozen, match="format_version=12"):
        exported(db, ("shop", "acme"), guard=Guard.FREEZE)
    fill(db, ("shop", "acme", 1), orders=1)
    with pytest.raises(errors.WrongType):
        db.tenant(("shop", "acme")).export(guard="freeze")
    export = db.tenant(("shop", "acme", 1)).export(guard=Guard.FREEZE)
    for _ in export:
        break
    with pytest.raises(errors.StoreLocked):
        fill(db, ("shop", "acme", 1), orders=1)
    assert db.tenant(("shop", "acme")).thaw() == 1
    fill(db, ("shop", "acme", 1), orders=1)


def test_a_copy_that_fails_leaves_nothing_and_thaws(db: Any, other: Any) -> None:
    fill(db, tenant("acme").add("year", 2026))
    with pytest.raises(errors.ImportRefused):
        db.tenant(SPACE.path("application")).copy_to(other.tenant(("plain",)), guard=Guard.FREEZE)
    assert pairs(other, pack(("plain",))) == {}
    assert kept(other) == {}
    fill(db, tenant("acme").add("year", 2026))
    told: list[Any] = []
    report = db.tenant(tenant("acme")).copy_to(other.tenant(tenant("zoe")), told=told.append)
    assert (report.stores, bool(told)) == (1, True)


@pytest.mark.parametrize("path", [rl.Subspace(), (("recordlayer",),), (("recordlayer", "tenants"), 1)])
def test_the_whole_database_is_no_tenant(db: Any, path: Any) -> None:
    if path == (("recordlayer",),):
        assert db.tenant(path).stores().stores == [], "a path beside what is kept of tenants"
        return
    with pytest.raises(errors.UsageError):
        db.tenant(path).stores()


def test_one_of_many_stores_costs_what_one_of_few_does(open_database: Any) -> None:
    costs = {}
    for count in (10, 1_500):
        with open_database("memory:", store_states=StoreStateCache(stores=100)) as db:
            for start in range(0, count, 100):
                with db.transaction() as tx:
                    for number in range(start, min(count, start + 100)):
                        tx.store(PLAIN, path=tenant("acme").add("year", number)).save(Order(id=1, customer="ana"))
            reads = []
            for number in range(0, count, count // 10):
                with db.transaction() as tx:
                    assert tx.store(PLAIN, path=tenant("acme").add("year", number)).load(1).customer == "ana"
                    reads.append(tx.counters.reads)
            costs[count] = reads[1:]  # the first looks up the tenant's name
            assert len(db.store_states) <= 100
    assert costs[10] == costs[1_500] == [3] * len(costs[10])
