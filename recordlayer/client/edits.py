"""Records as the client gives and takes them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from recordlayer.client.pb import records_pb2, types_pb2
from recordlayer.errors import UsageError

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[M]):
    """A record: its name, its message, and the change tag under which it may be replaced or deleted."""

    name: str
    message: M
    change_tag: bytes


def _key() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Save:
    """Put a record there.

    name        "" for a new record: the server makes one up
    change_tag  the record must still have it; None: replace whatever is there
    create      it must not be there yet
    key         the idempotency key: who sends the same again applies it once
    """

    message: Message
    name: str = ""
    change_tag: bytes | None = field(default=None, kw_only=True)
    create: bool = field(default=False, kw_only=True)
    key: str = field(default_factory=_key, kw_only=True)

    def __post_init__(self) -> None:
        if self.create and self.change_tag is not None:
            raise UsageError(what="create with a change tag", hint="a record that is not there has none")
        if not self.name and self.change_tag is not None:
            raise UsageError(what="a change tag without a name", hint="name the record that has it")

    def operation(self, zone: types_pb2.ZoneName) -> records_pb2.Operation:
        new = self.create or not self.name
        kind = "CREATE" if new else "FORCE_REPLACE" if self.change_tag is None else "REPLACE"
        made = _operation(kind, zone, self.name, self.change_tag)
        made.record.record_type = self.message.DESCRIPTOR.name
        made.record.message = self.message.SerializeToString()
        return made

    def outcome(self, record: types_pb2.Record) -> Loaded[Any]:
        return Loaded(name=record.name.name, message=self.message, change_tag=record.change_tag)


@dataclass(frozen=True, slots=True)
class Update:
    """Change some fields of a record, and leave the others as they are; without a change tag whatever it holds, and
    made if it is not there.

    message     has the fields that change
    fields      their names, "customer" or "address.city": one that is named and not set in the message is unset. None:
                those that are set in it
    transforms  of `recordlayer.client.transforms`, behind the fields
    """

    message: Message
    name: str
    fields: Sequence[str] | None = field(default=None, kw_only=True)
    transforms: Sequence[records_pb2.Transform] = field(default=(), kw_only=True)
    change_tag: bytes | None = field(default=None, kw_only=True)
    key: str = field(default_factory=_key, kw_only=True)

    def __post_init__(self) -> None:
        if not self.name:
            raise UsageError(what="an update without a name", hint="name the record that changes")
        if isinstance(self.fields, str) or (self.fields is not None and not self.fields):
            raise UsageError(fields=self.fields, hint="name at least one field, or leave it away: those that are set")

    def operation(self, zone: types_pb2.ZoneName) -> records_pb2.Operation:
        kind = "FORCE_UPDATE" if self.change_tag is None else "UPDATE"
        made = _operation(kind, zone, self.name, self.change_tag)
        made.record.record_type = self.message.DESCRIPTOR.name
        made.record.message = self.message.SerializePartialToString()
        made.given_fields.extend(self.fields or ())
        made.transforms.extend(self.transforms)
        return made

    def outcome(self, record: types_pb2.Record) -> Loaded[Any]:
        """As the server has it now."""
        message = type(self.message).FromString(record.message)
        return Loaded(name=record.name.name, message=message, change_tag=record.change_tag)


@dataclass(frozen=True, slots=True)
class Delete:
    """Take a record away; without a change tag whatever it holds."""

    name: str
    change_tag: bytes | None = field(default=None, kw_only=True)
    key: str = field(default_factory=_key, kw_only=True)

    def operation(self, zone: types_pb2.ZoneName) -> records_pb2.Operation:
        return _operation("FORCE_DELETE" if self.change_tag is None else "DELETE", zone, self.name, self.change_tag)

    def outcome(self, record: types_pb2.Record) -> None:
        return None


Edit = Save | Update | Delete


def want_outcomes(request: Any, edits: Sequence[Edit]) -> None:
    """Ask for the contents of what was changed where they are not known here."""
    if any(isinstance(edit, Update) for edit in edits):
        request.form = types_pb2.MESSAGE
    else:
        request.desired_keys.SetInParent()  # names and change tags alone


def _operation(kind: str, zone: types_pb2.ZoneName, name: str, change_tag: bytes | None) -> records_pb2.Operation:
    made = records_pb2.Operation(type=kind)
    made.record.name.name, made.record.change_tag = name, change_tag or b""
    made.record.name.zone.CopyFrom(zone)
    return made
