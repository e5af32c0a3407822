"""Each comparison against a plain function on rows: generated messages with nulls, lists, nesting, Unicode, extremes.

The oracle knows nothing of protobuf: a row is a dictionary, and what a field without presence holds is in it.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import concat, errors, field, q
from recordlayer.keys import RecordContext
from recordlayer.keys.functions import function
from recordlayer.keys.special import VERSION
from recordlayer.query.evaluate import compiled
from recordlayer.query.predicate import Predicate
from tests.support.zoo import FILES, KINDS, LISTS, SCALARS, animal

EXAMPLES = 300 if os.environ.get("RECORDLAYER_LONG_TESTS") else 15

Truth = bool | None
Row = dict[str, Any]


def float32(value: float) -> float:
    return float(struct.unpack(">f", struct.pack(">f", value))[0])


TEXTS = ["", "a", "ab", "a%", "a_b", "b", "Ä", "\u0041\u0308", "é\x00", "𝄞", "zz", "\U0010ffff"]
VALUES: dict[str, list[Any]] = {
    "number": [-(2**63), -1, 0, 1, 2, 2**63 - 1],
    "small": [-(2**31), -7, 0, 7, 2**31 - 1],
    "big": [-(2**63), 0, 1, 2**63 - 1],
    "name": TEXTS,
    "blob": [b"", b"\x00", b"\x00\xff", b"a", b"\xff"],
    "ratio": [-math.inf, -1.5, -0.0, 0.0, 1e-300, 2.5, math.inf, math.nan],
    "weight": [-math.inf, -1.5, -0.0, 0.0, float32(0.1), 2.5, math.inf, math.nan],
    "tame": [False, True],
    "kind": [0, 1, 2],
    "maybe": [-1, 0, 1],
}
ZERO: dict[str, Any] = {
    "number": 0, "small": 0, "big": 0, "name": "", "blob": b"", "ratio": 0.0, "weight": 0.0, "tame": False, "kind": 0,
}  # fmt: skip
"""What fields without presence hold when nobody set them."""


def ordered(value: Any) -> Any:
    """Values as they compare: floats by their bits, so that -0.0 comes before 0.0 and NaN behind all."""
    if not isinstance(value, float):
        return value
    bits = int.from_bytes(struct.pack(">d", value), "big")
    return bits + (1 << 63) if bits < 1 << 63 else (1 << 64) - 1 - bits


def rows(syntax: str) -> st.SearchStrategy[Row]:
    missing = {name: st.none() if syntax == "proto2" else st.just(ZERO[name]) for name in SCALARS}
    missing["maybe"] = st.none()
    scalars = {name: missing[name] | st.sampled_from(VALUES[name]) for name in (*SCALARS, "maybe")}
    text = st.sampled_from(TEXTS)
    price = st.sampled_from(VALUES["number"])
    gone: Callable[[Any], Any] = (lambda zero: st.none()) if syntax == "proto2" else st.just
    return st.fixed_dictionaries(
        {
            **scalars,
            "tags": st.lists(text, max_size=3),
            "scores": st.lists(price, max_size=3),
            "sizes": st.lists(st.sampled_from(VALUES["ratio"]), max_size=3),
            "home": st.none() | st.fixed_dictionaries({"city": gone("") | text, "floor": gone(0) | price}),
            "toys": st.lists(st.fixed_dictionaries({"label": gone("") | text, "price": gone(0) | price}), max_size=3),
            "marks": st.dictionaries(st.sampled_from(["a", "b", ""]), price, max_size=3),
        }
    )


METADATA = {
    syntax: rl.RecordMetaDataBuilder(file).primary_key("Animal", field("id")).build() for syntax, file in FILES.items()
}


class Saved:
    """As much of a record as conditions look at."""

    def __init__(self, message: Any, version: Any = None) -> None:
        self.message = message
        self.key_context = RecordContext(record_type_key="Animal", version=version)


def decided(syntax: str, condition: Predicate, row: Row, version: Any = None) -> Truth:
    message = animal(syntax, row)
    parsed = type(message).FromString(message.SerializeToString())
    decide = compiled(condition, METADATA[syntax].record_type("Animal"))
    return decide(parsed, Saved(parsed, version))


# -- scalars ---------------------------------------------------------------------------------------------------------

COMPARISONS: dict[str, tuple[Callable[[Any, Any], Predicate], Callable[[Any, Any], bool]]] = {
    "=": (lambda path, v: path == v, lambda a, b: ordered(a) == ordered(b)),
    "!=": (lambda path, v: path != v, lambda a, b: ordered(a) != ordered(b)),
    "<": (lambda path, v: path < v, lambda a, b: ordered(a) < ordered(b)),
    "<=": (lambda path, v: path <= v, lambda a, b: ordered(a) <= ordered(b)),
    ">": (lambda path, v: path > v, lambda a, b: ordered(a) > ordered(b)),
    ">=": (lambda path, v: path >= v, lambda a, b: ordered(a) >= ordered(b)),
    "in": (lambda path, v: path.in_([v, v]), lambda a, b: ordered(a) == ordered(b)),
}


@pytest.mark.parametrize("syntax", FILES)
@pytest.mark.parametrize("name", [*SCALARS, "maybe"])
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_scalar_compares_as_the_values_do(syntax: str, name: str, data: st.DataObject) -> None:
    row = data.draw(rows(syntax))
    right = data.draw(st.sampled_from(VALUES[name]))
    left, path = row[name], q[name]
    for build, test in COMPARISONS.values():
        expected = None if left is None else test(left, right)
        assert decided(syntax, build(path, right), row) is expected
        assert decided(syntax, ~build(path, right), row) is (None if expected is None else not expected)
    assert decided(syntax, path.is_null(), row) is (left is None)
    assert decided(syntax, path.not_null(), row) is (left is not None)
    same = left is not None and ordered(left) == ordered(right)
    assert decided(syntax, path.is_not_distinct_from(right), row) is same
    assert decided(syntax, path.is_distinct_from(right), row) is not same
    assert decided(syntax, path.is_distinct_from(None), row) is (left is not None)
    assert decided(syntax, path.is_not_distinct_from(None), row) is (left is None)
    assert decided(syntax, path.in_([]), row) is (None if left is None else False)
    if left is not None:
        low, high = sorted([right, data.draw(st.sampled_from(VALUES[name]))], key=ordered)
        assert decided(syntax, path.between(low, high), row) is (ordered(low) <= ordered(left) <= ordered(high))


def test_an_enum_is_compared_by_name_or_number() -> None:
    for number, name in enumerate(KINDS):
        assert decided("proto2", q.kind == name, {"kind": number}) is True
        assert decided("proto2", q.kind == number, {"kind": number}) is True
        assert decided("proto2", q.kind.in_([name]), {"kind": number}) is True


def test_unset_default_and_null_are_three_things_where_the_metadata_tells_them_apart() -> None:
    for syntax, unset in (("proto2", None), ("proto3", True)):
        assert decided(syntax, q.number == 0, {}) is unset
        assert decided(syntax, q.number == 0, {"number": 0}) is True
        assert decided(syntax, q.maybe == 0, {}) is None
        assert decided(syntax, q.maybe == 0, {"maybe": 0}) is True
        assert decided(syntax, q.home.floor == 0, {}) is None
        assert decided(syntax, q.home.floor == 0, {"home": {}}) is unset
        assert decided(syntax, q.home.floor == 0, {"home": {"floor": 0}}) is True
        assert decided(syntax, q.home.is_null(), {"home": {}}) is False


# -- text ------------------------------------------------------------------------------------------------------------


def like(text: str, pattern: str, escape: str | None) -> bool:
    """LIKE by the book, one character after the other."""
    if not pattern:
        return not text
    head, rest = pattern[0], pattern[1:]
    if head == escape:
        return bool(text) and text[0] == rest[0] and like(text[1:], rest[1:], escape)
    if head == "%":
        return any(like(text[place:], rest, escape) for place in range(len(text) + 1))
    return bool(text) and head in ("_", text[0]) and like(text[1:], rest, escape)


PIECES = st.lists(st.sampled_from(["a", "b", "%", "_", "!%", "!_", "!!", ".", "\n", "Ä"]), max_size=6).map("".join)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.sampled_from("ab%_!.\nÄ"), max_size=7).map("".join), PIECES)
def test_like_is_that_of_the_standard(text: str, pattern: str) -> None:
    assert decided("proto2", q.name.like(pattern, escape="!"), {"name": text}) is like(text, pattern, "!")
    plain = pattern.replace("!", "")
    assert decided("proto2", q.name.like(plain), {"name": text}) is like(text, plain, None)
    assert decided("proto2", q.name.like(plain), {}) is None


def test_like_takes_no_time_that_grows_with_its_wildcards() -> None:
    assert decided("proto2", q.name.like("%a" * 200 + "b"), {"name": "a" * 4000}) is False


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(TEXTS), st.sampled_from(TEXTS), st.sampled_from(VALUES["blob"]), st.sampled_from(VALUES["blob"]))
def test_text_and_bytes_begin_with_what_they_begin_with(text: str, start: str, blob: bytes, begin: bytes) -> None:
    assert decided("proto2", q.name.starts_with(start), {"name": text}) is text.startswith(start)
    assert decided("proto2", q.blob.starts_with(begin), {"blob": blob}) is blob.startswith(begin)
    assert decided("proto2", q.name.starts_with(start), {}) is None


SENTENCE = "The Quick brown fox — the café fox! — jumps"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (q.name.has_words("quick FOX"), True),
        (q.name.has_words("quick foxes"), False),
        (q.name.has_words(["quick", "fox"]), True),
        (q.name.has_words(["Quick"]), False),
        (q.name.has_words("cafe"), True),
        (q.name.has_words("jump"), False),
        (q.name.has_words(""), None),
        (q.name.has_words("quick fox", within=2), True),
        (q.name.has_words("quick fox", within=1), False),
        (q.name.has_words("quick jumps", within=6), True),
        (q.name.has_words("quick jumps", within=5), False),
        (q.name.has_words("fox", within=1), True),
        (q.name.has_words("", within=1), None),
        (q.name.has_any_word("cat dog FOX"), True),
        (q.name.has_any_word("cat dog"), False),
        (q.name.has_any_word([]), None),
        (q.name.has_phrase("brown fox the"), True),
        (q.name.has_phrase("brown the"), False),
        (q.name.has_phrase("fox jumps"), True),
        (q.name.has_phrase(["brown", "", "the"]), True),
        (q.name.has_phrase(["", "fox", "the", ""]), True),
        (q.name.has_phrase(["", ""]), None),
        (q.name.has_prefix("qui"), True),
        (q.name.has_prefix("uick"), False),
        (q.name.has_prefix(""), None),
        (q.name.has_all_prefixes("qu ju"), True),
        (q.name.has_all_prefixes("qu ca do"), False),
        (q.name.has_any_prefix("xx do ju"), True),
        (q.name.has_any_prefix("xx do"), False),
    ],
)
def test_words_of_a_text(condition: Predicate, expected: Truth) -> None:
    assert decided("proto2", condition, {"name": SENTENCE}) is expected
    assert decided("proto2", condition, {}) is None
    assert decided("proto2", ~condition, {"name": SENTENCE}) is (None if expected is None else not expected)


def test_words_of_one_element_of_a_list() -> None:
    assert decided("proto2", q.tags.one_of_them().has_words("red fox"), {"tags": ["red", "a fox red"]}) is True
    assert decided("proto2", q.tags.one_of_them().has_words("red fox"), {"tags": ["red", "fox"]}) is False


TOKENS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=7)


@settings(max_examples=EXAMPLES)
@given(TOKENS, st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=3), st.integers(1, 4))
def test_phrases_and_distances_are_found_as_by_looking_everywhere(
    tokens: list[str], wanted: list[str], within: int
) -> None:
    text = {"name": " ".join(tokens)}
    sought = {token for token in wanted if token}
    windows = [set(tokens[place : place + within + 1]) for place in range(len(tokens))]
    near = any(sought <= window for window in windows) if sought else None
    assert decided("proto2", q.name.has_words(wanted, within=within), text) is near
    trimmed = re.sub(r"^,+|,+$", "", ",".join(wanted)).split(",") if sought else []
    found = any(
        all(one in ("", token) for one, token in zip(trimmed, tokens[place:], strict=False))
        for place in range(len(tokens) - len(trimmed) + 1)
    )
    assert decided("proto2", q.name.has_phrase(wanted), text) is (found if sought else None)


# -- lists, messages, maps -------------------------------------------------------------------------------------------


def any_of(found: list[Truth]) -> Truth:
    return True if True in found else None if None in found else False


def all_of(found: list[Truth]) -> Truth:
    return False if False in found else None if None in found else True


@pytest.mark.parametrize("syntax", FILES)
@pytest.mark.parametrize("name", LISTS)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_elements_of_a_list(syntax: str, name: str, data: st.DataObject) -> None:
    row = data.draw(rows(syntax))
    values = row[name]
    pool = {"tags": TEXTS, "scores": VALUES["number"], "sizes": VALUES["ratio"]}[name]
    right, other = data.draw(st.sampled_from(pool)), data.draw(st.sampled_from(pool))
    for build, test in COMPARISONS.values():
        found: list[Truth] = [test(value, right) for value in values]
        assert decided(syntax, build(q[name].one_of_them(), right), row) is any_of(found)
        assert decided(syntax, build(q[name].all_of_them(), right), row) is all_of(found)
        unknown = build(q[name].one_of_them(unknown_if_empty=True), right)
        assert decided(syntax, unknown, row) is (any_of(found) if found else None)
    inside = {ordered(value) for value in values}
    assert decided(syntax, q[name].contains(right), row) is (ordered(right) in inside)
    assert decided(syntax, q[name].contains_all([right, other]), row) is ({ordered(right), ordered(other)} <= inside)
    assert decided(syntax, q[name].contains_any([right, other]), row) is bool({ordered(right), ordered(other)} & inside)
    assert decided(syntax, q[name].is_empty(), row) is (not values)
    assert decided(syntax, q[name].not_empty(), row) is bool(values)
    listed = data.draw(st.sampled_from([values, [right], [*values, right]]))
    same = [ordered(value) for value in values] == [ordered(value) for value in listed]
    assert decided(syntax, q[name] == listed, row) is same
    assert decided(syntax, q[name] != listed, row) is not same


@pytest.mark.parametrize("syntax", FILES)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_messages_in_messages(syntax: str, data: st.DataObject) -> None:
    row = data.draw(rows(syntax))
    price, label = data.draw(st.sampled_from(VALUES["number"])), data.draw(st.sampled_from(TEXTS))

    def toy(one: Row) -> Truth:
        return all_of(
            [
                None if one["price"] is None else one["price"] > price,
                None if one["label"] is None else one["label"] == label,
            ]
        )

    condition = (q.price > price) & (q.label == label)
    found = [toy(one) for one in row["toys"]]
    assert decided(syntax, q.toys.one_of_them().matches(condition), row) is any_of(found)
    assert decided(syntax, q.toys.all_of_them().matches(condition), row) is all_of(found)
    prices: list[Truth] = [None if one["price"] is None else one["price"] > price for one in row["toys"]]
    assert decided(syntax, q.toys.one_of_them().price > price, row) is any_of(prices)
    assert decided(syntax, q.toys.one_of_them().matches(q.price > price), row) is any_of(prices)
    assert decided(syntax, q.toys.all_of_them().price > price, row) is all_of(prices)
    assert decided(syntax, q.toys.is_empty(), row) is (not row["toys"])
    home = row["home"]
    city = None if home is None else home["city"]
    floor = None if home is None else home["floor"]
    nested = [None if city is None else city == label, None if floor is None else floor > price]
    for condition, expected in [
        (q.home.matches((q.city == label) & (q.floor > price)), all_of(nested)),
        (q.home.matches((q.city == label) | (q.floor > price)), any_of(nested)),
        (q.home.matches(~(q.city == label)), None if nested[0] is None else not nested[0]),
        (q.home.city == label, nested[0]),
        (q.home.is_null(), home is None),
        (q.home.city.is_null(), city is None),
    ]:
        assert decided(syntax, condition, row) is expected


@pytest.mark.parametrize("syntax", FILES)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_entries_of_a_map(syntax: str, data: st.DataObject) -> None:
    row = data.draw(rows(syntax))
    key, right = data.draw(st.sampled_from(["a", "b", ""])), data.draw(st.sampled_from(VALUES["number"]))
    value = row["marks"].get(key)
    for build, test in COMPARISONS.values():
        expected = None if value is None else test(value, right)
        assert decided(syntax, build(q.marks.entry(key), right), row) is expected
    assert decided(syntax, q.marks.entry(key).is_null(), row) is (value is None)
    both = q.marks.one_of_them().matches((q.key == key) & (q.value >= right))
    assert decided(syntax, both, row) is (value is not None and value >= right)
    assert decided(syntax, q.marks.one_of_them().value == right, row) is (right in row["marks"].values())


# -- what is not a field ---------------------------------------------------------------------------------------------


@settings(max_examples=EXAMPLES)
@given(rows("proto2"), st.sampled_from(VALUES["maybe"]), st.sampled_from(TEXTS))
def test_key_expressions_compare_as_index_entries_sort(row: Row, number: int, name: str) -> None:
    pair = q(concat("maybe", "name"))
    left = (row["maybe"], row["name"])
    known = None not in left
    right = (number, name)
    encoded = (left[0], (left[1] or "").encode()), (number, name.encode())
    assert decided("proto2", pair == right, row) is (left == right if known else None)
    assert decided("proto2", pair != right, row) is (left != right if known else None)
    assert decided("proto2", pair < right, row) is (encoded[0] < encoded[1] if known else None)
    assert decided("proto2", pair >= list(right), row) is (encoded[0] >= encoded[1] if known else None)
    assert decided("proto2", pair.in_([right, (9, "x")]), row) is (left == right if known else None)
    assert decided("proto2", pair.is_distinct_from(right), row) is (left != right)
    assert decided("proto2", q(field("maybe")).is_null(), row) is (row["maybe"] is None)
    doubled = q(function("add", concat("maybe", "maybe")))
    expected = None if row["maybe"] is None else 2 * row["maybe"] == 2 * number
    assert decided("proto2", doubled == 2 * number, row) is expected


def test_bits_of_a_bitmap_and_boxes_of_dimensions_are_conditions_like_others() -> None:
    from recordlayer.keys import value

    bucket = q(function("bitmap_bucket_offset", concat("number", value(10))))
    bit = q(function("bitmap_bit_position", concat("number", value(10))))
    for number in (-11, -1, 0, 9, 10, 25):
        row = {"number": number, "maybe": 3}
        assert decided("proto2", (bucket == number // 10 * 10) & (bit == number % 10), row) is True
        assert decided("proto2", q.number.between(0, 10) & q.maybe.between(3, 3), row) is (0 <= number <= 10)


def test_a_key_expression_with_several_rows_is_true_for_one_of_them() -> None:
    either = q(concat("number", field("tags").fan_out()), any_row=True)
    row = {"number": 1, "tags": ["x", "y"]}
    assert decided("proto2", either == (1, "y"), row) is True
    assert decided("proto2", either == (2, "y"), row) is False
    assert decided("proto2", either == (1, "y"), {"number": 1}) is False
    with pytest.raises(errors.QueryError, match="any_row"):
        decided("proto2", q(field("tags").fan_out()) == "x", row)


def test_versions_and_types_are_conditions_too() -> None:
    early, late = rl.Versionstamp(b"\x00" * 9 + b"\x01", 0), rl.Versionstamp(b"\x00" * 9 + b"\x02", 0)
    assert decided("proto2", q(VERSION) > early, {}, late) is True
    assert decided("proto2", q(VERSION) > late, {}, late) is False
    assert decided("proto2", q(VERSION) > early, {}) is None
    assert decided("proto2", q(VERSION).is_null(), {}) is True
    assert decided("proto2", q(VERSION) > late, {}, rl.Versionstamp.incomplete(0)) is True
    assert decided("proto2", q(rl.record_type()) == "Animal", {}) is True
    assert decided("proto2", q.is_type("Animal"), {}) is True
    assert decided("proto2", ~q.is_type("Plant", "Animal"), {}) is False


# -- three values ----------------------------------------------------------------------------------------------------

OF: dict[Truth, Predicate] = {True: q.maybe == 1, False: q.maybe == 2, None: q.name == "x"}
THREE: tuple[Truth, ...] = (True, False, None)


def test_the_tables_of_three_valued_logic() -> None:
    row = {"maybe": 1}
    for value, condition in OF.items():
        assert decided("proto2", condition, row) is value
        assert decided("proto2", ~condition, row) is (None if value is None else not value)
        assert decided("proto2", ~~condition, row) is value
    for one, other in product(THREE, THREE):
        assert decided("proto2", OF[one] & OF[other], row) is all_of([one, other])
        assert decided("proto2", OF[one] | OF[other], row) is any_of([one, other])
        not_both = decided("proto2", ~(OF[one] & OF[other]), row)
        assert not_both is decided("proto2", ~OF[one] | ~OF[other], row), "De Morgan"


# -- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        (q.nmae == "a", errors.UnknownField),
        (q.home.ctiy == "a", errors.UnknownField),
        (q.toys.one_of_them().matches(q.pric > 1), errors.UnknownField),
        (q.toys.one_of_them().matches((q.price > "1") & (q.label == "a")), errors.WrongType),
        (q.toys.matches((q.price > 1) & (q.label == "a")), errors.QueryError),
        (q.name.matches((q.price > 1) & (q.label == "a")), errors.QueryError),
        (q.name.is_empty(), errors.QueryError),
        (q.name == ["a"], errors.QueryError),
        (q.toys == ["a"], errors.QueryError),
        (q.tags < ["a"], errors.QueryError),
        (q.tags == ["a", 1], errors.WrongType),
        (q.tags.is_null(), errors.QueryError),
        (q.number.like("1%"), errors.WrongType),
        (q.number.has_words("one"), errors.WrongType),
        (q.name.starts_with(b"a"), errors.WrongType),
        (q.number.is_distinct_from("1"), errors.WrongType),
        (q.tags.entry("a") == 1, errors.QueryError),
        (q.marks.entry(7) == 1, errors.WrongType),
        (q.marks.entry(None) == 1, errors.WrongType),
        (q.marks.entry("a") == "1", errors.WrongType),
        (q.marks == 1, errors.QueryError),
        (q.name.all_of_them() == "a", errors.QueryError),
        (q.name.has_words("a", tokenizer="klingon"), errors.UsageError),
        (q.number == rl.param("n"), errors.UsageError),
        (q(concat("number", "nme")) == (1, "a"), errors.UnknownField),
        (q(concat("number", "name")) == 1, errors.WrongType),
        (q(concat("number", "name")) == (1, 2), errors.WrongType),
        (q(field("name")).in_(["a"]) & (q(field("name")) == rl.param("n")), errors.UsageError),
        (q.number.ranked() < "1", errors.WrongType),
        (q.nmber.ranked() < 1, errors.UnknownField),
        (q.number.ranked() == rl.param("n"), errors.UsageError),
    ],
)
def test_what_does_not_fit_the_metadata_is_refused_by_the_check_of_a_query(condition: Predicate, error: Any) -> None:
    asked = rl.query("Animal").where(condition)
    with pytest.raises(error):
        compiled(condition, METADATA["proto2"].record_type("Animal"))
    if not asked.parameters:
        with pytest.raises(error):
            asked.check(METADATA["proto2"])


def test_the_check_of_a_query_names_what_was_probably_meant() -> None:
    with pytest.raises(errors.UnknownField, match='did you mean "name"'):
        rl.query("Animal").where(q.nmae == "x").check(METADATA["proto2"])
    with pytest.raises(errors.UnknownField, match='did you mean "city"'):
        rl.query("Animal").order_by("home.ctiy").check(METADATA["proto2"])
    with pytest.raises(errors.UnknownRecordType, match="Animal"):
        rl.query("Animl").check(METADATA["proto2"])
    with pytest.raises(errors.UnknownRecordType, match="Animal"):
        rl.query("Animal").where(q.is_type("Animl")).check(METADATA["proto2"])
    with pytest.raises(errors.UnknownField):
        rl.query("Animal").where(q.nmae == rl.param("x")).check(METADATA["proto2"])
    asked = rl.query("Animal").where(q.name == rl.param("x")).order_by("number")
    assert asked.check(METADATA["proto2"]) is asked


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: q.name.like(7),
        lambda: q.name.like("a!", escape="!"),
        lambda: q.name.like("a!b", escape="!"),
        lambda: q.name.like("a", escape="!!"),
        lambda: q.name.has_words([1]),
        lambda: q.name.has_words("a", within=0),
        lambda: q.tags.contains_all([]),
        lambda: q.tags.in_(7),
        lambda: q.tags.in_("ab"),
        lambda: q.toys.one_of_them().matches(True),
        lambda: q.one_of_them(),
        lambda: q.entry("a"),
        lambda: q.is_empty(),
        lambda: q.name.is_type("Animal"),
        lambda: q.is_type(),
        lambda: q.name(field("name")),
        lambda: q("name"),
        lambda: q.ranked(),
        lambda: q.tags.one_of_them().ranked(),
        lambda: q.number.ranked(leaderboard=1),
        lambda: q.number.starts_with(7),
        lambda: rl.param(7),
        lambda: rl.param("a b"),
        lambda: q.number == None,  # noqa: E711  (what is tested)
        lambda: bool(q(field("name"))),
    ],
)
def test_mistakes_in_writing_a_condition_are_found_at_once(mistake: Any) -> None:
    with pytest.raises(errors.UsageError):
        mistake()


# -- parameters ------------------------------------------------------------------------------------------------------


def test_parameters_are_bound_one_after_the_other() -> None:
    from recordlayer import param, query

    asked = query("Animal").where(
        (q.name == param("who")) | q.number.in_(param("these")), ~(q(field("maybe")) > param("least"))
    )
    assert asked.parameters == ("who", "these", "least")
    assert str(asked) == ('Animal where (name = $who or number in $these) and not (field("maybe") > $least)')
    some = asked.bind(who="ana")
    assert some.parameters == ("these", "least")
    bound = some.bind(these=[1, 2], least=3)
    assert bound.parameters == ()
    assert bound == query("Animal").where((q.name == "ana") | q.number.in_([1, 2]), ~(q(field("maybe")) > 3))
    assert asked.parameters == ("who", "these", "least"), "a query is a value"


def test_null_is_bound_only_where_it_compares() -> None:
    from recordlayer import param, query

    null = query("Animal").where(q.name.is_not_distinct_from(param("who"))).bind(who=None)
    assert null == query("Animal").where(q.name.is_null())
    other = query("Animal").where(q.name.is_distinct_from(param("who"))).bind(who=None)
    assert other == query("Animal").where(q.name.not_null())
    for condition, values in [
        (q.name == param("x"), {"x": None}),
        (q.name.in_(param("x")), {"x": [None]}),
        (q.name.in_(param("x")), {"x": "abc"}),
        (q.name.in_(param("x")), {"x": 7}),
        (q.name == param("x"), {"y": 1}),
        (q.name == param("x"), {"x": param("y")}),
        (q.name == "a", {"x": 1}),
    ]:
        with pytest.raises(errors.UsageError):
            query("Animal").where(condition).bind(**values)
    with pytest.raises(errors.UsageError):
        query("Animal").bind(x=1)
