"""Generated packers and unpackers: the general ones, only faster."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import MalformedTuple, RecordLayerError, UnpackableValue, UsageError, WrongType
from recordlayer.tuples import Versionstamp, pack, unpack
from recordlayer.tuples.compiled import (
    PACKING_NAMES,
    UNPACKING_NAMES,
    Column,
    Kind,
    compile_packer,
    compile_unpacker,
    define,
    packing_source,
    unpacking_source,
)
from tests.unit.tuples.test_unpacking import hostile
from tests.unit.tuples.values import (
    blobs,
    complete_stamps,
    doubles,
    exact,
    integers,
    open_stamps,
    scalars,
    singles,
    texts,
    values,
)

FITTING: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.INT: integers,
    Kind.STR: texts,
    Kind.BYTES: blobs,
    Kind.FLOAT: doubles,
    Kind.SINGLE_FLOAT: singles,
    Kind.BOOL: st.booleans(),
    Kind.UUID: st.uuids(),
    Kind.VERSIONSTAMP: complete_stamps,
    Kind.ANY: values,
}
unpackable = st.sampled_from([object(), "\ud800", 1 << 2040, bytearray(b"x"), {}]) | open_stamps
columns = st.builds(Column, st.sampled_from(Kind), nullable=st.booleans())


@st.composite
def rows(draw: st.DrawFn, odd: st.SearchStrategy[Any]) -> tuple[list[Column], tuple[Any, ...]]:
    """Columns and a row that mostly fits them: some values are None, or whatever `odd` gives."""
    chosen = draw(st.lists(columns, max_size=6))
    return chosen, tuple(draw(st.one_of(FITTING[c.kind], FITTING[c.kind], st.none() | odd)) for c in chosen)


def outcome(call: Callable[..., Any], *arguments: Any) -> tuple[Any, ...]:
    try:
        return "result", exact(call(*arguments))
    except RecordLayerError as error:
        return type(error), error.fields, error.hint


@given(rows(scalars | unpackable), st.binary(max_size=3))
def test_a_generated_packer_gives_what_pack_gives(row: tuple[list[Column], tuple[Any, ...]], prefix: bytes) -> None:
    chosen, items = row
    assert outcome(compile_packer(chosen, prefix), *items) == outcome(pack, items, prefix)


@given(rows(scalars), rows(scalars), st.binary(max_size=3))
def test_a_generated_unpacker_gives_what_unpack_gives(
    row: tuple[list[Column], tuple[Any, ...]], other: tuple[list[Column], tuple[Any, ...]], prefix: bytes
) -> None:
    unpacker = compile_unpacker(row[0], len(prefix))
    for items in (row[1], other[1], row[1][:-1], row[1] + other[1]):
        packed = pack(items, prefix)
        assert outcome(unpacker, packed) == outcome(unpack, packed, len(prefix)) == ("result", exact(items))


@given(st.lists(columns, max_size=4), hostile, st.integers(0, 3))
def test_a_generated_unpacker_refuses_what_unpack_refuses(chosen: list[Column], data: bytes, skipped: int) -> None:
    assert outcome(compile_unpacker(chosen, skipped), data) == outcome(unpack, data, skipped)


@given(rows(scalars), st.data())
def test_a_generated_unpacker_refuses_a_row_cut_short(
    row: tuple[list[Column], tuple[Any, ...]], data: st.DataObject
) -> None:
    packed = pack(row[1])
    cut = packed[: data.draw(st.integers(0, len(packed)))]
    assert outcome(compile_unpacker(row[0]), cut) == outcome(unpack, cut)


def test_no_columns_are_the_prefix_alone() -> None:
    assert compile_packer((), b"abc")() == b"abc"
    assert compile_unpacker((), 3)(b"abc") == ()


def test_other_bytes_like_objects_are_unpacked() -> None:
    assert compile_unpacker([Column(Kind.STR)])(bytearray(b"\x02a\x00")) == ("a",)  # type: ignore[arg-type]


def test_an_error_names_the_position_among_the_columns() -> None:
    packer = compile_packer([Column(Kind.INT), Column(Kind.ANY)])
    with pytest.raises(UnpackableValue) as refused:
        packer(1, ("a", object()))
    assert refused.value.fields["position"] == (1, 1)


def test_a_generated_function_has_the_name_it_was_given() -> None:
    packer = compile_packer([Column(Kind.INT)], name="index order by total")
    assert packer.__name__ == "index order by total"
    with pytest.raises(UnpackableValue) as refused:
        packer(object())
    assert "index order by total" in [frame.name for frame in traceback.extract_tb(refused.value.__traceback__)]


def test_a_generated_packer_takes_one_value_per_column() -> None:
    packer = compile_packer([Column(Kind.INT), Column(Kind.STR)])
    for arguments in ((), (1,), (1, "a", 2)):
        with pytest.raises(TypeError):
            packer(*arguments)


def test_only_columns_make_a_packer() -> None:
    for compiling in (compile_packer, compile_unpacker):
        with pytest.raises(WrongType):
            compiling([Kind.INT])  # type: ignore[list-item]
    with pytest.raises(UsageError):
        compile_unpacker([], -1)


@pytest.mark.parametrize("kind", Kind)
@given(data=st.data())
def test_the_source_of_a_column_can_be_put_into_other_functions(kind: Kind, data: st.DataObject) -> None:
    value = data.draw(FITTING[kind] | scalars)
    packer = define([f"return {packing_source(kind, 'it')}"], name="one", parameters=["it"], names=PACKING_NAMES)
    packed = packer(value)
    assert packed == pack((value,))
    reading = [*unpacking_source(kind, "it"), "return it, at"]
    reader = define(reading, name="one", parameters=["data", "at"], names=UNPACKING_NAMES)
    if b"\x00\xff" not in packed:  # the source leaves escapes to the general unpacker
        assert exact(reader(packed + b"\x15\x01", 0)) == exact((value, len(packed)))


def test_text_with_a_nul_is_left_to_the_general_unpacker() -> None:
    packed = pack(("a\0b", 1, b"\0\xff"))
    assert compile_unpacker([Column(Kind.STR), Column(Kind.INT), Column(Kind.BYTES)])(packed) == ("a\0b", 1, b"\0\xff")


def test_a_versionstamp_column_refuses_an_incomplete_one_as_pack_does() -> None:
    assert outcome(compile_packer([Column(Kind.VERSIONSTAMP)]), Versionstamp()) == outcome(pack, (Versionstamp(),))
    with pytest.raises(MalformedTuple):
        compile_unpacker([Column(Kind.VERSIONSTAMP)])(b"\x33abc")
