"""Moves of tenants, in both facades: all of it is at the new place, and who comes late to the old one is told where."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.store.header import FormatVersion
from recordlayer.tenant import MoveStage
from recordlayer.tuples import pack
from tests.behaviour.test_tenants import SMALL, SPACE, Killed, blocking, fill, kept, other, pairs, tenant
from tests.support.shop import SHOP

__all__ = ["blocking", "other"]  # fixtures


def orders(db: Any, path: Any) -> int:
    with db.transaction() as tx:
        return len(tx.store(SHOP, path=path, mode=rl.OpenMode.OPEN).scan().all())


def late(db: Any, path: Any) -> str:
    """What a late writer, and a late reader, are told; nothing was changed by them."""
    with pytest.raises(errors.StoreMoved) as written:
        fill(db, path, orders=1)
    with pytest.raises(errors.StoreMoved) as read:
        orders(db, path)
    assert isinstance(written.value, errors.StoreLocked)
    assert written.value.fields["to"] == read.value.fields["to"]
    return str(written.value.fields["to"])


def test_a_tenant_that_was_moved_is_there_and_late_writers_are_kept_out_here(db: Any, other: Any) -> None:
    for year in (2025, 2026):
        fill(db, tenant("acme").add("year", year), orders=50)
    with db.transaction() as tx:
        notes = tx.key_space(SPACE).resolve(tenant("acme").add("notes"))
        tx.context.set(notes.prefix + pack((1,)), b"a note")
    fill(db, tenant("zoe").add("year", 2026))
    told: list[Any] = []
    report = db.tenant(tenant("acme")).move_to(other.tenant(tenant("acme")), limits=SMALL, told=told.append)
    assert (report.finished, report.closed, report.copied.stores) == (True, 2, 2)
    assert [stage for stage in MoveStage if stage in {one.stage for one in told}] == list(MoveStage)
    for year in (2025, 2026):
        assert orders(other, tenant("acme").add("year", year)) == 51
        assert "acme" in late(db, tenant("acme").add("year", year))
    left = db.tenant(tenant("acme")).stores().stores
    assert [found.info.format_version for found in left] == [FormatVersion.FULL_STORE_LOCK] * 2
    with db.transaction() as tx:
        prefix = tx.key_space(SPACE).resolve(tenant("acme")).prefix
    assert len(pairs(db, prefix)) == 2, "a header a store"
    assert kept(other) == kept(db) == {}
    assert orders(db, tenant("zoe").add("year", 2026)) == 21
    again = db.tenant(tenant("acme")).move_to(other.tenant(tenant("acme")))
    assert (again.finished, again.copied) == (True, None)
    with pytest.raises(errors.TenantChanged, match="was moved to"):
        db.tenant(tenant("acme")).move_to(other.tenant(tenant("elsewhere")))
    with pytest.raises(errors.TenantNotEmpty):
        other.tenant(tenant("acme")).move_to(db.tenant(tenant("acme")))
    db.tenant(tenant("acme")).delete()
    other.tenant(tenant("acme")).move_to(db.tenant(tenant("acme")), to="cluster one")
    assert orders(db, tenant("acme").add("year", 2025)) == 51
    assert late(other, tenant("acme").add("year", 2025)) == "cluster one"
    other.tenant(tenant("acme")).delete()
    fill(other, tenant("acme").add("year", 2025), orders=1)


def test_a_move_that_was_killed_anywhere_goes_on(db: Any, other: Any) -> None:
    """From its first step to its last one nobody changes anything at the old place."""
    for year in (2025, 2026):
        fill(db, ("shop", "acme", year), orders=30)
    source, target = db.tenant(("shop", "acme")), other.tenant(("shop", "new"))
    tries, stages = 0, set()
    while True:
        seen = 0

        def told(report: Any, after: int = tries) -> None:
            nonlocal seen
            stages.add(report.stage)
            seen += 1
            if seen > after:
                raise Killed

        try:
            report = source.move_to(target, limits=SMALL, told=told)
            break
        except Killed:
            tries += 1
        with pytest.raises(errors.StoreLocked):
            fill(db, ("shop", "acme", 2025), orders=1)
    assert report.finished
    assert stages == set(MoveStage)
    assert tries > 10
    for year in (2025, 2026):
        assert orders(other, ("shop", "new", year)) == 31
        assert late(db, ("shop", "acme", year)) == str(rl.store.places.path_of(pack(("shop", "new"))))
    db.tenant(("shop", "acme")).delete()


def test_a_move_that_is_refused_leaves_both_places_as_they_were(db: Any, other: Any) -> None:
    fill(db, ("shop", "acme", 1))
    fill(db, ("shop", "acme", 2), format_version=7)
    fill(other, ("shop", "full", 1))
    before, there = pairs(db, pack(("shop", "acme"))), pairs(other, pack(("shop",)))
    with pytest.raises(errors.TenantFrozen):
        db.tenant(("shop", "acme")).move_to(other.tenant(("shop", "new")))
    with pytest.raises(errors.TenantNotEmpty):
        db.tenant(("shop", "acme", 1)).move_to(other.tenant(("shop", "full")))
    with pytest.raises(errors.UsageError):
        db.tenant(("shop", "acme", 1)).move_to(db.tenant(("shop", "acme", 1)))
    assert (pairs(db, pack(("shop", "acme"))), pairs(other, pack(("shop",)))) == (before, there)
    assert kept(other) == kept(db) == {}


def test_a_store_that_is_made_during_a_move_is_not_lost(blocking: Any) -> None:
    db, other = blocking, rl.open("memory:")
    fill(db, ("shop", "acme", 5), orders=50)
    source, target = db.tenant(("shop", "acme")), other.tenant(("shop", "new"))

    def made(report: Any) -> None:
        if report.copied is not None and report.copied.rows > 40:
            fill(db, ("shop", "acme", 1), orders=3)  # before where the copy is

    with pytest.raises(errors.TenantChanged, match="not locked"):
        source.move_to(target, limits=SMALL, told=made)
    assert orders(db, ("shop", "acme", 1)) == 4
    fill(db, ("shop", "acme", 5), orders=1)
    assert pairs(other, pack(("shop", "new"))) == {}

    def made_late(report: Any) -> None:
        if report.stage is MoveStage.CLOSING:
            fill(db, ("shop", "acme", 9), orders=3)

    with pytest.raises(errors.TenantChanged, match="not locked"):
        source.move_to(target, limits=SMALL, told=made_late)
    assert orders(db, ("shop", "acme", 9)) == 4
    assert orders(other, ("shop", "new", 1)) == 4
    db.tenant(("shop", "acme", 9)).delete()
    assert source.move_to(target).finished
    db.tenant(("shop", "acme")).delete()
    other.close()
