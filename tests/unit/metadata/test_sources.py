"""Metadata from annotations, from descriptor sets, from stored messages, and back; both stored and local classes."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer.errors import InvalidIndex, InvalidRecordType, MalformedMetaData, SchemaError
from recordlayer.keys import concat, field, function, key_with_value, record_type, serial, version
from recordlayer.metadata import FormerIndex, RecordMetaData, RecordMetaDataBuilder, count, sum_of
from recordlayer.metadata.predicate import compare, is_null
from recordlayer.pb import descriptor_pb2 as private_pb2
from recordlayer.pb import record_metadata_options_pb2 as options
from recordlayer.pb import record_metadata_pb2 as pb
from tests.unit.keys import protos

SOURCE = """
    syntax = "proto2";
    package annotated;
    import "record_metadata_options.proto";
    message Order { optional int64 id = 1; optional string customer = 2; optional int64 score = 3;
                    repeated string tags = 4; optional string ref = 5; }
    message Part { optional int64 id = 1; }
    message Records { optional Order _Order = 1; optional Part part = 2; }
"""


def annotated():
    """The file above with Java's options, as protoc writes them: bytes of extension 1233."""
    file = private_pb2.FileDescriptorProto.FromString(protos.parse(SOURCE, name="annotated.proto").SerializeToString())
    order, part, union = file.message_type
    file.options.Extensions[options.schema].split_long_records = True
    file.options.Extensions[options.schema].store_record_versions = True
    union.options.Extensions[options.record].usage = options.RecordTypeOptions.UNION
    order.options.Extensions[options.record].since_version = 1
    part.options.Extensions[options.record].record_type_key.string_value = "part"
    fields = {name: order.field[at].options for at, name in enumerate(["id", "customer", "score", "tags", "ref"])}
    fields["id"].Extensions[options.field].primary_key = True
    fields["customer"].Extensions[options.field].index.SetInParent()
    fields["score"].Extensions[options.field].index.type = "rank"
    fields["tags"].Extensions[options.field].indexed = pb.Index.INDEX
    fields["ref"].Extensions[options.field].index.unique = True
    part.field[0].options.Extensions[options.field].primary_key = True
    return file


def annotated_set(file):
    return descriptor_pb2.FileDescriptorSet.FromString(b"\x0a" + _varint(file.ByteSize()) + file.SerializeToString())


def _varint(number):
    from recordlayer.metadata.envelope import varint

    return varint(number)


def test_annotations_are_metadata():
    built = RecordMetaDataBuilder.from_descriptor_set(annotated_set(annotated())).build()
    assert (built.split_long_records, built.store_record_versions, built.version) == (True, True, 4)
    assert built.record_type("Order").since_version == 1
    assert built.record_type("Order").primary_key == field("id")
    assert built.record_type("Part").record_type_key == "part"
    said = {index.name: (index.type, index.root_expression, index.unique) for index in built.indexes.values()}
    assert said == {
        "Order$customer": ("value", field("customer"), False),
        "Order$score": ("rank", field("score").ungrouped(), False),
        "Order$tags": ("value", field("tags").fan_out(), False),
        "Order$ref": ("value", field("ref"), True),
    }
    assert [index.last_modified_version for index in built.indexes.values()] == [1, 2, 3, 4]


def test_two_annotated_primary_keys_are_a_finding():
    file = annotated()
    file.message_type[1].field.add(name="other", number=2, type=3, label=1)
    file.message_type[1].field[1].options.Extensions[options.field].primary_key = True
    with pytest.raises(InvalidRecordType, match="one field only"):
        RecordMetaDataBuilder.from_descriptor_set(annotated_set(file)).build()


def test_annotations_of_a_stored_file_count_no_more():
    built = RecordMetaDataBuilder.from_descriptor_set(annotated_set(annotated())).build()
    message = pb.MetaData.FromString(built.to_bytes())
    del message.indexes[:]
    message.split_long_records = False
    again = RecordMetaData.from_bytes(message.SerializeToString())
    assert (dict(again.indexes), again.split_long_records, set(again.record_types)) == ({}, False, {"Order", "Part"})


