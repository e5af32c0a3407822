"""How transactions of a database begin: with which options, at which read version, seen by whom.

Options of the engine are forgotten when a transaction is tried again, so they are set at each attempt. A read version
that was given or remembered is for the first attempt only: whoever failed needs a fresh one.
"""

from __future__ import annotations

from recordlayer.kv.context import Context
from recordlayer.kv.engine import DatabaseOption, Engine, OptionValue, Transaction, TransactionOption
from recordlayer.kv.observed import Meter, ObservedEngine
from recordlayer.kv.read_limits import ReadLimits
from recordlayer.kv.read_version_cache import ReadVersionCache
from recordlayer.kv.shared import Shared
from recordlayer.kv.span_parent import span_parent
from recordlayer.observe.observer import Observer, Observers, effective
from recordlayer.options import DEFAULT_OPTIONS, Priority, TransactionOptions
from recordlayer.world import World

_T = TransactionOption
_FLAGS: tuple[tuple[str, TransactionOption], ...] = (
    ("causal_read_risky", _T.CAUSAL_READ_RISKY),
    ("causal_write_risky", _T.CAUSAL_WRITE_RISKY),
    ("report_conflicts", _T.REPORT_CONFLICTING_KEYS),
    ("trace_server", _T.SERVER_REQUEST_TRACING),
)
_PRIORITIES = {Priority.BATCH: _T.PRIORITY_BATCH, Priority.IMMEDIATE: _T.PRIORITY_SYSTEM_IMMEDIATE}


class Beginning:
    """Makes the transactions of one database.

    versions  remembers read versions; None for engines that know their own
    shared    caches of the layers above
    """

    __slots__ = ("_metered", "engine", "observed", "shared", "versions", "world")

    def __init__(self, engine: Engine, world: World, *, observer: Observer | None = None) -> None:
        observers = effective(observer)
        self.observed = None if observers is None else ObservedEngine(engine, observers, world)
        self.engine: Engine = engine if self.observed is None else self.observed
        self.world = world
        self.shared = Shared()
        self._metered: ObservedEngine | None = None  # what counts without an observer
        self.versions: ReadVersionCache | None = None
        if is_local(engine):
            engine.set_option(DatabaseOption.TRANSACTION_REPORT_CONFLICTING_KEYS)
        else:
            self.versions = ReadVersionCache(world.clock)

    def context(
        self, options: TransactionOptions = DEFAULT_OPTIONS, *, work: str = "", meter: Meter | None = None
    ) -> Context:
        """A new transaction for `work`, if the options do not name it.

        meter  told at the end of each attempt what it took

        Raises  what the engine says of options that it does not take.
        """
        if self.observed is None and self.versions is None and options is DEFAULT_OPTIONS and meter is None:
            return Context(self.engine.begin(), world=self.world, shared=self.shared)
        transaction = self._begin(options, work) if meter is None else self._begin_metered(options, work, meter)
        context = Context(transaction, world=self.world, versions=self.versions, shared=self.shared)
        try:
            self._set(context, options)
            if options.read_version is not None:
                context.set_read_version(options.read_version)
            elif options.staleness is not None and self.versions is not None:
                version = self.versions.version(options.staleness, at_least=options.at_least)
                if version is not None:
                    context.set_read_version(version)
        except BaseException:
            context.close()
            raise
        return context

    async def prepare(self, context: Context, options: TransactionOptions) -> None:
        """Learn the read version of a transaction that would have taken a remembered one. What it costs, its first
        read is spared."""
        if options.staleness is not None and self.versions is not None:
            await context.read_version()

    def again(self, context: Context, options: TransactionOptions) -> Context:
        """The next attempt of a transaction that `on_error` has reset."""
        fresh = Context(context.transaction, world=self.world, versions=self.versions, shared=self.shared)
        if self.observed is not None or options is not DEFAULT_OPTIONS:
            self._set(fresh, options)
        return fresh

    def _begin(self, options: TransactionOptions, work: str) -> Transaction:
        if self.observed is not None:
            return self.observed.begin(work=options.name or work, tags=options.tags)
        return self.engine.begin()

    def _begin_metered(self, options: TransactionOptions, work: str, meter: Meter) -> Transaction:
        engine = self.observed
        if engine is None:
            if self._metered is None:
                self._metered = ObservedEngine(self.engine, Observers(), self.world)
            engine = self._metered
        transaction = engine.begin(work=options.name or work, tags=options.tags)
        transaction.meter = meter
        return transaction

    def _set(self, context: Context, options: TransactionOptions) -> None:
        transaction = context.transaction
        if options.limits.bound_anything:
            context.read_limits = ReadLimits(options.limits, context.counters, self.world.clock)
        for option, value in settings(options):
            transaction.set_option(option, value)
        if self.observed is not None and context.observed is not None:
            span = self.observed.observers.span_of(context.observed.origin.transaction)
            if span is not None:
                transaction.set_option(_T.SPAN_PARENT, span_parent(span))


def is_local(engine: Engine) -> bool:
    """Whether an engine, or the one inside it, knows its own versions: asking it costs no round trip."""
    inner = getattr(engine, "engine", None)
    return bool(getattr(engine, "local", False)) or (inner is not None and is_local(inner))


def settings(options: TransactionOptions) -> list[tuple[TransactionOption, OptionValue]]:
    """What the engine is told, in an order that it takes."""
    if options is DEFAULT_OPTIONS:
        return []
    found: list[tuple[TransactionOption, OptionValue]] = []
    if options.identifier:
        found.append((_T.DEBUG_TRANSACTION_IDENTIFIER, options.identifier))
    if options.logged:
        found.append((_T.LOG_TRANSACTION, None))
    if options.priority in _PRIORITIES:
        found.append((_PRIORITIES[options.priority], None))
    tag = _T.AUTO_THROTTLE_TAG if options.auto_throttle else _T.TAG
    found += [(tag, name) for name in options.tags]
    if options.timeout is not None:
        found.append((_T.TIMEOUT, max(1, round(options.timeout.total_seconds() * 1000))))
    if options.size_limit is not None:
        found.append((_T.SIZE_LIMIT, options.size_limit))
    found += [(option, None) for name, option in _FLAGS if getattr(options, name)]
    return found
