"""Indexes built while others write, while builders are killed, and by several builders at once.

What is built must be what a recount gives: `check` compares every entry with its record, and aggregates with a count.
RECORDLAYER_LONG_TESTS=1 for tens of thousands of records.
"""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest

import recordlayer as rl
from recordlayer import field
from recordlayer.index.state import IndexState
from recordlayer.metadata import rank, text_index
from recordlayer.online.options import BuildLimits
from recordlayer.world import World
from tests.behaviour.conftest import ENGINES, clear
from tests.conftest import CLUSTER_FILE
from tests.support.embedded import LONG
from tests.support.processes import running
from tests.support.shop import PATH, Order, builder

RECORDS = 50_000 if LONG else 200
KILLS = 50 if LONG else 12
WRITERS = 4
NO_LEASE = timedelta(0)
FAST = BuildLimits(records=25, records_per_second=None)

NAMES = ("by_customer", "by_total", "per_customer", "ranked", "sales", "words")


def with_indexes() -> rl.RecordMetaData:
    return (
        builder()
        .index("Order", "per_customer", rl.count(group_by=field("customer")))
        .index("Order", "sales", rl.sum_of(field("total"), group_by=field("customer")))
        .index("Order", "ranked", rank("total"))
        .index("Order", "words", text_index("note"))
        .index("Order", "by_total", field("total"), unique=True)
        .index("Order", "by_customer", field("customer"))
        .build()
    )


METADATA = with_indexes()


def order(number: int, numbers: random.Random) -> Any:
    words = " ".join(numbers.choices(["apple", "apples", "pear", "plum", "fig"], k=numbers.randrange(1, 6)))
    # Every total is somebody's own: unique, and spread over all customers.
    return Order(
        id=number, customer=f"c{numbers.randrange(5)}", total=number * 1000 + numbers.randrange(1000), note=words
    )


@contextmanager
def database(url: str, seed: int = 0) -> Iterator[rl.Database]:
    options = {"durability": "relaxed"} if url.startswith("file:") else {}
    on_cluster = url == "cluster"
    db = rl.open(f"fdb:{CLUSTER_FILE}" if on_cluster else url, world=World(random=random.Random(seed)), **options)
    try:
        if on_cluster:
            clear(db)
        yield db
        if on_cluster:
            clear(db)
    finally:
        db.close()


def fill(db: rl.Database) -> None:
    numbers = random.Random(1)
    plain = builder().build()
    for first in range(0, RECORDS, 500):
        with db.transaction() as tx:
            store = tx.store(plain, path=PATH)
            for number in range(first, min(RECORDS, first + 500)):
                store.save(order(number * 2, numbers))
    with db.transaction() as tx:
        tx.store(METADATA, path=PATH, new_index_state=lambda _: IndexState.DISABLED)


