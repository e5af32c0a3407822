"""The law of index types, applied to those that keep more than entries: ranks, leaderboards, points in space."""

# ruff: noqa: RUF012  (what suites are told is only read)

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from recordlayer import concat, field, key_with_value
from recordlayer.cursor.scan import FORWARD
from recordlayer.cursor.step import drain
from recordlayer.index.bounds import Bounds
from recordlayer.index.leaderboard_directory import Directory
from recordlayer.index.rtree_scan import Box
from recordlayer.keys import dimensions, grouping
from recordlayer.keys.compose import Then
from recordlayer.metadata.definitions import IndexDefinition, multidimensional, rank
from recordlayer.metadata.predicate import compare
from recordlayer.store.store import RecordStore
from recordlayer.testing import History, IndexSuite
from recordlayer.testing.index_suite import VALUES
from recordlayer.tuples import pack

Items = tuple[Any, ...]
TESTED = "tested"
LEADERBOARD, SPACE = "time_window_leaderboard", "multidimensional"


class TestRank(IndexSuite):
    type = "rank"
    cases = {
        "by city": rank("number", group_by="city", hash_function="CRC", levels=3),
        "duplicates": rank("real", count_duplicates=True, hash_function="MURMUR3"),
        "by chance": rank(concat("number", "city"), hash_function="RANDOM", levels=8),
        "repeated": rank(field("numbers").fan_out(), group_by="city"),
        "large numbers": rank("city", where=compare("number", ">", 3)),
        "unique": rank(concat("number", "id"), unique=True),
    }
    values = {"number": VALUES["number"]}
    lacks = {"rebuild": "a ranked set that was used once keeps the beginnings of its levels, and levels may be random"}

    async def read(self, store: RecordStore) -> object:
        """All entries; and of each group its size, and of each score its rank and the score at that rank."""
        index: Any = store.index_maintainer(TESTED)
        entries = await drain(store.scan_index(TESTED))
        at = store.metadata.index(TESTED).root_expression.grouping_count  # type: ignore[attr-defined]  # a grouping
        ranks = {}
        for entry in entries:
            scores = index.scores(entry.key[:at])
            place = await scores.rank(entry.key[at:])
            ranks[entry.key] = place, await scores.score_at(place), await scores.size()
        return [entry.items for entry in entries], ranks

    def expected(self, case: str, history: History) -> object:
        definition = self.cases[case]
        at = definition.expression.grouping_count  # type: ignore[attr-defined]  # a grouping
        entries = set()
        members: dict[Items, list[bytes]] = {}
        for primary_key, record in history.records.items():
            for row in self.rows(case, record):
                entries.add(row if case == "unique" else row + primary_key)
                scores = members.setdefault(row[:at], [])
                if case == "duplicates" or pack(row[at:]) not in scores:
                    scores.append(pack(row[at:]))
        ranks = {}
        for record in history.records.values():
            for row in self.rows(case, record):
                scores = sorted(members[row[:at]])
                ranks[row] = scores.index(pack(row[at:])), row[at:], len(scores)
        return sorted(entries, key=pack), ranks