def test_generated_classes_of_the_default_pool_are_used():
    source = 'syntax = "proto3"; package generated.classes; message Thing { int64 id = 1; }'
    file = protos.parse(source, name="generated_classes.proto")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    thing = message_factory.GetMessageClass(pool.FindMessageTypeByName("generated.classes.Thing"))
    built = RecordMetaDataBuilder(thing).primary_key("Thing", "id").build()
    assert type(built.open_envelope(built.envelope(thing(id=1)))[1]) is thing
    stored = RecordMetaData.from_bytes(built.to_bytes())
    assert type(stored.open_envelope(built.envelope(thing(id=1)))[1]) is not thing
    local = RecordMetaData.from_bytes(built.to_bytes(), local=thing)
    assert type(local.open_envelope(built.envelope(thing(id=1)))[1]) is thing
    assert local.to_bytes() == built.to_bytes()


def rich():
    file = protos.load(
        """
        syntax = "proto3";
        package rich;
        message Order { int64 id = 1; string customer = 2; int32 total = 3; repeated string tags = 4; }
        message Customer { int64 id = 1; string name = 2; }
        """
    )
    return (
        RecordMetaDataBuilder(file)
        .counter_based_subspace_keys()
        .primary_key("Order", concat(record_type(), "id"))
        .primary_key("Customer", concat(record_type(), "id"))
        .record_type_key("Customer", b"c")
        .since_version("Customer", 2)
        .store_record_versions()
        .split_long_records()
        .record_count_key(record_type())
        .index("Order", "by_customer", field("customer"), unique=True)
        .index("Order", "sparse", "total", where=compare("total", ">", 10) | is_null("customer"))
        .index(["Order", "Customer"], "both", concat("id", version()), type="version")
        .universal_index("all", count(group_by=record_type()))
        .index("Order", "sum", sum_of("total", group_by="customer"))
        .index("Order", "desc", function("order_desc_nulls_last", "total"))
        .index("Order", "gone", "tags" and field("tags").fan_out())
        .remove_index("gone")
    )


def test_metadata_come_back_as_they_were_stored():
    built = rich().build()
    again = RecordMetaData.from_bytes(built.to_bytes())
    assert again.to_bytes() == built.to_bytes()
    # The union that was made up for the first is a message of the second's file.
    assert (built.union.descriptor, again.union.descriptor.name) == (None, "RecordTypeUnion")
    assert (again.version, again.split_long_records, again.store_record_versions) == (built.version, True, True)
    assert again.former_indexes == built.former_indexes
    assert dict(again.indexes) == dict(built.indexes)
    assert again.record_count_key == record_type()
    for name, known in built.record_types.items():
        other = again.record_type(name)
        assert (other.record_type_key, other.primary_key, other.since_version, other.union_field) == (
            known.record_type_key, known.primary_key, known.since_version, known.union_field,
        )  # fmt: skip
    order = built.record_type("Order").message_class(id=1, customer="ana")
    assert again.envelope(order) == built.envelope(order)


def test_counted_places_go_on_where_they_were():
    builder = RecordMetaDataBuilder.from_proto(rich().build().to_bytes()).index("Order", "more", "id")
    built = builder.build()
    assert built.index("more").subspace_key == 8
    assert built.index("more").last_modified_version == built.version


def test_what_we_do_not_know_is_written_again():
    message = pb.MetaData.FromString(rich().build().to_bytes())
    message.joined_record_types.add(name="Joined").join_constituents.add(name="a", record_type="Order")
    message.views.add(name="v", definition="select 1")
    message.stored_queries.add(name="q", query="select 2", temp_functions=["f"])
    message.user_defined_functions.add().sql_function.name = "g"
    message.user_defined_functions.add().user_defined_macro_function.MergeFromString(b"\x0a\x01x")
    raw = message.SerializeToString() + b"\xc2\x3e\x03new"  # field 1000 of MetaData
    message = pb.MetaData.FromString(raw)
    message.indexes[0].MergeFromString(b"\xc2\x3e\x01i")
    message.record_types[0].MergeFromString(b"\xc2\x3e\x01r")
    message.former_indexes[0].MergeFromString(b"\xc2\x3e\x01f")
    again = pb.MetaData.FromString(RecordMetaData.from_bytes(message.SerializeToString()).to_bytes())
    assert again == message


