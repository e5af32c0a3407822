"""Records as pairs: written in parts, put together, grouped by scans that stop anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.cursor.scan import KeyRange, ScanOptions
from recordlayer.cursor.step import Stop, drain
from recordlayer.errors import CorruptHeader, CorruptRecord, UsageError, WrongType
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.store.header import StoreHeader
from recordlayer.store.layout import Keyspace, StoreLayout
from recordlayer.store.primary_keys import PrimaryKeys
from recordlayer.store.record import Codec
from recordlayer.store.records import Records
from recordlayer.store.serializer import PLAIN
from recordlayer.store.split import PART, Splitting, pending_version, suffix_length, write_version
from recordlayer.tuples import Versionstamp, pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.support.shop import builder, plain

LAYOUT = StoreLayout(pack(("s",)))
SPLITTING = Splitting(splits=True, omits_suffix=False)

KEYS = st.one_of(
    st.tuples(st.integers(-300, 70_000)),
    st.tuples(st.binary(max_size=4)),
    st.tuples(st.integers(0, 30), st.text(alphabet="\x00\x14\x15\xffa", max_size=3)),
)
SIZES = st.sampled_from([0, 1, 5, PART, PART + 1, 2 * PART, 2 * PART + 1])


def none_begins_another(records: dict[Any, Any]) -> bool:
    """Primary keys of a store have this: where one is the beginning of another, pairs of two records interleave."""
    packed = sorted(pack(key) for key in records)
    return not any(after.startswith(before) for before, after in pairwise(packed))


RECORDS = st.dictionaries(KEYS, st.tuples(SIZES, st.booleans()), max_size=6).filter(none_begins_another)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = open_engine("memory:")
    yield engine
    engine.close()


def records_of(context: Context, splitting: Splitting = SPLITTING, *, old_versions: bool = False) -> Records:
    codec = Codec(builder().store_record_versions(True).split_long_records(True).build(), PLAIN)
    return Records(context, LAYOUT, codec, splitting, old_versions=old_versions)


VERSION = Versionstamp(b"\x00" * 9 + b"\x01", 2)


def put(context: Context, key: bytes, size: int, *, versioned: bool) -> None:
    base = LAYOUT.records + key
    SPLITTING.write(context, base, bytes(size), None)
    if versioned:
        write_version(context, base, VERSION)


@given(records=RECORDS, reverse=st.booleans(), limit=st.integers(0, 4), keys=st.integers(1, 6))
def test_scans_give_every_record_whole_and_go_on_behind_any_of_them(
    engine: Engine, records: dict[Any, Any], reverse: bool, limit: int, keys: int
) -> None:
    context = Context(engine.begin(), world=World())
    expected = sorted((pack(key), size, versioned) for key, (size, versioned) in records.items())
    for key, size, versioned in expected:
        put(context, key, size, versioned=versioned)
    if reverse:
        expected.reverse()
    everything = KeyRange(LAYOUT.records, LAYOUT.records + b"\xff", len(LAYOUT.records))

    async def pages() -> list[tuple[bytes, int, bool]]:
        from recordlayer.cursor.limits import Budget, Limits

        found: list[tuple[bytes, int, bool]] = []
        continuation: bytes | None = None
        while True:
            budget = Budget(World().clock, Limits(keys=keys))
            options = ScanOptions(reverse=reverse, limit=limit, continuation=continuation, budget=budget)
            cursor = records_of(context).scan(everything, options)
            batch = None
            while batch is None or batch.stop is None:
                batch = await cursor.batch()
                for record in batch.values:
                    data = record._data
                    assert data is not None
                    found.append((record.primary_key_bytes, len(data), record.version is not None))
            if batch.stop is Stop.EXHAUSTED:
                return found
            continuation = batch.end

    assert run_blocking(pages()) == expected
    context.close()


@given(key=KEYS, size=SIZES, before=st.none() | SIZES, versioned=st.booleans())
def test_a_record_is_put_together_as_it_was_written_whatever_was_there_before(
    engine: Engine, key: Any, size: int, before: int | None, versioned: bool
) -> None:
    context = Context(engine.begin(), world=World())
    records, packed = records_of(context), pack(key)
    old = None
    if before is not None:
        put(context, packed, before, versioned=True)
        old = run_blocking(records.finish(records.begin(packed)))
        assert old is not None
    SPLITTING.write(context, LAYOUT.records + packed, bytes([7]) * size, None if old is None else old.shape)
    if versioned:
        write_version(context, LAYOUT.records + packed, VERSION)
    elif old is not None:
        context.clear(LAYOUT.records + packed + b"\x13\xfe")
    found = run_blocking(records.finish(records.begin(packed)))
    assert found is not None
    assert found.data == bytes([7]) * size
    assert found.version == (VERSION if versioned else None)
    records.remove(packed, found)
    assert run_blocking(records.finish(records.begin(packed))) is None
    context.close()


@given(key=KEYS, suffix=st.sampled_from([-1, 0, 1, 2, 19, 20, 21, 255, 256, 276, 5377]))
def test_the_suffix_of_a_key_is_told_from_the_end_of_the_primary_key(key: Any, suffix: int) -> None:
    whole = pack((*key, suffix), LAYOUT.records)
    assert suffix_length(whole, len(LAYOUT.records)) == len(pack((suffix,)))


@pytest.mark.parametrize(
    ("suffixes", "found"),
    [
        ((-1,), "a version without a record"),
        ((2,), "part 1 was expected"),
        ((1, 3), "part 2 was expected"),
        ((0, 1), "something follows the record"),
        ((-1, 0, 1), "something follows the record"),
        ((7,), "part 1 was expected"),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_pairs_that_are_no_record_are_refused(engine: Engine, suffixes: Any, found: str, reverse: bool) -> None:
    context = Context(engine.begin(), world=World())
    for suffix in suffixes:
        context.set(pack((1, suffix), LAYOUT.records), b"\x33" + VERSION.to_bytes() if suffix < 0 else b"x")
    records = records_of(context)
    with pytest.raises(CorruptRecord, match=found):
        run_blocking(records.finish(records.begin(pack((1,)))))
    everything = KeyRange(LAYOUT.records, LAYOUT.records + b"\xff", len(LAYOUT.records))
    with pytest.raises(CorruptRecord):
        run_blocking(drain(records.scan(everything, ScanOptions(reverse=reverse))))
    context.close()


@pytest.mark.parametrize("value", [b"", b"\x15\x01", b"\x33short", pack((1, 2)), b"\xff"])
def test_a_damaged_version_is_named(engine: Engine, value: bytes) -> None:
    context = Context(engine.begin(), world=World())
    context.set(pack((1, -1), LAYOUT.records), value)
    context.set(pack((1, 0), LAYOUT.records), b"x")
    records = records_of(context)
    with pytest.raises(CorruptRecord, match="version"):
        run_blocking(records.finish(records.begin(pack((1,)))))
    context.close()


def test_a_version_that_waits_for_the_commit_is_read_back_and_dropped_with_its_record(engine: Engine) -> None:
    context = Context(engine.begin(), world=World())
    base = LAYOUT.records + pack((1,))
    version = Versionstamp.incomplete(5)
    SPLITTING.write(context, base, b"x", None)
    write_version(context, base, version)
    assert pending_version(context, base) == version
    context.clear_range(base + b"\x00", base + b"\xff")
    assert pending_version(context, base) is None
    context.close()


def test_keyspaces_are_told_from_keys() -> None:
    for keyspace in Keyspace:
        assert LAYOUT.keyspace_of(LAYOUT.of(keyspace) + b"\x15\x09") is keyspace
    assert LAYOUT.keyspace_of(LAYOUT.prefix + b"\x02x\x00") is None
    assert LAYOUT.keyspace_of(b"elsewhere") is None


@given(st.binary(max_size=40))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    try:
        header = StoreHeader.parse(data, key=LAYOUT.header)
    except CorruptHeader:
        return
    assert header.present


@pytest.mark.parametrize(
    ("given_key", "columns"),
    [(7, (7,)), ((7,), (7,)), ([7], (7,)), ("ref", ("ref",)), ((None,), (None,)), (-(2**63), (-(2**63),))],
)
def test_primary_keys_are_taken_as_people_write_them(given_key: Any, columns: Any) -> None:
    assert PrimaryKeys(plain()).columns(given_key) == columns


@pytest.mark.parametrize("given_key", [(), (1, 2), 1.5, True, b"x", object()])
def test_what_no_record_has_as_its_key_is_refused(given_key: Any) -> None:
    with pytest.raises((UsageError, WrongType)):
        PrimaryKeys(plain()).columns(given_key)
