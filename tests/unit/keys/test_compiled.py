"""Generated evaluators against the interpreter: the same rows, the same bytes, the same errors."""

from __future__ import annotations

import pytest
from google.protobuf import message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer import tuples
from recordlayer.errors import KeyFunctionFailed, TupleError
from recordlayer.keys import (
    FanType,
    FunctionCall,
    KeyFunction,
    KeyWithValue,
    ListOf,
    Nesting,
    NullInterpretation,
    RecordContext,
    Split,
    Then,
    concat,
    empty,
    field,
    function,
    grouping,
    key_with_value,
    list_of,
    map_entries,
    record_type,
    value,
    version,
)
from recordlayer.keys.compiled import compile_keys, compile_pairs, compile_rows
from recordlayer.keys.compiled_entries import OneEntry, compile_entries, entries_in_python
from tests.unit.keys import protos

BODY = """
    enum Level { ZERO = 0; LOW = 1; HIGH = 9; }
    message Inner { LABEL int64 i = 1; LABEL string s = 2; repeated int32 many = 3; LABEL Inner inner = 4;
                    repeated Inner inners = 5; LABEL float f = 6; }
    message Thing {
      LABEL int32 i32 = 1; LABEL int64 i64 = 2; LABEL sint64 s64 = 3; LABEL sfixed32 x32 = 4; LABEL bool b = 5;
      LABEL float f = 6; LABEL double d = 7; LABEL string s = 8; LABEL bytes y = 9; LABEL Level e = 10;
      LABEL Inner inner = 11; repeated Inner inners = 12; repeated string ss = 13; repeated float fs = 14;
      repeated int64 is = 15; repeated bytes ys = 16; repeated Level es = 17; repeated bool bs = 18;
      LABEL com.apple.foundationdb.record.UUID u = 19; LABEL com.apple.foundationdb.record.NullableFloat nf = 20;
      LABEL com.apple.foundationdb.record.NullableString ns = 21;
      map<string, int64> si = 22; map<int32, Inner> im = 23; oneof choice { int64 ca = 24; string cb = 25; }
      EXTRA }
"""
EXTRA_2 = """
    optional int64 di = 26 [default = 7]; optional string ds = 27 [default = "x"]; optional bool class = 28;
"""
PROTO2 = protos.load(
    'syntax = "proto2"; package two; import "tuple_fields.proto";'
    + BODY.replace("LABEL", "optional").replace(
        "EXTRA",
        'optional int64 di = 26 [default = 7]; optional string ds = 27 [default = "x"]; optional bool class = 28;',
    )
)
PROTO3 = protos.load(
    'syntax = "proto3"; package three; import "tuple_fields.proto";'
    + BODY.replace("LABEL", "").replace("EXTRA", "optional int64 di = 26; optional string ds = 27; bool class = 28;")
)
EDITION = protos.load(
    'edition = "2023"; package ed; import "tuple_fields.proto";'
    + BODY.replace("LABEL", "").replace("EXTRA", "int64 di = 26; string ds = 27; bool class = 28;")
)
CLASSES = [message_factory.GetMessageClass(f.message_types_by_name["Thing"]) for f in (PROTO2, PROTO3, EDITION)]

STAMP = tuples.Versionstamp.from_bytes(bytes(range(12)))
CONTEXT = RecordContext(record_type_key=4, version=STAMP)

# -- random expressions that fit Thing and Inner ---------------------------------------------------------------------

nulls = st.sampled_from(list(NullInterpretation))
INNER = {"scalar": ["i", "s", "f"], "repeated": ["many"], "message": ["inner"], "messages": ["inners"]}
THING = {
    "scalar": [
        "i32",
        "i64",
        "s64",
        "x32",
        "b",
        "f",
        "d",
        "s",
        "y",
        "e",
        "u",
        "nf",
        "ns",
        "ca",
        "cb",
        "di",
        "ds",
        "class",
        "nothing",
    ],
    "repeated": ["ss", "fs", "is", "ys", "es", "bs"],
    "message": ["inner"],
    "messages": ["inners"],
}
THING["scalar"] += ["class", "nothing"]


