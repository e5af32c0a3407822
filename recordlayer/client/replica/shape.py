"""What the local stores of a replica hold.

    records   one for each record of the zone, as the program sees it: its name, change tag, and the message itself in
              the field `record`, so that the library's queries and indexes work on it
    edits     those that the server does not have yet, and how far the replica is (protos/recordlayer/replica/v1)

A record is a message `Order { name, change_tag, epoch, edited, record: shop.Order }`, made at run time around the
program's own type. Records can be had again from the server, so a replica whose types or indexes change begins a new
store of them; edits cannot, so theirs never changes its form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from recordlayer.client.pb import replica_pb2
from recordlayer.errors import UsageError, WrongType
from recordlayer.keys import KeyExpression, concat, field, record_type
from recordlayer.metadata import RecordMetaData, RecordMetaDataBuilder
from recordlayer.metadata.files import dependencies
from recordlayer.query.paths import q
from recordlayer.query.predicate import And, Compare, Not, Or, PathStep, Predicate
from recordlayer.query.query import RecordQuery, query

Indexes = Mapping[type[Message], Sequence[str | KeyExpression]]

EDITS = (
    RecordMetaDataBuilder(replica_pb2.DESCRIPTOR)
    .record_type_key("Edit", 1)
    .record_type_key("State", 2)
    .primary_key("Edit", concat(record_type(), "number"))
    .primary_key("State", concat(record_type(), "id"))
    .index("Edit", "by_name", "name")
    .split_long_records()
    .build()
)
EDIT_KEYS = (1,)
STATE_KEY = (2, 1)


def edit_key(number: int) -> tuple[int, int]:
    return (1, number)


_FILE = "recordlayer/replica/held.proto"
_PACKAGE = "recordlayer.replica.held"
_TYPES = descriptor_pb2.FieldDescriptorProto
_FIELDS = (
    ("name", _TYPES.TYPE_STRING),
    ("change_tag", _TYPES.TYPE_BYTES),
    ("epoch", _TYPES.TYPE_INT64),
    ("edited", _TYPES.TYPE_BOOL),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The types of records that a replica holds.

    kinds        the program's message classes, by the names of their record types
    metadata     of the store of records
    fingerprint  of what the store of records is made for
    """

    kinds: Mapping[str, type[Message]]
    metadata: RecordMetaData
    fingerprint: str

    def held(self, record_type: str, contents: bytes, **about: Any) -> Message:
        """A record for the store.  Raises  UsageError for a type that the replica does not hold."""
        self.kind(record_type)
        made: Any = self.metadata.record_type(record_type).message_class(**about)
        made.record.MergeFromString(contents)
        made.record.SetInParent()
        return made  # type: ignore[no-any-return]

    def kind(self, record_type: str) -> type[Message]:
        """The program's class for a record type.  Raises  UsageError."""
        found = self.kinds.get(record_type)
        if found is None:
            raise UsageError(record_type=record_type, held=sorted(self.kinds), hint="name it when you open the replica")
        return found

    def query(
        self, record_type: str, where: Predicate | None, sort: Iterable[str], *, sort_in_memory: int
    ) -> RecordQuery:
        """A query of the program, over the store of records.  Raises  UsageError, WrongType."""
        self.kind(record_type)
        asked = query(record_type)
        if where is not None:
            asked = asked.where(_inside(where))
        names = list(sort)
        if not names:
            return asked
        directions = {name.startswith("-") for name in names}
        if len(directions) > 1:
            raise UsageError(sort=names, hint="all fields in one direction")
        paths = [_path(name.removeprefix("-")) for name in names]
        return asked.order_by(*paths, reverse=directions.pop(), in_memory=sort_in_memory)


def shape_of(kinds: Sequence[type[Message]], indexes: Indexes) -> Shape:
    """The shape for message classes, with indexes over their fields.  Raises  UsageError, and what metadata raise."""
    by_name = {kind.DESCRIPTOR.name: kind for kind in kinds}
    if not kinds or len(by_name) < len(kinds):
        raise UsageError(kinds=sorted(by_name), hint="name each type of records once, and at least one")
    files = descriptor_pb2.FileDescriptorSet()
    for source in {file.name: file for kind in kinds for file in _sources(kind.DESCRIPTOR.file)}.values():
        files.file.add().ParseFromString(source.serialized_pb)
    around = files.file.add(name=_FILE, package=_PACKAGE, syntax="proto3")
    around.dependency.extend(sorted({kind.DESCRIPTOR.file.name for kind in kinds}))
    for name, kind in sorted(by_name.items()):
        message = around.message_type.add(name=name)
        for number, (field_name, type_) in enumerate(_FIELDS, 1):
            message.field.add(name=field_name, number=number, type=type_, label=_TYPES.LABEL_OPTIONAL)
        message.field.add(
            name="record",
            number=len(_FIELDS) + 1,
            type=_TYPES.TYPE_MESSAGE,
            type_name=f".{kind.DESCRIPTOR.full_name}",
            label=_TYPES.LABEL_OPTIONAL,
        )
    builder = RecordMetaDataBuilder.from_descriptor_set(files, file=_FILE).split_long_records()
    for name in by_name:
        builder = builder.primary_key(name, "name")
    for kind, expressions in indexes.items():
        if kind not in kinds:
            raise UsageError(index_of=kind.DESCRIPTOR.name, hint="the replica does not hold this type")
        for number, expression in enumerate(expressions):
            if not isinstance(expression, str | KeyExpression):
                raise WrongType(index=expression, hint='name a field, "total", or give a key expression')
            builder = builder.index(
                kind.DESCRIPTOR.name, f"{kind.DESCRIPTOR.name}_{number}", field("record").nest(expression)
            )
    metadata = builder.build()
    made_for = hashlib.sha256(metadata.to_bytes()).hexdigest()[:32]
    return Shape(by_name, metadata, made_for)


def _sources(file: Any) -> list[Any]:
    return [*dependencies(file), file]


def _path(name: str) -> Any:
    if name.startswith("$"):
        return q[_system(name)]
    path = q["record"]
    for step in name.split("."):
        path = path[step]
    return path


def _system(name: str) -> str:
    if name != "$name":
        raise UsageError(field=name, hint="a replica knows the names of records, and not who changed them when")
    return "name"


def _inside(where: Predicate) -> Predicate:
    """A condition on the program's message, as one on the record that holds it."""
    if isinstance(where, And | Or):
        return type(where)(tuple(map(_inside, where.children)))
    if isinstance(where, Not):
        return Not(_inside(where.child))
    if isinstance(where, Compare) and where.path[0].name.startswith("$"):
        return replace(where, path=(PathStep(_system(where.path[0].name)), *where.path[1:]))
    return q["record"].matches(where)
