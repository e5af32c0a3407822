"""Building metadata in code: versions, places, unions, and all findings at once."""

from __future__ import annotations

import pytest

from recordlayer.errors import (
    InvalidIndex,
    InvalidKeyExpression,
    InvalidMetaData,
    InvalidRecordType,
    UnknownField,
    UnknownIndex,
    UnknownRecordType,
    UsageError,
    WrongType,
)
from recordlayer.keys import (
    concat,
    dimensions,
    empty,
    field,
    grouping,
    key_with_value,
    list_of,
    record_type,
    value,
    version,
)
from recordlayer.metadata import FormerIndex, RecordMetaDataBuilder, count, definitions, sum_of, value_index
from recordlayer.metadata.predicate import compare, not_null
from tests.unit.keys import protos

SHOP = """
    syntax = "proto3";
    package shop;
    message Order { int64 id = 1; string customer = 2; int64 total = 3; repeated string tags = 4; Address to = 5; }
    message Customer { string name = 1; int64 id = 2; }
    message Address { string city = 1; }
"""
WITH_UNION = """
    syntax = "proto2";
    message Order { optional int64 id = 1; optional string customer = 2; }
    message Item { optional int64 id = 1; }
    message RecordTypeUnion { optional Order old = 2; optional Order _Order = 5; optional Order later = 9;
                              optional Item first = 3; optional Item second = 4; }
"""


def shop():
    return RecordMetaDataBuilder(protos.load(SHOP)).primary_key("Order", field("id"))


def findings(builder):
    with pytest.raises(InvalidMetaData) as raised:
        builder.build()
    return [type(finding) for finding in raised.value.findings]


def test_a_beginner_needs_a_descriptor_a_primary_key_and_indexes():
    built = (
        shop().index("Order", "by_customer", field("customer")).index("Order", "n", count(group_by="customer")).build()
    )
    order = built.record_type("Order")
    assert list(built.record_types) == ["Order"]
    assert (order.record_type_key, order.union_fields, order.union_field) == (1, (1,), 1)
    assert [index.name for index in built.indexes_of("Order")] == ["by_customer", "n"]
    assert built.index("n").root_expression == grouping("customer", grouped_count=0)
    assert built.record_types_of("n") == (order,)


def test_messages_without_a_primary_key_are_parts_but_keep_their_number():
    built = RecordMetaDataBuilder(protos.load(SHOP)).primary_key("Customer", "name").build()
    assert list(built.record_types) == ["Customer"]
    assert built.record_type("Customer").union_fields == (2,)


def test_a_union_of_the_file_decides_numbers_and_types():
    built = RecordMetaDataBuilder(protos.load(WITH_UNION)).primary_key("Order", "id").primary_key("Item", "id").build()
    order, item = built.record_type("Order"), built.record_type("Item")
    assert (order.record_type_key, order.union_fields, order.union_field) == (2, (2, 5, 9), 5)
    assert (item.record_type_key, item.union_fields, item.union_field) == (3, (3, 4), 4)


def test_with_a_union_every_type_needs_a_primary_key():
    with pytest.raises(InvalidRecordType, match=r'primary_key\("Item"'):
        RecordMetaDataBuilder(protos.load(WITH_UNION)).primary_key("Order", "id").build()


def test_versions_count_what_is_added_and_changed():
    builder = shop()
    built = (
        builder.index("Order", "one", "customer")
        .split_long_records()
        .split_long_records()
        .index("Order", "two", "total", last_modified_version=7, added_version=3)
        .store_record_versions()
        .index("Order", "three", "total")
        .build()
    )
    versions = {name: (index.added_version, index.last_modified_version) for name, index in built.indexes.items()}
    assert versions == {"one": (1, 1), "two": (3, 7), "three": (9, 9)}
    assert (built.version, built.split_long_records, built.store_record_versions) == (9, True, True)


def test_a_removed_index_leaves_its_place_behind():
    built = shop().index("Order", "one", "customer").remove_index("one").build()
    former = FormerIndex(subspace_key="one", added_version=1, removed_version=2, former_name="one")
    assert (built.former_indexes, built.version, dict(built.indexes)) == ((former,), 2, {})
    with pytest.raises(UnknownIndex, match='did you mean "one"'):
        shop().index("Order", "one", "customer").remove_index("on")


def test_the_place_of_a_former_index_is_not_used_again():
    with pytest.raises(InvalidIndex, match="subspace key of its own"):
        shop().index("Order", "one", "customer").remove_index("one").index("Order", "one", "total").build()


