"""Every fuzz target in its short form: the whole corpus, the seeds, and some hundred changes of them.

`make fuzz` goes on from there for as long as one likes, guided by what each input reaches.
"""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from tests.fuzz.__main__ import TARGETS, target_of
from tests.fuzz.harness import CORPUS, Target, kept, mutations

MUTATED = 20_000 if os.environ.get("RECORDLAYER_LONG_TESTS") == "1" else 200
MEMORY = 100_000_000
"""Bytes that one input may take for a while."""


def test_every_module_here_is_a_target_or_a_part_of_them() -> None:
    modules = {file.stem for file in Path(__file__).parent.glob("*.py")}
    assert modules - set(TARGETS) == {"__main__", "damage", "harness", "test_targets", "wire"}
    assert {file.stem for file in CORPUS.glob("*.txt")} <= set(TARGETS)


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> Target:
    target = target_of(request.param)
    assert target.name == request.param
    return target


def test_seeds_are_taken_and_what_was_found_before_is_found_no_more(target: Target) -> None:
    refused = [data for data in target.seeds() if not target.run(data)]
    assert refused == [], "what the library makes it takes"
    tracemalloc.start()
    try:
        for data in target.corpus:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            target.run(data)
            assert tracemalloc.get_traced_memory()[1] - before < MEMORY, data.hex()
    finally:
        tracemalloc.stop()


def test_changed_inputs_are_taken_or_refused_in_words(target: Target) -> None:
    taken = 0
    for data in mutations(target, MUTATED, seed=7):
        try:
            taken += target.run(data)
        except Exception as finding:
            raise AssertionError(f"{target.name}: {data.hex()}") from finding
    assert taken < MUTATED, "a target that refuses nothing judges nothing"


def test_a_finding_is_told_apart_from_a_refusal(tmp_path: Path) -> None:
    def check(data: bytes) -> None:
        if data == b"finding":
            raise KeyError("nobody expects it")
        if data == b"refused":
            raise ValueError("no")
        if data == b"long":
            raise ValueError("no" * 50_000)

    sample = Target("sample", check, (ValueError,))
    assert sample.run(b"taken")
    assert not sample.run(b"refused")
    with pytest.raises(KeyError):
        sample.run(b"finding")
    with pytest.raises(AssertionError, match="100,000 characters"):
        sample.run(b"long")
    file = tmp_path / "sample.txt"
    file.write_text("-\n0aff\n# a word\n00  # why\n")
    assert list(kept(file)) == [b"", b"\x0a\xff", b"\x00"]
    assert list(mutations(sample, 5, 1)) == list(mutations(sample, 5, 1))
