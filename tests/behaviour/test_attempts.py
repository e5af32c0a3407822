"""What may be said about transactions and attempts: retries, hooks, options, read versions, leaks."""

from __future__ import annotations

import gc
import itertools
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors
from recordlayer.kv.engine import Engine, OptionValue, TransactionOption
from recordlayer.kv.registry import open_engine
from recordlayer.observe.events import ReadVersionTaken, TransactionBegan, TransactionLeaked
from recordlayer.options import Priority, TransactionOptions
from recordlayer.testing.faults import Faulty
from tests.behaviour.conftest import Shop
from tests.support.hurried import HurriedClock
from tests.support.recording import Recording
from tests.support.shop import PATH, SHOP, Order

T = TransactionOption


class Remote:
    """An engine in whose transactions options and read versions are written down, and that says to be far away."""

    local = False

    def __init__(self, engine: Engine) -> None:
        self._inner = engine
        self.url = engine.url
        self.options: list[tuple[TransactionOption, OptionValue]] = []
        self.asked = 0

    def begin(self) -> Any:
        return _RemoteTransaction(self._inner.begin(), self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _RemoteTransaction:
    def __init__(self, transaction: Any, engine: Remote) -> None:
        self._inner = transaction
        self._engine = engine

    def set_option(self, option: TransactionOption, value: OptionValue = None) -> None:
        self._engine.options.append((option, value))
        self._inner.set_option(option, value)

    def read_version(self) -> Any:
        self._engine.asked += 1
        return self._inner.read_version()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture
def clock() -> HurriedClock:
    return HurriedClock()


@pytest.fixture
def engine(clock: HurriedClock) -> Iterator[Engine]:
    engine = open_engine("memory:", world=clock.world(3))
    yield engine
    engine.close()


def save_one(tx: Any, **fields: Any) -> None:
    tx.store(SHOP, path=PATH).save(Order(id=1, **fields))


# -- which errors are tried again --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (errors.Conflict, 2),
        (errors.TooOld, 2),
        (errors.BatchThrottled, 2),
        (errors.ProcessBehind, 2),
        (errors.MaybeCommitted, 1),
        (errors.ClusterVersionChanged, 1),
        (errors.TimedOut, 1),
        (errors.TransactionTooLarge, 1),
        (errors.Cancelled, 1),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_passing_troubles_are_tried_again_and_unknown_outcomes_and_final_errors_are_not(
    engine: Engine, clock: HurriedClock, database_over: Any, error: type[errors.TransactionError], tries: int
) -> None:
    db = database_over(Faulty(engine, [error]), world=clock.world())
    calls = []

    def work(tx: Any) -> None:
        calls.append(1)
        save_one(tx)

    if tries == 1:
        with pytest.raises(error):
            db.run(work)
    else:
        db.run(work)
    assert len(calls) == tries


def test_who_wants_a_policy_of_their_own_has_a_runner_that_never_retries(
    engine: Engine, clock: HurriedClock, database_over: Any
) -> None:
    db = database_over(Faulty(engine, [errors.Conflict]), world=clock.world())
    with pytest.raises(errors.Conflict):
        db.run(save_one, retry=rl.Retry(attempts=1))


def test_back_off_grows_to_its_limit_and_is_jittered(engine: Engine, database_over: Any) -> None:
    def waited(seed: int, longest: timedelta) -> list[float]:
        clock = HurriedClock()
        world = clock.world(seed)
        inner = open_engine("memory:", world=world)
        db = database_over(Faulty(inner, [errors.Conflict] * 12), world=world)
        times: list[float] = []

        def work(tx: Any) -> None:
            times.append(clock.monotonic())
            save_one(tx)

        db.run(work, retry=rl.Retry(max_delay=longest))
        inner.close()
        return [later - earlier for earlier, later in itertools.pairwise(times)]

    many = [waited(seed, timedelta(milliseconds=200)) for seed in range(20)]
    assert max(max(one) for one in many) <= 0.2
    firsts, lasts = [one[0] for one in many], [one[-1] for one in many]
    assert max(firsts) <= 0.01
    assert max(lasts) > 0.1
    assert len(set(lasts)) > 15


def test_leaving_the_loop_closes_the_attempt() -> None:
    with rl.open("memory:") as db:
        attempts = db.attempts()
        tx = next(attempts).__enter__()
        tx.read_version()
        attempts.close()
        with pytest.raises(errors.Closed):
            tx.store(SHOP, path=PATH)


def test_errors_of_transactions_say_what_happened_and_what_to_do(
    engine: Engine, clock: HurriedClock, database_over: Any, golden_text: Callable[[str, str], None]
) -> None:
    db = database_over(engine, world=clock.world())
    unlucky = database_over(Faulty(engine, [errors.MaybeCommitted]), world=clock.world())
    db.run(lambda tx: tx.record_result(b"receipt 12"), idempotency_key="order-1")

    def too_late() -> None:
        with db.transaction() as tx:
            save_one(tx)
            clock.advance(6)
            tx.store(SHOP, path=PATH)

    def unkeyed() -> None:
        with db.transaction() as tx:
            tx.record_result(b"x")

    def outside() -> None:
        tx = db.transaction(idempotency_key="order-2")
        try:
            tx.commit()
        finally:
            tx.close()

    def closed() -> None:
        with db.transaction() as tx:
            tx.close()
            tx.read_version()

    situations: dict[str, Callable[[], object]] = {
        "the key was used before": lambda: db.run(save_one, idempotency_key="order-1"),
        "the key is empty": lambda: db.run(save_one, idempotency_key=""),
        "the key is a number": lambda: db.run(save_one, idempotency_key=7),
        "a result without a key": unkeyed,
        "a key outside of a with block": outside,
        "nobody knows": lambda: unlucky.run(save_one),
        "too large": lambda: db.run(
            lambda tx: save_one(tx, note="x" * 1_000), options=TransactionOptions(size_limit=1_000)
        ),
        "too late": too_late,
        "used after it was closed": closed,
        "time is up": lambda: db.run(
            lambda tx: (clock.advance(2), save_one(tx)), options=TransactionOptions(timeout=timedelta(seconds=1))
        ),
        "a timeout without a unit": lambda: TransactionOptions(timeout=5),  # type: ignore[arg-type]
        "too many tags": lambda: TransactionOptions(tags=tuple("abcdef")),
        "a log without a name": lambda: TransactionOptions(logged=True),
        "reaping without a unit": lambda: db.idempotency.reap(60),
    }
    texts = []
    for name, situation in situations.items():
        with pytest.raises(errors.RecordLayerError) as told:
            situation()
        lines = "\n".join(f"  {line}" for line in str(told.value).splitlines())
        texts.append(f"{name}: {told.value.code}\n{lines}\n")
    golden_text("transaction_errors", "\n".join(texts))


# -- hooks -------------------------------------------------------------------------------------------------


def test_hooks_run_in_their_places(shop: Shop) -> None:
    told = []
    with shop.db.transaction() as tx:
        save_one(tx)
        tx.before_commit(lambda: told.append("check"))
        tx.after_commit(lambda: told.append("first"))
        tx.after_commit(lambda: told.append("second"))
        tx.after_failure(lambda: told.append("failure"))
        told.append("work")
    assert told == ["work", "check", "first", "second"]


def test_a_check_that_raises_stops_the_commit(shop: Shop) -> None:
    told = []

    def refuse() -> None:
        raise ValueError("the books do not balance")

    def work(tx: Any) -> None:
        save_one(tx)
        tx.before_commit(refuse)
        tx.after_failure(lambda: told.append("failure"))

    with pytest.raises(ValueError, match="balance"):
        shop.db.run(work)
    assert told == ["failure"]
    assert shop.load(1) is None


def test_a_check_may_still_write_and_add_another(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)

        def second() -> None:
            store.save(Order(id=2))

        def first() -> None:
            store.save(Order(id=1))
            tx.before_commit(second)

        tx.before_commit(first)
    assert shop.load(1) is not None
    assert shop.load(2) is not None


def test_each_attempt_has_its_own_hooks(engine: Engine, clock: HurriedClock, database_over: Any) -> None:
    db = database_over(Faulty(engine, [errors.Conflict]), world=clock.world())
    told: list[tuple[str, int]] = []
    calls = []

    def work(tx: Any) -> None:
        calls.append(1)
        number = len(calls)
        tx.after_commit(lambda: told.append(("committed", number)))
        tx.after_failure(lambda: told.append(("failed", number)))
        save_one(tx)

    db.run(work)
    assert told == [("failed", 1), ("committed", 2)]


def test_an_error_after_the_commit_comes_out_and_nothing_is_run_again(shop: Shop) -> None:
    calls = []

    def fail() -> None:
        raise ValueError("the mail was not sent")

    def work(tx: Any) -> None:
        calls.append(1)
        save_one(tx)
        tx.after_commit(fail)

    with pytest.raises(ValueError, match="mail"):
        shop.db.run(work)
    assert len(calls) == 1
    assert shop.load(1) is not None


# -- options -----------------------------------------------------------------------------------------------


def test_options_reach_the_engine_at_every_attempt(engine: Engine, clock: HurriedClock, database_over: Any) -> None:
    remote = Remote(engine)
    db = database_over(Faulty(remote, [errors.Conflict]), world=clock.world())  # type: ignore[arg-type]
    options = TransactionOptions(
        priority=Priority.BATCH,
        tags=("web", "shop"),
        timeout=timedelta(seconds=30),
        size_limit=1_000_000,
        causal_read_risky=True,
        causal_write_risky=True,
        report_conflicts=True,
        trace_server=True,
        identifier="checkout",
        logged=True,
    )
    db.run(save_one, options=options)
    once: list[tuple[TransactionOption, OptionValue]] = [
        (T.DEBUG_TRANSACTION_IDENTIFIER, "checkout"),
        (T.LOG_TRANSACTION, None),
        (T.PRIORITY_BATCH, None),
        (T.TAG, "web"),
        (T.TAG, "shop"),
        (T.TIMEOUT, 30_000),
        (T.SIZE_LIMIT, 1_000_000),
        (T.CAUSAL_READ_RISKY, None),
        (T.CAUSAL_WRITE_RISKY, None),
        (T.REPORT_CONFLICTING_KEYS, None),
        (T.SERVER_REQUEST_TRACING, None),
    ]
    assert remote.options == once * 2


def test_nothing_is_set_when_nothing_is_said(engine: Engine, clock: HurriedClock, database_over: Any) -> None:
    remote = Remote(engine)
    db = database_over(remote, world=clock.world())
    db.run(save_one)
    with db.transaction():
        pass
    assert remote.options == []


def test_a_database_has_options_for_its_transactions(engine: Engine, clock: HurriedClock, database_over: Any) -> None:
    remote = Remote(engine)
    db = database_over(
        remote, world=clock.world(), transaction_options=TransactionOptions(tags=("web",), auto_throttle=True)
    )
    with db.transaction():
        pass
    with db.transaction(options=TransactionOptions(priority=Priority.IMMEDIATE)):
        pass
    assert remote.options == [(T.AUTO_THROTTLE_TAG, "web"), (T.PRIORITY_SYSTEM_IMMEDIATE, None)]


def test_a_timeout_ends_a_transaction_with_all_its_attempts(
    engine: Engine, clock: HurriedClock, database_over: Any
) -> None:
    db = database_over(Faulty(engine, [errors.Conflict] * 50), world=clock.world())
    began = clock.monotonic()
    with pytest.raises(errors.TimedOut):
        db.run(save_one, options=TransactionOptions(timeout=timedelta(seconds=2)), retry=rl.Retry(attempts=50))
    assert clock.monotonic() - began < 4


def test_the_size_so_far_and_its_limit_are_known(shop: Shop) -> None:
    with shop.db.transaction() as tx:
        before = tx.approximate_size()
        save_one(tx, note="x" * 1_000)
        assert tx.approximate_size() > before + 1_000
    with (
        pytest.raises(errors.TransactionTooLarge),
        shop.db.transaction(options=TransactionOptions(size_limit=1_000)) as tx,
    ):
        save_one(tx, note="x" * 1_000)


@pytest.mark.parametrize(
    "options",
    [
        {"priority": "batch"},
        {"tags": "web"},
        {"tags": ("",)},
        {"tags": ("x" * 17,)},
        {"tags": tuple("abcdef")},
        {"timeout": 5},
        {"timeout": timedelta(0)},
        {"staleness": 5},
        {"size_limit": 31},
        {"size_limit": 10_000_001},
        {"size_limit": True},
        {"read_version": 0},
        {"read_version": 5, "staleness": timedelta(seconds=1)},
        {"at_least": -1},
        {"identifier": "x" * 101},
        {"logged": True},
    ],
    ids=str,
)
def test_options_are_checked_when_they_are_made_and_named(options: dict[str, Any]) -> None:
    with pytest.raises(errors.UsageError) as told:
        TransactionOptions(**options)
    assert next(iter(options)) in str(told.value)


# -- read versions -----------------------------------------------------------------------------------------


def test_a_transaction_can_read_the_database_as_it_was(shop: Shop) -> None:
    shop.save(Order(id=1, total=1))
    with shop.db.transaction() as then:
        version = then.read_version()
        shop.save(Order(id=1, total=2))
        with shop.db.transaction(options=TransactionOptions(read_version=version)) as tx:
            assert tx.read_version() == version
            assert tx.store(SHOP, path=PATH).load(1).total == 1


def test_a_version_learned_a_moment_ago_spares_the_question(
    engine: Engine, clock: HurriedClock, database_over: Any
) -> None:
    remote = Remote(engine)
    db = database_over(remote, world=clock.world())
    stale = TransactionOptions(staleness=timedelta(seconds=2))
    db.run(lambda tx: save_one(tx, total=1))
    remote.asked = 0
    with db.transaction(options=stale) as tx:
        assert tx.store(SHOP, path=PATH).load(1).total == 1, "what this process committed it sees"
    before = remote.asked
    clock.advance(3)
    with db.transaction(options=stale) as tx:
        tx.store(SHOP, path=PATH).load(1)
    assert remote.asked > before, "too stale: asked anew, and remembered"
    before = remote.asked
    clock.advance(1)
    with rl.Database(engine, world=clock.world()).transaction() as other:
        save_one(other, total=2)
    with db.transaction(options=TransactionOptions(staleness=timedelta(seconds=2), at_least=1 << 60)) as tx:
        assert tx.store(SHOP, path=PATH).load(1).total == 2, "not old enough a version is known"


def test_a_version_that_was_remembered_does_not_grow_younger_by_use(
    engine: Engine, clock: HurriedClock, database_over: Any
) -> None:
    recording = Recording(ReadVersionTaken)
    db = database_over(Remote(engine), world=clock.world(), observer=recording)
    stale = TransactionOptions(staleness=timedelta(seconds=2))
    db.run(save_one)
    for _ in range(4):
        clock.advance(0.9)
        with db.transaction(options=stale) as tx:
            tx.read_version()
    cached = [event.cached for event in recording.of(ReadVersionTaken)]
    assert cached[:2] == [True, False]
    assert cached.count(True) == 3, "after 0.9 s and 1.8 s, not after 2.7 s; then the fresh one after 0.9 s"


def test_the_embedded_engine_always_gives_the_newest_version(shop: Shop) -> None:
    stale = TransactionOptions(staleness=timedelta(hours=1))
    shop.save(Order(id=1, total=1))
    with shop.db.transaction(options=stale) as tx:
        tx.read_version()
    shop.save(Order(id=1, total=2))
    with shop.db.transaction(options=stale) as tx:
        assert tx.store(SHOP, path=PATH).load(1).total == 2


def test_after_a_conflict_at_a_remembered_version_a_fresh_one_is_read(
    engine: Engine, clock: HurriedClock, database_over: Any
) -> None:
    db = database_over(Remote(engine), world=clock.world())
    elsewhere = rl.Database(engine, world=clock.world())
    stale = TransactionOptions(staleness=timedelta(seconds=5))
    seen = []

    def raise_total(tx: Any) -> None:
        store = tx.store(SHOP, path=PATH)
        order = store.load(1)
        seen.append(order.total)
        order.total += 1
        store.save(order)

    db.run(lambda tx: save_one(tx, total=1))
    with elsewhere.transaction() as held, elsewhere.transaction() as other:
        held.read_version()  # keeps the version readable that is remembered
        save_one(other, total=10)
        other.commit()
        db.run(raise_total, options=stale)
    assert seen == [1, 10]


# -- leaks -------------------------------------------------------------------------------------------------


def test_a_transaction_that_is_dropped_open_is_told_with_the_place_where_it_was_opened(
    engine: Engine, clock: HurriedClock
) -> None:
    recording = Recording(TransactionLeaked)
    db = rl.Database(engine, world=clock.world(), observer=recording)

    def forgetful() -> None:
        tx = db.transaction(options=TransactionOptions(name="forgotten"))
        tx.store(SHOP, path=PATH)
        clock.advance(3)
        del tx
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"opened at .*test_attempts\.py:\d+ in .*forgetful was dropped"):
        forgetful()
    with db.transaction():
        pass
    (leak,) = recording.of(TransactionLeaked)
    assert leak.origin is not None
    assert leak.origin.work == "forgotten"
    assert leak.age == timedelta(seconds=3)
    assert "forgetful" in leak.opened


