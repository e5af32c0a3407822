"""The same random programs on two engines give the same transcripts.

RECORDLAYER_TEST_CLUSTER_FILE   compares the embedded engine with that cluster
RECORDLAYER_PROGRAMS            how many programs (default 300 without a cluster, 1,000 with one)
RECORDLAYER_FIRST_PROGRAM       the seed of the first (default 0): a failure names its seed
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from tests.differential.programs import Runner, make_program

CLUSTER = os.environ.get("RECORDLAYER_TEST_CLUSTER_FILE")
PROGRAMS = int(os.environ.get("RECORDLAYER_PROGRAMS", "1000" if CLUSTER else "300"))
FIRST = int(os.environ.get("RECORDLAYER_FIRST_PROGRAM", "0"))


@pytest.fixture
def memory() -> Iterator[Engine]:
    engine = open_engine("memory:")
    yield engine
    engine.close()


def compare(one: Engine, other: Engine, seeds: range) -> None:
    for seed in seeds:
        program = make_program(seed)
        prefix = b"recordlayer-differential/%d/" % seed
        runners = [Runner(one, prefix), Runner(other, prefix)]
        expected, found = (runner.run(program) for runner in runners)
        for line, (mine, theirs) in enumerate(zip(expected, found, strict=True)):
            assert mine == theirs, "\n".join(
                [f"program {seed} differs", *expected[:line], f"one   {mine}", f"other {theirs}"]
            )
        for runner in runners:
            runner.clean()


def test_a_file_and_memory_do_the_same(memory: Engine, tmp_path: Path) -> None:
    file = open_engine(f"file:{tmp_path}/differential.rl", durability="relaxed")
    compare(memory, file, range(FIRST, FIRST + min(PROGRAMS, 300)))
    file.close()


@pytest.mark.fdb
@pytest.mark.timeout(0)
def test_the_embedded_engine_and_a_cluster_do_the_same(memory: Engine) -> None:
    cluster = open_engine(f"fdb:{CLUSTER}")
    compare(cluster, memory, range(FIRST, FIRST + PROGRAMS))
    cluster.close()


def test_programs_reach_every_kind_of_outcome(memory: Engine) -> None:
    seen = set()
    for seed in range(120):
        for line in Runner(memory, b"%d/" % seed).run(make_program(seed)):
            outcome = line.partition("  ->  ")[2]
            seen.add(outcome.split(",")[0] if outcome.startswith("error") else outcome[:1])
    assert {"error 1020", "error 1036", "error 2000", "error 2005", "v", "[", "b"} <= seen
