"""Key expressions as values: columns, positions, parts, faults."""

from __future__ import annotations

import pytest

from recordlayer.errors import InvalidKeyExpression, UnknownField, WrongType
from recordlayer.keys import (
    EMPTY,
    FanType,
    Field,
    ListOf,
    NullInterpretation,
    as_expression,
    concat,
    dimensions,
    entry_primary_key,
    field,
    function,
    grouping,
    key_with_value,
    list_of,
    primary_key_positions,
    record_type,
    split,
    trim_primary_key,
    value,
    version,
    walk,
)
from tests.unit.keys import protos

FILE = protos.load(
    """
    syntax = "proto2";
    import "tuple_fields.proto";
    message Address { optional string city = 1; }
    message Order { optional int64 id = 1; optional string customer = 2; repeated string tags = 3;
                    optional Address address = 4; repeated Address others = 5; optional int32 small = 6;
                    optional com.apple.foundationdb.record.UUID ref = 7;
                    repeated com.apple.foundationdb.record.UUID refs = 8; map<string, int64> counts = 9; }
    message Nothing { }
    """
)
ORDER = FILE.message_types_by_name["Order"]


def problems(expression):
    return [(type(problem), problem.hint) for problem in expression.problems(ORDER)]


def test_normalised_columns_are_one_expression_each():
    nested = field("address").nest("city")
    expression = concat("id", field("address").nest("city", "zip"), record_type())
    assert expression.normalized() == (field("id"), nested, field("address").nest("zip"), record_type())
    assert key_with_value(concat("a", "b"), split_point=1).normalized() == (field("a"), field("b"))
    assert grouping("a").normalized() == (field("a"),)
    assert list_of("a", "b").normalized() == (list_of("a"), list_of("b"))
    assert list_of("a").normalized() == (list_of("a"),)
    assert ListOf(()).normalized() == ()
    assert split(field("tags").fan_out(), 2).normalized() == (field("tags").fan_out(),) * 2
    assert EMPTY.normalized() == (EMPTY,)


def test_positions_of_the_primary_key_are_first_places():
    assert primary_key_positions(concat("b", "a", "a"), concat("a", "c")) == (1, -1)
    assert primary_key_positions(field("b"), concat("a", "c")) is None
    assert primary_key_positions(field("x").group_by("a"), field("a")) == (0,)


def test_positions_ignore_null_interpretations_and_heed_fan_types():
    unique = field("a", nulls=NullInterpretation.UNIQUE)
    assert primary_key_positions(unique, field("a")) == (0,)
    assert primary_key_positions(field("p").nest(unique), field("p").nest("a")) == (0,)
    assert primary_key_positions(field("a").fan_out(), field("a")) is None


def test_trimmed_columns_come_back_from_the_entry():
    positions = (1, -1)
    assert trim_primary_key(("a", "b"), positions) == ("b",)
    assert entry_primary_key(("x", "a", "b"), 2, positions) == ("a", "b")
    assert entry_primary_key(("x", "a", "b"), 1, None) == ("a", "b")
    assert trim_primary_key(("a", "b"), None) == ("a", "b")


def test_sub_keys_take_columns_apart():
    expression = concat("id", field("address").nest("city", "zip"), "customer")
    assert expression.sub_key(1, 3) == field("address").nest("city", "zip")
    assert expression.sub_key(2, 4) == concat(field("address").nest("zip"), "customer")
    assert expression.sub_key(2, 2) == EMPTY
    assert expression.sub_key(0, 4) is expression
    with pytest.raises(InvalidKeyExpression):
        expression.sub_key(3, 5)
    with pytest.raises(InvalidKeyExpression, match="taken apart"):
        split(field("tags").fan_out(), 2).sub_key(0, 1)


def test_equality_heeds_null_interpretations_unless_told_otherwise():
    one, other = field("a"), field("a", nulls=NullInterpretation.NOT_NULL)
    assert one != other
    assert concat("b", one).ignoring_nulls() == concat("b", other).ignoring_nulls()
    for wrap in (
        lambda f: f.group_by("b"),
        lambda f: key_with_value(concat(f, "b")),
        list_of,
        lambda f: function("bitnot", f),
        lambda f: field("p").nest(f),
        lambda f: dimensions(concat(f, "b"), dimensions_size=2),
    ):
        assert wrap(one) != wrap(other)
        assert wrap(one).ignoring_nulls() == wrap(other).ignoring_nulls()


