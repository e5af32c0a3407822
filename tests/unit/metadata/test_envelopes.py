"""Records as bytes: the union around them, without a union message."""

from __future__ import annotations

import pytest
from google.protobuf import message_factory
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import CorruptRecord, IncompleteRecord, UnknownRecordType
from recordlayer.metadata import RecordMetaDataBuilder
from tests.unit.keys import protos

SOURCE = """
    syntax = "proto2";
    package box;
    message Order { required int64 id = 1; optional string customer = 2; }
    message Item { optional int64 id = 1; map<string, int64> counts = 2; }
    message Far { optional int64 id = 1; }
    message Near { optional int64 id = 1; }
    message RecordTypeUnion { optional Order _Order = 1; optional Item _Item = 2; optional Far _Far = 4000;
                              optional Near _Near = 16; }
"""
FILE = protos.load(SOURCE)
UNION = message_factory.GetMessageClass(FILE.message_types_by_name["RecordTypeUnion"])
ORDER, ITEM, FAR, NEAR = (
    message_factory.GetMessageClass(FILE.message_types_by_name[n]) for n in ("Order", "Item", "Far", "Near")
)
BUILDER = RecordMetaDataBuilder(FILE).primary_key("Order", "id").primary_key("Item", "id")
METADATA = BUILDER.primary_key("Far", "id").primary_key("Near", "id").build()


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=300))
def test_an_envelope_is_the_union_message_serialised(number, text):
    order = ORDER(id=number, customer=text)
    data = METADATA.envelope(order)
    assert data == UNION(_Order=order).SerializeToString()
    record_type, message = METADATA.open_envelope(data)
    assert (record_type.name, message) == ("Order", order)
    assert METADATA.split_envelope(data) == (record_type, order.SerializeToString())


@pytest.mark.parametrize("message_class", [ORDER, ITEM, FAR, NEAR])
@pytest.mark.parametrize("size", [*range(2, 12), *range(120, 135), 16_380, 16_383, 16_384, 2**21])
def test_records_of_every_type_and_size_come_back(message_class, size):
    # An unknown field makes a record of any type as long as wanted.
    message = message_class.FromString(b"\x08\x01" + (b"\x7a" + _varint(size) + bytes(size) if size > 2 else b""))
    data = METADATA.envelope(message)
    assert data == UNION(**{f"_{message_class.DESCRIPTOR.name}": message}).SerializeToString()
    record_type, again = METADATA.open_envelope(data)
    assert (record_type.name, again) == (message_class.DESCRIPTOR.name, message)


def test_an_empty_record_comes_back():
    for message_class in (ITEM, FAR, NEAR):
        assert METADATA.open_envelope(METADATA.envelope(message_class()))[1] == message_class()


def _varint(number):
    from recordlayer.metadata.envelope import varint

    return varint(number)


def test_tags_and_lengths_may_be_long():
    far = FAR(id=5)
    assert METADATA.envelope(far) == UNION(_Far=far).SerializeToString()
    assert METADATA.open_envelope(METADATA.envelope(far))[1] == far
    long = ORDER(id=1, customer="x" * 100_000)
    assert METADATA.open_envelope(METADATA.envelope(long))[1] == long


def test_maps_are_stored_in_one_order():
    one, other = ITEM(id=1), ITEM(id=1)
    for name in "abcdefgh":
        one.counts[name] = 1
    for name in reversed("abcdefgh"):
        other.counts[name] = 1
    assert METADATA.envelope(one) == METADATA.envelope(other)


def test_a_record_without_a_required_field_is_refused():
    with pytest.raises(IncompleteRecord, match="'id'"):
        METADATA.envelope(ORDER(customer="ana"))


def test_a_message_of_another_type_is_refused():
    with pytest.raises(UnknownRecordType, match="Order, Item, Far, Near"):
        METADATA.envelope(UNION())
    with pytest.raises(UnknownRecordType):
        METADATA.envelope("a string")


def test_a_message_of_the_same_type_from_another_pool_is_taken():
    other = protos.load(SOURCE.replace("message Far", "message Extra { } message Far"))
    order = message_factory.GetMessageClass(other.message_types_by_name["Order"])(id=3)
    record_type, message = METADATA.open_envelope(METADATA.envelope(order))
    assert isinstance(message, ORDER)
    assert (message.id, METADATA.record_type_of(order)) == (3, record_type)


def test_unknown_fields_inside_a_record_are_kept():
    data = bytes.fromhex("0a04080178 05".replace(" ", ""))
    _, message = METADATA.open_envelope(data)
    assert METADATA.envelope(message) == data


def test_a_field_that_is_there_twice_is_merged():
    data = UNION(_Order=ORDER(id=1)).SerializeToString() + UNION(_Order=ORDER(id=2, customer="x")).SerializeToString()
    assert METADATA.open_envelope(data)[1] == ORDER(id=2, customer="x") == UNION.FromString(data)._Order


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1a\x00",
        b"\x0a",
        b"\x0a\x05\x08\x01",
        b"\x08\x01",
        b"\x0a\x02\x08\x01\x12\x00",
        b"\xff" * 11,
        b"\x0a\x02\x08\x80",
        b"\x0a\x02\x08\x01\x00",
    ],
)
def test_what_is_no_record_is_a_corrupt_record(data):
    with pytest.raises(CorruptRecord):
        METADATA.open_envelope(data)


@given(st.binary(max_size=40))
def test_any_bytes_open_or_are_corrupt(data):
    try:
        METADATA.open_envelope(data)
    except CorruptRecord:
        return
    parsed = UNION.FromString(data)
    assert len(parsed.ListFields()) == 1
