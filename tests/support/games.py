"""Players with scores, and events in space and time: what leaderboards and spatial indexes are about."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import recordlayer as rl
from recordlayer import field

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "games"
_MESSAGES: dict[str, tuple[tuple[str, bool, int | str], ...]] = {
    "Score": (
        ("points", False, _FIELD.TYPE_INT64),
        ("at", False, _FIELD.TYPE_INT64),
        ("ctx", False, _FIELD.TYPE_INT64),
    ),
    "Player": (
        ("id", False, _FIELD.TYPE_INT64),
        ("team", False, _FIELD.TYPE_STRING),
        ("scores", True, "Score"),
        ("weight", False, _FIELD.TYPE_DOUBLE),
    ),
    "Event": (
        ("id", False, _FIELD.TYPE_INT64),
        ("place", False, _FIELD.TYPE_STRING),
        ("begins", False, _FIELD.TYPE_INT64),
        ("ends", False, _FIELD.TYPE_INT64),
        ("level", False, _FIELD.TYPE_INT64),
        ("title", False, _FIELD.TYPE_STRING),
    ),
}


def _file() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="games.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field_name, repeated, kind) in enumerate(fields, 1):
            label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            made = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                made.type, made.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                made.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindFileByName(file.name)


FILE = _file()
Player: Any = message_factory.GetMessageClass(FILE.message_types_by_name["Player"])
Score: Any = message_factory.GetMessageClass(FILE.message_types_by_name["Score"])
Event: Any = message_factory.GetMessageClass(FILE.message_types_by_name["Event"])

PATH = ("shop", "league")


def builder() -> rl.RecordMetaDataBuilder:
    """Metadata of players and events without an index."""
    made = rl.RecordMetaDataBuilder(FILE)
    return made.primary_key("Player", field("id")).primary_key("Event", field("id"))
