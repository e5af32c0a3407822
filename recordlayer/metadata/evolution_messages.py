"""Evolution of the union and of the messages in it: stored records must stay readable and mean the same.

Source  Record Layer: MetaDataEvolutionValidator.validateUnion, validateMessage, validateField, validateEnum
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor as FieldTypes

from recordlayer.keys import access
from recordlayer.metadata import files
from recordlayer.metadata.evolution import Change, Evolution, Finding, Rule

if TYPE_CHECKING:
    from recordlayer.pb import descriptor_pb2
    from recordlayer.pb.types import Descriptor, FieldDescriptor

_WIDER = {
    (FieldTypes.TYPE_INT32, FieldTypes.TYPE_INT64),
    (FieldTypes.TYPE_SINT32, FieldTypes.TYPE_SINT64),
}


def union(change: Change) -> Iterator[Finding]:
    """Numbers of union fields stay, and with them which types are one."""
    numbers = {field.number for field in change.new.union.fields}
    for field in change.old.union.fields:
        if field.number not in numbers:
            about = {"message": field.descriptor.name, "number": field.number}
            yield Finding("union field removed", "records are stored under its number", about)
    became: dict[str, Descriptor] = {}
    came_from: dict[str, Descriptor] = {}
    for old, new in change.kept_messages:
        other: Descriptor = became.setdefault(old.full_name, new)
        if other.full_name != new.full_name:
            about = {"old": old.name, "new": [other.name, new.name]}
            yield Finding("record type divided", "one type became two", about)
        origin: Descriptor = came_from.setdefault(new.full_name, old)
        if origin.full_name != old.full_name:
            about = {"old": [origin.name, old.name], "new": new.name}
            yield Finding("record types merged", "two types became one", about)


def renames(change: Change) -> Iterator[Finding]:
    if not change.allow.disallow_type_renames:
        return
    for old, new in change.renames.items():
        if old != new:
            reason = "renames were ruled out by disallow_type_renames"
            yield Finding("record type renamed", reason, {"old": old, "new": new})


def messages(change: Change) -> Iterator[Finding]:
    """The form of all messages that records reach."""
    seen: set[tuple[str, str]] = set()
    before, after = files.Protos(), files.Protos()
    queue = deque(change.kept_messages)
    while queue:
        old, new = queue.popleft()
        if (old.full_name, new.full_name) in seen or old is new:
            continue
        seen.add((old.full_name, new.full_name))
        was, now_is = _syntax(before.file(old.file)), _syntax(after.file(new.file))
        if was != now_is:
            about = {"message": new.name, "old": was, "new": now_is}
            yield Finding("syntax changed", "unset fields and unknown enum values would read differently", about)
        yield from _message(old, new, change.allow)
        for field in old.fields:
            now = new.fields_by_number.get(field.number)
            if now is not None and field.message_type is not None and now.message_type is not None:
                queue.append((field.message_type, now.message_type))


def _message(old: Descriptor, new: Descriptor, allow: Evolution) -> Iterator[Finding]:
    for field in old.fields:
        now = new.fields_by_number.get(field.number)
        if now is None:
            about = {"message": new.name, "field": field.name, "number": field.number}
            yield Finding("field removed", "its values are still stored: mark the field deprecated instead", about)
        else:
            yield from _field(field, now, allow)
    for field in new.fields:
        if field.number not in old.fields_by_number and access.is_required(field):
            about = {"message": new.name, "field": field.name}
            yield Finding("required field added", "records that are stored do not have it", about)


def _field(old: FieldDescriptor, new: FieldDescriptor, allow: Evolution) -> Iterator[Finding]:
    about = {"message": new.containing_type.name, "field": new.name}
    was_deprecated, is_deprecated = old.GetOptions().deprecated, new.GetOptions().deprecated
    if old.name != new.name:
        deprecated = allow.allow_deprecated_field_renames and (was_deprecated or is_deprecated)
        if not (allow.allow_field_renames or deprecated):
            names = {"message": new.containing_type.name, "old": old.name, "new": new.name}
            reason = "key expressions, queries and other programs know fields by their names"
            yield Finding("field renamed", reason, names, "allow_field_renames")
    if was_deprecated and not is_deprecated and not allow.allow_undeprecating_fields:
        reason = "programs in between may have left it empty"
        yield Finding("field no longer deprecated", reason, about, "allow_undeprecating_fields")
    if old.type != new.type and (old.type, new.type) not in _WIDER:
        kinds = {**about, "old": _type_name(old), "new": _type_name(new)}
        yield Finding("field type changed", "stored values and index entries would read differently", kinds)
    if access.is_required(old) and not access.is_required(new):
        yield Finding("field no longer required", "programs of the old form refuse records without it", about)
    elif access.is_required(new) and not access.is_required(old):
        yield Finding("field is required now", "stored records may lack it", about)
    if access.is_repeated(old) and not access.is_repeated(new):
        yield Finding("field no longer repeated", "all but the last of its stored values would be lost", about)
    elif access.is_repeated(new) and not access.is_repeated(old):
        yield Finding("field is repeated now", "index entries would have to be made differently", about)
    elif bool(old.has_presence) != bool(new.has_presence):
        reason = "a stored default would read as a value where it was none, or the other way round"
        yield Finding("presence of a field changed", reason, about)
    if old.enum_type is not None and new.enum_type is not None:
        known = new.enum_type.values_by_number
        removed = [value.name for value in old.enum_type.values if value.number not in known]
        if removed:
            yield Finding("enum values removed", "they may be stored", {**about, "values": removed})


def _syntax(proto: descriptor_pb2.FileDescriptorProto) -> str:
    return f"edition {proto.edition}" if proto.syntax == "editions" else proto.syntax or "proto2"


def _type_name(field: FieldDescriptor) -> str:
    names = {number: name for name, number in vars(FieldTypes).items() if name.startswith("TYPE_")}
    return names.get(field.type, str(field.type)).removeprefix("TYPE_").lower()


RULES: tuple[Rule, ...] = (union, renames, messages)
