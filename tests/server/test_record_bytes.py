"""Records that go out without being parsed are what they would be if they were parsed, and broken ones are told."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor as Types
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.client.pb import types_pb2
from recordlayer.metadata import RecordType
from recordlayer.metadata.envelope import parse
from recordlayer_server import record_bytes
from recordlayer_server.contents import whole
from recordlayer_server.record_bytes import record_writer
from recordlayer_server.schema import SYSTEM, derived
from tests.support.both_ways import needs_core, outcome
from tests.unit.tuples.values import blobs, doubles, texts

NARROW, LONG = st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-(1 << 63), (1 << 63) - 1)
PLAIN = {
    "int32": NARROW,
    "int64": LONG,
    "sint32": NARROW,
    "sint64": LONG,
    "sfixed32": NARROW,
    "sfixed64": LONG,
    "bool": st.booleans(),
    "float": st.floats(width=32),
    "double": doubles,
    "string": texts,
    "bytes": blobs,
}
"""Fields, called as their types."""
ODD = {"many": st.lists(LONG, max_size=3), "enum": st.integers(0, 2), "inner": st.none() | LONG}
KEPT = {
    **dict.fromkeys(("zone", "name", "created_by", "created_on", "modified_by", "modified_on"), texts),
    **dict.fromkeys(("created_at", "modified_at"), st.integers(0, 1 << 60) | st.just(-1)),
}


def record_type_of(syntax: str) -> RecordType:
    file = descriptor_pb2.FileDescriptorProto(name=f"going_{syntax}.proto", package=f"going_{syntax}", syntax=syntax)
    message = file.message_type.add(name="Row")
    message.nested_type.add(name="Inner").field.add(name="at", number=1, type=Types.TYPE_INT64, label=1)
    file.enum_type.add(name="Word").value.add(name="ZERO", number=0)
    file.enum_type[0].value.add(name="ONE", number=1)
    for number, name in enumerate(PLAIN, 9):  # tags of one byte and of two
        message.field.add(name=name, number=number, type=getattr(Types, f"TYPE_{name.upper()}"), label=1)
    message.field.add(name="many", number=40, type=Types.TYPE_INT64, label=Types.LABEL_REPEATED)
    message.field.add(name="enum", number=41, type=Types.TYPE_ENUM, type_name=f".going_{syntax}.Word", label=1)
    inner = f".going_{syntax}.Row.Inner"
    message.field.add(name="inner", number=3, type=Types.TYPE_MESSAGE, type_name=inner, label=1)
    files = descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()
    return derived(files).record_types["Row"]


TYPES = {syntax: record_type_of(syntax) for syntax in ("proto2", "proto3")}


@st.composite
def bodies(draw: st.DrawFn, syntax: str) -> bytes:
    """Stored bytes of a record, some of them damaged."""
    message: Any = TYPES[syntax].message_class()
    names = draw(st.sets(st.sampled_from(list(PLAIN)), max_size=5))
    for name in names:
        setattr(message, name, draw(PLAIN[name]))
    if draw(st.integers(0, 4)) == 0:
        message.many.extend(draw(ODD["many"]))
        message.enum = draw(ODD["enum"]) if syntax == "proto3" else 1
        if (at := draw(ODD["inner"])) is not None:
            message.inner.at = at
    system = getattr(message, SYSTEM)
    for name in draw(st.sets(st.sampled_from(list(KEPT)))):
        setattr(system, name, draw(KEPT[name]))
    body: bytes = message.SerializeToString()
    damage = draw(st.none() | st.none() | st.tuples(st.integers(0, 200), st.integers(-2, 255)))
    if damage is None:
        return body
    place, byte = damage[0] % (len(body) + 1), damage[1]
    if byte == -2:
        return body + body[place:]  # fields that come twice
    return body[:place] if byte < 0 else body[:place] + bytes((byte,)) + body[place + 1 :]


def parsed(syntax: str, body: bytes, tag: bytes) -> bytes:
    record_type = TYPES[syntax]
    return bytes(whole(parse(record_type, body), "Row", tag).SerializeToString())


def shown(result: tuple[Any, ...]) -> Any:
    """Records as what is in them, in an order: bits of floats, too."""
    if result[0] == "gives":
        return types_pb2.Record.FromString(result[1]).SerializeToString(deterministic=True)
    return result


WITH_SYSTEM = b"\x82\xc7\xff\xff\x0f\x00"


@given(st.data(), st.sampled_from(["proto2", "proto3"]), st.sampled_from([b"", b"\x01" * 12]))
def test_a_record_goes_out_the_same_whether_it_is_parsed_or_not(data: st.DataObject, syntax: str, tag: bytes) -> None:
    body = data.draw(bodies(syntax))
    assert shown(outcome(record_writer(TYPES[syntax]), body, tag)) == shown(outcome(parsed, syntax, body, tag))


@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x48\x00", id="a zero that need not be there"),
        pytest.param(b"\x48\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", id="more than 64 bits"),
        pytest.param(b"\x48\xff\xff\xff\xff\x1f", id="more than 32 bits"),
        pytest.param(b"\x4d\x01\x00\x00\x00", id="another wire type"),
        pytest.param(b"\xc8\x80\x80\x80\x80\x00\x01", id="a tag that is too long"),
        pytest.param(b"\x92\x01\x02\xc3\x28", id="no UTF-8"),
        pytest.param(b"\x92\x01\x04ab", id="text that ends early"),
        pytest.param(b"\x50\x01\x48\x01", id="another order"),
        pytest.param(b"\x98\x03\x01", id="an unknown field"),
        pytest.param(b"\x4b\x4c", id="a group"),
        pytest.param(b"\x85\x01\x00\x00\xc0\x7f", id="no number"),
    ],
)
def test_what_is_unusual_in_stored_bytes_goes_out_as_when_it_is_parsed(syntax: str, body: bytes) -> None:
    for whole_body in (body, body + WITH_SYSTEM, body + WITH_SYSTEM * 2):
        told = shown(outcome(record_writer(TYPES[syntax]), whole_body, b"t"))
        assert told == shown(outcome(parsed, syntax, whole_body, b"t"))


@needs_core
@given(st.data(), st.sampled_from(["proto2", "proto3"]))
def test_what_is_usual_is_not_parsed(data: st.DataObject, syntax: str) -> None:
    message: Any = TYPES[syntax].message_class()
    for name in data.draw(st.sets(st.sampled_from(list(PLAIN)))):
        setattr(message, name, data.draw(PLAIN[name].filter(lambda value: value == value)))
    getattr(message, SYSTEM).name = "here"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_bytes, "parse", None)
        made = types_pb2.Record.FromString(record_writer(TYPES[syntax])(message.SerializeToString(), b""))
    assert made.name.name == "here"
    assert set(made.fields.fields) == {field.name for field, _ in message.ListFields()} - {SYSTEM}
