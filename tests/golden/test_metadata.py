"""Metadata that Java stored: read, checked against what Java says about it, written again."""

from __future__ import annotations

import base64
import json
from itertools import pairwise

import pytest

from recordlayer import tuples
from recordlayer.keys import serial
from recordlayer.metadata import Evolution, RecordMetaData, RecordMetaDataBuilder
from recordlayer.metadata.envelope import varint
from recordlayer.metadata.files import load_descriptor_set
from recordlayer.pb import record_metadata_pb2 as pb
from tests.golden.scenario import OUR_COPY, Scenario, record_of


def CONCERNS(scenario: Scenario) -> bool:
    return bool(scenario.metadata_messages)


def in_java_order(message: bytes, like: bytes) -> bytes:
    """A `MetaData` message with its record types in the order of another: Java's is that of a hash table."""
    made, wanted = pb.MetaData.FromString(message), pb.MetaData.FromString(like)
    order = [record_type.name for record_type in wanted.record_types]
    record_types = sorted(made.record_types, key=lambda record_type: order.index(record_type.name))
    for index, other in zip(made.indexes, wanted.indexes, strict=True):
        assert sorted(index.record_type) == sorted(other.record_type)
        index.record_type[:] = other.record_type
        options = {option.key: option for option in index.options}
        in_order = [options[option.key] for option in other.options]
        assert len(in_order) == len(index.options)
        del index.options[:]
        index.options.extend(in_order)
    del made.record_types[:]
    made.record_types.extend(record_types)
    return made.SerializeToString()


def test_stored_metadata_is_written_again_byte_for_byte(scenario: Scenario, compared) -> None:
    for message in scenario.metadata_messages:
        assert in_java_order(RecordMetaData.from_bytes(message).to_bytes(), message) == message
    compared("metadata round trips", len(scenario.metadata_messages))


def test_keys_types_and_positions_are_what_java_says(scenario: Scenario, compared) -> None:
    for version, metadata in zip(scenario.data.get("metadata_versions", []), scenario.metadata, strict=False):
        assert metadata.version == version["version"]
        assert set(metadata.indexes) == set(version["indexes"])
        for name, said in version["indexes"].items():
            index = metadata.index(name)
            positions = said.get("primary_key_positions")
            assert index.primary_key_positions == (tuple(json.loads(positions)) if positions else None)
            assert (index.type, dict(index.options)) == (said["type"], said.get("options", {}))
            assert tuples.pack((index.subspace_key,)).hex() == said["subspace_key"]
        assert set(metadata.record_types) == set(version["record_types"])
        for name, said in version["record_types"].items():
            assert str(metadata.record_type(name).record_type_key) == said["record_type_key"]
        compared("index definitions", len(version["indexes"]))


def test_the_records_file_alone_gives_the_same_record_types(scenario: Scenario, compared) -> None:
    for version, metadata in zip(scenario.data.get("metadata_versions", []), scenario.metadata, strict=False):
        file = load_descriptor_set(base64.b64decode(version["file_descriptor_set"]))
        builder = RecordMetaDataBuilder(file)
        for name, record_type in metadata.record_types.items():
            builder.primary_key(name, record_type.primary_key)
            if record_type.explicit_key is not None:
                builder.record_type_key(name, record_type.explicit_key)
        built = builder.build()
        for name, record_type in metadata.record_types.items():
            other = built.record_type(name)
            assert other.record_type_key == record_type.record_type_key
            assert (other.union_field, other.union_fields) == (record_type.union_field, record_type.union_fields)
        compared("unions")


def test_saved_records_have_java_s_primary_keys_and_envelopes(scenario: Scenario, compared) -> None:
    plain = scenario.kind not in ("serializer", "split")
    for step in scenario.steps:
        if "open_store" not in step:
            continue
        metadata = scenario.metadata[step["open_store"]["metadata"]]
        stored = {value for _, value in step["set"] if isinstance(value, str)}
        saves = [operation for operation in step["operations"] if operation["op"] == "save"]
        for number, operation in enumerate(saves):
            if "primary_key" not in operation or "failed" in step:
                continue
            record_type = metadata.record_type(operation["record_type"])
            message = record_type.message_class.FromString(record_of(operation))
            primary_key = record_type.primary_key.evaluate_single(message, record_type.context)
            assert tuples.pack(primary_key).hex() == operation["primary_key"]["packed"]
            compared("primary keys")
            envelope = metadata.envelope(message)
            assert metadata.open_envelope(envelope) == (record_type, message)
            later = [other["primary_key"]["packed"] for other in saves[number + 1 :] if "primary_key" in other]
            overwritten = operation["primary_key"]["packed"] in later or step_deletes(step)
            if plain and not overwritten and len(envelope) <= 3000 and envelope.hex() in stored:
                compared("envelopes")


def step_deletes(step) -> bool:
    return any(operation["op"].startswith("delete") for operation in step["operations"])


def test_a_file_without_a_union_gives_the_metadata_that_java_stores(pytestconfig) -> None:
    scenario = chosen(pytestconfig, "metadata-store-no-union-a")
    (step,) = scenario.steps
    (operation,) = step["operations"]
    stored = bytes.fromhex(step["set"][0][1])
    name = pb.MetaData.FromString(stored).records.name
    descriptor_set = b"\x0a" + varint_bytes(base64.b64decode(operation["file_descriptor"]))
    built = RecordMetaDataBuilder.from_descriptor_set(descriptor_set, file=name).build()
    assert in_java_order(built.to_bytes(), stored) == stored


def varint_bytes(data: bytes) -> bytes:
    return varint(len(data)) + data


def test_edited_metadata_is_what_java_s_metadata_store_writes(pytestconfig) -> None:
    scenario = chosen(pytestconfig, "metadata-store-a")
    stored = b""
    for step in scenario.steps:
        (operation,) = step["operations"]
        if operation["op"] == "save_metadata":
            saved = RecordMetaData.from_bytes(base64.b64decode(operation["metadata"]))
            if stored:
                findings = Evolution().findings(RecordMetaData.from_bytes(stored), saved)
                assert bool(findings) == ("failed" in step)
            built = saved
        else:
            builder = RecordMetaDataBuilder.from_proto(stored)
            edit(builder, operation)
            built = builder.build()
            assert Evolution().findings(RecordMetaData.from_bytes(stored), built) == ()
        if "failed" in step:
            continue
        stored = bytes.fromhex(dict(step["set"])["0014"])
        assert in_java_order(built.to_bytes(), stored) == stored


def edit(builder: RecordMetaDataBuilder, operation: dict) -> None:
    if operation["op"] == "add_index":
        expression = serial.from_bytes(bytes.fromhex(operation["expression"]))
        builder.index(operation["record_type"], operation["index"], expression)
    elif operation["op"] == "drop_index":
        builder.remove_index(operation["index"])
    else:
        assert operation["op"] == "update_store_record_versions"
        builder.store_record_versions(operation["value"])


def chosen(pytestconfig, name: str) -> Scenario:
    scenario = Scenario((pytestconfig.getoption("--golden-dir", default=None) or OUR_COPY) / f"{name}.json")
    if not scenario.path.exists():
        pytest.skip(f"the directory has no {name}.json")
    return scenario


def test_later_metadata_of_a_scenario_may_follow_earlier_ones(scenario: Scenario, compared) -> None:
    for old, new in pairwise(scenario.metadata):
        assert Evolution().findings(old, new) == ()
        compared("evolutions")
