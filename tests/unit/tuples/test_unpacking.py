"""Unpacking: what was packed comes back to the bit, and any other bytes give one clear error."""

from __future__ import annotations

import copy
import pickle
import uuid
from typing import Any

import fdb.tuple
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recordlayer.errors import MalformedTuple, WrongType
from recordlayer.tuples import SingleFloat, pack, unpack
from tests.unit.tuples.values import exact, field, tuples

# Where the oracle takes what there is when an end is missing.
LAX = ("the terminator is missing", "the end of the nested tuple is missing")


@given(tuples, st.binary(max_size=4))
def test_what_was_packed_comes_back_to_the_bit(items: tuple[Any, ...], prefix: bytes) -> None:
    assert exact(unpack(pack(items, prefix), len(prefix))) == exact(items)


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=4, max_size=4))
def test_every_bit_pattern_of_a_float_survives(double: bytes, single: bytes) -> None:
    packed = b"\x21" + double + b"\x20" + single
    assert pack(unpack(packed)) == packed


def _mutated(packed: bytes, change: tuple[str, int, int]) -> bytes:
    how, place, byte = change
    place = place % len(packed) if packed else 0
    match how:
        case "replace":
            return packed[:place] + bytes((byte,)) + packed[place + 1 :]
        case "insert":
            return packed[:place] + bytes((byte,)) + packed[place:]
        case "remove":
            return packed[:place] + packed[place + 1 :]
        case _:
            return packed[:place]


_CODES = [
    0x00,
    0x01,
    0x02,
    0x05,
    0x0B,
    0x0C,
    0x13,
    0x14,
    0x15,
    0x16,
    0x1C,
    0x1D,
    0x20,
    0x21,
    0x26,
    0x27,
    0x30,
    0x33,
    0xFF,
]
changes = st.tuples(
    st.sampled_from(["replace", "insert", "remove", "cut"]),
    st.integers(0, 200),
    st.sampled_from(_CODES) | st.integers(0, 255),
)
hostile = (
    st.builds(_mutated, tuples.map(pack), changes)
    | st.lists(st.sampled_from(_CODES) | st.integers(0, 255), max_size=24).map(bytes)
    | st.binary(max_size=24)
)


@given(hostile)
@example(b"\x02a\x00\xff")
@example(b"\x05\x02a\x00\xffb\x00\x00\xff\x00")
@example(b"\x00\xff")
@example(b"\x1d\x00\x0b\xff\x13\xff\x16\x00\x05")
def test_any_bytes_give_what_fdb_tuple_reads_or_malformed_tuple(data: bytes) -> None:
    items, refused = _outcome(data)
    if refused is None:
        assert exact(items) == exact(fdb.tuple.unpack(data))
        # A second round changes nothing more: only integers in too many bytes are written differently.
        assert exact(unpack(pack(_completed(items)))) == exact(_completed(items))
        return
    assert 0 <= field(refused, "offset") < len(data)
    if field(refused, "reason") not in LAX:
        with pytest.raises(Exception):  # noqa: B017, PT011  the oracle raises whatever it stumbles over
            fdb.tuple.unpack(data)


def _outcome(data: bytes) -> tuple[Any, MalformedTuple | None]:
    try:
        return unpack(data), None
    except MalformedTuple as refused:
        return None, refused


def _completed(value: Any) -> Any:
    """Without incomplete versionstamps, which keys can hold but `pack` refuses."""
    if isinstance(value, tuple):
        return tuple(_completed(element) for element in value)
    return None if getattr(value, "is_complete", True) is False else value


