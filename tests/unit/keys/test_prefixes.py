"""Whether one key begins with another, and whether columns can be taken one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.keys import (
    NullInterpretation,
    Then,
    concat,
    empty,
    field,
    function,
    grouping,
    key_with_value,
    list_of,
    record_type,
    value,
    version,
)
from recordlayer.keys.prefixes import is_lossless, is_prefix
from tests.unit.keys.test_compiled import CLASSES, CONTEXT, expressions, ints, made, things

nested = field("p").nest
fanned = field("p").fan_out().nest
CASES = [
    (empty(), field("a"), True),
    (field("a"), field("a"), True),
    (field("a", nulls=NullInterpretation.UNIQUE), concat("a", "b"), True),
    (field("a"), field("a").fan_out(), False),
    (field("a"), concat("a", "b"), True),
    (field("b"), concat("a", "b"), False),
    (concat("a", "b"), field("a"), False),
    (concat("a", empty()), field("a"), True),
    (concat("a", "b"), concat("a", "b", "c"), True),
    (nested("a"), nested("a", "b"), True),
    (nested("a", "b"), concat(nested("a"), nested("b")), False),
    (nested("a"), concat(nested("a"), nested("b")), True),
    (nested("b"), nested("a", "b"), False),
    (field("q").nest("a"), nested("a"), False),
    (field("a"), field("b").group_by("a"), True),
    (field("b"), field("b").group_by("a"), False),
    (field("b").group_by("a"), concat("a", "b"), False),
    (field("b").group_by("a"), field("b").group_by("a"), True),
    (grouping("a", grouped_count=0), concat("a", "b"), True),
    (field("a"), key_with_value(concat("a", "b")), True),
    (concat("a", "b"), key_with_value(concat("a", "b")), False),
    (record_type(), concat(record_type(), "a"), True),
    (version(), concat(record_type(), version()), False),
    (value(1), concat(value(1), "a"), True),
    (value(1), concat(value(2), "a"), False),
    (function("bitnot", "a"), concat(function("bitnot", "a"), "b"), True),
    (function("bitnot", "a"), concat(function("bitnot", "b"), "b"), False),
    (field("a"), list_of("a", "b"), True),
    (concat("a", "b"), concat("a", grouping(concat("b", "c"))), True),
    (concat("a", "b", "c"), grouping(concat("a", "b", "c")), False),
    (grouping(concat("a", "b")), grouping(concat("a", "b", "c")), False),
    (field("a").split(3), concat(field("a").split(3), "b"), True),
    (field("a").split(2), field("a").split(3), False),
    (key_with_value(concat("a", "b")), concat("a", "c"), True),
    (key_with_value(concat("a", "b", "c"), split_point=2), concat("a", "c"), False),
    (
        field("p").fan_out().nest("a", "b"),
        concat(field("p").fan_out().nest("a"), field("p").fan_out().nest("b")),
        False,
    ),
]


@pytest.mark.parametrize(("prefix", "key", "expected"), CASES)
def test_a_key_begins_with_its_first_columns(prefix, key, expected):
    assert is_prefix(prefix, key) is expected


@given(expressions)
def test_everything_begins_with_nothing_and_with_itself(expression):
    assert is_prefix(empty(), expression)
    assert is_prefix(expression, expression)


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.lists(st.sampled_from("abc"), min_size=1, max_size=4)
)
def test_fields_begin_as_their_names_do(prefix, key):
    def of(names):
        return field(names[0]) if len(names) == 1 else concat(*names)

    assert is_prefix(of(prefix), of(key)) == (key[: len(prefix)] == prefix)


@given(st.sampled_from(CLASSES), expressions, things, ints)
def test_lossless_columns_give_the_same_rows_side_by_side(message_class, expression, fields, numbers):
    columns = expression.normalized()
    if not is_lossless(expression) or len(columns) < 2:
        return
    message = made(message_class, fields, numbers)
    assert repr(Then(columns).evaluate(message, CONTEXT)) == repr(expression.evaluate(message, CONTEXT))


def test_columns_that_share_a_fan_out_are_not_lossless():
    assert not is_lossless(field("p").fan_out().nest("a", "b"))
    assert not is_lossless(concat("x", field("p").fan_out().nest("a", "b")))
    assert is_lossless(concat(field("p").fan_out().nest("a"), field("p").nest("a", "b")))
    assert not is_lossless(field("a").fan_out().split(2))
