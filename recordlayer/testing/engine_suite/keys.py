"""Keys of every length keep their order, from the empty one to the longest."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from recordlayer.kv.engine import KEY_LIMIT, KeySelector
from recordlayer.testing.engine_suite.harness import Harness, examples

LENGTHS = (40, 509, 510, 511, 512, 1009, 1010, 1011, 1022, 1023, 1024, 1511, 2040, 5000, KEY_LIMIT - 1, KEY_LIMIT)
"""Around the places where engines change how they store a key."""

heads = st.sampled_from([b"", b"a", b"a" * 470, b"a" * 480, b"a" * 490, b"a" * 980, b"b" * 1500])
names = st.builds(lambda head, tail: head + tail, heads, st.binary(max_size=40))


class Keys(Harness):
    def test_keys_of_every_length_are_kept_in_order(self) -> None:
        expected = {}
        for length in LENGTHS:
            for tail in (b"\0", b"k", b"\xff"):
                name = b"k" * (length - len(self.prefix) - 1) + tail
                expected[name] = b"%d" % length + tail
        self.put(expected)
        rows = sorted(expected.items())
        assert self.rows(self.begin()) == rows
        assert self.rows(self.begin(), reverse=True) == rows[::-1]
        tr = self.begin()
        for name, value in rows:
            assert self.do(tr.get(self.key(name))) == value

    def test_selectors_walk_over_keys_of_every_length(self) -> None:
        names = sorted(b"k" * (length - len(self.prefix)) for length in LENGTHS)
        self.put(dict.fromkeys(names, b""))
        tr = self.begin()
        for low, high in pairwise(names):
            assert self.do(tr.get_key(KeySelector.first_greater_than(self.key(low)))) == self.key(high)
            assert self.do(tr.get_key(KeySelector.last_less_than(self.key(high)))) == self.key(low)

    def test_clearing_long_keys_leaves_their_neighbours(self) -> None:
        names = [b"k" * 600 + bytes([number]) for number in range(20)]
        self.put(dict.fromkeys([*names, b"k" * 600, b"k" * 599], b"v"))
        self.commit(lambda tr: tr.clear_range(self.key(names[5]), self.key(names[15])))
        self.commit(lambda tr: tr.clear(self.key(names[0])))
        assert self.names(self.begin()) == [b"k" * 599, b"k" * 600, *names[1:5], *names[15:]]

    def test_a_long_key_is_seen_at_the_version_of_the_reader(self) -> None:
        name = b"k" * 3000
        self.put({name: b"old", name + b"gone": b"old"})
        reader = self.begun()
        self.put({name: b"new", name + b"new": b"new"})
        self.commit(lambda tr: tr.clear(self.key(name + b"gone")))
        assert self.rows(reader) == [(name, b"old"), (name + b"gone", b"old")]
        assert self.do(reader.get(self.key(name))) == b"old"

    def test_a_long_key_conflicts_as_any_other(self) -> None:
        name = self.key(b"k" * 3000)
        assert self.conflict(lambda tr: self.do(tr.get(name)), lambda tr: tr.set(name, b""))
        assert not self.conflict(lambda tr: self.do(tr.get(name)), lambda tr: tr.set(name + b"\0", b""))

    def test_the_empty_key_is_a_key(self) -> None:
        before = self.do(self.begin().get(b""))
        try:
            self.commit(lambda tr: tr.set(b"", self.prefix))
            assert self.do(self.begin().get(b"")) == self.prefix
            assert self.do(self.begin().get_range(b"", b"\0")).rows == [(b"", self.prefix)]
            assert self.do(self.begin().get_range(b"", self.behind, limit=1)).rows == [(b"", self.prefix)]
            assert self.do(self.begin().get_key(KeySelector.last_less_or_equal(b""))) == b""
            assert self.conflict(lambda tr: self.do(tr.get(b"")), lambda tr: tr.set(b"", self.prefix))
            self.commit(lambda tr: tr.clear(b""))
            assert self.do(self.begin().get(b"")) is None
        finally:
            if before is not None:
                self.commit(lambda tr: tr.set(b"", before))

    @examples(25)
    @given(
        pairs=st.dictionaries(names, st.binary(max_size=8), max_size=25),
        cleared=st.lists(st.tuples(names, names), max_size=2),
        bounds=st.tuples(names, names),
        limit=st.integers(0, 6),
    )
    def test_a_sorted_dict_gives_the_same_ranges(
        self,
        pairs: dict[bytes, bytes],
        cleared: list[tuple[bytes, bytes]],
        bounds: tuple[bytes, bytes],
        limit: int,
    ) -> None:
        self.commit(lambda tr: tr.clear_range(self.prefix, self.behind))
        self.put(pairs)
        expected = dict(pairs)
        for pair in cleared:
            low, high = sorted(pair)
            self.commit(lambda tr, low=low, high=high: tr.clear_range(self.key(low), self.key(high)))  # type: ignore[misc]
            expected = {name: value for name, value in expected.items() if not low <= name < high}
        low, high = sorted(bounds)
        rows = sorted((name, value) for name, value in expected.items() if low <= name < high)
        tr = self.begin()
        assert self.rows(tr, self.key(low), self.key(high), limit=limit) == rows[: limit or None]
        assert self.rows(tr, self.key(low), self.key(high), limit=limit, reverse=True) == rows[::-1][: limit or None]
        assert self.rows(tr) == sorted(expected.items())
