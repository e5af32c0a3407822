"""Records that share a value which an index says is unique: listing them, and choosing the one that stays.

There are such records only while an index is being built or made unique: a readable unique index refuses them.

Layout  keyspace 7 (see `index.uniqueness`); only the presence of its keys matters
Cost    listing: 1 range read a chunk; resolving: 1 load, 1 range read for each value, 1 deletion for each other record
Source  Record Layer, FDBRecordStore: scanUniquenessViolations, resolveUniquenessViolation
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recordlayer.errors import CorruptIndexEntry, MalformedTuple, RecordMissing, UsageError
from recordlayer.index.value import ValueIndex
from recordlayer.kv.engine import KeyValue
from recordlayer.metadata import Index
from recordlayer.store.layout import Keyspace
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack, unpack

Items = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Violation:
    """A value that several records share.

    value         its columns in the index
    primary_keys  of the records that are known to have it, in their order
    """

    index: str
    value: Items
    primary_keys: tuple[Items, ...]


async def violations(store: RecordStore, name: str, value: Items = (), *, limit: int | None = None) -> list[Violation]:
    """The values that several records share, in order: those that begin with `value`, at most `limit` of them.

    Raises  UnknownIndex; UsageError for an index that is not unique.
    """
    index = _unique(store, name)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise UsageError(limit=limit, hint="give a whole number of at least 1, or None for all")
    prefix = _prefix(store, index)
    begin = pack(value, prefix)
    end = begin + b"\xff"
    found: dict[bytes, tuple[Items, set[bytes]]] = {}
    while True:
        chunk = await store.context.get_range(begin, end)
        for pair in chunk.rows:
            columns, key = _read(index, prefix, pair)
            group = found.setdefault(pack(columns), (columns, set()))
            if limit is not None and len(found) > limit:
                del found[pack(columns)]
                return _listed(name, found)
            group[1].add(key)
        if not chunk.more or not chunk.rows:
            return _listed(name, found)
        begin = chunk.rows[-1][0] + b"\x00"


def _listed(name: str, found: dict[bytes, tuple[Items, set[bytes]]]) -> list[Violation]:
    return [Violation(name, columns, tuple(unpack(key) for key in sorted(keys))) for columns, keys in found.values()]


async def resolve_violation(store: RecordStore, name: str, survivor: Any) -> list[Items]:
    """Delete the records that share a value with the one that shall stay. Their primary keys, none if it shares none.

    survivor  the primary key of the record that stays

    Raises  UnknownIndex; UsageError for an index that is not unique; RecordMissing; as `RecordStore.delete`.
    """
    index = _unique(store, name)
    if store.metadata.synthetic_of(index):
        hint = "its records are made from stored ones: change or delete one of those"
        raise UsageError(index=name, record_types=index.record_types, hint=hint)
    record = await store.load_packed(store.packed_key(survivor))
    if record is None:
        raise RecordMissing(primary_key=survivor, index=name, hint="the record that stays must be there")
    maintainer = store.upkeep.maintainer(index)
    if maintainer is None or record.record_type not in store.metadata.record_types_of(index):
        return []
    if not isinstance(maintainer, ValueIndex):
        raise UsageError(index=name, type=index.type, hint="indexes of this type note no violations")
    prefix = _prefix(store, index)
    others: set[bytes] = set()
    for columns in maintainer.unique_values(record):
        begin = pack(columns, prefix)
        rows = await store.context.read_all(begin + b"\x00", begin + b"\xff")
        keys = {_read(index, prefix, pair)[1] for pair in rows}
        if record.primary_key_bytes in keys:
            others |= keys
    others.discard(record.primary_key_bytes)
    return [unpack(key) for key in sorted(others) if await store.delete_packed(key)]


def _unique(store: RecordStore, name: str) -> Index:
    index = store.metadata.index(name)
    if not index.unique:
        raise UsageError(index=name, hint="only unique indexes have violations: index(..., unique=True)")
    return index


def _prefix(store: RecordStore, index: Index) -> bytes:
    return store.layout.of(Keyspace.UNIQUENESS_VIOLATIONS) + pack((index.subspace_key,))


def _read(index: Index, prefix: bytes, pair: KeyValue) -> tuple[Items, bytes]:
    """The columns in a key, and the packed primary key of the record. (The record that the value names may be gone.)"""
    key, value = pair
    try:
        items = unpack(key, len(prefix))
    except MalformedTuple as error:
        raise CorruptIndexEntry(index=index.name, key=key, value=value, found=str(error)) from error
    return items[: index.column_size], pack(items[index.column_size :])