def test_counted_places_go_up_and_leave_explicit_ones_alone():
    built = (
        shop()
        .counter_based_subspace_keys(10)
        .index("Order", "a", "customer")
        .index("Order", "b", "total", subspace_key="b")
        .index("Order", "c", "id")
        .build()
    )
    assert [index.subspace_key for index in built.indexes.values()] == [11, "b", 12]
    assert (built.subspace_key_counter, built.uses_subspace_key_counter) == (12, True)
    with pytest.raises(UsageError):
        shop().counter_based_subspace_keys(10).counter_based_subspace_keys(10)


def test_indexes_cover_one_type_several_or_all():
    built = (
        shop()
        .primary_key("Customer", "id")
        .index(["Order", "Customer"], "both", "id")
        .universal_index("all", count())
        .index("Customer", "names", "name")
        .build()
    )
    assert [index.name for index in built.indexes_of("Order")] == ["both", "all"]
    assert [index.name for index in built.indexes_of("Customer")] == ["both", "all", "names"]
    assert [known.name for known in built.record_types_of("all")] == ["Order", "Customer"]
    assert [index.name for index in built.universal_indexes] == ["all"]


def test_only_indexes_of_one_type_trim_the_primary_key():
    built = (
        shop()
        .primary_key("Customer", "id")
        .index("Order", "one", concat("customer", "id"))
        .index(["Order", "Customer"], "both", "id")
        .universal_index("all", "id")
        .build()
    )
    assert built.index("one").primary_key_positions == (1,)
    assert built.index("both").primary_key_positions is None
    assert built.index("all").primary_key_positions is None
    assert built.index("one").trim_primary_key((7,)) == ()
    assert built.index("one").entry_primary_key(("ana", 7)) == (7,)


def test_an_explicit_record_type_key_replaces_the_number():
    built = shop().record_type_key("Order", "orders").build()
    assert built.record_type("Order").record_type_key == "orders"
    assert built.record_type("Order").context.record_type_key == "orders"


def test_record_type_keys_must_differ():
    with pytest.raises(InvalidRecordType, match="key of its own"):
        shop().primary_key("Customer", "id").record_type_key("Order", 2).build()


def test_all_findings_come_at_once():
    builder = (
        shop()
        .primary_key("Order", "idd")
        .index("Order", "tags", "tags")
        .index("Order", "sum", sum_of("customer"))
        .index("Order", "city", field("to").nest("town"))
    )
    assert findings(builder) == [UnknownField, InvalidKeyExpression, InvalidIndex, UnknownField]


def test_a_single_finding_is_raised_itself_and_says_where_and_how():
    with pytest.raises(UnknownField) as raised:
        shop().index("Order", "by", "custmer").build()
    assert raised.value.fields == {"message": "Order", "field": "custmer", "index": "by"}
    assert raised.value.hint == 'did you mean "customer"?'


def test_an_unknown_record_type_is_refused_where_it_is_written():
    with pytest.raises(UnknownRecordType, match='did you mean "Order"'):
        shop().primary_key("Ordr", "id")
    with pytest.raises(UnknownRecordType):
        shop().index("Nothing", "x", "id")


def test_a_type_used_by_an_index_needs_a_primary_key():
    with pytest.raises(InvalidRecordType, match="no primary key"):
        shop().index("Customer", "x", "name").build()


def test_a_file_without_any_primary_key_is_refused():
    with pytest.raises(InvalidRecordType, match="at least one message"):
        RecordMetaDataBuilder(protos.load(SHOP)).build()


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        (field("tags").fan_out(), "cannot fan out"),
        (version(), "not known before the commit"),
        (concat("id", version()), "not known before the commit"),
    ],
)
def test_a_primary_key_is_one_row_of_what_is_known(expression, word):
    with pytest.raises(InvalidRecordType, match=word):
        shop().primary_key("Order", expression).build()