def leaves(names):
    scalars = st.builds(lambda n, null: field(n, nulls=null), st.sampled_from(names["scalar"]), nulls)
    fans = st.sampled_from([FanType.FAN_OUT, FanType.CONCATENATE])
    repeated = st.builds(
        lambda n, fan, null: field(n, fan_type=fan, nulls=null), st.sampled_from(names["repeated"]), fans, nulls
    )
    constants = st.sampled_from(
        [
            value(None),
            value(5),
            value("a\x00b"),
            value(1.5, kind="float"),
            value(True),
            version(),
            record_type(),
            empty(),
        ]
    )
    return st.one_of(scalars, scalars, repeated, constants)


def nestings(names, child):
    scalar = st.builds(
        lambda n, null, c: Nesting(field(n, nulls=null), c), st.sampled_from(names["message"]), nulls, child
    )
    fanned = st.builds(lambda n, c: Nesting(field(n).fan_out(), c), st.sampled_from(names["messages"]), child)
    return st.one_of(scalar, fanned)


def composed(child):
    parts = st.lists(child, min_size=2, max_size=3)
    return st.one_of(
        parts.map(lambda found: Then(tuple(found))),
        st.lists(child, min_size=1, max_size=2).map(lambda found: ListOf(tuple(found))),
        child.map(lambda found: found.ungrouped()),
        child.filter(lambda found: found.column_size == 1).map(lambda one: function("order_desc_nulls_last", one)),
        child.filter(lambda found: found.column_size == 1).map(lambda one: FunctionCall("twice", one, TWICE)),
    )


TWICE = KeyFunction(
    name="twice",
    call=lambda row: [row, row] if row[0] is not None else [],
    min_arguments=1,
    max_arguments=1,
    creates_duplicates=True,
)

inner_expressions = st.recursive(leaves(INNER), lambda c: st.one_of(composed(c), nestings(INNER, c)), max_leaves=4)
map_expressions = st.one_of(
    st.just(map_entries("si")),
    st.builds(lambda c: Nesting(field("im").fan_out(), concat("key", Nesting(field("value"), c))), inner_expressions),
)
expressions = st.one_of(
    st.recursive(leaves(THING), composed, max_leaves=5),
    nestings(THING, inner_expressions),
    st.lists(st.one_of(leaves(THING), nestings(THING, inner_expressions), map_expressions), min_size=2, max_size=3).map(
        lambda found: Then(tuple(found))
    ),
    map_expressions,
)

# -- random messages -------------------------------------------------------------------------------------------------

i32, i64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
floats = st.floats(width=32)
texts = st.text(max_size=4)


def optional(strategy):
    return st.one_of(st.none(), strategy)


def some(**fields):
    return st.fixed_dictionaries({}, optional=fields)


inners = st.recursive(
    some(i=i64, s=texts, many=st.lists(i32, max_size=2), f=floats),
    lambda inner: some(i=i64, inner=inner, inners=st.lists(inner, max_size=2)),
    max_leaves=4,
)
things = some(
    i32=st.one_of(st.just(0), i32), i64=st.one_of(st.just(0), i64), s64=i64, x32=i32, b=st.booleans(), f=floats,
    d=st.floats(), s=texts, y=st.binary(max_size=3), e=st.sampled_from([0, 1, 9]), inner=inners,
    inners=st.lists(inners, max_size=3), ss=st.lists(texts, max_size=3), fs=st.lists(floats, max_size=2),
    ys=st.lists(st.binary(max_size=2), max_size=2), es=st.lists(st.sampled_from([0, 9]), max_size=2),
    bs=st.lists(st.booleans(), max_size=2), u=some(most_significant_bits=i64), nf=some(value=floats),
    ns=some(value=texts), si=st.dictionaries(texts, i64, max_size=3), ca=i64, cb=texts, di=i64, ds=texts,
    im=st.dictionaries(i32, st.just({}), max_size=2),
)  # fmt: skip
ints = st.lists(i64, max_size=2)


