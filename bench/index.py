"""What it costs to maintain one entry of an index of each type, relative to an entry of a VALUE index.

One operation is one entry. Times are processor time, except on a cluster.

    saved     with its record: the whole save of a new record, of many in a transaction, and its part of the commit. The
              peer's records have versions where the type needs them
    entry     the index's work alone for a new record: from the record to the writes, and their part of the commit
    changed   the same for a record with another value than before
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2

import recordlayer as rl
from bench.ground import Ground, ground_for
from bench.harness import Case, Contender, Ops, Report, Settings, compare
from recordlayer.index.registry import maintainer_for
from recordlayer.keys import version
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.mutations import perform
from recordlayer.metadata.definitions import (
    IndexDefinition,
    bitmap_index,
    max_ever,
    max_ever_version,
    multidimensional,
    permuted_max,
    rank,
    text_index,
    version_index,
)
from recordlayer.store.open import open_store
from recordlayer.store.record import StoredRecord
from recordlayer.testing.counting import Counting
from recordlayer.tuples import Versionstamp, pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

ENGINES = ("memory", "file", "fdb")
RECORDS = 300
CITIES = 50
WORDS = ("never", "odd", "or", "even", "rotator", "civic", "level", "noon", "radar", "tenet")
INDEX = "measured"

_KINDS = descriptor_pb2.FieldDescriptorProto
FIELDS = {
    "id": _KINDS.TYPE_INT64,
    "city": _KINDS.TYPE_STRING,
    "number": _KINDS.TYPE_INT64,
    "words": _KINDS.TYPE_STRING,
    "x": _KINDS.TYPE_INT64,
    "y": _KINDS.TYPE_INT64,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """An index type that is measured.

    definition  an index of the type
    saved       upper bound of its time for a saved record / that of VALUE, None for none: for types whose entry costs
                less than its record
    entry       the same for the entry alone: for types that work more than that
    entries     how many entries a record has
    """

    name: str
    definition: IndexDefinition
    saved: float | None = None
    entry: float | None = None
    entries: int = 1


VALUE = rl.value_index(rl.concat("city", "number"))
KINDS = (
    Kind("COUNT", rl.count(group_by="city"), saved=1.0),
    Kind("COUNT in 8 cells", rl.count(group_by="city", cells=8)),
    Kind("SUM", rl.sum_of("number", group_by="city"), saved=1.1),
    Kind("VERSION", version_index(rl.concat("city", version())), saved=1.2),
    Kind("MAX_EVER", max_ever("number", group_by="city")),
    Kind("MAX_EVER_VERSION", max_ever_version(group_by="city")),
    Kind("RANK", rank("number", group_by="city"), entry=12.0),
    Kind("BITMAP_VALUE", bitmap_index("id", group_by="city")),
    Kind("PERMUTED_MAX", permuted_max("number", group_by="city")),
    Kind("TEXT, a token", text_index("words"), entry=4.0, entries=5),
    Kind("MULTIDIMENSIONAL", multidimensional(rl.concat("x", "y"), prefix="city"), entry=15.0),
)


class Maintaining:
    """A store with one index, and the records that it is kept for."""

    def __init__(self, kind: Kind, ground: Ground, *, records: int, versions: bool = False) -> None:
        self.kind = kind
        name = f"{kind.name}, versions" if versions else kind.name
        self.engine: Engine = ground.engine(name)
        self.prefix = pack(ground.path(name))
        self.metadata = _metadata(kind.definition, versions=versions)
        self.before, self.after = self._records(records, 1), self._records(records, 2)

    def contender(self, *, changing: bool) -> Contender:
        def prepare() -> None:
            self._empty()
            if changing:
                self._commit([(None, new) for new in self.before])

        pairs: list[tuple[StoredRecord | None, StoredRecord]] = [(None, new) for new in self.after]
        if changing:
            pairs = list(zip(self.before, self.after, strict=True))
        return Contender(run=lambda: self._commit(pairs), prepare=prepare, operations=len(pairs) * self.kind.entries)

    def saving(self) -> Contender:
        return Contender(
            run=lambda: run_blocking(self._save()), prepare=self._empty, operations=len(self.after) * self.kind.entries
        )

    async def _save(self) -> None:
        store = await self._open()
        for record in self.after:
            await store.save(record.message)
        await store.context.commit()
        store.context.close()

    def ops(self, contender: Contender) -> Ops:
        """What one operation costs, as the mean over all records of a run."""
        assert contender.prepare is not None, "it empties the store"
        contender.prepare()
        bare = self.engine
        self.engine = counting = Counting(bare)
        with counting.measured() as all_of_it:
            contender.run()
        with counting.measured() as opening:
            self._commit([])
        self.engine = bare
        count = contender.operations
        return Ops(
            reads=round((all_of_it.reads - opening.reads) / count, 2),
            writes=round((all_of_it.writes - opening.writes) / count, 2),
            round_trips=round((all_of_it.round_trips - opening.round_trips) / count, 2),
        )

    def _records(self, count: int, seed: int) -> list[StoredRecord]:
        chance = random.Random(seed)  # the same records in every run
        message_class = self.metadata.record_type("Item").message_class
        made = []
        with_versions = self.metadata.store_record_versions
        store = run_blocking(self._open())
        for number in range(count):
            message: Any = message_class(
                id=number,
                city=f"city {chance.randrange(CITIES)}",
                number=chance.randrange(1 << 40),
                words=" ".join(chance.sample(WORDS, 5)),
                x=chance.randrange(1 << 20),
                y=chance.randrange(1 << 20),
            )
            record = store.identify(message)
            if with_versions:
                old = Versionstamp(seed.to_bytes(10, "big"), number)
                record.version = old if seed == 1 else Versionstamp.incomplete(number)
            made.append(record)
        store.context.close()
        return made

    async def _open(self) -> Any:
        return await open_store(Context(self.engine.begin(), world=World()), self.metadata, self.prefix)

    def _empty(self) -> None:
        context = Context(self.engine.begin(), world=World())
        context.clear_range(self.prefix, self.prefix + b"\xff")
        run_blocking(context.commit())
        context.close()
        self._commit([])

    def _commit(self, pairs: list[tuple[Any, Any]]) -> None:
        run_blocking(self._maintain(pairs))

    async def _maintain(self, pairs: list[tuple[Any, Any]]) -> None:
        store = await self._open()
        context = store.context
        maintainer = maintainer_for(store.states.space(self.metadata.indexes[INDEX]))
        for old, new in pairs:
            perform(context, maintainer.prepare(old, new))
            pending = maintainer.finish(old, new)
            if pending is not None:
                await pending
        await context.commit()
        context.close()


def _metadata(definition: IndexDefinition, *, versions: bool) -> rl.RecordMetaData:
    file = descriptor_pb2.FileDescriptorProto(name="bench_index.proto", package="bench_index", syntax="proto2")
    message = file.message_type.add(name="Item")
    for number, (name, kind) in enumerate(FIELDS.items(), 1):
        message.field.add(name=name, number=number, type=kind, label=_KINDS.LABEL_OPTIONAL)
    made = rl.RecordMetaDataBuilder.from_descriptor_set(descriptor_pb2.FileDescriptorSet(file=[file]))
    made = made.primary_key("Item", "id").index("Item", INDEX, definition)
    if versions or definition.expression.version_columns:
        made = made.store_record_versions()
    return made.build()


def run(settings: Settings) -> Report:
    """Every type, saved and changed."""
    records = RECORDS // 5 if settings.quick else RECORDS
    with ground_for(settings, "index", ENGINES[0]) as place:
        return Report(bench="index", engine=place.kind, cases=tuple(_cases(settings, place, records)))


def _cases(settings: Settings, ground: Ground, records: int) -> Iterator[Case]:
    value_kind = Kind("VALUE", VALUE)
    peers = [Maintaining(value_kind, ground, records=records, versions=versions) for versions in (False, True)]
    for kind in KINDS:
        measured = Maintaining(kind, ground, records=records)
        value = peers[measured.metadata.store_record_versions]
        for what, ours, peer, target in (
            ("saved", measured.saving(), value.saving(), kind.saved),
            ("entry", measured.contender(changing=False), value.contender(changing=False), kind.entry),
            ("changed", measured.contender(changing=True), value.contender(changing=True), kind.entry),
        ):
            yield compare(
                f"{kind.name}, {what}",
                ours=ours,
                peers={"VALUE": peer},
                target={} if target is None else {"VALUE": target},
                settings=settings,
                ops=measured.ops(ours),
                timer=ground.timer,
            )
