"""Scans of indexes that are no ranges of keys: words of a text, ranks, boxes.

Cost  see the index types: `index.text_scan`, `index.rank`, `index.rtree_scan`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.query.cost import Estimate
from recordlayer.query.identity import Part, of_index
from recordlayer.query.plan.base import Plan, Run

if TYPE_CHECKING:
    from recordlayer.metadata import Index

Open = Callable[[Any, ScanOptions], Cursor[Any]]
"""From the index type at work on a store (its maintainer) to a cursor over entries."""


class ScanBy:
    """The entries of an index that a scan of its own kind gives.

    way       the kind of scan, in a word
    what      what is looked for, in words
    parts     what continuations depend on besides the index: values that make two scans different
    open      makes the cursor
    estimate  what it is expected to read and to give
    """

    unit = "entries"
    children: tuple[Plan, ...] = ()

    def __init__(
        self,
        index: Index,
        way: str,
        what: str,
        parts: Part,
        open: Open,  # noqa: A002  (it is what it does)
        estimate: Estimate,
        *,
        reverse: bool = False,
    ) -> None:
        self.index = index.name
        self._definition = index
        self._way = way
        self._parts = parts
        self._open = open
        self._reverse = reverse
        text = f"[{what}]{' in reverse' * reverse}"
        self.title = f"{way} {index.name} {text}"
        self.line = f"{way}({index.name}{text})"
        self.estimate = estimate

    @property
    def identity(self) -> Part:
        return ("scan by", self._way, of_index(self._definition), self._parts, self._reverse)

    def execute(self, run: Run) -> Cursor[Any]:
        maintainer = run.store.index_maintainer(self.index)
        return self._open(maintainer, run.scan_options(reverse=self._reverse))
