"""Writers at the same time."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import Conflict
from recordlayer.kv.context import Context
from recordlayer.store.open import open_store
from recordlayer.testing.index_suite.harness import Harness, examples
from recordlayer.testing.index_suite.history import History
from recordlayer.world import World

WRITERS = 8


class Writers(Harness):
    @examples(2)
    @given(data=st.data())
    def test_eight_writers_end_with_what_their_commits_say_in_order(self, case: str, data: Any) -> None:
        """All read before the first commits. Who conflicts tries again behind the others."""
        self.clear()
        history = self.transact(data.draw(self.steps()), History())
        programs = [data.draw(self.steps(most=2)) for _ in range(WRITERS)]
        begun = []
        for steps in programs:
            context = Context(self.engine.begin(), world=World())
            store = self.do(open_store(context, self.metadata, self.prefix))
            changes = self.apply(store, steps, history).changes[len(history.changes) :]
            begun.append((context, steps, changes))
        late = []
        for context, steps, changes in begun:
            try:
                history = history.followed_by(changes, self.stamp_of_commit(context))
            except Conflict:
                late.append(steps)
            context.close()
        for steps in late:
            history = self.transact(steps, history)
        self.assert_holds(case, history)
        self.assert_clean()
