"""Random transactions against the model: saves, updates, deletions; committed, given up, in conflict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import Conflict
from recordlayer.kv.context import Context
from recordlayer.testing.index_suite.harness import Harness, examples, needs
from recordlayer.testing.index_suite.history import History
from recordlayer.world import World


class Updates(Harness):
    @examples(5)
    @given(data=st.data())
    def test_the_index_holds_what_the_model_says_after_each_transaction(self, case: str, data: Any) -> None:
        self.clear()
        history = History()
        for ending in data.draw(st.lists(st.sampled_from(["commit", "commit", "give up", "conflict"]), max_size=5)):
            steps = data.draw(self.steps())
            if ending == "commit":
                history = self.transact(steps, history)
            else:
                self._in_vain(steps, history, ending)
            self.assert_holds(case, history)
        self.assert_clean()

    def _in_vain(self, steps: Any, history: History, ending: str) -> None:
        with self.transaction() as store:
            self.apply(store, steps, history)
            if ending == "conflict":
                key = b"index-suite-meddled/" + self.prefix
                store.context.add_read_conflict_key(key)
                store.context.set(key, b"mine")
                other = Context(self.engine.begin(), world=World())
                other.set(key, b"another's")
                self.do(other.commit())
                other.close()
                with pytest.raises(Conflict):
                    self.do(store.context.commit())
                self.clear(key)

    @needs("own_writes")
    @examples(3)
    @given(data=st.data())
    def test_a_transaction_sees_what_it_has_written(self, case: str, data: Any) -> None:
        self.clear()
        history = self.transact(data.draw(self.steps()), History())
        with self.transaction() as store:
            for _ in range(3):
                history = self.apply(store, data.draw(self.steps(most=2)), history)
                self.assert_holds(case, history, store)
            history = self.commit(store, history)
        self.assert_holds(case, history)

    @examples(1)
    @given(data=st.data())
    def test_a_store_without_records_has_an_index_that_holds_nothing_of_them(self, case: str, data: Any) -> None:
        self.clear()
        self.transact(data.draw(self.steps()), History())
        with self.transaction() as store:
            self.do(store.delete_all())
            self.do(store.context.commit())
        assert self.pairs() == {}
        self.assert_holds(case, History())
