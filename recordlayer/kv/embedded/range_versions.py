"""Which ranges were written, and when: cleared ranges and explicit write conflict ranges.

Single keys are the undo window's; a range also covers keys that were never there, so it is kept here, as a step
function from keys to the version of the last range written over them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

Range = tuple[bytes, bytes]

_WORTH_PRUNING = 1000


class RangeVersions:
    """A step function over all keys: the last version at which a range over the key was written."""

    def __init__(self) -> None:
        self._starts: list[bytes] = [b""]
        self._versions: list[int] = [0]
        self._prune_at = _WORTH_PRUNING  # steps; looking through all of them at every commit would be dear
        self.newest = 0

    def write(self, begin: bytes, end: bytes, version: int) -> None:
        """[begin, end) was written at `version`, which is no older than any before."""
        starts, versions = self._starts, self._versions
        low, high = bisect_left(starts, begin), bisect_left(starts, end)
        if high < len(starts) and starts[high] == end:
            starts[low:high], versions[low:high] = [begin], [version]
        else:
            after = versions[high - 1]  # holds at `end` and from there on, as before
            starts[low:high], versions[low:high] = [begin, end], [version, after]
        self.newest = version

    def written_in(self, begin: bytes, end: bytes, version: int) -> bool:
        """Whether any of [begin, end) was written after `version`."""
        if self.newest <= version:
            return False
        low = bisect_right(self._starts, begin) - 1
        high = bisect_left(self._starts, end)
        return any(v > version for v in self._versions[low:high])

    def prune(self, version: int, *, now: bool = False) -> None:
        """Forget what was written at or before `version`, if it is worth while or `now`."""
        if self.newest == 0:
            return
        if self.newest <= version:
            self._starts, self._versions, self.newest = [b""], [0], 0
            self._prune_at = _WORTH_PRUNING
            return
        if len(self._starts) < self._prune_at and not now:
            return
        starts, versions = [b""], [0]
        for start, written in zip(self._starts, self._versions, strict=True):
            kept = written if written > version else 0
            if start == b"":
                versions[0] = kept
            elif kept != versions[-1]:
                starts.append(start)
                versions.append(kept)
        self._starts, self._versions = starts, versions
        self._prune_at = max(_WORTH_PRUNING, 2 * len(starts))

    def __len__(self) -> int:
        return len(self._starts)
