"""Ranges and subspaces: which keys are inside."""

from __future__ import annotations

import pickle
from typing import Any

import fdb.tuple
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import IncompleteVersionstamp, MalformedTuple, NotInSubspace, UnboundedPrefix, UnpackableValue
from recordlayer.tuples import Subspace, Versionstamp, pack, pack_with_versionstamp, prefix_range, range_of, strinc
from tests.unit.tuples.values import exact, to_fdb, tuples, values


@given(tuples, st.binary(max_size=4))
def test_a_range_is_that_of_fdb_tuple(items: tuple[Any, ...], prefix: bytes) -> None:
    expected = fdb.tuple.range(to_fdb(items))
    assert range_of(items, prefix) == (prefix + expected.start, prefix + expected.stop)


@given(tuples, tuples)
def test_a_range_holds_the_longer_tuples_and_only_those(items: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    begin, end = range_of(items)
    assert not begin <= pack(items) < end
    if other:
        assert begin <= pack(items + other) < end
    assert (begin <= pack(other) < end) == (len(other) > len(items) and pack(other[: len(items)]) == pack(items))


@given(st.binary(max_size=5), st.binary(max_size=7))
def test_a_prefix_range_holds_the_keys_with_that_prefix_and_only_those(prefix: bytes, key: bytes) -> None:
    if prefix.strip(b"\xff"):
        begin, end = prefix_range(prefix)
        assert begin <= prefix + key < end
        assert (begin <= key < end) == key.startswith(prefix)
    else:
        with pytest.raises(UnboundedPrefix):
            prefix_range(prefix)


@pytest.mark.parametrize(
    ("prefix", "after"), [(b"a", b"b"), (b"a\xff\xff", b"b"), (b"\x00", b"\x01"), (b"\xfe\xff", b"\xff")]
)
def test_strinc_gives_the_first_key_behind(prefix: bytes, after: bytes) -> None:
    assert strinc(prefix) == after


@given(tuples, st.binary(max_size=4), tuples)
def test_a_subspace_is_a_prefix(outer: tuple[Any, ...], prefix: bytes, items: tuple[Any, ...]) -> None:
    space = Subspace(outer, prefix)
    assert space.key() == bytes(space) == pack(outer, prefix)
    key = space.pack(items)
    assert key == pack(outer + items, prefix)
    assert exact(space.unpack(key)) == exact(items)
    assert space.contains(key)
    assert key in space
    assert space.range(items) == range_of(outer + items, prefix)


@given(tuples, values, tuples)
def test_a_subspace_can_be_entered_by_items(outer: tuple[Any, ...], item: Any, items: tuple[Any, ...]) -> None:
    space = Subspace(outer)
    assert space[item].pack(items) == pack((*outer, item, *items))
    assert space.subspace(items) == Subspace((*outer, *items))


def test_the_range_of_a_subspace_leaves_out_its_own_key() -> None:
    begin, end = Subspace(("a",)).range()
    assert (begin, end) == (b"\x02a\x00\x00", b"\x02a\x00\xff")


def test_a_key_of_another_subspace_is_refused() -> None:
    space = Subspace(("a",))
    for key in (b"", b"\x02b\x00\x15\x01", b"\x02a"):
        assert not space.contains(key)
        with pytest.raises(NotInSubspace):
            space.unpack(key)


def test_a_key_without_a_tuple_behind_the_prefix_is_malformed() -> None:
    with pytest.raises(MalformedTuple) as refused:
        Subspace(("a",)).unpack(b"\x02a\x00\x15\x01\xfe")
    assert refused.value.fields["offset"] == 5


def test_versionstamps_in_a_subspace_count_from_the_first_byte_of_the_key() -> None:
    items = (1, Versionstamp.incomplete(3))
    assert Subspace(("a",)).pack_with_versionstamp(items) == pack_with_versionstamp(("a", *items))
    with pytest.raises(IncompleteVersionstamp):
        Subspace(("a",)).pack(items)


def test_subspaces_are_values() -> None:
    space = Subspace(("a", 1))
    assert space == Subspace(prefix=pack(("a", 1))) == pickle.loads(pickle.dumps(space))
    assert hash(space) == hash(Subspace(("a", 1)))
    assert space != Subspace(("a", 2))
    assert space != space.key()
    assert repr(space) == r"Subspace(prefix=b'\x02a\x00\x15\x01')"
    with pytest.raises(AttributeError):
        space._key = b""
    with pytest.raises(AttributeError):
        del space._key
    with pytest.raises(TypeError):
        iter(space)


def test_a_subspace_of_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(UnpackableValue):
        Subspace((object(),))
