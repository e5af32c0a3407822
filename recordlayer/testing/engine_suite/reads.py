"""Reading single keys."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from recordlayer.kv.engine import KEY_LIMIT, Chunk, MutationType, StreamingMode, Transaction
from recordlayer.testing.engine_suite.harness import Harness, both_drivers, setting

Drive = Callable[[Coroutine[Any, None, Any]], Any]

_HOW = (
    (0, StreamingMode.WANT_ALL, True),
    (0, StreamingMode.ITERATOR, False),
    (3, StreamingMode.EXACT, False),
    (1, StreamingMode.WANT_ALL, True),
    (30, StreamingMode.WANT_ALL, False),
)
"""Limits, modes and directions of several ranges."""


class Reads(Harness):
    def test_an_absent_key_reads_as_none(self) -> None:
        assert self.do(self.begin().get(self.key(b"absent"))) is None

    @both_drivers
    def test_what_was_committed_is_read_by_the_next_transaction(self, drive: Drive) -> None:
        async def write_then_read() -> bytes | None:
            writer = self.begin()
            writer.set(self.key(b"a"), b"value")
            await writer.commit()
            return await self.begin().get(self.key(b"a"))

        assert drive(write_then_read()) == b"value"

    def test_an_empty_value_is_not_an_absent_one(self) -> None:
        self.put(a=b"")
        assert self.value(b"a") == b""

    def test_every_byte_survives_in_keys_and_values(self) -> None:
        pairs = {bytes([byte, 0, byte]): bytes([byte]) * 3 for byte in range(256)}
        pairs[b"all"] = bytes(range(256)) * 2
        self.put(pairs)
        assert self.stored() == pairs

    def test_a_cleared_key_is_absent(self) -> None:
        self.put(a=b"1", b=b"2", c=b"3")
        self.commit(lambda tr: tr.clear(self.key(b"b")))
        assert self.stored() == {b"a": b"1", b"c": b"3"}

    def test_a_cleared_range_takes_its_begin_and_leaves_its_end(self) -> None:
        self.put(a=b"1", b=b"2", c=b"3", d=b"4")
        self.commit(lambda tr: tr.clear_range(self.key(b"b"), self.key(b"d")))
        assert self.stored() == {b"a": b"1", b"d": b"4"}

    def test_clearing_what_is_not_there_is_no_error(self) -> None:
        self.commit(lambda tr: tr.clear(self.key(b"nothing")))
        self.commit(lambda tr: tr.clear_range(self.key(b"m"), self.key(b"n")))
        assert self.stored() == {}

    def test_all_reads_of_a_transaction_see_one_version(self) -> None:
        self.put(a=b"1", b=b"1")
        reader = self.begin()
        before = self.do(reader.get(self.key(b"a")))
        self.put(a=b"2", b=b"2", c=b"2")
        self.commit(lambda tr: tr.clear(self.key(b"a")))
        assert before == b"1"
        assert self.rows(reader) == [(b"a", b"1"), (b"b", b"1")]
        assert self.do(reader.get(self.key(b"b"), snapshot=True)) == b"1"
        assert self.do(reader.get(self.key(b"c"))) is None

    def test_snapshot_reads_give_what_reads_give(self) -> None:
        self.put(a=b"1")
        reader = self.begin()
        assert self.do(reader.get(self.key(b"a"), snapshot=True)) == b"1"
        assert self.do(reader.get(self.key(b"b"), snapshot=True)) is None

    @both_drivers
    def test_many_reads_in_flight_give_each_its_own_answer(self, drive: Drive) -> None:
        self.put_numbered(range(0, 100, 2))

        async def read_all() -> list[bytes | None]:
            reader = self.begin()
            started = [reader.get(self.key(number)) for number in range(100)]
            return [await read for read in reversed(started)][::-1]

        assert drive(read_all()) == [None if number % 2 else b"v%d" % number for number in range(100)]

    @both_drivers
    def test_several_keys_are_read_at_once_in_their_order(self, drive: Drive) -> None:
        self.put_numbered(range(0, 100, 2))
        self.put({b"": b"empty", b"long" * 500: b"long"})
        names: list[bytes | int] = [*range(99, -1, -1), b"", b"long" * 500, 4, 4, b"x" * (KEY_LIMIT + 10)]

        async def read_all(snapshot: bool) -> list[bytes | None]:
            return await self.begin().get_many([self.key(name) for name in names], snapshot=snapshot)

        numbers = [None if number % 2 else b"v%d" % number for number in range(99, -1, -1)]
        for snapshot in (False, True):
            assert drive(read_all(snapshot)) == [*numbers, b"empty", b"long", b"v4", b"v4", None]

    def test_no_keys_at_all_are_read(self) -> None:
        assert self.do(self.begin().get_many([])) == []

    def test_several_keys_are_read_at_one_version(self) -> None:
        self.put(a=b"1", b=b"1")
        reader = self.begun()
        self.put(a=b"2", c=b"2")
        self.commit(lambda tr: tr.clear(self.key(b"b")))
        for snapshot in (False, True):
            read = reader.get_many([self.key(name) for name in (b"a", b"b", b"c")], snapshot=snapshot)
            assert self.do(read) == [b"1", b"1", None]

    def test_several_keys_are_read_with_the_transactions_own_writes(self) -> None:
        self.put(a=b"1", b=b"1", c=b"1", d=b"1", n=b"\x01")
        tr = self.begin()
        tr.set(self.key(b"a"), b"2")
        tr.clear(self.key(b"b"))
        tr.atomic(MutationType.ADD, self.key(b"n"), b"\x02")
        keys = [self.key(name) for name in (b"a", b"b", b"c", b"d", b"n")]
        assert self.do(tr.get_many(keys)) == [b"2", None, b"1", b"1", b"\x03"]
        tr.clear_range(self.key(b"c"), self.key(b"d"))
        assert self.do(tr.get_many(keys[2:4])) == [None, b"1"]

    def test_several_keys_that_are_read_conflict_each_and_nothing_else(self) -> None:
        def read(tr: Transaction) -> None:
            self.do(tr.get_many([self.key(b"a"), self.key(b"c")]))

        def look(tr: Transaction) -> None:
            self.do(tr.get_many([self.key(b"a"), self.key(b"c")], snapshot=True))

        for name in (b"a", b"c"):
            assert self.conflict(read, setting(self.key(name)))
            assert not self.conflict(look, setting(self.key(name)))
        assert not self.conflict(read, setting(self.key(b"b")))

    def test_several_keys_of_which_one_cannot_be_read_fail_together(self) -> None:
        tr = self.begin()
        tr.atomic(MutationType.SET_VERSIONSTAMPED_VALUE, self.key(b"b"), bytes(14))
        self.refused(1036, tr.get_many([self.key(b"a"), self.key(b"b")]))

    @both_drivers
    def test_several_ranges_are_read_at_once_as_each_alone(self, drive: Drive) -> None:
        self.put_numbered(range(0, 100, 2))
        self.put({b"many%03d" % number: b"x" for number in range(40)})
        ends = [(30, 35), (10, 11), (11, 12), (98, 99), (0, 100), (20, 20)]
        ranges = [(self.key(begin), self.key(end)) for begin, end in ends]
        ranges += [(self.key(b"many"), self.key(b"many\xff")), (self.key(b"none"), self.key(b"nope"))]

        async def read(snapshot: bool, written: bool) -> tuple[list[Chunk], list[Chunk]]:
            tr = self.begin()
            if written:
                tr.set(self.key(31), b"own")
                tr.clear(self.key(98))
            together = await tr.get_ranges(ranges, snapshot=snapshot)
            want_all = StreamingMode.WANT_ALL
            each = [await tr.get_range(*one, snapshot=snapshot, mode=want_all) for one in ranges]
            for limit, mode, reverse in _HOW:
                how: Any = {"limit": limit, "mode": mode, "reverse": reverse, "snapshot": snapshot}
                together += await tr.get_ranges(ranges, **how)
                each += [await tr.get_range(*one, **how) for one in ranges]
            return together, each

        for snapshot in (False, True):
            for few in (ranges[:4], ranges):
                for written in (False, True):
                    ranges = few
                    together, each = drive(read(snapshot, written))
                    assert [(chunk.rows, chunk.more) for chunk in together] == [(one.rows, one.more) for one in each]

    def test_several_ranges_are_read_at_one_version_and_conflict_each(self) -> None:
        self.put(a=b"1", c=b"1")
        pairs = [(self.key(b"a"), self.key(b"b")), (self.key(b"c"), self.key(b"d"))]
        reader = self.begun()
        self.put(a=b"2", d=b"2")
        assert [chunk.rows for chunk in self.do(reader.get_ranges(pairs))] == [
            [(self.key(b"a"), b"1")],
            [(self.key(b"c"), b"1")],
        ]

        def read(tr: Transaction) -> None:
            self.do(tr.get_ranges(pairs))

        def look(tr: Transaction) -> None:
            self.do(tr.get_ranges(pairs, snapshot=True))

        for name in (b"a", b"aa", b"c"):
            assert self.conflict(read, setting(self.key(name)))
            assert not self.conflict(look, setting(self.key(name)))
        assert not self.conflict(read, setting(self.key(b"b")))

    def test_of_several_ranges_that_are_cut_each_conflicts_as_far_as_it_was_read(self) -> None:
        self.put(a=b"1", b=b"1", c=b"1", d=b"1")
        pairs = [(self.key(b"a"), self.key(b"c")), (self.key(b"c"), self.key(b"e"))]

        def first(tr: Transaction) -> None:
            assert [len(chunk.rows) for chunk in self.do(tr.get_ranges(pairs, limit=1))] == [1, 1]

        def last(tr: Transaction) -> None:
            assert [len(chunk.rows) for chunk in self.do(tr.get_ranges(pairs, limit=1, reverse=True))] == [1, 1]

        for name in (b"a", b"b", b"c", b"d"):
            assert self.conflict(first, setting(self.key(name))) is (name in b"ac")
            assert self.conflict(last, setting(self.key(name))) is (name in b"bd")

    @both_drivers
    def test_a_waitable_may_be_awaited_again(self, drive: Drive) -> None:
        self.put(a=b"1")

        async def twice() -> tuple[bytes | None, bytes | None]:
            read = self.begin().get(self.key(b"a"))
            return await read, await read

        assert drive(twice()) == (b"1", b"1")

    def test_on_ready_is_called_once_whenever_it_is_asked(self) -> None:
        self.put(a=b"1")
        read = self.begin().get(self.key(b"a"))
        assert self.settles(read)
        calls: list[int] = []
        read.on_ready(lambda: calls.append(1))
        assert read.ready()
        assert calls == [1]
        assert self.do(read) == b"1"

    def test_cancelling_what_is_ready_changes_nothing(self) -> None:
        self.put(a=b"1")
        read = self.begin().get(self.key(b"a"))
        assert self.settles(read)
        read.cancel()
        assert self.do(read) == b"1"

    def test_a_key_longer_than_keys_may_be_is_absent(self) -> None:
        long = self.key(b"x" * (KEY_LIMIT + 10))
        assert self.do(self.begin().get(long)) is None

    def test_reads_need_not_be_awaited(self) -> None:
        self.put(a=b"1")
        reader = self.begin()
        reader.get(self.key(b"a"))
        reader.get_range(self.prefix, self.behind)
        reader.set(self.key(b"b"), b"2")
        self.do(reader.commit())
        assert self.stored() == {b"a": b"1", b"b": b"2"}
