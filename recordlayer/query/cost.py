"""What a plan is expected to cost: pairs read and round trips.

How many rows there are is the business of `query.knowledge`; these are the assumptions that it falls back on, and the
weights by which plans are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

ASSUMED_RECORDS = 10_000
EQUALITY = 0.01
"""Part of the entries that have one value of a column."""
RANGE = 0.3
TEXT = 0.05
GROUPS = 0.1
"""How many groups there are, as a part of the records."""
CONDITION = 0.3
"""Part of the records that fulfil a condition which no index answers."""
ROUND_TRIP = 5.0
"""A round trip weighs as many pairs."""
FETCH = 1.0
"""A record read by its key weighs as many pairs more than one of a range: it is a read of its own."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """rows: what comes out; keys: pairs read; round_trips: waits one after the other; fetched: how many of the pairs
    are records read one by one."""

    rows: float
    keys: float
    round_trips: int
    fetched: float = 0.0

    @property
    def cost(self) -> float:
        return self.keys + FETCH * self.fetched + ROUND_TRIP * self.round_trips


def shown(rows: float) -> str:
    """A rough number: two digits at most."""
    if rows < 1.5:
        return "~1"
    digits = len(str(round(rows))) - 2
    return f"~{round(rows, -digits) if digits > 0 else round(rows):,.0f}"
