"""Whether everything in a store agrees: pairs with records, records with their indexes, counters and versions.

Every pair of the store is looked at. A record that cannot be put together or read is a finding, named in words, and the
others are looked at all the same. Indexes that may be read are compared with the records by their own types
(`index.maintainer.Auditing`); those of types that cannot, or that are not known here, are left out.

Cost  reads the whole store in one transaction, indexes twice: for stores of test size, and for parts of larger ones by
      the caller
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from recordlayer.errors import IndexNotSupported, RecordLayerError, TransactionError
from recordlayer.index.maintainer import Auditing
from recordlayer.index.state import IndexState
from recordlayer.kv.engine import KeyValue
from recordlayer.metadata import Index
from recordlayer.store import check_changes
from recordlayer.store.check_records import RecordCheck
from recordlayer.store.explain_conflict import describe
from recordlayer.store.layout import Keyspace
from recordlayer.store.places import StorePlaces
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore
from recordlayer.store.synthesis import indexed_records
from recordlayer.tuples import pack

_CLEARED_WHEN_DISABLED = (
    Keyspace.INDEXES,
    Keyspace.INDEX_SECONDARY,
    Keyspace.INDEX_RANGES,
    Keyspace.UNIQUENESS_VIOLATIONS,
    Keyspace.SLIDING_WINDOWS,
)
"""Parts of an index that nothing is left in when it is disabled or removed. Of its build a lock may stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that does not agree, in words, with what it is about."""

    what: str
    where: str
    detail: Any = None

    def __str__(self) -> str:
        detail = "" if self.detail is None else f": {self.detail!r}"
        return f"{self.where}: {self.what}{detail}"


async def check(store: RecordStore) -> list[Finding]:
    """Everything that does not agree; nothing if all is well."""
    parts = await _by_keyspace(store)
    records = RecordCheck(store)
    readable = records.read(parts.pop(Keyspace.RECORDS, []))
    records.old_versions(parts.pop(Keyspace.OLD_RECORD_VERSIONS, []))
    findings = [
        Finding(what=what, where=describe(store.context, key, key + b"\x00"), detail=detail)
        for key, what, detail, _ in records.found
    ]
    findings += await _counters(store, readable, parts.pop(Keyspace.RECORD_COUNTS, []))
    parts.pop(Keyspace.VERSION_TIMES, None)  # any of them may be missing
    changes = check_changes.audit(store, parts.pop(Keyspace.CHANGE_FEED, []), readable)
    findings += [Finding(what=what, where="change feed", detail=detail) for what, detail in changes]
    findings += _leftovers(store, parts)
    for index in store.metadata.indexes.values():
        if store.states.peek(index).is_readable:
            findings += await _audit(store, index, readable)
    return findings


async def _by_keyspace(store: RecordStore) -> dict[Keyspace | None, list[KeyValue]]:
    """All pairs of the store; those of no keyspace under None."""
    prefix = store.layout.prefix
    places = StorePlaces(prefix, store.metadata)
    parts: dict[Keyspace | None, list[KeyValue]] = defaultdict(list)
    for pair in await store.context.read_all(prefix, prefix + b"\xff"):
        parts[places.keyspace_of(pair[0])[0]].append(pair)
    return parts


async def _counters(store: RecordStore, records: list[StoredRecord], rows: list[KeyValue]) -> list[Finding]:
    where = "record counts"
    if store.counts is None:
        # Java leaves an ungrouped counter behind where it clears the others.
        left = [key for key, _ in rows if key != store.layout.record_counts]
        return [Finding(what="counters that nobody keeps", where=where, detail=len(left))] if left else []
    start = len(store.layout.record_counts)
    return [
        Finding(what="a counter is off", where=where, detail=(key[start:], counted, expected))
        for key, counted, expected in await store.counts.differences(records)
    ]


def _leftovers(store: RecordStore, parts: dict[Keyspace | None, list[KeyValue]]) -> list[Finding]:
    """Pairs that belong to nothing: each such place once, with the number of its pairs."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    places = StorePlaces(store.layout.prefix, store.metadata)
    for key, _ in parts.pop(None, []):
        found["a key of no part of a store", describe(store.context, key, key + b"\x00")] += 1
    for key, _ in parts.pop(Keyspace.HEADER, []):
        if key != store.layout.header:
            found["a key below the header's", "the header"] += 1
    names = {pack((name,), store.layout.index_states) for name in store.metadata.indexes}
    for key, _ in parts.pop(Keyspace.INDEX_STATES, []):
        if key not in names:
            found["the state of an index that is not in the metadata", describe(store.context, key, key + b"\x00")] += 1
    former = tuple(pack((index.subspace_key,)) for index in store.metadata.former_indexes)
    for keyspace in (*_CLEARED_WHEN_DISABLED, Keyspace.INDEX_BUILDS):
        start = len(store.layout.of(keyspace))
        for key, _ in parts.pop(keyspace, []):
            index, end = places.index_of(keyspace, key, start)
            words = keyspace.name.lower().replace("_", " ")
            if keyspace is Keyspace.INDEX_BUILDS and (index is not None or key[start:].startswith(former)):
                continue
            if index is None:
                found[f"{words} of an index that is not in the metadata", repr(key[start:end])] += 1
            elif (state := store.states.peek(index)) is IndexState.DISABLED:
                found[f"{words} of a disabled index", f"index {index.name}"] += 1
            elif keyspace is Keyspace.UNIQUENESS_VIOLATIONS and state is IndexState.READABLE:
                found["violations of a unique index that may be read", f"index {index.name}"] += 1
    return [Finding(what=what, where=where, detail=number) for (what, where), number in found.items()]


async def _audit(store: RecordStore, index: Index, records: list[StoredRecord]) -> list[Finding]:
    where = f"index {index.name}"
    try:
        maintainer = store.upkeep.maintainer(index)
    except IndexNotSupported:
        return []
    if not isinstance(maintainer, Auditing) or not store.metadata.stored_types_of(index):
        return []
    try:
        about = await indexed_records(store, index, records, complete=True)
        return [Finding(what=what, where=where, detail=detail) for what, detail in await maintainer.audit(about)]
    except IndexNotSupported:
        return []
    except TransactionError:
        raise
    except RecordLayerError as error:
        return [Finding(what="it cannot be compared with the records", where=where, detail=str(error))]