def test_old_forms_of_an_index_are_read_as_java_reads_them():
    message = pb.MetaData.FromString(rich().build().to_bytes())
    del message.indexes[:]

    def old(name, **fields):
        index = message.indexes.add(name=name, record_type=["Order"], **fields)
        index.root_expression.field.field_name = "total"
        index.root_expression.field.fan_type = 1
        return index

    old("unique", index_type=pb.Index.UNIQUE)
    old("rank", index_type=pb.Index.RANK)
    old("count", type="count").root_expression.field.field_name = "customer"
    old("sum", type="sum")
    covering = old("covering")
    covering.value_expression.field.field_name = "customer"
    covering.value_expression.field.fan_type = 1
    built = RecordMetaDataBuilder.from_proto(message)
    indexes = built._indexes
    assert (indexes["unique"].type, indexes["unique"].unique) == ("value", True)
    assert (indexes["rank"].type, indexes["rank"].root_expression) == ("rank", field("total").ungrouped())
    assert indexes["count"].root_expression == field("customer").ungrouped()
    assert indexes["sum"].root_expression == field("total").ungrouped()
    assert indexes["covering"].root_expression.inner == concat("total", "customer")
    assert (indexes["covering"].column_size, indexes["covering"].subspace_key) == (1, "covering")
    assert (indexes["covering"].added_version, indexes["unique"].last_modified_version) == (1, 1)


def changed(change):
    message = pb.MetaData.FromString(rich().build().to_bytes())
    change(message)
    return message.SerializePartialToString()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.ClearField("records"),
        lambda m: m.ClearField("uses_subspace_key_counter"),
        lambda m: m.ClearField("subspace_key_counter"),
        lambda m: m.indexes[0].ClearField("root_expression"),
        lambda m: m.indexes[0].root_expression.empty.SetInParent(),
        lambda m: m.indexes[0].record_type.append("Nobody"),
        lambda m: m.indexes.append(m.indexes[0]),
        lambda m: m.indexes[0].ClearField("name"),
        lambda m: setattr(m.indexes[0], "subspace_key", b"\x02no end"),
        lambda m: setattr(m.indexes[0], "subspace_key", b"\x15\x01\x15\x02"),
        lambda m: setattr(m.indexes[0], "subspace_key", b"\x00"),
        lambda m: m.indexes[0].predicate.SetInParent(),
        lambda m: m.indexes[0].predicate.value_predicate.value.append("id"),
        lambda m: setattr(m.record_types[0], "name", "Nobody"),
        lambda m: m.records.dependency.append("not_there.proto"),
        lambda m: m.records.dependency.append(m.records.name),
        lambda m: setattr(m.records.message_type[0].field[0], "number", 0),
        lambda m: setattr(m.records.message_type[0].field[0], "type_name", ".nothing"),
        lambda m: setattr(m.former_indexes[0], "subspace_key", b""),
    ],
)
def test_what_is_not_metadata_is_malformed(change):
    with pytest.raises(MalformedMetaData):
        RecordMetaData.from_bytes(changed(change))


def test_a_predicate_that_java_cannot_read_is_malformed():
    def starts_with(message):
        on_field = message.indexes[0].predicate.value_predicate
        on_field.value.append("customer")
        on_field.comparison.simple_comparison.type = pb.STARTS_WITH
        on_field.comparison.simple_comparison.operand.string_value = "a"

    with pytest.raises(MalformedMetaData, match="STARTS_WITH"):
        RecordMetaData.from_bytes(changed(starts_with))


STORED = rich().former_index(FormerIndex(subspace_key=b"x", added_version=1, removed_version=2)).build().to_bytes()


@settings(max_examples=150)
@given(st.data())
def test_damaged_metadata_load_or_fail_with_an_error_of_ours(data):
    raw = bytearray(STORED)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (bytes(raw), bytes(raw[:cut])):
        try:
            RecordMetaData.from_bytes(damaged).to_bytes()
        except SchemaError:
            pass


@given(st.binary(max_size=200))
def test_any_bytes_are_metadata_or_malformed(raw):
    try:
        RecordMetaData.from_bytes(raw)
    except SchemaError:
        pass


