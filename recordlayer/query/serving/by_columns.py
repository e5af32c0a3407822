"""Indexes whose entries lie by the columns of their root expression: VALUE, VERSION, and the entries of RANK and
PERMUTED_MIN/MAX. Columns are bound from the left, the next one may have a range, what follows is order.

Source  Record Layer, ValueIndexScanMatchCandidate, ScanComparisons
"""

from __future__ import annotations

from collections.abc import Iterator

from recordlayer.query.match import match
from recordlayer.query.plan.fetch import OnceEach
from recordlayer.query.plan.scan import ScanIndex
from recordlayer.query.serving.protocol import Asked, Offer


def by_columns(asked: Asked) -> Iterator[Offer]:
    """The tightest scan of one or several ranges."""
    index = asked.index
    found = match(asked.columns, asked.conditions)
    if found.misses:
        asked.refuse("has no entries of records whose repeated field is empty")
        return
    unique = index.unique and found.equalities >= index.column_size
    rows = asked.rows(found, unique=unique)
    scan = ScanIndex(index, found.ranges, reverse=asked.reverse, answered=found.answered, rows=rows)
    once = OnceEach(index=index.name, ranges=found.ranges, reverse=asked.reverse) if found.repeats else None
    yield Offer(index=index, scan=scan, found=found, columns=asked.columns, once=once, reader=asked.reader)
