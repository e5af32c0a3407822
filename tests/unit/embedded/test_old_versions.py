"""Readers of old versions, against the whole history of the database."""

from __future__ import annotations

import random
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer.errors import FutureVersion, TooOld
from recordlayer.kv.embedded.engine import EmbeddedEngine
from recordlayer.kv.embedded.window import UndoWindow
from recordlayer.kv.engine import StreamingMode, Transaction
from recordlayer.kv.registry import open_engine
from recordlayer.testing.clock import ManualClock
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.waitable import Waitable
from tests.support.interleave import Interleaver

T = TypeVar("T")

KEYS = [b"", b"a", b"b", b"b\0", b"c", b"d" * 600, b"d" * 600 + b"x", b"e"]
END = b"\xf0"
State = dict[bytes, bytes]


def do(waitable: Waitable[T]) -> T:
    async def outcome() -> T:
        return await waitable

    return run_blocking(outcome())


def open_memory(clock: ManualClock, **options: Any) -> EmbeddedEngine:
    engine = open_engine("memory:", world=clock.world(), map_size=1 << 24, **options)
    assert isinstance(engine, EmbeddedEngine)
    return engine


class History:
    """Every version of the database there ever was."""

    def __init__(self) -> None:
        self.states: dict[int, State] = {0: {}}

    def at(self, version: int) -> State:
        return self.states[max(known for known in self.states if known <= version)]

    def answer(self, version: int, kind: str, *args: Any) -> Any:
        """What a reader of `version` is told."""
        state = self.at(version)
        if kind == "get":
            return state.get(args[0])
        begin, end, limit, reverse = args
        rows = sorted((key, value) for key, value in state.items() if begin <= key < end)
        return (rows[::-1] if reverse else rows)[:limit]


def ask(transaction: Transaction, kind: str, *args: Any) -> Any:
    if kind == "get":
        return do(transaction.get(args[0]))
    begin, end, limit, reverse = args
    return do(transaction.get_range(begin, end, limit=limit, reverse=reverse, mode=StreamingMode.WANT_ALL)).rows


class Numbered:
    """Commits drawn from random numbers, noted in the history."""

    def __init__(self, engine: EmbeddedEngine, history: History, numbers: random.Random) -> None:
        self.engine = engine
        self.history = history
        self.numbers = numbers
        self.state: State = {}
        self._count = 0

    def commit(self) -> None:
        numbers, state = self.numbers, dict(self.state)
        transaction = self.engine.begin()
        for _ in range(numbers.randint(1, 4)):
            self._count += 1
            key = numbers.choice(KEYS)
            match numbers.randint(0, 5):
                case 0:
                    transaction.clear(key)
                    state.pop(key, None)
                case 1:
                    end = numbers.choice([*KEYS, END])
                    if key < end:
                        transaction.clear_range(key, end)
                        state = {known: value for known, value in state.items() if not key <= known < end}
                case _:
                    value = b"%d" % self._count
                    transaction.set(key, value)
                    state[key] = value
        do(transaction.commit())
        version = transaction.committed_version()
        if version != -1:
            assert version > max(self.history.states)
            self.history.states[version] = state
        self.state = state


# -- in every order of calls

STEP = st.one_of(
    st.tuples(st.just("commit")),
    st.tuples(st.just("commit")),
    st.tuples(st.just("begin")),
    st.tuples(st.just("begin at"), st.integers(0, 5)),
    st.tuples(st.just("close"), st.integers(0, 9)),
    st.tuples(st.just("get"), st.integers(0, 9), st.sampled_from(KEYS)),
    st.tuples(
        st.just("range"),
        st.integers(0, 9),
        st.sampled_from(KEYS),
        st.sampled_from([*KEYS[1:], END]),
        st.sampled_from([1, 2, 100]),
        st.booleans(),
    ),
    st.tuples(st.just("wait"), st.sampled_from([0.0001, 0.5, 1.7, 4.9])),
)


