"""Streams of exports: taken or refused; of a refused one nothing is left, what was taken comes out again as it came in,
and changes that are imported leave their store in order.

Layout of an input: what it is (1 byte), then a stream as it is, or frames without their checksums, which are put in:
kind (1 byte), length (2 bytes), content.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache
from typing import Any

import recordlayer as rl
from recordlayer.errors import TenantError
from recordlayer.keyspace import InternedDirectory, KeySpace, KeySpaceDirectory
from recordlayer.store.layout import StoreLayout
from recordlayer.tenant.place import tenant_place
from recordlayer.tenant.stream import HEAD, Kind, Reader, Writer
from recordlayer.testing.clock import ManualClock
from recordlayer.waiting.drivers import run_blocking
from tests.fuzz.harness import Target
from tests.support.shop import Order, builder

STREAM, FRAMES, CHANGES = 0, 1, 2

SPACE = KeySpace(
    KeySpaceDirectory(
        "app", str, KeySpaceDirectory("tenant", str, KeySpaceDirectory("year", int, InternedDirectory("shop")))
    )
)
METADATA = (
    builder()
    .store_record_versions()
    .split_long_records(True)
    .index("Order", "by_customer", rl.field("customer"))
    .build()
)
HEADER = StoreLayout(b"").header


def path(tenant: str) -> Any:
    return SPACE.path("app", "x").add("tenant", tenant)


@cache
def database() -> tuple[Any, list[tuple[bytes, bytes]], dict[int, bytes]]:
    """A database with a tenant and a copy of an earlier state of it, all of its pairs, and streams of the tenant."""
    db = rl.open("memory:", world=ManualClock().world())
    streams = {}
    for number in range(3):
        with db.transaction() as tx:
            where = path("a").add("year", 2020 + number % 2).add("shop", "s")
            store = tx.store(METADATA, path=where, format_version=13)
            store.save(Order(id=number, customer="ana"))
            store.save(Order(id=number + 10, customer="bo"))
    whole = io.BytesIO()
    since = db.tenant(path("a")).export().write_to(whole).version
    streams[STREAM] = whole.getvalue()
    db.tenant(path("copy")).import_from(io.BytesIO(streams[STREAM]))
    with db.transaction() as tx:
        store = tx.store(METADATA, path=path("a").add("year", 2020).add("shop", "s"))
        store.save(Order(id=0, customer="cy"))
        store.delete(2)
    changes = io.BytesIO()
    db.tenant(path("a")).export_changes(METADATA, since=since).write_to(changes)
    streams[CHANGES] = changes.getvalue()
    return db, pairs(db, b"", b"\xff"), streams


def pairs(db: Any, begin: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
    with db.transaction() as tx:
        return run_blocking(tx.context.read_all(begin, end))


def restore() -> None:
    """Have the database be as it was."""
    db, rows, _ = database()
    with db.transaction() as tx:
        tx.context.clear_range(b"", b"\xff")
        for key, value in rows:
            tx.context.set(key, value)


def framed(data: bytes) -> bytes:
    """A stream of frames that lack their checksums."""
    writer, parts, at = Writer(), [HEAD], 0
    while at + 3 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 3], "big")
        kind = 1 + data[at] % len(Kind)
        parts.append(writer.frame(Kind(kind), data[at + 3 : at + 3 + size]))
        at += 3 + size
    return b"".join(parts)


def held(tenant: str) -> dict[bytes, bytes]:
    """What a tenant has, by its keys behind the path, without the headers of its stores: each import changes those."""
    db, _, _ = database()
    with db.transaction() as tx:
        place = run_blocking(tenant_place(tx.context, path(tenant)))
        rows = run_blocking(tx.context.read_all(place.begin, place.end))
    return {key[len(place.prefix) :]: value for key, value in rows if not key.endswith(HEADER)}


def check(data: bytes) -> None:
    kind = data[0] % 3 if data else STREAM
    stream = data[1:] if kind == STREAM else framed(data[1:])
    db, rows, _ = database()
    dirty = False
    try:
        if kind == CHANGES:
            dirty = True
            try:
                db.tenant(path("copy")).import_changes(io.BytesIO(stream), METADATA)
            finally:
                for year in (2020, 2021):
                    with db.transaction() as tx:
                        where = path("copy").add("year", year).add("shop", "s")
                        assert tx.store(METADATA, path=where).check() == []
            return
        try:
            db.tenant(path("new")).import_from(io.BytesIO(stream))
        except TenantError:
            with db.transaction() as tx:
                place = run_blocking(tenant_place(tx.context, path("new")))
            assert held("new") == {}
            left = {key for key, _ in pairs(db, b"", b"\xff")} - {key for key, _ in rows}
            dirty = bool(left)
            assert not [key for key in left if place.prefix in key], "nothing of it is left"
            raise
        dirty = True
        again = io.BytesIO()
        db.tenant(path("new")).export().write_to(again)
        db.tenant(path("newer")).import_from(io.BytesIO(again.getvalue()))
        assert held("newer") == held("new")
    finally:
        if dirty:
            restore()


def seeds() -> Iterable[bytes]:
    _, _, streams = database()
    yield bytes((STREAM,)) + streams[STREAM]
    for kind, stream in ((FRAMES, streams[STREAM]), (CHANGES, streams[CHANGES])):
        parts = [bytes((kind,))]
        parts += [
            bytes((frame.kind - 1,)) + len(frame.content).to_bytes(2, "big") + frame.content
            for frame in Reader().feed(stream)
        ]
        yield b"".join(parts)


TARGET = Target("import_streams", check, (TenantError,), seeds)
