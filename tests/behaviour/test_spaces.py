"""Points in space: what is in a box, what is near; spaces by prefix; what writers leave behind."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.index.rtree_slots import Child
from recordlayer.keys import concat_fields, dimensions, key_with_value
from recordlayer.keys.compose import Then
from recordlayer.metadata import multidimensional
from recordlayer.waiting.drivers import run_blocking
from tests.behaviour.conftest import Shop
from tests.support.games import FILE, PATH, Event, builder

SMALL = {"rtreeMinimumM": 4, "rtreeMaximumM": 8}
BY_SLOT = {**SMALL, "rtreeStorage": "BY_SLOT", "rtreeUseNodeSlotIndex": True}
TIMES = concat_fields("begins", "ends")

EVENTS = (
    builder()
    .index("Event", "by_time", multidimensional(TIMES, options=SMALL))
    .index("Event", "by_place", multidimensional(TIMES, prefix="place", options=BY_SLOT))
    .index("Event", "usual", multidimensional(concat_fields("begins", "ends", "level")))
    .index(
        "Event",
        "titled",
        key_with_value(Then((dimensions(TIMES, dimensions_size=2), field("title"))), split_point=2),
        type="multidimensional",
    )
    .build()
)


def event(number: int, begins: int | None = None, ends: int | None = None, place: str = "park", **more: Any) -> Any:
    return Event(id=number, begins=begins, ends=ends, place=place, **more)


@pytest.fixture
def events(db: Any) -> Iterator[Shop]:
    made = Shop(db, EVENTS, PATH)
    yield made
    made.check()


@pytest.fixture
def grid(events: Shop) -> Shop:
    """Events at (x, y) for x and y from 0 to 5, numbered 10 * x + y; those with an even x in the park."""
    points = [(x, y) for x in range(6) for y in range(6)]
    events.save(*(event(10 * x + y, x, y, "park" if x % 2 == 0 else "hall", title=f"{x}{y}") for x, y in points))
    return events


def open_store(events: Shop, tx: Any) -> Any:
    return tx.store(events.metadata, path=events.path)


# -- boxes -----------------------------------------------------------------------------------------------------------


def test_a_box_has_the_records_whose_points_are_inside(grid: Shop) -> None:
    with grid.db.transaction() as tx:
        space = open_store(grid, tx).space("by_time")
        assert sorted(one.id for one in space.within((1, 3), (4, 6))) == [14, 15, 24, 25]
        assert sorted(one.id for one in space.within((None, 1), (None, 2))) == [0, 1]
        assert sorted(one.id for one in space.within((5, None), (5, None))) == [55]
        assert space.within((9, None), (None, None)).all() == []
        assert space.within((3, 3), (None, None)).all() == []
        assert len(space.within((None, None), (None, None)).all()) == 36


def test_the_prefix_tells_spaces_apart(grid: Shop) -> None:
    with grid.db.transaction() as tx:
        store = open_store(grid, tx)
        assert sorted(one.id for one in store.space("by_place", "hall").within((0, 4), (0, 1))) == [10, 30]
        assert sorted(one.id for one in store.space("by_place").within((0, 4), (0, 1))) == [0, 10, 20, 30]
        assert store.space("by_place", "home").within((None, None), (None, None)).all() == []
        entries = store.space("by_place").entries_within((0, 2), (0, 1)).all()
        assert [entry.key for entry in entries] == [("hall", 1, 0), ("park", 0, 0)]


def test_overlapping_intervals_are_a_box(events: Shop) -> None:
    events.save(event(1, 0, 10), event(2, 5, 8), event(3, 9, 20), event(4, 30, 40))
    with events.db.transaction() as tx:
        during = open_store(events, tx).space("by_time").within((None, 9), (8, None))
        assert sorted(one.id for one in during) == [1, 2]


def test_entries_cover_columns_and_tell_primary_keys(grid: Shop) -> None:
    with grid.db.transaction() as tx:
        (entry,) = open_store(grid, tx).space("titled").entries_within((2, 3), (4, 5)).all()
        assert (entry.key, entry.value, entry.primary_key) == ((2, 4), ("24",), (24,))


def test_missing_coordinates_come_before_all_numbers(events: Shop) -> None:
    events.save(event(1, None, 5), event(2, -(2**63), 5), event(3, 0, None))
    with events.db.transaction() as tx:
        space = open_store(events, tx).space("by_time")
        assert sorted(one.id for one in space.within((None, 0), (None, None))) == [1, 2]
        assert sorted(one.id for one in space.within((None, None), (None, -(2**63)))) == [3]
        assert [one.id for one in space.nearest(0, 0)] == [2]


# -- nearest ---------------------------------------------------------------------------------------------------------


def test_the_nearest_come_first(grid: Shop) -> None:
    with grid.db.transaction() as tx:
        space = open_store(grid, tx).space("by_time")
        assert [one.id for one in space.nearest(2, 3, limit=1)] == [23]
        assert sorted(one.id for one in space.nearest(2, 3, limit=5)) == [13, 22, 23, 24, 33]
        far = [entry.key for entry in space.entries_nearest(-100, -100, limit=3)]
        assert far[0] == (0, 0)
        whole = [(entry.key[0] - 2) ** 2 + (entry.key[1] - 9) ** 2 for entry in space.entries_nearest(2, 9)]
        assert len(whole) == 36
        assert whole == sorted(whole)
        assert [one.id for one in open_store(grid, tx).space("by_place", "hall").nearest(0, 0, limit=1)] == [10]


# -- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scan",
    [
        lambda store, **how: store.space("by_time").entries_within((1, 6), (None, 4), **how),
        lambda store, **how: store.space("by_place").entries_within((1, 5), (2, None), **how),
        lambda store, **how: store.space("by_place", "park").entries_nearest(2, 2, **how),
        lambda store, **how: store.scan_index("by_place", **how),
        lambda store, **how: store.scan_index("by_time", **how),
    ],
)
def test_stopping_anywhere_and_resuming_gives_the_same_entries(grid: Shop, scan: Any) -> None:
    with grid.db.transaction() as tx:
        store = open_store(grid, tx)
        whole = scan(store).all()
        assert len(whole) > 8
        for count in range(1, len(whole)):
            page = scan(store, limit=count)
            assert page.all() == whole[:count]
            assert scan(store, resume=page.continuation).all() == whole[count:]
        taken, resume = [], None
        while True:
            page = scan(store, resume=resume, limits=rl.Limits(keys=3))
            taken += page.all()
            resume = page.continuation
            if resume is None:
                break
        assert taken == whole


# -- changes ---------------------------------------------------------------------------------------------------------


def test_points_follow_updates_and_deletes(grid: Shop) -> None:
    grid.save(event(0, 100, 100), event(11, 1, 1, "park", title="new"))
    with grid.db.transaction() as tx:
        store = open_store(grid, tx)
        store.delete(55)
        space = store.space("by_time")
        assert [one.id for one in space.within((90, None), (None, None))] == [0]
        assert space.within((5, 6), (5, 6)).all() == []
        assert store.space("by_place", "hall").within((1, 2), (1, 2)).all() == []
        (entry,) = store.space("titled").entries_within((1, 2), (1, 2)).all()
        assert entry.value == ("new",)


def test_what_stays_the_same_is_not_written(grid: Shop) -> None:
    with grid.db.transaction() as tx:
        store = open_store(grid, tx)
        reads = tx.context.counters.reads
        store.save(event(23, 2, 3, "park", title="23", level=None))
        assert tx.context.counters.reads == reads + 1


@pytest.mark.parametrize("seed", range(2))
def test_random_changes_leave_what_a_list_has(events: Shop, seed: int) -> None:
    chance = random.Random(seed)
    points: dict[int, tuple[int, int]] = {}
    for _ in range(6):
        with events.db.transaction() as tx:
            store = open_store(events, tx)
            for _ in range(15):
                number = chance.randrange(60)
                if chance.random() < 0.35:
                    store.delete(number)
                    points.pop(number, None)
                else:
                    points[number] = chance.randrange(12), chance.randrange(12)
                    store.save(event(number, *points[number], f"p{number % 2}", title=str(number % 3)))
    with events.db.transaction() as tx:
        store = open_store(events, tx)
        for x, y in ((0, 0), (3, 5), (9, 2)):
            inside = {n for n, (a, b) in points.items() if x <= a < x + 5 and y <= b < y + 4}
            assert {one.id for one in store.space("by_time").within((x, x + 5), (y, y + 4))} == inside
            assert {one.id for one in store.space("by_place").within((x, x + 5), (y, y + 4))} == inside
            by_distance = sorted((a - x) ** 2 + (b - y) ** 2 for a, b in points.values())
            found = [(e.key[0] - x) ** 2 + (e.key[1] - y) ** 2 for e in store.space("by_time").entries_nearest(x, y)]
            assert found == by_distance


def test_a_space_is_cleared_with_the_records_of_its_key(db: Any) -> None:
    metadata = (
        rl.RecordMetaDataBuilder(FILE)
        .primary_key("Event", rl.concat(rl.record_type(), "place", "id"))
        .primary_key("Player", rl.concat(rl.record_type(), "id"))
        .index("Event", "by_place", multidimensional(TIMES, prefix="place", options=BY_SLOT))
        .build()
    )
    shop = Shop(db, metadata, PATH)
    shop.save(*(event(n, n, n, "park" if n % 2 else "hall") for n in range(30)))
    with db.transaction() as tx:
        store = open_store(shop, tx)
        store.delete_where("Event", place="park")
        assert len(store.space("by_place").within((None, None), (None, None)).all()) == 15
        assert store.space("by_place", "park").within((None, None), (None, None)).all() == []
        store.save(event(1, 1, 1))
    shop.check()


def test_an_index_that_is_built_again_holds_the_same(grid: Shop) -> None:
    with grid.db.transaction() as tx:
        store = open_store(grid, tx)
        before = [entry.key for entry in store.scan_index("by_place")]
        for name in ("by_time", "by_place", "titled"):
            store.rebuild_index(name)
        assert [entry.key for entry in store.scan_index("by_place")] == before


def test_eight_writers_at_once_end_with_right_trees() -> None:
    with rl.open("memory:") as database:
        failures: list[BaseException] = []

        def writer(seed: int) -> None:
            chance = random.Random(seed)

            def change(tx: Any) -> None:
                store = tx.store(EVENTS, path=PATH)
                for _ in range(2):
                    number = chance.randrange(80)
                    if chance.random() < 0.25:
                        store.delete(number)
                    else:
                        store.save(event(number, chance.randrange(99), chance.randrange(99), f"p{number % 3}"))

            try:
                for _ in range(6):
                    database.run(change, retry=rl.Retry(attempts=10_000))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=writer, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        with database.transaction() as tx:
            assert tx.store(EVENTS, path=PATH).check() == []


# -- what cannot be --------------------------------------------------------------------------------------------------


def test_questions_that_make_no_sense_are_refused(grid: Shop) -> None:
    with grid.db.transaction() as tx:
        store = open_store(grid, tx)
        space = store.space("by_place", "park")
        for wrong in (
            lambda: store.space("by_place", "park", 3),
            lambda: store.space("by_place").nearest(1, 2).all(),
            lambda: space.within((1, 2)),
            lambda: space.within((1, 2), 3),
            lambda: space.within((1, 2), ("a", "b")),
            lambda: space.nearest(1),
            lambda: space.nearest(1, 2.5),
            lambda: store.scan_index("by_place", ("park", 1)),
            lambda: store.scan_index("by_place", reverse=True),
        ):
            with pytest.raises(errors.UsageError):
                wrong()
        for resume in (b"nonsense", b"\x12\x00", b"\x12\x02\x0a\x00", b"\x0a\x01\x00"):
            with pytest.raises(errors.BadContinuation):
                space.within((1, 2), (None, None), resume=resume).all()
            with pytest.raises(errors.BadContinuation):
                space.nearest(1, 2, resume=resume if resume != b"\x0a\x01\x00" else b"\x0a").all()


def test_only_multidimensional_indexes_have_points(shop: Shop) -> None:
    with shop.db.transaction() as tx, pytest.raises(errors.UsageError):
        tx.store(shop.metadata, path=shop.path).space(next(iter(shop.metadata.indexes)))


@pytest.mark.parametrize(
    "options",
    [
        {"rtreeMinimumM": 1},
        {"rtreeMinimumM": "x"},
        {"rtreeMinimumM": 20, "rtreeMaximumM": 30},
        {"rtreeSplitS": 1},
        {"rtreeStorage": "BY_MOOD"},
    ],
)
def test_options_that_would_break_a_tree_are_refused(db: Any, options: dict[str, Any]) -> None:
    wrong = builder().index("Event", "wrong", multidimensional(TIMES, options=options)).build()
    with db.transaction() as tx:
        store = tx.store(wrong, path=PATH)
        with pytest.raises(errors.IndexNotSupported):
            store.save(event(1, 1, 1))


def test_the_check_finds_what_is_off(grid: Shop) -> None:
    with grid.db.transaction() as tx:
        core = open_store(grid, tx).core
        storage = core.index_maintainer("by_time").storage(())
        node = run_blocking(storage.fetch(bytes(16)))
        while isinstance(node.slots[0], Child):
            node = run_blocking(storage.fetch(node.slots[0].id))
        del node.slots[1]
        storage.write([node])
        found = {finding.what.split(":")[0] for finding in open_store(grid, tx).check()}
        assert "an entry is missing" in found
        open_store(grid, tx).rebuild_index("by_time")
