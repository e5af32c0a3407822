"""What every part of the suite stands on: an open engine, a key prefix of its own, and short words for what tests do.

A test keeps to keys under its own random prefix and clears them when it ends, so the suite can run on a cluster that
others use. The few that touch a database-wide key or option put it back.
"""

from __future__ import annotations

import asyncio
import functools
import random
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from recordlayer.errors import TransactionError, transaction_error
from recordlayer.kv.engine import Engine, KeySelector, KeyValue, StreamingMode, Transaction
from recordlayer.kv.registry import open_engine
from recordlayer.testing.clock import ManualClock
from recordlayer.waiting.drivers import run_asyncio, run_blocking
from recordlayer.waiting.waitable import Waitable
from recordlayer.world import World

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

CAPABILITIES: Mapping[str, str] = MappingProxyType(
    {
        "world": "clock and random numbers are those of the world that the engine is opened with",
    }
)


def needs(*capabilities: str) -> Callable[[F], F]:
    """Marks a test that an engine may declare itself unable to pass, by naming the capability in `lacks`."""
    unknown = set(capabilities) - set(CAPABILITIES)
    assert not unknown, f"no such capability: {unknown}"

    def mark(test: F) -> F:
        test.needs = capabilities  # type: ignore[attr-defined]
        return test

    return mark


class Largest(random.Random):
    """Chance without surprise: always just below one."""

    def random(self) -> float:
        return 1.0 - 2**-53


def run_in_loop(core: Coroutine[Any, None, T]) -> T:
    """The result of `core` under the asyncio driver, in a loop of its own."""
    return asyncio.run(run_asyncio(core))


both_drivers = pytest.mark.parametrize("drive", [run_blocking, run_in_loop], ids=["blocking", "asyncio"])
"""Runs a test once under each driver; it takes `drive`."""


def examples(count: int) -> settings:
    """How many random examples a test runs. Each example works on the keys of its one test, and the same test runs in
    the class of every engine: both are meant, so Hypothesis need not warn of them."""
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
    )


def each(argument: str, cases: Mapping[str, object]) -> Callable[[F], F]:
    """Parametrizes a test over named cases."""
    return pytest.mark.parametrize(argument, list(cases.values()), ids=list(cases))


async def _outcome(waitable: Waitable[T]) -> T:
    return await waitable