def made(message_class, fields, numbers):
    plain = {name: each for name, each in fields.items() if name != "im"}
    message = message_class(**plain, **{"is": numbers})
    for key in fields.get("im", {}):
        message.im[key].i = key
    return message


def outcome(call):
    try:
        return "gives", call()
    except (TupleError, KeyFunctionFailed) as error:
        return "raises", type(error), str(error)


def same(one, other):
    """Equal, a NaN being equal to itself: packed bytes say so."""
    return one == other or repr(one) == repr(other)


EDGES = [
    {},
    {"i32": 0, "i64": 0, "b": False, "f": 0.0, "d": 0.0, "s": "", "y": b"", "e": 0, "inner": {}, "cb": "", "di": 0},
    {"f": -0.0, "d": -0.0, "ca": 0, "di": 7, "ds": "x", "inner": {"f": -0.0, "i": 0}, "u": {}, "nf": {}, "ns": {}},
    {"i32": -1, "i64": -(2**63), "s64": 2**63 - 1, "x32": 256, "b": True, "f": 0.1, "d": 0.1, "s": "a\x00", "e": 9},
    {"f": float("nan"), "d": float("-inf"), "ds": "", "ss": ["", "\x00"], "fs": [0.1, -0.0], "is": [0, -5]},
    {"ys": [b"", b"\x00"], "es": [9, 0], "bs": [True, False], "inner": {"i": 5, "s": "t", "many": [1, 1], "f": 0.1}},
    {"inners": [{"i": 1}, {}], "si": {"b": 0, "a": 1, "": 2}, "u": {"most_significant_bits": -1}, "nf": {"value": 0.1}},
]  # fmt: skip


def shapes(names):
    for null in NullInterpretation:
        yield from (field(name, nulls=null) for name in names["scalar"])
        for fan in (FanType.FAN_OUT, FanType.CONCATENATE):
            yield from (field(name, fan_type=fan, nulls=null) for name in names["repeated"])


@pytest.mark.parametrize("message_class", CLASSES, ids=["proto2", "proto3", "edition"])
def test_every_field_alone_is_read_as_the_interpreter_reads_it(message_class):
    messages = [message_class(**fields) for fields in EDGES]
    expressions = list(shapes(THING))
    for null in NullInterpretation:
        expressions += [Nesting(field("inner", nulls=null), shape) for shape in shapes(INNER)]
    expressions += [Nesting(field("inners").fan_out(), shape) for shape in shapes(INNER)]
    expressions += [map_entries("si")]
    for expression in expressions:
        rows, keys = compile_rows(expression, message_class), compile_keys(expression, message_class)
        for message in messages:
            expected = expression.evaluate(message, CONTEXT)
            assert repr(rows(message, CONTEXT)) == repr(expected), (expression, message)
            assert keys(message, CONTEXT, b"p", b"s") == [tuples.pack(row, b"p") + b"s" for row in expected]


@settings(max_examples=400)
@given(st.sampled_from(CLASSES), expressions, things, ints)
def test_generated_rows_are_the_interpreter_s(message_class, expression, fields, numbers):
    message = made(message_class, fields, numbers)
    rows = compile_rows(expression, message_class)
    expected = expression.evaluate(message, CONTEXT)
    assert same(rows(message, CONTEXT), expected)
    assert [type(c) for row in rows(message, CONTEXT) for c in row] == [type(c) for row in expected for c in row]


