"""The record layer on a FoundationDB cluster against the bare binding doing the same reads and writes by hand.

One operation is one record (one entry, one transaction): six fields, three indexes, one count per city, Protobuf on
both sides. By hand means what a careful programmer writes with `fdb` and `fdb.tuple` alone: the same keys, the old
record read before it is replaced, everything in flight that can be. `--engine fdb:FILE` names the cluster, or
RECORDLAYER_TEST_CLUSTER_FILE does; what the bench writes lies below the tuple ("recordlayer bench", "cluster"), and is
cleared before and afterwards.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import fdb
import fdb.tuple
from google.protobuf import message_factory

import recordlayer as rl
from bench.ground import Ground, ground_for
from bench.harness import CannotRun, Case, Contender, Ops, Report, Settings, compare
from bench.record import metadata as item_metadata
from recordlayer import aio
from recordlayer.world import World

ENGINES = ("fdb",)
RECORDS = 1000
BATCH = 100
CITIES = 10

# Upper bounds of ours / the binding's time: 0.6 of its speed is 1.67 of its time.
TOGETHER, ONE_BY_ONE, LOAD, FETCH, ENTRIES, SINGLE = 1 / 0.6, 1 / 0.75, 1 / 0.65, 1 / 0.6, 1 / 0.6, 1 / 0.95


def run(settings: Settings) -> Report:
    """Every case on one cluster.  Raises  CannotRun if none is named."""
    url = settings.engine
    if url is None:
        file = os.environ.get("RECORDLAYER_TEST_CLUSTER_FILE", "")
        if not file:
            raise CannotRun(
                "say --engine fdb:FILE, or set RECORDLAYER_TEST_CLUSTER_FILE to a cluster's file; "
                "what is there stays, but for keys of ours"
            )
        url = f"fdb:{file}"
    with ground_for(replace(settings, engine=url), "cluster", ENGINES[0]) as ground, ExitStack() as stack:
        return Report(bench="cluster", engine=ground.kind, cases=tuple(Bench(settings, ground, stack).cases()))


class Bench:
    def __init__(self, settings: Settings, ground: Ground, stack: ExitStack) -> None:
        self._settings = settings
        file = item_metadata("proto3").record_types["Item"].descriptor.file
        self._metadata = (
            rl.RecordMetaDataBuilder(file)
            .primary_key("Item", "id")
            .index("Item", "by_city", rl.concat("city", "name"))
            .index("Item", "by_price", "price")
            .index("Item", "by_name", rl.concat("name", "city", "count"))
            .index("Item", "per_city", rl.count(group_by="city"))
            .build()
        )
        self._item: Any = message_factory.GetMessageClass(file.message_types_by_name["Item"])
        self._path = ground.path("ours")
        self._db = rl.Database(ground.engine("ours"), world=World())
        self._aio = aio.open(ground.url)
        self._loop = asyncio.new_event_loop()
        stack.callback(self._loop.close)
        fdb.api_version(730)
        self._bare = ByHand(fdb.open(ground.url.partition(":")[2] or None), ground.path("bare"), self._item)
        self._turn = 0
        for start in range(0, RECORDS, BATCH):
            self._save(self._records(start))
            self._bare.save_together(self._records(start))

    def cases(self) -> Iterator[Case]:
        save = Ops(reads=1, writes=5, round_trips=1)
        yield self._case(
            f"save, {BATCH} a transaction begun together", self._save_together, self._bare.save_together, TOGETHER, save
        )
        yield self._case(
            f"save, {BATCH} a transaction one after the other", self._save, self._bare.save, ONE_BY_ONE, save
        )
        yield self._case(
            f"load by key, {BATCH} a transaction one after the other",
            self._load,
            self._bare.load,
            LOAD,
            Ops(reads=1, round_trips=1),
        )
        yield self._case(
            f"an index range of {BATCH} with its records",
            self._fetch,
            self._bare.fetch,
            FETCH,
            Ops(reads=1 + 1 / BATCH, round_trips=2 / BATCH),
        )
        yield self._case(
            f"{BATCH} entries of an index",
            self._entries,
            self._bare.entries,
            ENTRIES,
            Ops(reads=1 / BATCH, round_trips=1 / BATCH),
        )
        yield self._case(
            "one record a transaction",
            self._save_singly,
            self._bare.save_singly,
            SINGLE,
            Ops(reads=1, writes=5, round_trips=3),
            operations=10,
        )

    def _case(
        self,
        name: str,
        ours: Callable[[Sequence[Any]], object],
        peer: Callable[[Sequence[Any]], object],
        target: float,
        ops: Ops,
        operations: int = BATCH,
    ) -> Case:
        return compare(
            name,
            ours=Contender(run=lambda: ours(self._next()[:operations]), operations=operations),
            peers={"binding": Contender(run=lambda: peer(self._next()[:operations]), operations=operations)},
            target={"binding": target},
            settings=self._settings,
            ops=ops,
        )

    # -- the records

    def _records(self, start: int) -> list[Any]:
        return [
            self._item(
                id=number,
                name=f"item {number * 7919 % RECORDS}",
                city=f"city {number % CITIES}",
                price=number / 7 + self._turn,
                count=number % 50 + self._turn,
                active=True,
            )
            for number in range(start, start + BATCH)
        ]

    def _next(self) -> list[Any]:
        """The next hundred, each with another price and count than before."""
        self._turn += 1
        return self._records(self._turn * BATCH % RECORDS)

    # -- ours

    def _store(self, tx: Any) -> Any:
        return tx.store(self._metadata, path=self._path)

    def _save(self, records: Sequence[Any]) -> None:
        with self._db.transaction() as tx:
            store = self._store(tx)
            for record in records:
                store.save(record)

    def _save_together(self, records: Sequence[Any]) -> None:
        async def work() -> None:
            async with self._aio.transaction() as tx:
                store = await self._store(tx)
                await asyncio.gather(*(store.save(record) for record in records))

        self._loop.run_until_complete(work())

    def _save_singly(self, records: Sequence[Any]) -> None:
        for record in records:
            self._save([record])

    def _load(self, records: Sequence[Any]) -> None:
        with self._db.transaction() as tx:
            store = self._store(tx)
            for record in records:
                assert store.load(record.id) is not None

    def _fetch(self, records: Sequence[Any]) -> None:
        with self._db.transaction() as tx:
            found = self._store(tx).query(rl.query("Item").where(rl.q.city == records[0].city), limit=BATCH).all()
        assert len(found) == BATCH

    def _entries(self, records: Sequence[Any]) -> None:
        with self._db.transaction() as tx:
            found = self._store(tx).scan_index("by_city", (records[0].city,), limit=BATCH).all()
        assert len(found) == BATCH


class ByHand:
    """The same job with the binding alone."""

    def __init__(self, db: Any, path: tuple[str | int, ...], item: Any) -> None:
        self._db = db
        self._item = item
        self._records = fdb.tuple.pack((*path, 1))
        self._by_city = fdb.tuple.pack((*path, 2, "by_city"))
        self._by_price = fdb.tuple.pack((*path, 2, "by_price"))
        self._by_name = fdb.tuple.pack((*path, 2, "by_name"))
        self._per_city = fdb.tuple.pack((*path, 2, "per_city"))

    def _key(self, number: int) -> bytes:
        return fdb.tuple.pack((number,), self._records)

    def _entries_of(self, record: Any) -> set[bytes]:
        pack = fdb.tuple.pack
        return {
            pack((record.city, record.name, record.id), self._by_city),
            pack((record.price, record.id), self._by_price),
            pack((record.name, record.city, record.count, record.id), self._by_name),
        }

    def _write(self, transaction: Any, record: Any, old: bytes | None) -> None:
        new_entries = self._entries_of(record)
        counted = fdb.tuple.pack((record.city,), self._per_city)
        if old is None:
            transaction.add(counted, (1).to_bytes(8, "little"))
        else:
            before = self._item.FromString(old)
            old_entries = self._entries_of(before)
            for key in old_entries - new_entries:
                del transaction[key]
            new_entries -= old_entries
            if before.city != record.city:
                transaction.add(fdb.tuple.pack((before.city,), self._per_city), b"\xff" * 8)
                transaction.add(counted, (1).to_bytes(8, "little"))
        for key in new_entries:
            transaction[key] = b""
        transaction[self._key(record.id)] = record.SerializeToString()

    def save(self, records: Sequence[Any]) -> None:
        transaction = self._db.create_transaction()
        for record in records:
            old = transaction.get(self._key(record.id)).wait().value
            self._write(transaction, record, old)
        transaction.commit().wait()

    def save_together(self, records: Sequence[Any]) -> None:
        transaction = self._db.create_transaction()
        reads = [transaction.get(self._key(record.id)) for record in records]
        for record, read in zip(records, reads, strict=True):
            self._write(transaction, record, read.wait().value)
        transaction.commit().wait()

    def save_singly(self, records: Sequence[Any]) -> None:
        for record in records:
            self.save([record])

    def load(self, records: Sequence[Any]) -> None:
        transaction = self._db.create_transaction()
        for record in records:
            self._item.FromString(transaction.get(self._key(record.id)).wait().value)

    def _city(self, transaction: Any, city: str) -> list[Any]:
        prefix = fdb.tuple.pack((city,), self._by_city)
        chunks = transaction.get_range(prefix, prefix + b"\xff", limit=BATCH, streaming_mode=fdb.StreamingMode.want_all)
        return [fdb.tuple.unpack(pair.key, len(self._by_city)) for pair in chunks]

    def entries(self, records: Sequence[Any]) -> None:
        assert len(self._city(self._db.create_transaction(), records[0].city)) == BATCH

    def fetch(self, records: Sequence[Any]) -> None:
        transaction = self._db.create_transaction()
        reads = [transaction.get(self._key(entry[-1])) for entry in self._city(transaction, records[0].city)]
        assert len([self._item.FromString(read.wait().value) for read in reads]) == BATCH