def test_local_classes_are_matched_by_number_or_name():
    stored = rich().build().to_bytes()
    newer = protos.load(
        """
        syntax = "proto3";
        package mine;
        message Customer { int64 id = 1; string name = 2; string more = 3; }
        message Other { int64 id = 1; }
        """
    )
    built = RecordMetaData.from_bytes(stored_without_indexes(stored), local=newer)
    assert list(built.record_types) == ["Customer"]
    assert built.record_type("Customer").descriptor.full_name == "mine.Customer"
    assert built.record_type("Customer").union_field == 2
    with_union = protos.load(
        """
        syntax = "proto3";
        package mine;
        message Buyer { int64 id = 1; string name = 2; }
        message RecordTypeUnion { Buyer _Buyer = 2; }
        """
    )
    built = RecordMetaData.from_bytes(stored_without_indexes(stored), local=with_union)
    assert built.record_type("Customer").descriptor.full_name == "mine.Buyer"
    with pytest.raises(InvalidRecordType):
        RecordMetaData.from_bytes(stored, local=protos.load('syntax = "proto3"; message Nothing { }'))


def stored_without_indexes(stored):
    message = pb.MetaData.FromString(stored)
    del message.indexes[:]
    return message.SerializeToString()


@pytest.mark.parametrize("syntax", ['syntax = "proto2";', 'syntax = "proto3";', 'edition = "2023";'])
def test_every_syntax_is_stored_and_read_again(syntax):
    label = "optional " if "proto2" in syntax else ""
    source = f"{syntax} package s; message Thing {{ {label}int64 id = 1; {label}string name = 2; }}"
    built = RecordMetaDataBuilder(protos.load(source)).primary_key("Thing", "id").index("Thing", "n", "name").build()
    again = RecordMetaData.from_bytes(built.to_bytes())
    thing = again.record_type("Thing").message_class
    has_presence = 'syntax = "proto3"' not in syntax
    assert again.index("n").root_expression.evaluate(thing()) == [(None,)]
    assert again.index("n").root_expression.evaluate(thing(name="")) == [("" if has_presence else None,)]
    assert again.to_bytes() == built.to_bytes()


def with_index(**fields):
    message = pb.MetaData.FromString(rich().build().to_bytes())
    index = message.indexes.add(name="foreign", record_type=["Order"], subspace_key=b"\x02foreign\x00")
    index.root_expression.field.field_name = "customer"
    index.root_expression.field.fan_type = 1
    index.root_expression.field.nullInterpretation = 1
    index.added_version = index.last_modified_version = message.version
    index.MergeFrom(pb.Index(**fields))
    return message


@pytest.mark.parametrize("kind", ["vector", "lucene", "spatial_geophile"])
def test_indexes_that_we_only_read_refuse_writes_to_their_types(kind):
    message = with_index(type=kind)
    built = RecordMetaData.from_bytes(message.SerializeToString())
    assert set(built.refusals) == {"Order"}
    assert [refusal.index for refusal in built.refusals["Order"]] == ["foreign"]
    again = pb.MetaData.FromString(built.to_bytes())
    assert sorted(map(str, again.indexes)) == sorted(map(str, message.indexes))


def test_functions_that_are_not_registered_refuse_writes_to_their_types():
    message = with_index(type="value")
    message.indexes[-1].ClearField("root_expression")
    call = message.indexes[-1].root_expression.function
    call.name = "lucene_field_name"
    call.arguments.field.field_name = "customer"
    call.arguments.field.fan_type = 1
    built = RecordMetaData.from_bytes(message.SerializeToString())
    assert "lucene_field_name" in built.refusals["Order"][0].reason
    assert "Customer" not in built.refusals


def test_sliding_windows_refuse_writes_to_their_types():
    message = with_index(type="value")
    window = message.indexes[-1].predicate.row_number_window_predicate
    window.ordering_field.append("total")
    window.size, window.direction = 10, pb.RowNumberWindowPredicate.DESC
    built = RecordMetaData.from_bytes(message.SerializeToString())
    assert "sliding window" in built.refusals["Order"][0].reason


