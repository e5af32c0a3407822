"""What observers are told of work on stores: through every facade, by part and index, and nothing when nobody looks."""

from __future__ import annotations

import gc
import logging
import operator
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

import recordlayer as rl
from recordlayer import errors
from recordlayer.kv.embedded.engine import EmbeddedEngine
from recordlayer.kv.embedded.transaction import EmbeddedTransaction
from recordlayer.kv.engine import Engine, TransactionOption
from recordlayer.kv.registry import open_engine
from recordlayer.observe.events import (
    CommitFinished,
    ConflictMet,
    Event,
    Outcome,
    Place,
    QueryFinished,
    QueryPlanned,
    RangeRead,
    Retried,
    StoreOpened,
    TransactionBegan,
    TransactionEnded,
    WriteBatch,
)
from recordlayer.observe.fields import fields_of
from recordlayer.observe.logs import LogSlow
from recordlayer.observe.observer import NOTHING, Observers
from recordlayer.observe.otel import OpenTelemetry
from recordlayer.observe.prometheus import Prometheus
from recordlayer.options import TransactionOptions
from recordlayer.testing.faults import Fault, Faulty
from recordlayer.world import World
from tests.support.hurried import HurriedClock
from tests.support.recording import Recording
from tests.support.shop import PATH, SHOP, Order

STORE = "/shop/acme"


@pytest.fixture
def clock() -> HurriedClock:
    return HurriedClock()


@pytest.fixture
def engine(clock: HurriedClock) -> Iterator[Engine]:
    engine = open_engine("memory:", world=clock.world(3))
    yield engine
    engine.close()


@pytest.fixture
def observed(engine: Engine, clock: HurriedClock, database_over: Any) -> Callable[..., tuple[Any, Recording]]:
    """A database with an empty shop, and what its observer is told."""

    def make(*kinds: type[Event], faults: tuple[Any, ...] = ()) -> tuple[Any, Recording]:
        with rl.Database(engine, world=clock.world()).transaction() as tx:
            tx.store(SHOP, path=PATH)
        recording = Recording(*kinds)
        below: Any = Faulty(engine, faults) if faults else engine
        return database_over(below, world=clock.world(), observer=recording), recording

    return make


def test_without_an_observer_nothing_stands_between_a_database_and_its_engine(open_database: Any) -> None:
    for observer in (None, NOTHING, Observers()):
        with open_database("memory:", observer=observer) as db, db.transaction() as tx:
            assert type(db.engine) is EmbeddedEngine
            assert type(tx.context.transaction) is EmbeddedTransaction
            assert tx.context.observed is None


