"""The promise of the package recordlayer.v1: what is there stays, with its number, type and meaning; more may come."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from recordlayer.client.pb import (
    admin_pb2,
    assets_pb2,
    context_pb2,
    errors_pb2,
    filter_pb2,
    records_pb2,
    replica_pb2,
    schemas_pb2,
    server_pb2,
    subscriptions_pb2,
    sync_pb2,
    transactions_pb2,
    types_pb2,
    zones_pb2,
)
from recordlayer_server.pb import assets_pb2 as stored_assets_pb2
from recordlayer_server.pb import schemas_pb2 as stored_schemas_pb2
from recordlayer_server.pb import stored_pb2
from recordlayer_server.pb import subscriptions_pb2 as stored_subscriptions_pb2

FILES = (
    admin_pb2,
    assets_pb2,
    context_pb2,
    errors_pb2,
    filter_pb2,
    records_pb2,
    replica_pb2,
    schemas_pb2,
    server_pb2,
    subscriptions_pb2,
    sync_pb2,
    transactions_pb2,
    types_pb2,
    zones_pb2,
    stored_assets_pb2,
    stored_pb2,
    stored_schemas_pb2,
    stored_subscriptions_pb2,
)
PROMISED = Path(__file__).parents[1] / "golden" / "service" / "promised.txt"

_KINDS = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}


def said() -> list[str]:
    """Every method, field and enum value, a line each."""
    lines: list[str] = []
    for module in FILES:
        file = module.DESCRIPTOR
        for service in file.services_by_name.values():
            for method in service.methods:
                asked = "stream " * method.client_streaming + method.input_type.full_name
                answered = "stream " * method.server_streaming + method.output_type.full_name
                lines.append(f"{service.full_name}.{method.name}({asked}) -> {answered}")
        lines += [line for message in file.message_types_by_name.values() for line in of_message(message)]
        lines += [line for enum in file.enum_types_by_name.values() for line in of_enum(enum)]
    return sorted(lines)


def of_message(message: Any) -> Iterator[str]:
    for field in message.fields:
        kind = (field.message_type or field.enum_type).full_name if field.message_type or field.enum_type else ""
        kind = kind or _KINDS[field.type]
        yield f"{message.full_name}.{field.name} = {field.number}: {'repeated ' * field.is_repeated}{kind}"
    for nested in message.nested_types:
        yield from of_message(nested)
    for enum in message.enum_types:
        yield from of_enum(enum)


def of_enum(enum: Any) -> Iterator[str]:
    return (f"{enum.full_name}.{value.name} = {value.number}" for value in enum.values)


def test_what_was_promised_is_there_with_its_number(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        PROMISED.parent.mkdir(exist_ok=True)
        PROMISED.write_text("\n".join(said()) + "\n")
    promised = PROMISED.read_text().splitlines()
    assert len(promised) > 200
    assert set(promised) - set(said()) == set(), "callers use these: add beside them, and leave them as they are"


def test_what_is_new_is_promised_too() -> None:
    assert set(said()) - set(PROMISED.read_text().splitlines()) == set(), "run with --update-golden"


@pytest.mark.parametrize("module", FILES, ids=lambda module: module.DESCRIPTOR.name)
def test_the_first_value_of_an_enum_means_that_nothing_was_said(module: Any) -> None:
    enums = [enum for message in module.DESCRIPTOR.message_types_by_name.values() for enum in message.enum_types]
    enums += module.DESCRIPTOR.enum_types_by_name.values()
    for enum in enums:
        first = enum.values_by_number[0].name
        assert first == "NONE" or re.fullmatch(r"[A-Z_]+_UNSPECIFIED", first), enum.full_name
