"""Keys in order, as far as somebody asks for it.

What commits write is noted as it comes, which costs nothing. Who asks for the keys of a range puts a part of what is
noted in order, and looks through the rest: so ordering is paid for by those who need it, a little each time, and once
for each key. Ordered keys lie in blocks, each with the version of the newest write to any of its keys; who asks what
changed since a version skips every block that is older.

Changed and asked under the open file's state lock.

Cost  of noting a commit: one step. Of asking: a search for each of ORDERED_AT_ONCE keys at most that are not in order,
      a look at all others of those newer than the version, a step for each block of the range.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

MOST = 512  # keys of a block before it is cut in two
_FEW = 64  # keys of a block before it may be joined with the next
_LAST = b"\xff" * 4  # behind every key: even system keys are below ff ff
ORDERED_AT_ONCE = 2000


class KeyBlocks:
    def __init__(self) -> None:
        # A block holds keys up to and including its bound; the last bound is behind every key.
        self._bounds: list[bytes] = [_LAST]
        self.blocks: list[list[bytes]] = [[]]
        self._newest: list[int] = [0]
        self._ordered: dict[bytes, None] = {}  # a set, but one that the garbage collector need not look at
        self._noted: deque[tuple[int, tuple[bytes, ...]]] = deque()  # not in order yet, oldest commit first
        self._done = 0  # of the first of them, so many keys are in order

    def note(self, version: int, keys: tuple[bytes, ...]) -> None:
        """`keys` were written at `version`, which is no older than any before."""
        self._noted.append((version, keys))

    def drop(self, key: bytes) -> None:
        """Nobody needs this key any more."""
        if key not in self._ordered:
            return
        del self._ordered[key]
        at = bisect_left(self._bounds, key)
        block = self.blocks[at]
        del block[bisect_left(block, key)]
        if len(block) < _FEW and at + 1 < len(self.blocks) and len(self.blocks[at + 1]) < MOST // 4:
            self.blocks[at : at + 2] = [block + self.blocks[at + 1]]
            self._newest[at : at + 2] = [max(self._newest[at : at + 2])]
            del self._bounds[at]

    def newer(self, begin: bytes, end: bytes, version: int) -> list[bytes]:
        """Keys of [begin, end), among them all that were written after `version`; some may come twice."""
        self._order(ORDERED_AT_ONCE)
        first, last = bisect_left(self._bounds, begin), bisect_left(self._bounds, end)
        found: list[bytes] = []
        for at in range(first, last + 1):
            if self._newest[at] > version:
                block = self.blocks[at]
                low = bisect_left(block, begin) if at == first else 0
                high = bisect_left(block, end) if at == last else len(block)
                found += block[low:high]
        for written, keys in reversed(self._noted):
            if written <= version:
                break
            found += [key for key in keys if begin <= key < end]
        return found

    def forget_below(self, version: int) -> None:
        """Nobody asks about versions below `version` any more."""
        while self._noted and self._noted[0][0] <= version:
            self._noted.popleft()
            self._done = 0

    def free_some(self) -> bool:
        """When nobody needs any of it: free a part. False if that was all."""
        if self.blocks:
            for key in self.blocks.pop():
                del self._ordered[key]
        elif self._noted:
            self._noted.pop()
        return bool(self.blocks or self._noted)

    def _order(self, step: int) -> None:
        """Put up to `step` keys in order, oldest first."""
        while step > 0 and self._noted:
            version, keys = self._noted[0]
            part = keys[self._done : self._done + step]
            if not part:
                self._noted.popleft()
                self._done = 0
                continue
            step -= len(part)
            self._done += len(part)
            for key in part:
                self._put(key, version)

    def _put(self, key: bytes, version: int) -> None:
        at = bisect_left(self._bounds, key)
        if self._newest[at] < version:
            self._newest[at] = version
        if key in self._ordered:
            return
        self._ordered[key] = None
        block = self.blocks[at]
        if block and key < block[-1]:
            insort(block, key)
        else:
            block.append(key)
        if len(block) > MOST:
            middle = len(block) // 2
            self.blocks[at : at + 1] = [block[:middle], block[middle:]]
            self._bounds.insert(at, block[middle - 1])
            self._newest.insert(at, self._newest[at])
