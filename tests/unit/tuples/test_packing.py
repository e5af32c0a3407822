"""Packing: the bytes are those of `fdb.tuple`, and what cannot be packed is refused by name and place."""

from __future__ import annotations

import ctypes
import uuid
from typing import Any

import fdb.tuple
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import IncompleteVersionstamp, TupleError, UnpackableValue, WrongType
from recordlayer.tuples import SingleFloat, Versionstamp, has_incomplete_versionstamp, pack, pack_with_versionstamp
from recordlayer.tuples.packing import encode_float_as_single
from tests.unit.tuples.values import field, integers, scalars, to_fdb, tuples, tuples_with_open_stamps

PREFIX = b"\x15\x07\xff"


@given(tuples, st.binary(max_size=4))
def test_the_bytes_are_those_of_fdb_tuple(items: tuple[Any, ...], prefix: bytes) -> None:
    assert pack(items, prefix) == fdb.tuple.pack(to_fdb(items), prefix)


@given(scalars, st.integers(0, 80))
def test_long_tuples_pack_as_short_ones_do(value: Any, count: int) -> None:
    assert pack((value,) * count, PREFIX) == PREFIX + pack((value,)) * count


@given(integers)
def test_every_integer_has_the_bytes_of_fdb_tuple(value: int) -> None:
    assert pack((value,)) == fdb.tuple.pack((value,))


def test_a_list_packs_as_a_tuple() -> None:
    assert pack([1, "a", [None]]) == pack((1, "a", (None,)))


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ((), ""),
        ((None,), "00"),
        (((None,),), "0500ff00"),
        ((("a", None),), "0502610000ff00"),
        ((b"\x00\x01",), "0100ff0100"),
        ((1066,), "16042a"),
        ((-1,), "13fe"),
        ((2**127,), "1d10" + "80" + "00" * 15),
        ((2**64 - 1,), "1d08" + "ff" * 8),
        ((1 - 2**64,), "0bf7" + "00" * 8),
        ((2**63,), "1c8000000000000000"),
        ((-(2**63),), "0c7fffffffffffffff"),
        ((1.5,), "21bff8000000000000"),
        ((-0.0,), "217fffffffffffffff"),
        ((SingleFloat(1.5),), "20bfc00000"),
        ((True, False), "2726"),
        ((uuid.UUID(int=1),), "30" + "00" * 15 + "01"),
        ((Versionstamp(b"0123456789", 258),), "33" + b"0123456789".hex() + "0102"),
    ],
)
def test_known_bytes(items: tuple[Any, ...], expected: str) -> None:
    assert pack(items).hex() == expected


@given(st.floats(width=32))
def test_a_float_packed_as_a_single_needs_no_single_float(value: float) -> None:
    assert encode_float_as_single(value) == pack((SingleFloat(value),))


@pytest.mark.parametrize("value", [1e300, -1e300, 3.4028235677973366e38])
def test_a_float_too_large_for_32_bits_is_infinite(value: float) -> None:
    assert encode_float_as_single(value) == fdb.tuple.pack((fdb.tuple.SingleFloat(value),))


# -- what cannot be packed ---------------------------------------------------------------------------------


class Stranger:
    pass


@pytest.mark.parametrize(
    "value",
    [Stranger(), {1: 2}, {1}, bytearray(b"x"), memoryview(b"x"), 1j, "\ud800", 1 << (8 * 255), -(1 << (8 * 255)), int],
)
def test_a_value_without_an_encoding_is_refused_with_its_position(value: Any) -> None:
    for items, position in (((value,), (0,)), ((1, value), (1,)), (("a", [None, (2, value)]), (1, 1, 1))):
        for packing in (pack, pack_with_versionstamp):
            with pytest.raises(UnpackableValue) as refused:
                packing(items)
            assert field(refused.value, "position") == position
            assert field(refused.value, "type") == type(value).__name__


def test_the_error_names_the_first_of_several() -> None:
    with pytest.raises(UnpackableValue) as refused:
        pack((1, (2, Stranger()), Stranger()))
    assert field(refused.value, "position") == (1, 1)


def test_beyond_the_usual_length_the_position_is_still_named() -> None:
    with pytest.raises(UnpackableValue) as refused:
        pack((*range(50), Stranger()))
    assert field(refused.value, "position") == (50,)


@given(tuples_with_open_stamps, st.sampled_from([Stranger(), "\ud800", ctypes.c_int(3), 1 << 2040, bytearray()]))
def test_what_fdb_tuple_refuses_is_refused(items: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011  the oracle has no type of its own for this
        fdb.tuple.pack(to_fdb((*items, value)))
    with pytest.raises(TupleError):
        pack((*items, value))


@pytest.mark.parametrize("items", ["abc", b"abc", 7, None, {1: 2}, iter(())])
def test_only_a_tuple_or_a_list_is_packed(items: Any) -> None:
    for packing in (pack, pack_with_versionstamp):
        with pytest.raises(WrongType, match="tuple or list"):
            packing(items)


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = (value,)
    return value


def test_a_hundred_levels_of_nesting_are_packed_and_more_are_refused() -> None:
    deepest = (_nested(100),)
    assert pack(deepest) == fdb.tuple.pack(deepest)
    for items in ((_nested(101),), (0, [_nested(5_000)])):
        for packing in (pack, pack_with_versionstamp):
            with pytest.raises(UnpackableValue, match="deep") as refused:
                packing(items)
            assert len(field(refused.value, "position")) == 101


def test_a_list_inside_itself_is_refused() -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    with pytest.raises(UnpackableValue, match="inside itself"):
        pack((circle,))


# -- incomplete versionstamps ------------------------------------------------------------------------------


def _count(items: Any) -> int:
    return sum(
        _count(value) if isinstance(value, (tuple, list)) else isinstance(value, Versionstamp) and not value.is_complete
        for value in items
    )


@given(tuples_with_open_stamps, st.binary(max_size=4))
def test_one_incomplete_versionstamp_is_packed_with_its_place(items: tuple[Any, ...], prefix: bytes) -> None:
    assert has_incomplete_versionstamp(items) == (_count(items) > 0)
    if _count(items) == 1:
        operand = pack_with_versionstamp(items, prefix)
        assert operand == fdb.tuple.pack_with_versionstamp(to_fdb(items), prefix)
        place = int.from_bytes(operand[-4:], "little")
        assert operand[place : place + 10] == b"\xff" * 10
        assert operand[place - 1] == 0x33
    else:
        with pytest.raises(IncompleteVersionstamp) as refused:
            pack_with_versionstamp(items, prefix)
        assert field(refused.value, "found") == _count(items)


@given(tuples_with_open_stamps)
def test_an_incomplete_versionstamp_is_never_packed_by_pack(items: tuple[Any, ...]) -> None:
    if _count(items):
        with pytest.raises(IncompleteVersionstamp) as refused:
            pack(items)
        value: Any = items
        for index in field(refused.value, "position"):
            value = value[index]
        assert value == Versionstamp(None, value.user_version)
    else:
        assert pack(items) == fdb.tuple.pack(to_fdb(items))
