"""Each rule of evolution: what breaks it, what relaxes it, and that nothing else is found."""

from __future__ import annotations

import re

import pytest

from recordlayer.errors import EvolutionRefused
from recordlayer.keys import NullInterpretation, concat, field, record_type
from recordlayer.metadata import Evolution, FormerIndex, RecordMetaDataBuilder, count
from recordlayer.metadata.predicate import compare, not_null
from tests.unit.keys import protos

SOURCE = """
    syntax = "proto2";
    enum Color { RED = 0; GREEN = 1; }
    message Part { optional int64 weight = 1; optional string label = 2; }
    message Order { optional int64 id = 1; optional string customer = 2; optional int32 total = 3;
                    repeated string tags = 4; optional Part part = 5; optional Color color = 6;
                    optional sint32 delta = 7; required bool there = 8; }
    message Item { optional int64 id = 1; optional string name = 2; }
    message RecordTypeUnion { optional Order _Order = 1; optional Item _Item = 2; }
"""


def builder(source=SOURCE, *, order="Order", item="Item"):
    file = protos.load(source)
    made = RecordMetaDataBuilder(file)
    for name in (order, item):
        if name in made._types:
            made.primary_key(name, "id")
    return made


def old(**changes):
    return changed(builder(), **changes)


def changed(made, *, indexes=True, version=None, then=None):
    if indexes:
        made.index("Order", "by_customer", "customer", added_version=1, last_modified_version=1)
        made.index("Order", "per_total", count(group_by="total"), added_version=2, last_modified_version=2)
    if then is not None:
        then(made)
    if version is not None:
        made.version(version)
    return made.build()


def new(source=SOURCE, *, then=None, indexes=True, version=5, **names):
    return changed(builder(source, **names), then=then, indexes=indexes, version=version)


def rules(before, after, **options):
    return [finding.rule for finding in Evolution(**options).findings(before, after)]


def replaced(pattern, replacement):
    assert re.search(pattern, SOURCE), pattern
    return re.sub(pattern, replacement, SOURCE)


def test_the_same_with_a_higher_version_is_fine():
    assert rules(old(), new()) == []
    Evolution().check(old(), new())


def test_what_may_be_added_and_renamed():
    source = (
        replaced("message Part {", "message Piece { optional string more = 9;")
        .replace("optional Part part", "optional Piece part")
        .replace("GREEN = 1;", "GREEN = 1; BLUE = 2;")
        .replace("optional int32 total", "optional int64 total")
        .replace("optional sint32 delta", "optional sint64 delta")
        .replace("message Item {", "message Thing { repeated bytes raw = 7;")
        .replace("optional Item _Item = 2;", "optional Thing _Thing = 2; optional Extra _Extra = 3;")
        + " message Extra { optional int64 id = 1; }"
    )

    def then(made):
        made.primary_key("Extra", "id").since_version("Extra", 4)
        made.index("Extra", "extra", "id", last_modified_version=4)

    assert rules(old(), new(source, then=then, item="Thing")) == []


def test_all_findings_come_at_once_and_say_why():
    source = replaced("optional string customer = 2;", "").replace("GREEN = 1;", "")
    after = builder(source).index("Order", "per_total", count(group_by="total")).version(5).build()
    with pytest.raises(EvolutionRefused) as raised:
        Evolution().check(old(), after)
    found = [finding.rule for finding in raised.value.findings]
    assert found == [
        "field removed", "enum values removed", "index missing", "added version of an index changed",
        "last modified version of an index goes back",
    ]  # fmt: skip
    assert "1. field removed: message 'Order', field 'customer', number 2" in str(raised.value)
    assert all(finding.reason for finding in raised.value.findings)


# -- settings --------------------------------------------------------------------------------------------------------


def test_versions_rise():
    assert rules(old(version=5), new(version=5)) == ["version stays"]
    assert rules(old(version=5), new(version=5), allow_no_version_change=True) == []
    assert rules(old(version=6), new(version=5), allow_no_version_change=True) == ["version goes back"]


def test_splitting_begins_with_leave_and_never_ends():
    split = lambda made: made.split_long_records()  # noqa: E731
    assert rules(old(), new(then=split)) == ["records are split now"]
    assert rules(old(), new(then=split), allow_unsplit_to_split=True) == []
    assert rules(old(then=split), new(), allow_unsplit_to_split=True) == ["records are no longer split"]