def test_transactions_that_are_closed_in_any_way_are_no_leaks(shop: Shop) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with shop.db.transaction() as tx:
            save_one(tx)
        with pytest.raises(ZeroDivisionError), shop.db.transaction():
            raise ZeroDivisionError
        tx = shop.db.transaction()
        tx.close()
        tx.close()
        shop.db.run(save_one)
        del tx
        gc.collect()


def test_closing_the_database_tells_who_is_still_open(open_database: Any) -> None:
    db = open_database("memory:")
    tx = db.transaction()
    with pytest.warns(ResourceWarning, match="still open when its database was closed"):
        db.close()
    with pytest.raises(errors.Closed):
        tx.store(SHOP, path=PATH)
    tx.close()


def test_a_transaction_that_is_open_for_long_is_told_once_when_another_begins(
    engine: Engine, clock: HurriedClock, database_over: Any
) -> None:
    recording = Recording(TransactionLeaked, TransactionBegan)
    db = database_over(engine, world=clock.world(), observer=recording)
    with db.transaction():
        clock.advance(59)
        with db.transaction():
            pass
        clock.advance(2)
        with pytest.warns(ResourceWarning, match="has been open for 61 seconds"), db.transaction():
            pass
        with db.transaction():
            pass
    assert len(recording.of(TransactionLeaked)) == 1
