"""Unnested record types: records that are not stored, one for each choice of elements of a stored record's repeated
messages. An order with three items gives three; an index over them has an entry for each item, with columns of both.

A record of such a type is a message with a field for each constituent: the stored record itself, and one message out of
those that the nesting expression of each other constituent finds in its parent. `__positions` says which.

    primary key  (key of the type, (*primary key of the stored record), (position,), (position,)...), in the order of
                 the constituents; a position counts from 0 among all messages that the nesting expression finds

Source  Record Layer, UnnestedRecordType, UnnestedRecordTypeBuilder, UnnestStoredRecordPlan
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recordlayer.keys import FanType, Field, KeyExpression, Nesting, access
from recordlayer.keys import serial as keys_serial
from recordlayer.metadata import files
from recordlayer.metadata.record_type import RecordType
from recordlayer.metadata.synthetic import POSITIONS, Items, SyntheticRecord, described
from recordlayer.pb import record_metadata_pb2 as pb
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor


@dataclass(frozen=True, slots=True)
class Nested:
    """A constituent that lies inside another one."""

    name: str
    parent: str
    expression: KeyExpression


@dataclass(frozen=True, slots=True, eq=False)
class UnnestedType:
    """An unnested record type.

    parent       the constituent that is a stored record
    stored       its record type
    nested       the others, parents first
    names        of all constituents, in the order of the primary key
    """

    name: str
    record_type_key: Any
    parent: str
    stored: RecordType
    nested: tuple[Nested, ...]
    names: tuple[str, ...]
    message_class: type[Message]

    @property
    def descriptor(self) -> Descriptor:
        return self.message_class.DESCRIPTOR

    @property
    def stored_types(self) -> tuple[RecordType, ...]:
        """The one type that they are made from."""
        return (self.stored,)

    built_from = stored_types

    def records(self, message: Message, primary_key: Items) -> list[SyntheticRecord]:
        """Those that a stored record gives. Where a constituent finds no message there are none."""
        found: list[dict[str, tuple[Any, int]]] = [{self.parent: (message, 0)}]
        for constituent in self.nested:
            found = [
                {**chosen, constituent.name: (child, place)}
                for chosen in found
                for place, child in enumerate(_messages(constituent.expression, chosen[constituent.parent][0]))
            ]
        stored_key = pack(primary_key)
        return [self._record(chosen, primary_key, stored_key) for chosen in found]

    def _record(self, chosen: Mapping[str, tuple[Any, int]], primary_key: Items, stored_key: bytes) -> SyntheticRecord:
        message: Any = self.message_class()
        positions = getattr(message, POSITIONS)
        positions.SetInParent()
        key: list[Any] = [self.record_type_key]
        for name in self.names:
            part, place = chosen[name]
            access.take_over(getattr(message, name), part)
            if name == self.parent:
                key.append(primary_key)
            else:
                setattr(positions, name, place)
                key.append((place,))
        return SyntheticRecord(self, message, tuple(key), stored_key)


def _messages(expression: KeyExpression, message: Any) -> Iterator[Any]:
    """The messages that a nesting expression finds, in order."""
    if isinstance(expression, Nesting):
        for parent in _messages(expression.parent, message):
            yield from _messages(expression.child, parent)
        return
    assert isinstance(expression, Field), "checked when the type was made"
    if expression.fan_type is FanType.FAN_OUT:
        yield from getattr(message, expression.name)
    elif message.HasField(expression.name):
        yield getattr(message, expression.name)


def unnested_type(stored: pb.UnnestedRecordType, record_types: Mapping[str, RecordType]) -> UnnestedType | None:
    """The type of a stored definition; None for what Java would refuse, or what needs more than fields to find its
    messages."""
    parent, parent_type = "", None
    nested: list[Nested] = []
    kinds: dict[str, Descriptor] = {}
    for constituent in stored.nested_constituents:
        name = constituent.name
        if name in kinds or name.startswith("__"):
            return None
        if not constituent.parent:
            parent_type = record_types.get(constituent.type_name)
            if parent or parent_type is None:
                return None
            parent, kinds[name] = name, parent_type.descriptor
            continue
        if not constituent.HasField("nesting_expression"):
            return None
        expression = keys_serial.from_proto(constituent.nesting_expression)
        kind = kinds.get(constituent.parent)
        found = None if kind is None else message_type(expression, kind)
        if found is None:
            return None
        kinds[name] = found
        nested.append(Nested(name, constituent.parent, expression))
    if parent_type is None:
        return None
    key = keys_serial.value_from_proto(stored.record_type_key).element
    names = tuple(kinds)
    kind = described(stored.name, kinds, positions=[name for name in names if name != parent])
    return UnnestedType(stored.name, key, parent, parent_type, tuple(nested), names, files.message_class(kind))


def message_type(expression: KeyExpression, descriptor: Descriptor) -> Descriptor | None:
    """The type of the messages that a nesting expression finds."""
    if isinstance(expression, Nesting):
        inside = message_type(expression.parent, descriptor)
        return None if inside is None else message_type(expression.child, inside)
    if not isinstance(expression, Field) or expression.fan_type is FanType.CONCATENATE:
        return None
    found = descriptor.fields_by_name.get(expression.name)
    return None if found is None else found.message_type
