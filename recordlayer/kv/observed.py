"""An engine that tells observers what is asked of another, and counts it by part of a store.

It stands between a database and its engine when there is something to observe, and is not there otherwise: that is why
observing costs nothing when it is off.

What is told, in this order: `TransactionBegan`; reads as their answers are taken; `WriteBatch` and `CommitBegan`,
`CommitFinished`; when the attempt is left behind, `TransactionEnded`; and if another begins, `Retried` with the next
`TransactionBegan`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from recordlayer.errors import RecordLayerError, TransactionError
from recordlayer.kv.engine import (
    Chunk,
    ConflictKind,
    DatabaseOption,
    Engine,
    KeySelector,
    MutationType,
    OptionValue,
    StreamingMode,
    Transaction,
    TransactionOption,
)
from recordlayer.kv.tally import ATOMIC, CLEAR, CLEAR_RANGE, SET, Tallies
from recordlayer.kv.timed import Timed
from recordlayer.observe.events import (
    Bytes,
    CommitBegan,
    CommitFinished,
    Counts,
    Event,
    Origin,
    Outcome,
    PointRead,
    RangeRead,
    ReadVersionTaken,
    Retried,
    TransactionBegan,
    TransactionEnded,
    WriteBatch,
)
from recordlayer.observe.observer import Observers
from recordlayer.waiting.several import Several
from recordlayer.waiting.waitable import Waitable
from recordlayer.world import World

Meter = Callable[[Origin, Counts], None]

_numbers = itertools.count(1)
_STOPPED_WAITING = frozenset({1025, 1031, 1101})  # cancelled, timed out, operation cancelled


class ObservedEngine(Engine):
    """An engine around another."""

    def __init__(self, engine: Engine, observers: Observers, world: World) -> None:
        self.engine = engine
        self.url = engine.url
        self.observers = observers
        self.clock = world.clock
        self.wants_beginnings = observers.wants(TransactionBegan)
        self.wants_ends = observers.wants(TransactionEnded)
        self.wants_commits = observers.wants(CommitBegan) or observers.wants(CommitFinished)
        self.wants_points = observers.wants(PointRead)
        self.wants_ranges = observers.wants(RangeRead)
        self.wants_writes = observers.wants(WriteBatch)

    def begin(self, *, work: str = "", tags: tuple[str, ...] = ()) -> ObservedTransaction:
        origin = Origin(transaction=next(_numbers), work=work, tags=tags, database=self.url)
        return ObservedTransaction(self.engine.begin(), self, origin)

    def set_option(self, option: DatabaseOption, value: OptionValue = None) -> None:
        self.engine.set_option(option, value)

    def boundary_keys(self, begin: bytes, end: bytes) -> Waitable[Iterable[bytes]]:
        return self.engine.boundary_keys(begin, end)

    def close(self) -> None:
        self.engine.close()


class ObservedTransaction(Transaction):
    """A transaction around another. `tallies` counts, `origin` names the attempt under way."""

    def __init__(self, transaction: Transaction, engine: ObservedEngine, origin: Origin) -> None:
        self.transaction = transaction
        self.engine = engine
        self.origin = origin
        self._clock = engine.clock
        self.meter: Meter | None = None
        """Told at the end of each attempt what it took."""
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.tallies = Tallies()
        self._ended = False
        self._outcome: Outcome | None = None
        self._error = ""
        self._finished: float | None = None
        self._began = self._clock.monotonic()
        if self.engine.wants_beginnings:
            self.emit(TransactionBegan(origin=self.origin))

    def emit(self, event: Event) -> None:
        """Tell the observers. The event should have this transaction's `origin`."""
        self.engine.observers.observe(event)

    def wants(self, kind: type[Event]) -> bool:
        """Whether somebody wants to know of this kind of event."""
        return self.engine.observers.wants(kind)

    # -- reading

    def get(self, key: bytes, *, snapshot: bool = False) -> Waitable[bytes | None]:
        def came(value: bytes | None, took: timedelta) -> None:
            size = 0 if value is None else len(value)
            found = int(value is not None)
            self._point(origin, key, None if value is None else size, found * (len(key) + size), took, snapshot)

        origin = self.origin
        return Timed(self.transaction.get(key, snapshot=snapshot), self._clock, came)

    def get_many(self, keys: Sequence[bytes], *, snapshot: bool = False) -> Waitable[list[bytes | None]]:
        return Several([self.get(key, snapshot=snapshot) for key in keys])

    def get_key(self, selector: KeySelector, *, snapshot: bool = False) -> Waitable[bytes]:
        def came(found: bytes, took: timedelta) -> None:
            self._point(origin, selector.key, len(found), len(found), took, snapshot)

        origin = self.origin
        return Timed(self.transaction.get_key(selector, snapshot=snapshot), self._clock, came)

    def _point(self, origin: Origin, key: bytes, value: int | None, size: int, took: timedelta, snapshot: bool) -> None:
        place = self.tallies.came(key, int(value is not None), size)
        if self.engine.wants_points:
            found = None if value is None else Bytes(value)
            self.emit(PointRead(origin=origin, key=key, value=found, took=took, snapshot=snapshot, place=place))

    def get_range(
        self,
        begin: bytes | KeySelector,
        end: bytes | KeySelector,
        *,
        limit: int = 0,
        target_bytes: int = 0,
        reverse: bool = False,
        snapshot: bool = False,
        mode: StreamingMode = StreamingMode.ITERATOR,
        iteration: int = 1,
    ) -> Waitable[Chunk]:
        def came(chunk: Chunk, took: timedelta) -> None:
            rows = chunk.rows
            size = sum([len(key) + len(value) for key, value in rows])
            place = self.tallies.came(_key(begin), len(rows), size)
            if self.engine.wants_ranges:
                event = RangeRead(
                    origin=origin,
                    begin=_key(begin),
                    end=_key(end),
                    rows=len(rows),
                    read=Bytes(size),
                    took=took,
                    more=chunk.more,
                    reverse=reverse,
                    snapshot=snapshot,
                    place=place,
                )
                self.emit(event)

        origin = self.origin
        started = self.transaction.get_range(
            begin,
            end,
            limit=limit,
            target_bytes=target_bytes,
            reverse=reverse,
            snapshot=snapshot,
            mode=mode,
            iteration=iteration,
        )
        return Timed(started, self._clock, came)

    def watch(self, key: bytes) -> Waitable[None]:
        return self.transaction.watch(key)

    def estimated_range_size(self, begin: bytes, end: bytes) -> Waitable[int]:
        return self.transaction.estimated_range_size(begin, end)

    def range_split_points(self, begin: bytes, end: bytes, chunk_size: int) -> Waitable[list[bytes]]:
        return self.transaction.range_split_points(begin, end, chunk_size)

    # -- writing

    def set(self, key: bytes, value: bytes) -> None:
        self.transaction.set(key, value)
        self.tallies.wrote(SET, key, len(key) + len(value))

    def clear(self, key: bytes) -> None:
        self.transaction.clear(key)
        self.tallies.wrote(CLEAR, key, len(key))

    def clear_range(self, begin: bytes, end: bytes) -> None:
        self.transaction.clear_range(begin, end)
        self.tallies.wrote(CLEAR_RANGE, begin, len(begin) + len(end))

    def atomic(self, kind: MutationType, key: bytes, operand: bytes) -> None:
        self.transaction.atomic(kind, key, operand)
        self.tallies.wrote(ATOMIC, key, len(key) + len(operand))

    def add_conflict_range(self, kind: ConflictKind, begin: bytes, end: bytes) -> None:
        self.transaction.add_conflict_range(kind, begin, end)

    def add_read_conflict_keys(self, keys: Sequence[bytes]) -> None:
        self.transaction.add_read_conflict_keys(keys)

    # -- ending

    def commit(self) -> Waitable[None]:
        tallies = self.tallies
        sets, atomics, clears, range_clears = tallies.kinds
        writes, written = sum(tallies.kinds), tallies.written
        if writes and self.engine.wants_writes:
            self.emit(
                WriteBatch(
                    origin=self.origin,
                    sets=sets,
                    atomics=atomics,
                    clears=clears,
                    range_clears=range_clears,
                    written=written,
                    places=tallies.by_place(written=True),
                )
            )
        if self.engine.wants_commits:
            self.emit(CommitBegan(origin=self.origin, writes=writes, written=written))

        def came(_: None, took: timedelta) -> None:
            self._committed(took, Outcome.COMMITTED, "")

        def failed(error: BaseException, took: timedelta) -> None:
            # Not only 1021: who stops waiting for a commit, or is stopped, does not know how it went on.
            unknown = not isinstance(error, TransactionError) or error.number in _STOPPED_WAITING
            self._committed(took, Outcome.UNKNOWN if unknown else _outcome_of(error), code_of(error))

        return Timed(self.transaction.commit(), self._clock, came, failed)

    def _committed(self, took: timedelta, outcome: Outcome, error: str) -> None:
        self._finished = self._clock.monotonic()
        self._outcome, self._error = outcome, error
        if not self.engine.wants_commits:
            return
        version = self.transaction.committed_version() if outcome is Outcome.COMMITTED else -1
        known = version if version >= 0 else None
        self.emit(CommitFinished(origin=self.origin, took=took, outcome=outcome, version=known, error=error))

    def on_error(self, error: BaseException) -> Waitable[None]:
        self._end(_outcome_of(error), code_of(error))

        def came(_: None, took: timedelta) -> None:
            number = getattr(error, "number", 0)
            self.emit(Retried(origin=self.origin, error=code_of(error), number=number, waited=took))
            self.origin = replace(self.origin, attempt=self.origin.attempt + 1)
            self._begin_anew()

        return Timed(self.transaction.on_error(error), self._clock, came)

    def fail(self, error: BaseException) -> None:
        """An error of the caller's makes an end of this attempt."""
        self._end(_outcome_of(error), code_of(error))

    def _end(self, outcome: Outcome, error: str) -> None:
        if self._ended:
            return
        self._ended = True
        if self.meter is not None:
            self.meter(self.origin, self.tallies.whole())
        if not self.engine.wants_ends:
            return
        end = self._clock.monotonic() if self._finished is None else self._finished
        self.emit(
            TransactionEnded(
                origin=self.origin,
                outcome=self._outcome or outcome,
                took=timedelta(seconds=end - self._began),
                counts=self.tallies.whole(),
                places=self.tallies.by_place(),
                error=self._error or error,
            )
        )

    def reset(self) -> None:
        self._end(Outcome.LEFT, "")
        self.transaction.reset()
        self.origin = replace(self.origin, attempt=self.origin.attempt + 1)
        self._begin_anew()

    def cancel(self) -> None:
        self.transaction.cancel()

    def close(self) -> None:
        self._end(Outcome.LEFT, "")
        self.transaction.close()

    # -- versions

    def read_version(self) -> Waitable[int]:
        def came(version: int, took: timedelta) -> None:
            if self.wants(ReadVersionTaken):
                self.emit(ReadVersionTaken(origin=origin, version=version, took=took))

        origin = self.origin
        return Timed(self.transaction.read_version(), self._clock, came)

    def set_read_version(self, version: int) -> None:
        self.transaction.set_read_version(version)
        if self.wants(ReadVersionTaken):
            self.emit(ReadVersionTaken(origin=self.origin, version=version, took=timedelta(0), cached=True))

    def committed_version(self) -> int:
        return self.transaction.committed_version()

    def versionstamp(self) -> Waitable[bytes]:
        return self.transaction.versionstamp()

    def approximate_size(self) -> Waitable[int]:
        return self.transaction.approximate_size()

    def conflicting_ranges(self) -> Waitable[list[tuple[bytes, bytes]]]:
        return self.transaction.conflicting_ranges()

    def set_option(self, option: TransactionOption, value: OptionValue = None) -> None:
        self.transaction.set_option(option, value)


def code_of(error: BaseException) -> str:
    """What an error is called in events: its code, or its class."""
    return error.code if isinstance(error, RecordLayerError) else type(error).__name__


def _outcome_of(error: BaseException) -> Outcome:
    unknown = isinstance(error, TransactionError) and error.maybe_committed
    return Outcome.UNKNOWN if unknown else Outcome.FAILED


def _key(bound: bytes | KeySelector) -> bytes:
    return bound if isinstance(bound, bytes) else bound.key
