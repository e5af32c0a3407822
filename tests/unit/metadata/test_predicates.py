"""Predicates of sparse indexes: three values, and Java's way to compare."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import InvalidIndex, UnknownField, WrongType
from recordlayer.keys import value
from recordlayer.metadata.predicate import (
    And,
    Compare,
    Comparison,
    Constant,
    Not,
    Or,
    compare,
    is_null,
    not_null,
    recursive,
)
from recordlayer.metadata.predicate_serial import predicate_from_proto, predicate_to_proto
from tests.unit.keys import protos

MESSAGES = protos.classes(
    """
    syntax = "proto2";
    import "tuple_fields.proto";
    enum Level { LOW = 0; HIGH = 3; }
    message Inner { optional int64 n = 1; }
    message Thing { optional int32 i = 1; optional int64 l = 2; optional float f = 3; optional double d = 4;
                    optional string s = 5; optional bytes b = 6; optional bool o = 7; optional Level e = 8;
                    optional Inner inner = 9; optional int32 dflt = 10 [default = 5]; repeated string tags = 11;
                    optional com.apple.foundationdb.record.NullableInt32 ni = 12; }
    message Node { optional Node next = 1; }
    """
)
Thing = MESSAGES.Thing
DESCRIPTOR = Thing.DESCRIPTOR

VALUES = [True, False, None]


def decide(predicate, **fields):
    return predicate.typed(DESCRIPTOR).decide(Thing(**fields))


@pytest.mark.parametrize("one", VALUES)
@pytest.mark.parametrize("other", VALUES)
def test_and_or_and_not_have_three_values(one, other):
    a, b = Constant(one), Constant(other)
    both, either = (a & b).decide(Thing()), (a | b).decide(Thing())
    assert both == (False if False in (one, other) else None if None in (one, other) else True)
    assert either == (True if True in (one, other) else None if None in (one, other) else False)
    assert (~a).decide(Thing()) == (None if one is None else not one)
    assert (~(a & b)).decide(Thing()) == (~a | ~b).decide(Thing())


def test_nothing_to_join_is_the_neutral_value():
    assert And(()).decide(Thing()) is True
    assert Or(()).decide(Thing()) is False


def test_a_missing_value_makes_a_comparison_unknown():
    for symbol in ("=", "!=", "<", "<=", ">", ">="):
        assert decide(compare("i", symbol, 1)) is None
        assert decide(compare("inner.n", symbol, 1), inner={}) is None


def test_a_default_of_its_own_counts_as_a_value():
    assert decide(compare("dflt", "=", 5)) is True
    assert decide(is_null("dflt")) is False


def test_null_tests_look_at_presence():
    assert decide(is_null("s")) is True
    assert decide(not_null("s"), s="") is True
    assert decide(is_null("inner.n"), inner={"n": 0}) is False
    assert decide(is_null("ni"), ni={}) is False


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_numbers_compare_as_numbers(left, right):
    for name in ("i", "l"):
        assert decide(compare(name, "<", right), **{name: left}) == (left < right)
        assert decide(compare(name, "=", right), **{name: left}) == (left == right)
        assert decide(compare(name, ">=", right), **{name: left}) == (left >= right)


@given(st.text(), st.text())
def test_texts_compare_by_utf_16(left, right):
    expected = left.encode("utf-16-be") < right.encode("utf-16-be")
    assert decide(compare("s", "<", right), s=left) == expected


def test_a_letter_beyond_the_first_plane_sorts_below_some_within():
    assert decide(compare("s", "<", "\uffff"), s="\U0001f600") is True


def test_floats_compare_as_objects_do_in_java():
    nan = float("nan")
    assert decide(compare("d", "=", nan), d=nan) is True
    assert decide(compare("d", "<", nan), d=float("inf")) is True
    assert decide(compare("d", "=", 0.0), d=-0.0) is False
    assert decide(compare("f", "<", 0.0), f=-0.0) is True
    assert decide(compare("f", "=", 0.5), f=0.5) is True


def test_bytes_booleans_and_enums_compare():
    assert decide(compare("b", "<", b"\xff"), b=b"\x7f") is True
    assert decide(compare("o", "=", True), o=False) is False
    assert decide(compare("e", "=", 3), e=3) is True
    assert decide(compare("ni", "=", 4), ni={"value": 4}) is True


def test_operands_of_another_type_are_never_equal_and_never_ordered():
    wrong = Compare(("i",), Comparison.EQUALS, value(1))
    assert wrong.decide(Thing(i=1)) is False
    assert Compare(("i",), Comparison.NOT_EQUALS, value(1)).decide(Thing(i=1)) is True
    with pytest.raises(InvalidIndex):
        Compare(("i",), Comparison.LESS_THAN, value(1)).decide(Thing(i=1))


@pytest.mark.parametrize(
    ("predicate", "error"),
    [
        (not_null("nothing"), UnknownField),
        (not_null("inner.nothing"), UnknownField),
        (not_null("s.x"), InvalidIndex),
        (not_null("tags"), InvalidIndex),
        (compare("i", "=", "text"), InvalidIndex),
        (compare("inner", "=", 1), InvalidIndex),
        (compare("i", "=", 2**40), InvalidIndex),
    ],
)
def test_faults_are_found(predicate, error):
    assert [type(problem) for problem in predicate.typed(DESCRIPTOR).problems(DESCRIPTOR)] == [error]


def test_an_operand_of_another_type_is_a_fault():
    (problem,) = Compare(("i",), Comparison.EQUALS, value(1)).problems(DESCRIPTOR)
    assert "kind int" in problem.hint


def test_typed_predicates_have_no_faults():
    predicate = compare("i", "=", 1) & ~(compare("d", "<", 1) | compare("f", ">", 1.5)) & not_null("inner.n")
    assert list(predicate.typed(DESCRIPTOR).problems(DESCRIPTOR)) == []


def test_predicates_come_back_as_they_were_stored():
    predicate = Or((
        And((compare("i", "=", 1), Constant(None))),
        Not(is_null("inner.n")),
        Constant(False),
        compare("f", "<=", value(1.5, kind="float")),
    ))  # fmt: skip
    assert predicate_from_proto(predicate_to_proto(predicate)) == predicate


def test_the_stored_form_is_java_s():
    stored = predicate_to_proto(compare("city", "=", "NL")).SerializeToString()
    assert stored.hex(" ") == "2a 12 0a 04 63 69 74 79 12 0a 0a 08 08 01 12 04 2a 02 4e 4c"


def test_a_message_type_that_reaches_itself_is_seen():
    assert recursive(MESSAGES.Node.DESCRIPTOR)
    assert not recursive(DESCRIPTOR)


def test_nonsense_is_refused_where_it_is_written():
    for wrong in (
        lambda: compare("i", "~", 1),
        lambda: compare("i", "=", None),
        lambda: compare("", "=", 1),
        lambda: is_null(["a", ""]),
        lambda: not_null([]),
    ):
        with pytest.raises(WrongType):
            wrong()
