"""Recording what transactions did and saw, and judging whether one order explains it.

The order is the one the engine gives: versionstamps. Three things are asked of a history:

    every read of a transaction is what its read version held, with its own earlier writes over it
    every read of a committed transaction but snapshot reads would be the same just before its commit
    who begins after a commit was acknowledged reads at that version at least
"""

from __future__ import annotations

import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from recordlayer.errors import Conflict, TooOld
from recordlayer.kv.embedded.atomic import ATOMIC
from recordlayer.kv.embedded.engine import EmbeddedEngine
from recordlayer.kv.engine import ConflictKind, MutationType, StreamingMode, Transaction

KEYS = [b"k%02d" % number for number in range(10)] + [b"k04" + b"x" * 600, b"k07\0"]
BOUNDS = sorted([*KEYS, b"k", b"l"])
State = dict[bytes, bytes]


@dataclass
class Done:
    """One transaction: its operations in order, those that read with what they saw."""

    read_version: int
    acknowledged_before: int  # the newest version that anybody was told of when it began
    steps: list[tuple[str, tuple[Any, ...], Any]] = field(default_factory=list)
    stamp: bytes | None = None  # of its commit; None: it wrote nothing, or was refused

    @property
    def version(self) -> int:
        return int.from_bytes(self.stamp[:8], "big") if self.stamp else -1


class History:
    def __init__(self) -> None:
        self.done: list[Done] = []
        self.refused: dict[str, int] = {}
        self.acknowledged = 0
        self._lock = threading.Lock()

    def begun(self) -> int:
        return self.acknowledged

    def ended(self, done: Done, refused: Exception | None) -> None:
        with self._lock:
            self.done.append(done)
            self.acknowledged = max(self.acknowledged, done.version)
            if refused is not None:
                name = type(refused).__name__
                self.refused[name] = self.refused.get(name, 0) + 1

    # -- judging

    def judge(self, first: State) -> None:
        committed = sorted((done for done in self.done if done.stamp), key=lambda done: done.stamp or b"")
        assert len({done.stamp for done in committed}) == len(committed)
        states: list[tuple[int, State]] = [(0, dict(first))]
        state = dict(first)
        for done in committed:
            replayed = _replay(done, state, but_snapshots=True)
            state = replayed
            if done.version == states[-1][0]:
                states[-1] = (done.version, state)
            else:
                states.append((done.version, state))
        versions = [version for version, _ in states]
        for done in self.done:
            assert done.read_version >= done.acknowledged_before, "it began after that commit was acknowledged"
            at = _last_at(versions, done.read_version)
            _replay(done, states[at][1], but_snapshots=False)
        self.last = state


def _last_at(versions: list[int], version: int) -> int:
    from bisect import bisect_right

    return bisect_right(versions, version) - 1


def _replay(done: Done, state: State, *, but_snapshots: bool) -> State:
    """The state after a transaction, run on `state`. Fails if it would have read something else."""
    state = dict(state)
    for kind, args, seen in done.steps:
        match kind:
            case "get":
                key, snapshot = args
                if not (snapshot and but_snapshots):
                    assert seen == state.get(key), (kind, args, done)
            case "range":
                begin, end, limit, reverse, snapshot = args
                if not (snapshot and but_snapshots):
                    rows = sorted((key, value) for key, value in state.items() if begin <= key < end)
                    assert seen == (rows[::-1] if reverse else rows)[:limit], (kind, args, done)
            case "set":
                state[args[0]] = args[1]
            case "clear":
                state.pop(args[0], None)
            case "clear_range":
                state = {key: value for key, value in state.items() if not args[0] <= key < args[1]}
            case "atomic":
                changed = ATOMIC[args[0]](state.get(args[1]), args[2])
                if changed is None:
                    state.pop(args[1], None)
                else:
                    state[args[1]] = changed
    return state


# -- making one

_ATOMIC = [MutationType.ADD, MutationType.MAX, MutationType.BYTE_MIN, MutationType.APPEND_IF_FITS, MutationType.BIT_XOR]


async def transact(engine: EmbeddedEngine, history: History, numbers: random.Random, pause: Callable[[], Any]) -> None:
    """One random transaction, recorded. `pause` gives something to await between operations, or None."""
    acknowledged = history.begun()
    transaction = engine.begin()
    done = Done(await transaction.read_version(), acknowledged)
    refused: Exception | None = None
    try:
        for _ in range(numbers.randint(1, 6)):
            await _step(transaction, done, numbers)
            waiting = pause()
            if waiting is not None:
                await waiting
        stamp = transaction.versionstamp()
        await transaction.commit()
        if transaction.committed_version() != -1:
            done.stamp = await stamp
    except (Conflict, TooOld) as error:
        refused = error
    finally:
        transaction.close()
    if refused is not None:
        # What it saw before it was refused must be right all the same.
        done.stamp = None
    history.ended(done, refused)


async def _step(transaction: Transaction, done: Done, numbers: random.Random) -> None:
    key = numbers.choice(KEYS)
    snapshot = numbers.random() < 0.25
    begin, end = sorted(numbers.sample(BOUNDS, 2))
    value = b"%x" % numbers.getrandbits(40)
    match numbers.randint(0, 9):
        case 0 | 1 | 2:
            done.steps.append(("get", (key, snapshot), await transaction.get(key, snapshot=snapshot)))
        case 3 | 4:
            limit, reverse = numbers.choice([1, 2, 3, 100]), numbers.random() < 0.4
            chunk = await transaction.get_range(
                begin, end, limit=limit, reverse=reverse, snapshot=snapshot, mode=StreamingMode.WANT_ALL
            )
            done.steps.append(("range", (begin, end, limit, reverse, snapshot), chunk.rows))
        case 5 | 6:
            transaction.set(key, value)
            done.steps.append(("set", (key, value), None))
        case 7:
            kind = numbers.choice(_ATOMIC)
            transaction.atomic(kind, key, value[:8])
            done.steps.append(("atomic", (kind, key, value[:8]), None))
        case 8:
            if numbers.random() < 0.5:
                transaction.clear(key)
                done.steps.append(("clear", (key,), None))
            else:
                transaction.clear_range(begin, end)
                done.steps.append(("clear_range", (begin, end), None))
        case 9:
            transaction.add_conflict_range(numbers.choice(list(ConflictKind)), begin, end)


Body = Callable[[], Coroutine[Any, Any, None]]
Pause = Callable[[], Awaitable[None] | None]
