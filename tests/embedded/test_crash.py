"""Processes that are killed and disks that lose power: nothing acknowledged is lost, nothing is torn."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.disk_shim import build, environment_for, records
from tests.support.embedded import LONG, open_embedded, opened
from tests.support.power_cut import images
from tests.support.processes import fork, in_fork, output_of
from tests.support.workload import check, run

THREADS = 3
CYCLES = 250 if LONG else 7
CUTS = 20_000 if LONG else 300


def write_until_killed(path: Path, durability: str) -> tuple[int, int]:
    """A forked child that commits and tells what was acknowledged: its number, and the pipe."""
    reading, writing = os.pipe()
    child = fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        os.close(reading)
        engine = open_embedded(path, durability=durability)
        numbers = check(engine, THREADS)
        os.write(writing, b"open\n")

        def tell(thread: int, number: int) -> None:
            os.write(writing, b"%d %d\n" % (thread, number))

        for thread, number in enumerate(numbers):
            work = threading.Thread(target=run, args=(engine, thread, range(number + 1, 1 << 30), tell))
            work.start()
        threading.Event().wait()
    finally:
        os._exit(1)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_a_process_killed_again_and_again_loses_nothing_and_needs_no_repair(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "data"
    seed = random.randrange(1 << 30)
    numbers = random.Random(seed)
    before = [0] * THREADS
    for cycle in range(CYCLES):
        child, reading = write_until_killed(path, durability)
        time.sleep(numbers.choice([0.01, 0.05, 0.1, 0.2]) * numbers.random() * 2)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reading) as pipe:
            lines = [line.split() for line in pipe if line.endswith("\n")]
        acknowledged = list(before)
        for line in lines[1:]:
            acknowledged[int(line[0])] = int(line[1])
        with opened(path, durability=durability) as engine:
            stored = check(engine, THREADS)
        assert all(told <= found for told, found in zip(acknowledged, stored, strict=True)), (seed, cycle)
        before = stored
    assert sum(before) > CYCLES, "the children got to work"


# -- power


WRITER = """
    import sys, threading
    from tests.support.disk_shim import Shim
    from tests.support.embedded import opened
    from tests.support.workload import run
    path, threads, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    shim = Shim()
    shim.mark(b"begin")
    with opened(path) as engine:
        shim.mark(b"open")
        def tell(thread, number):
            shim.mark(b"%d %d" % (thread, number))
        workers = [threading.Thread(target=run, args=(engine, thread, range(1, count + 1), tell))
                   for thread in range(threads)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
    print("done")
"""


@pytest.mark.timeout(3600)
def test_a_power_cut_at_any_moment_loses_nothing_acknowledged_and_tears_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, log = tmp_path / "data", tmp_path / "log"
    library = build(tmp_path_factory.mktemp("shim"))
    threads, count = 2, 300 if LONG else 40
    assert output_of(WRITER, path, threads, count, env=environment_for(library, path, log)) == "done"
    history = list(records(log))
    assert sum(record.kind == "Y" for record in history) > count / 2, "the shim saw LMDB's commits"
    seed = random.randrange(1 << 30)
    drawn = images(history, path, threads, random.Random(seed), CUTS)
    found = tmp_path / "found" / "data"
    found.parent.mkdir()

    def look_at_all() -> str:
        for index, (image, acknowledged, was_open) in enumerate(drawn):
            found.unlink(missing_ok=True)
            if image is None:
                assert not was_open, (seed, index)
                continue
            found.write_bytes(image)
            with opened(found) as engine:
                stored = check(engine, threads)
            assert all(told <= there for told, there in zip(acknowledged, stored, strict=True)), (seed, index)
        return "well"

    assert in_fork(look_at_all) == "well"  # in a child: a broken file could kill who reads it
    assert sum(image is not None for image, _, _ in drawn) > CUTS / 2


def test_the_model_of_the_disk_finds_a_commit_that_was_not_synced(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same history without its syncs must not pass: else the test above proves nothing."""
    path, log = tmp_path / "data", tmp_path / "log"
    library = build(tmp_path_factory.mktemp("shim"))
    assert output_of(WRITER, path, 1, 40, env=environment_for(library, path, log)) == "done"
    history = [record for record in records(log) if record.kind != "S"]
    drawn = images(history, path, 1, random.Random(1), 300)
    found = tmp_path / "found"

    def harmed() -> int:
        count = 0
        for image, acknowledged, _ in drawn:
            found.unlink(missing_ok=True)
            if image is None:
                continue
            found.write_bytes(image)
            try:
                with opened(found) as engine:
                    count += check(engine, 1)[0] < acknowledged[0]
            except Exception:
                count += 1
        return count

    assert int(in_fork(harmed)) > 10