@pytest.mark.parametrize(
    ("expression", "options"),
    [
        (field("id").ungrouped(), {}),
        (version(), {}),
        (field("customer"), {"type": "version"}),
        (version(), {"type": "version"}),
        (field("customer"), {"type": "count"}),
        (field("customer").ungrouped(), {"type": "count"}),
        (field("customer").ungrouped(), {"type": "sum"}),
        (concat("id", "total").ungrouped(), {"type": "sum"}),
        (grouping("id", grouped_count=0), {"type": "count_not_null"}),
        (field("id").ungrouped(), {"type": "count_not_null", "options": {"clearWhenZero": True}}),
        (field("id").ungrouped(), {"type": "max_ever_long", "options": {"clearWhenZero": True}}),
        (field("id"), {"type": "rank"}),
        (field("id").ungrouped(), {"type": "max_ever_version"}),
        (version().group_by(version()), {"type": "max_ever_version"}),
        (field("id"), {"type": "text"}),
        (key_with_value(concat("customer", "id")), {"type": "text"}),
        (field("customer").ungrouped(), {"type": "bitmap_value"}),
        (field("id").group_by("customer"), {"type": "permuted_min"}),
        (field("id").group_by("customer"), {"type": "permuted_min", "options": {"permutedSize": 2}}),
        (field("id"), {"type": "multidimensional"}),
        (field("customer"), {"options": {"replacedBy": "nothing"}}),
        (field("customer"), {"added_version": 5, "last_modified_version": 2}),
        (key_with_value(concat("customer", "id")), {}),
    ],
)
def test_each_index_type_has_its_rules(expression, options):
    with pytest.raises((InvalidIndex, InvalidMetaData)) as raised:
        shop().index("Order", "x", expression, **options).build()
    found = getattr(raised.value, "findings", (raised.value,))
    assert {type(finding) for finding in found} == {InvalidIndex}
    assert all(finding.fields["index"] == "x" and finding.hint for finding in found)


@pytest.mark.parametrize(
    ("expression", "options"),
    [
        (concat("customer", field("tags").fan_out()), {"unique": True}),
        (list_of("customer", "total"), {}),
        (empty(), {}),
        (concat("customer", version()), {"type": "version"}),
        (grouping("customer", grouped_count=0), {"type": "count", "options": {"clearWhenZero": True}}),
        (grouping("id", grouped_count=0), {"type": "count_not_null", "options": {"clearWhenZero": True}}),
        (field("total").group_by("customer"), {"type": "sum"}),
        (concat("total", "customer").ungrouped(), {"type": "min_ever_tuple"}),
        (version().group_by("customer"), {"type": "max_ever_version"}),
        (field("total").group_by("customer"), {"type": "rank"}),
        (field("customer"), {"type": "text"}),
        (field("customer").group_by("total"), {"type": "text"}),
        (field("id").group_by("customer"), {"type": "bitmap_value"}),
        (field("id").group_by("customer"), {"type": "permuted_max", "options": {"permutedSize": 1}}),
        (field("id"), {"type": "somebody_s_own"}),
        (key_with_value(concat("customer", "total")), {}),
    ],
)
def test_good_indexes_are_taken(expression, options):
    built = shop().store_record_versions().index("Order", "x", expression, **options).build()
    assert built.index("x").root_expression == expression


def test_a_definition_brings_its_type_and_options():
    definition = value_index("customer", unique=True)
    index = shop().index("Order", "x", definition, options={"allowedForQuery": False}).build().index("x")
    assert (index.unique, index.allowed_for_query) == (True, False)
    assert dict(index.options) == {"unique": "true", "allowedForQuery": "false"}
    with pytest.raises(UsageError):
        shop().index("Order", "x", count(), type="sum")


def test_replacements_are_named_by_every_option_with_that_beginning():
    built = (
        shop()
        .index("Order", "old", "customer", options={"replacedBy": "one", "replacedBy2": "two"})
        .index("Order", "one", "id")
        .index("Order", "two", "total")
        .build()
    )
    assert built.index("old").replaced_by == ("one", "two")
    with pytest.raises(InvalidIndex, match="cannot be replaced itself"):
        shop().index("Order", "a", "id", options={"replacedBy": "b"}).index(
            "Order", "b", "id", options={"replacedBy": "c"}
        ).index("Order", "c", "id").build()


def test_a_condition_takes_the_types_of_its_fields():
    where = compare("total", ">", 5) & not_null("to.city")
    index = shop().index("Order", "x", "customer", where=where).build().index("x")
    order = protos.classes(SHOP).Order
    assert index.predicate.decide(order(total=6, to={"city": "Oslo"})) is True
    assert index.predicate.decide(order(total=6, to={})) is False
    assert index.predicate.decide(order()) is False


def test_a_condition_on_what_is_not_there_is_a_finding():
    with pytest.raises(UnknownField):
        shop().index("Order", "x", "customer", where=not_null("nothing")).build()


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("message A { optional uint64 id = 1; }", "uint64 fields cannot be stored"),
        ("message A { optional B b = 1; } message B { repeated fixed32 x = 1; }", "fixed32"),
        ("message A { optional int64 id = 1; } message RecordTypeUnion { repeated A a = 1; }", "not repeated"),
        (
            "message A { optional int64 id = 1; } message RecordTypeUnion { optional int64 x = 1; optional A a = 2; }",
            "messages",
        ),
        (
            "message A { optional int64 id = 1; } message RecordTypeUnion { optional A a = 1; oneof o { A b = 2; } }",
            "at most one oneof",
        ),
    ],
)
def test_what_cannot_be_stored_is_refused(source, word):
    builder = RecordMetaDataBuilder(protos.load(f'syntax = "proto2"; {source}')).primary_key("A", value(1))
    with pytest.raises(InvalidRecordType, match=word):
        builder.build()


