"""Scans of the whole index: both directions, limits, and going on behind every element."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Stop, drain
from recordlayer.index.bounds import Bounds
from recordlayer.store.store import RecordStore
from recordlayer.testing.index_suite.harness import INDEX, Harness, examples, needs, shown
from recordlayer.testing.index_suite.history import History


class Scans(Harness):
    def scanned(self, store: RecordStore, **how: Any) -> list[Any]:
        return [shown(found) for found in self.do(drain(store.scan_index(INDEX, Bounds.ALL, ScanOptions(**how))))]

    @needs("scan")
    @examples(2)
    @given(data=st.data())
    def test_a_scan_goes_on_behind_every_element_in_both_directions(self, case: str, data: Any) -> None:
        self.clear()
        self.transact(data.draw(self.steps(most=10)), History())
        with self.transaction() as store:
            whole = self.scanned(store)
            assert self.scanned(store, reverse=True) == whole[::-1]
            for reverse in (False, True):
                rest = whole[::-1] if reverse else whole
                self._walk(store, rest, reverse=reverse)

    def _walk(self, store: RecordStore, rest: list[Any], *, reverse: bool) -> None:
        continuation = None
        while rest:
            assert self.scanned(store, reverse=reverse, continuation=continuation) == rest
            options = ScanOptions(reverse=reverse, continuation=continuation, limit=1)
            step = self.do(store.scan_index(INDEX, Bounds.ALL, options).next())
            assert step.has_value
            assert shown(step.value) == rest[0]
            continuation, rest = step.continuation, rest[1:]
        if continuation is not None:
            options = ScanOptions(reverse=reverse, continuation=continuation)
            end = self.do(store.scan_index(INDEX, Bounds.ALL, options).next())
            assert (end.has_value, end.stop) == (False, Stop.EXHAUSTED)

    @needs("scan", "own_writes")
    @examples(2)
    @given(data=st.data())
    def test_a_scan_of_uncommitted_entries_goes_on_behind_every_element(self, case: str, data: Any) -> None:
        self.clear()
        history = self.transact(data.draw(self.steps()), History())
        with self.transaction() as store:
            self.apply(store, data.draw(self.steps()), history)
            whole = self.scanned(store)
            self._walk(store, whole, reverse=False)
            self._walk(store, whole[::-1], reverse=True)

    @needs("scan")
    @examples(2)
    @given(data=st.data())
    def test_a_limit_stops_a_scan_after_so_many(self, case: str, data: Any) -> None:
        self.clear()
        self.transact(data.draw(self.steps(most=10)), History())
        with self.transaction() as store:
            whole = self.scanned(store)
            for limit in range(1, len(whole) + 1):
                assert self.scanned(store, limit=limit) == whole[:limit]
                assert self.scanned(store, limit=limit, reverse=True) == whole[::-1][:limit]
