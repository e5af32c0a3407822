"""Serialisers: the framing, byte for byte; what comes back; what is refused, and how much memory a lie can take."""

from __future__ import annotations

import sys
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import (
    CorruptRecord,
    LibraryMissing,
    UnfaithfulSerializer,
    UnknownEncryptionKey,
    UsageError,
    WrongType,
)
from recordlayer.metadata.envelope import varint
from recordlayer.store import compression as compressions
from recordlayer.store.compression import ZLIB, Zlib, compressed, decompressed, register_compression
from recordlayer.store.encryption import AES_CTR, EncryptionKey, KeyRing
from recordlayer.store.serializer import PLAIN, TransformingSerializer

OLD, NEW = bytes(range(16)), bytes(range(32))
RING = KeyRing({3: OLD, 300: NEW})
LONG = b"\x0a\x64" + b"a" * 100
"""An envelope: field 1 with 100 bytes."""


def serializer(**how: Any) -> TransformingSerializer:
    return TransformingSerializer(random_bytes=lambda count: bytes(range(count)), **how)


# -- framing -----------------------------------------------------------------------------------------------


def test_records_that_compressing_makes_no_shorter_are_stored_clearly_with_a_prefix() -> None:
    assert serializer().encode(bytes.fromhex("0a0808aa0812034164 61")) == bytes.fromhex("020a0808aa081203416461")


def test_compressed_records_have_the_version_and_the_length_in_front() -> None:
    stored = serializer().encode(LONG)
    assert stored[:6] == bytes.fromhex("04 01 00000066")
    assert zlib.decompress(stored[6:]) == LONG
    assert stored.hex() == "04010000006678dae34a49a4030000a5b92653", "as Java's zlib makes it"


@pytest.mark.parametrize(
    ("number", "prefix"),
    [(0, "05"), (3, "1d"), (300, "e512"), ((1 << 31) - 1, "fdffffff3f"), (-1, "fdffffffffffffffff01")],
)
def test_the_number_of_the_key_stands_above_three_bits_of_the_prefix(number: int, prefix: str) -> None:
    made = serializer(keys=KeyRing({number: OLD}))
    stored = made.encode(LONG)
    assert stored.hex().startswith(prefix + bytes(range(16)).hex())
    assert made.decode(stored) == LONG


def test_encrypted_records_are_padded_to_blocks_behind_the_vector() -> None:
    assert [len(serializer(compression=None, keys=RING).encode(bytes(size))) for size in (0, 15, 16)] == [34, 34, 50]
    stream = KeyRing({300: EncryptionKey(NEW, AES_CTR)})
    assert [len(serializer(compression=None, keys=stream).encode(bytes(size))) for size in (0, 15, 16)] == [18, 33, 34]


def test_compressing_is_given_up_when_the_result_would_fill_the_space_of_the_original() -> None:
    class Exactly:
        version = 200

        def __init__(self, size: int) -> None:
            self.size = size

        def compress(self, data: bytes) -> bytes:
            return bytes(self.size)

        def decompress(self, data: bytes, size: int) -> bytes:
            return bytes(size)

    assert compressed(bytes(20), Exactly(15)) is None
    assert compressed(bytes(20), Exactly(14)) == bytes.fromhex("c8 00000014") + bytes(14)
    assert compressed(bytes(5), Exactly(0)) is None, "not tried at all"


# -- there and back ----------------------------------------------------------------------------------------

WAYS = {
    "clear": serializer(compression=None),
    "compressed": serializer(),
    "compressed fast": serializer(compression=Zlib(1)),
    "encrypted": serializer(compression=None, keys=RING),
    "encrypted as a stream": serializer(compression=None, keys=KeyRing({3: EncryptionKey(OLD, AES_CTR)})),
    "both": serializer(keys=RING, validate=1),
    "twice": serializer(keys=KeyRing(OLD), inner=serializer(keys=RING)),
}


@given(
    data=st.binary(max_size=300) | st.integers(0, 5_000).map(lambda size: b"ab" * size), way=st.sampled_from([*WAYS])
)
def test_what_was_encoded_comes_back(data: bytes, way: str) -> None:
    assert WAYS[way].decode(WAYS[way].encode(data)) == data


def test_the_plain_serialiser_changes_nothing() -> None:
    assert PLAIN.encode(LONG) is LONG
    assert PLAIN.decode(LONG) is LONG


def test_records_of_the_plain_serialiser_are_read_by_every_transforming_one() -> None:
    for made in (serializer(), serializer(keys=RING)):
        for envelope in (LONG, b"\x12\x00", b"\x82\x01\x00"):  # fields 1, 2 and 16
            assert made.decode(envelope) == envelope


