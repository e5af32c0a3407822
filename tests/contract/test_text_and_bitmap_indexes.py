"""The law of index types, applied to texts, bitmaps and the extremes of groups."""

# ruff: noqa: RUF012  (what suites are told is only read)

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from recordlayer import concat, field
from recordlayer.cursor.step import drain
from recordlayer.index.tokenizer_words import words
from recordlayer.metadata.definitions import bitmap_index, permuted_max, permuted_min, text_index
from recordlayer.metadata.predicate import compare
from recordlayer.store.store import RecordStore
from recordlayer.testing import History, IndexSuite
from recordlayer.testing.index_suite.harness import INDEX, shown
from recordlayer.tuples import pack

Items = tuple[Any, ...]

TEXTS = (
    None,
    "",
    "to be or not to be",
    "be quick",
    "Not now!",
    "¿Qué? -- Être",
    " ".join(["be", "bee", "to"] * 60),
    " ".join(f"w{number}" for number in range(40)),
)


def packed(items: Items) -> bytes:
    return pack(items)


class TestText(IndexSuite):
    type = "text"
    cases = {
        "text": text_index("text"),
        "by city": text_index("text", group_by="city"),
        "and number": text_index(concat("text", "number")),
        "without places": text_index("text", omit_positions=True),
        "beginnings": text_index("text", tokenizer="prefix", tokenizer_version=1),
        "of one text each": text_index("text", group_by="id"),
    }
    values = {"text": st.sampled_from(TEXTS), "number": st.none() | st.integers(0, 9)}
    lacks = {"rebuild": "which neighbours share a bunch depends on the order in which they came"}

    def expected(self, case: str, history: History) -> list[Any]:
        entries: dict[Items, tuple[tuple[int, ...]]] = {}
        at = 1 if case in ("by city", "of one text each") else 0
        for primary_key, record in history.records.items():
            for row in self.rows(case, record):
                tokens = words(row[at] or "")
                if case == "beginnings":
                    tokens = [token[:4] for token in tokens]
                for token in tokens:
                    places = tuple(place for place, one in enumerate(tokens) if one == token)
                    rest = () if case == "of one text each" else primary_key
                    key = (*row[:at], token, *row[at + 1 :], *rest)
                    entries[key] = (() if case == "without places" else places,)
        return [(key, entries[key]) for key in sorted(entries, key=packed)]


class TestBitmap(IndexSuite):
    type = "bitmap_value"
    cases = {
        "ids": bitmap_index("id"),
        "ids by city": bitmap_index("id", group_by="city", entry_size=3),
        "of large numbers": bitmap_index("id", entry_size=9, where=compare("number", ">", 3)),
    }
    values = {"number": st.none() | st.integers(0, 9)}

    def expected(self, case: str, history: History) -> list[Any]:
        size = {"ids": 10_000, "ids by city": 3}.get(case, 9)
        bits: dict[Items, int] = {}
        for record in history.records.values():
            for *group, position in self.rows(case, record):
                key = (*group, position - position % size)
                bits[key] = bits.get(key, 0) | 1 << position % size
        return [(key, bits[key].to_bytes((size + 7) // 8, "little")) for key in sorted(bits, key=packed)]


class Permuted(IndexSuite):
    """Entries, and the extreme of each group in order of (groups that stay, value, groups that come last)."""

    greatest = False

    async def read(self, store: RecordStore) -> object:
        maintainer: Any = store.index_maintainer(INDEX)
        entries = [shown(found) for found in await drain(store.scan_index(INDEX))]
        return entries, [(found.group, found.value) for found in await drain(maintainer.scan_extremes())]

    def expected(self, case: str, history: History) -> object:
        grouping = self.cases[case].expression.column_size - self.cases[case].expression.grouped_count
        first = grouping - int(self.cases[case].options["permutedSize"])
        entries, best = set(), {}
        for primary_key, record in history.records.items():
            for row in self.rows(case, record):
                entries.add(row + (() if case == "with the primary key" else primary_key))
                group, value = row[:grouping], row[grouping:]
                chosen = max if self.greatest else min
                best[group] = chosen(best.get(group, value), value, key=packed)
        by_value = sorted(best.items(), key=lambda one: pack((*one[0][:first], *one[1], *one[0][first:])))
        return [(key, ()) for key in sorted(entries, key=packed)], by_value


class TestPermutedMin(Permuted):
    type = "permuted_min"
    cases = {
        "number by city": permuted_min("number", group_by="city"),
        "tags by city and number": permuted_min(field("tags").fan_out(), group_by=concat("city", "number")),
        "with the primary key": permuted_min(concat("number", "id"), group_by="city"),
    }


class TestPermutedMax(Permuted):
    type = "permuted_max"
    greatest = True
    cases = {
        "number by city": permuted_max("number", group_by="city"),
        "number by city and tag": permuted_max("number", group_by=concat("city", field("tags").fan_out()), permuted=2),
        "large numbers": permuted_max(
            concat("number", "x"), group_by="city", permuted=0, where=compare("number", ">", 3)
        ),
    }
