"""Records of the service as stored messages, and back: names, contents in either form, which fields are wanted.

The system field is the server's alone: what a caller's message holds there is dropped, and it never goes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from recordlayer import StoredRecord
from recordlayer.client.pb import types_pb2
from recordlayer.pb.parsing import PARSE_ERRORS
from recordlayer_server.limits import Limits
from recordlayer_server.schema import SYSTEM
from recordlayer_server.statuses import bad_request
from recordlayer_server.values import put_all, unknown_field, writer

Wanted = Mapping[str, Any]
"""Fields that are wanted, each with those that are wanted of it, or None for all of it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How records go out.

    wanted  None for all fields
    form    a value of types_pb2.Form
    """

    wanted: Wanted | None
    form: int


WHOLE: Mapping[int, Shape] = {
    form: Shape(None, form) for form in (types_pb2.FORM_UNSPECIFIED, types_pb2.FIELDS, types_pb2.MESSAGE)
}
"""All fields, in each form."""


def shape_of(request: Any, limits: Limits) -> Shape:
    """The shape that a request asks for.  Raises  Refusal."""
    whole = WHOLE.get(request.form)
    if whole is None:
        raise bad_request("form", "FIELDS or MESSAGE")
    if not request.HasField("desired_keys"):
        return whole
    names = request.desired_keys.fields
    if len(names) > limits.filter_nodes:
        raise bad_request("desired_keys", f"at most {limits.filter_nodes} fields")
    wanted: dict[str, Any] = {}
    for name in names:
        steps = name.split(".")
        if len(steps) > limits.filter_depth or not all(steps):
            raise bad_request("desired_keys", f"name fields as in address.city, at most {limits.filter_depth} deep")
        at = wanted
        for step in steps[:-1]:
            inner = at.setdefault(step, {})
            if inner is None:
                break
            at = inner
        else:
            at[steps[-1]] = None
    return Shape(wanted, request.form)


def zone_of(name: types_pb2.ZoneName, where: str, limits: Limits) -> str:
    """The zone's name, "" for the default zone.  Raises  Refusal."""
    if name.owner:
        raise bad_request(f"{where}.owner", "zones of others are not served yet")
    text: str = name.name
    if text and (text[0] == "$" or "\0" in text or len(text.encode()) > limits.name_bytes):
        raise bad_request(f"{where}.name", f"at most {limits.name_bytes} bytes, without a $ at the beginning")
    return text


def key_of(name: types_pb2.RecordName, where: str, limits: Limits) -> tuple[str, str]:
    """The primary key.  Raises  Refusal."""
    text: str = name.name
    if not text or "\0" in text or len(text.encode()) > limits.name_bytes:
        raise bad_request(f"{where}.name", f"1 to {limits.name_bytes} bytes")
    return (zone_of(name.zone, f"{where}.zone", limits) if name.HasField("zone") else ""), text


def name_of(key: tuple[Any, ...]) -> types_pb2.RecordName:
    return types_pb2.RecordName(zone=types_pb2.ZoneName(name=key[0]), name=key[1])


# -- out -------------------------------------------------------------------------------------------------------------


def outgoing(
    stored: StoredRecord, shape: Shape, *, tag: bytes | None = None, into: types_pb2.Record | None = None
) -> types_pb2.Record:
    """A stored record as callers get it. `tag`: its change tag, where the stored one is not complete; `into`: an empty
    message of a reply."""
    if tag is None:
        tag = b"" if stored.version is None else stored.version.to_bytes()
    return _outgoing(stored.message, stored.record_type.name, tag, shape, types_pb2.Record() if into is None else into)


def whole(message: Message, record_type: str, tag: bytes) -> types_pb2.Record:
    """A record with all its fields."""
    return _outgoing(message, record_type, tag, WHOLE[types_pb2.FIELDS], types_pb2.Record())


def _outgoing(message: Any, record_type: str, tag: bytes, shape: Shape, made: types_pb2.Record) -> types_pb2.Record:
    system = getattr(message, SYSTEM)
    name = made.name
    name.name, zone = system.name, system.zone
    name.zone.SetInParent()
    if zone:
        name.zone.name = zone
    made.record_type = record_type
    made.change_tag = tag
    _change(made.created, system.created_at, system.created_by, system.created_on)
    _change(made.modified, system.modified_at, system.modified_by, system.modified_on)
    if shape.form == types_pb2.MESSAGE:
        made.message = _serialised(message, shape.wanted)
    else:
        _fields(message, shape.wanted, made.fields)
    return made