def test_keys_can_be_exchanged_while_records_of_the_old_one_are_there() -> None:
    before, after = serializer(keys=KeyRing({1: OLD})), serializer(keys=KeyRing({1: OLD, 2: NEW}))
    stored = before.encode(LONG)
    assert after.decode(stored) == LONG
    rewritten = after.encode(LONG)
    assert (stored[0] >> 3, rewritten[0] >> 3) == (1, 2)
    with pytest.raises(UnknownEncryptionKey) as raised:
        before.decode(rewritten)
    assert raised.value.fields == {"key_number": 2, "known": [1]}


def test_a_ring_may_go_on_with_an_older_key() -> None:
    assert serializer(keys=KeyRing({1: OLD, 2: NEW}, current=1)).encode(LONG)[0] >> 3 == 1


def test_with_encrypting_switched_off_what_is_encrypted_is_still_read() -> None:
    off = serializer(keys=RING, encrypt=False)
    assert off.decode(serializer(keys=RING).encode(LONG)) == LONG
    assert off.encode(LONG)[0] == 4


# -- validation --------------------------------------------------------------------------------------------


class Forgetful:
    """A serialiser that loses the last byte on the way back."""

    def __init__(self) -> None:
        self.read = 0

    def encode(self, envelope: bytes) -> bytes:
        return envelope

    def decode(self, stored: bytes) -> bytes:
        self.read += 1
        return stored[:-1]


def test_validation_refuses_what_would_not_come_back() -> None:
    with pytest.raises(UnfaithfulSerializer, match="other bytes come back"):
        serializer(inner=Forgetful(), validate=1).encode(LONG)
    assert serializer(inner=Forgetful()).encode(LONG)[0] == 4, "nobody looked"


def test_validation_says_what_could_not_be_read() -> None:
    class Moody(KeyRing):
        def key(self, number: int) -> EncryptionKey:
            self.asked = getattr(self, "asked", 0) + 1
            return EncryptionKey(OLD if self.asked % 2 else NEW)

    with pytest.raises(UnfaithfulSerializer, match=r"do(es)? not decrypt|cannot be decompressed|compress"):
        serializer(keys=Moody(OLD), validate=1).encode(LONG)


@pytest.mark.parametrize(("share", "read"), [(0, 0), (0.25, 25), (0.5, 50), (1, 100), (True, 100)])
def test_a_share_of_the_records_is_validated(share: float, read: int) -> None:
    class Counting(Forgetful):
        def decode(self, stored: bytes) -> bytes:
            super().decode(stored)
            return stored

    inner = Counting()
    made = serializer(inner=inner, validate=share)
    for _ in range(100):
        made.encode(LONG)
    assert inner.read == read


# -- bad bytes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ("", "breaks off in its first number"),
        ("80", "breaks off in its first number"),
        ("8080808080808080807f", "more than 64 bits"),
        ("80808080808080808080", "more than 64 bits"),
        ("00", "an unknown transform"),
        ("03", "an unknown transform"),
        ("07", "an unknown transform"),
        ("0c", "an unknown transform"),  # compressed, with a key number
        ("8580808080 01", "an unknown transform"),  # a key number of more than 32 bits
        ("04", "without its head"),
        ("04 01000000", "without its head"),
        ("04 02000000ff", "an unknown compression"),
        ("04 01ffffffff", "a negative length"),
        ("04 017fffffff", "over the limit"),
        ("04 0100000066 78dae34a49a4030000a5b926", "cannot be decompressed"),
        ("04 0100000066 78dae34a49a4030000a5b9265300", "cannot be decompressed"),
        ("04 0100000065 78dae34a49a4030000a5b92653", "more bytes than the length says"),
        ("04 0100000067 78dae34a49a4030000a5b92653", "fewer bytes than the length says"),
        ("04 0100000000 78dae34a49a4030000a5b92653", "more bytes than the length says"),
        ("04 0100000066 00", "cannot be decompressed"),
        ("19", "impossible length"),
        ("19" + "00" * 16, "impossible length"),
        ("19" + "00" * 31, "impossible length"),
    ],
)
def test_bytes_that_no_serialiser_wrote_are_refused_with_what_was_found(stored: str, found: str) -> None:
    with pytest.raises(CorruptRecord, match=found):
        serializer(keys=RING).decode(bytes.fromhex(stored))


