"""How many records one transaction takes: half after a failure, more after successes, and never stuck."""

from __future__ import annotations

from recordlayer.online.batch_size import BatchSize


def test_each_failure_halves_it_down_to_one() -> None:
    size = BatchSize(100)
    seen = []
    for _ in range(10):
        size.failed()
        seen.append(size.records)
    assert seen == [50, 25, 12, 6, 3, 1, 1, 1, 1, 1]


def test_successes_bring_it_back_from_one_to_the_limit() -> None:
    size = BatchSize(100)
    for _ in range(10):
        size.failed()
    seen = []
    for _ in range(100):
        size.succeeded()
        seen.append(size.records)
    assert seen == sorted(seen)
    assert seen[-1] == 100
    for _ in range(10):
        size.succeeded()
    assert size.records == 100


def test_a_limit_that_is_changed_under_way_is_kept_to() -> None:
    size = BatchSize(100)
    size.allow(40)
    assert size.records == 40
    size.allow(1000)
    assert size.records == 1000
    size.failed()
    size.allow(1000)
    assert size.records == 500, "what failed is not tried again at once"
    size.allow(2000)
    assert size.records == 500
    size.allow(30)
    assert size.records == 30