class TestLeaderboard(IndexSuite):
    """With two windows that overlap and one of all time, the greatest score first."""

    type = LEADERBOARD
    cases = {
        "all": IndexDefinition(type=LEADERBOARD, expression=grouping(concat("number", "time", "id"), grouped_count=3)),
        "by city": IndexDefinition(
            type=LEADERBOARD, expression=grouping(concat("city", "number", "time"), grouped_count=2)
        ),
    }
    values = {"number": st.integers(-3, 9), "time": st.integers(0, 20)}
    lacks = {
        "rebuild": "a ranked set that was used once keeps the beginnings of its levels",
        "damage": "the directory says what there is: without it, nothing is missing",
        "scan": "entries come in the order of their scores, which are stored negated",
    }
    WINDOWS = ((1, 0, 12), (1, 8, 30))

    def pairs(self, *keyspaces: int) -> dict[bytes, bytes]:
        """Without the directory, which stays when the index is cleared."""
        directory = self.prefix + b"\x15\x03" + pack((self.index.subspace_key,))
        return {key: value for key, value in super().pairs(*keyspaces).items() if key != directory}

    def open_windows(self, store: RecordStore) -> None:
        directory = Directory(high_score_first=True).with_window(0, -(2**63), 2**63 - 1, 6)
        for kind, start, end in self.WINDOWS:
            directory = directory.with_window(kind, start, end, 3)
        store.upkeep.maintainer(self.index).save_directory(directory)  # type: ignore[union-attr]  # a leaderboard

    def apply(self, store: RecordStore, steps: Any, history: History) -> History:
        index: Any = store.upkeep.maintainer(self.index)
        if index is not None and self.do(index.directory()) is None:
            self.open_windows(store)
        return super().apply(store, steps, history)

    async def read(self, store: RecordStore) -> object:
        index: Any = store.index_maintainer(TESTED)
        directory = await index.directory()
        if directory is None:
            return {}
        found: dict[Any, Any] = {}
        for window in directory.windows:
            entries = await drain(index.scan_window(directory, window, Bounds.ALL, FORWARD))
            if entries:
                found[window.type, window.start] = [entry.items for entry in entries]
        return found

    def expected(self, case: str, history: History) -> object:
        at = 1 if case == "by city" else 0
        found: dict[Any, Any] = {}
        for kind, start, end in ((0, -(2**63), 2**63 - 1), *self.WINDOWS):
            best = []
            for primary_key, record in history.records.items():
                rows = [row for row in self.rows(case, record) if start <= row[at + 1] < end]
                best += [row if case == "all" else row + primary_key for row in rows]
            if best:
                found[kind, start] = sorted(best, key=lambda row: pack((*row[:at], -row[at], *row[at + 1 :])))
        return found


class TestMultidimensional(IndexSuite):
    type = SPACE
    small = {"rtreeMinimumM": 2, "rtreeMaximumM": 3}
    cases = {
        "plane": multidimensional(concat("x", "y"), options=small),
        "by city": multidimensional(
            concat("x", "y"), prefix="city", options={**small, "rtreeStorage": "BY_SLOT", "rtreeUseNodeSlotIndex": True}
        ),
        "by node, indexed": multidimensional(
            concat("x", "y", "time"),
            options={**small, "rtreeMaximumM": 4, "rtreeStorage": "BY_NODE", "rtreeUseNodeSlotIndex": True},
        ),
        "covering": IndexDefinition(
            type=SPACE,
            expression=key_with_value(
                Then((dimensions(concat("x", "y"), dimensions_size=2), field("text"))), split_point=2
            ),
        ),
    }
    lacks = {
        "scan": "points are given along the curve, in one direction",
        "rebuild": "nodes have random names, and split where they were full",
    }

    async def read(self, store: RecordStore) -> object:
        """What a scan of everything gives, and a box."""
        index: Any = store.index_maintainer(TESTED)
        size = 3 if "time" in str(self.index.root_expression) else 2
        box = Box(((-2, 3),) * size)
        everything = await drain(store.scan_index(TESTED))
        inside = await drain(index.scan_box(Bounds.ALL, box))
        return [sorted([(pack(one.items), one.value) for one in found]) for found in (everything, inside)]

    def expected(self, case: str, history: History) -> object:
        first, size = (1 if case == "by city" else 0), 3 if case == "by node, indexed" else 2
        entries, inside = [], []
        for primary_key, record in history.records.items():
            for row in self.rows(case, record):
                key, value = (row[:2], row[2:]) if case == "covering" else (row, ())
                entry = pack(key + primary_key), value
                entries.append(entry)
                if all(place is not None and -2 <= place < 3 for place in row[first : first + size]):
                    inside.append(entry)
        return [sorted(entries), sorted(inside)]
