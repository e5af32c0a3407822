"""The law of index types, applied to those that are built in: entries and aggregates."""

# ruff: noqa: RUF012  (what suites are told is only read)

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import strategies as st

from recordlayer import concat, field, key_with_value
from recordlayer.keys import version
from recordlayer.metadata.definitions import (
    IndexDefinition,
    count,
    count_not_null,
    count_updates,
    max_ever,
    max_ever_version,
    min_ever,
    sum_of,
    value_index,
    version_index,
)
from recordlayer.metadata.predicate import compare
from recordlayer.testing import History, IndexSuite
from recordlayer.tuples import pack
from recordlayer.tuples.packing import encode_open

Items = tuple[Any, ...]


def packed(items: Items) -> bytes:
    return pack(items)


# -- entries -------------------------------------------------------------------------------------------------


class TestValue(IndexSuite):
    type = "value"
    cases = {
        "city and number": value_index(concat("city", "number")),
        "tags": value_index(field("tags").fan_out()),
        "covering": value_index(key_with_value(concat("number", "city", "text"), split_point=2)),
        "with the primary key": value_index(concat("city", "id", "number")),
        "large numbers": value_index("city", where=compare("number", ">", 3)),
        "unique": value_index(concat("number", "id"), unique=True),
    }
    values = {"number": st.none() | st.integers(0, 9)}

    def expected(self, case: str, history: History) -> list[Any]:
        split = 2 if case == "covering" else None
        entries = {}
        for primary_key, record in history.records.items():
            for row in self.rows(case, record):
                trimmed = () if primary_key[0] in row and case in ("with the primary key", "unique") else primary_key
                entries[row[:split] + trimmed] = () if split is None else row[split:]
        return [(key, entries[key]) for key in sorted(entries, key=packed)]


def in_order(key: Items) -> bytes:
    """Packed as it sorts, with incomplete versions."""
    return b"".join(encode_open(item) for item in key)


class TestVersion(IndexSuite):
    type = "version"
    cases = {
        "all": version_index(),
        "by city": version_index(concat("city", version())),
        "by tag": version_index(concat(field("tags").fan_out(), version())),
        "covering": version_index(key_with_value(concat("number", version(), "city"), split_point=2)),
        "version and id": version_index(concat(version(), "id")),
    }

    def expected(self, case: str, history: History) -> list[Any]:
        split = 2 if case == "covering" else None
        entries = {}
        for primary_key, record in history.records.items():
            for row in self.rows(case, record):
                entries[row[:split] + (() if case == "version and id" else primary_key)] = row[split:] if split else ()
        return [(key, entries[key]) for key in sorted(entries, key=in_order)]


# -- aggregates ----------------------------------------------------------------------------------------------


class Aggregates(IndexSuite):
    """What the models of aggregates share: the rows that each change takes away and adds, by group."""

    def grouped(self, case: str) -> int:
        return self.cases[case].expression.grouped_count

    def split(self, case: str, row: Items) -> tuple[Items, Items]:
        """The group of a row and what is grouped."""
        at = len(row) - self.grouped(case)
        return row[:at], row[at:]

    def changes(self, case: str, history: History) -> list[tuple[list[Items], list[Items]]]:
        """For each change the rows before and after it, without those that are on both sides."""
        made = []
        for old, new in history.changes:
            before = [] if old is None else self.rows(case, old)
            after = [] if new is None else self.rows(case, new)
            common = set(before) & set(after)
            made.append(([row for row in before if row not in common], [row for row in after if row not in common]))
        return made

    def totals(self, case: str, history: History, amount: Any) -> list[Any]:
        found: Counter[Items] = Counter()
        for before, after in self.changes(case, history):
            for sign, rows in ((-1, before), (1, after)):
                for row in rows:
                    group, grouped = self.split(case, row)
                    if (number := amount(grouped)) is not None:
                        found[group] += sign * number
                        if case.startswith("cleared") and not found[group]:
                            del found[group]
        return sorted(found.items(), key=lambda entry: pack(entry[0]))


DOES_NOT_FOLLOW = "what ever was does not follow from the records that are there"
ZEROS = "groups whose records are gone stay as zeros, and are not built anew"


class TestCount(Aggregates):
    type = "count"
    cases = {
        "all": count(),
        "by city": count(group_by="city"),
        "cleared, by city": count(group_by="city", clear_when_zero=True),
        "large numbers by city": count(group_by="city", where=compare("number", ">", 3)),
    }
    values = {"number": st.none() | st.integers(0, 9)}
    lacks = {"rebuild": ZEROS}

    def expected(self, case: str, history: History) -> list[Any]:
        return self.totals(case, history, lambda grouped: 1)


class TestCountInCells(Aggregates):
    type = "count"
    cases = {
        "all": count(cells=2),
        "by city": count(group_by="city", cells=3),
        "by city and number": count(group_by=concat("city", "number"), cells=1024),
    }
    lacks = {"rebuild": "which cell is written to is left to chance"}

    def expected(self, case: str, history: History) -> list[Any]:
        return self.totals(case, history, lambda grouped: 1)