def test_indexes_on_synthetic_types_refuse_writes_to_their_parts():
    message = with_index(type="value")
    message.indexes[-1].record_type[:] = ["Joined"]
    joined = message.joined_record_types.add(name="Joined")
    joined.join_constituents.add(name="o", record_type="Order")
    joined.join_constituents.add(name="c", record_type="Customer")
    built = RecordMetaData.from_bytes(message.SerializeToString())
    assert set(built.refusals) == {"Order", "Customer"}
    del message.indexes[-1]
    assert not RecordMetaData.from_bytes(message.SerializeToString()).refusals
    unnested = message.unnested_record_types.add(name="Flat")
    unnested.nested_constituents.add(name="parent", type_name="Order")
    unnested.nested_constituents.add(name="tag", parent="parent", type_name="rich.Tag")
    index = message.indexes.add(name="flat", record_type=["Flat"])
    index.root_expression.field.field_name = "tag"
    index.root_expression.field.fan_type = 1
    assert set(RecordMetaData.from_bytes(message.SerializeToString()).refusals) == {"Order"}


def test_what_java_lets_pass_is_read_and_not_made():
    message = with_index(type="value")
    message.indexes[-1].ClearField("root_expression")
    covering = key_with_value(concat("customer", record_type(), "id"), split_point=1)
    message.indexes[-1].root_expression.CopyFrom(serial.to_proto(covering))
    assert RecordMetaData.from_bytes(message.SerializeToString()).index("foreign").is_covering
    with pytest.raises(InvalidIndex, match="value part"):
        rich().index("Order", "x", covering).build()
    node = protos.load('syntax = "proto2"; message Node { optional int64 id = 1; optional Node next = 2; }')
    with pytest.raises(InvalidIndex, match="contain themselves"):
        RecordMetaDataBuilder(node).primary_key("Node", "id").index("Node", "x", "id", where=is_null("id")).build()


def test_our_own_metadata_refuse_nothing():
    assert rich().build().refusals == {}


def chain(size):
    """Messages that hold each other in one large circle: protobuf alone runs out of stack here."""
    source = "".join(
        f"message M{n} {{ optional int64 id = 1; optional M{(n + 1) % size} next = 2; }}" for n in range(size)
    )
    return protos.load(f'syntax = "proto2"; package chain; {source}')


def test_long_chains_of_messages_are_no_trouble():
    size = 1200
    builder = RecordMetaDataBuilder(chain(size))
    for n in range(size):
        builder.primary_key(f"M{n}", "id")
    built = RecordMetaData.from_bytes(builder.build().to_bytes())
    record = built.record_type("M7").message_class(id=1)
    record.next.next.id = 5
    assert built.open_envelope(built.envelope(record))[1] == record
    with pytest.raises(InvalidIndex, match="contain themselves"):
        builder.index("M7", "x", "id", where=is_null("id")).build()


@pytest.mark.parametrize(
    "change",
    [
        lambda e: setattr(e.split, "split_size", 2**31 - 1),
        lambda e: nested(e, 70),
        lambda e: wide(e, 20_000),
    ],
)
def test_small_messages_cannot_mean_large_expressions(change):
    def with_expression(message):
        expression = message.indexes[0].root_expression
        expression.Clear()
        expression.split.joined.field.field_name = "tags"
        expression.split.joined.field.fan_type = 2
        change(expression)

    with pytest.raises(MalformedMetaData):
        RecordMetaData.from_bytes(changed(with_expression))


def nested(expression, depth):
    expression.Clear()
    for _ in range(min(depth, 45)):
        expression = expression.grouping.whole_key
        expression = expression.list.child.add()
    expression.field.field_name = "id"
    expression.field.fan_type = 1


def wide(expression, columns):
    expression.Clear()
    for _ in range(columns // 5_000):
        part = expression.then.child.add().split
        part.joined.field.field_name = "tags"
        part.joined.field.fan_type = 2
        part.split_size = 5_000


def test_hints_stay_short_whatever_the_names_are():
    with pytest.raises(SchemaError) as raised:
        RecordMetaDataBuilder(chain(40)).primary_key("M" * 100_000, "id")
    assert len(raised.value.hint) < 1000
