"""Order: tuples compare as their packed bytes do."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import fdb.tuple
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import UnpackableValue
from recordlayer.tuples import Versionstamp, compare, pack
from tests.unit.tuples.values import to_fdb, tuples, tuples_with_open_stamps, values


def _sign(a: bytes, b: bytes) -> int:
    return (a > b) - (a < b)


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Two tuples that often share a beginning, where an order goes wrong if it does."""
    shared = draw(tuples)
    return shared + draw(tuples), shared + draw(tuples)


@given(neighbours())
def test_tuples_compare_as_their_packed_bytes(pair: tuple[tuple[Any, ...], tuple[Any, ...]]) -> None:
    a, b = pair
    assert compare(a, b) == _sign(pack(a), pack(b)) == -compare(b, a)


@given(tuples_with_open_stamps, tuples_with_open_stamps)
def test_tuples_compare_as_fdb_tuple_compares_them(a: tuple[Any, ...], b: tuple[Any, ...]) -> None:
    assert compare(a, b) == fdb.tuple.compare(to_fdb(a), to_fdb(b))


@given(values, values)
def test_single_values_of_one_type_compare_as_their_bytes(a: Any, b: Any) -> None:
    assert compare((a,), (b,)) == _sign(pack((a,)), pack((b,)))


@given(tuples)
def test_a_tuple_equals_itself_and_sorts_before_what_is_longer(items: tuple[Any, ...]) -> None:
    assert compare(items, items) == 0
    assert compare(items, (*items, None)) == -1
    assert compare((*items, None), items) == 1


def test_types_sort_by_their_codes_and_not_by_their_values() -> None:
    ascending = [None, b"z", "a", (5,), -1, 0, 2**70, Versionstamp(b"0" * 10), Versionstamp()]
    for smaller, larger in pairwise(ascending):
        assert compare((smaller,), (larger,)) == -1
    assert compare((1,), (True,)) == -1
    assert compare((1.0,), (1,)) == 1


def test_what_cannot_be_packed_cannot_be_compared() -> None:
    with pytest.raises(UnpackableValue):
        compare((1, object()), (1, object()))
