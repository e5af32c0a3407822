"""Key expressions on messages: rows, nulls, fan-out, and what their values are in a tuple."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from google.protobuf.internal import api_implementation

from recordlayer.errors import InvalidKeyExpression
from recordlayer.keys import (
    EMPTY,
    FanType,
    NullInterpretation,
    RecordContext,
    concat,
    concat_fields,
    field,
    field_path,
    function,
    key_with_value,
    list_of,
    map_entries,
    map_keys,
    map_values,
    record_type,
    value,
    version,
)
from recordlayer.tuples import SingleFloat, Versionstamp
from tests.unit.keys import protos

PROTO2 = protos.classes(
    """
    syntax = "proto2";
    package test;
    import "tuple_fields.proto";
    enum Level { LOW = 0; HIGH = 5; }
    message Address { optional string town = 1; optional int32 zip = 2 [default = 7]; repeated string lines = 3;
                      optional Address before = 4; }
    message Person {
      optional int64 id = 1; optional string name = 2; repeated string tags = 3; repeated float scores = 4;
      optional Address home = 5; repeated Address others = 6; optional Level level = 7; optional float weight = 8;
      optional bytes token = 9; optional bool active = 10 [default = true];
      optional com.apple.foundationdb.record.UUID ref = 11;
      optional com.apple.foundationdb.record.NullableInt64 nick = 12;
      optional com.apple.foundationdb.record.NullableFloat half = 13;
      repeated com.apple.foundationdb.record.UUID refs = 14;
    }
    """
)
PROTO3 = protos.classes(
    """
    syntax = "proto3";
    message Part { int64 a = 1; }
    message Thing { int64 id = 1; string name = 2; optional int64 maybe = 3; double ratio = 4;
                    map<string, int64> counts = 5; map<int32, Part> parts = 6;
                    oneof choice { int64 x = 7; string y = 8; } Part part = 9; }
    """
)
Person, Address, Thing = PROTO2.Person, PROTO2.Address, PROTO3.Thing

NOT_NULL, UNIQUE = NullInterpretation.NOT_NULL, NullInterpretation.UNIQUE


def rows(expression, message, **context):
    return expression.evaluate(message, RecordContext(**context))


def test_a_scalar_field_is_one_column():
    assert rows(field("name"), Person(name="Ada")) == [("Ada",)]


def test_a_field_that_is_not_set_is_null_whatever_its_default():
    assert rows(field("active"), Person()) == [(None,)]


def test_not_null_reads_the_default_of_the_field():
    assert rows(field("active", nulls=NOT_NULL), Person()) == [(True,)]
    assert rows(field("home").nest(field("zip", nulls=NOT_NULL)), Person(home=Address())) == [(7,)]


def test_not_null_below_a_message_that_is_not_there_is_null_all_the_same():
    assert rows(field("home").nest(field("zip", nulls=NOT_NULL)), Person()) == [(None,)]


def test_a_not_null_parent_stands_for_an_empty_message():
    assert rows(field("home", nulls=NOT_NULL).nest(field("zip", nulls=NOT_NULL)), Person()) == [(7,)]


def test_a_field_that_the_message_does_not_have_is_null():
    assert rows(field("nothing"), Person()) == [(None,)]


def test_fan_out_gives_a_row_for_each_element_in_order():
    assert rows(field("tags").fan_out(), Person(tags=["b", "a", "b"])) == [("b",), ("a",), ("b",)]


def test_fan_out_of_nothing_gives_no_row():
    assert rows(field("tags").fan_out(), Person()) == []
    assert rows(field("tags").fan_out(), None) == []


def test_concatenate_gives_one_row_with_a_nested_tuple():
    assert rows(field("tags").concatenated(), Person(tags=["b", "a"])) == [(("b", "a"),)]
    assert rows(field("tags").concatenated(), Person()) == [((),)]


def test_concatenate_of_a_missing_message_is_null_unless_not_null():
    town = field("home").nest(field("lines").concatenated())
    assert rows(town, Person()) == [(None,)]
    kept = field("home").nest(field("lines", fan_type=FanType.CONCATENATE, nulls=NOT_NULL))
    assert rows(kept, Person()) == [((),)]


def test_concat_gives_every_combination_with_the_last_part_fastest():
    person = Person(tags=["a", "b"], scores=[1.0, 2.0])
    one, two = SingleFloat(1.0), SingleFloat(2.0)
    expression = concat(field("tags").fan_out(), field("scores").fan_out())
    assert rows(expression, person) == [("a", one), ("a", two), ("b", one), ("b", two)]


def test_concat_with_a_part_without_rows_gives_no_rows():
    assert rows(concat("name", field("tags").fan_out()), Person(name="Ada")) == []


def test_concat_inside_concat_is_flat():
    assert concat(concat("a", "b"), "c") == concat_fields("a", "b", "c")


def test_list_of_makes_each_part_a_nested_tuple():
    person = Person(id=1, name="Ada", tags=["x", "y"])
    assert rows(list_of("name", concat("id", field("tags").fan_out())), person) == [
        (("Ada",), (1, "x")),
        (("Ada",), (1, "y")),
    ]


def test_a_nesting_evaluates_its_child_on_each_message():
    person = Person(others=[Address(town="Oslo", lines=["1", "2"]), Address(), Address(lines=["3"])])
    towns = field("others").fan_out().nest("town", field("lines").fan_out())
    assert rows(towns, person) == [("Oslo", "1"), ("Oslo", "2"), (None, "3")]


def test_a_nesting_below_nothing_gives_one_row_of_nulls_or_none():
    assert rows(field("home").nest("town", "zip"), Person()) == [(None, None)]
    assert rows(field("others").fan_out().nest("town"), Person()) == []
    assert rows(field_path(["home", "before", "town"]), Person()) == [(None,)]


@pytest.mark.skipif(api_implementation.Type() == "python", reason="pure Python protobuf refuses such a message itself")
def test_a_text_that_is_not_utf_8_reads_with_replacement_characters():
    broken = Person.FromString(b"\x12\x02\xffa")
    assert rows(field("name"), broken) == [("\ufffda",)]


def test_floats_are_32_bits_and_enums_are_numbers():
    third = struct.unpack("<f", struct.pack("<f", 1 / 3))[0]
    person = Person(weight=1 / 3, level=5)
    assert rows(concat("weight", "level"), person) == [(SingleFloat(third), 5)]
    assert rows(field("scores").concatenated(), Person(scores=[0.5])) == [((SingleFloat(0.5),),)]


def test_tuple_field_messages_are_their_value():
    person = Person()
    person.ref.most_significant_bits = -1
    person.ref.least_significant_bits = 2
    person.nick.SetInParent()
    person.half.value = 1.5
    assert rows(concat("ref", "nick", "half"), person) == [
        (UUID("ffffffff-ffff-ffff-0000-000000000002"), 0, SingleFloat(1.5))
    ]
    assert rows(concat("ref", "nick"), Person()) == [(None, None)]


def test_members_of_repeated_tuple_fields_are_reached_by_nesting():
    person = Person(refs=[{"least_significant_bits": 3}])
    assert rows(field("refs").fan_out().nest("least_significant_bits"), person) == [(3,)]


def test_a_proto3_field_without_presence_is_null_at_its_default():
    assert rows(concat("id", "name", "ratio", "maybe"), Thing()) == [(None,) * 4]
    assert rows(concat("id", "maybe"), Thing(id=1, maybe=0)) == [(1, 0)]
    assert rows(concat(field("id", nulls=NOT_NULL), field("name", nulls=NOT_NULL)), Thing()) == [(0, "")]


def test_minus_zero_is_not_the_default():
    assert str(rows(field("ratio"), Thing(ratio=-0.0))) == "[(-0.0,)]"


def test_oneof_members_have_presence():
    assert rows(concat("x", "y"), Thing(x=0)) == [(0, None)]


def test_map_entries_come_by_key():
    thing = Thing(counts={"b": 2, "a": 1})
    thing.parts[3].a = 9
    assert rows(map_entries("counts"), thing) == [("a", 1), ("b", 2)]
    assert rows(map_keys("counts"), thing) == [("a",), ("b",)]
    assert rows(map_values("counts"), thing) == [(1,), (2,)]
    assert rows(field("parts").fan_out().nest(concat("key", field("value").nest("a"))), thing) == [(3, 9)]


def test_record_type_and_version_come_from_the_record():
    stamp = Versionstamp.from_bytes(bytes(range(12)))
    assert rows(concat(record_type(), version()), Person(), record_type_key=3, version=stamp) == [(3, stamp)]
    assert rows(concat(record_type(), version()), Person()) == [(None, None)]


def test_constants_keep_their_kind():
    assert rows(concat(value(5), value(None), value(True), value(1.5, kind="float")), Person()) == [
        (5, None, True, SingleFloat(1.5))
    ]
    assert value(1) != value(True)
    assert value(1) != value(1, kind="int")
    assert value(0.0) != value(-0.0)
    assert value(float("nan")) == value(float("nan"))


def test_empty_gives_one_row_without_columns():
    assert rows(EMPTY, Person()) == [()]


def test_split_takes_elements_several_at_a_time():
    assert rows(field("tags").split(2), Person(tags=["a", "b", "c", "d"])) == [("a", "b"), ("c", "d")]
    with pytest.raises(InvalidKeyExpression, match="multiple of 2"):
        rows(field("tags").split(2), Person(tags=["a", "b", "c"]))


def test_key_with_value_rows_hold_both_parts_and_count_the_key_only():
    covering = key_with_value(concat("name", "id", "level"), split_point=1)
    assert rows(covering, Person(name="Ada", id=1)) == [("Ada", 1, None)]
    assert covering.column_size == 1
    assert (covering.key, covering.value) == (field("name"), concat("id", "level"))


def test_evaluate_single_wants_exactly_one_row():
    assert field("name").evaluate_single(Person(name="Ada")) == ("Ada",)
    with pytest.raises(InvalidKeyExpression):
        field("tags").fan_out().evaluate_single(Person(tags=["a", "b"]))


def test_a_repeated_field_read_as_scalar_is_refused():
    with pytest.raises(InvalidKeyExpression, match="fan_out"):
        rows(field("tags"), Person(tags=["a"]))


def test_a_message_read_as_scalar_is_refused():
    with pytest.raises(InvalidKeyExpression, match="nest"):
        rows(field("home"), Person(home=Address()))


def test_only_nulls_of_not_unique_columns_are_distinct():
    expression = concat(
        "name", field("id", nulls=UNIQUE), field("level", nulls=NOT_NULL), list_of("token"), value(None)
    )
    assert expression.nulls_distinct == (True, False, False, False, True)
    assert function("add", "id", value(1)).nulls_distinct == (False,)


def test_grouping_puts_the_grouping_columns_first():
    grouping = field("id").group_by("name", field("home").nest("town"))
    assert grouping.whole == concat("name", field("home").nest("town"), "id")
    assert (grouping.grouping_count, grouping.grouped_count) == (2, 1)
    assert grouping.grouping_key == concat("name", field("home").nest("town"))
    assert grouping.grouped_key == field("id")
