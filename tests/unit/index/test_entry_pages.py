"""What a page of entries says of all of them is what each entry says of itself."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from recordlayer.errors import RecordLayerError
from recordlayer.index.entry import EntryLayout
from recordlayer.index.page import EntryPage, primary_keys_of
from recordlayer.tuples import pack

PREFIX = b"\x15\x07"
ELEMENTS = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.booleans(),
    st.floats(),
    st.uuids(),
    st.tuples(st.integers(0, 300)),
)


def outcome(ask: Any) -> Any:
    try:
        return ask()
    except RecordLayerError as error:
        return type(error), str(error)


@given(
    st.lists(st.one_of(st.lists(ELEMENTS, max_size=5).map(lambda row: pack(tuple(row))), st.binary(max_size=12))),
    st.integers(0, 3),
    st.sampled_from([None, (0,), (-1, 0)]),
)
@example([pack(("a\x00b", 1)), pack(("a", 1))], 1, None)
@example([b"", b"\x02", b"\x15"], 1, None)
def test_primary_keys_of_a_page_are_those_of_its_entries(
    suffixes: list[bytes], columns: int, positions: tuple[int, ...] | None
) -> None:
    layout = EntryLayout("index", columns, positions)
    for suffix in suffixes:
        page = EntryPage(layout, [(PREFIX + suffix, b"")], len(PREFIX))
        entry = page.make()[0]
        assert outcome(page.primary_keys) == outcome(lambda: [entry.primary_key_bytes])  # noqa: B023  (called at once)


@given(st.lists(st.tuples(ELEMENTS, ELEMENTS), min_size=1), ELEMENTS, st.integers(1, 2))
def test_columns_that_are_known_are_passed_over(rows: list[tuple[Any, Any]], same: Any, columns: int) -> None:
    layout = EntryLayout("index", columns, None)
    pairs = [(pack((same, *row), PREFIX), b"v") for row in rows]
    page = EntryPage(layout, pairs, len(PREFIX), len(pack((same,), PREFIX)), 1)
    assert primary_keys_of(page[:1]) == page.primary_keys()[:1]
    assert page.primary_keys() == [pack((same, *row)[columns:]) for row in rows]
    assert page.primary_keys() == [entry.primary_key_bytes for entry in page]
    assert primary_keys_of(page) == page.primary_keys()
    assert [entry.suffix for entry in page[1:]] == [pack((same, *row)) for row in rows[1:]]
