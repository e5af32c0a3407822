"""From begin to close: committing, cancelling, resetting, and using what should no longer be used."""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from recordlayer.errors import Closed, RecordLayerError
from recordlayer.kv.engine import Engine, KeySelector, MutationType, Transaction, TransactionOption
from recordlayer.kv.mutations import SET
from recordlayer.testing.engine_suite.harness import Harness, both_drivers, each, setting
from recordlayer.waiting.waitable import Waitable

Drive = Callable[[Coroutine[Any, None, Any]], Any]
Reading = Callable[[Harness, Transaction], Waitable[object]]
Writing = Callable[[Harness, Transaction], None]

READS: dict[str, object] = {
    "get": lambda suite, tr: tr.get(suite.key(b"a")),
    "get_many": lambda suite, tr: tr.get_many([suite.key(b"a"), suite.key(b"b")]),
    "get_ranges": lambda suite, tr: tr.get_ranges([(suite.prefix, suite.behind)]),
    "get_key": lambda suite, tr: tr.get_key(KeySelector.first_greater_than(suite.key(b"a"))),
    "get_range": lambda suite, tr: tr.get_range(suite.prefix, suite.behind),
    "snapshot get": lambda suite, tr: tr.get(suite.key(b"a"), snapshot=True),
    "watch": lambda suite, tr: tr.watch(suite.key(b"a")),
    "estimated_range_size": lambda suite, tr: tr.estimated_range_size(suite.prefix, suite.behind),
    "range_split_points": lambda suite, tr: tr.range_split_points(suite.prefix, suite.behind, 1000),
    "versionstamp": lambda suite, tr: tr.versionstamp(),
    "commit": lambda suite, tr: tr.commit(),
}
ALWAYS: dict[str, object] = {
    "read_version": lambda suite, tr: tr.read_version(),
    "approximate_size": lambda suite, tr: tr.approximate_size(),
}
WRITES: dict[str, object] = {
    "set": lambda suite, tr: tr.set(suite.key(b"a"), b"late"),
    "clear": lambda suite, tr: tr.clear(suite.key(b"a")),
    "clear_range": lambda suite, tr: tr.clear_range(suite.prefix, suite.behind),
    "atomic": lambda suite, tr: tr.atomic(MutationType.ADD, suite.key(b"a"), b"\x01"),
    "write_many": lambda suite, tr: tr.write_many([(SET, suite.key(b"a"), b"late")]),
    "add_conflict_range": lambda suite, tr: tr.add_conflict_range(1, suite.prefix, suite.behind),
    "add_read_conflict_keys": lambda suite, tr: tr.add_read_conflict_keys([suite.prefix]),
}


