"""Whole stores that are killed and lose power at any moment: an index of every type, a build under way, a feed whose
consumer copies each change once. What was acknowledged is there, nothing is torn, `check` is clean, and all goes on.

The engine by itself: test_crash.py. RECORDLAYER_LONG_TESTS=1 goes through many more cycles and moments.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

import recordlayer as rl
from tests.support.disk_shim import build as build_shim
from tests.support.disk_shim import environment_for, records
from tests.support.embedded import LONG
from tests.support.layer_workload import brought_to_its_end, judged, prepare, work
from tests.support.power_cut import images
from tests.support.processes import fork, in_fork, output_of

WRITERS = 2
CYCLES = 60 if LONG else 3
STEPS = 60 if LONG else 8
CUTS = 1_500 if LONG else 25


def work_until_killed(path: Path) -> tuple[int, int]:
    """A forked child that works and tells what was acknowledged: its number, and the pipe."""
    reading, writing = os.pipe()
    child = fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        os.close(reading)
        db = rl.open(f"file:{path}")
        threads = work(db, WRITERS, None, lambda writer, number: os.write(writing, b"%d %d\n" % (writer, number)))
        threads[0].join()
    finally:
        os._exit(1)


@pytest.mark.timeout(3600)
def test_a_process_killed_at_work_on_a_store_leaves_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "data"

    def begin() -> str:
        with rl.open(f"file:{path}") as db:
            prepare(db)
        return "well"

    def look() -> str:
        with rl.open(f"file:{path}") as db:
            return ",".join(map(str, judged(db, WRITERS)))

    def finish() -> str:
        with rl.open(f"file:{path}") as db:
            brought_to_its_end(db, WRITERS)
        return "well"

    assert in_fork(begin) == "well"
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    before = [0] * WRITERS
    for cycle in range(CYCLES):
        child, reading = work_until_killed(path)
        with os.fdopen(reading) as pipe:
            first = pipe.readline()  # it is at work
            time.sleep(chance.random() * 0.4)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            lines = [line.split() for line in (first, *pipe) if line.endswith("\n")]
        told = list(before)
        for writer, number in lines:
            told[int(writer)] = int(number)
        before = [int(word) for word in in_fork(look).split(",")]
        assert all(one <= found for one, found in zip(told, before, strict=True)), (seed, cycle)
    assert sum(before) >= CYCLES, "the children got to work"
    assert in_fork(finish) == "well", seed


# -- power


WORKER = """
    import sys
    import recordlayer as rl
    from tests.support.disk_shim import Shim
    from tests.support.layer_workload import prepare, work
    path, writers, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    shim = Shim()
    shim.mark(b"begin")
    with rl.open(f"file:{path}") as db:
        prepare(db)
        shim.mark(b"open")
        for thread in work(db, writers, steps, lambda writer, number: shim.mark(b"%d %d" % (writer, number))):
            thread.join()
    print("done")
"""


@pytest.mark.timeout(3600)
def test_a_power_cut_at_any_moment_leaves_a_store_whole(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, log = tmp_path / "data", tmp_path / "log"
    library = build_shim(tmp_path_factory.mktemp("shim"))
    told = output_of(WORKER, path, WRITERS, STEPS, env=environment_for(library, path, log), seconds=600)
    assert told == "done"
    history = list(records(log))
    assert sum(record.kind == "Y" for record in history) > STEPS, "the shim saw LMDB's commits"
    seed = random.randrange(1 << 30)
    drawn = images(history, path, WRITERS, random.Random(seed), CUTS)
    found = tmp_path / "found" / "data"
    found.parent.mkdir()

    def look_at_all() -> str:
        for index, (image, acknowledged, was_open) in enumerate(drawn):
            if not was_open:
                continue
            assert image is not None, (seed, index)
            found.unlink(missing_ok=True)
            found.write_bytes(image)
            with rl.open(f"file:{found}") as db:
                stored = judged(db, WRITERS)
                assert all(one <= there for one, there in zip(acknowledged, stored, strict=True)), (seed, index)
                if index % 5 == 0:
                    brought_to_its_end(db, WRITERS)
        return "well"

    assert in_fork(look_at_all) == "well"  # in a child: a broken file could kill who reads it
    assert sum(was_open for _, _, was_open in drawn) > CUTS / 2
