"""Watches: told when a key is no longer what the transaction saw.

A watch may come late, and may come for a change that was undone since; it may not miss a change that stays. So the
tests wait generously for what must come, and a moment for what must not.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from recordlayer.kv.engine import KEY_LIMIT, DatabaseOption, Engine, MutationType, TransactionOption
from recordlayer.testing.engine_suite.harness import Harness, both_drivers
from recordlayer.waiting.waitable import Waitable

Drive = Callable[[Coroutine[Any, None, Any]], Any]

A_MOMENT = 0.25


class Watching(Harness):
    def watching(self, name: bytes) -> Waitable[None]:
        """A watch of a committed transaction."""
        tr = self.begin()
        watch = tr.watch(self.key(name))
        self.do(tr.commit())
        return watch

    def test_it_fires_when_another_transaction_changes_the_key(self) -> None:
        self.put(a=b"1")
        watch = self.watching(b"a")
        assert not self.settles(watch, within=A_MOMENT)
        self.put(a=b"2")
        assert self.settles(watch)
        assert self.do(watch) is None

    def test_it_fires_for_a_key_that_appears_and_one_that_goes(self) -> None:
        self.put(there=b"1")
        appears, goes = self.watching(b"not there"), self.watching(b"there")
        self.put({b"not there": b""})
        self.commit(lambda tr: tr.clear(self.key(b"there")))
        assert self.settles(appears)
        assert self.settles(goes)

    def test_it_fires_for_cleared_ranges_and_atomic_operations(self) -> None:
        self.put(a=b"1", b=b"1")
        first, second = self.watching(b"a"), self.watching(b"b")
        self.commit(lambda tr: tr.atomic(MutationType.ADD, self.key(b"b"), b"\x01"))
        assert self.settles(second)
        self.commit(lambda tr: tr.clear_range(self.prefix, self.behind))
        assert self.settles(first)

    def test_it_does_not_fire_for_other_keys_or_a_write_of_the_same_value(self) -> None:
        self.put(a=b"1")
        watch = self.watching(b"a")
        self.put(a=b"1", b=b"2")
        assert not self.settles(watch, within=A_MOMENT)
        self.put(a=b"2")
        assert self.settles(watch)

    @both_drivers
    def test_it_can_be_awaited(self, drive: Drive) -> None:
        self.put(a=b"1")

        async def wait_for_change() -> bytes | None:
            tr = self.begin()
            watch = tr.watch(self.key(b"a"))
            await tr.commit()
            writer = self.begin()
            writer.set(self.key(b"a"), b"2")
            await writer.commit()
            await watch
            return await self.begin().get(self.key(b"a"))

        assert drive(wait_for_change()) == b"2"

    def test_it_begins_with_the_commit_and_sees_what_happened_in_between(self) -> None:
        self.put(a=b"1")
        tr = self.begin()
        watch = tr.watch(self.key(b"a"))
        self.put(a=b"2")
        self.do(tr.commit())
        assert self.settles(watch)

    def test_it_watches_for_changes_from_an_own_write_before_it(self) -> None:
        self.put(a=b"1")
        tr = self.begin()
        tr.set(self.key(b"a"), b"2")
        watch = tr.watch(self.key(b"a"))
        self.do(tr.commit())
        assert not self.settles(watch, within=A_MOMENT)
        self.put(a=b"3")
        assert self.settles(watch)

    def test_an_own_write_after_it_that_changes_the_value_fires_it(self) -> None:
        self.put(a=b"1")
        tr = self.begin()
        watch = tr.watch(self.key(b"a"))
        self.do(tr.get(self.key(b"a")))
        tr.set(self.key(b"a"), b"2")
        self.do(tr.commit())
        assert self.settles(watch)

    def test_an_own_write_after_it_that_keeps_the_value_does_not_fire_it(self) -> None:
        self.put(a=b"1")
        tr = self.begin()
        watch = tr.watch(self.key(b"a"))
        self.do(tr.get(self.key(b"a")))
        tr.set(self.key(b"a"), b"1")
        self.do(tr.commit())
        assert not self.settles(watch, within=A_MOMENT)

    def test_a_value_that_goes_and_comes_back_may_be_missed_and_the_next_change_not(self) -> None:
        self.put(a=b"1")
        watch = self.watching(b"a")
        self.put(a=b"2")
        self.put(a=b"1")
        self.settles(watch, within=A_MOMENT)
        self.put(a=b"3")
        assert self.settles(watch)

    def test_it_outlives_its_transaction(self) -> None:
        self.put(a=b"1")
        tr = self.engine.begin()
        watch = tr.watch(self.key(b"a"))
        self.do(tr.commit())
        tr.close()
        del tr
        assert not self.settles(watch, within=A_MOMENT)
        self.put(a=b"2")
        assert self.settles(watch)
        assert self.do(watch) is None

    def test_it_survives_the_reset_of_its_committed_transaction(self) -> None:
        self.put(a=b"1")
        tr = self.begin()
        watch = tr.watch(self.key(b"a"))
        self.do(tr.commit())
        tr.reset()
        assert not self.settles(watch, within=A_MOMENT)
        self.put(a=b"2")
        assert self.settles(watch)
        assert self.do(watch) is None

    def test_it_ends_with_a_transaction_that_is_reset_before_its_commit(self) -> None:
        tr = self.begin()
        watch = tr.watch(self.key(b"a"))
        self.do(tr.get(self.key(b"a")))
        tr.reset()
        self.refused(1025, watch)

    def test_it_ends_with_a_transaction_that_is_left(self) -> None:
        tr = self.begin()
        watch = tr.watch(self.key(b"a"))
        self.do(tr.get(self.key(b"a")))
        tr.cancel()
        tr.close()
        self.refused(1025, watch)

    def test_it_ends_with_a_commit_that_fails(self) -> None:
        tr = self.begin()
        self.do(tr.get(self.key(b"b")))
        watch = tr.watch(self.key(b"a"))
        self.put(b=b"1")
        tr.set(self.key(b"c"), b"")
        self.refused(1020, tr.commit())
        self.refused(1020, watch)

    def test_it_can_be_cancelled(self) -> None:
        watch = self.watching(b"a")
        watch.cancel()
        self.refused(1101, watch)

    def test_their_number_is_limited_and_a_cancelled_one_gives_its_place_back(self, another_engine: Engine) -> None:
        another_engine.set_option(DatabaseOption.MAX_WATCHES, 2)
        tr = another_engine.begin()
        kept = [tr.watch(self.key(name)) for name in (b"a", b"b")]
        self.do(tr.get(self.key(b"a")))
        self.refused(1032, tr.watch(self.key(b"c")))
        tr.close()
        committed = another_engine.begin()
        kept = [committed.watch(self.key(name)) for name in (b"a", b"b")]
        self.do(committed.commit())
        kept[0].cancel()

        def has_place() -> bool:
            tr = another_engine.begin()
            watch = tr.watch(self.key(b"d"))
            refused = self.settles(watch, within=A_MOMENT) and self.fails_with(1032, watch)
            tr.close()
            return not refused

        assert self.eventually(has_place)
        kept[1].cancel()
        committed.close()

    def test_it_needs_read_your_writes(self) -> None:
        tr = self.begin()
        tr.set_option(TransactionOption.READ_YOUR_WRITES_DISABLE)
        self.refused(1034, tr.watch(self.key(b"a")))

    def test_its_key_must_be_one_that_can_be_written(self) -> None:
        self.refused(2004, self.begin().watch(b"\xff"))
        self.refused(2102, self.begin().watch(self.key(b"x" * KEY_LIMIT)))

    def test_many_watches_of_one_key_fire_together(self) -> None:
        self.put(a=b"1")
        watches = [self.watching(b"a") for _ in range(10)]
        self.put(a=b"2")
        assert all(self.settles(watch) for watch in watches)