@settings(max_examples=300)
@given(st.sampled_from(CLASSES), expressions, things, ints)
def test_generated_keys_are_the_packed_rows(message_class, expression, fields, numbers):
    message = made(message_class, fields, numbers)
    keys = compile_keys(expression, message_class)
    prefix, suffix = b"prefix", b"suffix"
    expected = [tuples.pack(row, prefix) + suffix for row in expression.evaluate(message, CONTEXT)]
    assert keys(message, CONTEXT, prefix, suffix) == expected


@settings(max_examples=150)
@given(st.sampled_from(CLASSES), expressions, things, ints, st.integers(0, 4))
def test_generated_pairs_split_the_packed_rows(message_class, expression, fields, numbers, split_point):
    message = made(message_class, fields, numbers)
    at = min(split_point, expression.column_size)
    pairs = compile_pairs(KeyWithValue(expression, at), message_class)
    rows = expression.evaluate(message, CONTEXT)
    expected = [(tuples.pack(row[:at], b"p") + b"s", tuples.pack(row[at:])) for row in rows]
    assert pairs(message, CONTEXT, b"p", b"s") == expected


def test_rows_of_a_message_of_another_class_are_right_too():
    two, three = CLASSES[:2]
    rows, keys = compile_rows(field("i64"), two), compile_keys(field("i64"), two)
    assert rows(three(i64=5), CONTEXT) == [(5,)]
    assert keys(three(i64=5), CONTEXT, b"", b"") == [tuples.pack((5,))]
    assert rows(None, CONTEXT) == [(None,)]


def test_what_cannot_be_packed_is_the_error_of_pack():
    two = CLASSES[0]
    incomplete = RecordContext(version=tuples.Versionstamp.incomplete(1))
    keys = compile_keys(concat("i64", version()), two)
    with pytest.raises(TupleError) as generated:
        keys(two(), incomplete, b"", b"")
    with pytest.raises(TupleError) as packed:
        tuples.pack((None, incomplete.version))
    assert str(generated.value) == str(packed.value)


def test_errors_of_functions_come_through():
    two = CLASSES[0]
    expression = function("mul", "i64", value(2))
    with pytest.raises(KeyFunctionFailed):
        compile_rows(expression, two)(two(i64=2**62), CONTEXT)


def test_rare_nodes_take_the_interpreter_s_way():
    two = CLASSES[0]
    message = two(ss=["a", "b", "c", "d"], i64=1, inners=[{}, {}])
    for expression in (
        Split(field("ss").fan_out(), 2),
        concat("i64", Split(field("ss").fan_out(), 2)),
        function("cardinality", field("inners").concatenated()),
        concat(function("cardinality", field("ss").concatenated()), field("ss").fan_out()),
        list_of("i64", field("ss").fan_out()),
        grouping(concat("i64", "s"), grouped_count=1),
        key_with_value(concat("i64", field("ss").fan_out()), split_point=1),
        field("nothing"),
        field("inner").nest("nothing"),
    ):
        expected = expression.evaluate(message, CONTEXT)
        assert compile_rows(expression, two)(message, CONTEXT) == expected
        assert compile_keys(expression, two)(message, CONTEXT, b"", b"") == [tuples.pack(row) for row in expected]


def test_texts_that_are_not_utf_8_are_read_alike():
    two = CLASSES[0]
    try:
        message = two.FromString(b"\x42\x01\xff\x6a\x01\xfe")
    except ValueError:
        pytest.skip("pure Python protobuf refuses such a message itself")
    expression = concat("s", field("ss").fan_out(), field("ss").concatenated())
    assert compile_rows(expression, two)(message, CONTEXT) == expression.evaluate(message, CONTEXT)


def test_generated_functions_carry_their_name_into_tracebacks():
    assert compile_rows(field("i64"), CLASSES[0], name="rows of by_customer").__name__ == "rows of by_customer"


LIMITS = {"key_limit": 60, "value_limit": 80}