class Harness:
    """See `EngineSuite` for what a subclass may set."""

    url: ClassVar[str]
    options: ClassVar[Mapping[str, object]] = MappingProxyType({})
    lacks: ClassVar[Mapping[str, str]] = MappingProxyType({})

    engine: Engine
    prefix: bytes

    # -- fixtures

    @pytest.fixture(scope="class")
    @classmethod
    def opened_engine(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
        """The engine under test, shared by the tests of the class. Override it to open it in another way."""
        engine = cls.open(tmp_path_factory)
        yield engine
        engine.close()

    @classmethod
    def open(cls, tmp_path_factory: pytest.TempPathFactory, *, world: World | None = None) -> Engine:
        """An engine at `url`; `{tmp}` in it stands for a new directory."""
        url = cls.url
        if "{tmp}" in url:
            url = url.replace("{tmp}", str(tmp_path_factory.mktemp("engine")))
        return open_engine(url, world=world, **cls.options)

    @pytest.fixture
    def another_engine(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
        """A second engine at the same URL, for options that cannot be taken back."""
        engine = self.open(tmp_path_factory)
        yield engine
        engine.close()

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def clocked_engine(self, tmp_path_factory: pytest.TempPathFactory, clock: ManualClock) -> Iterator[Engine]:
        """An engine whose time is `clock`, and whose random numbers are always the largest."""
        engine = self.open(tmp_path_factory, world=World(clock=clock, random=Largest()))
        yield engine
        engine.close()

    @pytest.fixture(autouse=True)
    def own_keys(self, opened_engine: Engine, request: pytest.FixtureRequest) -> Iterator[None]:
        unknown = set(self.lacks) - set(CAPABILITIES)
        assert not unknown, f"lacks names unknown capabilities: {unknown}"
        for capability in getattr(request.function, "needs", ()):
            if capability in self.lacks:
                request.applymarker(pytest.mark.xfail(reason=self.lacks[capability], strict=True))
        self.engine = opened_engine
        self.prefix = b"engine-suite/" + secrets.token_hex(5).encode() + b"/"
        self._begun: list[Transaction] = []
        yield
        for transaction in self._begun:
            transaction.close()
        self._begun.clear()
        cleaning = self.engine.begin()
        cleaning.clear_range(self.prefix, self.behind)
        self.do(cleaning.commit())
        cleaning.close()

    # -- keys

    def key(self, name: bytes | int = b"") -> bytes:
        """A key of this test. Numbers become keys that sort as they do."""
        return self.prefix + (name if isinstance(name, bytes) else b"%06d" % name)

    @property
    def behind(self) -> bytes:
        """The first key behind those of this test."""
        return self.prefix[:-1] + bytes([self.prefix[-1] + 1])

    # -- transactions

    def begin(self) -> Transaction:
        """A transaction that is closed when the test ends."""
        transaction = self.engine.begin()
        self._begun.append(transaction)
        return transaction

    def begun(self) -> Transaction:
        """A transaction whose read version is fixed already."""
        transaction = self.begin()
        self.do(transaction.read_version())
        return transaction

    def commit(self, work: Callable[[Transaction], object]) -> Transaction:
        """The transaction that did `work` and committed it."""
        transaction = self.begin()
        work(transaction)
        self.do(transaction.commit())
        return transaction

    def put(self, pairs: Mapping[bytes, bytes] | None = None, /, **named: bytes) -> None:
        """Commit these pairs; keys without the prefix."""
        wanted = {**(pairs or {}), **{name.encode(): value for name, value in named.items()}}

        def work(transaction: Transaction) -> None:
            for key, value in wanted.items():
                transaction.set(self.key(key), value)

        self.commit(work)

    def put_numbered(self, numbers: range, value: Callable[[int], bytes] = lambda number: b"v%d" % number) -> None:
        self.put({b"%06d" % number: value(number) for number in numbers})

    def stored(self) -> dict[bytes, bytes]:
        """All committed pairs of this test; keys without the prefix."""
        return dict(self.rows(self.begin()))

    def value(self, name: bytes | int) -> bytes | None:
        """The committed value of a key."""
        return self.do(self.begin().get(self.key(name)))

    # -- waiting

    def do(self, waitable: Waitable[T]) -> T:
        return run_blocking(_outcome(waitable))

    def settles(self, waitable: Waitable[Any], *, within: float = 20.0) -> bool:
        """Whether the waitable becomes ready in `within` seconds."""
        ready = threading.Event()
        waitable.on_ready(ready.set)
        return ready.wait(within)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def eventually(self, holds: Callable[[], bool], *, within: float = 20.0) -> bool:
        """Whether `holds` becomes true in `within` seconds."""
        end = time.monotonic() + within
        while not holds():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    # -- errors

    def refused(self, number: int, waitable: Waitable[object]) -> TransactionError:
        """The error of a waitable, which must be FoundationDB's `number` in the class of our tree for it."""
        with self.refusing(number) as caught:
            self.do(waitable)
        return caught.value

    @staticmethod
    def conflict_error() -> TransactionError:
        """An error that is tried again."""
        return transaction_error(1020)

    def fails_with(self, number: int, waitable: Waitable[object]) -> bool:
        """Whether the waitable fails with FoundationDB's `number`; False when it gives a result."""
        try:
            self.do(waitable)
        except TransactionError as error:
            if error.number != number:
                raise
            return True
        return False

    @contextmanager
    def refusing(self, number: int) -> Iterator[pytest.ExceptionInfo[TransactionError]]:
        """A block that must raise FoundationDB's `number` in the class of our tree for it."""
        with pytest.raises(TransactionError) as caught:
            yield caught
        assert caught.value.number == number
        assert type(caught.value) is type(transaction_error(number))

    # -- ranges

    def rows(
        self,
        transaction: Transaction,
        begin: bytes | KeySelector | None = None,
        end: bytes | KeySelector | None = None,
        *,
        limit: int = 0,
        reverse: bool = False,
        snapshot: bool = False,
        target_bytes: int = 0,
        mode: StreamingMode = StreamingMode.ITERATOR,
    ) -> list[KeyValue]:
        """All pairs of a range, chunk after chunk; the whole prefix by default; keys without the prefix."""
        low: bytes | KeySelector = self.prefix if begin is None else begin
        high: bytes | KeySelector = self.behind if end is None else end
        found: list[KeyValue] = []
        iteration = 1
        while True:
            chunk = self.do(
                transaction.get_range(
                    low,
                    high,
                    limit=limit - len(found) if limit else 0,
                    target_bytes=target_bytes,
                    reverse=reverse,
                    snapshot=snapshot,
                    mode=mode,
                    iteration=iteration,
                )
            )
            found += chunk.rows
            if not chunk.more or not chunk.rows or (limit and len(found) >= limit):
                break
            last = chunk.rows[-1][0]
            if reverse:
                high = last
            else:
                low = KeySelector.first_greater_than(last)
            iteration += 1
        return [(key.removeprefix(self.prefix), value) for key, value in found]

    def names(self, transaction: Transaction, *args: Any, **kwargs: Any) -> list[bytes]:
        """The keys of `rows`."""
        return [key for key, _ in self.rows(transaction, *args, **kwargs)]

    # -- conflicts

    def conflict(self, read: Callable[[Transaction], object], write: Callable[[Transaction], object]) -> bool:
        """Whether a transaction that did `read` fails because another did `write` meanwhile."""
        reader = self.begun()
        read(reader)
        self.commit(write)
        reader.set(self.key(b"~" + secrets.token_hex(4).encode()), b"")
        return self.fails_with(1020, reader.commit())


def setting(key: bytes, value: bytes = b"x") -> Callable[[Transaction], None]:
    """A piece of work that sets one key."""

    def work(transaction: Transaction) -> None:
        transaction.set(key, value)

    return work


def together(*works: Callable[[Transaction], object]) -> Callable[[Transaction], None]:
    """Pieces of work done one after the other."""
    return functools.partial(_all_of, works)


def _all_of(works: tuple[Callable[[Transaction], object], ...], transaction: Transaction) -> None:
    for work in works:
        work(transaction)
