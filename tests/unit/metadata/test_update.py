"""A newer file under metadata: what goes on, what comes in, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from recordlayer.errors import InvalidRecordType, UsageError
from recordlayer.keys import field
from recordlayer.metadata import Evolution, RecordMetaData, RecordMetaDataBuilder
from recordlayer.metadata.envelope import varint
from recordlayer.metadata.files import load_descriptor_set
from recordlayer.metadata.update import update_records
from recordlayer.pb import descriptor_pb2
from recordlayer.pb import record_metadata_options_pb2 as options
from tests.unit.keys import protos

HEAD = """
    syntax = "proto2";
    package updated;
    import "record_metadata_options.proto";
"""
ORDER = "message Order { optional int64 id = 1; optional string customer = 2; }"
PART = "message Part { optional int64 id = 1; optional int64 weight = 2; }"
TAG = "message Tag { optional int64 id = 1; }"


def proto(*messages: str) -> Any:
    source = HEAD + "\n".join(messages)
    return descriptor_pb2.FileDescriptorProto.FromString(protos.parse(source, name="updated.proto").SerializeToString())


def file_of(made: Any) -> Any:
    return load_descriptor_set(b"\x0a" + varint(made.ByteSize()) + made.SerializeToString())


def stored(*messages: str, **keys: Any) -> bytes:
    """Stored metadata with an index on the customers of orders."""
    builder = RecordMetaDataBuilder(file_of(proto(*messages))).primary_key("Order", field("id"))
    for name, key in keys.items():
        builder.primary_key(name, key)
    return builder.index("Order", "by_customer", field("customer")).build().to_bytes()


def updated(before: bytes, made: Any) -> RecordMetaData:
    builder = RecordMetaDataBuilder.from_proto(before)
    update_records(builder, file_of(made))
    built = builder.build()
    assert Evolution().findings(RecordMetaData.from_bytes(before), built) == ()
    assert RecordMetaData.from_bytes(built.to_bytes()).to_bytes() == built.to_bytes()
    return built


def annotate(message: Any, *, indexed: str | None = None) -> None:
    for each in message.field:
        said = each.options.Extensions[options.field]
        if each.name == "id":
            said.primary_key = True
        if each.name == indexed:
            said.index.SetInParent()


def test_new_types_come_in_with_their_annotations_in_the_version_of_their_last_index() -> None:
    made = proto(ORDER, PART, TAG)
    annotate(made.message_type[1], indexed="weight")
    annotate(made.message_type[2])
    built = updated(stored(ORDER), made)
    assert {field.name: field.number for field in built.union.fields} == {"_Order": 1, "_Part": 2, "_Tag": 3}
    assert built.version == 3, "one for the file, one for the index"
    assert built.index("Part$weight").last_modified_version == 3
    assert [built.record_type(name).since_version for name in ("Order", "Part", "Tag")] == [None, 3, 3]
    assert built.index("by_customer").last_modified_version == 1


def test_annotations_of_types_that_were_there_do_not_count() -> None:
    made = proto(ORDER)
    annotate(made.message_type[0], indexed="customer")
    assert set(updated(stored(ORDER), made).indexes) == {"by_customer"}


def test_new_types_are_numbered_behind_the_old_ones_wherever_they_stand_in_the_file() -> None:
    made = proto(TAG, PART, ORDER)
    annotate(made.message_type[0])
    annotate(made.message_type[1])
    built = updated(stored(ORDER, PART, Part=field("id")), made)
    assert {field.name: field.number for field in built.union.fields} == {"_Order": 1, "_Part": 2, "_Tag": 3}


def test_a_type_goes_on_under_another_name_with_its_keys_and_indexes() -> None:
    union = "message RecordTypeUnion { optional Order _Order = 1; }"
    renamed = "message RecordTypeUnion { optional Bill _Bill = 1; optional Order other = 2; }"
    bill = ORDER.replace("Order", "Bill")
    made = proto(bill, ORDER, renamed)
    annotate(made.message_type[1])
    built = updated(stored(ORDER, union), made)
    assert built.record_type("Bill").primary_key == field("id")
    assert built.index("by_customer").record_types == ("Bill",)
    assert (built.record_type("Bill").since_version, built.record_type("Order").since_version) == (None, 2)


def test_a_second_field_of_the_union_for_a_type_is_the_same_type() -> None:
    union = "message RecordTypeUnion { optional Order _Order = 1; }"
    twice = "message RecordTypeUnion { optional Order old = 1; optional Order _Order = 2; }"
    built = updated(stored(ORDER, union), proto(ORDER, twice))
    assert built.record_type("Order").since_version is None
    assert (built.record_type("Order").union_field, built.record_type("Order").union_fields) == (2, (1, 2))


def test_a_new_type_cannot_come_from_another_version() -> None:
    made = proto(ORDER, PART)
    annotate(made.message_type[1])
    made.message_type[1].options.Extensions[options.record].since_version = 9
    with pytest.raises(InvalidRecordType) as raised:
        updated(stored(ORDER), made)
    assert (raised.value.fields["since_version"], raised.value.fields["version"]) == (9, 2)


def test_a_lost_message_and_metadata_with_local_classes_are_refused() -> None:
    with pytest.raises(InvalidRecordType, match="keep it"):
        updated(stored(ORDER, PART, Part=field("id")), proto(ORDER))
    builder = RecordMetaDataBuilder.from_proto(stored(ORDER), local=file_of(proto(ORDER)))
    with pytest.raises(UsageError):
        update_records(builder, file_of(proto(ORDER)))