@settings(max_examples=300)
@given(
    st.sampled_from(CLASSES),
    st.lists(expressions.filter(lambda one: not one.creates_duplicates), min_size=1, max_size=4),
    things,
    ints,
)
def test_entries_of_several_indexes_are_what_each_alone_has(message_class, several, fields, numbers):
    message = made(message_class, fields, numbers)
    wanted = [OneEntry(one, -1 - place, b"v", None if place % 2 else ()) for place, one in enumerate(several)]
    entries = compile_entries(wanted, message_class, name="entries", **LIMITS)
    if entries is None:
        return  # a node without a generated form: the test below says which ones have one
    in_python = entries_in_python(wanted, message_class, name="entries", **LIMITS)
    prefixes = tuple([b"p%d" % place for place in range(len(several))])

    def each():
        found = []
        for one, prefix in zip(wanted, prefixes, strict=True):
            keys = compile_keys(one.expression, message_class)
            (key,) = keys(message, CONTEXT, prefix, b"s" if one.tail is None else b"")
            found.append((one.kind, key, b"v"))
        return found

    expected = outcome(each)
    if expected[0] == "gives" and any(len(key) > 60 for _, key, _ in expected[1]):
        expected = ("raises",)
    for way in (entries, in_python):
        found = way(message, CONTEXT, b"s", prefixes)
        assert (found is None) if expected[0] == "raises" else (found == expected[1]), expected


def test_entries_cover_columns_and_end_with_the_rest_of_a_primary_key():
    wanted = [
        OneEntry(key_with_value(concat("i32", "s")), -1, b"", None),
        OneEntry(field("s"), -1, b"", (field("i64"),)),
        OneEntry(concat("s", Nesting(field("inner"), field("i"))), 2, b"one", ()),
    ]
    entries = compile_entries(wanted, CLASSES[0], name="entries", **LIMITS)
    message = CLASSES[0](i32=3, i64=4, s="x", inner={"i": 5})
    assert entries(message, CONTEXT, b"key", (b"a", b"b", b"c")) == [
        (-1, tuples.pack((3,), b"a") + b"key", tuples.pack(("x",))),
        (-1, tuples.pack(("x", 4), b"b"), b""),
        (2, tuples.pack(("x", 5), b"c"), b"one"),
    ]
    assert entries(CLASSES[1](), CONTEXT, b"key", (b"a", b"b", b"c")) is None, "of another class"
    amounts = [
        OneEntry(grouping(concat("s", "i64"), grouped_count=1), 2, b"", (), amount=True),
        OneEntry(grouping(field("i32"), grouped_count=1), 2, b"", (), amount=True),
    ]
    of_amounts = compile_entries(amounts, CLASSES[0], name="entries", **LIMITS)
    for i64, i32 in ((4, 5), (-(1 << 63), -1)):
        several = CLASSES[0](s="x", i64=i64, i32=i32)
        assert of_amounts(several, CONTEXT, b"key", (b"a", b"b")) == [
            (2, tuples.pack(("x",), b"a"), i64.to_bytes(8, "little", signed=True)),
            (2, b"b", i32.to_bytes(8, "little", signed=True)),
        ]
    found = of_amounts(CLASSES[0](s="x", i64=4), CONTEXT, b"key", (b"a", b"b"))
    assert [operand for _, _, operand in found] == [(4).to_bytes(8, "little"), None], "an amount is not there"
    of_texts = compile_entries(
        [OneEntry(grouping(field("s"), grouped_count=1), 2, b"", (), amount=True)], CLASSES[0], name="entries", **LIMITS
    )
    assert of_texts(CLASSES[0](s="x"), CONTEXT, b"key", [b"a"]) is None, "it is no integer"
    assert entries(message, CONTEXT, b"key" * 20, (b"a", b"b", b"c")) is None, "a key is too long"
    message.s = "x" * 80
    assert entries(message, CONTEXT, b"key", (b"a", b"b", b"c")) is None, "a value is too long"