def calls_of(work: Callable[[], object]) -> int:
    """How many Python functions some work calls."""
    count = 0

    def called(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    gc.collect()  # what earlier tests have left is finalised now, and not while calls are counted
    before = sys.getprofile()
    gc.disable()
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def test_nobody_observing_costs_one_call_for_each_store_that_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a few hundred: less than one in fifty. The bench has it in time."""
    with rl.open("memory:") as db:

        def save() -> None:
            db.run(lambda tx: tx.store(SHOP, path=PATH).save(Order(id=1, customer="ana")))

        save()
        save()
        usual = calls_of(save)
        monkeypatch.setattr("recordlayer.store.open.StorePlaces", operator.is_)  # takes two and calls nothing
        without = calls_of(save)
    assert usual - without <= 1
    assert usual > 50


def test_saving_is_told_by_part_of_the_store_and_by_index(observed: Callable[..., tuple[Any, Recording]]) -> None:
    db, recording = observed(WriteBatch, TransactionEnded)

    def save(tx: Any) -> None:
        tx.store(SHOP, path=PATH).save(Order(id=1, customer="ana", total=5, tags=["a", "b"]))

    db.run(save)
    (batch,) = recording.of(WriteBatch)
    writes = {(place.part, place.name): counts.writes for place, counts in batch.places.items()}
    assert writes == {
        ("records", ""): 1,
        ("index", "by_customer"): 1,
        ("index", "by_customer_and_total"): 1,
        ("index", "by_tag"): 2,
        ("index", "by_city"): 1,
        ("index", "by_total_with_note"): 1,
        ("index", "orders_per_customer"): 1,
        ("index", "sales_per_customer"): 1,
    }
    assert {place.store for place in batch.places} == {STORE}
    (ended,) = recording.of(TransactionEnded)
    assert ended.counts.writes == batch.writes == 9
    assert ended.places[Place(STORE, "records")].reads == 1
    assert ended.places[Place(STORE, "index states")].reads == 1
    assert sum(counts.reads for counts in ended.places.values()) == ended.counts.reads == 3
    assert fields_of(ended)["indexes"] == (
        "by_city,by_customer,by_customer_and_total,by_tag,by_total_with_note,orders_per_customer,sales_per_customer"
    )


def test_work_has_the_name_of_its_function_or_the_one_that_was_given(
    observed: Callable[..., tuple[Any, Recording]],
) -> None:
    db, recording = observed(TransactionBegan)
    db.run(lambda tx: None, options=TransactionOptions(name="checkout", tags=("web",)))
    with db.transaction(options=TransactionOptions(name="by hand")):
        pass
    with db.transaction():
        pass
    origins = [event.origin for event in recording.of(TransactionBegan)]
    assert [origin.work for origin in origins if origin] == ["checkout", "by hand", ""]
    assert origins[0] is not None
    assert origins[0].tags == ("web",)


def named_work(tx: rl.Transaction) -> None:
    tx.store(SHOP, path=PATH)


def test_a_function_gives_its_name_to_the_work(engine: Engine, clock: HurriedClock) -> None:
    recording = Recording(TransactionBegan)
    rl.Database(engine, world=clock.world(), observer=recording).run(named_work)
    assert [event.origin.work for event in recording.events if event.origin] == ["named_work"]


def test_opening_a_store_is_told_with_its_path(observed: Callable[..., tuple[Any, Recording]]) -> None:
    db, recording = observed(StoreOpened)
    with db.transaction() as tx:
        tx.store(SHOP, path=PATH)
        tx.store(SHOP, path=("shop", 7))
    for _ in range(2):
        with db.transaction() as tx:
            tx.store(SHOP, path=("shop", 7))
    assert [(event.store, event.created, event.cached) for event in recording.of(StoreOpened)] == [
        ("/shop/acme", False, False),
        ("/shop/7", True, False),
        ("/shop/7", False, False),
        ("/shop/7", False, True),
    ]


def test_a_query_is_told_with_its_plan_and_what_its_page_cost(
    observed: Callable[..., tuple[Any, Recording]],
) -> None:
    db, recording = observed(QueryPlanned, QueryFinished)
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        for number in range(10):
            store.save(Order(id=number, customer="ana" if number % 2 else "bo"))
    with db.transaction() as tx:
        query = rl.query("Order").where(rl.q.customer == "ana")
        page = tx.store(SHOP, path=PATH).query(query, limit=3)
        assert len(page.all()) == 3
    (planned,) = recording.of(QueryPlanned)
    (finished,) = recording.of(QueryFinished)
    assert planned.plan == finished.plan
    assert "by_customer" in finished.plan
    assert "ana" in finished.query
    assert (finished.store, finished.rows, finished.stopped) == (STORE, 3, "limit_reached")
    assert finished.keys >= 6, "an entry and a record each"
    assert finished.read > 0
    assert "ana" not in str(fields_of(finished))


def test_slow_queries_are_logged_with_their_plan_and_without_values(
    engine: Engine, clock: HurriedClock, database_over: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(LogSlow):
        """Time passes while it looks at reads."""

        def wants(self, kind: type[Event]) -> bool:
            return super().wants(kind) or kind is RangeRead

        def observe(self, event: Event) -> None:
            if isinstance(event, RangeRead):
                clock.advance(0.2)
            super().observe(event)

    db = database_over(engine, world=clock.world(), observer=Slow(timedelta(milliseconds=150)))
    with caplog.at_level(logging.WARNING, logger="recordlayer"), db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        store.query(rl.query("Order").where(rl.q.customer == "secret")).all()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "recordlayer.query"]
    assert line.startswith("slow: query finished: ")
    assert "by_customer" in line
    assert "customer = ?" in line
    assert "secret" not in caplog.text


def test_a_conflict_and_the_next_attempt_are_told_in_order(
    observed: Callable[..., tuple[Any, Recording]], engine: Engine, clock: HurriedClock
) -> None:
    db, recording = observed(TransactionBegan, CommitFinished, ConflictMet, TransactionEnded, Retried)
    rival = rl.Database(engine, world=clock.world())
    calls = []

    def work(tx: Any) -> None:
        store = tx.store(SHOP, path=PATH)
        store.load(1)
        calls.append(1)
        if len(calls) == 1:
            with rival.transaction() as other:
                other.store(SHOP, path=PATH).save(Order(id=1))
        store.save(Order(id=2))

    db.run(work)
    assert recording.names() == [
        "TransactionBegan", "CommitFinished", "ConflictMet", "TransactionEnded", "Retried",
        "TransactionBegan", "CommitFinished", "TransactionEnded",
    ]  # fmt: skip
    first, second = recording.of(TransactionEnded)
    assert (first.outcome, first.error, second.outcome) == (Outcome.FAILED, "conflict", Outcome.COMMITTED)


@pytest.mark.parametrize(
    ("faults", "outcome", "error"),
    [
        ((errors.TransactionTooLarge,), Outcome.FAILED, "transaction_too_large"),
        ((Fault.APPLIED,), Outcome.UNKNOWN, "maybe_committed"),
    ],
)
def test_how_an_attempt_ended_is_told(
    observed: Callable[..., tuple[Any, Recording]], faults: tuple[Any, ...], outcome: Outcome, error: str
) -> None:
    db, recording = observed(TransactionEnded, faults=faults)
    with pytest.raises(errors.TransactionError):
        db.run(lambda tx: tx.store(SHOP, path=PATH).save(Order(id=1)))
    (ended,) = recording.of(TransactionEnded)
    assert (ended.outcome, ended.error) == (outcome, error)


def test_an_error_of_the_work_itself_is_told_by_its_name(observed: Callable[..., tuple[Any, Recording]]) -> None:
    db, recording = observed(TransactionEnded)

    def fail(tx: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        db.run(fail)
    with pytest.raises(ZeroDivisionError), db.transaction():
        raise ZeroDivisionError
    with db.transaction() as tx:
        tx.cancel()
    assert [(event.outcome, event.error) for event in recording.of(TransactionEnded)] == [
        (Outcome.FAILED, "ZeroDivisionError"),
        (Outcome.FAILED, "ZeroDivisionError"),
        (Outcome.LEFT, ""),
    ]


def test_an_observer_that_raises_changes_nothing(engine: Engine, clock: HurriedClock, database_over: Any) -> None:
    class Broken(Recording):
        def observe(self, event: Event) -> None:
            raise ZeroDivisionError

    logging.getLogger("recordlayer.observe").disabled = True
    try:
        db = database_over(engine, world=clock.world(), observer=Broken())
        db.run(lambda tx: tx.store(SHOP, path=PATH).save(Order(id=1)))
        with db.transaction() as tx:
            assert tx.store(SHOP, path=PATH).load(1) == Order(id=1)
    finally:
        logging.getLogger("recordlayer.observe").disabled = False


def test_prometheus_counts_what_stores_do(engine: Engine, clock: HurriedClock, database_over: Any) -> None:
    registry = CollectorRegistry()
    db = database_over(engine, world=clock.world(), observer=Prometheus(registry=registry))
    for number in range(3):
        db.run(lambda tx, number=number: tx.store(SHOP, path=PATH).save(Order(id=number, customer="ana")))
    value = registry.get_sample_value
    assert value("recordlayer_attempts_total", {"outcome": "committed"}) == 3
    assert value("recordlayer_writes_total", {"part": "index", "index": "by_customer"}) == 3
    assert value("recordlayer_writes_total", {"part": "records", "index": ""}) == 3
    assert value("recordlayer_stores_opened_total", {"cached": "false"}) == 3


class Traced:
    def __init__(self, clock: HurriedClock) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.observer = OpenTelemetry(provider=provider, clock=clock)


def test_spans_nest_and_the_engine_is_handed_the_span_of_each_attempt(
    engine: Engine, clock: HurriedClock, database_over: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents: list[bytes] = []
    plain = EmbeddedTransaction.set_option

    def noted(self: EmbeddedTransaction, option: Any, value: Any = None) -> None:
        if option == TransactionOption.SPAN_PARENT:
            parents.append(value)
        plain(self, option, value)

    monkeypatch.setattr(EmbeddedTransaction, "set_option", noted)
    traced = Traced(clock)
    db = database_over(Faulty(engine, [errors.Conflict]), world=clock.world(), observer=traced.observer)
    db.run(
        lambda tx: (
            tx.store(SHOP, path=PATH).query(rl.query("Order")).all() or tx.store(SHOP, path=PATH).save(Order(id=1))
        ),
        options=TransactionOptions(name="checkout"),
    )
    spans = traced.exporter.get_finished_spans()
    attempts = [span for span in spans if span.name == "transaction checkout"]
    assert [span.attributes["recordlayer.attempt"] for span in attempts if span.attributes] == [1, 2]
    ids = {span.get_span_context().span_id for span in attempts}
    inner = [span for span in spans if span not in attempts]
    assert {span.name for span in inner} == {"open store", "plan query", "query", "commit"}
    assert all(span.parent is not None and span.parent.span_id in ids for span in inner)
    assert len(parents) == 2
    for parent, span in zip(parents, attempts, strict=True):
        context = span.get_span_context()
        trace = context.trace_id.to_bytes(16, "big")
        assert len(parent) == 33
        assert parent[8:16] == trace[:8][::-1]
        assert parent[16:24] == trace[8:][::-1]
        assert parent[24:32] == context.span_id.to_bytes(8, "little")
        assert parent[32] == 1


@pytest.mark.fdb
def test_a_cluster_takes_the_options_and_the_span(cluster_url: str, open_database: Any) -> None:
    traced = Traced(HurriedClock())
    traced.observer = OpenTelemetry(provider=TracerProvider())
    recording = Recording(TransactionEnded)
    options = TransactionOptions(
        name="checkout",
        tags=("web",),
        auto_throttle=True,
        timeout=timedelta(seconds=20),
        size_limit=1_000_000,
        staleness=timedelta(seconds=1),
        causal_read_risky=True,
        causal_write_risky=True,
        report_conflicts=True,
        trace_server=True,
        identifier="checkout-1",
    )
    world = World()
    path = (world.random.randbytes(8), "observed")
    with open_database(cluster_url, observer=Observers(traced.observer, recording)) as db:
        for _ in range(2):
            db.run(lambda tx: tx.store(SHOP, path=path).save(Order(id=1)), options=options)
        with db.transaction() as tx:
            begin = rl.Subspace(path).key()
            tx.context.clear_range(begin, begin + b"\xff")
    assert [event.outcome for event in recording.of(TransactionEnded)] == [Outcome.COMMITTED] * 3
