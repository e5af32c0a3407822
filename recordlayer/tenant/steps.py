"""Long work in steps, each a transaction that is small enough.

Source  Record Layer: runners/throttled, the throttled retrying iterator
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from recordlayer.errors import Conflict, TimedOut, TooOld, TransactionError, TransactionTooLarge, UsageError
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Chunk, StreamingMode
from recordlayer.online.batch_size import BatchSize
from recordlayer.options import Priority, TransactionOptions
from recordlayer.waiting.timer import sleep
from recordlayer.waiting.waitable import Waitable

T = TypeVar("T")

_TOO_MUCH = (Conflict, TooOld, TransactionTooLarge, TimedOut)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLimits:
    """How much of an operation on a tenant goes into one transaction, and how fast it may be.

    keys              in one transaction, at most; fewer after conflicts and the like, more again after successes
    bytes             in one transaction, about
    bytes_per_second  None for as fast as it goes
    retries           tries of one transaction before the operation gives up
    """

    keys: int = 5_000
    bytes: int = 1_000_000
    bytes_per_second: int | None = None
    retries: int = 100

    def __post_init__(self) -> None:
        for name in ("keys", "bytes", "bytes_per_second", "retries"):
            value = getattr(self, name)
            if value is None and name == "bytes_per_second":
                continue
            if type(value) is not int or value < 1:
                raise UsageError(option=name, got=value, hint="give a whole number of at least 1")


DEFAULT_STEPS = StepLimits()


class Steps:
    """The transactions of one operation."""

    def __init__(
        self, beginning: Beginning, work: str, limits: StepLimits | None, options: TransactionOptions | None
    ) -> None:
        self.beginning = beginning
        self.limits = DEFAULT_STEPS if limits is None else limits
        self.transactions = 0
        self._work = work
        self._options = options or TransactionOptions(name=work, priority=Priority.BATCH)
        self._size = BatchSize(self.limits.keys)
        self._began: float | None = None
        self._moved = 0

    @property
    def keys(self) -> int:
        """How many keys the next transaction may have."""
        return self._size.records

    def context(self) -> Context:
        """A transaction that the caller ends."""
        return self.beginning.context(self._options, work=self._work)

    async def run(self, work: Callable[[Context], Coroutine[Any, Any, T]], *, twice: bool = True) -> T:
        """The result of `work(context)`, committed; tried again after conflicts and other passing troubles.

        twice  doing it twice does no harm: try again also when the commit may have happened
        """
        tries = 0
        while True:
            context = self.context()
            try:
                result = await work(context)
                await context.commit()
            except TransactionError as error:
                tries += 1
                too_much = isinstance(error, _TOO_MUCH)
                if not (too_much or error.retryable) or tries >= self.limits.retries:
                    raise
                if error.maybe_committed and not twice:
                    raise
                if too_much:
                    self._size.failed()
                if error.retryable:
                    await context.transaction.on_error(error)
            else:
                self.transactions += 1
                self._size.succeeded()
                return result
            finally:
                context.close()

    def read(self, context: Context, begin: bytes, end: bytes, *, snapshot: bool = False) -> Waitable[Chunk]:
        """As many pairs from `begin` as one transaction may have.  Cost  1 read."""
        context.counters.reads += 1
        context.counters.range_reads += 1
        return context.transaction.get_range(
            begin,
            end,
            limit=self.keys,
            target_bytes=self.limits.bytes,
            snapshot=snapshot,
            mode=StreamingMode.WANT_ALL,
        )

    async def pace(self, size: int) -> None:
        """So many bytes were moved: wait, if that was faster than it may be."""
        rate = self.limits.bytes_per_second
        if rate is None:
            return
        clock = self.beginning.world.clock
        if self._began is None:
            self._began = clock.monotonic()
        self._moved += size
        await sleep(self._moved / rate - (clock.monotonic() - self._began), self.beginning.world)
