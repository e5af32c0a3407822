"""What commits overwrote, kept for readers of older versions.

The base holds the newest value of a key. For a reader at version r, the value is the one that the *first commit after
r* replaced, if there was one. So an entry is (version of a commit, value it replaced), entries of a key ascend, and a
reader takes the first whose version is above its own; without one, the base is right.

A commit shows its entries here before the base shows its changes (`pending`), so that a reader who looks at the base
first and here afterwards misses nothing, without a lock. When the commit is published its entries stay only if some
reader still needs them; an entry is needed only by readers between its key's previous entry and itself.

The last few commits stay as they came, one dict each: most readers are short, and a commit that nobody needs any more
then goes as a whole. Only when there are more of them, or large ones, the oldest is taken apart into the entries of its
keys, which is dear, but keeps reading cheap however far back.

The same entries say what was written since a version, which is what a commit that read needs to know: a transaction
at version r conflicts on a key exactly if the key has an entry above r.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, KeysView
from contextlib import AbstractContextManager
from itertools import islice

from recordlayer.kv.embedded.key_blocks import KeyBlocks
from recordlayer.kv.embedded.range_set import NO_RANGES, RangeSet
from recordlayer.kv.embedded.readers import Readers
from recordlayer.kv.embedded.undo_chain import (
    CURRENT,
    Chain,
    after,
    appended,
    before_last,
    chain_of,
    first_after,
    loud_after,
    made_loud,
    newest_of,
    with_last,
)

# Bytes counted for a key beside itself and its chain. With everything Python keeps a key takes about twice as much, so
# that a full window of the smallest values is twice its budget, and one of large values hardly more.
_OVERHEAD = 80
_PRUNE_STEP = 400  # keys a commit prunes at least, so that what piled up while it could not be pruned goes soon
_BURN_STEP = 2000
_AT_ONCE = 2000  # more than so many entries are freed piece by piece
_RECENT = 8  # commits that stay whole
_RECENT_BYTES = 8 << 20  # and what they may hold together


class Pending:
    """What a group under way is about to replace, and where it conflicts: of each key the value before the group, the
    keys that were written silently only, the ranges that were written."""

    __slots__ = ("_checked", "_sorted", "ranges", "silent", "size", "undo", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self.undo: dict[bytes, bytes | None] = {}
        self.silent: set[bytes] = set()  # written only by writes that asked for no conflict
        self.ranges: RangeSet = NO_RANGES
        self.size = 0
        self._checked: list[bytes] = []
        self._sorted: list[bytes] | None = None

    def written(self, key: bytes) -> bool:
        return (key in self.undo and key not in self.silent) or (bool(self.ranges) and self.ranges.covers(key))

    def written_in(self, begin: bytes, end: bytes) -> bool:
        if self.ranges and self.ranges.overlapping(begin, end):
            return True
        keys = self._checked
        if len(keys) < len(self.undo):  # a dict keeps its order: what came since is behind
            keys += islice(self.undo, len(keys), None)
            keys.sort()
        low, high = bisect_left(keys, begin), bisect_left(keys, end)
        return any(keys[at] not in self.silent for at in range(low, high))

    @property
    def held(self) -> int:
        """Bytes, as the window's budget counts them."""
        return self.size + _OVERHEAD * len(self.undo)

    def keys_in(self, begin: bytes, end: bytes) -> list[bytes]:
        """The keys of [begin, end). Asked by readers, once the group has put all its keys in."""
        keys = self._sorted
        if keys is None:
            keys = self._sorted = sorted(self.undo)
        return keys[bisect_left(keys, begin) : bisect_left(keys, end)]


