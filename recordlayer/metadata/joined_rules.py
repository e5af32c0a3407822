"""What is wrong with the joined types that a program defines.

Java finds out when the first record is saved, or reads all records to find the partners of one: here it is said when
the metadata is built.

Source  Record Layer, JoinedRecordTypeBuilder.addJoin, JoinedRecordPlanner.buildCondition
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor as Types

from recordlayer.errors import InvalidRecordType, SchemaError
from recordlayer.keys import KeyExpression
from recordlayer.keys import serial as keys_serial
from recordlayer.metadata.joined import Join, JoinedType, next_of
from recordlayer.metadata.partners import access_to
from recordlayer.pb import record_metadata_pb2 as pb

if TYPE_CHECKING:
    from recordlayer.metadata.metadata import RecordMetaData

_WHOLE_NUMBERS = frozenset({Types.CPPTYPE_INT32, Types.CPPTYPE_INT64, Types.CPPTYPE_UINT32, Types.CPPTYPE_UINT64})


def problems(metadata: RecordMetaData) -> Iterator[SchemaError]:
    """What is wrong with the joined types of a metadata."""
    for kind in metadata.synthetic.values():
        if isinstance(kind, JoinedType):
            found = [finding for join in kind.joins for finding in _join_problems(kind, join)]
            yield from found
            if not found:
                yield from _without_index(kind, metadata)


def _join_problems(kind: JoinedType, join: Join) -> Iterator[SchemaError]:
    found: list[SchemaError] = []
    kinds: list[object] = []
    for name, expression in ((join.left, join.left_expression), (join.right, join.right_expression)):
        descriptor = kind.by_name[name].stored.descriptor
        problems = list(expression.problems(descriptor))
        for problem in problems:
            fields = {"joined_type": kind.name, "constituent": name, **problem.fields}
            found.append(type(problem)(hint=problem.hint, **fields))
        field = None if problems else expression.column_fields(descriptor)[0]
        kinds.append(None if field is None else "whole numbers" if field.cpp_type in _WHOLE_NUMBERS else field.type)
    yield from found
    if None not in kinds and kinds[0] != kinds[1]:
        sides = [f"{join.left}: {join.left_expression!r}", f"{join.right}: {join.right_expression!r}"]
        hint = "values of different types are never equal: join fields of one type"
        yield InvalidRecordType(record_type=kind.name, join=sides, hint=hint)


def _without_index(kind: JoinedType, metadata: RecordMetaData) -> Iterator[InvalidRecordType]:
    """Joins that nothing helps to go along; each once."""
    told: set[tuple[str, KeyExpression]] = set()
    for beginning in kind.by_name:
        there, left = {beginning}, [name for name in kind.by_name if name != beginning]
        while (name := next_of(kind, left, there, there)) is not None:
            stored = kind.by_name[name].stored
            wanted = [side.own for side in kind.sides[name] if side.other in there]
            if not access_to(metadata, stored, wanted, lambda _: True).bound and (stored.name, wanted[0]) not in told:
                told.add((stored.name, wanted[0]))
                yield InvalidRecordType(
                    record_type=kind.name,
                    constituent=name,
                    reason=f"records of {stored.name} cannot be found by {wanted[0]!r} but by reading all of them",
                    hint=f'add .index("{stored.name}", "{_name_for(stored.name, wanted[0])}", {wanted[0]!r})',
                )
            there.add(name)
            left.remove(name)


def _name_for(record_type: str, expression: KeyExpression) -> str:
    words = "".join(letter if letter.isalnum() else "_" for letter in repr(expression))
    kept = [word for word in words.split("_") if word and word not in ("field", "nest", "fan", "out")]
    return "_".join([record_type.lower(), "by", *kept])


def objection(joined: pb.JoinedRecordType) -> str:
    """What keeps a definition from being one, in words."""
    names = [one.name for one in joined.join_constituents]
    if not names:
        return "name the constituents: {name: record type}"
    for name in names:
        if not name.isidentifier() or name.startswith("__"):
            return f"{name!r} cannot be the name of a constituent: it will be the name of a field"
    for join in joined.joins:
        if join.left == join.right:
            return "a join is between two constituents: name a type twice to join its records with each other"
        for side in (join.left_expression, join.right_expression):
            expression = keys_serial.from_proto(side)
            if expression.column_size != 1:
                return f"{expression!r} has {expression.column_size} columns: write one join for each of them"
            if expression.version_columns:
                return "a version is not known before the commit: nothing can be joined by it"
    return "joins must lead from each constituent to all others: else all records would be combined with all"
