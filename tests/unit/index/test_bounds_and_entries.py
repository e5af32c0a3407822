"""Ranges of tuples, what changes between two lists of entries, columns as fields, what a build has seen."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import errors, field, index
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.built import built_part
from recordlayer.index.columns import converter, field_column, value_converter
from recordlayer.index.entry import EntryLayout, IndexEntry
from recordlayer.index.maintainer import IndexSpace
from recordlayer.index.registry import BUILT_IN, is_known, maintainer_for
from recordlayer.index.standard import difference
from recordlayer.index.state import IndexState
from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.pb.index_build_pb2 import IndexBuildIndexingStamp
from recordlayer.store.schema import schema_of
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.support.shop import FILE, SHOP, builder, shop_file

# -- bounds ----------------------------------------------------------------------------------------------------------

ITEMS = st.tuples(st.sampled_from(["a", "ab", "b", "\x00", ""]), st.integers(-2, 300), st.none() | st.integers(0, 3))
PARTS = st.integers(1, 3)
ENDS = st.sampled_from([End.INCLUSIVE, End.EXCLUSIVE])


def inside(bounds: Bounds, items: Any, prefix: bytes = b"p") -> bool:
    keys = bounds.keys(prefix)
    return keys.begin <= pack(items, prefix) < keys.end


ANY_END = st.none() | st.tuples(ITEMS, PARTS, ENDS)


@given(low=ANY_END, high=ANY_END, items=ITEMS)
def test_bounds_hold_the_tuples_between_their_ends(low: Any, high: Any, items: Any) -> None:
    def cut(end: Any) -> Any:
        return (None, End.INCLUSIVE) if end is None else (end[0][: end[1]], end[2])

    def fits(end: Any, kind: End, *, above: bool) -> bool:
        if end is None:
            return True
        mine = pack(items[: len(end)])
        if mine == pack(end):
            return kind is End.INCLUSIVE
        return (mine > pack(end)) is above

    (low_items, low_end), (high_items, high_end) = cut(low), cut(high)
    bounds = Bounds.between(low_items, high_items, low_end=low_end, high_end=high_end)
    expected = fits(low_items, low_end, above=True) and fits(high_items, high_end, above=False)
    assert inside(bounds, items) is expected


@given(st.text(alphabet="ab\x00\xffz", max_size=3), st.text(alphabet="ab\x00\xffz", max_size=4))
def test_the_beginning_of_a_text_bounds_the_texts_that_begin_so(start: str, text: str) -> None:
    assert inside(Bounds.text((1,), start), (1, text)) is text.startswith(start)
    assert not inside(Bounds.text((1,), start), (2, text))


@given(ITEMS, st.integers(0, 3))
def test_equal_bounds_hold_what_begins_alike_and_their_prefix_is_shared(items: Any, size: int) -> None:
    bounds = Bounds.equal(items[:size])
    assert inside(bounds, items)
    keys = bounds.keys(b"p")
    assert keys.begin[: keys.prefix_length] == pack(items[:size], b"p")


def test_bounds_say_what_they_are() -> None:
    texts = {
        str(Bounds.ALL): "[all]",
        str(Bounds.equal(("a",))): "[= 'a']",
        str(Bounds.equal(("a", 1))): "[= ('a', 1)]",
        str(Bounds.between((1,), (5,))): "[1, 5)",
        str(Bounds.between((1,), None, low_end=End.EXCLUSIVE)): "(1, ...)",
        str(Bounds.text((), "Am")): "[begins with 'Am']",
    }
    assert all(shown == expected for shown, expected in texts.items())
    with pytest.raises(errors.UsageError):
        Bounds.text((), 7)  # type: ignore[arg-type]  # what is tested


# -- entries ---------------------------------------------------------------------------------------------------------

ENTRIES = st.lists(st.integers(0, 4), max_size=6)


@given(ENTRIES, ENTRIES)
def test_common_entries_cancel_on_both_sides_with_all_their_copies(old: list[int], new: list[int]) -> None:
    removed, added = difference(old, new)
    assert removed == [one for one in old if one not in new]
    assert added == [one for one in new if one not in old]


def test_an_entry_gives_back_its_columns_and_the_primary_key() -> None:
    layout = EntryLayout("i", 2, (-1, 0))
    entry = IndexEntry(layout, pack(("region", 5, 77)), pack(("x", None)))
    assert entry.key == ("region", 5)
    assert entry.primary_key == (77, "region")
    assert entry.value == ("x", None)
    assert layout.trimmed((77, "region")) == (77,)
    assert entry == IndexEntry(layout, pack(("region", 5, 77)), pack(("x", None)))
    assert len({entry, IndexEntry(layout, pack((1,)), b"")}) == 2
    assert "region" in repr(entry)


@pytest.mark.parametrize("suffix", [b"\xff", pack(("region", 5)), b"\x02open"])
def test_a_damaged_entry_is_named(suffix: bytes) -> None:
    with pytest.raises(errors.CorruptIndexEntry) as raised:
        _ = IndexEntry(EntryLayout("i", 2, (-1, 0)), suffix, b"").primary_key
    assert raised.value.fields["index"] == "i"
    with pytest.raises(errors.CorruptIndexEntry):
        _ = IndexEntry(EntryLayout("i", 0, None), b"", b"\xff").value


# -- columns ---------------------------------------------------------------------------------------------------------

ORDER = FILE.message_types_by_name["Order"]


@pytest.mark.parametrize(
    ("expression", "path", "fans_out"),
    [
        (field("total"), ("total",), (False,)),
        (field("tags").fan_out(), ("tags",), (True,)),
        (field("address").nest("city"), ("address", "city"), (False, False)),
        (field("items").fan_out().nest("price"), ("items", "price"), (True, False)),
    ],
)
def test_a_column_knows_the_field_that_it_holds(expression: Any, path: Any, fans_out: Any) -> None:
    column = field_column(expression, ORDER)
    assert column is not None
    assert (column.path, column.fans_out) == (path, fans_out)


@pytest.mark.parametrize("expression", [rl.record_type(), rl.list_of(field("total")), field("nothing")])
def test_a_column_that_is_no_field_is_none(expression: Any) -> None:
    assert field_column(expression, ORDER) is None


@pytest.mark.parametrize(
    ("name", "given_value", "element"),
    [
        ("total", 5, 5),
        ("ratio", 5, 5.0),
        ("weight", 0.5, rl.SingleFloat(0.5)),
        ("status", "PAID", 1),
        ("status", 2, 2),
        ("paid", True, True),
        ("body", b"x", b"x"),
        ("note", None, None),
    ],
)
def test_values_become_elements_of_their_columns(name: str, given_value: Any, element: Any) -> None:
    found = converter(ORDER.fields_by_name[name])(given_value)
    assert found == element
    assert type(found) is type(element)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("total", "5"), ("total", 5.0), ("total", True), ("ratio", "x"), ("paid", 1), ("note", b"x"), ("body", "x")],
)
def test_values_that_cannot_be_meant_are_refused(name: str, wrong: Any) -> None:
    with pytest.raises(errors.WrongType, match=name):
        value_converter(ORDER.fields_by_name[name])(wrong)


def test_the_default_of_a_field_without_presence_is_looked_up_as_null() -> None:
    order = shop_file("proto3").message_types_by_name["Order"]
    for name, default in (("total", 0), ("note", ""), ("paid", False), ("ratio", 0), ("body", b""), ("status", "OPEN")):
        assert converter(order.fields_by_name[name])(default) is None
        assert value_converter(order.fields_by_name[name])(default) is not None
    assert converter(order.fields_by_name["ratio"])(-0.0) == 0.0


# -- registry and builds ---------------------------------------------------------------------------------------------


def space_of(context: Context, metadata: rl.RecordMetaData, name: str, state: IndexState) -> IndexSpace:
    index = metadata.indexes[name]
    return IndexSpace(context, b"s", index, state, schema_of(metadata).functions[name])


def test_every_built_in_type_is_known_by_its_name_and_others_are_not() -> None:
    for name, home in BUILT_IN.items():
        module, _, kind = home.partition(":")
        assert getattr(import_module(f"recordlayer.index.{module}"), kind).type == name
        assert is_known(name)
    assert not is_known("lucene")


def test_every_index_type_of_the_library_is_in_the_table() -> None:
    package = Path(index.__file__).parent
    named = {
        name
        for file in package.glob("*.py")
        for name in re.findall(r' type: ClassVar\[str\] = "(.+)"', file.read_text())
    }
    assert named == BUILT_IN.keys()


class IndexedNumber:
    """As much of a record as a build asks for that goes by primary key."""

    def __init__(self, number: int) -> None:
        self.primary_key_bytes = self.stored_key_bytes = pack((number,))


def test_a_range_set_tells_what_a_build_has_seen() -> None:
    engine = open_engine("memory:")
    context = Context(engine.begin(), world=World())
    space = space_of(context, SHOP, "orders_per_customer", IndexState.WRITE_ONLY)
    records = {number: IndexedNumber(number) for number in (-1, 1, 4, 5, 8, 9, 100)}

    def is_seen(number: int) -> bool:
        record: Any = records[number]
        part = run_blocking(built_part(space, None, record))
        assert part in ((None, record), (None, None))
        return part[1] is not None

    assert not is_seen(5)
    context.set(pack((b"\x00",), space.space(6)), pack((5,)))
    context.set(pack((pack((9,)),), space.space(6)), b"\xff")
    seen = {number: is_seen(number) for number in (-1, 4, 5, 8, 9, 100)}
    assert seen == {-1: True, 4: True, 5: False, 8: False, 9: True, 100: True}
    methods = IndexBuildIndexingStamp.Method
    context.set(space.space(9) + b"\x15\x02", IndexBuildIndexingStamp(method=methods.BY_INDEX).SerializeToString())
    with pytest.raises(errors.IndexNotSupported, match="do not have"):
        is_seen(1)
    context.set(space.space(9) + b"\x15\x02", IndexBuildIndexingStamp(method=methods.SCRUB_REPAIR).SerializeToString())
    with pytest.raises(errors.IndexNotSupported, match="SCRUB_REPAIR"):
        is_seen(1)
    context.set(space.space(9) + b"\x15\x02", b"\xff")
    with pytest.raises(errors.CorruptBuild):
        is_seen(1)
    context.close()
    engine.close()


def test_an_index_whose_changes_go_to_a_queue_is_not_written() -> None:
    engine = open_engine("memory:")
    context = Context(engine.begin(), world=World())
    maintainer = maintainer_for(space_of(context, SHOP, "by_customer", IndexState.WRITE_ONLY_WITH_QUEUE))
    with pytest.raises(errors.IndexNotSupported, match="queue"):
        maintainer.prepare(None, None)
    context.close()
    engine.close()


def test_states_come_back_from_their_bytes() -> None:
    for state in IndexState:
        assert IndexState.unpacked(state.packed(), index="i") is state
    for value in (b"", b"\x15\x09", b"\xff", pack((1, 2))):
        with pytest.raises(errors.CorruptHeader):
            IndexState.unpacked(value, index="i")


def test_metadata_without_the_index_has_no_function_for_it() -> None:
    assert "by_customer" in schema_of(SHOP).functions
    assert "by_customer" not in schema_of(builder().build()).functions
