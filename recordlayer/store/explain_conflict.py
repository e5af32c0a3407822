"""What a conflict was about: the record, or the entry of an index, that somebody else changed.

The embedded engine always knows; a cluster tells if the transaction was asked to report it
(`TransactionOptions.report_conflicts`). Nothing is read from the database for it.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from recordlayer.errors import Conflict
from recordlayer.kv.context import Context
from recordlayer.observe.events import ConflictMet
from recordlayer.observe.fields import text_of

MOST_TOLD = 10
Range = tuple[bytes, bytes]


@runtime_checkable
class Describing(Protocol):
    """Places that have words for their keys."""

    @property
    def prefix(self) -> bytes: ...

    def describe(self, begin: bytes, end: bytes) -> str: ...


async def explain_conflict(context: Context, error: Conflict) -> None:
    """Have `error` say what conflicted, in its field `conflicts`, and tell observers. To be awaited before the
    transaction is tried again."""
    ranges = await context.transaction.conflicting_ranges()
    told = tuple(describe(context, begin, end) for begin, end in ranges[:MOST_TOLD])
    if len(ranges) > MOST_TOLD:
        told += (f"{len(ranges) - MOST_TOLD:,} more",)
    if told:
        error.add(conflicts=told)
    if (observed := context.observed) is not None:
        observed.emit(ConflictMet(origin=observed.origin, ranges=tuple(ranges), conflicts=told))


def describe(context: Context, begin: bytes, end: bytes) -> str:
    """The keys from `begin` up to `end` in words, by the stores that were opened in the transaction."""
    found: Describing | None = None
    for places in context.places:
        longer = found is None or len(places.prefix) > len(found.prefix)
        if longer and begin.startswith(places.prefix) and isinstance(places, Describing):
            found = places
    if found is not None:
        return found.describe(begin, end)
    if end == begin + b"\x00":
        return f"key {text_of(begin)}, in no store that this transaction opened"
    return f"keys from {text_of(begin)} up to {text_of(end)}, in no store that this transaction opened"