class UndoWindow:
    """Entries of all keys that some reader may still need.

    Changed under the open file's state lock, which range reads take too where something changed since their version;
    reads of single keys take no lock.
    """

    def __init__(self, budget: int, lock: AbstractContextManager[object]) -> None:
        self.budget = budget
        self.floor = 0  # versions below this can no longer be read
        self.newest = 0  # version of the newest commit that is kept
        self.pending: Pending | None = None
        self.size = 0  # bytes held, as the budget counts them
        self._recent: tuple[Pending, ...] = ()  # oldest first; all of them newer than every entry of a chain
        self._merging = 0  # of the oldest of them, so many keys are in chains already
        self._merged = 0  # version of the newest entry of a chain
        self._lock = lock
        self._chains: dict[bytes, Chain] = {}
        self._keys = KeyBlocks()
        self._log: deque[tuple[int, tuple[bytes, ...]]] = deque()  # keys by commit, oldest first: what to prune
        self._pruned = 0  # of the first of them, so many keys
        self._trash: deque[Iterator[None]] = deque()

    # -- reading

    def changed_since(self, version: int) -> bool:
        """Whether a reader at `version` must look here. Ask after looking at the base."""
        return self.pending is not None or self.newest > version

    def value_at(self, key: bytes, version: int, newest: bytes | None) -> bytes | None:
        """The value of `key` at `version`, given what the base held when it was read *before* this call."""
        # Taken in this order: each is in the next before it leaves its place. Being found twice does no harm.
        pending, recent = self.pending, self._recent
        chain = self._chains.get(key)
        old = CURRENT if chain is None else first_after(chain, version)
        if old is CURRENT:
            for commit in recent:
                if commit.version > version and (old := commit.undo.get(key, CURRENT)) is not CURRENT:
                    break
            else:
                if pending is not None:
                    old = pending.undo.get(key, CURRENT)
        return newest if old is CURRENT else old  # type: ignore[return-value]  # CURRENT is the only stranger

    def changes(self, begin: bytes, end: bytes, version: int) -> dict[bytes, bytes | None]:
        """Of each key in [begin, end) written after `version`, the value it had then (None: it was absent)."""
        pending, recent = self.pending, self._recent
        found: dict[bytes, bytes | None] = {}
        if self._merged > version:
            with self._lock:
                keys = self._keys.newer(begin, end, version)
            for key in keys:
                chain = self._chains.get(key)
                if chain is not None and (old := first_after(chain, version)) is not CURRENT:
                    found[key] = old  # type: ignore[assignment]  # CURRENT is the only stranger
        for commit in recent if pending is None else (*recent, pending):
            if commit.version > version:
                for key in commit.keys_in(begin, end):
                    found.setdefault(key, commit.undo[key])
        return found

    @property
    def holds_nothing(self) -> bool:
        """Whether there is nothing at all to keep, to prune or to free."""
        return not (self._recent or self._chains or self._log or self._trash)

    @property
    def has_entries(self) -> bool:
        return bool(self._chains or self._recent)

    # -- conflicts, asked by who commits: nobody else changes anything meanwhile

    def touches(self, keys: KeysView[bytes], version: int) -> bool:
        """Whether any of `keys` may have been written after `version`. A no is sure, and quick."""
        if self._merged > version:
            return True
        for commit in reversed(self._recent):
            if commit.version <= version:
                return False
            if not commit.undo.keys().isdisjoint(keys):
                return True
        return False

    def written_since(self, key: bytes, version: int) -> bool:
        for commit in reversed(self._recent):
            if commit.version <= version:
                return False
            if key in commit.undo and key not in commit.silent:
                return True
        if self._merged <= version:
            return False
        chain = self._chains.get(key)
        return chain is not None and loud_after(chain, version)

    def written_in(self, begin: bytes, end: bytes, version: int) -> bool:
        """Whether any key in [begin, end) was written after `version`."""
        for commit in reversed(self._recent):
            if commit.version <= version:
                return False
            if any(key not in commit.silent for key in commit.keys_in(begin, end)):
                return True
        if self._merged <= version:
            return False
        with self._lock:
            keys = self._keys.newer(begin, end, version)
        return any(self.written_since(key, version) for key in keys)

    # -- changing, under the state lock

    def keep(self, pending: Pending) -> None:
        """Take over what a commit replaced, which readers below its version need."""
        if pending.undo:
            self._recent = (*self._recent, pending)
            self.size += pending.held
            self.newest = pending.version

    @property
    def crowded(self) -> bool:
        """Whether there are more recent commits than should stay whole."""
        recent = self._recent
        return len(recent) > _RECENT or (len(recent) > 1 and sum(commit.held for commit in recent) > _RECENT_BYTES)

    def merge(self, readers: Readers, step: int) -> None:
        """Take up to `step` keys of the oldest recent commit into chains; with the last of them it goes."""
        oldest = self._recent[0]
        at = self._merging
        keys = tuple(islice(oldest.undo, at, at + step))
        self._chain(oldest, readers, keys)
        self._merging = at + len(keys)
        if self._merging == len(oldest.undo):
            self._recent = self._recent[1:]
            self._merging = 0
            self.size -= oldest.held

    def _chain(self, pending: Pending, readers: Readers, keys: tuple[bytes, ...]) -> None:
        """Put entries of a commit into the chains of its keys, as far as readers below its version need them."""
        version, undo, silent, chains = pending.version, pending.undo, pending.silent, self._chains
        for key in keys:
            old = undo[key]
            loud = key not in silent
            chain = chains.get(key)
            if chain is None:
                chains[key] = fresh = chain_of(version, old, loud=loud)
                self.size += len(key) + len(fresh) + _OVERHEAD
                continue
            last = newest_of(chain)
            if not readers.any_between(last, version):
                # Nobody reads between the last write and this one. Readers further back find that older entry; it
                # must count as a conflict if this one does.
                if loud:
                    chains[key] = made_loud(chain)
                continue
            if readers.any_between(before_last(chain), last):
                longer = appended(chain, version, old, loud=loud)
            else:  # those who needed the last entry have left: it makes room
                longer = with_last(chain, version, old, loud=loud)
            chains[key] = longer
            self.size += len(longer) - len(chain)
        if keys:
            self._log.append((version, keys))
            self._keys.note(version, keys)
            self._merged = version

    def raise_floor(self, oldest: int | None, published: int) -> None:
        """Versions below the oldest reader's are no longer readable. Before anything goes: readers look at the floor
        after they have read."""
        floor = published if oldest is None else min(oldest, published)
        if floor > self.floor:
            self.floor = floor
            self._drop_recent(floor)
            self._keys.forget_below(floor)
        if oldest is None or oldest >= published:
            self.forget()

    def _drop_recent(self, floor: int) -> None:
        """Commits at or below the floor are needed by nobody."""
        recent = self._recent
        dead = 0
        while dead < len(recent) and recent[dead].version <= floor:
            self.size -= recent[dead].held
            if len(recent[dead].undo) > _AT_ONCE:
                self._trash.append(_freeing_values(recent[dead].undo))
            dead += 1
        if dead:
            self._recent = recent[dead:]
            self._merging = 0

    def prune(self, step: int) -> bool:
        """Drop entries that only versions below the floor needed, of about `step` keys; False if there are none."""
        floor, chains, log = self.floor, self._chains, self._log
        while step > 0:
            if not log or log[0][0] > floor:
                return False
            keys = log[0][1][self._pruned : self._pruned + step]
            step -= len(keys)
            self._pruned += len(keys)
            if self._pruned == len(log[0][1]):
                log.popleft()
                self._pruned = 0
            for key in keys:
                chain = chains.get(key)
                kept = None if chain is None else after(chain, floor)
                if kept is None:
                    self._keys.drop(key)  # without a chain too: it may have been put in order after that had gone
                    if chain is not None:
                        self.size -= len(key) + len(chain) + _OVERHEAD
                        del chains[key]
                elif kept is not chain:
                    assert chain is not None
                    self.size -= len(chain) - len(kept)
                    chains[key] = kept
        return True

    def prune_after(self, pending: Pending) -> None:
        """The share of pruning that a commit does: more than it adds."""
        if self._trash:
            self._burn(_BURN_STEP)
        if self._log:
            self.prune(max(_PRUNE_STEP, 2 * len(pending.undo)))

    def forget(self) -> None:
        """Drop all entries."""
        if len(self._chains) > _AT_ONCE:
            self._trash.append(_freeing(self._chains, self._keys, self._log))
        if self._chains or self._log:
            self._chains, self._keys, self._log, self._pruned = {}, KeyBlocks(), deque(), 0
        self._drop_recent(self._recent[-1].version if self._recent else 0)
        self.size = 0
        self.newest = self._merged = 0

    def start_over(self, version: int) -> None:
        """Forget everything but the newest version, which is `version`."""
        self.floor = version
        self.forget()
        self.pending = None

    def recount(self) -> int:
        """The size, counted anew. For tests."""
        chained = sum(len(key) + len(chain) + _OVERHEAD for key, chain in self._chains.items())
        return chained + sum(commit.held for commit in self._recent)

    def _burn(self, step: int) -> None:
        for _ in islice(self._trash[0], step):
            pass
        if next(self._trash[0], CURRENT) is CURRENT:
            self._trash.popleft()


def _freeing(chains: dict[bytes, Chain], keys: KeyBlocks, log: deque[tuple[int, tuple[bytes, ...]]]) -> Iterator[None]:
    """Frees a little with each step: hundreds of thousands of objects at once would hold everybody up."""
    while chains:
        chains.popitem()
        yield
    while keys.free_some():
        yield
    while log:
        log.pop()
        yield


def _freeing_values(undo: dict[bytes, bytes | None]) -> Iterator[None]:
    while undo:
        undo.popitem()
        yield
