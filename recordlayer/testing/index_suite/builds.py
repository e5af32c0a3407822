"""Building an index over records that are there: at once, and piece by piece while others go on writing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recordlayer.index.bounds import Bounds, End
from recordlayer.index.state import IndexState
from recordlayer.store.build import build_records, rebuild
from recordlayer.store.layout import Keyspace
from recordlayer.store.marking import clear_and_mark, mark_readable
from recordlayer.store.store import RecordStore
from recordlayer.testing.index_suite.harness import Harness, examples, needs
from recordlayer.testing.index_suite.history import History
from recordlayer.tuples import pack

PIECES = ((None, (2,)), ((2,), (5,)), ((5,), None))
"""Ranges of primary keys that together are all."""


class Builds(Harness):
    @examples(2)
    @given(data=st.data())
    def test_an_index_that_is_rebuilt_holds_what_the_model_says_of_the_records(self, case: str, data: Any) -> None:
        self.clear()
        history = self.transact(data.draw(self.steps(most=10)), History())
        history = self.transact(data.draw(self.steps()), history)
        with self.transaction() as store:
            self.do(rebuild(store, self.index))
            self.do(store.context.commit())
        history = history.built_anew()
        self.assert_holds(case, history)
        self.assert_clean()
        history = self.transact(data.draw(self.steps()), history)
        self.assert_holds(case, history)

    @needs("rebuild")
    @examples(2)
    @given(data=st.data())
    def test_an_index_that_is_rebuilt_has_the_bytes_of_one_that_was_kept(self, case: str, data: Any) -> None:
        self.clear()
        history = self.transact(data.draw(self.steps(most=10)), History())
        self.transact(data.draw(self.steps()), history)
        kept = self.pairs()
        with self.transaction() as store:
            self.do(rebuild(store, self.index))
            self.do(store.context.commit())
        assert self.pairs() == kept

    @examples(3)
    @given(data=st.data())
    def test_a_build_in_pieces_counts_each_record_once_whoever_writes_meanwhile(self, case: str, data: Any) -> None:
        self.clear()
        history = self.transact(data.draw(self.steps(most=8)), History())
        with self.transaction() as store:
            clear_and_mark(store, self.index, IndexState.WRITE_ONLY)
            self.do(store.context.commit())
        for piece in data.draw(st.permutations(PIECES)):
            with self.transaction() as store:
                self.build_piece(store, *piece)
                self.do(store.context.commit())
            history = self.transact(data.draw(self.steps(most=3)), history)
        with self.transaction() as store:
            assert self.do(mark_readable(store, self.index))
            self.do(store.context.commit())
        self.assert_built(case, history)

    @examples(2)
    @given(data=st.data())
    def test_a_build_that_is_given_up_goes_on_where_it_was(self, case: str, data: Any) -> None:
        self.clear()
        history = self.transact(data.draw(self.steps(most=8)), History())
        with self.transaction() as store:
            clear_and_mark(store, self.index, IndexState.WRITE_ONLY)
            self.do(store.context.commit())
        for piece in PIECES:
            with self.transaction() as store:
                self.build_piece(store, *piece)  # and then the process dies
            with self.transaction() as store:
                self.build_piece(store, *piece)
                history = self.apply(store, data.draw(self.steps(most=2)), history)
                history = self.commit(store, history)
        with self.transaction() as store:
            self.do(mark_readable(store, self.index))
            self.do(store.context.commit())
        self.assert_built(case, history)

    def build_piece(self, store: RecordStore, low: Any, high: Any) -> None:
        """Index the records of a range and note that they are."""
        ranges = self.layout.of(Keyspace.INDEX_RANGES) + pack((self.index.subspace_key,))
        begin = b"\x00" if low is None else pack(low)
        end = b"\xff" if high is None else pack(high)
        bounds = Bounds.between(low, high, high_end=End.EXCLUSIVE)
        cursor = store.scan(bounds)
        while True:
            batch = self.do(cursor.batch())
            self.do(build_records(store, self.index, batch.values))
            if batch.stop is not None:
                break
        store.context.set(pack((begin,), ranges), end)
        store.context.add_write_conflict_range(pack((begin,), ranges), pack((end,), ranges))

    def assert_built(self, case: str, history: History) -> None:
        """The index holds what it would if it had been built now. What ever was may be more than that: a record may
        have been changed between two pieces."""
        if "rebuild" not in self.lacks:
            self.assert_holds(case, history.built_anew())
        self.assert_clean()
