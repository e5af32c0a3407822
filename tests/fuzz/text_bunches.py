"""Bunches of a TEXT index: the fast readers agree with the careful one, and what is read is written as it was; and an
index with such bunches is searched and checked."""

from __future__ import annotations

from collections.abc import Iterable

from recordlayer.errors import CorruptIndexEntry, RecordLayerError
from recordlayer.index.bunched import (
    bunch_bytes,
    bunch_keys,
    bunch_of,
    bunch_parts,
    packed_positions,
    unpacked_positions,
)
from tests.fuzz.damage import Damaged
from tests.fuzz.harness import Target

FIRST = b"\x15\x01"
BUNCH, PAIRS = 0, 1
"""What the first byte of an input is: of a bunch alone, or of changed pairs."""

STORE = Damaged(("words",), ("words",))


def check(data: bytes) -> None:
    if data[:1] > bytes((BUNCH,)):
        STORE.ask(data[1:])
        return
    data = data[1:]
    try:
        keys, values, starts = bunch_parts(FIRST, data)
    except CorruptIndexEntry as refusal:
        try:
            found = bunch_keys(FIRST, data)
        except CorruptIndexEntry:
            raise
        raise AssertionError(f"the fast reader gives {found}") from refusal
    assert bunch_keys(FIRST, data) == (keys, starts)
    assert bunch_of(FIRST, data) == (keys, values)
    written = bunch_bytes(keys, values)
    assert bunch_of(FIRST, written) == (keys, values)
    assert len(written) <= len(data), "only lengths may be written in fewer bytes than they were read from"
    for value in values:
        try:
            positions = unpacked_positions(value)
        except IndexError:
            continue
        assert positions == sorted(positions)
        assert unpacked_positions(packed_positions(positions)) == positions


def seeds() -> Iterable[bytes]:
    for keys, values in (
        ([FIRST], [packed_positions([0, 3, 700])]),
        ([FIRST, b"\x15\x02", b"\x15\x03"], [packed_positions([1]), b"", packed_positions([5, 5, 6])]),
        ([FIRST, b"k" * 200], [b"\x01" * 300, b""]),
    ):
        yield bytes((BUNCH,)) + bunch_bytes(keys, values)


TARGET = Target("text_bunches", check, (RecordLayerError,), seeds, lambda: STORE.hints(5, PAIRS))
