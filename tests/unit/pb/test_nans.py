"""NaNs keep their bits from bytes to messages and back, whichever implementation of protobuf reads them (the pure one
runs this file by test_pure_python.py)."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from recordlayer.pb.nans import parser_of, with_nans
from tests.unit.keys import protos

SOURCE = """
    syntax = "proto2";
    message Point { optional double x = 1; optional float y = 2 [default = nan]; required int32 id = 3; }
    message Plain { optional string text = 1; optional Plain plain = 2; }
    message Every {
        optional double d = 1; optional float f = 2; repeated double ds = 3; repeated float fs = 4;
        repeated double packed = 5; optional Point point = 6; repeated Point points = 7; optional Every every = 8;
        map<string, double> rates = 9; map<int64, Point> places = 10; optional Point chunk = 11;
        optional bytes body = 12; optional int64 number = 13; repeated sint32 many = 14; optional fixed64 raw = 15;
        oneof either { double left = 16; Point right = 17; string middle = 2000; }
        map<bool, Plain> plains = 18; repeated fixed32 raws = 19;
    }
"""


def classes() -> dict[str, Any]:
    file = protos.parse(SOURCE, name="nans.proto")
    fields = {field.name: field for message in file.message_type if message.name == "Every" for field in message.field}
    fields["packed"].options.packed = True
    fields["chunk"].type = FieldDescriptorProto.TYPE_GROUP
    fields["chunk"].name = "point_group"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        kind.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(kind.name)) for kind in file.message_type
    }


def double(bits: int) -> float:
    number: float = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
    return number


def single(bits: int) -> float:
    number: float = struct.unpack(">f", bits.to_bytes(4, "big"))[0]
    return number


DOUBLES = (0.0, -0.0, 1.5, math.inf, -math.inf, double(0x7FF8 << 48), double(0xFFF8 << 48), double(0x7FF8000000000001))
SINGLES = (0.0, -0.0, 1.5, math.inf, -math.inf, single(0x7FC00000), single(0xFFC00000), single(0xFFC00123))


def fill(message: Any, numbers: random.Random, depth: int = 0) -> Any:
    def some(values: Any, most: int = 4) -> Any:
        return numbers.choices(values, k=numbers.randrange(most))

    def filled(point: Any) -> Any:
        point.id = numbers.randrange(-3, 3)
        for name, values in (("x", DOUBLES), ("y", SINGLES)):
            for value in some(values, 2):
                setattr(point, name, value)
        return point

    for name, values in (("d", DOUBLES), ("f", SINGLES), ("body", (b"\xff\x7f", b"")), ("number", (-1, 127, 1 << 62))):
        for value in some(values, 2):
            setattr(message, name, value)
    for name, values in (("ds", DOUBLES), ("fs", SINGLES), ("packed", DOUBLES), ("many", (-64, 0, 1 << 30))):
        getattr(message, name).extend(some(values))
    message.raws.extend(some((0xFFFFFFFF, 0)))
    for part in some((message.point, message.point_group, message.right)):
        filled(part)
    for value in some(DOUBLES, 2):
        message.left = value
    if numbers.random() < 0.2:
        message.middle = "\x7f"
    for _ in range(numbers.randrange(3)):
        filled(message.points.add())
        message.rates[numbers.choice(("", "a"))] = numbers.choice(DOUBLES)
        filled(message.places[numbers.randrange(-1, 2)])
        message.plains[True].text = "\x7f"
    if numbers.random() < 0.5 and depth < 3:
        fill(message.every, numbers, depth + 1)
    return message


def test_messages_are_read_as_they_were_written() -> None:
    made = classes()
    parse = parser_of(made["Every"])
    for seed in range(200):
        message = fill(made["Every"](), random.Random(seed))
        data = message.SerializeToString(deterministic=True)
        read = parse(data)
        assert read.SerializeToString(deterministic=True) == data, seed
        assert with_nans(made["Every"].FromString(data), data).SerializeToString(deterministic=True) == data, seed


def test_messages_in_pieces_are_read_as_one() -> None:
    """Bytes of two messages one behind the other are both merged."""
    made = classes()
    parse = parser_of(made["Every"])
    for seed in range(100):
        numbers = random.Random(seed)
        first, second = (fill(made["Every"](), numbers) for _ in range(2))
        data = first.SerializeToString() + second.SerializeToString()
        # Merging itself takes numbers as they are. Only of a oneof the later member is taken whole.
        first.MergeFrom(second)
        assert parse(data).SerializeToString(deterministic=True) == first.SerializeToString(deterministic=True), seed


def test_what_is_no_float_there_is_left_alone() -> None:
    """A field number that came with another wire type is unknown; a default is no value."""
    made = classes()
    nan = struct.pack("<d", DOUBLES[-1])
    data = b"\x0a\x08" + nan + b"\x11" + nan + b"\x32\x03\x18\xff\x01" + b"\x33\x08\x01\x34"
    read: Any = parser_of(made["Every"])(data)
    assert (read.HasField("d"), read.HasField("f"), read.point.HasField("y"), read.point.id) == (
        False,
        False,
        False,
        255,
    )
    assert sorted(read.SerializeToString()) == sorted(data)
    plain = made["Plain"]
    assert parser_of(plain)(b"\x0a\x01\x7f") == plain(text="\x7f")
    assert parser_of(plain)(b"\x0a\x01\x7f\x12\x00").HasField("plain")