class Writers:
    """Threads that insert, update and delete until they are told to stop. Their errors come out at the end."""

    def __init__(self, db: rl.Database) -> None:
        self._db = db
        self._stop = threading.Event()
        # All texts have the same five words, so all writers meet in the same bunches. Where a commit takes as long as
        # on a cluster, whoever writes without a rest keeps everybody else from ever committing.
        self._rest = 0.05 if db.url.startswith("fdb:") else 0.0
        self._errors: list[BaseException] = []
        self.written = 0
        self._threads = [threading.Thread(target=self._work, args=(seed,)) for seed in range(WRITERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _work(self, seed: int) -> None:
        numbers = random.Random(seed)

        def change(tx: Any) -> None:
            store = tx.store(METADATA, path=PATH)
            for _ in range(numbers.randrange(1, 4)):
                number = numbers.randrange(RECORDS * 2 + 50)
                if numbers.random() < 0.3:
                    store.delete(number)
                else:
                    store.save(order(number, numbers))

        try:
            while not self._stop.is_set():
                self._db.run(change, retry=rl.Retry(attempts=1000))
                self.written += 1
                self._stop.wait(self._rest)
        except BaseException as error:
            self._errors.append(error)


def build(db: rl.Database, names: tuple[str, ...] = NAMES, **how: Any) -> Any:
    how.setdefault("limits", FAST)
    return db.online_indexer(METADATA, path=PATH, indexes=names, lease=NO_LEASE, **how).build()


def check(db: rl.Database) -> None:
    with db.transaction() as tx:
        store = tx.store(METADATA, path=PATH)
        assert {name: store.index_state(name) for name in NAMES} == dict.fromkeys(NAMES, IndexState.READABLE)
        if not LONG:
            assert store.check() == []
    if LONG:  # more than one transaction can look at
        report = db.index_scrubber(METADATA, path=PATH).scrub()
        assert report.finished
        assert set(report.indexes) == set(NAMES)
        assert report.findings == ()


@pytest.mark.timeout(3600 if LONG else 120)
@pytest.mark.parametrize("together", [True, False], ids=["in one pass", "one after the other"])
@pytest.mark.parametrize("url", ENGINES)
def test_indexes_built_under_writers_hold_what_a_recount_gives(url: str, together: bool) -> None:
    with database(url) as db:
        fill(db)
        with Writers(db) as writers:
            reports = [build(db)] if together else [build(db, (name,)) for name in NAMES]
        assert all(report.finished for report in reports)
        assert writers.written
        check(db)


@pytest.mark.timeout(3600 if LONG else 120)
def test_an_index_built_by_another_under_writers_holds_what_a_recount_gives() -> None:
    with database("memory:") as db:
        fill(db)
        with db.transaction() as tx:
            # Writers look at the kind of a build from this format on.
            tx.store(METADATA, path=PATH, format_version=10)
        assert build(db, ("by_total",)).finished
        with Writers(db):
            for name in NAMES:
                source = "by_total" if name in ("by_customer", "per_customer", "sales") else None
                first = build(db, (name,), source=source, limits=briefly())
                assert first.finished or build(db, (name,)).finished, "it goes on by the index it was begun by"
        check(db)


def briefly() -> Callable[[], BuildLimits]:
    """Limits that end a build after a few transactions."""
    asked = iter(range(100))
    return lambda: BuildLimits(records=7, records_per_second=None, total_time=timedelta(0) if next(asked) > 5 else None)


class Killed(BaseException):
    """The end of a builder that says goodbye to nobody."""


@pytest.mark.timeout(3600 if LONG else 120)
@pytest.mark.parametrize("url", ENGINES)
def test_a_builder_that_is_killed_again_and_again_comes_to_the_end(url: str) -> None:
    with database(url) as db:
        fill(db)
        numbers = random.Random(7)
        killed = 0

        def kill(after: int) -> Callable[[Any], None]:
            def told(report: Any) -> None:
                if report.transactions >= after:
                    raise Killed

            return told

        with Writers(db):
            while killed < KILLS:
                try:
                    if build(
                        db, limits=BuildLimits(records=3, records_per_second=None), told=kill(numbers.randrange(1, 4))
                    ).finished:
                        break
                except Killed:
                    killed += 1
            assert build(db).finished
        assert killed == KILLS
        check(db)


@pytest.mark.timeout(3600 if LONG else 120)
@pytest.mark.parametrize("url", ENGINES)
def test_several_builders_share_a_build(tmp_path: Path, url: str) -> None:
    with database(f"file:{tmp_path / 'data'}" if url == "memory:" else url) as db:
        fill(db)
        reports: list[Any] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                reports.append(build(db, mutual=True))
            except BaseException as error:
                errors.append(error)

        with Writers(db):
            builders = [threading.Thread(target=work) for _ in range(3)]
            for builder_thread in builders:
                builder_thread.start()
            for builder_thread in builders:
                builder_thread.join()
        assert not errors
        assert len(reports) == 3
        assert all(report.finished for report in reports)
        check(db)


BUILDER = """
    import sys
    from datetime import timedelta
    from tests.behaviour.test_builds_under_load import METADATA, NAMES, PATH, BuildLimits, database

    with database(sys.argv[1]) as db:
        db.online_indexer(
            METADATA, path=PATH, indexes=NAMES, lease=timedelta(hours=1),
            limits=BuildLimits(records=5, records_per_second=50),
            told=lambda report: print(report.records, flush=True),
        ).build()
    print("done", flush=True)
"""


def test_a_process_killed_in_the_middle_of_a_build_leaves_one_that_goes_on(tmp_path: Path) -> None:
    url = f"file:{tmp_path / 'data'}"
    with database(url) as db:
        fill(db)
    scanned = 0
    for _ in range(3):
        with running(BUILDER, url) as process:
            assert process.stdout is not None
            scanned += max(int(process.stdout.readline()) for _ in range(2))
            process.send_signal(signal.SIGKILL)
    with database(url) as db:
        report = build(db)
        assert report.finished
        assert report.records <= RECORDS - scanned
        check(db)


def test_ctrl_c_ends_a_build_that_others_can_continue_at_once(tmp_path: Path) -> None:
    url = f"file:{tmp_path / 'data'}"
    with database(url) as db:
        fill(db)
    with running(BUILDER, url) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "done" not in rest
    assert "KeyboardInterrupt" in errors
    with database(url) as db:
        with db.transaction() as tx:
            assert tx.store(METADATA, path=PATH).build_of("by_total").builders() == []
        patient = db.online_indexer(METADATA, path=PATH, indexes=NAMES, limits=FAST, lease=timedelta(hours=1))
        assert patient.build().finished
        check(db)


@pytest.mark.skipif(not LONG, reason="the short form has too few records for the size of a batch to settle")
def test_the_size_of_batches_recovers_from_conflicts() -> None:
    with database("memory:") as db:
        fill(db)
        with Writers(db):
            report = build(db, limits=BuildLimits(records=100, records_per_second=None))
        assert report.records / report.transactions > 5
