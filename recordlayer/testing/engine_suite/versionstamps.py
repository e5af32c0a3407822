"""Versionstamps: in keys, in values, and as the answer of a commit."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from recordlayer.kv.engine import KEY_LIMIT, VALUE_LIMIT, MutationType, Transaction, TransactionOption
from recordlayer.testing.engine_suite.harness import Harness, both_drivers, each, setting

Drive = Callable[[Coroutine[Any, None, Any]], Any]

STAMPED_KEY, STAMPED_VALUE = MutationType.SET_VERSIONSTAMPED_KEY, MutationType.SET_VERSIONSTAMPED_VALUE
PLACEHOLDER = b"\xff" * 10


def with_offset(before: bytes, after: bytes = b"") -> bytes:
    """An operand whose placeholder stands between `before` and `after`."""
    return before + PLACEHOLDER + after + len(before).to_bytes(4, "little")


def placed_at(body: bytes, offset: int) -> bytes:
    return body + offset.to_bytes(4, "little", signed=True)


class Versionstamps(Harness):
    def stamp_of(self, work: Callable[[Transaction], object]) -> bytes:
        """The versionstamp of a transaction that did `work`."""
        tr = self.begin()
        work(tr)
        stamp = tr.versionstamp()
        self.do(tr.commit())
        return self.do(stamp)

    def test_a_stamped_value_holds_the_stamp_of_the_commit(self) -> None:
        stamp = self.stamp_of(lambda tr: tr.atomic(STAMPED_VALUE, self.key(b"a"), with_offset(b"")))
        assert len(stamp) == 10
        assert self.value(b"a") == stamp

    def test_a_stamped_key_holds_the_stamp_of_the_commit(self) -> None:
        stamp = self.stamp_of(lambda tr: tr.atomic(STAMPED_KEY, with_offset(self.key(b"log/")), b"entry"))
        assert self.stored() == {b"log/" + stamp: b"entry"}

    def test_the_placeholder_may_stand_anywhere_and_its_bytes_do_not_matter(self) -> None:
        def work(tr: Transaction) -> None:
            tr.atomic(STAMPED_VALUE, self.key(b"a"), with_offset(b"before", b"after"))
            tr.atomic(STAMPED_VALUE, self.key(b"b"), placed_at(b"0123456789abcdef", 3))
            tr.atomic(STAMPED_KEY, with_offset(self.key(b"k/"), b"/end"), b"")

        stamp = self.stamp_of(work)
        assert self.stored() == {
            b"a": b"before" + stamp + b"after",
            b"b": b"012" + stamp + b"def",
            b"k/" + stamp + b"/end": b"",
        }

    def test_all_stamps_of_one_transaction_are_the_same(self) -> None:
        def work(tr: Transaction) -> None:
            for number in range(3):
                tr.atomic(STAMPED_KEY, with_offset(self.key(b"k/"), b"%d" % number), b"%d" % number)

        stamp = self.stamp_of(work)
        assert self.rows(self.begin()) == [(b"k/" + stamp + b"%d" % n, b"%d" % n) for n in range(3)]

    def test_stamps_ascend_from_commit_to_commit(self) -> None:
        stamps = [
            self.stamp_of(lambda tr, n=n: tr.atomic(STAMPED_KEY, with_offset(self.key(b"k/")), b"%d" % n))  # type: ignore[misc]
            for n in range(5)
        ]
        assert stamps == sorted(set(stamps))
        assert [value for _, value in self.rows(self.begin())] == [b"%d" % n for n in range(5)]

    def test_stamps_of_transactions_committed_together_differ(self) -> None:
        begun = [self.begin() for _ in range(20)]
        for number, tr in enumerate(begun):
            tr.atomic(STAMPED_KEY, with_offset(self.key(b"k/")), b"%d" % number)
        commits = [(tr.versionstamp(), tr.commit()) for tr in begun]
        stamps = []
        for stamp, commit in commits:
            self.do(commit)
            stamps.append(self.do(stamp))
        assert len(set(stamps)) == 20
        assert dict(self.rows(self.begin())) == {b"k/" + stamp: b"%d" % n for n, stamp in enumerate(stamps)}

    def test_a_stamp_begins_with_the_committed_version(self) -> None:
        tr = self.begin()
        tr.set(self.key(b"a"), b"1")
        stamp = tr.versionstamp()
        self.do(tr.commit())
        assert int.from_bytes(self.do(stamp)[:8], "big") == tr.committed_version()

    @both_drivers
    def test_a_stamp_asked_for_before_the_commit_comes_with_it(self, drive: Drive) -> None:
        async def stamped() -> tuple[bool, bytes]:
            tr = self.begin()
            tr.set(self.key(b"a"), b"1")
            stamp = tr.versionstamp()
            early = stamp.ready()
            await tr.commit()
            return early, await stamp

        early, stamp = drive(stamped())
        assert not early
        assert len(stamp) == 10

    def test_a_stamp_asked_for_after_the_commit_comes_too_late(self) -> None:
        tr = self.commit(setting(self.key(b"a")))
        self.refused(2017, tr.versionstamp())

    def test_a_transaction_without_writes_has_no_stamp(self) -> None:
        tr = self.begin()
        self.do(tr.get(self.key(b"a")))
        stamp = tr.versionstamp()
        self.do(tr.commit())
        self.refused(2021, stamp)

    def test_a_failed_commit_has_no_stamp(self) -> None:
        tr = self.begin()
        self.do(tr.get(self.key(b"a")))
        self.put(a=b"1")
        tr.set(self.key(b"a"), b"2")
        stamp = tr.versionstamp()
        self.refused(1020, tr.commit())
        self.refused(2020, stamp)

    def test_a_set_after_a_stamped_value_replaces_it(self) -> None:
        def work(tr: Transaction) -> None:
            tr.atomic(STAMPED_VALUE, self.key(b"a"), with_offset(b""))
            tr.set(self.key(b"a"), b"plain")
            tr.set(self.key(b"b"), b"plain")
            tr.atomic(STAMPED_VALUE, self.key(b"b"), with_offset(b""))
            tr.atomic(STAMPED_VALUE, self.key(b"c"), with_offset(b""))
            tr.clear(self.key(b"c"))

        stamp = self.stamp_of(work)
        assert self.stored() == {b"a": b"plain", b"b": stamp}

    def test_atomic_operations_after_a_stamped_value_work_on_it(self) -> None:
        def work(tr: Transaction) -> None:
            tr.atomic(STAMPED_VALUE, self.key(b"a"), with_offset(b""))
            tr.atomic(MutationType.APPEND_IF_FITS, self.key(b"a"), b"!")

        assert self.stamp_of(work) + b"!" == self.value(b"a")

    def test_a_stamped_key_replaces_nothing_and_conflicts_with_who_read_its_range(self) -> None:
        write = lambda tr: tr.atomic(STAMPED_KEY, with_offset(self.key(b"k/")), b"")  # noqa: E731
        assert self.conflict(lambda tr: self.rows(tr, self.key(b"k/"), self.key(b"k0")), write)
        assert not self.conflict(lambda tr: self.rows(tr, self.key(b"a"), self.key(b"b")), write)

    def test_a_stamped_value_conflicts_with_who_read_its_key(self) -> None:
        key = self.key(b"a")
        write = lambda tr: tr.atomic(STAMPED_VALUE, key, with_offset(b""))  # noqa: E731
        assert self.conflict(lambda tr: self.do(tr.get(key)), write)

    @each(
        "operand",
        {
            "no offset": b"",
            "shorter than an offset": b"\0\0\0",
            "no room for the stamp": placed_at(b"012345678", 0),
            "offset behind the body": placed_at(b"0123456789", 1),
            "offset far away": placed_at(b"0123456789", 1 << 30),
            "negative offset": placed_at(b"0123456789", -1),
        },
    )
    def test_a_bad_placeholder_is_refused(self, operand: bytes) -> None:
        with self.refusing(2000):
            self.begin().atomic(STAMPED_VALUE, self.key(b"a"), operand)
        with self.refusing(2000):
            self.begin().atomic(STAMPED_KEY, operand, b"")

    def test_a_stamped_value_may_be_as_long_as_values_may_be(self) -> None:
        tr = self.begin()
        tr.atomic(STAMPED_VALUE, self.key(b"a"), with_offset(b"", b"x" * (VALUE_LIMIT - 14)))
        with self.refusing(2103):
            tr.atomic(STAMPED_VALUE, self.key(b"b"), with_offset(b"", b"x" * (VALUE_LIMIT - 13)))
        self.do(tr.commit())
        assert len(self.value(b"a") or b"") == VALUE_LIMIT - 4

    def test_a_stamped_key_is_measured_with_its_offset(self) -> None:
        tr = self.begin()
        body = KEY_LIMIT - len(self.prefix) - len(PLACEHOLDER) - 4
        tr.atomic(STAMPED_KEY, with_offset(self.key(), b"x" * body), b"")
        with self.refusing(2102):
            tr.atomic(STAMPED_KEY, with_offset(self.key(), b"x" * (body + 1)), b"")
        self.do(tr.commit())
        assert [len(name) for name in self.stored()] == [len(PLACEHOLDER) + body]

    def test_without_read_your_writes_stamps_are_set_all_the_same(self) -> None:
        def work(tr: Transaction) -> None:
            tr.set_option(TransactionOption.READ_YOUR_WRITES_DISABLE)
            tr.atomic(STAMPED_KEY, with_offset(self.key(b"k/")), b"v")
            tr.atomic(STAMPED_VALUE, self.key(b"a"), with_offset(b""))

        stamp = self.stamp_of(work)
        assert self.stored() == {b"a": stamp, b"k/" + stamp: b"v"}
