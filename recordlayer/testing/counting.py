"""An engine that counts what is asked of another, so that a test can assert cost in operations instead of seconds.

    counted = Counting(open_engine("memory:"))
    ...
    with counted.measured() as counts:
        save(record)
    assert (counts.reads, counts.writes, counts.round_trips) == (1, 3, 1)

What counts as what

reads        get, get_key, chunks of ranges, watches, estimates and split points; `read_version` is none of them
round trips  waves of reads: reads that were all started before the first of them was waited for share one. It is what
             a cluster's latency multiplies. A commit is not counted here but in `commits`
writes       set, clear, clear_range, atomic; not conflict ranges
bytes        of keys and values in what reads gave, and of keys and operands in what writes handed over
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, TypeVar

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
from recordlayer.waiting.several import Several
from recordlayer.waiting.waitable import Waitable, Wake

T = TypeVar("T")


@dataclass(slots=True)
class Counts:
    """What was asked of an engine."""

    transactions: int = 0
    gets: int = 0
    key_gets: int = 0
    ranges: int = 0
    rows: int = 0
    watches: int = 0
    estimates: int = 0
    round_trips: int = 0
    sets: int = 0
    clears: int = 0
    range_clears: int = 0
    atomics: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    read_versions: int = 0
    commits: int = 0
    failed_commits: int = 0
    retries: int = 0

    @property
    def reads(self) -> int:
        return self.gets + self.key_gets + self.ranges + self.watches + self.estimates

    @property
    def writes(self) -> int:
        return self.sets + self.clears + self.range_clears + self.atomics

    def copy(self) -> Counts:
        return Counts(*(getattr(self, each.name) for each in fields(self)))

    def since(self, earlier: Counts) -> Counts:
        """What was added after `earlier` was copied."""
        return Counts(*(getattr(self, each.name) - getattr(earlier, each.name) for each in fields(self)))


class _Wave:
    """Reads that are on their way together. The first one that is waited for closes it."""

    __slots__ = ("closed",)

    def __init__(self) -> None:
        self.closed = False


class _Counted(Waitable[T]):
    """A waitable that tells its wave when somebody waits for it, and the counts what came."""

    __slots__ = ("_came", "_inner", "_wave")

    def __init__(self, inner: Waitable[T], wave: _Wave | None, came: Callable[[T], None] | None) -> None:
        self._inner = inner
        self._wave = wave
        self._came = came

    def ready(self) -> bool:
        return self._inner.ready()

    def block(self) -> None:
        self._close()
        self._inner.block()

    def on_ready(self, wake: Wake) -> None:
        self._close()
        self._inner.on_ready(wake)

    def cancel(self) -> None:
        self._inner.cancel()

    def __await__(self) -> Generator[Any, None, T]:
        self._close()
        value = yield from self._inner.__await__()
        came, self._came = self._came, None
        if came is not None:
            came(value)
        return value

    def _close(self) -> None:
        if self._wave is not None:
            self._wave.closed = True


class Counting(Engine):
    """An engine around another; `counts` is the sum over all its transactions."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.url = engine.url
        self.counts = Counts()

    @contextmanager
    def measured(self) -> Iterator[Counts]:
        """The counts of what the block asks for, filled in as it goes and complete at its end."""
        whole, self.counts = self.counts, Counts()
        try:
            yield self.counts
        finally:
            part, self.counts = self.counts, whole
            for each in fields(part):
                setattr(whole, each.name, getattr(whole, each.name) + getattr(part, each.name))

    def begin(self) -> Transaction:
        self.counts.transactions += 1
        return CountingTransaction(self.engine.begin(), self)

    def set_option(self, option: DatabaseOption, value: OptionValue = None) -> None:
        self.engine.set_option(option, value)

    def boundary_keys(self, begin: bytes, end: bytes) -> Waitable[Iterable[bytes]]:
        return self.engine.boundary_keys(begin, end)

    def close(self) -> None:
        self.engine.close()


