"""A column folded at once is what its values give one by one, for every function and every kind of field."""

from __future__ import annotations

import math
import struct
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.query.aggregates import FUNCTIONS, Aggregate
from recordlayer.query.folding import fold_all
from tests.support.shop import shop

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "total": st.integers(-(1 << 63), (1 << 63) - 1),
    "customer": st.text(max_size=3),
    "ratio": st.floats() | st.sampled_from([0.0, -0.0, math.nan, -math.nan]),
    "weight": st.floats(width=32) | st.sampled_from([0.0, -0.0]),
    "paid": st.booleans(),
}


def exactly(value: Any) -> Any:
    """0.0 and -0.0 are told apart, and NaNs by their bits."""
    if isinstance(value, tuple):
        return tuple(map(exactly, value))
    return struct.pack(">d", value) if isinstance(value, float) else value


@pytest.mark.parametrize("name", FIELDS)
@given(data=st.data())
def test_at_once_is_one_by_one(name: str, data: st.DataObject) -> None:
    field = shop().record_type("Order").descriptor.fields_by_name[name]
    values = data.draw(st.lists(st.none() | FIELDS[name], max_size=8))
    first = data.draw(st.integers(0, len(values)))
    for function in FUNCTIONS:
        if function in ("sum", "avg") and name in ("customer", "paid"):
            continue
        aggregate = Aggregate(function)
        step, at_once = aggregate.step(field), fold_all(aggregate, field)
        before = at_once(aggregate.initial, values, 0, first)
        there = [value for value in values if value is not None]
        assert exactly(at_once(before, values, first, len(values))) == exactly(reduce(step, there, aggregate.initial))
