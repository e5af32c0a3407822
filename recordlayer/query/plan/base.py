"""What a plan node is.

A plan is a tree of nodes, made once by the planner and run any number of times, on any store with the same metadata.
Running gives a cursor whose continuations mean something for this plan only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from recordlayer.cursor.limits import Budget
from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.kv.engine import Chunk
from recordlayer.query.cost import Estimate
from recordlayer.query.identity import Part
from recordlayer.store.store import RecordStore
from recordlayer.waiting.waitable import Waitable


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a plan.

    expect  about how many results will be taken, 0 if unknown: how much to read at first
    limit   how many results will be taken at most, 0 if all
    begun   first reads of the scans that are under way already, in the order in which the scans are made
    """

    store: RecordStore
    continuation: bytes | None = None
    snapshot: bool = False
    expect: int = 0
    limit: int = 0
    budget: Budget | None = None
    begun: Iterator[Waitable[Chunk]] | None = None

    def scan_options(self, *, reverse: bool) -> ScanOptions:
        return ScanOptions(
            reverse=reverse,
            snapshot=self.snapshot,
            expect=self.expect,
            continuation=self.continuation,
            budget=self.budget,
            begun=None if self.begun is None else next(self.begun, None),
        )


class Node(Protocol):
    """What every node says about itself.

    title     one line about this node alone, for trees
    line      the whole plan in one line, for logs and golden files
    unit      what the rows are called
    """

    unit: str
    estimate: Estimate
    children: tuple[Plan, ...]

    @property
    def title(self) -> str: ...

    @property
    def line(self) -> str: ...


class Plan(Node, Protocol):
    """A node that gives rows.

    identity  what its continuations mean: two plans with the same one may resume each other's. See `query.identity`
    """

    @property
    def identity(self) -> Part: ...

    def execute(self, run: Run) -> Cursor[Any]:
        """The rows of this node."""
