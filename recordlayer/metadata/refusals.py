"""Why records of a type are only read: metadata may have what we know how to read and do not maintain.

A store asks before it writes anything. Index types that are not known at all are the index registry's affair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recordlayer.keys import FunctionCall, KeyExpression, walk
from recordlayer.metadata.joined import JoinedType
from recordlayer.pb import record_metadata_pb2 as pb

if TYPE_CHECKING:
    from recordlayer.metadata.metadata import RecordMetaData

READ_ONLY = {
    "vector": "vector indexes are not maintained here",
    "lucene": "Lucene indexes are not maintained here",
    "spatial_geophile": "spatial indexes are not maintained here",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why records of a type must not be written."""

    index: str | None
    """the index that could not be kept in step: a disabled one does not matter; None if it is not about an index"""

    reason: str


def refusals(metadata: RecordMetaData) -> dict[str, tuple[Refusal, ...]]:
    """For each record type that must not be written the reasons; types without any are not in it."""
    found: dict[str, list[Refusal]] = {}
    for names, refusal in _refusals(metadata):
        for name in names:
            if name in metadata.record_types:
                found.setdefault(name, []).append(refusal)
    return {name: tuple(reasons) for name, reasons in found.items()}


def _refusals(metadata: RecordMetaData) -> Iterator[tuple[Iterable[str], Refusal]]:
    everything = tuple(metadata.record_types)
    for record_type in metadata.record_types.values():
        for name in _unknown_functions(record_type.primary_key):
            yield (
                [record_type.name],
                Refusal(None, f"the primary key needs the function {name!r}: it is not registered"),
            )
    if metadata.record_count_key is not None:
        for name in _unknown_functions(metadata.record_count_key):
            yield everything, Refusal(None, f"the record count key needs {name!r}, which is not registered")
    parts = _parts_of_synthetic_types(metadata)
    for index in metadata.indexes.values():
        names = index.record_types or everything
        names = tuple(part for name in names for part in parts.get(name, (name,)))
        for name in _unknown_functions(index.root_expression):
            yield names, Refusal(index.name, f"it needs the function {name!r}, which is not registered")
        if index.type in READ_ONLY:
            yield names, Refusal(index.name, READ_ONLY[index.type])
        if index.predicate is not None and index.predicate.has_window:
            yield names, Refusal(index.name, "it is a sliding window, which is not maintained here")
        synthetic = metadata.synthetic_of(index)
        for kind in synthetic:
            for name in _unknown_functions_of_joins(kind):
                reason = f"it joins by the function {name!r}, which is not registered"
                yield [stored.name for stored in kind.stored_types], Refusal(index.name, reason)
        for name in index.record_types:
            if name in parts and not synthetic:
                yield parts[name], Refusal(index.name, f"it is on the synthetic type {name!r}: not maintained here")


def _unknown_functions_of_joins(kind: object) -> set[str]:
    joins = kind.joins if isinstance(kind, JoinedType) else ()
    sides = [side for join in joins for side in (join.left_expression, join.right_expression)]
    return {name for side in sides for name in _unknown_functions(side)}


def _unknown_functions(expression: KeyExpression) -> set[str]:
    return {node.name for node in walk(expression) if isinstance(node, FunctionCall) and node.function is None}


def _parts_of_synthetic_types(metadata: RecordMetaData) -> dict[str, list[str]]:
    """The record types behind joined and unnested ones: a change of one of them changes entries of the other."""
    if not metadata.carried:
        return {}
    carried = pb.MetaData.FromString(metadata.carried)
    parts: dict[str, list[str]] = {}
    for joined in carried.joined_record_types:
        parts[joined.name] = [part.record_type for part in joined.join_constituents]
    for unnested in carried.unnested_record_types:
        parts[unnested.name] = [part.type_name for part in unnested.nested_constituents if not part.HasField("parent")]
    return parts
