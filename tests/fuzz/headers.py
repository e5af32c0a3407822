"""Headers of stores, states of indexes, counters and what a change feed is known by: a store with any such bytes opens
or is refused in words, and what is not touched of its header stays as it was."""

from __future__ import annotations

from collections.abc import Iterable

from recordlayer.errors import RecordLayerError
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store.header import StoreHeader
from recordlayer.store.layout import Keyspace
from tests.fuzz.damage import Damaged
from tests.fuzz.harness import Target

HEADER, PAIRS = 0, 1
"""What the first byte of an input is: of a header alone, or of changed pairs."""

STORE = Damaged(
    ("by_customer", "per_customer"),
    ("load", "value", "counts"),
    tuple(
        (place.value,)
        for place in (Keyspace.HEADER, Keyspace.RECORD_COUNTS, Keyspace.INDEX_STATES, Keyspace.CHANGE_FEED)
    ),
)


def check(data: bytes) -> None:
    if data[:1] > bytes((HEADER,)):
        STORE.ask(data[1:])
        return
    header = StoreHeader.parse(data[1:], key=b"\x02s\x00\x14")
    written = header.serialized()
    assert StoreHeader.parse(written, key=b"").serialized() == written
    assert header.message == DataStoreInfo.FromString(data[1:])
    header.check_format()
    header.check_lock(bypass=None)
    header.check_may_write()


def seeds() -> Iterable[bytes]:
    info = DataStoreInfo(formatVersion=13, metaDataversion=3, userVersion=1, cacheable=True, incarnation=2)
    info.user_field.add(key="owner", value=b"ana")
    yield bytes((HEADER,)) + info.SerializeToString()
    for _, value in STORE.pairs[:1]:
        yield bytes((HEADER,)) + value


TARGET = Target("headers", check, (RecordLayerError,), seeds, lambda: STORE.hints(3, PAIRS))