class TestSumInCells(Aggregates):
    type = "sum"
    cases = {"numbers by city, cleared": sum_of("number", group_by="city", clear_when_zero=True, cells=2)}
    lacks = {"rebuild": "which cell is written to is left to chance"}

    def expected(self, case: str, history: History) -> list[Any]:
        return [entry for entry in self.totals(case, history, lambda grouped: grouped[0]) if entry[1]]


class TestCountOfRepeated(Aggregates):
    type = "count"
    cases = {"by tag": count(group_by=field("tags").fan_out())}
    lacks = {
        "rebuild": "a row that a record has twice before a change and once after it stays counted twice, as in Java",
        "damage": "so the count does not follow from the records that are there",
    }

    def expected(self, case: str, history: History) -> list[Any]:
        return self.totals(case, history, lambda grouped: 1)


class TestCountUpdates(Aggregates):
    type = "count_updates"
    cases = {"all": count_updates(), "by city": count_updates(group_by="city")}
    lacks = {"damage": DOES_NOT_FOLLOW, "rebuild": DOES_NOT_FOLLOW}

    def expected(self, case: str, history: History) -> list[Any]:
        found = Counter(row for record in history.saved for row in self.rows(case, record))
        return sorted(found.items(), key=lambda entry: pack(entry[0]))


class TestCountNotNull(Aggregates):
    type = "count_not_null"
    cases = {
        "numbers": count_not_null("number"),
        "numbers and texts by city": count_not_null(concat("number", "text"), group_by="city"),
    }
    lacks = {"rebuild": ZEROS}

    def expected(self, case: str, history: History) -> list[Any]:
        return self.totals(case, history, lambda grouped: None if None in grouped else 1)


class TestSum(Aggregates):
    type = "sum"
    cases = {
        "numbers": sum_of("number"),
        "numbers by city": sum_of("number", group_by="city"),
        "cleared, by city": sum_of("number", group_by="city", clear_when_zero=True),
    }
    lacks = {"rebuild": ZEROS}

    def expected(self, case: str, history: History) -> list[Any]:
        return self.totals(case, history, lambda grouped: grouped[0])


class TestSumOfRepeated(Aggregates):
    type = "sum"
    cases = {"all numbers of a record": sum_of(field("numbers").fan_out(), group_by="city")}
    lacks = {
        "rebuild": "a value that a record has twice before a change and once after it stays counted twice, as in Java",
        "damage": "so the sum does not follow from the records that are there",
    }

    def expected(self, case: str, history: History) -> list[Any]:
        return self.totals(case, history, lambda grouped: grouped[0])


class Extremes(Aggregates):
    lacks = {"damage": DOES_NOT_FOLLOW, "rebuild": DOES_NOT_FOLLOW}

    def extremes(self, case: str, history: History, choose: Any, *, nulls: bool) -> list[Any]:
        groups: dict[Items, list[Items]] = {}
        for record in history.saved:
            for row in self.rows(case, record):
                group, grouped = self.split(case, row)
                if nulls or grouped[0] is not None:
                    groups.setdefault(group, []).append(grouped)
        found = [(group, choose(there, key=packed)) for group, there in groups.items()]
        return sorted(found, key=lambda entry: pack(entry[0]))


class TestMinEver(Extremes):
    type = "min_ever_tuple"
    cases = {"number and text by city": min_ever(concat("number", "text"), group_by="city")}

    def expected(self, case: str, history: History) -> list[Any]:
        return self.extremes(case, history, min, nulls=True)


class TestMaxEver(Extremes):
    type = "max_ever_tuple"
    cases = {"number by city": max_ever("number", group_by="city")}

    def expected(self, case: str, history: History) -> list[Any]:
        return self.extremes(case, history, max, nulls=True)


class TestMaxEverVersion(Extremes):
    type = "max_ever_version"
    cases = {
        "all": max_ever_version(),
        "by city": max_ever_version(group_by="city"),
        "by number, with city": max_ever_version(concat(version(), "city"), group_by="number"),
    }

    def expected(self, case: str, history: History) -> list[Any]:
        latest: dict[Items, Items] = {}
        for record in history.saved:
            for row in self.rows(case, record):
                group, grouped = self.split(case, row)
                if group not in latest or in_order(latest[group]) < in_order(grouped):
                    latest[group] = grouped
        return sorted(latest.items(), key=lambda entry: pack(entry[0]))


class ExtremesOfLongs(Extremes):
    values = {"number": st.none() | st.integers(0, 9) | st.sampled_from([300, 1 << 40])}

    def longs(self, case: str, history: History, choose: Any) -> list[Any]:
        return [(group, items[0]) for group, items in self.extremes(case, history, choose, nulls=False)]


class TestMinEverLong(ExtremesOfLongs):
    type = "min_ever_long"
    cases = {
        "number by city": IndexDefinition(type="min_ever_long", expression=field("number").group_by("city")),
        "number": IndexDefinition(type="min_ever_long", expression=field("number").ungrouped()),
    }

    def expected(self, case: str, history: History) -> list[Any]:
        return self.longs(case, history, min)


class TestMaxEverLong(ExtremesOfLongs):
    type = "max_ever_long"
    cases = {"number by city": IndexDefinition(type="max_ever_long", expression=field("number").group_by("city"))}

    def expected(self, case: str, history: History) -> list[Any]:
        return self.longs(case, history, max)
