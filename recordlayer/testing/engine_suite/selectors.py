"""Key selectors: where they lead, alone and as bounds of ranges, over stored keys and over own writes.

The oracle is FoundationDB's own sentence: the last key below the selector's key (or at it, with `or_equal`), and from
there `offset` keys on.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

from recordlayer.kv.engine import KeySelector, MutationType, Transaction
from recordlayer.testing.engine_suite.harness import Harness, each

STORED = tuple(range(10, 130, 10))


def place(keys: list[bytes], selector: KeySelector) -> int:
    """The index in `keys` to which a selector leads; outside of them it is no index."""
    last = (bisect_right if selector.or_equal else bisect_left)(keys, selector.key) - 1
    return last + selector.offset


Writing = Callable[["Selectors", Transaction], list[int]]


def no_writes(suite: Selectors, tr: Transaction) -> list[int]:
    return list(STORED)


def sets_and_clears(suite: Selectors, tr: Transaction) -> list[int]:
    tr.clear(suite.key(30))
    tr.clear_range(suite.key(55), suite.key(85))
    for number in (35, 60, 101, 10):
        tr.set(suite.key(number), b"own")
    return [10, 20, 35, 40, 50, 60, 90, 100, 101, 110, 120]


def atomics_over_all(suite: Selectors, tr: Transaction) -> list[int]:
    # No compare-and-clear: as long as it is not committed, FoundationDB's client counts the key that it clears when it
    # walks from key to key, and not when it reads. The law leaves that open.
    for number in (15, 20, 25):
        tr.atomic(MutationType.ADD, suite.key(number), b"\x01")
    return [10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120]


WRITES: dict[str, object] = {"stored": no_writes, "sets_and_clears": sets_and_clears, "atomics": atomics_over_all}


class Selectors(Harness):
    def _written(self, writing: Writing) -> tuple[Transaction, list[bytes]]:
        self.put_numbered(range(10, 130, 10))
        tr = self.begin()
        return tr, [self.key(number) for number in writing(self, tr)]

    def test_the_four_selectors_lead_where_their_names_say(self) -> None:
        self.put_numbered(range(10, 50, 10))
        tr = self.begin()
        expected = {
            KeySelector.last_less_than(self.key(20)): 10,
            KeySelector.last_less_or_equal(self.key(20)): 20,
            KeySelector.first_greater_or_equal(self.key(20)): 20,
            KeySelector.first_greater_than(self.key(20)): 30,
            KeySelector.last_less_than(self.key(25)): 20,
            KeySelector.last_less_or_equal(self.key(25)): 20,
            KeySelector.first_greater_or_equal(self.key(25)): 30,
            KeySelector.first_greater_than(self.key(25)): 30,
        }
        assert {selector: self.do(tr.get_key(selector)) for selector in expected} == {
            selector: self.key(number) for selector, number in expected.items()
        }

    @each("writing", WRITES)
    def test_every_selector_leads_where_the_rule_says(self, writing: Writing) -> None:
        tr, keys = self._written(writing)
        selectors = [
            selector
            for number in range(5, 130, 5)
            for or_equal in (False, True)
            for offset in (-7, -3, -2, -1, 0, 1, 2, 3, 4, 8)
            if 0 <= place(keys, selector := KeySelector(self.key(number), or_equal, offset)) < len(keys)
        ]
        started = [tr.get_key(selector) for selector in selectors]
        for selector, read in zip(selectors, started, strict=True):
            assert self.do(read) == keys[place(keys, selector)], selector

    @each("writing", WRITES)
    def test_selectors_led_there_by_snapshot_reads_too(self, writing: Writing) -> None:
        tr, keys = self._written(writing)
        for number in range(15, 125, 5):
            for offset in (0, 1, 2):
                selector = KeySelector(self.key(number), True, offset)
                if 0 <= place(keys, selector) < len(keys):
                    assert self.do(tr.get_key(selector, snapshot=True)) == keys[place(keys, selector)]

    def test_far_offsets_leave_the_keys_on_the_side_they_point_to(self) -> None:
        self.put_numbered(range(10))
        tr = self.begin()
        assert self.do(tr.get_key(KeySelector(self.key(5), False, 500))) >= self.behind
        assert self.do(tr.get_key(KeySelector(self.key(5), False, -500))) < self.prefix

    def test_far_offsets_inside_many_keys_are_exact(self) -> None:
        self.put_numbered(range(3000), lambda number: b"")
        tr = self.begin()
        tr.clear(self.key(2000))
        assert self.do(tr.get_key(KeySelector(self.key(0), False, 2501))) == self.key(2501)
        assert self.do(tr.get_key(KeySelector(self.key(2999), False, -2499))) == self.key(498)
        assert self.do(tr.get_key(KeySelector(self.key(1000), True, 1000))) == self.key(2001)

    def test_a_selector_that_falls_off_gives_the_end_of_all_keys(self) -> None:
        tr = self.begin()
        assert self.do(tr.get_key(KeySelector(b"", False, 0))) == b""
        assert self.do(tr.get_key(KeySelector(b"", False, -5))) == b""
        assert self.do(tr.get_key(KeySelector(b"\xff", False, 1))) == b"\xff"
        assert self.do(tr.get_key(KeySelector(b"\xff", True, 5))) == b"\xff"
        assert self.do(tr.get_key(KeySelector(b"\xff", False, 7), snapshot=True)) == b"\xff"

    def test_own_writes_keep_a_selector_from_falling_off(self) -> None:
        tr = self.begin()
        tr.set(b"\xfe\xff" + self.prefix, b"own")
        assert self.do(tr.get_key(KeySelector.last_less_than(b"\xff"))) == b"\xfe\xff" + self.prefix
        tr.set(b"", b"own")
        assert self.do(tr.get_key(KeySelector.first_greater_or_equal(b""))) == b""

    def test_a_selector_behind_the_last_legal_key_is_refused(self) -> None:
        self.refused(2004, self.begin().get_key(KeySelector.last_less_than(b"\xff\x00")))

    @each("writing", WRITES)
    def test_ranges_between_selectors_hold_the_keys_between_their_places(self, writing: Writing) -> None:
        tr, keys = self._written(writing)
        for reverse in (False, True):
            for begin in self._selectors(keys, (20, 35, 60)):
                for end in self._selectors(keys, (35, 60, 95)):
                    inside = keys[place(keys, begin) : max(place(keys, begin), place(keys, end))]
                    expected = [key.removeprefix(self.prefix) for key in (inside[::-1] if reverse else inside)]
                    assert self.names(tr, begin, end, reverse=reverse) == expected, (begin, end, reverse)
                    assert self.names(tr, begin, end, reverse=reverse, limit=2) == expected[:2], (begin, end, reverse)

    def _selectors(self, keys: list[bytes], numbers: tuple[int, ...]) -> list[KeySelector]:
        made = [
            KeySelector(self.key(number), or_equal, offset)
            for number in numbers
            for or_equal in (False, True)
            for offset in (-1, 0, 1, 2)
        ]
        return [selector for selector in made if 0 <= place(keys, selector) < len(keys)]

    def test_a_range_whose_begin_selector_leads_behind_its_end_is_empty(self) -> None:
        self.put_numbered(range(10))
        begin = KeySelector.first_greater_or_equal(self.key(2)) + 6
        for reverse in (False, True):
            assert self.names(self.begin(), begin, self.key(5), reverse=reverse) == []

    def test_selectors_add_and_subtract_places(self) -> None:
        selector = KeySelector.first_greater_or_equal(b"k")
        assert (selector + 3).offset == 4
        assert (selector - 3).offset == -2
