"""No tenant reaches another: not by its path, not by a token, not by a stream, whatever is in them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import errors
from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.errors import BadContinuation, TenantError
from recordlayer.keyspace import InternedDirectory, KeySpace, KeySpaceDirectory
from recordlayer.tenant import Guard, StepLimits
from recordlayer.tenant.marks import KEPT
from recordlayer.tenant.spots import Spot
from recordlayer.tenant.stream import HEAD, Kind, Writer, rows_as_bytes
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from tests.golden.recorded_release import METADATA, order, shown, ways
from tests.support.shop import SHOP, Order

TEXTS = st.text(alphabet="a\x00\x01b\xff", max_size=3)
ELEMENTS = TEXTS | st.binary(max_size=3) | st.integers(-3, 300) | st.none()
PACKED = ELEMENTS.map(lambda element: pack((element,)))
PATHS = st.lists(ELEMENTS, min_size=1, max_size=3).map(tuple)
ROWS = st.lists(st.tuples(st.lists(ELEMENTS, max_size=2).map(lambda items: pack(tuple(items))), st.binary(max_size=9)))
SMALL = StepLimits(keys=3, bytes=100)


@contextmanager
def databases(count: int) -> Iterator[list[rl.Database]]:
    opened = [rl.open("memory:") for _ in range(count)]
    try:
        yield opened
    finally:
        for database in opened:
            database.close()


def everything(db: rl.Database) -> dict[bytes, bytes]:
    with db.transaction() as tx:
        return dict(run_blocking(tx.context.read_all(b"", b"\xff")))


def is_within(path: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return pack(other[: len(path)]) == pack(path)


@settings(max_examples=30, deadline=None)
@given(paths=st.lists(PATHS, min_size=2, max_size=4, unique_by=pack), rows=ROWS, target=PATHS)
def test_what_is_done_to_one_tenant_concerns_no_other(
    paths: list[tuple[Any, ...]], rows: list[tuple[bytes, bytes]], target: tuple[Any, ...]
) -> None:
    with databases(2) as (db, other):
        with db.transaction() as tx:
            for number, path in enumerate(paths):
                for behind, value in rows:
                    tx.context.set(pack((*path, number)) + behind, value)
                tx.context.set(pack(path), b"itself")
        before = everything(db)
        tenant = paths[0]
        own = {
            key: value
            for key, value in before.items()
            if key.startswith(pack(tenant)) and key[len(pack(tenant)) :][:1] != b"\xff"
        }
        for path in paths[1:]:
            if not is_within(tenant, path) and not is_within(path, tenant):
                assert not any(key.startswith(pack(path)) and key[len(pack(path)) :][:1] != b"\xff" for key in own)
        file = io.BytesIO()
        db.tenant(tenant).export(limits=SMALL).write_to(file)
        file.seek(0)
        other.tenant(target).import_from(file, limits=SMALL)
        assert everything(other) == {pack(target) + key[len(pack(tenant)) :]: value for key, value in own.items()}
        assert db.tenant(tenant).statistics(limits=SMALL).total.keys == len(own)
        db.tenant(tenant).delete(limits=SMALL)
        assert everything(db) == {key: value for key, value in before.items() if key not in own}
        other.tenant(target).delete()
        assert everything(other) == {}


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.sampled_from(["year", "folder", "nowhere"]), st.binary(max_size=4) | PACKED)
        | st.tuples(st.sampled_from(["year", "folder"]), TEXTS, st.none() | st.binary(max_size=2)),
        max_size=2,
    ),
    rest=st.sampled_from([b"", b"\xff", b"\xff\x01x", b"\x00"]) | st.binary(max_size=4),
    rows=st.lists(st.tuples(st.sampled_from([b"", b"\xff", b"\x14"]) | st.binary(max_size=4), st.binary(max_size=4))),
    is_store=st.booleans(),
    is_reverse=st.booleans(),
)
def test_a_stream_that_somebody_made_up_writes_nothing_outside(
    parts: list[Any], rest: bytes, rows: list[tuple[bytes, bytes]], is_store: bool, is_reverse: bool
) -> None:
    space = KeySpace(
        KeySpaceDirectory(
            "app",
            str,
            KeySpaceDirectory("tenant", str, KeySpaceDirectory("year", int, InternedDirectory("folder"))),
            value="app",
        )
    )
    writer = Writer()
    spot = Spot(tuple(parts), rest, is_store, is_reverse)
    frames = [writer.frame(Kind.BEGIN, pack((b"\x01" * 16, "/made up", "all", None, None)))]
    frames.append(writer.frame(Kind.PLACE, spot.packed()))
    frames.append(writer.frame(Kind.ROWS, rows_as_bytes(rows)))
    size = sum(len(key) + len(value) for key, value in rows)
    frames.append(writer.frame(Kind.END, pack((len(rows), size, None))))
    tenant = space.path("app").add("tenant", "acme")
    with databases(1) as (db,):
        with db.transaction() as tx:
            tx.store(SHOP, path=("app", "acme\x00zoe")).save(Order(id=1))
            tx.store(SHOP, path=("app", "acmf")).save(Order(id=1))
        before = everything(db)
        try:
            report = db.tenant(tenant).import_from(io.BytesIO(HEAD + b"".join(frames)))
        except TenantError:
            report = None
        prefix = tenant.subspace().key()
        names = (b"\xfe", pack((resolved_reverse(db),)))
        found = {key: value for key, value in everything(db).items() if not key.startswith(names)}
        outside = {key: value for key, value in found.items() if not prefix <= key < prefix + b"\xff"}
        assert outside == before
        if report is None:
            assert found == before, "nothing is left of what was refused"


def resolved_reverse(db: rl.Database) -> int:
    """The number below which the names that were interned are found by theirs."""
    with db.transaction() as tx:
        number = tx.directories().create_or_open("recdb_rd_cache").prefix
        tx.cancel()
    return int(rl.Subspace().unpack(number)[0])


def test_tokens_are_good_for_their_tenant_only() -> None:
    with databases(1) as (db,):
        for name in ("acme", "zenith"):
            for number in range(3):
                with db.transaction() as tx:
                    tx.store(SHOP, path=(name, number)).save(Order(id=1))
        page = db.tenant(("acme",)).stores(limit=1)
        export = db.tenant(("acme",)).export(guard=Guard.NONE, limits=SMALL)
        for _ in export:
            if export.report.rows:
                break
        zenith = db.tenant(("zenith",))
        for token in (page.continuation, export.token, b"", b"\x15\x01", export.token[:-3], b"\xff" * 9):
            with pytest.raises(BadContinuation):
                zenith.stores(continuation=token)
            with pytest.raises(BadContinuation):
                list(zenith.export(guard=Guard.NONE, resume=token))
        with pytest.raises(BadContinuation):
            db.tenant(("acme",)).stores(continuation=export.token)
        with pytest.raises(BadContinuation):
            list(db.tenant(("acme",)).export(guard=Guard.NONE, resume=page.continuation))


def test_what_is_kept_of_tenants_is_nobodys_place() -> None:
    with databases(1) as (db,):
        db.tenant(("acme",)).set_limits(None)
        for path in (rl.Subspace(prefix=KEPT), rl.Subspace((1,), KEPT), rl.Subspace(prefix=KEPT[:5])):
            with pytest.raises(errors.UsageError):
                db.tenant(path).delete()
            with pytest.raises(errors.UsageError):
                db.tenant(path).import_from(io.BytesIO(HEAD + Writer().frame(Kind.BEGIN, pack((b"x", "", "all")))))


ACME, ZENITH = ("shop", "acme"), ("shop", "zenith")


def filled(db: rl.Database, path: tuple[str, ...], first: int) -> None:
    """A store with every type of index; its ids begin at `first`, all else is the same."""
    with db.transaction() as tx:
        store = tx.store(METADATA, path=path, format_version=13)
        store.leaderboard("board").update_windows(0)
        store.feed.enable(group_by=1)
        for number in range(20):
            made = order(number)
            made.id = first + number
            store.save(made)


def pages_of(store: Any) -> dict[str, Any]:
    return {name: page_of for name, page_of in ways(store).items() if name not in ("groups", "join")}


def below(db: rl.Database, path: tuple[str, ...]) -> dict[bytes, bytes]:
    prefix = rl.Subspace(path).key()
    return {key: value for key, value in everything(db).items() if key.startswith(prefix)}


def test_a_continuation_of_one_store_gives_another_nothing_that_it_has_not() -> None:
    """Continuations that are not sealed are Java's, and tell a place in keys behind the store's own prefix: elsewhere
    they go on from such a place, or are refused. Sealed ones are good in their store only."""
    refused: Counter[str] = Counter()
    with databases(1) as (db,):
        filled(db, ACME, 0)
        filled(db, ZENITH, 1_000)
        before = below(db, ACME)
        with db.transaction() as tx:
            acme = pages_of(tx.store(METADATA, path=ACME))
            zenith = pages_of(tx.store(METADATA, path=ZENITH))
            for name, page_of in acme.items():
                whole = [shown(one) for one in zenith[name]().all()]
                for limit in (1, 3):
                    page = page_of(limit=limit)
                    page.all()
                    try:
                        found = [shown(one) for one in zenith[name](resume=page.continuation).all()]
                    except BadContinuation:
                        refused[name] += 1
                        continue
                    assert all(one in whole for one in found), name
                    assert name != "sealed"
            tx.store(METADATA, path=ZENITH).texts("words").tidy()
        assert below(db, ACME) == before
    assert refused["sealed"] == 2


def test_tokens_of_a_feed_are_good_in_their_store_only() -> None:
    with databases(1) as (db,):
        filled(db, ACME, 0)
        filled(db, ZENITH, 1_000)
        before = below(db, ACME)
        with db.transaction() as tx:
            acme, zenith = tx.store(METADATA, path=ACME), tx.store(METADATA, path=ZENITH)
            seals = {None: None, "sealed": ContinuationSeal({"k": bytes(32)})}
            for seal in seals.values():
                page = acme.feed.changes(limit=3, seal=seal)
                list(page)
                for token in (page.token, acme.feed.now(seal=seal), acme.feed.oldest(seal=seal)):
                    with pytest.raises((errors.BadFeedToken, errors.FeedTokenExpired)):
                        list(zenith.feed.changes(since=token, seal=seal))
                    with pytest.raises((errors.BadFeedToken, errors.FeedTokenExpired)):
                        zenith.feed.rewind("replica", token, seal=seal)
                group = acme.feed.now(group=(1,), seal=seal)
                with pytest.raises((errors.BadFeedToken, errors.FeedTokenExpired)):
                    list(zenith.feed.changes(group=(1,), since=group, seal=seal))
                with pytest.raises((errors.BadFeedToken, errors.FeedTokenExpired)):
                    zenith.feed.groups_changed(since=acme.feed.groups_now(seal=seal), seal=seal)
                by_version = acme.version_feed("changed").changes(limit=3, seal=seal)
                list(by_version)
                try:
                    found = list(zenith.version_feed("changed").changes(since=by_version.token, seal=seal))
                except errors.BadFeedToken:
                    continue
                assert seal is None, "what is sealed is good in its store only"
                assert all(one.primary_key[0] >= 1_000 for one in found)
        assert below(db, ACME) == before