# -- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "replacement", "found"),
    [
        ("optional Part part = 5;", "", ["field removed"]),
        ("optional int32 total", "optional sint32 total", ["field type changed"]),
        ("optional int32 total", "optional int64 total", []),
        ("optional sint32 delta", "optional sint64 delta", []),
        ("optional sint32 delta", "optional int32 delta", ["field type changed"]),
        ("required bool there", "optional bool there", ["field no longer required"]),
        ("optional string label", "required string label", ["field is required now"]),
        ("optional string label = 2;", "optional string label = 2; required bool x = 3;", ["required field added"]),
        ("repeated string tags", "optional string tags", ["field no longer repeated"]),
        ("optional string label", "repeated string label", ["field is repeated now"]),
        ("GREEN = 1;", "", ["enum values removed"]),
        ("GREEN = 1;", "LIME = 1;", []),
        ("optional string label", "optional string text", ["field renamed"]),
        ("optional int64 weight", "optional int32 weight", ["field type changed"]),
    ],
)
def test_messages_keep_their_form(pattern, replacement, found):
    assert rules(old(), new(replaced(pattern, replacement))) == found


def test_presence_stays():
    source = 'syntax = "proto3"; message A {{ int64 id = 1; {} string s = 2; }} message RecordTypeUnion {{ A a = 1; }}'

    def made(label, version):
        file = protos.load('syntax = "proto3";' + source.format(label))
        return RecordMetaDataBuilder(file).primary_key("A", "id").version(version).build()

    assert rules(made("", 1), made("optional", 2)) == ["presence of a field changed"]
    assert rules(made("optional", 1), made("", 2)) == ["presence of a field changed"]
    assert rules(made("optional", 1), made("repeated", 2)) == ["field is repeated now"]


def test_syntax_stays():
    source = "message A { LABEL int64 id = 1; } message RecordTypeUnion { LABEL A a = 1; }"

    def made(syntax, label, version):
        file = protos.load(syntax + source.replace("LABEL", label))
        return RecordMetaDataBuilder(file).primary_key("A", "id").version(version).build()

    two, three = made('syntax = "proto2";', "optional", 1), made('syntax = "proto3";', "optional", 2)
    assert rules(two, three) == ["syntax changed"]
    assert rules(two, made('edition = "2023";', "", 2)) == ["syntax changed"]


def deprecated(source, name):
    file = protos.parse(source)
    for message in file.message_type:
        for each in message.field:
            if each.name == name:
                each.options.deprecated = True
    return RecordMetaDataBuilder(protos.build_file(file.SerializeToString(), []))


def test_deprecated_fields_stay_deprecated_and_may_be_renamed_with_leave():
    def made(source, name, version):
        return changed(deprecated(source, name).primary_key("Order", "id").primary_key("Item", "id"), version=version)

    before = made(SOURCE, "label", 4)
    assert rules(before, new()) == ["field no longer deprecated"]
    assert rules(before, new(), allow_undeprecating_fields=True) == []
    renamed = made(replaced("optional string label", "optional string gone"), "gone", 5)
    assert rules(before, renamed) == ["field renamed"]
    assert rules(before, renamed, allow_deprecated_field_renames=True) == []
    assert rules(old(), new(replaced("optional string label", "optional string gone")),
                 allow_deprecated_field_renames=True) == ["field renamed"]  # fmt: skip


def test_renamed_fields_are_followed_into_keys_with_leave():
    where = lambda made, name, inner: made.index(  # noqa: E731
        "Order", "sparse", field("part").nest(inner), where=compare(name, "=", "x") & not_null(f"part.{inner}"),
        last_modified_version=3,
    )  # fmt: skip
    before = old(then=lambda made: where(made, "customer", "weight"))
    source = replaced("string customer", "string buyer").replace("int64 weight", "int64 mass")
    made = builder(source).index("Order", "by_customer", "buyer", added_version=1, last_modified_version=1)
    made.index("Order", "per_total", count(group_by="total"), added_version=2, last_modified_version=2)
    after = where(made, "buyer", "mass").version(5).build()
    assert rules(before, after, allow_field_renames=True) == []
    assert "field renamed" in rules(before, after)
    stale = where(builder(source).version(3), "buyer", "mass")
    stale.index("Order", "by_customer", "total", added_version=1, last_modified_version=1)
    stale.index("Order", "per_total", count(group_by="total"), added_version=2, last_modified_version=2)
    assert rules(before, stale.version(5).build(), allow_field_renames=True) == ["index key changed"]


def test_union_fields_stay_and_types_stay_one():
    assert rules(old(), new(replaced("optional Item _Item = 2;", ""), item="")) == [
        "union field removed", "record type removed",
    ]  # fmt: skip
    twice = replaced("optional Item _Item = 2;", "optional Item _Item = 2; optional Item other = 3;")
    divided = twice.replace("optional Item other", "optional More other").replace(
        "message Item", "message More { optional int64 id = 1; optional string name = 2; } message Item"
    )
    before = changed(builder(twice), version=4)
    after = changed(builder(divided).primary_key("More", "id").since_version("More", 5), version=5)
    assert rules(before, after)[0] == "record type divided"
    merged = twice.replace("message Item", "message Item")
    apart = changed(builder(divided).primary_key("More", "id"), version=4)
    assert rules(apart, changed(builder(merged), version=5)) == ["record types merged", "record type key changed"]