@given(tuples, st.data())
def test_a_tuple_cut_inside_an_element_is_malformed(items: tuple[Any, ...], data: st.DataObject) -> None:
    packed, starts = pack(items), [len(pack(items[:n])) for n in range(len(items) + 1)]
    cut = data.draw(st.integers(0, len(packed)))
    if cut in starts:
        assert exact(unpack(packed[:cut])) == exact(items[: starts.index(cut)])
    elif packed[cut - 1 : cut + 1] != b"\x00\xff":  # there, what is left may end with the 00 as a whole element does
        with pytest.raises(MalformedTuple) as refused:
            unpack(packed[:cut])
        # The offset is that of the element that was cut, or of one nested in it.
        assert max(start for start in starts if start < cut) <= field(refused.value, "offset") < cut


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        ("1501024142", 2, "the terminator is missing"),
        ("01", 0, "the terminator is missing"),
        ("0200ff", 0, "the terminator is missing"),
        ("051501", 0, "the end of the nested tuple is missing"),
        ("05051501", 0, "the end of the nested tuple is missing"),
        ("15", 0, "the element with code 15 ends after the 1 bytes"),
        ("001601", 1, "the element with code 16 ends after the 3 bytes"),
        ("1c01", 0, "the element with code 1c ends after the 2 bytes"),
        ("0c01", 0, "the element with code 0c ends after the 2 bytes"),
        ("1d", 0, "the element with code 1d ends after the 1 bytes"),
        ("1d0201", 0, "the element with code 1d ends after the 3 bytes"),
        ("0bf001", 0, "the element with code 0b ends after the 3 bytes"),
        ("20bfc000", 0, "the element with code 20 ends after the 4 bytes"),
        ("21bf", 0, "the element with code 21 ends after the 2 bytes"),
        ("3000", 0, "the element with code 30 ends after the 2 bytes"),
        ("3300", 0, "the element with code 33 ends after the 2 bytes"),
        ("05150133", 3, "the element with code 33 ends after the 4 bytes"),
        ("0280ff00", 0, "the text is not UTF-8: invalid start byte"),
        ("15010502c30000", 3, "the text is not UTF-8: unexpected end of data"),
        ("02eda08000", 0, "the text is not UTF-8: invalid continuation byte"),
        ("fe", 0, "no element has the code fe"),
        ("1501ff", 2, "no element has the code ff"),
        ("00ff", 1, "no element has the code ff"),
        ("0503", 1, "no element has the code 03"),
    ],
)
def test_malformed_bytes_are_refused_with_offset_and_reason(data: str, offset: int, reason: str) -> None:
    with pytest.raises(MalformedTuple) as refused:
        unpack(bytes.fromhex(data))
    assert refused.value.fields == {"offset": offset, "reason": reason}


def test_a_hundred_levels_of_nesting_are_read_and_more_are_refused() -> None:
    deepest = b"\x05" * 100 + b"\x00" * 100
    assert pack(unpack(deepest)) == deepest
    for levels in (101, 100_000):
        with pytest.raises(MalformedTuple, match="deep") as refused:
            unpack(b"\x05" * levels + b"\x00" * levels)
        assert field(refused.value, "offset") == 100


def test_reading_begins_at_the_offset() -> None:
    assert unpack(b"\xff\xff\x15\x01", 2) == (1,)
    assert unpack(b"\xff\xff", 2) == ()


@pytest.mark.parametrize("offset", [-1, 3, 100])
def test_an_offset_outside_the_data_is_refused(offset: int) -> None:
    with pytest.raises(MalformedTuple, match="outside the 2 bytes"):
        unpack(b"\x15\x01", offset)


@pytest.mark.parametrize("kind", [bytearray, memoryview, type("Derived", (bytes,), {})])
def test_other_bytes_like_objects_are_read(kind: Any) -> None:
    items = unpack(kind(pack((b"abc", "x", 5))))
    assert items == (b"abc", "x", 5)
    assert type(items[0]) is bytes


@pytest.mark.parametrize("data", ["abc", None, 5, (1,)])
def test_what_is_not_bytes_is_refused(data: Any) -> None:
    with pytest.raises(WrongType):
        unpack(data)


@given(st.uuids())
def test_an_unpacked_uuid_is_like_any_other(made: uuid.UUID) -> None:
    (read,) = unpack(pack((made,)))
    assert type(read) is uuid.UUID
    assert read == made
    assert hash(read) == hash(made)
    assert (str(read), read.bytes, read.is_safe) == (str(made), made.bytes, made.is_safe)
    assert pickle.loads(pickle.dumps(read)) == copy.deepcopy(read) == made


def test_a_signalling_nan_keeps_its_bits_as_a_single_float() -> None:
    (read,) = unpack(bytes.fromhex("20ff800001"))
    assert isinstance(read, SingleFloat)
    assert pack((read,)).hex() == "20ff800001"