def test_a_wrong_key_is_told_from_damage_as_far_as_that_is_possible() -> None:
    stored = serializer(keys=KeyRing({3: OLD})).encode(LONG)
    with pytest.raises(CorruptRecord, match="was another one when the record was written"):
        serializer(keys=KeyRing({3: NEW})).decode(stored)
    with pytest.raises(UnknownEncryptionKey, match="give the serialiser its keys"):
        serializer().decode(stored)


@given(data=st.data())
def test_damaged_records_are_refused_or_give_other_bytes_but_never_another_error(data: st.DataObject) -> None:
    made = WAYS[data.draw(st.sampled_from([*WAYS]))]
    stored = bytearray(made.encode(data.draw(st.sampled_from([LONG, b"\x0a\x00", bytes(2_000)]))))
    for place in data.draw(st.lists(st.integers(0, len(stored) * 8 - 1), max_size=3)):
        stored[place // 8] ^= 1 << place % 8
    stored = stored[: data.draw(st.integers(0, len(stored)))]
    try:
        made.decode(bytes(stored))
    except (CorruptRecord, UnknownEncryptionKey):
        pass


@given(st.binary(max_size=60))
def test_any_bytes_at_all_are_decoded_or_refused(stored: bytes) -> None:
    try:
        WAYS["both"].decode(stored)
    except (CorruptRecord, UnknownEncryptionKey):
        pass


def test_a_length_that_lies_takes_no_memory() -> None:
    claim = varint(4) + b"\x01" + (200 << 20).to_bytes(4, "big") + zlib.compress(bytes(1_000))
    tracemalloc.start()
    with pytest.raises(CorruptRecord, match="fewer bytes"):
        serializer().decode(claim)
    bomb = varint(4) + b"\x01" + (1_000).to_bytes(4, "big") + zlib.compress(bytes(50 << 20))
    tracemalloc.reset_peak()
    with pytest.raises(CorruptRecord, match="more bytes"):
        serializer().decode(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    with pytest.raises(CorruptRecord, match="over the limit"):
        serializer(largest=100).decode(serializer().encode(LONG))


# -- other compressions ------------------------------------------------------------------------------------


class Halves:
    """Takes every second byte of what consists of pairs."""

    version = 129

    def compress(self, data: bytes) -> bytes:
        return data[::2]

    def decompress(self, data: bytes, size: int) -> bytes:
        return bytes(byte for byte in data for _ in range(2))


def test_other_compressions_are_known_once_they_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressions, "_KNOWN", dict(compressions._KNOWN))
    data = b"aabbccddeeff"
    with pytest.raises(UsageError, match="register_compression first"):
        TransformingSerializer(compression=Halves())
    register_compression(Halves())
    register_compression(Halves())
    made = TransformingSerializer(compression=Halves())
    assert made.encode(data) == bytes.fromhex("04 81 0000000c") + b"abcdef"
    assert serializer().decode(made.encode(data)) == data, "whoever reads need not write like this"

    class Other(Halves):
        pass

    with pytest.raises(UsageError, match="choose another version"):
        register_compression(Other())
    with pytest.raises(UsageError, match="those below are Java's"):
        register_compression(Zlib(3))


# -- wrong use ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: Zlib(10),
        lambda: Zlib(True),
        lambda: TransformingSerializer(encrypt=True),
        lambda: TransformingSerializer(validate=2),
        lambda: TransformingSerializer(validate=-1),
        lambda: EncryptionKey(b"short"),
        lambda: EncryptionKey(OLD, "AES/GCM/NoPadding"),
        lambda: KeyRing({1: OLD}, current=2),
        lambda: KeyRing({1 << 31: OLD}),
        lambda: TransformingSerializer(keys=RING, random_bytes=lambda count: b"").encode(LONG),
    ],
)
def test_what_cannot_work_is_refused_at_once(call: Any) -> None:
    with pytest.raises(UsageError):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: TransformingSerializer(compression="zlib"),  # type: ignore[arg-type]
        lambda: EncryptionKey("secret"),  # type: ignore[arg-type]
        lambda: KeyRing({}),
        lambda: KeyRing("secret"),  # type: ignore[arg-type]
    ],
)
def test_values_of_wrong_types_are_refused_at_once(call: Any) -> None:
    with pytest.raises(WrongType):
        call()


def test_without_the_library_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    with pytest.raises(LibraryMissing, match=r"recordlayer\[encryption\]"):
        serializer(keys=RING).encode(LONG)


def test_secrets_are_not_shown() -> None:
    shown = repr(serializer(keys=RING)) + repr(EncryptionKey(OLD)) + repr(RING)
    assert OLD.hex() not in shown
    assert repr(OLD) not in shown
    assert decompressed(compressed(LONG, ZLIB) or b"") == LONG
