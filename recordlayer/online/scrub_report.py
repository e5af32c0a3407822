"""What scrubs and repairs found, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubFinding:
    """Something that does not agree, with what it is about.

    where     the index, or the records
    repaired  it was put right, in the transaction that found it
    trouble   why it was not, where repairing was asked for
    """

    where: str
    what: str
    detail: Any = None
    repaired: bool = False
    trouble: str = ""

    def __str__(self) -> str:
        detail = "" if self.detail is None else f": {self.detail!r}"
        outcome = " (repaired)" if self.repaired else f" (not repaired: {self.trouble})" if self.trouble else ""
        return f"{self.where}: {self.what}{detail}{outcome}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubReport:
    """How a scrub or a repair went, or goes.

    finished      whether everything was looked at; otherwise it can be continued
    indexes       that were to be looked at; those that cannot be judged so are in `not_judged`
    records       looked at (pairs of records, in a repair of those), and `entries` of indexes
    found         how much did not agree, `repaired` how much of that was put right
    findings      the first of them
    transactions  committed, and `retries` that had to be tried again
    """

    finished: bool = False
    indexes: tuple[str, ...] = ()
    not_judged: tuple[str, ...] = ()
    records: int = 0
    entries: int = 0
    found: int = 0
    repaired: int = 0
    findings: tuple[ScrubFinding, ...] = ()
    transactions: int = 0
    retries: int = 0
    took: timedelta = timedelta(0)
