"""Read versions and commit versions."""

from __future__ import annotations

import pytest

from recordlayer.kv.engine import LIFETIME_SECONDS, ConflictKind, Engine, Transaction
from recordlayer.testing.clock import ManualClock
from recordlayer.testing.engine_suite.harness import Harness, needs, setting

READ = ConflictKind.READ
FAR_AHEAD = 10**13
"""Versions grow by about a million a second: this one comes in some months."""


class Versions(Harness):
    def test_a_transaction_has_one_read_version(self) -> None:
        tr = self.begin()
        version = self.do(tr.read_version())
        self.put(a=b"1")
        assert self.do(tr.read_version()) == version
        assert self.do(tr.get(self.key(b"a"))) is None

    def test_a_read_fixes_the_read_version(self) -> None:
        tr = self.begin()
        self.do(tr.get(self.key(b"a")))
        self.put(a=b"1")
        later = self.do(self.begin().read_version())
        assert self.do(tr.read_version()) < later

    def test_read_versions_never_go_back(self) -> None:
        versions = [self.do(self.begin().read_version()) for _ in range(20)]
        assert versions == sorted(versions)

    def test_the_next_read_version_is_not_below_the_commit(self) -> None:
        for number in range(5):
            tr = self.commit(setting(self.key(b"a"), b"%d" % number))
            assert self.do(self.begin().read_version()) >= tr.committed_version()

    def test_a_commit_version_is_above_its_read_version_and_those_before(self) -> None:
        committed = []
        for number in range(5):
            tr = self.begin()
            version = self.do(tr.read_version())
            tr.set(self.key(b"a"), b"%d" % number)
            self.do(tr.commit())
            assert tr.committed_version() > version
            known = tr.committed_version()
            tr.close()
            assert tr.committed_version() == known, "it is known to whoever closed it"
            committed.append(tr.committed_version())
        assert committed == sorted(set(committed))

    def test_a_transaction_without_writes_has_no_commit_version(self) -> None:
        tr = self.begin()
        assert tr.committed_version() == -1
        self.do(tr.get(self.key(b"a")))
        self.do(tr.commit())
        assert tr.committed_version() == -1

    def test_a_transaction_that_is_not_committed_has_no_commit_version(self) -> None:
        tr = self.begin()
        self.do(tr.get(self.key(b"a")))
        tr.set(self.key(b"a"), b"1")
        assert tr.committed_version() == -1
        self.put(a=b"2")
        self.refused(1020, tr.commit())
        assert tr.committed_version() == -1

    def test_a_set_read_version_shows_the_state_of_that_version(self) -> None:
        self.put(a=b"1", b=b"1")
        holder = self.begin()
        version = self.do(holder.read_version())
        self.commit(lambda tr: tr.clear(self.key(b"a")))
        self.put(b=b"2", c=b"2")
        tr = self.begin()
        tr.set_read_version(version)
        assert self.do(tr.read_version()) == version
        assert self.rows(tr) == [(b"a", b"1"), (b"b", b"1")]
        assert self.do(tr.get(self.key(b"c"))) is None

    def test_the_version_of_the_last_commit_can_be_read(self) -> None:
        version = self.commit(setting(self.key(b"a"), b"1")).committed_version()
        tr = self.begin()
        tr.set_read_version(version)
        assert self.do(tr.get(self.key(b"a"))) == b"1"

    def test_a_set_read_version_is_what_commits_are_checked_against(self) -> None:
        holder = self.begin()
        version = self.do(holder.read_version())
        self.put(a=b"1")
        tr = self.begin()
        tr.set_read_version(version)
        assert self.do(tr.get(self.key(b"a"))) is None
        tr.set(self.key(b"b"), b"")
        self.refused(1020, tr.commit())

    def test_a_read_version_is_set_once(self) -> None:
        version = self.do(self.begin().read_version())
        tr = self.begin()
        tr.set_read_version(version)
        with self.refusing(2010):
            tr.set_read_version(version)
        tr = self.begun()
        with self.refusing(2010):
            tr.set_read_version(version)

    def test_a_read_version_is_set_before_the_first_read_and_be_it_of_own_writes(self) -> None:
        self.put(a=b"0")  # where nothing was ever committed there is no version to set
        version = self.do(self.begin().read_version())
        tr = self.begin()
        tr.set(self.key(b"a"), b"1")
        tr.set_read_version(version)
        assert self.do(tr.get(self.key(b"a"))) == b"1"
        tr = self.begin()
        tr.set(self.key(b"a"), b"1")
        assert self.do(tr.get(self.key(b"a"))) == b"1"
        with self.refusing(2010):
            tr.set_read_version(version)

    def test_a_reset_transaction_may_set_its_read_version_again(self) -> None:
        self.put(a=b"0")
        version = self.do(self.begin().read_version())
        tr = self.begun()
        tr.reset()
        tr.set_read_version(version)
        assert self.do(tr.read_version()) == version

    @pytest.mark.parametrize("version", [0, -1])
    def test_versions_are_positive(self, version: int) -> None:
        with self.refusing(2011):
            self.begin().set_read_version(version)

    def test_a_version_to_come_cannot_be_read(self) -> None:
        version = self.do(self.begin().read_version())
        tr = self.begin()
        tr.set_read_version(version + FAR_AHEAD)
        assert self.do(tr.read_version()) == version + FAR_AHEAD
        self.refused(1009, tr.get(self.key(b"a")))

    def test_a_read_that_failed_fails_the_commit(self) -> None:
        version = self.do(self.begin().read_version())
        tr = self.begin()
        tr.set_read_version(version + FAR_AHEAD)
        self.refused(1009, tr.get(self.key(b"a"), snapshot=True))
        self.refused(1009, tr.commit())

    def test_a_version_long_past_cannot_be_read(self) -> None:
        self.put(a=b"1")
        tr = self.begin()
        tr.set_read_version(1)
        self.refused(1007, tr.get(self.key(b"a")))
        self.refused(1007, tr.get_range(self.prefix, self.behind))

    def test_a_version_long_past_cannot_be_committed_from(self) -> None:
        self.put(a=b"1")
        tr = self.begin()
        tr.set_read_version(1)
        tr.add_conflict_range(READ, self.key(b"a"), self.key(b"b"))
        tr.set(self.key(b"b"), b"")
        self.refused(1007, tr.commit())

    def test_after_five_seconds_a_transaction_can_neither_read_nor_commit(self) -> None:
        self.put(a=b"1")
        reading, writing, blind = self.begin(), self.begin(), self.begun()
        assert self.do(reading.get(self.key(b"a"))) == b"1"
        assert self.do(writing.get(self.key(b"a"))) == b"1"
        writing.set(self.key(b"b"), b"")
        blind.set(self.key(b"c"), b"")
        self.sleep(LIFETIME_SECONDS)

        def too_old() -> bool:
            self.put(tick=b"")
            return self.fails_with(1007, reading.get(self.key(b"absent")))

        assert self.eventually(too_old)
        self.refused(1007, writing.commit())
        self.refused(1007, blind.commit())
        self.refused(1007, reading.get_range(self.prefix, self.behind))
        self.do(reading.on_error(self.refused(1007, reading.get(self.key(b"d")))))
        assert self.do(reading.get(self.key(b"a"))) == b"1"

    @needs("world")
    def test_five_seconds_are_those_of_the_world(self, clocked_engine: Engine, clock: ManualClock) -> None:
        def begun() -> Transaction:
            tr = clocked_engine.begin()
            self.do(tr.get(self.key(b"a")))
            return tr

        young, old = begun(), begun()
        for tr in (young, old):
            tr.set(self.key(b"b"), b"")
        clock.advance(LIFETIME_SECONDS - 0.1)
        assert self.do(old.get(self.key(b"a"))) is None
        self.do(young.commit())
        clock.advance(0.2)
        self.refused(1007, old.get(self.key(b"a")))
        self.refused(1007, old.commit())
