"""The built-in functions, and functions that programs register."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer import tuples
from recordlayer.errors import InvalidKeyExpression, KeyFunctionFailed, MalformedTuple, UnknownFunction
from recordlayer.keys import FunctionRegistry, KeyFunction, concat, field, function, functions, registry, value
from recordlayer.keys.built_in import pack_ordered, unpack_ordered
from tests.unit.keys import protos

Numbers = protos.classes(
    """
    syntax = "proto2";
    message Inner { repeated int64 values = 1; repeated Inner inners = 2; }
    message Numbers { optional int64 a = 1; optional int64 b = 2; repeated int64 list = 3; optional Inner box = 4;
                      optional double d = 5; optional float f = 6; optional string s = 7; }
    """
).Numbers

longs = st.integers(-(2**63), 2**63 - 1)


def call(name, *arguments, message):
    return function(name, *arguments).evaluate_single(message)[0]


def wrapped(number):
    return (number + 2**63) % 2**64 - 2**63


@given(longs, longs)
def test_arithmetic_is_that_of_java_longs(a, b):
    message = Numbers(a=a, b=b)
    exact = {"add": a + b, "sub": a - b, "subtract": a - b, "mul": a * b, "multiply": a * b}
    for name, result in exact.items():
        if -(2**63) <= result < 2**63:
            assert call(name, "a", "b", message=message) == result
        else:
            with pytest.raises(KeyFunctionFailed):
                call(name, "a", "b", message=message)
    for name, result in {"bitand": a & b, "bitor": a | b, "bitxor": a ^ b}.items():
        assert call(name, "a", "b", message=message) == result
    assert call("bitnot", "a", message=message) == ~a
    assert call("sub", "a", message=message) == wrapped(-a)
    if b:
        quotient = call("div", "a", "b", message=message)
        remainder = call("mod", "a", "b", message=message)
        assert wrapped(quotient * b + remainder) == a
        assert abs(remainder) < abs(b)
        assert remainder == 0 or (remainder < 0) == (a < 0)


@given(longs, st.integers(1, 10_000))
def test_a_number_is_its_bucket_and_its_place_there(n, size):
    message = Numbers(a=n, b=size)
    if n // size * size < -(2**63):
        with pytest.raises(KeyFunctionFailed):
            call("bitmap_bucket_offset", "a", "b", message=message)
        return
    bucket = call("bitmap_bucket_offset", "a", "b", message=message)
    position = call("bitmap_bit_position", "a", "b", message=message)
    assert bucket + position == n
    assert 0 <= position < size
    assert bucket % size == 0


def test_a_null_argument_gives_a_null():
    assert call("add", "a", "b", message=Numbers(a=1)) is None
    assert call("bitnot", "a", message=Numbers()) is None


def test_division_by_zero_is_refused():
    for name in ("div", "mod", "bitmap_bucket_offset"):
        with pytest.raises(KeyFunctionFailed, match="zero"):
            call(name, "a", value(0), message=Numbers(a=1))


def test_the_smallest_number_has_no_negation_but_sub_wraps():
    smallest = Numbers(a=-(2**63))
    assert call("sub", "a", message=smallest) == -(2**63)
    with pytest.raises(KeyFunctionFailed):
        call("subtract", "a", message=smallest)


def test_floats_are_cut_to_integers_and_texts_refused():
    assert call("add", "d", value(0), message=Numbers(d=-2.9)) == -2
    assert call("add", "f", value(0), message=Numbers(f=2.5)) == 2
    assert call("add", "d", value(0), message=Numbers(d=float("nan"))) == 0
    assert call("add", "d", value(0), message=Numbers(d=float("inf"))) == 2**63 - 1
    with pytest.raises(KeyFunctionFailed):
        call("add", "s", value(0), message=Numbers(s="1"))


items = st.tuples(st.one_of(st.none(), longs, st.text(), st.binary(), st.floats(allow_nan=False), st.booleans()))


@given(st.lists(items, min_size=2, max_size=2), st.booleans(), st.booleans())
def test_ordered_bytes_sort_as_said_and_give_the_value_back(pair, descending, nulls_last):
    one, other = pair
    packed = [pack_ordered(item, descending=descending, nulls_last=nulls_last) for item in pair]
    assert unpack_ordered(packed[0], descending=descending, nulls_last=nulls_last) == one
    null_at = (one == (None,)) - (other == (None,))
    if null_at:
        expected = null_at if nulls_last else -null_at
    else:
        expected = tuples.compare(one, other) * (-1 if descending else 1)
    assert (packed[0] > packed[1]) - (packed[0] < packed[1]) == expected


def test_ordered_bytes_are_those_of_the_format():
    cases = [
        ("order_asc_nulls_first", 5, "1505"),
        ("order_desc_nulls_first", 5, "753e5fd0"),
        ("order_desc_nulls_last", 5, "753e5fd0"),
        ("order_asc_nulls_first", None, "00"),
        ("order_desc_nulls_last", None, "7f7fe0"),
        ("order_asc_nulls_last", None, "fe"),
        ("order_desc_nulls_first", None, "007fe0"),
    ]
    for name, number, expected in cases:
        assert call(name, "a", message=Numbers(a=number)).hex() == expected


@given(st.binary(max_size=12))
def test_bytes_in_no_order_are_refused_or_read(data):
    try:
        unpack_ordered(data, descending=True, nulls_last=True)
    except MalformedTuple:
        pass


def test_cardinality_counts_elements():
    message = Numbers(list=[1, 1, 2], box={"values": [4, 4], "inners": [{}]})
    assert call("cardinality", field("list").concatenated(), message=message) == 3
    assert call("cardinality", field("list").concatenated(), message=Numbers()) == 0
    assert call("cardinality", field("box").nest(field("values").concatenated()), message=message) == 2
    assert call("cardinality", field("box").nest(field("values").concatenated()), message=Numbers()) is None
    assert call("cardinality", field("box").nest(field("inners").concatenated()), message=message) == 1


def test_a_function_is_called_for_each_row_of_its_arguments():
    rows = function("mul", field("list").fan_out(), value(2)).evaluate(Numbers(list=[1, 5]))
    assert rows == [(2,), (10,)]


def test_an_unknown_function_names_the_nearest():
    with pytest.raises(UnknownFunction, match="bitmap_bit_position"):
        function("bitmap_bitposition", "a", "b")


def test_the_number_of_columns_must_fit():
    with pytest.raises(InvalidKeyExpression, match="takes 2 columns"):
        function("add", "a")
    with pytest.raises(InvalidKeyExpression, match="1 to 2"):
        function("sub", concat("a", "b", "a"))


def test_a_registered_function_makes_rows_of_its_own():
    known = FunctionRegistry()
    words = KeyFunction(
        name="words",
        call=lambda row: [(word,) for word in (row[0] or "").split()],
        creates_duplicates=True,
        min_arguments=1,
        max_arguments=1,
    )
    known.register(words)
    assert known.find("words") is words
    assert known.find("nothing") is None
    with pytest.raises(InvalidKeyExpression, match="already"):
        known.register(KeyFunction(name="words", call=words.call, min_arguments=1, max_arguments=1))


def test_a_function_that_gives_the_wrong_number_of_columns_is_refused():
    from recordlayer.keys import FunctionCall

    wrong = KeyFunction(name="wrong", call=lambda row: [(1, 2)], min_arguments=1, max_arguments=1)
    with pytest.raises(InvalidKeyExpression, match="1 columns"):
        FunctionCall("wrong", field("a"), wrong).evaluate(Numbers(a=1))


def test_collate_jre_is_not_maintained_by_us():
    assert registry().find("collate_jre") is None


class Offered:
    def __init__(self, name, load):
        self.name, self.value, self.load = name, "somewhere:something", load


def offering(monkeypatch, *entries):
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: entries if group == functions.ENTRY_POINTS else ()
    )
    return FunctionRegistry()


def test_installed_packages_offer_functions(monkeypatch):
    double = KeyFunction(name="double", value=lambda n: n * 2, min_arguments=1, max_arguments=1)
    known = offering(monkeypatch, Offered("double", lambda: double))
    assert known.find("double") is double
    assert known.find("triple") is None


def test_an_offer_that_cannot_be_loaded_says_where_it_comes_from(monkeypatch):
    def broken():
        raise ImportError("no such thing")

    for load in (broken, lambda: "not a function"):
        with pytest.raises(UnknownFunction, match="somewhere:something"):
            offering(monkeypatch, Offered("double", load)).find("double")