def test_expressions_are_hashable_and_print_as_they_are_written():
    import recordlayer.keys as keys

    for text in (
        'field("a")',
        'field("a").fan_out()',
        'field("a").concatenated()',
        'field("p").nest(concat(field("a"), field("b").fan_out()))',
        'list_of(field("a"), value(5))',
        'grouping(concat(field("b"), field("a")), grouped_count=1)',
        'key_with_value(concat(field("a"), field("b")), split_point=1)',
        'dimensions(concat(field("a"), field("b")), prefix_size=0, dimensions_size=2)',
        'function("add", concat(field("a"), value(1)))',
        'field("a").fan_out().split(2)',
        "concat(empty(), record_type(), version())",
        'value(1.5, kind="float")',
    ):
        expression = eval(text, dict(vars(keys)))
        assert repr(expression) == text
        assert len({expression, eval(text, dict(vars(keys)))}) == 1


def test_walk_visits_parents_before_children():
    expression = concat("a", field("p").nest("b"))
    assert list(walk(expression)) == [expression, field("a"), field("p").nest("b"), field("b")]


def test_versions_and_record_types_are_counted_where_they_are_columns():
    expression = concat(version(), list_of(version()), record_type())
    assert (expression.version_columns, expression.has_record_type_key) == (2, True)
    assert function("order_desc_nulls_last", version()).version_columns == 0


def test_an_unknown_field_names_the_one_that_was_meant():
    (problem,) = field("custmer").problems(ORDER)
    assert isinstance(problem, UnknownField)
    assert problem.fields == {"message": "Order", "field": "custmer"}
    assert problem.hint == 'did you mean "customer"?'
    (problem,) = field("qqq").problems(FILE.message_types_by_name["Nothing"])
    assert "none at all" in problem.hint


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        (field("tags"), "fan_out"),
        (field("customer").fan_out(), "not repeated"),
        (field("address"), "nest into it"),
        (field("others").fan_out(), "nest into it"),
        (field("customer").nest("x"), "no message"),
        (field("ref").nest("least_significant_bits"), "one column itself"),
        (field("refs").fan_out(), "nest into it"),
        (field("counts").fan_out(), "nest into it"),
        (key_with_value("id", split_point=2), "1 columns"),
        (dimensions(concat("id", "small"), dimensions_size=2), "int64"),
        (dimensions(concat("id", "id"), prefix_size=1, dimensions_size=2), "2 columns"),
        (split(field("id"), 2), "fan-out"),
        (split(concat(field("tags").fan_out(), "id"), 2), "one column"),
        (function("cardinality", field("tags").fan_out()), "concatenated"),
    ],
)
def test_each_fault_says_how_to_mend_it(expression, word):
    assert any(word in hint for _, hint in problems(expression))


def test_good_expressions_have_no_problems():
    expression = concat(
        "id",
        field("tags").fan_out(),
        field("address").nest("city"),
        field("counts").fan_out().nest("key", "value"),
        "ref",
        field("refs").fan_out().nest("most_significant_bits"),
        function("cardinality", field("tags").concatenated()),
    )
    assert problems(expression) == []
    names = ["id", "tags", "city", "key", "value", "ref", "most_significant_bits"]
    assert [column and column.name for column in expression.column_fields(ORDER)] == [*names, None]
    assert [leaf.name for leaf in expression.leaf_fields(ORDER)] == [*names, "tags"]


def test_nonsense_is_refused_where_it_is_written():
    for wrong in (
        lambda: field(""),
        lambda: Field("a", "FAN_OUT"),
        lambda: Field("a", nulls=None),
        lambda: as_expression(5),
    ):
        with pytest.raises(WrongType):
            wrong()
    for wrong in (
        lambda: concat("a"),
        lambda: field("a").concatenated().nest("b"),
        lambda: field("a").nest(),
        lambda: grouping("a", grouped_count=2),
        lambda: key_with_value("a", split_point=-1),
        lambda: split(field("a").fan_out(), 0),
        lambda: value(2**63),
        lambda: value([1]),
        lambda: value(1, kind="bool"),
    ):
        with pytest.raises(InvalidKeyExpression):
            wrong()
    assert field("a", fan_type=FanType.FAN_OUT) == field("a").fan_out()
