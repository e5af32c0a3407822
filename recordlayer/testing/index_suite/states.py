"""What a writer must do in each state of an index."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import IndexNotReadable, IndexNotSupported
from recordlayer.index.state import IndexState
from recordlayer.store.build import rebuild
from recordlayer.store.marking import clear_and_mark, mark_disabled, mark_write_only
from recordlayer.testing.index_suite.harness import INDEX, Harness, examples
from recordlayer.testing.index_suite.history import History


class States(Harness):
    @examples(2)
    @given(data=st.data())
    def test_a_disabled_index_is_empty_and_not_written(self, case: str, data: Any) -> None:
        self.clear()
        history = self.transact(data.draw(self.steps()), History())
        with self.transaction() as store:
            self.do(mark_disabled(store, self.index))
            self.do(store.context.commit())
        history = self.transact(data.draw(self.steps()), history)
        assert self.pairs() == {}
        with self.transaction() as store, pytest.raises(IndexNotReadable):
            store.scan_index(INDEX)
        with self.transaction() as store:
            self.do(rebuild(store, self.index))
            self.do(store.context.commit())
        self.assert_holds(case, history.built_anew())

    @examples(2)
    @given(data=st.data())
    def test_an_index_that_was_complete_goes_on_being_written_where_nobody_reads_it(self, case: str, data: Any) -> None:
        self.clear()
        history = self.transact(data.draw(self.steps()), History())
        with self.transaction() as store:
            self.do(mark_write_only(store, self.index))
            self.do(store.context.commit())
        history = self.transact(data.draw(self.steps()), history)
        with self.transaction() as store, pytest.raises(IndexNotReadable):
            store.scan_index(INDEX)
        with self.transaction() as store:
            store.states.set(self.index, IndexState.READABLE)
            self.do(store.context.commit())
        self.assert_holds(case, history)

    @examples(1)
    @given(data=st.data())
    def test_an_index_whose_changes_go_to_a_queue_refuses_the_record_and_writes_nothing(
        self, case: str, data: Any
    ) -> None:
        self.clear()
        with self.transaction() as store:
            clear_and_mark(store, self.index, IndexState.WRITE_ONLY_WITH_QUEUE)
            self.do(store.context.commit())
        with self.transaction() as store:
            with pytest.raises(IndexNotSupported):
                self.do(store.save(data.draw(self.items())))
            assert store.context.counters.writes == 0
