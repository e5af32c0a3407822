"""Packed tuples: read or refused; written again they are read as the same; every reader agrees with the general one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from recordlayer.errors import MalformedTuple
from recordlayer.tuples import SingleFloat, Subspace, Versionstamp, compare, pack, unpack, unpack_element
from recordlayer.tuples.compiled import Column, Kind, compile_unpacker
from tests.fuzz.harness import Target

UNPACKERS = [
    compile_unpacker([Column(kind) for kind in kinds])
    for kinds in ([Kind.INT], [Kind.STR, Kind.INT], [Kind.BYTES, Kind.ANY], [Kind.FLOAT, Kind.SINGLE_FLOAT, Kind.BOOL])
] + [compile_unpacker([Column(Kind.UUID), Column(Kind.VERSIONSTAMP)])]


def refusal(read: Callable[[bytes], object], data: bytes) -> str:
    try:
        read(data)
    except MalformedTuple as error:
        return str(error)
    return ""


def check(data: bytes) -> None:
    words = refusal(unpack, data)
    assert [refusal(unpacker, data) for unpacker in UNPACKERS] == [words] * len(UNPACKERS)
    items = unpack(data)
    packed = pack(items)
    # By bytes and not by value: a NaN is no other NaN.
    assert pack(unpack(packed)) == packed
    assert compare(items, unpack(packed)) == 0
    assert pack(Subspace(prefix=b"p").unpack(b"p" + data)) == packed
    for unpacker in UNPACKERS:
        assert pack(unpacker(data)) == packed
    at, one_by_one = 0, []
    while at < len(data):
        item, at = unpack_element(data, at)
        one_by_one.append(item)
    assert pack(tuple(one_by_one)) == packed
    half = len(items) // 2
    first, second = items[:half], items[half:]
    left, right = pack(first), pack(second)
    assert compare(first, second) == (left > right) - (left < right), "tuples sort as their bytes do"


def seeds() -> Iterable[bytes]:
    numbers = [0, 1, -1, 255, -255, 256, 1 << 40, -(1 << 40), (1 << 63) - 1, -(1 << 63), 1 << 70, -(1 << 70)]
    yield pack(tuple(numbers))
    yield pack((None, b"a\x00b", "t\x00\u00e9", True, False, 1.5, -1.5, float("nan"), SingleFloat(0.5)))
    yield pack((UUID(int=5), Versionstamp(bytes(10), 7), (1, (None, "x", (b"\x00",)), ())))
    yield b"\x05" * 40 + b"\x00" * 40


TARGET = Target("tuples", check, (MalformedTuple,), seeds)
