"""What a migration will do, in order, and what it costs: worked out from what is stored, without changing anything."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from recordlayer.errors import StoreMissing, UsageError
from recordlayer.index.state import IndexState
from recordlayer.kv.context import Context
from recordlayer.metadata import Index, RecordMetaData
from recordlayer.migrate.changes import SchemaDiff
from recordlayer.store.counting import record_count
from recordlayer.store.layout import StoreLayout
from recordlayer.store.open import OpenMode, OpenOptions, open_store, read_state
from recordlayer.store.serializer import PLAIN, Serializer

RATE = 10_000
"""Records a second at which times are told: what builds keep to, unless they are told otherwise."""

_SAMPLE = 200


class StepKind(enum.Enum):
    METADATA = "store metadata"
    OPEN = "open store"
    BUILD = "build index"
    FINISH = "finish index"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. `about`: the index, or what is stored; `store`: the prefix of its keys, empty for the metadata."""

    kind: StepKind
    about: str = ""
    store: bytes = b""

    def as_json(self) -> dict[str, Any]:
        return {"step": self.kind.value, "about": self.about, "store": self.store.hex()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What builds cost.

    keys     to be scanned
    entries  to be written, about: one for each record and index
    exact    the records were counted; otherwise they are estimated by the size of some
    """

    keys: int = 0
    entries: int = 0
    exact: bool = True

    def __add__(self, other: Price) -> Price:
        exact = self.exact and other.exact
        return Price(keys=self.keys + other.keys, entries=self.entries + other.entries, exact=exact)

    def times(self, share: float) -> Price:
        """For as many stores as some stand for."""
        if share == 1:
            return self
        return Price(keys=round(self.keys * share), entries=round(self.entries * share), exact=False)

    def time(self, rate: int = RATE) -> timedelta:
        """How long it takes at so many keys a second."""
        return timedelta(seconds=self.keys / rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A migration that was not begun, or not finished.

    stores   that it goes over
    steps    in order; of many stores those of the first few, which `priced` says
    price    of all stores
    """

    diff: SchemaDiff
    stores: int
    priced: int
    steps: tuple[Step, ...] = field(default=())
    price: Price = Price()

    @property
    def is_empty(self) -> bool:
        return not self.steps

    def as_json(self, *, rate: int = RATE) -> dict[str, Any]:
        price = self.price
        return {
            **self.diff.as_json(),
            "stores": self.stores,
            "stores_looked_at": self.priced,
            "steps": [step.as_json() for step in self.steps],
            "price": {
                "keys_scanned": price.keys,
                "entries_written": price.entries,
                "exact": price.exact,
                "seconds": round(price.time(rate).total_seconds(), 1),
                "rate": rate,
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreNeeds:
    """What one store needs to come to a metadata.

    opens     its header says an older version
    builds    indexes that have to be built, in the order of their names
    finishes  indexes that are built, and wait until values are unique
    """

    prefix: bytes
    version: int
    opens: bool
    builds: tuple[Index, ...] = ()
    finishes: tuple[Index, ...] = ()

    def steps(self) -> list[Step]:
        steps = [Step(kind=StepKind.OPEN, store=self.prefix)] if self.opens else []
        steps += [Step(kind=StepKind.BUILD, about=index.name, store=self.prefix) for index in self.builds]
        return steps + [Step(kind=StepKind.FINISH, about=index.name, store=self.prefix) for index in self.finishes]


async def needs_of(context: Context, prefix: bytes, target: RecordMetaData) -> StoreNeeds | None:
    """What a store needs; None if there is none.  Cost  2 range reads in 1 round trip."""
    try:
        header, _, states = await read_state(context, StoreLayout(prefix), OpenMode.OPEN)
    except StoreMissing:
        return None
    version = header.metadata_version
    builds, finishes = [], []
    for index in sorted(target.indexes.values(), key=lambda index: index.name):
        state = states.get(index.name, IndexState.READABLE)
        if index.replaced_by:
            continue  # it is on its way out
        if index.last_modified_version > version:
            if not _new_types_only(target, index, version):
                builds.append(index)
        elif state is IndexState.READABLE_UNIQUE_PENDING:
            finishes.append(index)
        elif not state.is_readable:
            builds.append(index)
    opens = version < target.version
    return StoreNeeds(prefix=prefix, version=version, opens=opens, builds=tuple(builds), finishes=tuple(finishes))


def _new_types_only(target: RecordMetaData, index: Index, version: int) -> bool:
    types = target.stored_types_of(index)
    return bool(types) and all(known.since_version is not None and known.since_version > version for known in types)


async def price_of(
    context: Context, needs: StoreNeeds, current: RecordMetaData | None, *, serializer: Serializer = PLAIN
) -> Price:
    """What the builds of a store cost: all of them go over the records once, side by side.

    Cost    as counting the records: 1 read for each counter; without one 1 range read and 1 size.
    """
    if not needs.builds:
        return Price()
    keys, exact = await _records(context, needs, current, serializer)
    return Price(keys=keys, entries=keys * len(needs.builds), exact=exact)


async def _records(
    context: Context, needs: StoreNeeds, current: RecordMetaData | None, serializer: Serializer
) -> tuple[int, bool]:
    layout = StoreLayout(needs.prefix)
    if current is not None and current.version == needs.version:
        options = OpenOptions(mode=OpenMode.OPEN, format_version=1, serializer=serializer)
        try:
            return await record_count(await open_store(context, current, needs.prefix, options)), True
        except UsageError:  # nothing counts them
            pass
    begin, end = layout.records + b"\x00", layout.records + b"\xff"
    chunk = await context.get_range(begin, end, limit=_SAMPLE, snapshot=True)
    if len(chunk.rows) < _SAMPLE and not chunk.more:
        return len(chunk.rows), True
    size = await context.transaction.estimated_range_size(begin, end)
    each = sum(len(key) + len(value) for key, value in chunk.rows) / max(1, len(chunk.rows))
    return max(len(chunk.rows), round(size / each)), False
