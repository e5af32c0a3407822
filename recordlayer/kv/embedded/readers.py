"""Which versions are being read.

A version is kept readable while a transaction that reads it is younger than five seconds. Everything here is guarded
by the open file's state lock; nothing takes longer than a few steps.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from recordlayer.kv.engine import LIFETIME_SECONDS


class Readers:
    def __init__(self) -> None:
        # version -> [how many transactions read it, when the youngest of them began]
        self.cells: dict[int, list[float]] = {}
        self.count = 0  # transactions that read, about
        self._versions: list[int] = []  # the cells' versions, ascending; new ones are nearly always the highest

    def enter(self, version: int, now: float) -> None:
        self.count += 1
        cell = self.cells.get(version)
        if cell is None:
            self.cells[version] = [1, now]
            if self._versions and version < self._versions[-1]:
                insort(self._versions, version)
            else:
                self._versions.append(version)
        else:
            cell[0] += 1
            cell[1] = now

    def leave(self, version: int) -> None:
        """One reader less. Ignored when the version has been given up meanwhile."""
        cell = self.cells.get(version)
        if cell is None:
            return
        if cell[0] > 1:
            cell[0] -= 1
            self.count -= 1
        elif self._versions[-1] == version:  # the usual case, in as few steps as it can be: see `_drop`
            self.count -= 1
            del self.cells[version]
            del self._versions[-1]
        else:
            self._drop(version)

    def expire(self, now: float) -> None:
        """Forget versions whose youngest reader is over five seconds old, however many forgot to leave."""
        due = now - LIFETIME_SECONDS
        for version in [v for v in self._versions[:64] if self.cells[v][1] < due]:
            self._drop(version)

    def give_up_below(self, version: int) -> None:
        """Forget every version below `version`."""
        for old in self._versions[: bisect_left(self._versions, version)]:
            self._drop(old)

    def oldest(self) -> int | None:
        return self._versions[0] if self._versions else None

    def reads(self, version: int) -> bool:
        """Whether what a reader of `version` needs is still kept. Needs no lock."""
        return version in self.cells

    def any_between(self, low: int, high: int) -> bool:
        """Whether a version in [low, high) is being read."""
        at = bisect_left(self._versions, low)
        return at < len(self._versions) and self._versions[at] < high

    def __len__(self) -> int:
        return len(self._versions)

    def _drop(self, version: int) -> None:
        at = bisect_left(self._versions, version)
        self.count -= int(self.cells[version][0])
        # Nothing is called from here on: a Ctrl-C comes before both or after both.
        del self.cells[version]
        del self._versions[at]
