"""The stream of an export, as bytes: what was written once stays readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import StreamDamaged, StreamTooNew, StreamTruncated
from recordlayer.tenant.spots import Spot
from recordlayer.tenant.stream import HEAD, Frame, Kind, Reader, Writer, rows_as_bytes, rows_in
from recordlayer.tuples import pack

BEGINNING = bytes.fromhex(
    "524c54454e414e54010100000020010101010101010101010101010101010100022f61636d650002616c6c000000a4491d41d9e50a0fb16b678f"
)
LAST_CHECKSUM = "16e26b2af312d27cb76f774119a50b52"
"""Of all that `stream` gives, in version 1 of the format."""


def stream() -> tuple[list[tuple[Kind, bytes]], bytes]:
    frames = [
        (Kind.BEGIN, pack((b"\x01" * 16, "/acme", "all", None, None))),
        (Kind.PLACE, Spot((("year", b"\x16\x07\xea"),), b"", is_store=True).packed()),
        (Kind.ROWS, rows_as_bytes([(b"\x14", b"header"), (b"\x15\x01\x15\x01\x14", b"")])),
        (Kind.END, pack((2, 12, 7))),
    ]
    writer = Writer()
    return frames, HEAD + b"".join(writer.frame(*frame) for frame in frames)


def read(data: bytes, step: int) -> list[Frame]:
    reader = Reader()
    found = [frame for at in range(0, len(data), step) for frame in reader.feed(data[at : at + step])]
    reader.finish()
    assert reader.read == len(data)
    return found


@pytest.mark.parametrize("step", [1, 2, 7, 64, 10_000])
def test_a_stream_may_come_in_any_pieces(step: int) -> None:
    frames, data = stream()
    assert [(frame.kind, frame.content) for frame in read(data, step)] == frames


def test_the_bytes_of_version_1_stay_as_they_are() -> None:
    _, data = stream()
    assert data.startswith(BEGINNING)
    assert read(data, 10_000)[-1].digest.hex() == LAST_CHECKSUM


def test_a_frame_that_is_changed_lost_or_moved_is_found_out() -> None:
    _, data = stream()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises((StreamDamaged, StreamTooNew, StreamTruncated)):
            read(bytes(damaged), 10_000)
        with pytest.raises(StreamTruncated):
            read(data[:place], 10_000)
    pieces = [frame.end for frame in read(data, 10_000)]
    for cut in ((pieces[0], pieces[1]), (pieces[1], pieces[2])):
        with pytest.raises(StreamDamaged):
            read(data[: cut[0]] + data[cut[1] :], 10_000)
    with pytest.raises(StreamTooNew):
        list(Reader().feed(HEAD[:-1] + b"\x02"))


@given(st.binary(max_size=60))
def test_rows_that_are_none_are_told(content: bytes) -> None:
    try:
        rows = rows_in(content)
    except StreamDamaged:
        return
    assert rows_as_bytes(rows) == content


ITEMS = st.lists(st.integers() | st.binary() | st.text() | st.none())


@given(st.binary(max_size=30) | ITEMS.map(lambda items: pack(tuple(items))))
def test_a_place_is_one_or_is_told(content: bytes) -> None:
    try:
        spot = Spot.of(content)
    except StreamDamaged:
        return
    assert Spot.of(spot.packed()) == spot
