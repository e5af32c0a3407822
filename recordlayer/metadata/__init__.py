"""Metadata: record types, primary keys and indexes, validated and immutable.

Pure: nothing here reads or writes a store. No error of protobuf leaves this package untranslated.
"""

from __future__ import annotations

from recordlayer.metadata.build import RecordMetaDataBuilder
from recordlayer.metadata.definitions import (
    IndexDefinition,
    bitmap_index,
    count,
    count_not_null,
    count_updates,
    leaderboard,
    max_ever,
    max_ever_version,
    min_ever,
    multidimensional,
    permuted_max,
    permuted_min,
    rank,
    sum_of,
    text_index,
    value_index,
    version_index,
)
from recordlayer.metadata.evolution import Evolution, Finding
from recordlayer.metadata.index import FormerIndex, Index
from recordlayer.metadata.metadata import RecordMetaData
from recordlayer.metadata.predicate import Predicate, compare, is_null, not_null
from recordlayer.metadata.record_type import RecordType

__all__ = [
    "Evolution",
    "Finding",
    "FormerIndex",
    "Index",
    "IndexDefinition",
    "Predicate",
    "RecordMetaData",
    "RecordMetaDataBuilder",
    "RecordType",
    "bitmap_index",
    "compare",
    "count",
    "count_not_null",
    "count_updates",
    "is_null",
    "leaderboard",
    "max_ever",
    "max_ever_version",
    "min_ever",
    "multidimensional",
    "not_null",
    "permuted_max",
    "permuted_min",
    "rank",
    "sum_of",
    "text_index",
    "value_index",
    "version_index",
]
