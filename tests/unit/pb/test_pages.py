"""Messages that are read together are what each of them is when it is read alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor as Types
from google.protobuf.internal import api_implementation

from recordlayer.metadata.envelope import varint
from recordlayer.pb.pages import page_parser_of

pytestmark = pytest.mark.skipif(
    api_implementation.Type() != "upb", reason="the other implementations of protobuf gain nothing by it"
)


def message_class(syntax: str, *, database: bool = False) -> Any:
    """A message of a pool of its own; `database`: one that files come to from elsewhere, and that takes none."""
    file = descriptor_pb2.FileDescriptorProto(name="together.proto", package="together", syntax=syntax)
    message = file.message_type.add(name="Row")
    label = Types.LABEL_REQUIRED if syntax == "proto2" else Types.LABEL_OPTIONAL
    message.field.add(name="id", number=1, type=Types.TYPE_INT64, label=label)
    message.field.add(name="text", number=2, type=Types.TYPE_STRING, label=Types.LABEL_OPTIONAL)
    message.field.add(
        name="inner", number=3, type=Types.TYPE_MESSAGE, type_name=".together.Row", label=Types.LABEL_REPEATED
    )
    if database:

        class Database:
            def FindFileByName(self, name: str) -> Any:
                return file if name == file.name else None

            def FindFileContainingSymbol(self, name: str) -> Any:
                return file

        pool = descriptor_pool.DescriptorPool(Database())
    else:
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("together.Row"))


def page(bodies: list[bytes]) -> bytes:
    return b"".join([b"\x0a" + varint(len(body)) + body for body in bodies])


@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
def test_messages_read_together_are_those_read_alone(syntax: str) -> None:
    row = message_class(syntax)
    parse = page_parser_of(row)
    assert parse is not None
    alone = [row(id=number, text="ä" * number, inner=[row(id=1), row(id=2)][: number % 3]) for number in range(200)]
    bodies = [one.SerializeToString() + b"\x7a\x01x" for one in alone]  # with a field that nobody knows
    found: Any = parse(page(bodies))
    assert [type(one) for one in found] == [row] * 200
    assert found == [row.FromString(body) for body in bodies]
    assert [one.SerializeToString() for one in found] == bodies
    first, second, *_ = found
    del found
    first.text, first.inner.add().id = "changed", 7
    assert second == row.FromString(bodies[1])
    assert copy.deepcopy(first) == first
    second.CopyFrom(first)
    first.Clear()
    assert second.text == "changed"
    assert second.inner[0].id == 7
    assert parse(b"") == []


@pytest.mark.parametrize("body", [b"\x08", b"\x12\x02\xc3\x28", b"\x0a\x05a", b"\x13"])
def test_what_cannot_be_read_alone_cannot_be_read_together(body: bytes) -> None:
    row = message_class("proto3")
    parse = page_parser_of(row)
    assert parse is not None
    for read, data in ((row.FromString, body), (parse, page([b"\x08\x01", body]))):
        with pytest.raises(Exception, match="."):
            read(data)


def test_a_pool_that_takes_no_files_has_its_messages_read_one_by_one() -> None:
    row = message_class("proto3", database=True)
    parse = page_parser_of(row)
    assert parse is not None
    for _ in range(2):
        with pytest.raises(ValueError, match="one by one"):
            parse(page([b"\x08\x01"]))
