"""A third driver: core coroutines side by side, their operations finished in a drawn order, with faults.

    shuffle = Shuffle(random.Random(seed))                   # or Hypothesis: st.randoms(use_true_random=False)
    engine = shuffle.engine(open_engine("memory:", world=shuffle.world))
    shuffle.run(move(engine, "ana", "bo"), move(engine, "bo", "ana"))

What the operations of the engine give is held back. The driver draws what happens next: one of the operations held
back is finished, or one of the coroutines that can go on takes a step. Time stands still until nothing else can
happen, and then moves to the next timer. The same numbers give the same run, as long as the engine keeps to the
world it was opened with and finishes its operations in the thread that waits for them.

Faults are errors that a cluster may answer with at any time. A commit that fails may not have been tried, and one
whose outcome is unknown may have happened. Ranges come in smaller chunks than asked for, except where
a row limit in the mode EXACT says how many there will be.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, cast

from recordlayer.errors import (
    BatchThrottled,
    Conflict,
    FutureVersion,
    MaybeCommitted,
    ProcessBehind,
    TooOld,
    TransactionError,
)
from recordlayer.kv.engine import Chunk, Engine, StreamingMode, Transaction, each_range
from recordlayer.testing.clock import ManualClock
from recordlayer.waiting.overlap import Group
from recordlayer.waiting.several import Several
from recordlayer.waiting.waitable import Waitable, Wake, ring

T = TypeVar("T")

_READ_FAULTS = (TooOld, FutureVersion, ProcessBehind)
_STUCK_SECONDS = 20.0

FAULTS: Mapping[str, tuple[type[TransactionError], ...]] = MappingProxyType(
    {
        "get": _READ_FAULTS,
        "get_key": _READ_FAULTS,
        "get_range": _READ_FAULTS,
        "read_version": (BatchThrottled, ProcessBehind),
        "commit": (Conflict, TooOld, MaybeCommitted, BatchThrottled),
    }
)
"""What each operation may fail with."""

_STARTS_LATE = frozenset({"commit", "read_version"})
"""Operations whose moment matters to others: half of them begin only when they are finished."""

_WAITS_FOR_OTHERS = frozenset({"on_error", "versionstamp", "watch"})
"""Operations that end when something else has happened, so that nobody may wait for them in place."""


class Stuck(AssertionError):
    """Every coroutine waits, and nothing is under way that could wake one."""


class Held(Waitable[T]):
    """An operation whose outcome is held back until the driver draws it."""

    __slots__ = ("_error", "_released", "_source", "_start", "_wakes", "name", "shuffle")

    def __init__(
        self, shuffle: Shuffle, name: str, start: Callable[[], Waitable[T]], error: BaseException | None
    ) -> None:
        self.shuffle = shuffle
        self.name = name
        self._start = start
        self._source: Waitable[T] | None = None
        self._error = error
        self._released = False
        self._wakes: list[Wake] = []

    def begin(self) -> Waitable[T]:
        if self._source is None:
            self._source = self._start()
        return self._source

    def can_finish(self) -> bool:
        return self.name not in _WAITS_FOR_OTHERS or self.begin().ready()

    def finish(self) -> None:
        """Wait for the outcome, and let it out."""
        if self._error is None:
            self.begin().block()
        elif isinstance(self._error, MaybeCommitted) and self.shuffle.draw(2):
            self.begin().block()  # it happened, if nothing stood against it, but nobody is told
        self._released = True
        ring(self._wakes)

    def ready(self) -> bool:
        return self._released

    def block(self) -> None:
        raise Stuck(f"{self.name} finishes under Shuffle.run only; another driver waits for it")

    def on_ready(self, wake: Wake) -> None:
        self._wakes.append(wake)
        if self._released:
            ring(self._wakes)

    def cancel(self) -> None:
        if not self._released:
            self.shuffle.forget(self)
            if self._source is not None:
                self._source.cancel()

    def __await__(self) -> Generator[Any, None, T]:
        while not self._released:
            yield self
        if self._error is not None:
            raise self._error
        return (yield from self.begin().__await__())


class Shuffle:
    """The driver.

    random        draws everything
    faults        the share of operations that fail, from 0 to 1
    kinds         what each operation may fail with
    small_chunks  let range reads end early, as they may: not in the mode EXACT, which promises its rows in one chunk

    `trace` has what was drawn, one word for each: the operations finished, `step` for a coroutine, `time` for a timer.
    """

    def __init__(
        self,
        random: random.Random,
        *,
        faults: float = 0.0,
        kinds: Mapping[str, tuple[type[TransactionError], ...]] = FAULTS,
        small_chunks: bool = True,
    ) -> None:
        self.random = random
        self.faults = faults
        self.kinds = kinds
        self.small_chunks = small_chunks
        self.clock = ManualClock()
        self.world = self.clock.world(random.randrange(1 << 32))
        self.trace: list[str] = []
        self._held: list[Held[Any]] = []

    # -- drawing

    def draw(self, count: int) -> int:
        """A number from 0 to count - 1. No number is drawn where there is no choice."""
        return self.random.randrange(count) if count > 1 else 0

    def hold(self, name: str, start: Callable[[], Waitable[T]]) -> Held[T]:
        """The operation that `start` begins, held back. Faults and moments are chosen by its name."""
        error: BaseException | None = None
        kinds = self.kinds.get(name, ())
        if kinds and self.faults and self.random.random() < self.faults:
            error = kinds[self.draw(len(kinds))]()
        held = Held(self, name, start, error)
        if error is None and not (name in _STARTS_LATE and self.draw(2)):
            held.begin()
        self._held.append(held)
        return held

    def forget(self, held: Held[Any]) -> None:
        if held in self._held:
            self._held.remove(held)

    def engine(self, engine: Engine) -> Engine:
        """`engine` with the operations of its transactions held back."""
        return cast("Engine", _ShuffledEngine(self, engine))

    # -- driving

    def run(self, *bodies: Awaitable[T]) -> list[T]:
        """The results, in the order of the arguments. The first error closes the other coroutines and is raised.

        Raises  Stuck when nothing can happen any more.
        """
        group = Group()
        try:
            members = [group.enrol(body) for body in bodies]
            left = list(members)
            while left:
                member = left.pop(self.draw(len(left)))
                group.start(member).check()
            while any(not member.done for member in members):
                self._happen(group)
            return [member.outcome() for member in members]
        except BaseException as error:
            group.abandon(error)
            raise

    def drive(self, body: Coroutine[Any, None, T]) -> T:
        """The result of one coroutine; has the shape of the other drivers."""
        return self.run(body)[0]

    def _happen(self, group: Group) -> None:
        """One thing happens."""
        finishing = [held for held in self._held if held.can_finish()]
        choices = group.due + len(finishing)
        if not choices:
            self._pass_time(group)
            return
        choice = self.draw(choices)
        if choice < group.due:
            self.trace.append("step")
            group.step_one(choice).check()
        else:
            held = finishing[choice - group.due]
            self._held.remove(held)
            self.trace.append(held.name)
            held.finish()

    def finish_one(self) -> bool:
        """Finish one of the operations held back, if one can be: for drivers of other kinds."""
        finishing = [held for held in self._held if held.can_finish()]
        if not finishing:
            return False
        held = finishing[self.draw(len(finishing))]
        self._held.remove(held)
        self.trace.append(held.name)
        held.finish()
        return True

    def _pass_time(self, group: Group) -> None:
        if self.clock.advance_to_next():
            self.trace.append("time")
            return
        # Only another thread can help: one of the engine's, or one of the test's.
        woken = threading.Event()
        group.on_ready(woken.set)
        for held in self._held:
            held.begin().on_ready(woken.set)
        if not woken.wait(_STUCK_SECONDS):
            held_back = ", ".join(held.name for held in self._held) or "nothing"
            raise Stuck(f"every coroutine waits; held back: {held_back}; so far: {' '.join(self.trace[-20:])}")


class _ShuffledEngine:
    def __init__(self, shuffle: Shuffle, engine: Engine) -> None:
        self._shuffle = shuffle
        self._engine = engine

    def begin(self) -> Transaction:
        return cast("Transaction", _ShuffledTransaction(self._shuffle, self._engine.begin()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


_HELD_BACK = _WAITS_FOR_OTHERS | {
    "commit",
    "conflicting_ranges",
    "estimated_range_size",
    "get",
    "get_key",
    "get_range",
    "range_split_points",
    "read_version",
}


def _may_end_early(options: Mapping[str, Any]) -> bool:
    """Whether a chunk of a range may hold less than there is, up to the limit of rows. In the mode EXACT it may not, as
    long as nobody bounds its bytes: FoundationDB's client goes on from server to server until it has the rows."""
    return options.get("mode") is not StreamingMode.EXACT or bool(options.get("target_bytes"))


class _ShuffledTransaction:
    def __init__(self, shuffle: Shuffle, transaction: Transaction) -> None:
        self._shuffle = shuffle
        self._transaction = transaction

    def get_many(self, keys: Sequence[bytes], *, snapshot: bool = False) -> Several[bytes | None]:
        return Several([self.get(key, snapshot=snapshot) for key in keys])

    def get_ranges(self, ranges: Sequence[tuple[bytes, bytes]], **how: Any) -> Several[Chunk]:
        return each_range(self.get_range, ranges, **{"mode": StreamingMode.WANT_ALL, **how})

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._transaction, name)
        if name not in _HELD_BACK:
            return verb

        def held(*arguments: Any, **options: Any) -> Held[Any]:
            shuffle = self._shuffle
            if name == "get_range" and shuffle.small_chunks and _may_end_early(options) and shuffle.draw(2):
                options["target_bytes"] = min(1 << shuffle.draw(9), options.get("target_bytes") or 1 << 9)
            return shuffle.hold(name, lambda: verb(*arguments, **options))

        return held
