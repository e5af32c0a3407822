"""Sizes of large ranges: near the truth, and told from few pages."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path

import pytest

from recordlayer.errors import CorruptFile
from recordlayer.kv.embedded import sizes
from recordlayer.kv.embedded.base import Base
from recordlayer.kv.embedded.sizes import EXACT_BYTES, EXACT_ROWS, SAMPLES, estimated_size, split_points
from tests.support.embedded import do, opened, put

Rows = list[tuple[bytes, int]]  # keys in order, and how long their values are

MOST_PAGES = SAMPLES + 120


def key(number: int) -> bytes:
    return b"k%09d" % number


def alike(count: int = 60_000) -> Rows:
    return [(key(number), 40) for number in range(count)]


def stretches() -> Rows:
    """Small rows, then large ones that lie on pages of their own, then small ones."""
    return [(key(number), 6_000 if 20_000 <= number < 21_500 else 20) for number in range(40_000)]


def behind_one_marker() -> Rows:
    short = [(b"a%06d" % number, 30) for number in range(3_000)]
    return short + [(b"b" * 600 + b"%06d" % number, 30) for number in range(5_000)]


def behind_two_markers() -> Rows:
    """Keys so long that their bucket leads to another."""
    return [(b"b" * 1200 + b"%06d" % number, 30) for number in range(3_000)]


def behind_many_markers() -> Rows:
    return [(b"c%04d" % number + b"x" * 600 + b"%d" % row, 30) for number in range(800) for row in range(3)]


KINDS: dict[str, Callable[[], Rows]] = {
    "alike": alike,
    "stretches": stretches,
    "long keys, one marker": behind_one_marker,
    "long keys, two markers": behind_two_markers,
    "long keys, many markers": behind_many_markers,
}


@contextmanager
def filled(rows: Iterable[tuple[bytes, int]]) -> Iterator[Base]:
    with tempfile.TemporaryDirectory() as directory:
        base = Base(f"{directory}/data", map_size=1 << 30, durable=False)
        try:
            writing = base.begin_write()
            for name, length in rows:
                writing.put(name, b"v" * length)
            writing.commit(1)
            yield base
        finally:
            base.close()


class Looks:
    """What was looked at: pages, and rows of scans."""

    def __init__(self, base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages = self.rows = 0
        pread, scan = os.pread, base.scan

        def counted_pread(*args: int) -> bytes:
            self.pages += 1
            return pread(*args)

        def counted_scan(begin: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
            rows = scan(begin, end, limit)
            self.rows += len(rows)
            return rows

        monkeypatch.setattr(os, "pread", counted_pread)
        monkeypatch.setattr(base, "scan", counted_scan)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_an_estimate_is_near_the_truth_and_looks_at_little(
    kind: str, in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = KINDS[kind]()
    numbers = random.Random(1)
    before = [0, *accumulate(len(name) + length for name, length in rows)]
    with filled(rows if in_order else numbers.sample(rows, len(rows))) as base:
        total = before[-1]
        assert 0.7 * total < estimated_size(base, b"", b"\xff") < 1.4 * total
        for _ in range(40):
            low, high = sorted(numbers.sample(range(len(rows)), 2))
            truth = before[high] - before[low]
            with monkeypatch.context() as patch:
                looks = Looks(base, patch)
                estimate = estimated_size(base, rows[low][0], rows[high][0])
            if truth <= EXACT_BYTES // 2 and high - low <= EXACT_ROWS // 2:
                assert estimate == truth
                assert looks.pages == 0
            assert truth / 2 - EXACT_BYTES < estimate < truth * 2 + EXACT_BYTES, (low, high)
            assert looks.pages <= MOST_PAGES
            assert looks.rows <= 2 * EXACT_ROWS


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("kind", ["alike", "stretches"])
def test_a_large_range_is_cut_into_parts_of_about_the_size(
    kind: str, in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = KINDS[kind]()
    before = [0, *accumulate(len(name) + length for name, length in rows)]
    place = {name: at for at, (name, _) in enumerate(rows)}
    with filled(rows if in_order else random.Random(2).sample(rows, len(rows))) as base:
        chunk = before[-1] // 10
        looks = Looks(base, monkeypatch)
        points = split_points(base, rows[0][0], b"l", chunk)
        assert looks.pages <= MOST_PAGES + 3 * len(points)
        assert looks.rows <= 2 * EXACT_ROWS
        assert (points[0], points[-1]) == (rows[0][0], b"l")
        assert points == sorted(set(points))
        places = [*(place[point] for point in points[:-1]), len(rows)]
        parts = [before[high] - before[low] for low, high in pairwise(places)]
        assert len(parts) >= 7
        assert max(parts) < 2 * chunk


@pytest.mark.parametrize("scanned", [True, False])
def test_a_range_with_long_keys_is_cut_between_their_beginnings_if_it_is_very_large(
    scanned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not scanned:
        monkeypatch.setattr(sizes, "SCANNED_BYTES", 100_000)
    rows = behind_many_markers()
    total = sum(len(name) + length for name, length in rows)
    with filled(rows) as base:
        looks = Looks(base, monkeypatch)
        points = split_points(base, b"", b"\xff", total // 10)
        assert (looks.rows >= len(rows)) == scanned
        assert points == sorted(set(points))
        assert 8 <= len(points) - 1 <= 13
        parts = [sum(len(n) + v for n, v in rows if low <= n < high) for low, high in pairwise(points)]
        assert sum(parts) == total
        assert max(parts) < 2 * (total // 10)


def test_an_empty_range_of_a_large_database_has_no_size() -> None:
    with filled(alike()) as base:
        assert estimated_size(base, b"l", b"m") == 0
        assert split_points(base, b"l", b"m", 100_000) == [b"l", b"m"]
        assert estimated_size(base, b"m", b"l") == 0


def test_nothing_can_be_large_in_an_empty_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "EXACT_ROWS", -1)  # as if the rows had gone since
    monkeypatch.setattr(sizes, "EXACT_BYTES", -1)
    with filled([]) as base:
        assert base.with_pages(lambda txn, pages: sizes._Range(txn, pages, base, b"", b"\xff").size()) == 0
        assert base.with_pages(lambda txn, pages: sizes._Range(txn, pages, base, b"", b"\xff").cuts(10)) == []


def test_a_tree_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    with filled(alike(20_000)) as base:
        size = os.stat(base.path).st_size
        with open(base.path, "r+b") as file:
            for page in range(2, size // 4096):
                file.seek(page * 4096)
                file.write(b"\xff" * 8)  # its own number
        with pytest.raises(CorruptFile) as caught:
            base.with_pages(lambda txn, pages: sizes._Range(txn, pages, base, b"", b"\xff"))
        assert caught.value.fields["path"] == base.path
        assert caught.value.hint


@pytest.mark.parametrize("where", ["memory:", "file"])
def test_sizes_are_told_while_others_write_and_the_map_grows(tmp_path: Path, where: str) -> None:
    path = "memory:" if where == "memory:" else tmp_path / "data"
    with opened(path, map_size=1 << 20, **({} if where == "memory:" else {"durability": "relaxed"})) as engine:
        put(engine, {key(number): b"v" * 300 for number in range(3_000)})
        ended = threading.Event()

        def write() -> None:
            try:
                for turn in range(8):
                    put(engine, {key(number): b"v" * (300 + 60 * turn) for number in range(turn % 3, 9_000, 3)})
            finally:
                ended.set()

        writer = threading.Thread(target=write)
        writer.start()
        seen = 0
        while not ended.is_set() or not seen:
            transaction = engine.begin()
            size = do(transaction.estimated_range_size(b"a", b"z"))
            assert 500_000 < size < 15_000_000
            points = do(transaction.range_split_points(b"a", b"z", 200_000))
            assert points == sorted(set(points))
            assert len(points) > 3
            transaction.close()
            seen += 1
        writer.join()