def test_types_may_be_renamed_unless_ruled_out():
    source = SOURCE.replace("Item", "Thing")
    assert rules(old(), new(source, item="Thing")) == []
    assert rules(old(), new(source, item="Thing"), disallow_type_renames=True) == ["record type renamed"]


# -- record types ----------------------------------------------------------------------------------------------------


def test_record_types_keep_their_keys_and_versions():
    assert rules(old(), new(then=lambda made: made.primary_key("Item", "name"))) == ["primary key changed"]
    assert rules(old(), new(then=lambda made: made.record_type_key("Item", "i"))) == ["record type key changed"]
    assert rules(old(), new(then=lambda made: made.since_version("Item", 1))) == ["since-version changed"]
    nulls = field("id", nulls=NullInterpretation.NOT_NULL)
    assert rules(old(), new(then=lambda made: made.primary_key("Item", nulls))) == ["primary key changed"]


def test_new_record_types_say_since_when():
    source = replaced("optional Item _Item = 2;", "optional Item _Item = 2; optional Extra _Extra = 3;")
    source += "message Extra { optional int64 id = 1; }"
    without = new(source, then=lambda made: made.primary_key("Extra", "id"))
    assert rules(old(), without) == ["new record type without since-version"]
    assert rules(old(), without, allow_no_since_version=True) == []
    early = new(source, then=lambda made: made.primary_key("Extra", "id").since_version("Extra", 1))
    assert rules(old(), early) == ["new record type with an old since-version"]


# -- indexes ---------------------------------------------------------------------------------------------------------


def with_index(*, version=5, base=None, **arguments):
    """The metadata with one more index, `x`, that is the same before and after but for the arguments."""
    settings = {"expression": field("total"), "added_version": 3, "last_modified_version": 3, **arguments}
    types = settings.pop("record_types", "Order")
    expression = settings.pop("expression")
    return changed(base or builder(), version=version, then=lambda made: made.index(types, "x", expression, **settings))


def before_and_after(before, after):
    return with_index(version=3, **before), with_index(**after)


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ({}, {"expression": field("customer")}, "index key changed"),
        (
            {},
            {"expression": field("total", nulls=NullInterpretation.UNIQUE)},
            "null interpretation of an index changed",
        ),
        ({}, {"where": not_null("customer")}, "index predicate changed"),
        ({"where": not_null("customer")}, {}, "index predicate changed"),
        ({}, {"options": {"unique": True}}, "index option changed"),
        ({"type": "text", "expression": field("customer")}, {"expression": field("customer")}, "index type changed"),
        ({"record_types": ["Order", "Item"], "expression": field("id")},
         {"record_types": ["Order"], "expression": field("id")}, "record type removed from an index"),
        ({"record_types": ["Order"], "expression": field("customer")},
         {"record_types": ["Order", "Item"], "expression": field("customer")}, None),
    ],
)  # fmt: skip
def test_an_index_that_is_not_rebuilt_stays_as_it_is(before, after, rule):
    if rule is None:
        return
    one, other = before_and_after(before, after)
    assert rule in rules(one, other)
    rebuilt = with_index(**{**after, "last_modified_version": 5})
    assert rules(one, rebuilt, allow_index_rebuilds=True) == []
    assert rules(one, rebuilt)[0] == "index must be rebuilt"


def test_a_record_type_added_to_an_index_must_be_new():
    one, other = before_and_after(
        {"record_types": ["Order"], "expression": field("id")},
        {"record_types": ["Order", "Item"], "expression": field("id")},
    )
    assert rules(one, other) == ["record type added to an index", "primary key is found elsewhere in an index"]


def test_a_new_record_type_may_join_an_index():
    source = replaced("optional Item _Item = 2;", "optional Item _Item = 2; optional Extra _Extra = 3;")
    source += "message Extra { optional int64 id = 1; }"
    base = builder(source).primary_key("Extra", "id").since_version("Extra", 5)
    before = with_index(version=3, record_types=["Order", "Item"], expression=field("id"))
    after = with_index(base=base, record_types=["Order", "Item", "Extra"], expression=field("id"))
    assert rules(before, after) == []
    universal = with_index(version=3, record_types=None, expression=count())
    after = with_index(base=builder(source).primary_key("Extra", "id").since_version("Extra", 5),
                       record_types=None, expression=count())  # fmt: skip
    assert rules(universal, after) == []


