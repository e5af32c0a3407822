"""Statistics: how many records and entries a store has, gathered when somebody asks for it, and kept for its database.

COUNT indexes are read where they have few groups: they tell records, and how many different values there are. For the
rest the engine says about how many bytes lie in a range, and some pairs of it how large one is. Small ranges are known
to the pair, because the sample has all of them. How often a value is repeated is seen in the sample of a VALUE index,
whose entries lie by value.

Plans follow statistics from then on; those that were kept before are left to themselves. A continuation goes on with
the plan that gave it.

Cost    gathering: 1 range read for each COUNT index, of `MOST_GROUPS` pairs at most; for the records and each of
        `MOST_INDEXES` other indexes at most 1 range read of `SAMPLE` pairs and 1 estimate; all side by side, without
        conflicts
Source  ours
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.scan import ScanOptions
from recordlayer.index.bounds import Bounds
from recordlayer.keys import Grouping, RecordType
from recordlayer.metadata import Index
from recordlayer.query.columns import expression_columns, index_columns
from recordlayer.query.knowledge import ASSUMED, Knowledge
from recordlayer.store.store import RecordStore
from recordlayer.tuples import unpack
from recordlayer.waiting.overlap import gather

if TYPE_CHECKING:
    from recordlayer.query.query import SortKey

MOST_GROUPS = 1_000
"""Groups of a COUNT index that are read; of more it is known that they are many."""
MOST_INDEXES = 64
SAMPLE = 50
MOST_STORES = 1_000
"""Stores whose statistics a process keeps."""
_ENTRIES = ("value", "version", "rank", "permuted_min", "permuted_max")
"""Types of indexes with one pair for each entry."""


class StatisticsCache:
    """The statistics of the stores of one database, by the stores' prefix. The last ones gathered are kept."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, Knowledge]] = {}

    def get(self, prefix: bytes, version: int) -> Knowledge:
        """What is known of a store under a version of its metadata."""
        found = self._known.get(prefix)
        return ASSUMED if found is None or found[0] != version else found[1]

    def put(self, prefix: bytes, version: int, knowledge: Knowledge) -> None:
        """Replaces all that is kept: other threads read it."""
        kept = {one: found for one, found in self._known.items() if one != prefix}
        kept[prefix] = version, knowledge
        if len(kept) > MOST_STORES:
            del kept[next(iter(kept))]
        self._known = kept


def known(store: RecordStore) -> Knowledge:
    """What is known of a store: assumptions, until statistics are gathered.  Cost  none."""
    shared = store.context.shared
    if shared is None:
        return ASSUMED
    return shared.of(StatisticsCache).get(store.layout.prefix, store.metadata.version)


async def gather_statistics(store: RecordStore) -> Knowledge:
    """Find out how much a store has. Plans of this process go by it from now on."""
    made = _Made()
    counting = [
        one
        for one in store.metadata.indexes.values()
        if one.type == "count" and one.predicate is None and _is_usable(store, one)
    ]
    others = [one for one in store.metadata.indexes.values() if one.type in _ENTRIES and _is_usable(store, one)]
    await gather(
        *[_count(store, index, made) for index in counting],
        *[_measure(store, index, made) for index in others[:MOST_INDEXES]],
        _measure_records(store, made),
    )
    knowledge = made.knowledge(store)
    shared = store.context.shared
    if shared is not None:
        shared.of(StatisticsCache).put(store.layout.prefix, store.metadata.version, knowledge)
    return knowledge


def _is_usable(store: RecordStore, index: Index) -> bool:
    return store.states.peek(index).is_readable


@dataclass(slots=True)
class _Made:
    """What was found out so far."""

    total: float | None = None
    by_size: float | None = None
    by_type: dict[str, float] = field(default_factory=dict)
    by_index: dict[str, float] = field(default_factory=dict)
    distinct: dict[tuple[SortKey, ...], float] = field(default_factory=dict)
    seen: dict[tuple[SortKey, ...], float] = field(default_factory=dict)
    counted: list[str] = field(default_factory=list)

    def knowledge(self, store: RecordStore) -> Knowledge:
        names = store.metadata.record_types.keys()
        if self.total is None and names <= self.by_type.keys():
            self.total = sum(self.by_type.values())
        sources = [f"counted by {name}" for name in sorted(self.counted)]
        if self.total is None or self.by_index:
            sources.append("sizes of ranges")
        if self.seen.keys() - self.distinct.keys():
            sources.append("first entries of indexes")
        return Knowledge(
            total=self.by_size if self.total is None else self.total,
            by_type=self.by_type,
            by_index=self.by_index,
            distinct=self.seen | self.distinct,  # what was counted is better than what was seen of it
            sources=tuple(sources),
        )


