"""Trying a transaction again: which errors, how often, how long.

The engine decides which of its errors may be retried and how long to wait (`Transaction.on_error`, FoundationDB's
rule); this adds limits and one exception: an outcome that is not known (`maybe_committed`) is only tried again when the
caller says that running twice does no harm, or when the work has an idempotency key, which tells whether it has been
applied. The loop itself stands in the facades, because the caller's function does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from recordlayer.errors import TransactionError, UsageError
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.kv.engine import TransactionOption
from recordlayer.kv.idempotency import Applied, Claim
from recordlayer.observe.events import Counts, IdempotencyKeyFound, Origin
from recordlayer.options import DEFAULT_OPTIONS, TransactionOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how long to try.

    attempts    tries in all, the first included; 1 never retries
    time        no new try begins later than this after the first began; None for no limit
    max_delay   longest wait between two tries
    idempotent  running the function twice does no harm: retry also when the commit may have happened
    """

    attempts: int = 20
    time: timedelta | None = None
    max_delay: timedelta = timedelta(seconds=1)
    idempotent: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise UsageError(option="attempts", got=self.attempts, hint="give a whole number of at least 1")
        for name in ("time", "max_delay"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, timedelta):
                raise UsageError(option=name, got=value, hint="give a datetime.timedelta")


NEVER = Retry(attempts=1)
DEFAULT_RETRY = Retry()


class Gate(Protocol):
    """Who decides when an attempt may begin, and is told what it took."""

    async def admit(self) -> None: ...

    def charge(self, origin: Origin, counts: Counts) -> None: ...


_USUAL_DELAY = timedelta(seconds=1)  # the engines' own longest wait


class Attempts:
    """The attempts of one unit of work: `begin` gives the first context, `failed` the next one or raises.

    work   what it is called if the options do not say
    claim  the idempotency key of the work
    gate   lets each attempt in
    """

    def __init__(
        self,
        beginning: Beginning,
        retry: Retry,
        *,
        options: TransactionOptions = DEFAULT_OPTIONS,
        work: str = "",
        claim: Claim | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._beginning = beginning
        self._retry = retry
        self._options = options
        self._work = work
        self._clock = beginning.world.clock
        self._started = self._clock.monotonic()
        self._last: BaseException | None = None
        self.claim = claim
        self._gate = gate
        self.made = 0

    def begin(self) -> Context:
        meter = None if self._gate is None else self._gate.charge
        context = self._beginning.context(self._options, work=self._work, meter=meter)
        delay = self._retry.max_delay
        if delay != _USUAL_DELAY:
            milliseconds = max(0, round(delay.total_seconds() * 1000))
            context.transaction.set_option(TransactionOption.MAX_RETRY_DELAY, milliseconds)
        self.made = 1
        return context

    @property
    def prepares(self) -> bool:
        """Whether `prepare` has anything to do."""
        return self.claim is not None or self._gate is not None or self._options.staleness is not None

    async def prepare(self, context: Context) -> Applied | None:
        """To be awaited before the work of each attempt. The earlier attempt that was applied, if there is one.

        Cost    with a key, 1 read; 2 writes more at the commit.
        Raises  AlreadyApplied if work with this key was applied by somebody else; after the last attempt, its error.
        """
        if self._gate is not None:
            await self._gate.admit()
        await self._beginning.prepare(context, self._options)
        claim = self.claim
        if claim is None:
            return None
        applied = await claim.find(context)
        if applied is None:
            if self._last is not None:
                raise self._last
            context.places.append(claim.keys)
            context.before_commit(lambda: _record(claim, context))
            return None
        own = claim.owns(applied)
        if (observed := context.observed) is not None:
            observed.emit(IdempotencyKeyFound(origin=observed.origin, key=claim.key, own=own))
        if not own:
            raise claim.refusal(applied)
        return applied

    def may_retry(self, error: BaseException, context: Context) -> bool:
        """Whether another try is allowed after `error`."""
        if context.committed or not isinstance(error, TransactionError) or not error.retryable:
            return False
        if error.maybe_committed and not self._retry.idempotent and self.claim is None:
            return False
        if self.made >= self._retry.attempts:
            return False
        limit = self._retry.time
        return limit is None or self._clock.monotonic() - self._started < limit.total_seconds()

    def _may_look(self, error: BaseException, context: Context) -> bool:
        """Whether it is worth another transaction to find out how the last attempt ended."""
        return (
            self.claim is not None
            and self._last is None
            and not context.committed
            and isinstance(error, TransactionError)
            and error.maybe_committed
        )

    async def failed(self, error: BaseException, context: Context) -> Context:
        """A fresh context after the engine's back-off; or `error` itself, with the attempt closed."""
        again = self.may_retry(error, context)
        if not again and self._may_look(error, context):
            self._last = error
            again = True
        if not again:
            if context.observed is not None:
                context.observed.fail(error)
            context.close()
            raise error
        try:
            await context.transaction.on_error(error)
        except BaseException:
            context.close()
            raise
        self.made += 1
        return self._beginning.again(context, self._options)


async def _record(claim: Claim, context: Context) -> None:
    claim.record(context)
