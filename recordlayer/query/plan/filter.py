"""Filters: what no scan has answered.

Cost  no reads
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import Filter
from recordlayer.query.cost import CONDITION
from recordlayer.query.decide import Decide
from recordlayer.query.identity import Part
from recordlayer.query.plan.base import Plan, Run
from recordlayer.query.predicate import Predicate
from recordlayer.store.record import StoredRecord


class FilterRecords:
    """The records for which a condition is true."""

    unit = "records"

    def __init__(self, source: Plan, predicate: Predicate, decide: Mapping[str, Decide]) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self.predicate = predicate
        self.decide = decide
        below = source.estimate
        self.estimate = replace(below, rows=below.rows * CONDITION)

    @cached_property
    def title(self) -> str:
        return f"Filter {self.predicate}"

    @cached_property
    def line(self) -> str:
        return f"Filter({self.children[0].line}, {self.predicate})"

    @property
    def identity(self) -> Part:
        return self.children[0].identity

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        return Filter(self.children[0].execute(run), keeper(self.decide))


def keeper(decide: Mapping[str, Decide]) -> Callable[[StoredRecord], bool]:
    """Whether a record fulfils a condition that is decided for each type in its own way."""
    if len(decide) == 1:
        (only,) = decide.values()
        return lambda record: only(record.message, record) is True
    return lambda record: decide[record.record_type.name](record.message, record) is True


class FilterTypes:
    """The records of some types."""

    unit = "records"

    def __init__(self, source: Plan, names: tuple[str, ...]) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self._names = frozenset(names)
        self.title = f"Only {', '.join(names)}"
        self._shown = ", ".join(names)
        self.estimate = replace(source.estimate, rows=source.estimate.rows / 2)

    @cached_property
    def line(self) -> str:
        return f"Only({self.children[0].line}, {self._shown})"

    @property
    def identity(self) -> Part:
        return self.children[0].identity

    def execute(self, run: Run) -> Cursor[StoredRecord]:
        names = self._names
        return Filter(self.children[0].execute(run), lambda record: record.record_type.name in names)


class FilterEntries:
    """The index entries for which a condition is true, before any record is read."""

    unit = "entries"

    def __init__(self, source: Plan, predicate: Predicate, decide: Decide, message_of: Any) -> None:
        self.children: tuple[Plan, ...] = (source,)
        self.decide = decide
        self.predicate = predicate
        self._message_of = message_of
        below = source.estimate
        self.estimate = replace(below, rows=below.rows * CONDITION)

    @cached_property
    def title(self) -> str:
        return f"Filter entries {self.predicate}"

    @cached_property
    def line(self) -> str:
        return f"FilterEntries({self.children[0].line}, {self.predicate})"

    @property
    def identity(self) -> Part:
        return self.children[0].identity

    def execute(self, run: Run) -> Cursor[Any]:
        decide, message_of = self.decide, self._message_of
        return Filter(self.children[0].execute(run), lambda entry: decide(message_of(entry), None) is True)
