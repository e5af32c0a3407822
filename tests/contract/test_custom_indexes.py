"""An index type that an installed package offers passes the same suite, and users save and scan with it."""

# ruff: noqa: RUF012  (what suites are told is only read)

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest

from recordlayer import field
from recordlayer.cursor.scan import FORWARD, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import Map
from recordlayer.index import registry
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import AggregateEntry
from recordlayer.index.maintainer import IndexedRecord
from recordlayer.index.standard import StandardMaintainer, difference
from recordlayer.kv.engine import MutationType
from recordlayer.kv.mutations import Write
from recordlayer.metadata.definitions import IndexDefinition
from recordlayer.testing import History, IndexSuite
from recordlayer.tuples import pack, unpack


class WordCountIndex(StandardMaintainer):
    """How many words the texts of each group have: grouping columns, then the text."""

    type: ClassVar[str] = "word_count"

    @property
    def idempotent(self) -> bool:
        return False

    def words(self, record: IndexedRecord | None) -> list[tuple[tuple[Any, ...], int]]:
        return [(row[:-1], len((row[-1] or "").split())) for row in self.rows(record)]

    def writes(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        removed, added = difference(self.words(old), self.words(new))
        amounts = [(group, -number) for group, number in removed] + added
        return [
            (MutationType.ADD, pack(group, self.space.entries), number.to_bytes(8, "little", signed=True))
            for group, number in amounts
            if number
        ]

    def scan(self, bounds: Bounds, options: ScanOptions = FORWARD) -> Cursor[AggregateEntry]:
        start = len(self.space.entries)
        source = KeyValueScan(self.space.context, bounds.keys(self.space.entries), options)
        return Map(source, lambda pair: AggregateEntry(unpack(pair[0], start), int.from_bytes(pair[1], "little")))

    async def audit(self, records: Sequence[IndexedRecord]) -> list[tuple[str, Any]]:
        begin = self.space.entries
        rows = await self.space.context.read_all(begin, begin + b"\xff")
        there = Counter({unpack(key, len(begin)): int.from_bytes(value, "little") for key, value in rows})
        for record in records:
            for group, number in self.words(record):
                there[group] -= number
        return [("a number of words is off", group) for group, number in there.items() if number]


@pytest.fixture(scope="class")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An installed package with the entry point."""
    site = tmp_path_factory.mktemp("site")
    info = site / "word_count_index-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: word-count-index\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\nword_count = {__name__}:WordCountIndex\n")
    sys.path.insert(0, str(site))
    registry._offered.cache_clear()
    yield
    sys.path.remove(str(site))
    registry._offered.cache_clear()


@pytest.mark.usefixtures("offered")
class TestWordCount(IndexSuite):
    type = "word_count"
    cases = {
        "all": IndexDefinition(type="word_count", expression=field("text").ungrouped()),
        "by city": IndexDefinition(type="word_count", expression=field("text").group_by("city")),
    }
    lacks = {"rebuild": "groups whose records are gone stay as zeros"}

    def expected(self, case: str, history: History) -> list[Any]:
        totals: Counter[tuple[Any, ...]] = Counter()
        for old, new in history.changes:
            for sign, record in ((-1, old), (1, new)):
                for row in [] if record is None else self.rows(case, record):
                    if number := len((row[-1] or "").split()):
                        totals[row[:-1]] += sign * number
        return sorted(totals.items(), key=lambda entry: pack(entry[0]))


class TestOfferedTypes:
    @pytest.mark.usefixtures("offered")
    def test_a_type_is_known_while_its_package_is_installed(self) -> None:
        assert registry.is_known("word_count")
        assert not registry.is_known("word_counts")
