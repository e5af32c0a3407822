"""Writes of single keys as values: worked out first, and handed over together when nothing speaks against them.

    (SET, key, value)            (CLEAR, key, b"")           (MutationType.ADD, key, operand), ...
    (STAMP, operand, value)      (UNSTAMP, operand, b"")     (STAMP_VALUE, key, operand)

The second line waits for the commit's version: STAMP sets a key that the operand gives, UNSTAMP takes that back,
STAMP_VALUE sets a value, of several for one key the largest. Operands end with the place of the version. Engines do not
know these three; a `Context` keeps them until the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from recordlayer.core import in_c

if TYPE_CHECKING:
    from recordlayer.kv.context import Context
    from recordlayer.kv.engine import MutationType

SET, CLEAR = -1, -2
STAMP, UNSTAMP, STAMP_VALUE = -3, -4, -5
Write = tuple[int, bytes, bytes]


class Writable(Protocol):
    """What takes one write after the other."""

    def set(self, key: bytes, value: bytes) -> None: ...

    def clear(self, key: bytes) -> None: ...

    def atomic(self, kind: MutationType, key: bytes, operand: bytes) -> None: ...


def perform(context: Context, writes: Sequence[Write]) -> None:
    """Write what was prepared, in its order. If something cannot be written, what comes before it may have been."""
    found = counted(writes, context.stamped_values)
    if found is None:
        _perform_each(context, writes)
        return
    counters = context.counters
    sets, mutations, clears, size = found
    counters.sets += sets
    counters.mutations += mutations
    counters.clears += clears
    counters.bytes_written += size
    context.transaction.write_many(writes)


@in_c("counted")
def counted(writes: Sequence[Write], kept: Mapping[bytes, bytes]) -> tuple[int, int, int, int] | None:
    """How many sets, mutations and clears these are, and their bytes; None if one has to be performed by itself: what
    waits for the commit's version, and the clear of a key whose value is `kept` for that."""
    sets = mutations = clears = size = 0
    for kind, key, value in writes:
        if kind == SET:
            sets += 1
            size += len(key) + len(value)
        elif kind > 0:
            mutations += 1
            size += len(key) + len(value)
        elif kind == CLEAR and key not in kept:
            clears += 1
        else:
            return None
    return sets, mutations, clears, size


def _perform_each(context: Context, writes: Iterable[Write]) -> None:
    for kind, key, value in writes:
        if kind == SET:
            context.set(key, value)
        elif kind == CLEAR:
            context.clear(key)
        elif kind > 0:
            context.atomic(cast("MutationType", kind), key, value)  # making an enum would cost more than the write
        elif kind == STAMP:
            context.set_stamped_key(key, value)
        elif kind == UNSTAMP:
            context.drop_stamped_key(key)
        else:
            context.raise_stamped_value(key, value)


def write_each(transaction: Writable, writes: Iterable[Write]) -> None:
    """`Transaction.write_many`, one by one."""
    for kind, key, value in writes:
        if kind == SET:
            transaction.set(key, value)
        elif kind == CLEAR:
            transaction.clear(key)
        else:
            transaction.atomic(cast("MutationType", kind), key, value)
