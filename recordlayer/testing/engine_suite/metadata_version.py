"""The one key behind all legal keys that everybody may read, and bump: the version of cached metadata."""

from __future__ import annotations

from recordlayer.kv.engine import METADATA_VERSION_KEY, MutationType, Transaction
from recordlayer.testing.engine_suite.harness import Harness, setting

OPERAND = bytes(14)
"""The only operand the key takes: ten bytes of placeholder and their offset, all zero."""


def bump(tr: Transaction) -> None:
    tr.atomic(MutationType.SET_VERSIONSTAMPED_VALUE, METADATA_VERSION_KEY, OPERAND)


class MetadataVersion(Harness):
    def test_bumping_it_leaves_the_stamp_of_the_commit(self) -> None:
        tr = self.begin()
        bump(tr)
        stamp = tr.versionstamp()
        self.do(tr.commit())
        assert self.do(self.begin().get(METADATA_VERSION_KEY)) == self.do(stamp)

    def test_other_commits_do_not_change_it(self) -> None:
        self.commit(bump)
        before = self.do(self.begin().get(METADATA_VERSION_KEY, snapshot=True))
        self.put(a=b"1")
        assert self.do(self.begin().get(METADATA_VERSION_KEY, snapshot=True)) == before

    def test_a_transaction_sees_it_as_of_its_read_version(self) -> None:
        self.commit(bump)
        reader = self.begun()
        before = self.do(reader.get(METADATA_VERSION_KEY))
        self.commit(bump)
        assert self.do(reader.get(METADATA_VERSION_KEY)) == before
        assert self.do(self.begin().get(METADATA_VERSION_KEY)) != before

    def test_reading_it_conflicts_with_a_bump_and_a_snapshot_read_does_not(self) -> None:
        self.commit(bump)
        assert self.conflict(lambda tr: self.do(tr.get(METADATA_VERSION_KEY)), bump)
        assert not self.conflict(lambda tr: self.do(tr.get(METADATA_VERSION_KEY, snapshot=True)), bump)
        assert not self.conflict(lambda tr: self.do(tr.get(METADATA_VERSION_KEY)), setting(self.key(b"a")))

    def test_it_cannot_be_read_after_an_own_bump(self) -> None:
        tr = self.begin()
        bump(tr)
        self.refused(1036, tr.get(METADATA_VERSION_KEY))

    def test_it_takes_nothing_but_a_bump(self) -> None:
        tr = self.begin()
        with self.refusing(2000):
            tr.set(METADATA_VERSION_KEY, b"1")
        with self.refusing(2000):
            tr.atomic(MutationType.ADD, METADATA_VERSION_KEY, b"\x01")
        with self.refusing(2000):
            tr.atomic(MutationType.SET_VERSIONSTAMPED_VALUE, METADATA_VERSION_KEY, b"x" + OPERAND[1:])
        with self.refusing(2004):
            tr.clear(METADATA_VERSION_KEY)

    def test_its_neighbours_are_as_illegal_as_ever(self) -> None:
        self.refused(2004, self.begin().get(METADATA_VERSION_KEY + b"\0"))
        self.refused(2004, self.begin().get_range(METADATA_VERSION_KEY, METADATA_VERSION_KEY + b"\0"))