async def _count(store: RecordStore, index: Index, made: _Made) -> None:
    """What a COUNT index tells: records of its types, and how many different values its groups have."""
    root, metadata = index.root_expression, store.metadata
    if not isinstance(root, Grouping) or root.creates_duplicates:
        return
    groups = await _groups(store, index)
    if groups is None:
        return
    made.counted.append(index.name)
    if metadata.synthetic_of(index):
        return  # it counts what is not stored
    types = metadata.record_types_of(index)
    total = float(sum(number for _, number in groups))
    if len(types) == len(metadata.record_types):
        made.total = total
    if len(types) == 1:
        made.by_type[types[0].name] = total
    columns = expression_columns(root, types[0], single=False)
    if columns and isinstance(columns[0].expression, RecordType):
        for known_type in types:
            own = [number for group, number in groups if group[0] == known_type.record_type_key]
            made.by_type[known_type.name] = float(sum(own))
    keys = tuple([column.key for column in columns])
    if keys and None not in keys and len(types) == 1:
        for size in range(1, len(keys) + 1):
            made.distinct[keys[:size]] = max(1.0, len({group[:size] for group, _ in groups}))  # type: ignore[index]


async def _groups(store: RecordStore, index: Index) -> list[tuple[tuple[Any, ...], int]] | None:
    """The groups that are not empty; None if there are too many."""
    options = ScanOptions(snapshot=True, limit=MOST_GROUPS + 1)
    cursor = store.scan_index(index.name, Bounds.ALL, options)
    found: list[tuple[tuple[Any, ...], int]] = []
    number = 0
    while True:
        batch = await cursor.batch()
        number += len(batch.values)
        found += [(entry.group, entry.value) for entry in batch.values if entry.value > 0]
        if batch.stop is not None:
            return found if number <= MOST_GROUPS else None


async def _measure(store: RecordStore, index: Index, made: _Made) -> None:
    entries = store.states.space(index).entries
    number, keys = await _pairs(store, entries)
    made.by_index[index.name] = number
    if index.type == "value" and keys and not store.metadata.synthetic_of(index):
        _see(store, index, [unpack(key[len(entries) :]) for key in keys], number, made)


def _see(store: RecordStore, index: Index, first: Sequence[tuple[Any, ...]], number: float, made: _Made) -> None:
    """How many different values the columns of a VALUE index have, if all are repeated as often as its first ones."""
    types = store.metadata.record_types_of(index)
    if len(types) != 1 or index.predicate is not None or index.root_expression.creates_duplicates:
        return
    keys: list[SortKey] = []
    for column in index_columns(index, types[0], single=False)[: index.column_size]:
        if column.key is None:
            return
        keys.append(column.key)
        runs = [sum(1 for _ in run) for _, run in groupby(entry[: len(keys)] for entry in first)]
        if len(first) == SAMPLE and len(runs) > 1:
            runs.pop()  # nobody saw its end
        made.seen.setdefault(tuple(keys), max(1.0, number * len(runs) / sum(runs)))


async def _measure_records(store: RecordStore, made: _Made) -> None:
    number, keys = await _pairs(store, store.layout.records)
    first = sum(key.endswith(_FIRST_OF_RECORD) for key in keys)
    made.by_size = number * first / len(keys) if first else number


_FIRST_OF_RECORD = (b"\x14", b"\x15\x01")
"""How keys end with the whole of a record or its first part; versions and further parts have pairs of their own."""


async def _pairs(store: RecordStore, prefix: bytes) -> tuple[float, list[bytes]]:
    """About how many pairs begin with a prefix, and some of their keys."""
    context = store.context
    begin, end = prefix + b"\x00", prefix + b"\xff"
    chunk = await context.get_range(begin, end, limit=SAMPLE, snapshot=True)
    rows = chunk.rows
    keys = [key for key, _ in rows]
    if len(rows) < SAMPLE and not chunk.more:
        return float(len(rows)), keys
    size = await context.transaction.estimated_range_size(begin, end)
    each = sum(len(key) + len(value) for key, value in rows) / len(rows)
    return max(float(len(rows)), size / each), keys
