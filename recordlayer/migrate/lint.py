"""What rules of evolution cannot know about a schema: indexes that nobody can use, keys that grow hot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recordlayer.keys import Field, KeyExpression, access
from recordlayer.metadata import Index, RecordMetaData
from recordlayer.metadata.record_type import RecordType

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor, FieldDescriptor

_TIMES = ("google.protobuf.Timestamp",)
_HOT_NAMES = ("created", "created_at", "time", "timestamp", "updated", "updated_at", "sequence", "seq", "counter")


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """Something to think about.

    rule     a stable name: "index repeated", "index hidden from queries", "unique over what may be unset", "hot key"
    subject  "index by_total", "type Order"
    advice   what to do, in one sentence
    """

    rule: str
    subject: str
    advice: str

    def as_json(self) -> dict[str, Any]:
        return {"rule": self.rule, "subject": self.subject, "advice": self.advice}


def lint(metadata: RecordMetaData) -> list[LintFinding]:
    """All findings, indexes first."""
    return [*_repeated(metadata), *_hidden(metadata), *_nullable(metadata), *_hot(metadata)]


def _repeated(metadata: RecordMetaData) -> Iterator[LintFinding]:
    """A VALUE index whose columns are the first ones of another."""
    values = [index for index in metadata.indexes.values() if index.type == "value"]
    for index in values:
        for other in values:
            if other is index or index.unique or not _same_records(index, other):
                continue
            mine, others = index.root_expression.normalized(), other.root_expression.normalized()
            longer = len(others) > len(mine) or (len(others) == len(mine) and other.name < index.name)
            if longer and not index.is_covering and others[: len(mine)] == mine:
                advice = f"index {other.name} begins with the same columns: drop this one unless queries need its order"
                yield LintFinding(rule="index repeated", subject=f"index {index.name}", advice=advice)
                break


def _same_records(index: Index, other: Index) -> bool:
    return set(index.record_types) == set(other.record_types) and index.predicate == other.predicate


def _hidden(metadata: RecordMetaData) -> Iterator[LintFinding]:
    for index in metadata.indexes.values():
        if not index.allowed_for_query and not index.unique:
            advice = "no query may use it, and every save pays for it: allow it, or drop it"
            yield LintFinding(rule="index hidden from queries", subject=f"index {index.name}", advice=advice)


def _nullable(metadata: RecordMetaData) -> Iterator[LintFinding]:
    for index in metadata.indexes.values():
        if not index.unique:
            continue
        for known in metadata.record_types_of(index):
            for field in _top_fields(index.root_expression, known.descriptor):
                if field.has_presence and not access.is_required(field):
                    advice = f"{known.name}.{field.name} may be unset, and any number of records without it are allowed"
                    rule = "unique over what may be unset"
                    yield LintFinding(rule=rule, subject=f"index {index.name}", advice=advice)


def _hot(metadata: RecordMetaData) -> Iterator[LintFinding]:
    for known in metadata.record_types.values():
        first = next(iter(_top_fields(known.primary_key, known.descriptor)), None)
        if first is not None and _grows(first):
            advice = (
                f"primary keys begin with {first.name}, which grows: all inserts go to one place; put a group before it"
            )
            yield LintFinding(rule="hot key", subject=f"type {known.name}", advice=advice)
    for index in metadata.indexes.values():
        kinds: tuple[RecordType, ...] = metadata.record_types_of(index)
        first = next((one for kind in kinds for one in _top_fields(index.root_expression, kind.descriptor)), None)
        if first is not None and _grows(first) and index.type == "value":
            advice = f"entries begin with {first.name}, which grows: all inserts go to one place; put a group before it"
            yield LintFinding(rule="hot key", subject=f"index {index.name}", advice=advice)


def _grows(field: FieldDescriptor) -> bool:
    held = field.message_type
    return (held is not None and held.full_name in _TIMES) or field.name.lower() in _HOT_NAMES


def _top_fields(expression: KeyExpression, descriptor: Descriptor) -> Iterator[FieldDescriptor]:
    """The fields that the columns of a key are, without those inside of messages."""
    for column in expression.normalized():
        if isinstance(column, Field) and column.name in descriptor.fields_by_name:
            yield descriptor.fields_by_name[column.name]
