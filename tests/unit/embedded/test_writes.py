"""The write map against the plain list of what was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sortedcontainers import SortedDict

from recordlayer.errors import InvalidOperation, OperationFailed, Unreadable
from recordlayer.kv.embedded.apply import apply
from recordlayer.kv.embedded.atomic import ATOMIC
from recordlayer.kv.embedded.commit_request import CommitRequest
from recordlayer.kv.embedded.range_set import NO_RANGES, RangeSet
from recordlayer.kv.embedded.view import View
from recordlayer.kv.embedded.window import Pending
from recordlayer.kv.embedded.writes import WriteMap, stamped, stamped_key_range
from recordlayer.kv.engine import MutationType

KEYS = [bytes([letter]) for letter in b"abcdefgh"]
POINTS = sorted([b"", *KEYS, *(key + b"\0" for key in KEYS)])  # and a key between each two
STAMP = b"\x00\x00\x00\x00\x00\x00\x12\x34\x00\x07"
STAMPED = MutationType.SET_VERSIONSTAMPED_VALUE

KEY = st.sampled_from(KEYS)
RANGE = st.tuples(st.sampled_from(POINTS), st.sampled_from(POINTS)).map(sorted).map(tuple)
VALUE = st.one_of(st.sampled_from([b"", b"\0", b"\1", b"\xff", b"\xff\xff"]), st.binary(max_size=9))


@st.composite
def stamped_operands(draw: st.DrawFn) -> bytes:
    before, after = draw(st.binary(max_size=3)), draw(st.binary(max_size=3))
    return before + bytes(10) + after + len(before).to_bytes(4, "little")


@dataclass(frozen=True)
class Write:
    """One call, with the keys that it touches."""

    kind: str | MutationType
    begin: bytes
    end: bytes
    value: bytes
    conflict: bool

    def to(self, writes: WriteMap) -> None:
        if self.kind == "set":
            writes.set(self.begin, self.value, conflict=self.conflict)
        elif self.kind == "clear":
            writes.clear(self.begin, conflict=self.conflict)
        elif self.kind == "clear_range":
            if self.begin < self.end:
                writes.clear_range(self.begin, self.end, conflict=self.conflict)
        elif self.kind == "conflict":
            if self.begin < self.end:
                writes.add_conflict(self.begin, self.end)
        else:
            assert isinstance(self.kind, MutationType)
            writes.atomic(self.kind, self.begin, self.value, conflict=self.conflict)

    def touches(self, key: bytes) -> bool:
        return self.begin <= key < self.end

    def effect(self, stored: bytes | None, stamp: bytes | None) -> bytes | None:
        """What becomes of a stored value. Without a stamp, stamped values stay as they were given."""
        if self.kind == "conflict":
            return stored
        if self.kind == "set":
            return self.value
        if self.kind in ("clear", "clear_range"):
            return None
        if self.kind is STAMPED:
            return self.value if stamp is None else stamped(self.value, stamp)
        return ATOMIC[self.kind](stored, self.value)  # type: ignore[index]

    @property
    def decides(self) -> bool:
        """Whether what was stored before no longer matters."""
        return self.kind in ("set", "clear", "clear_range", STAMPED)


def on_key(kind: str | MutationType, key: bytes, value: bytes = b"", conflict: bool = True) -> Write:
    return Write(kind, key, key + b"\0", value, conflict)


LOUD = st.sampled_from([True, True, False])
WRITE = st.one_of(
    st.builds(on_key, st.just("set"), KEY, VALUE, LOUD),
    st.builds(on_key, st.just("clear"), KEY, st.just(b""), LOUD),
    st.builds(lambda r, loud: Write("clear_range", *r, b"", loud), RANGE, LOUD),
    st.builds(lambda r: Write("conflict", *r, b"", True), RANGE),
    st.builds(on_key, st.sampled_from(sorted(ATOMIC)), KEY, VALUE, LOUD),
    st.builds(on_key, st.just(STAMPED), KEY, stamped_operands(), LOUD),
)
PROGRAM = st.lists(WRITE, max_size=14)
STORE = st.dictionaries(KEY, VALUE)


def mapped(program: list[Write]) -> WriteMap:
    writes = WriteMap()
    for write in program:
        write.to(writes)
    return writes


def replayed(program: list[Write], key: bytes, stored: bytes | None, stamp: bytes | None) -> bytes | None:
    for write in program:
        if write.touches(key):
            stored = write.effect(stored, stamp)
    return stored


def unreadable(program: list[Write], key: bytes) -> bool:
    """A stamped value makes its key unreadable until it is cleared."""
    answer = False
    for write in program:
        if write.touches(key):
            if write.kind is STAMPED:
                answer = True
            elif write.kind in ("clear", "clear_range"):
                answer = False
    return answer


def operates_on_a_stamp(program: list[Write], key: bytes) -> bool:
    """Whether an atomic operation follows a stamped value directly."""
    kinds: list[str | MutationType] = []
    for write in program:
        if write.touches(key) and write.kind != "conflict":
            kinds = [] if write.kind in ("clear", "clear_range") else [*kinds, write.kind]
    return any(left is STAMPED and right in ATOMIC for left, right in pairwise(kinds))


def independent(program: list[Write], key: bytes) -> bool:
    return any(write.decides for write in program if write.touches(key))


class Stored:
    """A store in a dict: what a snapshot reads and what a commit writes."""

    taken = True  # its version is fixed

    def __init__(self, pairs: dict[bytes, bytes]) -> None:
        self.pairs: SortedDict[bytes, bytes] = SortedDict(pairs)

    def database(self) -> Stored:
        return self

    def get(self, key: bytes) -> bytes | None:
        return self.pairs.get(key)

    def rows(self, begin: bytes, end: bytes, limit: int, *, reverse: bool = False) -> list[tuple[bytes, bytes]]:
        return [(key, self.pairs[key]) for key in self.pairs.irange(begin, end, (True, False), reverse)][:limit]

    @property
    def in_data(self) -> tuple[Any, Any, None, Any]:
        def get(key: bytes, default: bytes | None, tree: None) -> bytes | None:
            return self.pairs.get(key, default)

        return lambda key, value, tree: self.put(key, value), lambda key, tree: self.pop(key), None, get

    def put(self, key: bytes, value: bytes) -> bytes | None:
        old = self.pairs.get(key)
        self.pairs[key] = value
        return old

    def pop(self, key: bytes) -> bytes | None:
        return self.pairs.pop(key, None)

    def pop_range(self, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key in list(self.pairs.irange(begin, end, (True, False))):
            yield key, self.pairs.pop(key)


def request_for(writes: WriteMap) -> CommitRequest:
    request = CommitRequest(
        None,  # type: ignore[arg-type]  # nobody leads here
        writes,
        reader=None,
        read_version=None,
        read_keys={},
        read_ranges=RangeSet(),
        size=0,
        deadline=None,
        report=False,
    )
    request.stamp = STAMP
    return request


@given(PROGRAM, STORE)
@settings(max_examples=150)
def test_applying_the_map_does_what_the_calls_did_in_their_order(program: list[Write], store: dict) -> None:
    stored = Stored(store)
    pending = Pending(1)
    apply(stored, request_for(mapped(program)), pending)  # type: ignore[arg-type]
    for key in POINTS:
        assert stored.get(key) == replayed(program, key, store.get(key), STAMP), key
        if stored.get(key) != store.get(key):
            assert pending.undo[key] == store.get(key)


@given(st.lists(PROGRAM, min_size=1, max_size=3), STORE)
@settings(max_examples=150)
def test_a_group_notes_what_it_replaces_and_what_conflicts(programs: list[list[Write]], store: dict) -> None:
    stored = Stored(store)
    pending = Pending(1)
    for program in programs:
        apply(stored, request_for(mapped(program)), pending)  # type: ignore[arg-type]
    for key, old in pending.undo.items():
        assert old == store.get(key)
    noted = {
        key
        for key in POINTS
        if (key in pending.undo and key not in pending.silent) or any(low <= key < high for low, high in pending.ranges)
    }
    written = {
        key for key in POINTS for program in programs for write in program if write.touches(key) and write.conflict
    }
    assert noted == written


@given(PROGRAM, STORE, st.booleans())
@settings(max_examples=150)
def test_a_transaction_reads_its_own_writes(program: list[Write], store: dict, bypass: bool) -> None:
    view = View(Stored(store), mapped(program), bypass_unreadable=bypass)  # type: ignore[arg-type]
    expected = {}
    for key in POINTS:
        if unreadable(program, key) and not bypass:
            with pytest.raises(Unreadable):
                view.get(key)
            continue
        if operates_on_a_stamp(program, key):
            with pytest.raises(OperationFailed):
                view.get(key)
            continue
        expected[key] = replayed(program, key, store.get(key), None)
        assert view.get(key) == expected[key], key


@given(PROGRAM, STORE, RANGE, st.sampled_from([1, 2, 3, 100]), st.booleans(), st.booleans())
@settings(max_examples=250)
def test_a_transaction_reads_ranges_with_its_own_writes(
    program: list[Write], store: dict, asked: tuple[bytes, bytes], limit: int, reverse: bool, bypass: bool
) -> None:
    begin, end = asked
    view = View(Stored(store), mapped(program), bypass_unreadable=bypass)  # type: ignore[arg-type]
    rows = [(key, replayed(program, key, store.get(key), None)) for key in POINTS if begin <= key < end]
    if reverse:
        rows.reverse()
    wanted: list[tuple[bytes, bytes]] = []
    for key, value in rows:
        if len(wanted) == limit:
            break
        if unreadable(program, key):  # bypassing is for single keys
            with pytest.raises(Unreadable):
                view.rows(begin, end, limit, reverse=reverse)
            return
        if value is not None:
            wanted.append((key, value))
    assert view.rows(begin, end, limit, reverse=reverse) == wanted


@given(PROGRAM, RANGE)
@settings(max_examples=150)
def test_a_read_conflicts_exactly_where_its_outcome_depends_on_the_database(
    program: list[Write], asked: tuple[bytes, bytes]
) -> None:
    writes = mapped(program)
    begin, end = asked
    parts = writes.outside(begin, end) if begin < end else []
    for key in POINTS:
        assert writes.independent(key) == independent(program, key), key
        if begin <= key < end:
            assert any(low <= key < high for low, high in parts) != independent(program, key), key
    assert all(begin <= low < high <= end for low, high in parts)


@given(PROGRAM, KEY, VALUE)
def test_what_is_independent_does_not_change_with_the_stored_value(
    program: list[Write], key: bytes, value: bytes
) -> None:
    writes = mapped(program)
    if writes.independent(key) and not writes.is_unreadable(key):
        answers = {
            View(Stored(store), writes, bypass_unreadable=False).get(key)  # type: ignore[arg-type]
            for store in ({}, {key: value}, {key: b""}, {key: value + b"x"})
        }
        assert len(answers) == 1


@given(PROGRAM)
def test_a_map_is_empty_exactly_if_nothing_was_written(program: list[Write]) -> None:
    did = [write for write in program if write.begin < write.end]
    assert mapped(program).empty == (not did)


# -- versionstamped keys

PLACE = b"k" + bytes(10) + b"z"
OPERAND = PLACE + (1).to_bytes(4, "little")


def test_a_stamped_key_makes_every_key_it_may_become_unreadable() -> None:
    writes = WriteMap()
    writes.set_stamped_key(OPERAND, b"v", 5)
    low, high = stamped_key_range(OPERAND, 5)
    assert low == b"k" + (5).to_bytes(8, "big") + b"\0\0z"
    assert not writes.is_unreadable(b"k" + (4).to_bytes(8, "big") + b"\0\0z")
    assert writes.is_unreadable(low)
    assert writes.is_unreadable(b"k" + b"\xff" * 10)
    assert not writes.is_unreadable(high)
    view = View(Stored({b"a": b"1", b"k\xff": b"2", b"l": b"3"}), writes, bypass_unreadable=False)  # type: ignore[arg-type]
    assert view.rows(b"a", b"k", 10) == [(b"a", b"1")]
    assert view.rows(b"l", b"m", 10) == [(b"l", b"3")]
    with pytest.raises(Unreadable):
        view.rows(b"a", b"m", 10)


def test_a_stamped_key_is_stored_under_its_stamp() -> None:
    writes = WriteMap()
    writes.set_stamped_key(OPERAND, b"v", 5)
    stored = Stored({})
    pending = Pending(1)
    apply(stored, request_for(writes), pending)  # type: ignore[arg-type]
    assert dict(stored.pairs) == {b"k" + STAMP + b"z": b"v"}
    assert pending.undo == {b"k" + STAMP + b"z": None}


@pytest.mark.parametrize(
    "operand",
    [b"", b"abc", bytes(13), bytes(10) + b"\x01\0\0\0", bytes(10) + b"\xff\xff\xff\xff", b"x" * 20 + b"\x0b\0\0\0"],
)
def test_an_operand_without_room_for_its_stamp_is_refused(operand: bytes) -> None:
    with pytest.raises(InvalidOperation):
        stamped(operand, STAMP)


@given(PROGRAM)
def test_what_new_transactions_share_stays_empty(program: list[Write]) -> None:
    mapped(program)
    assert RangeSet().starts == RangeSet().ends == []
    fresh = WriteMap()
    assert fresh.empty
    for part in (fresh.entries, fresh.silent, fresh.silent_ranges, fresh.unreadable, fresh.unreadable_ranges):
        assert not part
    assert fresh.sorted_keys() == []
    assert not NO_RANGES


def test_the_empty_set_that_everybody_has_cannot_be_added_to() -> None:
    with pytest.raises(TypeError):
        NO_RANGES.add(b"a", b"b")
    assert list(NO_RANGES.including(b"a", b"b")) == [(b"a", b"b")]
    assert not NO_RANGES
