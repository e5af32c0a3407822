"""How much work planning one query may be, counted and bounded.

Planning looks at each index for each way to take a query apart. Where that would be more than is worth it, no further
ways are tried; a scan of the records is always there.
"""

from __future__ import annotations

MOST = 2_000
"""So many looks at an index for one query."""


class Effort:
    """The work on one query.

    looks  how often an index was asked what it can do
    plans  how many plans were proposed
    """

    __slots__ = ("looks", "plans")

    def __init__(self) -> None:
        self.looks = 0
        self.plans = 0

    @property
    def left(self) -> bool:
        """Whether more may be tried."""
        return self.looks < MOST

    def spend(self) -> None:
        self.looks += 1
