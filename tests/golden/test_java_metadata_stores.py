"""Java's metadata store, step by step: the same calls here must leave the same pairs.

Record types stand in Java's stored metadata in the order of a hash table: before comparing, ours are put in that order.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from recordlayer.errors import EvolutionRefused
from recordlayer.keys import serial
from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.metadata import RecordMetaData, RecordMetaDataBuilder
from recordlayer.metadata.envelope import varint
from recordlayer.pb import record_metadata_pb2 as pb
from recordlayer.store.metadata_store import MetaDataStore, StoredMetaData
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.golden.scenario import Scenario
from tests.golden.test_metadata import in_java_order

PLACE = StoredMetaData(path=("golden", "metadata"))
PREFIX = pack(("golden", "metadata"))


def CONCERNS(scenario: Scenario) -> bool:
    return scenario.kind == "metadata-store"


async def perform(store: MetaDataStore, operation: Any) -> None:
    if operation["op"] == "save_metadata":
        await store.save(RecordMetaData.from_bytes(base64.b64decode(operation["metadata"])))
    elif operation["op"] == "save_file_descriptor":
        await store.save(from_file(base64.b64decode(operation["file_descriptor"])))
    elif operation["op"] == "add_index":
        expression = serial.from_bytes(bytes.fromhex(operation["expression"]))
        await store.mutate(lambda builder: builder.index(operation["record_type"], operation["index"], expression))
    elif operation["op"] == "drop_index":
        await store.mutate(lambda builder: builder.remove_index(operation["index"]))
    else:
        assert operation["op"] == "update_store_record_versions"
        await store.mutate(lambda builder: builder.store_record_versions(operation["value"]))


def from_file(file: bytes) -> RecordMetaData:
    return RecordMetaDataBuilder.from_descriptor_set(b"\x0a" + varint(len(file)) + file, file=name_of(file)).build()


def name_of(file: bytes) -> str:
    return pb.MetaData.FromString(b"\x0a" + varint(len(file)) + file).records.name


def test_the_same_calls_leave_the_same_pairs(scenario: Scenario, compared: Callable[..., None]) -> None:
    engine = open_engine("memory:")
    world = World()
    expected: dict[str, str] = {}
    for step in scenario.steps:
        (operation,) = step["operations"]
        context = Context(engine.begin(), world=world)
        store = MetaDataStore(context, PLACE)
        if "failed" in step:
            with pytest.raises(EvolutionRefused, match="version"):
                run_blocking(perform(store, operation))
            assert context.counters.writes == 0
        else:
            run_blocking(perform(store, operation))
        run_blocking(context.commit())
        expected |= dict(step["set"])
        context = Context(engine.begin(), world=world)
        rows = run_blocking(context.read_all(PREFIX, PREFIX + b"\xff"))
        there = {key[len(PREFIX) :].hex(): value for key, value in rows}
        assert sorted(there) == sorted(expected), step["label"]
        for key, value in there.items():
            java = bytes.fromhex(expected[key])
            assert in_java_order(value, java).hex() == java.hex(), (step["label"], key)
        compared("stored steps")
    engine.close()


def test_what_java_has_stored_is_loaded_with_its_history(scenario: Scenario, compared: Callable[..., None]) -> None:
    engine = open_engine("memory:")
    context = Context(engine.begin(), world=World())
    recorded = {bytes.fromhex(key): bytes.fromhex(value) for key, value in scenario.data["final"]}
    for key, value in recorded.items():
        context.set(PREFIX + key, value)
    run_blocking(context.commit())
    store = MetaDataStore(Context(engine.begin(), world=World()), PLACE)
    current = recorded.pop(b"\x00\x14")
    assert in_java_order(run_blocking(store.load()).to_bytes(), current) == current
    versions = run_blocking(store.history())
    assert [b"\x02H\x00" + pack((number, 0)) for number in versions] == list(recorded)
    for number, java in zip(versions, recorded.values(), strict=True):
        kept = run_blocking(store.version(number))
        assert kept is not None
        assert kept.version == number
        assert in_java_order(kept.to_bytes(), java) == java
    compared("metadata versions loaded", len(versions) + 1)
    engine.close()