@given(st.lists(STEP, max_size=50), st.integers(0, 1 << 30))
@settings(max_examples=150)
def test_every_reader_sees_its_version_until_it_is_too_old(steps: list[tuple], seed: int) -> None:
    clock, history = ManualClock(), History()
    engine = open_memory(clock)
    writer = Numbered(engine, history, random.Random(seed))
    readers: list[tuple[Any, int, float]] = []  # transaction, version, when it began

    def check(index: int, *question: Any) -> None:
        if not readers:
            return
        transaction, version, began = readers[index % len(readers)]
        if clock.monotonic() > began + 5.0:
            with pytest.raises(TooOld):
                ask(transaction, *question)
        else:
            assert ask(transaction, *question) == history.answer(version, *question)

    for kind, *args in steps:
        if kind == "commit":
            writer.commit()
        elif kind == "begin":
            transaction = engine.begin()
            version = do(transaction.read_version())
            assert history.at(version) == writer.state
            readers.append((transaction, version, clock.monotonic()))
        elif kind == "begin at":
            asked = sorted(history.states)[-1 - args[0] % len(history.states)]
            transaction = engine.begin()
            if asked == 0:
                continue
            transaction.set_read_version(asked)
            held = {version for _, version, began in readers if clock.monotonic() <= began + 5.0}
            if asked in held or asked == engine._file.published:
                readers.append((transaction, asked, clock.monotonic()))
                check(len(readers) - 1, "get", b"a")
            else:  # right if it can still be known, else too old; never wrong
                try:
                    assert do(transaction.get(b"a")) == history.at(asked).get(b"a")
                except TooOld:
                    pass
        elif kind == "close" and readers:
            readers.pop(args[0] % len(readers))[0].close()
        elif kind == "get":
            check(args[0], kind, args[1])
        elif kind == "range" and args[1] < args[2]:
            check(args[0], kind, *args[1:])
        elif kind == "wait":
            clock.advance(args[0])
    assert_accounts(engine._file.window)
    for transaction, _, _ in readers:
        transaction.close()
    clock.advance(1)
    writer.commit()
    writer.commit()
    assert not engine._file.window.has_entries, "nobody is left who needs old values"
    engine.close()


def assert_accounts(window: UndoWindow) -> None:
    """The window's size is the sum of what it holds."""
    assert window.size == window.recount()


def test_a_version_that_is_still_to_come_is_refused() -> None:
    clock = ManualClock()
    engine = open_memory(clock)
    transaction = engine.begin()
    transaction.set_read_version(10**12)
    with pytest.raises(FutureVersion):
        do(transaction.get(b"a"))
    engine.close()


# -- in every order of bytecodes


@given(st.integers(0, 1 << 30), st.sampled_from([0.005, 0.02, 0.1]))
@settings(max_examples=40)
def test_readers_see_their_version_whatever_a_commit_is_doing_meanwhile(seed: int, often: float) -> None:
    numbers = random.Random(seed)
    clock, history = ManualClock(), History()
    engine = open_memory(clock)
    interleaver = Interleaver(
        numbers,
        modules=("view", "window", "readers", "database", "commit", "apply", "read_point"),
        often=often,
    )
    file = engine._file
    file.lock = file.window._lock = interleaver.lock()  # type: ignore[assignment]
    writer = Numbered(engine, history, random.Random(seed + 1))
    seen: list[tuple[int, tuple[Any, ...], Any]] = []

    def write() -> None:
        for _ in range(12):
            writer.commit()
            if numbers.random() < 0.2:
                clock.advance(0.3)

    def read() -> None:
        for _ in range(8):
            transaction = engine.begin()
            version = do(transaction.read_version())
            for _ in range(4):
                begin, end = sorted([numbers.choice(KEYS), numbers.choice([*KEYS, END])])
                questions = [("get", numbers.choice(KEYS))]
                if begin < end:
                    questions.append(("range", begin, end, numbers.choice([1, 2, 100]), numbers.random() < 0.5))
                seen.extend((version, question, ask(transaction, *question)) for question in questions)
            transaction.close()

    interleaver.run(write, read, read)
    assert interleaver.switches > 0
    for version, question, answer in seen:
        assert answer == history.answer(version, *question)
    engine.close()