def test_identity_of_an_index_is_its_place():
    before = with_index(version=3)
    renamed = changed(
        builder(), version=5,
        then=lambda made: made.index("Order", "y", "total", subspace_key="x", added_version=3, last_modified_version=3),
    )  # fmt: skip
    assert rules(before, renamed) == ["index renamed"]
    assert rules(before, with_index(added_version=2)) == ["added version of an index changed"]
    assert rules(with_index(version=4, last_modified_version=4), with_index()) == [
        "last modified version of an index goes back"
    ]
    assert rules(before, new()) == ["index missing"]


def test_new_indexes_are_newer():
    assert rules(old(), with_index()) == []
    assert rules(old(version=3), with_index()) == ["new index with an old version"]


def former(**changes):
    settings = {"subspace_key": "by_customer", "added_version": 1, "removed_version": 4, "former_name": "by_customer"}
    made = builder().index("Order", "per_total", count(group_by="total"), added_version=2, last_modified_version=2)
    return made.former_index(FormerIndex(**{**settings, **changes})).version(5).build()


def test_an_index_becomes_a_former_index():
    assert rules(old(), former()) == []
    assert rules(old(), former(removed_version=2)) == ["index removed in the past"]
    assert rules(old(), former(former_name="other")) == ["former index has another name"]
    assert rules(old(), former(former_name="other"), allow_missing_former_index_names=True) == [
        "former index has another name"
    ]
    assert rules(old(), former(former_name=None)) == ["former index has another name"]
    assert rules(old(), former(former_name=None), allow_missing_former_index_names=True) == []
    assert rules(old(), former(added_version=2)) == ["former index added later than the index"]
    assert rules(old(), former(added_version=0)) == ["former index added earlier than the index"]
    assert rules(old(), former(added_version=0), allow_older_former_index_added_versions=True) == []


def test_a_former_index_stays():
    before = former()
    assert rules(before, with_version(former(), 6)) == []
    assert rules(before, with_version(former(removed_version=5), 6)) == ["removed version of a former index changed"]
    assert rules(before, with_version(former(added_version=0), 6)) == ["added version of a former index changed"]
    assert rules(before, with_version(former(former_name=None), 6)) == ["name of a former index changed"]
    without = builder().index("Order", "per_total", count(group_by="total"), added_version=2, last_modified_version=2)
    assert rules(before, without.version(6).build()) == ["former index removed"]
    assert rules(before, new(version=6)) == ["place of a former index used"]


def test_a_former_index_that_came_and_went_in_between_is_new():
    came = former(subspace_key="new", former_name="new", added_version=4, removed_version=5)
    before = builder().index("Order", "per_total", count(group_by="total"), added_version=2, last_modified_version=2)
    before = before.version(3).build()
    assert rules(before, came) == []
    early = former(subspace_key="new", former_name="new", added_version=1, removed_version=5)
    assert rules(before, early) == ["former index added in the past"]
    assert rules(before, early, allow_older_former_index_added_versions=True) == []


def with_version(metadata, version):
    return RecordMetaDataBuilder.from_proto(metadata.to_bytes()).version(version).build()


# -- options ---------------------------------------------------------------------------------------------------------

TEXT = {"type": "text", "expression": field("customer")}
RANK = {"type": "rank", "expression": field("total").ungrouped()}
SPACE = {"type": "value", "expression": concat("total", record_type())}


@pytest.mark.parametrize(
    ("index", "before", "after", "fine"),
    [
        ({}, {}, {"allowedForQuery": False}, True),
        ({}, {}, {"replacedBy": "per_total"}, True),
        ({}, {"unique": True}, {}, True),
        ({}, {"unique": True}, {"unique": False}, True),
        ({}, {}, {"unique": False}, True),
        ({}, {}, {"anything": 1}, False),
        (TEXT, {}, {"textAddAggressiveConflictRanges": True, "textOmitPositions": True}, True),
        (TEXT, {}, {"textTokenizerName": "default"}, True),
        (TEXT, {}, {"textTokenizerName": "other"}, False),
        (TEXT, {"textTokenizerVersion": 1}, {"textTokenizerVersion": 2}, True),
        (TEXT, {"textTokenizerVersion": 1}, {}, False),
        (TEXT, {}, {"textTokenMinSize": 3}, False),
        (RANK, {}, {"rankNLevels": 6, "rankHashFunction": "JDK", "rankCountDuplicates": "FALSE"}, True),
        (RANK, {}, {"rankNLevels": 5}, False),
        (RANK, {"rankHashFunction": "CRC"}, {}, False),
        (RANK, {}, {"rankCountDuplicates": True}, False),
        ({"type": "count", "expression": count().expression}, {}, {"clearWhenZero": True}, False),
    ],
)
def test_options_change_only_where_entries_stay(index, before, after, fine):
    one = with_index(version=3, **index, options=before)
    other = with_index(**index, options=after)
    assert rules(one, other) == ([] if fine else ["index option changed"])
    assert rules(one, other, ignored_index_options=frozenset({*before, *after})) == []
