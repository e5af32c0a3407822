"""Stores at the paths of a key space, interned names and directories, in both facades."""

from __future__ import annotations

import random
from typing import Any

import pytest

from recordlayer import errors
from recordlayer.keyspace import (
    DirectoryLayer,
    ExtendedDirectoryLayer,
    InternedDirectory,
    KeySpace,
    KeySpaceDirectory,
    KeySpacePath,
    ScopedInterningLayer,
)
from recordlayer.tuples import pack
from recordlayer.world import World
from tests.support.shop import SHOP, Order

SCOPE = pack(("shop", "names"))
DIRECTORIES = DirectoryLayer(pack(("shop", "nodes")), pack(("shop", "contents")))


class TenantPath(KeySpacePath):
    """A path with names of an application's own."""

    def orders(self) -> KeySpacePath:
        return self.add("orders")


SPACE = KeySpace(
    KeySpaceDirectory(
        "application",
        str,
        InternedDirectory(
            "tenant",
            KeySpaceDirectory("orders", str, value="orders"),
            KeySpaceDirectory("archive", int),
            resolver=ScopedInterningLayer(SCOPE),
            path_class=TenantPath,
        ),
        value="shop",
    )
)


def tenant(name: str) -> TenantPath:
    path = SPACE.path("application").add("tenant", name)
    assert isinstance(path, TenantPath)
    return path


def test_a_store_lies_at_a_path_and_its_keys_lead_back(db: Any) -> None:
    with db.transaction() as tx:
        tx.store(SHOP, path=tenant("acme").orders()).save(Order(id=1, customer="ana"))
        tx.store(SHOP, path=tenant("zenith").add("archive", 2024)).save(Order(id=1, customer="bo"))
    with db.transaction() as tx:
        space = tx.key_space(SPACE)
        resolved = space.resolve(tenant("acme").orders())
        assert tx.store(SHOP, path=resolved).load(1).customer == "ana"
        assert len(resolved.prefix) < len(pack(("shop", "acme", "orders"))), "names are short"
        found = space.path_of(resolved.prefix + pack((1, 1)))
        assert (found.path, found.remainder) == (tenant("acme").orders(), (1, 1))
        listed = space.list(SPACE.path("application"), "tenant")
        assert {one.path.value for one in listed.paths} == {"acme", "zenith"}
        assert [one.path.value for one in space.list(tenant("zenith"), "archive").paths] == [2024]
        assert space.list(tenant("acme"), "archive").paths == []
        tx.delete_store(path=tenant("acme").orders())
    with db.transaction() as tx:
        assert tx.key_space(SPACE).list(tenant("acme"), "orders").paths == []


def test_opening_a_store_at_a_known_path_reads_no_name(db: Any) -> None:
    for _ in range(2):
        with db.transaction() as tx:
            tx.store(SHOP, path=tenant("acme").orders())
    with db.transaction() as tx:
        tx.store(SHOP, path=("shop", "another"))
        plain = tx.counters.reads
    with db.transaction() as tx:
        tx.key_space(SPACE).resolve(tenant("acme").orders())
        assert tx.counters.reads == 0
        tx.store(SHOP, path=tenant("acme").orders())
        assert tx.counters.reads <= plain


def test_nothing_is_interned_for_a_question(db: Any) -> None:
    with db.transaction() as tx:
        space = tx.key_space(SPACE)
        with pytest.raises(errors.NameNotInterned):
            space.resolve(tenant("nobody"), create=False)
        with pytest.raises(errors.NameNotInterned):
            space.list(tenant("nobody"), "archive")
        assert tx.names(ScopedInterningLayer(SCOPE)).find("nobody") is None
        assert tx.counters.writes == 0


def test_names_are_read_locked_and_copied(db: Any) -> None:
    resolver = ScopedInterningLayer(SCOPE)
    with db.transaction() as tx:
        names = tx.names(resolver)
        made = names.resolve("acme")
        assert names.name_of(made.number) == "acme"
        assert names.page() == [("acme", made)]
        assert names.page(after="acme") == []
        names.replace_about("acme", b"since 2026")
        with pytest.raises(errors.UsageError):
            tx.names(ExtendedDirectoryLayer(SCOPE)).replace_about("acme", b"")
        names.lock_exclusively()
    with db.transaction() as tx:
        names = tx.names(resolver)
        made = names.find("acme")
        assert made.about == b"since 2026"
        assert names.state().lock == "WRITE_LOCKED"
        with pytest.raises(errors.ResolverLocked):
            names.lock_exclusively()
        names.lock()
        with pytest.raises(errors.ResolverLocked):
            tx.store(SHOP, path=tenant("new").orders())
        names.unlock()
        names.raise_version()
        assert (names.state().lock, names.state().version) == ("UNLOCKED", 2)
        tx.names(ScopedInterningLayer(pack(("shop", "a copy")))).put("acme", made)
        names.retire()


def test_directories_are_made_moved_and_removed(db: Any) -> None:
    with db.transaction() as tx:
        directories = tx.directories(DIRECTORIES)
        made = directories.create(("app", "users"), layer=b"mine")
        assert directories.create_or_open(("app", "users")) == made
        assert directories.open(("app", "users"), layer=b"mine") == made
        assert directories.exists("app")
        assert directories.list("app") == ["users"]
        tx.store(SHOP, path=made.subspace).save(Order(id=1, customer="ana"))
        moved = directories.move(("app", "users"), ("app", "people"))
    with db.transaction() as tx:
        assert tx.store(SHOP, path=moved.subspace).load(1).customer == "ana"
        tx.directories(DIRECTORIES).remove("app")
        assert not tx.directories(DIRECTORIES).remove_if_exists("app")
    with db.transaction() as tx, pytest.raises(errors.NoSuchDirectory):
        tx.directories(DIRECTORIES).open("app")


def test_a_resolved_path_costs_the_same_among_many_tenants(open_database: Any) -> None:
    with open_database("memory:", world=World(random=random.Random(5))) as db:
        costs = []
        for number in range(200):
            with db.transaction() as tx:
                tx.key_space(SPACE).resolve(tenant(f"tenant {number}"))
                costs.append(tx.counters.reads)
        assert sum(costs[:50]) / 50 <= 9
        assert sum(costs[-50:]) / 50 <= 9, "windows grow, so that draws rarely hit a name"
