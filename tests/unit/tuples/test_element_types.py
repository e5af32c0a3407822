"""SingleFloat and Versionstamp: small values that never change."""

from __future__ import annotations

import copy
import math
import pickle
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import InvalidVersionstamp, UnpackableValue, WrongType
from recordlayer.tuples import SingleFloat, Versionstamp, pack
from tests.unit.tuples.values import complete_stamps, open_stamps, singles

stamps = complete_stamps | open_stamps


@given(st.floats(width=32))
def test_a_single_float_keeps_a_number_of_32_bits(value: float) -> None:
    assert struct.pack(">f", SingleFloat(value).value) == struct.pack(">f", value)
    assert struct.pack(">f", float(SingleFloat(value))) == struct.pack(">f", value)


def test_a_single_float_rounds_and_overflows_as_32_bits_do() -> None:
    assert SingleFloat(0.1).value == 0.10000000149011612
    assert SingleFloat(1e300).value == math.inf
    assert SingleFloat(-1e300).value == -math.inf
    assert SingleFloat(3) == SingleFloat(3.0)
    assert repr(SingleFloat(1.5)) == "SingleFloat(1.5)"


def test_a_single_float_is_equal_by_its_bits() -> None:
    assert SingleFloat(math.nan) == SingleFloat(math.nan)
    assert SingleFloat(0.0) != SingleFloat(-0.0)
    assert SingleFloat(1.0) != 1.0


@pytest.mark.parametrize("value", ["1", None, True, 1j, SingleFloat(1.0)])
def test_a_single_float_is_made_of_a_number(value: Any) -> None:
    with pytest.raises(WrongType):
        SingleFloat(value)


def test_an_integer_that_no_float_holds_is_refused() -> None:
    with pytest.raises(UnpackableValue):
        SingleFloat(10**400)


def test_a_versionstamp_shows_its_parts() -> None:
    stamp = Versionstamp(b"0123456789", 7)
    assert (stamp.tr_version, stamp.user_version, stamp.is_complete) == (b"0123456789", 7, True)
    assert stamp.to_bytes() == b"0123456789\x00\x07"
    assert repr(stamp) == "Versionstamp(b'0123456789', 7)"


def test_an_incomplete_versionstamp_waits_for_its_transaction() -> None:
    stamp = Versionstamp.incomplete(7)
    assert stamp == Versionstamp(user_version=7)
    assert (stamp.tr_version, stamp.is_complete) == (None, False)
    assert stamp.to_bytes() == b"\xff" * 10 + b"\x00\x07"
    assert stamp.completed(b"0123456789") == Versionstamp(b"0123456789", 7)


@given(stamps)
def test_a_versionstamp_is_its_twelve_bytes(stamp: Versionstamp) -> None:
    assert Versionstamp.from_bytes(stamp.to_bytes()) == stamp
    assert Versionstamp(stamp.tr_version, stamp.user_version) == stamp


@pytest.mark.parametrize(
    "parts",
    [
        (b"short",),
        (b"eleven byte",),
        ("0123456789",),
        (b"\xff" * 10,),
        (None, -1),
        (None, 65_536),
        (None, 1.0),
        (None, True),
    ],
)
def test_a_versionstamp_of_other_parts_is_refused(parts: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidVersionstamp):
        Versionstamp(*parts)


@pytest.mark.parametrize("raw", [b"", b"x" * 11, b"x" * 13, "x" * 12, None])
def test_a_versionstamp_of_other_than_twelve_bytes_is_refused(raw: Any) -> None:
    with pytest.raises(InvalidVersionstamp):
        Versionstamp.from_bytes(raw)


def test_a_versionstamp_is_completed_once_and_by_ten_bytes() -> None:
    complete = Versionstamp(b"0123456789", 7)
    with pytest.raises(InvalidVersionstamp):
        complete.completed(b"9876543210")
    for tr_version in (None, b"\xff" * 10, b"short"):
        with pytest.raises(InvalidVersionstamp):
            Versionstamp().completed(tr_version)  # type: ignore[arg-type]


@given(st.tuples(stamps, stamps) | st.tuples(singles, singles))
def test_order_equality_and_hash_follow_the_bytes(pair: Any) -> None:
    a, b = pair
    packed_a, packed_b = (x.to_bytes() if isinstance(x, Versionstamp) else pack((x,)) for x in pair)
    assert (a < b, a <= b, a > b, a >= b) == (
        packed_a < packed_b,
        packed_a <= packed_b,
        packed_a > packed_b,
        packed_a >= packed_b,
    )
    assert (a == b) == (packed_a == packed_b)
    if a == b:
        assert hash(a) == hash(b)


@pytest.mark.parametrize("value", [SingleFloat(1.5), Versionstamp(b"0123456789", 7), Versionstamp()])
def test_values_are_immutable_and_can_be_copied(value: Any) -> None:
    slot = type(value).__slots__[0]
    with pytest.raises(AttributeError):
        setattr(value, slot, b"")
    with pytest.raises(AttributeError):
        delattr(value, slot)
    with pytest.raises(AttributeError):
        value.other = 1
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value


@pytest.mark.parametrize("value", [SingleFloat(1.5), Versionstamp()])
def test_values_do_not_compare_with_other_types(value: Any) -> None:
    assert value != 1.5
    for compared in ("__lt__", "__le__", "__gt__", "__ge__"):
        assert getattr(value, compared)(1.5) is NotImplemented
