"""What is done to whole pages in C gives what is done to them in Python, and does no harm to pages that are broken."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import FieldDescriptor as FieldTypes
from hypothesis import example, given
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer.core import twins
from recordlayer.index.entry import behind
from recordlayer.query.plan.entry_code import (
    compile_rows,
    compile_runs,
    compile_tuples,
    rows_in_python,
    runs_in_python,
    tuples_in_python,
)
from recordlayer.tuples import pack, unpack, unpack_element
from recordlayer.tuples.compiled import Kind
from tests.support.both_ways import needs_core, outcome
from tests.unit.tuples.values import blobs, doubles, exact, integers, scalars, texts

pytestmark = needs_core

TYPES = {
    "int32": (Kind.INT, st.integers(-(1 << 31) - 1, 1 << 31)),
    "int64": (Kind.INT, st.integers(-(1 << 63) - 1, 1 << 63)),
    "uint32": (Kind.INT, st.integers(-1, 1 << 32)),
    "uint64": (Kind.INT, st.integers(-1, 1 << 64)),
    "sint32": (Kind.INT, st.integers(-(1 << 31) - 1, 1 << 31)),
    "sint64": (Kind.INT, st.integers(-(1 << 63) - 1, 1 << 63)),
    "bool": (Kind.BOOL, st.booleans()),
    "double": (Kind.FLOAT, doubles),
    "string": (Kind.STR, texts),
    "bytes": (Kind.BYTES, blobs),
}


def message_class(syntax: str) -> Any:
    """A record type with a field of each type, called as its type."""
    file = descriptor_pb2.FileDescriptorProto(name=f"pages_{syntax}.proto", package=f"pages_{syntax}", syntax=syntax)
    message = file.message_type.add(name="Row")
    for number, name in enumerate(TYPES, 9):  # tags of one byte and of two
        kind = getattr(FieldTypes, f"TYPE_{name.upper()}")
        message.field.add(name=name, number=number, type=kind, label=FieldTypes.LABEL_OPTIONAL)
    union = file.message_type.add(name="RecordTypeUnion")
    union.field.add(
        name="_Row",
        number=1,
        type=FieldTypes.TYPE_MESSAGE,
        type_name=f".pages_{syntax}.Row",
        label=FieldTypes.LABEL_OPTIONAL,
    )
    classes = message_factory.GetMessages([file])
    return classes[f"pages_{syntax}.Row"]


CLASSES = {syntax: message_class(syntax) for syntax in ("proto2", "proto3")}
START = 3
PREFIX = b"\x02p\x00"


def damaged(key: bytes, damage: tuple[int, int] | None) -> bytes:
    if damage is None:
        return key
    place, byte = START + damage[0] % (len(key) - START + 1), damage[1]
    return key[:place] if byte < 0 else key[:place] + bytes((byte,)) + key[place + 1 :]


damages = st.none() | st.tuples(st.integers(0, 60), st.integers(-1, 255))


def shown(result: tuple[Any, ...]) -> Any:
    """Messages as what can be compared: what is in them, to the bit, and their bytes."""
    if result[0] == "gives" and result[1] is not None:
        return [
            ([(field.name, exact(value)) for field, value in one.ListFields()], one.SerializeToString())
            for one in result[1]
        ]
    return result


@st.composite
def pages(draw: st.DrawFn) -> tuple[list[str], list[tuple[bytes, bytes]]]:
    """The names of columns, and keys that have them, nearly always."""
    names = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=5, unique=True))
    usual = st.tuples(*[st.none() | TYPES[name][1] for name in names])
    rows = draw(st.lists(usual, max_size=4))
    keys = [pack(row, PREFIX) for row in rows]
    if draw(st.booleans()):
        odd = draw(st.lists(scalars, max_size=len(names) + 1).filter(lambda items: all(map(_packs, items))))
        keys.append(pack(odd, PREFIX))
    if keys:
        keys[-1] = damaged(keys[-1], draw(damages))
    return names, [(key, b"") for key in keys]


def _packs(value: Any) -> bool:
    return outcome(pack, (value,))[0] == "gives"


@given(pages(), st.sampled_from(["proto2", "proto3"]), st.sets(st.integers(0, 4)))
@example((["string", "int64"], [(PREFIX + b"\x02\xc3\x00\x15\x01", b"")]), "proto2", set())
@example((["string", "int64"], [(PREFIX + b"\x02a\x00\xffb\x00\x15\x01", b"")]), "proto3", set())
def test_messages_of_a_page_are_the_same_both_ways(
    page: tuple[list[str], list[tuple[bytes, bytes]]], syntax: str, left_out: set[int]
) -> None:
    names, pairs = page
    kinds = [TYPES[name][0] for name in names]
    named = [(place, name) for place, name in enumerate(names) if place not in left_out]
    make = CLASSES[syntax]
    in_python, in_c = (made(kinds, make, named, name="x") for made in (rows_in_python, compile_rows))
    assert "built-in" in repr(in_c)
    assert shown(outcome(in_c, pairs, START)) == shown(outcome(in_python, pairs, START))


def _reference(pairs: Sequence[tuple[bytes, bytes]], leading: int, wanted: Sequence[int]) -> Any:
    rows = [unpack(key, START) for key, _ in pairs]
    heads = [_head(key, leading) for key, _ in pairs]
    ends = [list(run)[-1] + 1 for _, run in groupby(range(len(rows)), key=heads.__getitem__)]
    return [head for head, _ in groupby(heads)], ends, [[row[place] for row in rows] for place in wanted]


def _head(key: bytes, leading: int) -> bytes:
    at = START
    for _ in range(leading):
        _, at = unpack_element(key, at)
    return key[START:at]


few = st.sampled_from(["", "a", "a\0b", "ä"]) | st.sampled_from([None, 0, 1, -1, 300, 1.5, True, b"x"]) | integers


@given(
    st.integers(1, 4).flatmap(lambda width: st.tuples(st.just(width), st.lists(st.tuples(*[few] * width), max_size=8))),
    st.integers(0, 4),
    st.lists(st.integers(0, 3), max_size=3),
    damages,
)
@example((2, [("a", 1), ("a", 2), ("a\0b", 1)]), 1, [0, 1], None)
@example((1, [("a",), ("a",)]), 1, [0], None)
def test_runs_of_a_page_are_what_unpacking_shows(
    page: tuple[int, list[tuple[Any, ...]]], leading: int, wanted: list[int], damage: tuple[int, int] | None
) -> None:
    width, rows = page
    leading, wanted = min(leading, width), sorted({place % width for place in wanted})
    keys = sorted(pack(row, PREFIX) for row in rows)
    if keys:
        keys[-1] = damaged(keys[-1], damage)
    pairs = [(key, b"") for key in keys]
    for kind in (Kind.ANY, Kind.STR):
        for made in (compile_runs, runs_in_python):
            found = outcome(made([kind] * width, leading, wanted, name="x"), pairs, START)
            assert found[0] == "gives"
            if found[1] is not None:
                assert exact(found[1]) == exact(_reference(pairs, leading, wanted))
    usual = all(value is not None and value != "a\0b" for row in rows for value in row)
    if damage is None and usual and len(set(keys)) == len(keys):
        assert outcome(compile_runs([Kind.ANY] * width, leading, wanted, name="x"), pairs, START)[1] is not None


@given(
    st.integers(1, 4).flatmap(lambda width: st.tuples(st.just(width), st.lists(st.tuples(*[few] * width), max_size=8))),
    st.lists(st.tuples(st.integers(0, 3), st.none() | st.just(0)), min_size=1, max_size=5),
    damages,
)
@example((2, [("a", 1), ("a", 2), ("a\0b", 1), ("a\0b", None), ("b", None)]), [(1, 0), (0, None), (1, None)], None)
@example((2, [("a", 1), ("aa", 1), ("a", 300), ("a", 300)]), [(0, None), (1, None)], (99, -1))
def test_tuples_of_a_page_are_what_unpacking_shows(
    page: tuple[int, list[tuple[Any, ...]]], wanted: list[tuple[int, Any]], damage: tuple[int, int] | None
) -> None:
    width, rows = page
    wanted = [(place % width, null) for place, null in wanted]
    keys = [pack(row, PREFIX) for row in rows]
    if keys:
        keys[-1] = damaged(keys[-1], damage)
    pairs = [(key, b"") for key in keys]
    for kind in (Kind.ANY, Kind.STR):
        for made in (compile_tuples, tuples_in_python):
            found = outcome(made([kind] * width, wanted, name="x"), pairs, START)
            assert found[0] == "gives"
            if found[1] is not None:
                read = [unpack(key, START) for key in keys]
                expected = [[null if row[at] is None else row[at] for at, null in wanted] for row in read]
                assert exact([list(one) for one in found[1]]) == exact(expected)
    if damage is None:
        assert outcome(compile_tuples([Kind.STR] * width, wanted, name="x"), pairs, START)[1] is not None


@given(st.lists(st.tuples(*[few] * 3), max_size=4), st.integers(1, 4), st.integers(0, 8), damages)
def test_what_follows_columns_is_the_same_both_ways(
    rows: list[tuple[Any, ...]], columns: int, known: int, damage: tuple[int, int] | None
) -> None:
    pairs = [(damaged(pack(row, PREFIX), damage), b"") for row in rows]
    in_python, in_c = twins["rests"]
    assert outcome(in_c, pairs, known, columns) == outcome(in_python, pairs, known, columns)


@given(
    st.lists(st.tuples(st.binary(max_size=3), st.sets(st.binary(max_size=2), max_size=6)), min_size=1, max_size=4),
    st.booleans(),
)
@example([(b"p", set()), (b"", {b"a"})], False)
@example([(b"p", {b"a", b"ab", b"b"}), (b"qq", {b"ab", b"b", b"c"}), (b"", {b"b", b"ab"})], True)
def test_what_scans_found_is_merged_the_same_both_ways(given: list[tuple[bytes, set[bytes]]], reverse: bool) -> None:
    pages = [[(prefix + key, key) for key in sorted(keys, reverse=reverse)] for prefix, keys in given]
    known = [len(prefix) for prefix, _ in given]
    sets = [keys for _, keys in given]
    expected = {"united": set[bytes]().union(*sets), "shared": sets[0].intersection(*sets[1:])}
    for name, keys in expected.items():
        for way in twins[name]:
            assert outcome(way, pages, known, reverse) == ("gives", sorted(keys, reverse=reverse))
    for page in pages:
        for way in twins["bytes_of"]:
            assert outcome(way, page) == ("gives", sum(len(key) + len(value) for key, value in page))


@pytest.mark.parametrize("name", ["united", "shared"])
@pytest.mark.parametrize(
    "arguments",
    [
        ([[(b"ab", b"")], [(b"b", b"")]], [5, 0], False),
        ([[(b"ab", b"")], [("b", b"")]], [0, 0], False),
        ([[(b"ab", b"")], ((b"ab", b""),)], [0, 0], False),
        ([[(b"ab", b""), 7]], [0], True),
        ([[(b"ab", b"")]], [0, 1], False),
        ([[(b"ab", b"")]], [1 << 70], False),
        ([[(bytes((number,)), b"")] for number in range(40)], [0] * 40, False),
    ],
)
def test_merging_what_is_unusual_is_left_to_python(name: str, arguments: tuple[Any, ...]) -> None:
    in_python, in_c = twins[name]
    assert outcome(in_c, *arguments) == outcome(in_python, *arguments)


@pytest.mark.parametrize(
    "pairs", [None, (), [1], [(b"a",)], [("a", "b")], [(bytearray(b"\x15\x01"), b"")], [[b"", b""]]]
)
@pytest.mark.parametrize("start", [0, 1, -1, 1 << 70, None, True])
def test_pages_that_are_none_fail_alike(pairs: Any, start: Any) -> None:
    make = CLASSES["proto2"]
    ways = [
        [made([Kind.INT], make, [(0, "int64")], name="x") for made in (rows_in_python, compile_rows)],
        [made([Kind.INT], 1, [0], name="x") for made in (runs_in_python, compile_runs)],
        [made([Kind.INT], [(0, None)], name="x") for made in (tuples_in_python, compile_tuples)],
        [lambda pairs, start, rests=rests: rests(pairs, start, 1) for rests in twins["rests"]],
    ]
    for in_python, in_c in ways:
        expected, found = outcome(in_python, pairs, start), outcome(in_c, pairs, start)
        assert expected == found


# -- records -----------------------------------------------------------------------------------------------


def _metadata() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="pages_records.proto", package="pages_records", syntax="proto2")
    for name in ("Note", "Other"):
        message = file.message_type.add(name=name)
        message.field.add(name="id", number=1, type=FieldTypes.TYPE_INT64, label=FieldTypes.LABEL_OPTIONAL)
        message.field.add(name="text", number=2, type=FieldTypes.TYPE_STRING, label=FieldTypes.LABEL_OPTIONAL)
    builder = rl.RecordMetaDataBuilder.from_descriptor_set(descriptor_pb2.FileDescriptorSet(file=[file]))
    return builder.primary_key("Note", "id").primary_key("Other", "id").build()


METADATA = _metadata()
NOTE = message_factory.GetMessageClass(METADATA.record_type("Note").descriptor)


@pytest.mark.parametrize("size", [0, 1, 10, 120, 127, 128, 129, 16_383, 16_384, 70_000])
def test_records_of_every_size_are_opened_alike(size: int) -> None:
    messages = [NOTE(id=7, text="x" * max(0, size - 4)), NOTE(), NOTE(text="y" * size)]
    stored = [METADATA.envelope(message) for message in messages]
    assert METADATA.open_envelopes(stored) == messages
    assert METADATA.open_envelopes(tuple(stored)) == messages


def test_records_that_are_read_together_keep_their_order_and_their_types() -> None:
    other = message_factory.GetMessageClass(METADATA.record_type("Other").descriptor)
    messages = [(other if number % 7 == 0 or number > 450 else NOTE)(id=number) for number in range(600)]
    for number in (200, 201, 202):
        messages[number].text = "long" * 20_000
    stored = [METADATA.envelope(message) for message in messages]
    found = METADATA.open_envelopes(stored)
    assert found == messages
    assert [type(one) for one in found] == [type(one) for one in messages]
    found[0].text = "changed"
    assert METADATA.open_envelopes(stored[:1]) == messages[:1] != found[:1]


@given(st.binary(max_size=12), st.sampled_from([b"", b"\n\x00", b"\x0a\x80\x00", b"\x0a\x02\x08"]), st.integers(0, 9))
@example(b"\x0a\xff\xff\xff\xff\x0f", b"", 0)
@example(b"\x0a\x82\x00\x08\x01", b"", 0)
def test_damaged_records_fail_alike(data: bytes, more: bytes, cut: int) -> None:
    right = METADATA.envelope(NOTE(id=1, text="right"))
    for bad in (data, more + data, right[:cut], right + data):
        one = outcome(lambda given: [METADATA.open_envelope(given)[1]], bad)
        assert outcome(METADATA.open_envelopes, [bad]) == one
        both = outcome(METADATA.open_envelopes, [right, bad])
        assert both[1:] == one[1:] if one[0] == "raises" else both[1][1:] == one[1]


def test_pages_leave_nothing_behind() -> None:
    """References that leaked would show as blocks that grow."""
    rows = compile_rows([Kind.STR, Kind.INT], CLASSES["proto2"], [(0, "string"), (1, "int32")], name="x")
    runs = compile_runs([Kind.STR, Kind.INT], 1, [0, 1], name="x")
    tuples = compile_tuples([Kind.STR, Kind.INT], [(1, 0), (0, None), (1, 0)], name="x")
    rests = twins["rests"][1]
    good = [(pack((f"gröup {number // 7}", 1000 + number), PREFIX), b"") for number in range(70)]
    bad = [
        [*good, (PREFIX + tail, b"")]
        for tail in (b"", b"\x02a", b"\x02\xc3\x00\x15\x01", b"\x02a\x00\x20\x01", b"\x15\x01\x15\x01")
    ]
    records = [METADATA.envelope(NOTE(id=number, text="x" * number)) for number in range(300)]

    def work() -> None:
        for _ in range(10):
            for page in (good, *bad):
                for function in (rows, runs, tuples):
                    outcome(function, page, START)
                outcome(rests, page, START, 1)
            METADATA.open_envelopes(records)
            outcome(METADATA.open_envelopes, [*records, b"\x0a\x02\x08"])

    work()
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    assert sys.getallocatedblocks() - before < 50


def test_one_element_is_skipped_where_its_size_is_told_by_its_code() -> None:
    for value in (None, 0, -5, 1 << 62, "text", b"blob", 1.5, True):
        key = pack((value, 7))
        assert behind(key, 1) == len(pack((value,)))
        assert twins["rests"][1]([(b"\x00" + key, b"")], 1, 1) == [pack((7,))]  # type: ignore[misc]