def test_nonsense_is_refused_where_it_is_written():
    for wrong in (
        lambda: RecordMetaDataBuilder("shop.proto"),
        lambda: shop().primary_key("Order", 5),
        lambda: shop().index("Order", "", "id"),
        lambda: shop().index("Order", "x", "id", options={"unique": 1.5}),
        lambda: shop().split_long_records("yes"),
        lambda: shop().index("Order", "x", "id", where="total > 0"),
        lambda: shop().version(True),
    ):
        with pytest.raises(WrongType):
            wrong()


def test_the_builder_can_be_built_twice_and_metadata_do_not_change():
    builder = shop().index("Order", "a", "customer")
    first = builder.build()
    second = builder.index("Order", "b", "total").build()
    assert (list(first.indexes), list(second.indexes)) == (["a"], ["a", "b"])
    with pytest.raises(TypeError):
        first.indexes["c"] = second.index("b")


def test_record_type_prefixes_are_seen():
    assert not shop().build().has_record_type_prefix
    assert shop().primary_key("Order", concat(record_type(), "id")).build().has_record_type_prefix


def test_names_that_are_not_there_are_errors_with_the_nearest():
    built = shop().index("Order", "by_customer", "customer").build()
    with pytest.raises(UnknownIndex, match="by_customer"):
        built.index("by_custmer")
    with pytest.raises(UnknownRecordType, match="Order"):
        built.record_type("Odrer")
    with pytest.raises(UnknownRecordType):
        built.indexes_of("Nothing")


@pytest.mark.parametrize(
    ("definition", "kind", "expression", "options"),
    [
        (definitions.value_index("customer", unique=True), "value", field("customer"), {"unique": "true"}),
        (definitions.version_index(), "version", version(), {}),
        (definitions.version_index(concat("customer", version())), "version", concat("customer", version()), {}),
        (definitions.text_index("customer", tokenizer="default"), "text", field("customer"),
         {"textTokenizerName": "default"}),
        (definitions.text_index("customer", group_by="total", omit_positions=True), "text",
         field("customer").group_by("total"), {"textOmitPositions": "true"}),
        (definitions.multidimensional(concat("id", "total"), prefix="customer"), "multidimensional",
         dimensions(concat("customer", "id", "total"), prefix_size=1, dimensions_size=2), {}),
        (definitions.count(), "count", grouping(empty(), grouped_count=0), {}),
        (definitions.count(group_by="customer", clear_when_zero=True), "count",
         grouping("customer", grouped_count=0), {"clearWhenZero": "true"}),
        (definitions.count_updates(group_by="customer"), "count_updates", grouping("customer", grouped_count=0), {}),
        (definitions.count_not_null("total", group_by="customer"), "count_not_null",
         field("total").group_by("customer"), {}),
        (definitions.sum_of("total", group_by="customer"), "sum", field("total").group_by("customer"), {}),
        (definitions.min_ever("customer"), "min_ever_tuple", field("customer").ungrouped(), {}),
        (definitions.max_ever("customer"), "max_ever_tuple", field("customer").ungrouped(), {}),
        (definitions.max_ever_version(group_by="customer"), "max_ever_version", version().group_by("customer"), {}),
        (definitions.permuted_min("total", group_by="customer"), "permuted_min",
         field("total").group_by("customer"), {"permutedSize": "1"}),
        (definitions.permuted_max("total", group_by="customer", permuted=0), "permuted_max",
         field("total").group_by("customer"), {"permutedSize": "0"}),
        (definitions.bitmap_index("id", entry_size=64), "bitmap_value", field("id").ungrouped(),
         {"bitmapValueEntrySize": "64"}),
        (definitions.rank("total", levels=4, hash_function="CRC", count_duplicates=True), "rank",
         field("total").ungrouped(), {"rankNLevels": "4", "rankHashFunction": "CRC", "rankCountDuplicates": "true"}),
        (definitions.leaderboard(concat("total", "id"), group_by="customer"), "time_window_leaderboard",
         concat("total", "id").group_by("customer"), {}),
    ],
)  # fmt: skip
def test_definitions_say_type_expression_and_options(definition, kind, expression, options):
    assert (definition.type, definition.expression, dict(definition.options)) == (kind, expression, options)
    index = shop().store_record_versions().index("Order", "x", definition).build().index("x")
    assert (index.type, index.root_expression, dict(index.options)) == (kind, expression, options)
