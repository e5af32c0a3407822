"""Records as they are stored: envelopes, plain and transformed, are read or refused and come back as they were; pairs
of records that are not what they were are scanned, loaded and checked."""

from __future__ import annotations

from collections.abc import Iterable

from recordlayer.errors import RecordLayerError
from recordlayer.store import KeyRing, TransformingSerializer
from recordlayer.store.layout import Keyspace
from tests.fuzz.damage import Damaged
from tests.fuzz.harness import Target
from tests.support.every_index import EVERY, customers, order

PLAIN, TRANSFORMED, PAIRS = 0, 1, 2
"""What the first byte of an input is: of an envelope, of a transformed one, of changed pairs."""

KEYS = KeyRing({1: bytes(16), 2: bytes(range(16))})
SERIALIZERS = (
    TransformingSerializer(largest=1 << 20),
    TransformingSerializer(keys=KEYS, largest=1 << 20, random_bytes=lambda size: bytes(size)),
    TransformingSerializer(keys=KEYS, compression=None, largest=1 << 20, random_bytes=lambda size: bytes(size)),
)
STORE = Damaged(("by_customer",), ("load", "scan", "scan backwards", "value"), ((Keyspace.RECORDS.value,),))


def check(data: bytes) -> None:
    kind, body = data[:1], data[1:]
    if kind > bytes((TRANSFORMED,)):
        STORE.ask(body)
    elif kind == bytes((TRANSFORMED,)):
        plain = SERIALIZERS[1].decode(body)
        assert len(plain) <= 1 << 20
        for serializer in SERIALIZERS:
            assert SERIALIZERS[1].decode(serializer.encode(plain)) == plain
    else:
        record_type, record = EVERY.open_envelope(body)
        split_type, bytes_of = EVERY.split_envelope(body)
        assert split_type is record_type
        assert record_type.message_class.FromString(bytes_of) == record
        written = EVERY.envelope(record)
        assert EVERY.envelope(EVERY.open_envelope(written)[1]) == written


def seeds() -> Iterable[bytes]:
    envelopes = [EVERY.envelope(record) for record in (customers()[0], order(3, 3, long=0), order(70_000, 9, long=0))]
    for envelope in envelopes:
        yield bytes((PLAIN,)) + envelope
        for serializer in SERIALIZERS:
            yield bytes((TRANSFORMED,)) + serializer.encode(envelope)
    yield bytes((TRANSFORMED,)) + SERIALIZERS[0].encode(b"a" * 5_000)


TARGET = Target("records", check, (RecordLayerError,), seeds, lambda: STORE.hints(4, PAIRS))
