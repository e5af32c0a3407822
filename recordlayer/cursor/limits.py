"""How much one execution may read before it stops with a continuation, or fails.

`Limits` is what callers say: of a page, of a query, of a transaction. `Budget` is what is left of all that apply while
cursors run; all scans of one execution share one budget. Every scan reads one pair at least, however little is left:
each page makes progress.

Source  Record Layer, ExecuteProperties, ExecuteState, CursorLimitManager (the free initial pass)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recordlayer.cursor.step import Stop
from recordlayer.kv.context import Context
from recordlayer.kv.read_limits import ReadLimits, spent
from recordlayer.options import NO_LIMITS, Limits
from recordlayer.world import Clock

__all__ = ["NO_LIMITS", "Budget", "Limits", "budget_of"]

_STOPS = {"keys": Stop.SCAN_LIMIT, "bytes": Stop.BYTE_LIMIT, "time": Stop.TIME_LIMIT}


def budget_of(context: Context, *limits: Limits) -> Budget | None:
    """What is left of these limits from now on, and of the transaction's; None if nothing is bounded."""
    if context.read_limits is None and not any(one.bound_anything for one in limits):
        return None
    return Budget(context.world.clock, *limits, transaction=context.read_limits)


class _Part:
    """What is left of the limits of one execution."""

    __slots__ = ("_clock", "_deadline", "keys", "limits", "size")

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self.limits = limits
        self.keys = limits.keys
        self.size = limits.bytes
        self._clock = clock
        self._deadline = None if limits.time is None else clock.monotonic() + limits.time.total_seconds()

    def reached(self, *, keys: bool) -> str | None:
        if keys and self.keys is not None and self.keys <= 0:
            return "keys"
        if self.size is not None and self.size <= 0:
            return "bytes"
        if self._deadline is not None and self._clock.monotonic() >= self._deadline:
            return "time"
        return None


class Budget:
    """What is left of some limits, each counted by itself.

    What a transaction has read is known from its counters, so its limits are not charged here.
    """

    __slots__ = ("_parts", "_transaction", "memory")

    def __init__(self, clock: Clock, *limits: Limits, transaction: ReadLimits | None = None) -> None:
        self._parts = [_Part(clock, one) for one in limits if one.bound_anything]
        self._transaction = transaction
        memory = [one.memory for one in limits] + ([] if transaction is None else [transaction.limits.memory])
        self.memory = _least(memory)
        """Bytes that may be held; None for any number."""

    @property
    def keys(self) -> int | None:
        """How many pairs may still be read; None for any number."""
        own = [part.keys for part in self._parts]
        return _least(own if self._transaction is None else [*own, self._transaction.keys])

    @property
    def size(self) -> int | None:
        """How many bytes may still be read; None for any number."""
        own = [part.size for part in self._parts]
        return _least(own if self._transaction is None else [*own, self._transaction.size])

    def charge(self, keys: int, size: int) -> None:
        """Spend what was read without asking first."""
        for part in self._parts:
            if part.keys is not None:
                part.keys -= keys
            if part.size is not None:
                part.size -= size

    def spent(self, *, keys: bool = True) -> Stop | None:
        """Why nothing more may be read, or None. `keys`: whether their number counts.

        Raises  BudgetSpent, if what is reached is to fail.
        """
        for part in self._parts:
            if (name := part.reached(keys=keys)) is not None:
                if part.limits.fail:
                    raise spent(name, part.limits, "query")
                return _STOPS[name]
        transaction = self._transaction
        if transaction is None or (name := transaction.reached(keys=keys)) is None:
            return None
        transaction.check()
        return _STOPS[name]

    def take(self, rows: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The leading rows that fit, one at least; what they cost is spent. To be asked before they are counted."""
        keys, size = self.keys, self.size
        if keys is not None:
            rows = rows[: max(1, keys)]
        used = 0
        if size is not None:
            for count, (key, value) in enumerate(rows, 1):
                used += len(key) + len(value)
                if used >= size:
                    rows = rows[:count]
                    break
        self.charge(len(rows), used)
        return rows

    def fitting(self, portions: Iterable[Sequence[tuple[bytes, bytes]]], read: Sequence[tuple[bytes, bytes]]) -> int:
        """How many of the leading portions fit, one at least; what they cost is spent.

        read  the pairs that the transaction has counted already for these portions
        """
        own_keys, own_size = _least([part.keys for part in self._parts]), _least([part.size for part in self._parts])
        keys, size = own_keys, own_size
        if self._transaction is not None:
            counted = self._transaction.keys, self._transaction.size
            keys = _least([own_keys, None if counted[0] is None else counted[0] + len(read)])
            size = _least([own_size, None if counted[1] is None else counted[1] + _size(read)])
        taken = used_keys = used_size = 0
        for portion in portions:
            taken += 1
            used_keys += len(portion)
            used_size += 0 if size is None else _size(portion)
            if (keys is not None and used_keys >= keys) or (size is not None and used_size >= size):
                break
        self.charge(used_keys, used_size)
        return taken


def _least(numbers: Iterable[int | None]) -> int | None:
    return min([number for number in numbers if number is not None], default=None)


def _size(pairs: Iterable[tuple[bytes, bytes]]) -> int:
    return sum([len(key) + len(value) for key, value in pairs])
