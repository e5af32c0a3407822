"""Transactions that follow from a number, so that whoever finds a database after a crash knows what must be in it.

Each thread writes its own keys, whose whole state follows from the number of its last transaction, and adds one to a
counter that all share. A transaction that was torn, lost or applied twice shows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from recordlayer.kv.embedded.engine import EmbeddedEngine
from recordlayer.kv.engine import MutationType
from tests.support.embedded import content, do

TOTAL = b"total"
_NAMES = [b"", b"a", b"b", b"c", b"d" * 500, b"e" * 520, b"e" * 520 + b"x", b"f" * 1100, b"g", b"h"]
State = dict[bytes, bytes]


def prefix(thread: int) -> bytes:
    return b"thread%d/" % thread


def operations(thread: int, number: int) -> list[tuple[str, bytes, bytes]]:
    """What transaction `number` of a thread does; numbers begin with 1."""
    numbers = random.Random(thread << 40 | number)
    mine = prefix(thread)
    wanted: list[tuple[str, bytes, bytes]] = []
    for _ in range(numbers.randint(1, 6)):
        key = mine + numbers.choice(_NAMES)
        match numbers.randint(0, 6):
            case 0:
                wanted.append(("clear", key, b""))
            case 1:
                wanted.append(("clear_range", *sorted((key, mine + numbers.choice(_NAMES)))))
            case _:
                wanted.append(("set", key, b"%d " % number * numbers.choice([1, 10, 100, 1000])))
    wanted.append(("set", mine + b"~last", b"%d" % number))
    return wanted


_latest: dict[int, tuple[int, State]] = {}  # of each thread, the state that was asked for last


def state_after(thread: int, number: int) -> State:
    """What a thread's keys hold after its transaction `number`."""
    known, state = _latest.get(thread, (0, {}))
    if known > number:
        known, state = 0, {}
    for step in range(known + 1, number + 1):
        for kind, key, value in operations(thread, step):
            if kind == "set":
                state[key] = value
            elif kind == "clear":
                state.pop(key, None)
            else:
                state = {name: old for name, old in state.items() if not key <= name < value}
    _latest[thread] = (number, state)
    return dict(state)


def numbers_in(found: Mapping[bytes, bytes], threads: int) -> list[int]:
    """The last transaction of each thread, of which everything is there and nothing else."""
    numbers = [int(found.get(prefix(thread) + b"~last", b"0")) for thread in range(threads)]
    for thread, number in enumerate(numbers):
        mine = {key: value for key, value in found.items() if key.startswith(prefix(thread))}
        assert mine == state_after(thread, number), f"thread {thread} after {number} transactions"
    assert int.from_bytes(found.get(TOTAL, b""), "little") == sum(numbers)
    return numbers


def check(engine: EmbeddedEngine, threads: int) -> list[int]:
    return numbers_in(content(engine), threads)


def run_one(engine: EmbeddedEngine, thread: int, number: int) -> None:
    transaction = engine.begin()
    for kind, key, value in operations(thread, number):
        if kind == "set":
            transaction.set(key, value)
        elif kind == "clear":
            transaction.clear(key)
        else:
            transaction.clear_range(key, value)
    transaction.atomic(MutationType.ADD, TOTAL, (1).to_bytes(8, "little"))
    do(transaction.commit())


def run(engine: EmbeddedEngine, thread: int, numbers: range, acknowledged: Callable[[int, int], object]) -> None:
    """Run transactions of a thread; tell each when it is acknowledged."""
    for number in numbers:
        run_one(engine, thread, number)
        acknowledged(thread, number)
