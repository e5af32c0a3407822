"""Everything that is wrong with a metadata, at once.

Source  Record Layer: MetaDataValidator
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from recordlayer.errors import InvalidIndex, InvalidMetaData, InvalidRecordType, SchemaError, UnknownFunction
from recordlayer.metadata import files, index_rules, joined_rules, predicate, union
from recordlayer.pb import record_metadata_pb2 as pb

if TYPE_CHECKING:
    from recordlayer.metadata.index import Index
    from recordlayer.metadata.metadata import RecordMetaData
    from recordlayer.metadata.record_type import RecordType


def raise_findings(findings: Iterable[SchemaError]) -> None:
    """Raise the finding if there is one, all together if there are several, nothing if there is none.

    Raises: SchemaError, InvalidMetaData
    """
    found = tuple(findings)
    if len(found) == 1:
        raise found[0]
    if found:
        raise InvalidMetaData(findings=found)


def findings(metadata: RecordMetaData, protos: files.Protos, *, stored: bool = False) -> Iterator[SchemaError]:
    """What is wrong with a metadata; the union first, then record types, then indexes.

    `stored` metadata may have what we read and do not write (see `refusals`), and what Java lets pass.
    """
    for finding in _findings(metadata, protos, stored=stored):
        if not (stored and isinstance(finding, UnknownFunction)):
            yield finding


def _findings(metadata: RecordMetaData, protos: files.Protos, *, stored: bool) -> Iterator[SchemaError]:
    yield from union.problems(metadata.file, metadata.union, protos)
    if not metadata.record_types:
        yield InvalidRecordType(file=metadata.file.name, hint="at least one message needs a primary key")
    keys: dict[object, RecordType] = {}
    for record_type in metadata.record_types.values():
        yield from _record_type_problems(record_type, metadata)
        identity = type(record_type.record_type_key), record_type.record_type_key
        other = keys.setdefault(identity, record_type)
        if other is not record_type:
            names = [other.name, record_type.name]
            hint = "each record type needs a key of its own"
            yield InvalidRecordType(record_types=names, record_type_key=record_type.record_type_key, hint=hint)
    if metadata.record_count_key is not None:
        # A type that lacks the field counts under null: that is allowed, unless all of them lack it.
        found = [list(metadata.record_count_key.problems(known.descriptor)) for known in metadata.record_types.values()]
        if found and all(found):
            yield from found[0]
    yield from _indexes_problems(metadata, stored=stored)
    if not stored:
        yield from joined_rules.problems(metadata)


def _record_type_problems(record_type: RecordType, metadata: RecordMetaData) -> Iterator[SchemaError]:
    yield from record_type.primary_key.problems(record_type.descriptor)
    where = {"record_type": record_type.name, "primary_key": record_type.primary_key}
    if record_type.primary_key.creates_duplicates:
        yield InvalidRecordType(**where, hint="a record has one primary key: it cannot fan out")
    if record_type.primary_key.version_columns:
        yield InvalidRecordType(**where, hint="a version is not known before the commit: it cannot be in a primary key")
    if record_type.since_version is not None and record_type.since_version > metadata.version:
        hint = f"the metadata has version {metadata.version} only"
        yield InvalidRecordType(record_type=record_type.name, since_version=record_type.since_version, hint=hint)


def _indexes_problems(metadata: RecordMetaData, *, stored: bool) -> Iterator[SchemaError]:
    places: dict[object, str] = {}
    for index in metadata.indexes.values():
        yield from _index_problems(index, metadata, stored=stored)
        other = places.setdefault(_place(index.subspace_key), index.name)
        if other != index.name:
            yield _same_place(index.subspace_key, other, index.name)
    former_places: dict[object, str] = {}
    for former in metadata.former_indexes:
        name = former.former_name or "?"
        place = _place(former.subspace_key)
        if place in places:
            yield _same_place(former.subspace_key, places[place], f"former index {name}")
        if place in former_places:
            yield _same_place(former.subspace_key, f"former index {former_places[place]}", f"former index {name}")
        former_places[place] = name
        for title, version in (("added_version", former.added_version), ("removed_version", former.removed_version)):
            if version > metadata.version:
                hint = f"the metadata has version {metadata.version} only"
                yield InvalidIndex(former_index=name, **{title: version}, hint=hint)
        if former.added_version > former.removed_version:
            versions = {"added_version": former.added_version, "removed_version": former.removed_version}
            yield InvalidIndex(former_index=name, **versions, hint="an index is added before it is removed")


def _index_problems(index: Index, metadata: RecordMetaData, *, stored: bool) -> Iterator[SchemaError]:
    found: list[SchemaError] = []
    if metadata.synthetic_of(index) and index.root_expression.version_columns:
        found.append(InvalidIndex(index=index.name, hint="records of a synthetic type have no version"))
    for record_type in metadata.kinds_of(index):
        for problem in index.root_expression.problems(record_type.descriptor):
            problem.fields.setdefault("index", index.name)
            found.append(type(problem)(hint=problem.hint, **problem.fields))
        if index.predicate is not None:
            found += index.predicate.problems(record_type.descriptor)
            if not stored and predicate.recursive(record_type.descriptor):
                hint = "messages that contain themselves cannot have predicates: Java fails on every save"
                found.append(InvalidIndex(index=index.name, record_type=record_type.name, hint=hint))
    yield from found
    if not found:
        yield from index_rules.problems(index, metadata)
        if not stored:
            yield from index_rules.hidden_columns(index)
    versions = {"added_version": index.added_version, "last_modified_version": index.last_modified_version}
    for title, version in versions.items():
        if version > metadata.version:
            hint = f"the metadata has version {metadata.version} only"
            yield InvalidIndex(index=index.name, **{title: version}, hint=hint)
    if index.added_version > index.last_modified_version:
        yield InvalidIndex(index=index.name, **versions, hint="an index is not modified before it is added")
    for name in index.replaced_by:
        replacement = metadata.indexes.get(name)
        if replacement is None:
            yield InvalidIndex(index=index.name, replaced_by=name, hint="there is no such index")
        elif replacement.replaced_by:
            hint = "an index that replaces another cannot be replaced itself"
            yield InvalidIndex(index=index.name, replaced_by=name, hint=hint)


def not_made(name: str, carried: bytes) -> InvalidRecordType:
    """Why there is no synthetic type of this name, although it was defined."""
    hint = "the parent is a record type; the others are messages in fields of a constituent before them"
    for joined in pb.MetaData.FromString(carried).joined_record_types:
        if joined.name == name:
            hint = joined_rules.objection(joined)
    return InvalidRecordType(record_type=name, reason="its records cannot be made", hint=hint)


def _place(subspace_key: object) -> object:
    # 1 and True are one dictionary key and two places.
    return type(subspace_key), subspace_key


def _same_place(subspace_key: object, one: str, other: str) -> InvalidIndex:
    return InvalidIndex(indexes=[one, other], subspace_key=subspace_key, hint="each needs a subspace key of its own")
