"""The law of index types: what `recordlayer.index.maintainer` promises, as tests that every type passes.

An index type is a class with the shape of `index.maintainer.Maintainer`. Built-in ones stand in `index.registry`;
others are offered by an installed package, with an entry point in the group `recordlayer.indexes` named as the type.
The suite needs to know which indexes of the type to try, and what they hold for given records: that is the model.

    class TestWordCount(IndexSuite):
        type = "word_count"
        cases = {
            "all": IndexDefinition(type="word_count", expression=field("text").ungrouped()),
            "by city": IndexDefinition(type="word_count", expression=field("text").group_by("city")),
        }

        def expected(self, case: str, history: History) -> object:
            totals = Counter()
            for record in history.records.values():
                *city, text = self.rows(case, record)[0]
                totals[tuple(city)] += len((text or "").split())
            return sorted(totals.items())

`expected` gives for a history what `read` gives for the stored index. `read` is, unless a type says something else, all
that the type's `scan` gives: (items of the key, value) of each entry or group, in order. It may do whatever a user of
the type does (ask ranks, look up words) as long as the model can say the answer. A `History` has the records that are
there, and all changes since the index was last built: an index of what ever was needs those.

Records are of the type `Item` (`FIELDS` names its fields, all of them may be missing) with the primary key `id`;
records of the type `Other` share its primary keys and have no entries. Fields that the expression reads, and those in
`values`, get random values; `values` says which: a type that takes no negative numbers has
`values = {"number": st.none() | st.integers(0, 9)}`, and one with a condition lists the fields of it there.

What a type cannot do is named in `lacks` with the reason (`CAPABILITIES` lists them); its tests are then left out:

    lacks = {"damage": "a minimum that ever was does not follow from the records that are there"}

The tests need pytest and hypothesis.
"""

from __future__ import annotations

from recordlayer.testing.index_suite.builds import Builds
from recordlayer.testing.index_suite.checks import Checks
from recordlayer.testing.index_suite.harness import CAPABILITIES, FIELDS, VALUES, Harness, Item, needs
from recordlayer.testing.index_suite.history import History, Saved
from recordlayer.testing.index_suite.scans import Scans
from recordlayer.testing.index_suite.states import States
from recordlayer.testing.index_suite.updates import Updates
from recordlayer.testing.index_suite.writers import Writers


class IndexSuite(Updates, Scans, Builds, States, Checks, Writers):
    """All of it. A subclass sets

    type      the index type
    cases     name -> `IndexDefinition`: the indexes to try
    values    field -> strategy, in place of the usual ones
    lacks     capability -> reason
    url       the engine; `{tmp}` stands for a new directory

    and overrides `expected`, and `read` if a scan of everything does not show what the index holds.
    """


__all__ = ["CAPABILITIES", "FIELDS", "VALUES", "Harness", "History", "IndexSuite", "Item", "Saved", "needs"]
