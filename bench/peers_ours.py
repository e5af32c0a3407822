"""Ours in `peers`: a store in a file, or wherever the bench runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf import descriptor_pb2, message_factory

import recordlayer as rl
from bench.ground import Ground
from bench.harness import Contender, Ops
from bench.peers_rows import Row
from bench.record import FIELDS
from recordlayer import q, query
from recordlayer.blocking.database import Database
from recordlayer.testing.clock import ManualClock
from recordlayer.testing.counting import Counting

_FILE = descriptor_pb2.FileDescriptorProto(name="bench_peers.proto", package="bench_peers", syntax="proto2")
_MESSAGE = _FILE.message_type.add(name="Item")
for _number, (_name, _kind) in enumerate(FIELDS.items(), 1):
    _MESSAGE.field.add(name=_name, number=_number, type=_kind, label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL)
METADATA = (
    rl.RecordMetaDataBuilder.from_descriptor_set(descriptor_pb2.FileDescriptorSet(file=[_FILE]))
    .primary_key("Item", "id")
    .index("Item", "by_city", rl.concat("city", "count"))
    .index("Item", "by_name", "name")
    .index("Item", "by_price", "price")
    .index("Item", "per_city", rl.count(group_by="city"))
    .build()
)
Item: Any = message_factory.GetMessageClass(METADATA.record_type("Item").descriptor)


class Ours:
    """Everything that a user gets: typed messages, the store opened by its path in each transaction."""

    def __init__(self, ground: Ground, *, durable: bool) -> None:
        self._world = ManualClock().world()  # transactions stay young however long the machine does something else
        engine = ground.engine("durable" if durable else "relaxed", durable=durable, world=self._world)
        self._db = Database(engine, world=self._world)
        self._path = ground.path()

    def close(self) -> None:
        """Whose engine it is closes it."""

    def counted(self, contender: Contender) -> Ops:
        """What one operation of ours costs the engine. Stores are known, as they are while the clock runs."""
        _once(contender)
        db, engine = self._db, Counting(self._db.engine)
        self._db = Database(engine, world=self._world, store_states=db.store_states)
        try:
            with engine.measured() as counts:
                _once(contender)
        finally:
            self._db = db
        return Ops(
            **{
                name: round(getattr(counts, name) / contender.operations, 2)
                for name in ("reads", "writes", "round_trips")
            }
        )

    def insert(self, rows: Sequence[Row]) -> None:
        with self._db.transaction() as tx:
            store = tx.store(METADATA, path=self._path)
            if len(rows) == 1:
                store.save(Item(**rows[0]._asdict()))
            else:
                store.save_many([Item(**row._asdict()) for row in rows])

    def update(self, rows: Sequence[Row]) -> None:
        with self._db.transaction() as tx:
            store = tx.store(METADATA, path=self._path)
            for row in rows:
                store.save(Item(**row._asdict()))

    def get(self, ids: Sequence[int]) -> int:
        total = 0
        with self._db.transaction() as tx:
            store = tx.store(METADATA, path=self._path)
            for number in ids:
                total += store.load(number).count
        return total

    def range(self, cities: Sequence[str]) -> int:
        total = 0
        with self._db.transaction() as tx:
            store = tx.store(METADATA, path=self._path)
            for city in cities:
                total += sum([item.count for item in store.query(query("Item").where(q.city == city))])
        return total

    def covering(self, cities: Sequence[str]) -> int:
        total = 0
        with self._db.transaction() as tx:
            store = tx.store(METADATA, path=self._path)
            for city in cities:
                found = store.query(query("Item").where(q.city == city).select("city", "count", "id"))
                total += sum([item.count for item in found])
        return total


def _once(contender: Contender) -> None:
    if contender.prepare is not None:
        contender.prepare()
    contender.run()
