"""Values for tuples, and what `fdb.tuple`, the oracle, calls them."""

from __future__ import annotations

import struct
import uuid
from enum import IntEnum, StrEnum
from types import SimpleNamespace
from typing import Any, NamedTuple

import fdb
import fdb.tuple
from hypothesis import strategies as st

from recordlayer.errors import RecordLayerError
from recordlayer.tuples import SingleFloat, Versionstamp

# The oracle's versionstamps ask whether a value is one of the client library's, which is not loaded here: none is.
if not hasattr(fdb, "impl"):
    fdb.impl = SimpleNamespace(Value=type("Value", (), {}))


class Level(IntEnum):
    LOW = 1
    HIGH = 70_000


class Word(StrEnum):
    PLAIN = "plain"
    ODD = "o\0dd"


class Point(NamedTuple):
    x: int
    y: str


# Where an integer gets one byte longer, and where Python's integers and Java's longs end.
_EDGES = sorted(
    {sign * ((1 << bits) + near) for bits in range(0, 136, 8) for near in (-2, -1, 0, 1) for sign in (1, -1)}
)
_LARGEST = (1 << (8 * 255)) - 1

texts = st.text(max_size=12) | st.sampled_from(
    ["", "\0", "a\0b", "\0\0", "Zürich", "名前", "\U0010ffff", "\ufeff", "\x7f"]
)
blobs = st.binary(max_size=12) | st.sampled_from([b"", b"\0", b"\0\xff", b"\xff\0", b"\0\0\xff\xff", b"\x05\0"])
integers = (
    st.integers(-300, 300)
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.sampled_from(_EDGES)
    | st.integers(-_LARGEST, _LARGEST)
)
# From bits, so that NaNs of both signs and any payload, infinities, subnormals and both zeros appear.
doubles = st.floats() | st.binary(min_size=8, max_size=8).map(lambda raw: struct.unpack(">d", raw)[0])
singles = st.floats(width=32).map(SingleFloat)
complete_stamps = st.builds(
    Versionstamp, st.binary(min_size=10, max_size=10).filter(lambda raw: raw != b"\xff" * 10), st.integers(0, 0xFFFF)
)
open_stamps = st.builds(Versionstamp, st.none(), st.integers(0, 0xFFFF))
derived = st.sampled_from([Level.LOW, Level.HIGH, Word.PLAIN, Word.ODD, Point(3, "p")])

scalars = (
    st.none() | texts | blobs | integers | doubles | singles | st.booleans() | st.uuids() | complete_stamps | derived
)


def _nest(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Leaves, tuples and lists of leaves, and so on."""
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple), max_leaves=8
    )


values = _nest(scalars)
tuples = st.lists(values, max_size=6).map(tuple)
tuples_with_open_stamps = st.lists(_nest(scalars | open_stamps), max_size=6).map(tuple)


def to_fdb(value: Any) -> Any:
    """The same value in the oracle's types."""
    if isinstance(value, SingleFloat):
        return fdb.tuple.SingleFloat(value.value)
    if isinstance(value, Versionstamp):
        return fdb.tuple.Versionstamp(value.tr_version, value.user_version)
    if isinstance(value, (tuple, list)):
        return tuple(to_fdb(element) for element in value)
    return value


def exact(value: Any) -> Any:
    """Something that is equal only for the same type and the same bits: 1, 1.0 and True differ, NaN equals itself.

    Oracle's and our types come out alike; lists, which come back as tuples, come out as these.
    """
    if isinstance(value, (tuple, list)):
        return tuple(exact(element) for element in value)
    if isinstance(value, float):
        return "double", struct.pack(">d", value)
    if isinstance(value, (SingleFloat, fdb.tuple.SingleFloat)):
        return "single", struct.pack(">f", value.value)
    if isinstance(value, (Versionstamp, fdb.tuple.Versionstamp)):
        return "versionstamp", value.to_bytes()
    for base in (bool, int, str, bytes, uuid.UUID):
        if isinstance(value, base):
            return base.__name__, value if base is not str else str.__str__(value)
    assert value is None
    return "null"


def field(error: RecordLayerError | None, name: str) -> Any:
    """A field of an error."""
    assert error is not None
    return error.fields[name]
