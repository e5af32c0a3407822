"""Whether `store.check` notices what somebody has done to an index behind its back."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from recordlayer.store.check import check
from recordlayer.testing.index_suite.harness import Harness, examples, needs
from recordlayer.testing.index_suite.history import History


class Checks(Harness):
    @needs("damage")
    @examples(2)
    @given(data=st.data())
    def test_a_pair_that_was_removed_is_missed(self, case: str, data: Any) -> None:
        self.clear()
        self.transact(data.draw(self.steps()), History())
        pairs = self.pairs()
        lost = sorted(key for key, value in pairs.items() if value != bytes(8))  # a count of nothing is none
        assume(lost)
        key = data.draw(st.sampled_from(lost))
        with self.transaction() as store:
            store.context.clear(key)
            assert self.do(check(store)) != []

    @needs("damage")
    @examples(2)
    @given(data=st.data())
    def test_a_pair_that_belongs_to_another_record_is_found(self, case: str, data: Any) -> None:
        """Entries are written for a record that is then removed without them."""
        self.clear()
        item = data.draw(self.items())
        self.transact([("save", item)], History())
        assume(any(value != bytes(8) for value in self.pairs().values()))
        with self.transaction() as store:
            begin = self.layout.records
            store.context.clear_range(begin, begin + b"\xff")
            assert self.do(check(store)) != []
