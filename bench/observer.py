"""What observing costs: nothing when it is off, and what each adapter takes when it is on.

One operation is one transaction: a record with three index entries is saved, or ten records are loaded.

The first line of each job is the promise: everything that observing adds to a transaction when nobody observes, by
itself, against the whole transaction. (Two runs of the same transaction differ by more than it takes.) The other lines
are of databases with an observer, against the same without. In processor time, except on a cluster.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from bench.ground import Ground, ground_for
from bench.harness import CPU, Case, Contender, Ops, Report, Settings, compare, statement
from bench.record import RECORDS, metadata
from recordlayer import Database
from recordlayer.kv.observed import ObservedTransaction
from recordlayer.observe.logs import LogSlow
from recordlayer.observe.observer import Callbacks, Observer
from recordlayer.observe.prometheus import Prometheus
from recordlayer.store.places import StorePlaces
from recordlayer.world import World

ENGINES = ("memory", "file", "fdb")
OFF = 0.02  # the promise: less than two per cent

Job = Callable[[Database], None]


# A context is made, a store is opened, a record is saved or queried, the transaction is committed and closed.
ADDED = """
observed = transaction if type(transaction) is ObservedTransaction else None
opened = [] if observed is None else observed.tallies.places
opened.append(StorePlaces(prefix, metadata))
began = 0.0 if observed is None else clock.monotonic()
if observed is not None: pass
watch = None if observed is None else QueryWatch(observed)
if watch is not None: pass
work = "" if observed is None else function.__qualname__
if observed is not None: pass
"""


def run(settings: Settings) -> Report:
    """Both jobs, without an observer and with each."""
    with ground_for(settings, "observer", ENGINES[0]) as ground:
        return Report(bench="observer", engine=ground.kind, cases=tuple(Bench(ground, settings).cases()))


class Bench:
    def __init__(self, ground: Ground, settings: Settings) -> None:
        self._ground = ground
        self._path = ground.path()
        self._settings = settings
        self._metadata = metadata("proto3")
        made = self._metadata.record_type("Item").message_class
        self._records = [
            made(
                id=number, name=f"item {number}", city=f"city {number % 7}", price=number / 4, count=number, active=True
            )
            for number in range(RECORDS)
        ]
        self._next = 0

    def cases(self) -> Iterator[Case]:
        times = 40 if self._settings.quick else 200
        jobs: dict[str, tuple[Job, Ops]] = {
            "save one record": (self._save, Ops(reads=3, writes=3, round_trips=2)),
            "load ten records": (self._load, Ops(reads=12, round_trips=2)),
        }
        plain = self._database(None)
        for name, (job, ops) in jobs.items():

            def repeat(db: Database, job: Job = job) -> Callable[[], None]:
                def work() -> None:
                    for _ in range(times):
                        job(db)

                return work

            yield compare(
                f"{name}: what is added, observer off",
                ours=statement(ADDED, self._names(), operations=1, times=20 * times),
                peers={"the transaction": Contender(run=repeat(plain), operations=times)},
                target={"the transaction": OFF},
                settings=self._settings,
                timer=CPU,
                ops=ops,
            )
            for title, observer in self._observers().items():
                yield compare(
                    f"{name}: {title}",
                    ours=Contender(run=repeat(self._database(observer)), operations=times),
                    peers={"observer off": Contender(run=repeat(plain), operations=times)},
                    settings=self._settings,
                    timer=self._ground.timer,
                    ops=ops,
                )

    def _names(self) -> dict[str, Any]:
        return {
            "ObservedTransaction": ObservedTransaction,
            "StorePlaces": StorePlaces,
            "metadata": self._metadata,
            "prefix": self._ground.prefix(),
            "transaction": object(),
        }

    def _observers(self) -> dict[str, Observer]:
        from opentelemetry.sdk.trace import TracerProvider
        from prometheus_client import CollectorRegistry

        from recordlayer.observe.events import Event
        from recordlayer.observe.otel import OpenTelemetry

        logging.getLogger("recordlayer").addHandler(logging.NullHandler())
        return {
            "slow log": LogSlow(),
            "Prometheus": Prometheus(registry=CollectorRegistry()),
            "OpenTelemetry": OpenTelemetry(provider=TracerProvider()),
            "a function for every event": Callbacks({Event: lambda event: None}),
        }

    def _database(self, observer: Observer | None) -> Database:
        engine = self._ground.engine(f"observer {id(observer)}")
        db = Database(engine, world=World(), observer=observer)

        def fill(tx: Any) -> None:
            store = tx.store(self._metadata, path=self._path)
            for record in self._records:
                store.save(record)

        db.run(fill)
        return db

    def _save(self, db: Database) -> None:
        record = self._records[self._next % RECORDS]
        self._next += 1
        record.count = self._next % 1_000
        db.run(lambda tx: tx.store(self._metadata, path=self._path).save(record))

    def _load(self, db: Database) -> None:
        keys = [record.id for record in self._records[:10]]
        db.run(lambda tx: tx.store(self._metadata, path=self._path).load_many(keys))