class CountingTransaction(Transaction):
    """A transaction around another. Counts go to whatever the engine counts into when the operation starts."""

    def __init__(self, transaction: Transaction, engine: Counting) -> None:
        self.transaction = transaction
        self._engine = engine
        self._wave = _Wave()
        self._wave.closed = True

    # -- reading

    def _read(self, started: Waitable[T], came: Callable[[T], None] | None = None) -> Waitable[T]:
        if self._wave.closed:
            self._wave = _Wave()
            self._engine.counts.round_trips += 1
        return _Counted(started, self._wave, came)

    def get(self, key: bytes, *, snapshot: bool = False) -> Waitable[bytes | None]:
        counts = self._engine.counts
        counts.gets += 1

        def came(value: bytes | None) -> None:
            if value is not None:
                counts.rows += 1
                counts.read_bytes += len(key) + len(value)

        return self._read(self.transaction.get(key, snapshot=snapshot), came)

    def get_many(self, keys: Sequence[bytes], *, snapshot: bool = False) -> Waitable[list[bytes | None]]:
        return Several([self.get(key, snapshot=snapshot) for key in keys])

    def get_key(self, selector: KeySelector, *, snapshot: bool = False) -> Waitable[bytes]:
        counts = self._engine.counts
        counts.key_gets += 1

        def came(key: bytes) -> None:
            counts.read_bytes += len(key)

        return self._read(self.transaction.get_key(selector, snapshot=snapshot), came)

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
        counts = self._engine.counts
        counts.ranges += 1

        def came(chunk: Chunk) -> None:
            counts.rows += len(chunk.rows)
            counts.read_bytes += sum(len(key) + len(value) for key, value in chunk.rows)

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
        return self._read(started, came)

    def watch(self, key: bytes) -> Waitable[None]:
        self._engine.counts.watches += 1
        return self.transaction.watch(key)

    def estimated_range_size(self, begin: bytes, end: bytes) -> Waitable[int]:
        self._engine.counts.estimates += 1
        return self._read(self.transaction.estimated_range_size(begin, end))

    def range_split_points(self, begin: bytes, end: bytes, chunk_size: int) -> Waitable[list[bytes]]:
        self._engine.counts.estimates += 1
        return self._read(self.transaction.range_split_points(begin, end, chunk_size))

    # -- writing

    def set(self, key: bytes, value: bytes) -> None:
        self.transaction.set(key, value)
        counts = self._engine.counts
        counts.sets += 1
        counts.written_bytes += len(key) + len(value)

    def clear(self, key: bytes) -> None:
        self.transaction.clear(key)
        counts = self._engine.counts
        counts.clears += 1
        counts.written_bytes += len(key)

    def clear_range(self, begin: bytes, end: bytes) -> None:
        self.transaction.clear_range(begin, end)
        counts = self._engine.counts
        counts.range_clears += 1
        counts.written_bytes += len(begin) + len(end)

    def atomic(self, kind: MutationType, key: bytes, operand: bytes) -> None:
        self.transaction.atomic(kind, key, operand)
        counts = self._engine.counts
        counts.atomics += 1
        counts.written_bytes += len(key) + len(operand)

    def add_conflict_range(self, kind: ConflictKind, begin: bytes, end: bytes) -> None:
        self.transaction.add_conflict_range(kind, begin, end)

    def add_read_conflict_keys(self, keys: Sequence[bytes]) -> None:
        self.transaction.add_read_conflict_keys(keys)

    # -- ending

    def commit(self) -> Waitable[None]:
        counts = self._engine.counts
        counts.commits += 1
        return _Commit(self.transaction.commit(), counts)

    def on_error(self, error: BaseException) -> Waitable[None]:
        self._engine.counts.retries += 1
        return self.transaction.on_error(error)

    def reset(self) -> None:
        self.transaction.reset()

    def cancel(self) -> None:
        self.transaction.cancel()

    def close(self) -> None:
        self.transaction.close()

    # -- versions

    def read_version(self) -> Waitable[int]:
        self._engine.counts.read_versions += 1
        return self.transaction.read_version()

    def set_read_version(self, version: int) -> None:
        self.transaction.set_read_version(version)

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


class _Commit(_Counted[None]):
    """A commit that counts its failure."""

    __slots__ = ("_counts",)

    def __init__(self, inner: Waitable[None], counts: Counts) -> None:
        super().__init__(inner, None, None)
        self._counts: Counts | None = counts

    def __await__(self) -> Generator[Any, None, None]:
        try:
            yield from self._inner.__await__()
        except Exception:
            counts, self._counts = self._counts, None
            if counts is not None:
                counts.failed_commits += 1
            raise
