"""Who waits for a key to change.

A watch remembers the value that its transaction saw and fires when a published commit leaves another. It starts at the
commit of its transaction, holds no snapshot and lives until it fires, is cancelled, or nobody has it any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from weakref import WeakSet

from recordlayer.errors import OperationCancelled, RecordLayerError, TooManyWatches
from recordlayer.waiting.waitable import Promise, Wake

_FEW = 100


class Watch(Promise[None]):
    """One watch: waits first for its transaction's commit, then for the change."""

    __slots__ = ("__weakref__", "_watches", "key", "owner", "value")

    def __init__(self, watches: Watches, key: bytes, value: bytes | None, owner: object) -> None:
        super().__init__()
        self._watches = watches
        self.owner = owner
        self.key = key
        self.value = value

    def cancel(self) -> None:
        self._watches.forget(self)

    def _add_wake(self, wake: Wake) -> None:
        self._watches.hold(self)
        super()._add_wake(wake)


class Watches:
    """Watches are held weakly but for those that have somebody to call: who forgets one frees its place."""

    def __init__(self) -> None:
        self.limit = 10_000
        self._lock = threading.Lock()
        self._all: WeakSet[Watch] = WeakSet()  # without an answer, started or not
        self._by_key: dict[bytes, WeakSet[Watch]] = {}
        self._awaited: set[Watch] = set()  # somebody is to be called, who need not have the watch itself

    @property
    def any(self) -> bool:
        return bool(self._by_key)

    def __len__(self) -> int:
        return len(self._all)

    def reserve(self, key: bytes, value: bytes | None, owner: object = None) -> Watch:
        """A watch that takes its place now and starts later.  Raises  TooManyWatches."""
        watch = Watch(self, key, value, owner)
        with self._lock:
            if len(self._all) >= self.limit:
                raise TooManyWatches(limit=self.limit)
            self._all.add(watch)
            if len(self._by_key) > 2 * len(self._all) + _FEW:
                self._by_key = {known: waiting for known, waiting in self._by_key.items() if waiting}
        return watch

    def hold(self, watch: Watch) -> None:
        """Keep a watch that has somebody to call."""
        with self._lock:
            if watch in self._all:
                self._awaited.add(watch)

    def start(self, watch: Watch, newest: Callable[[bytes], bytes | None]) -> None:
        """Its transaction is committed: wait for a change, which may have happened since."""
        with self._lock:
            if watch not in self._all:
                return
            self._by_key.setdefault(watch.key, WeakSet()).add(watch)
        if newest(watch.key) != watch.value:
            self._fire(watch)

    def answer(self, watch: Watch) -> None:
        """The watch has its answer before its transaction commits."""
        self._strike(watch)
        watch.resolve(None)

    def forget(self, watch: Watch, error: BaseException | None = None) -> None:
        """Free the watch's place; with `error`, tell its waiter."""
        self._strike(watch)
        watch.fail(error or OperationCancelled(key=watch.key))

    def changed(self, keys: Iterable[bytes], newest: Callable[[bytes], bytes | None]) -> None:
        """A commit wrote these keys."""
        for key in keys:
            if key in self._by_key:
                value = newest(key)
                with self._lock:
                    due = [watch for watch in self._by_key.get(key, ()) if watch.value != value]
                for watch in due:
                    self._fire(watch)

    def fail_all(self, error: RecordLayerError, *, owner: object = None) -> None:
        """Nobody will change anything any more, or the owner of these watches wants no answer."""
        with self._lock:
            waiting = [watch for watch in self._all if owner is None or watch.owner is owner]
        for watch in waiting:
            self.forget(watch, error.again())

    def die_in_child(self, error: RecordLayerError) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self.fail_all(error)

    def _fire(self, watch: Watch) -> None:
        self._strike(watch)
        watch.resolve(None)

    def _strike(self, watch: Watch) -> None:
        """Free the watch's place. Called before it gets its answer."""
        with self._lock:
            self._all.discard(watch)
            self._awaited.discard(watch)
            waiting = self._by_key.get(watch.key)
            if waiting is not None:
                waiting.discard(watch)
                if not waiting:
                    del self._by_key[watch.key]