def _change(into: types_pb2.Change, at: int, user: str, device: str) -> None:
    time = into.time
    time.seconds, time.nanos = at // 1_000_000, at % 1_000_000 * 1_000
    time.SetInParent()
    if user:
        into.user = user
    if device:
        into.device = device


def _serialised(message: Message, wanted: Wanted | None) -> bytes:
    copy = type(message)()
    if wanted is None:
        copy.CopyFrom(message)
        copy.ClearField(SYSTEM)
    else:
        _copy(message, copy, wanted)
    return copy.SerializePartialToString()


def _copy(source: Message, target: Message, wanted: Wanted) -> None:
    for field, _ in source.ListFields():
        name = field.name
        if name not in wanted or name == SYSTEM:
            continue
        inner = wanted[name]
        if inner is None or field.message_type is None or field.is_repeated:
            carry(source, target, name)
        else:
            getattr(target, name).SetInParent()
            _copy(getattr(source, name), getattr(target, name), inner)


def carry(source: Any, target: Any, name: str) -> None:
    """Let a field of one message hold what that of another one of the same type holds."""
    target.ClearField(name)
    part = type(source)()
    field = source.DESCRIPTOR.fields_by_name[name]
    held = getattr(source, name)
    if field.is_repeated:
        into = getattr(part, name)
        into.MergeFrom(held)
    elif field.message_type is not None:
        getattr(part, name).CopyFrom(held)
    else:
        setattr(part, name, held)
    target.MergeFrom(part)


def _fields(message: Message, wanted: Wanted | None, into: types_pb2.Fields) -> None:
    into.SetInParent()
    if wanted is not None and not wanted:
        return
    fields = into.fields
    for field, held in message.ListFields():
        name = field.name
        if name == SYSTEM or field.is_extension or (wanted is not None and name not in wanted):
            continue
        inner = None if wanted is None else wanted[name]
        if inner is None or field.message_type is None or field.is_repeated:
            writer(field)(fields[name], held)
        else:
            _fields(held, inner, fields[name].message_value)


# -- in --------------------------------------------------------------------------------------------------------------


def take(record: types_pb2.Record, into: Message, given: Iterable[str], where: str) -> None:
    """Put what a record gives into a message, and leave its other fields as they are.

    given  of contents as a message, the fields that are given; none: those that are set

    Raises  Refusal.
    """
    kind = record.WhichOneof("content")
    if kind == "fields":
        put_all(into, record.fields, f"{where}.fields", but=SYSTEM)
    elif kind == "message":
        _take_message(record.message, into, list(given), where)
    elif kind is not None:
        raise bad_request(f"{where}.chunked", "chunks are for ModifyStream")


def _take_message(data: bytes, into: Message, given: list[str], where: str) -> None:
    source: Any = type(into)()
    try:
        source.ParseFromString(data)
    except PARSE_ERRORS:
        raise bad_request(f"{where}.message", "these bytes are no message of the record's type") from None
    source.ClearField(SYSTEM)
    if not given:
        names = [field.name for field, _ in source.ListFields() if not field.is_extension]
        for name in names:
            into.ClearField(name)
        into.MergeFrom(source)
        return
    for path in given:
        _take_path(source, into, path.split("."), f"{where}.given_fields")


def _take_path(source: Any, into: Any, steps: list[str], where: str) -> None:
    name = steps[0]
    field = into.DESCRIPTOR.fields_by_name.get(name)
    if field is None or name == SYSTEM:
        raise unknown_field(name, where)
    present = source.HasField(name) if field.has_presence else True
    if len(steps) == 1:
        if present:
            carry(source, into, name)
        else:
            into.ClearField(name)
        return
    if field.message_type is None or field.is_repeated:
        raise bad_request(where, f"{name[:100]} has no fields")
    _take_path(getattr(source, name), getattr(into, name), steps[1:], where)