class Lifecycle(Harness):
    @both_drivers
    def test_an_empty_transaction_commits(self, drive: Drive) -> None:
        async def commit() -> int:
            tr = self.begin()
            await tr.commit()
            return tr.committed_version()

        assert drive(commit()) == -1

    @both_drivers
    def test_commits_in_flight_together_all_come_through(self, drive: Drive) -> None:
        async def commit_all() -> None:
            commits = []
            for number in range(50):
                tr = self.begin()
                tr.set(self.key(number), b"x")
                commits.append(tr.commit())
            for commit in commits:
                await commit

        drive(commit_all())
        assert len(self.stored()) == 50

    @each("read", READS)
    def test_nothing_can_be_read_after_the_commit(self, read: Reading) -> None:
        tr = self.commit(setting(self.key(b"a"), b"1"))
        self.refused(2017, read(self, tr))

    @each("read", READS)
    def test_nothing_can_be_read_after_a_commit_without_writes(self, read: Reading) -> None:
        tr = self.commit(lambda tr: self.do(tr.get(self.key(b"a"))))
        self.refused(2017, read(self, tr))

    @each("write", WRITES)
    def test_nothing_can_be_written_after_the_commit(self, write: Writing) -> None:
        tr = self.commit(setting(self.key(b"a"), b"1"))
        with self.refusing(2017):
            write(self, tr)
        assert self.stored() == {b"a": b"1"}

    def test_versions_of_a_committed_transaction_can_still_be_asked_for(self) -> None:
        tr = self.begin()
        version = self.do(tr.read_version())
        tr.set(self.key(b"a"), b"1")
        self.do(tr.commit())
        assert version == self.do(tr.read_version()) < tr.committed_version()

    def test_a_committed_transaction_can_be_reset_and_used_again(self) -> None:
        tr = self.commit(setting(self.key(b"a"), b"1"))
        tr.reset()
        assert self.do(tr.get(self.key(b"a"))) == b"1"
        tr.set(self.key(b"b"), b"2")
        self.do(tr.commit())
        assert self.stored() == {b"a": b"1", b"b": b"2"}

    def test_a_transaction_whose_commit_failed_must_be_reset_first(self) -> None:
        tr = self.begin()
        self.do(tr.get(self.key(b"a")))
        self.put(a=b"1")
        tr.set(self.key(b"a"), b"2")
        self.refused(1020, tr.commit())
        self.refused(2017, tr.get(self.key(b"a")))
        tr.reset()
        assert self.do(tr.get(self.key(b"a"))) == b"1"

    def test_on_error_after_a_failed_commit_makes_it_usable(self) -> None:
        tr = self.begin()
        self.do(tr.get(self.key(b"a")))
        self.put(a=b"1")
        tr.set(self.key(b"a"), b"2")
        error = self.refused(1020, tr.commit())
        self.do(tr.on_error(error))
        assert self.do(tr.get(self.key(b"a"))) == b"1"

    @each("read", READS)
    def test_a_cancelled_transaction_answers_nothing(self, read: Reading) -> None:
        tr = self.begin()
        tr.cancel()
        self.refused(1025, read(self, tr))

    @each("write", WRITES)
    def test_a_cancelled_transaction_takes_nothing(self, write: Writing) -> None:
        tr = self.begin()
        tr.cancel()
        with self.refusing(1025):
            write(self, tr)

    def test_a_cancelled_transaction_writes_nothing(self) -> None:
        tr = self.begin()
        tr.set(self.key(b"a"), b"1")
        tr.cancel()
        self.refused(1025, tr.commit())
        self.refused(1025, tr.on_error(self.refused(1025, tr.read_version())))
        assert self.stored() == {}

    def test_a_reset_ends_the_cancelling(self) -> None:
        tr = self.begin()
        tr.set(self.key(b"a"), b"1")
        tr.cancel()
        tr.reset()
        tr.set(self.key(b"b"), b"2")
        self.do(tr.commit())
        assert self.stored() == {b"b": b"2"}

    def test_cancelling_after_the_commit_takes_nothing_back(self) -> None:
        tr = self.commit(setting(self.key(b"a"), b"1"))
        tr.cancel()
        assert self.stored() == {b"a": b"1"}

    @each("read", {**READS, **ALWAYS})
    def test_a_closed_transaction_answers_nothing(self, read: Reading) -> None:
        tr = self.begin()
        tr.set(self.key(b"a"), b"1")
        tr.close()
        with pytest.raises(Closed):
            self.do(read(self, tr))
        assert self.stored() == {}

    @each("write", WRITES)
    def test_a_closed_transaction_takes_nothing(self, write: Writing) -> None:
        tr = self.begin()
        tr.close()
        with pytest.raises(Closed):
            write(self, tr)
        with pytest.raises(Closed):
            tr.set_option(TransactionOption.SNAPSHOT_RYW_ENABLE)
        with pytest.raises(Closed):
            tr.set_read_version(1)

    def test_a_closed_transaction_retries_nothing(self) -> None:
        tr = self.begin()
        tr.close()
        with pytest.raises(Closed):
            self.do(tr.on_error(self.conflict_error()))

    def test_closing_again_is_no_error(self) -> None:
        tr = self.begin()
        tr.close()
        tr.close()
        committed = self.commit(setting(self.key(b"a"), b"1"))
        committed.close()
        assert self.stored() == {b"a": b"1"}

    def test_leaving_a_transaction_without_a_word_is_no_error(self) -> None:
        for _ in range(20):
            tr = self.engine.begin()
            tr.get(self.key(b"a"))
            tr.set(self.key(b"a"), b"1")
            del tr
        gc.collect()
        assert self.stored() == {}

    def test_a_read_holds_what_it_needs_of_a_transaction_that_is_left(self) -> None:
        self.put(a=b"1")
        read = self.engine.begin().get(self.key(b"a"))
        gc.collect()
        assert self.do(read) == b"1"

    def test_a_commit_holds_what_it_needs_of_a_transaction_that_is_left(self) -> None:
        tr = self.engine.begin()
        tr.set(self.key(b"a"), b"1")
        commit = tr.commit()
        del tr
        gc.collect()
        self.do(commit)
        assert self.stored() == {b"a": b"1"}

    def test_a_closed_engine_begins_nothing_and_its_transactions_are_closed(self, another_engine: Engine) -> None:
        tr = another_engine.begin()
        self.do(tr.read_version())
        another_engine.close()
        another_engine.close()
        with pytest.raises(Closed):
            another_engine.begin()
        with pytest.raises(Closed):
            self.do(tr.get(self.key(b"a")))
        with pytest.raises(RecordLayerError):
            self.do(tr.commit())
        tr.close()

    def test_two_engines_side_by_side_do_not_disturb_each_other(self, another_engine: Engine) -> None:
        tr = another_engine.begin()
        tr.set(self.key(b"a"), b"1")
        self.do(tr.commit())
        tr.reset()
        tr.clear_range(self.prefix, self.behind)
        self.put(b=b"2")
        self.do(tr.commit())
        tr.close()
        another_engine.close()
        self.put(c=b"3")
        assert (self.value(b"c"), self.value(b"a")) == (b"3", None)
