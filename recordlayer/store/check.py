"""Whether the records and the indexes of a store agree: each entry has its record, each record its entries.

For VALUE indexes entries are compared one by one; aggregates that follow from the records that are there (counts, sums)
are worked out anew. Records that cannot be read are findings too, and the others are looked at all the same.

Cost  reads the whole store in one transaction: for stores of test size, and for parts of larger ones by the caller
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import drain
from recordlayer.errors import CorruptRecord, MalformedTuple, RecordLayerError
from recordlayer.index.atomic import AtomicIndex
from recordlayer.index.bounds import Bounds
from recordlayer.index.maintainer import Auditing
from recordlayer.metadata import Index
from recordlayer.store.layout import Keyspace
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore
from recordlayer.tuples import unpack

_WRAP = 1 << 64
_EXACT = ("count", "count_not_null", "sum")


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
    findings: list[Finding] = []
    records = await _readable_records(store, findings)
    for index in store.metadata.indexes.values():
        if store.states.peek(index).is_readable:
            names = {known.name for known in store.metadata.record_types_of(index)}
            covered = [record for record in records if record.record_type.name in names]
            findings += await _check_index(store, index, covered)
    return findings


async def _readable_records(store: RecordStore, findings: list[Finding]) -> list[StoredRecord]:
    prefix = store.layout.of(Keyspace.RECORDS)
    try:
        records = await drain(store.scan(Bounds.ALL, ScanOptions()))
    except CorruptRecord as error:
        # The scan cannot go past it: take the records one by one.
        findings.append(Finding(what="pairs that are no record", where="records", detail=str(error)))
        records = await _one_by_one(store, prefix, findings)
    readable = []
    for record in records:
        try:
            key = record.record_type.primary_key.evaluate_single(record.message, record.key_context)
        except RecordLayerError as error:
            findings.append(Finding(what="a record cannot be read", where="records", detail=str(error)))
            continue
        if key != record.primary_key:
            detail = record.primary_key, key
            findings.append(Finding(what="a record lies under another primary key", where="records", detail=detail))
        readable.append(record)
    return readable


async def _one_by_one(store: RecordStore, prefix: bytes, findings: list[Finding]) -> list[StoredRecord]:
    found: dict[tuple[Any, ...], StoredRecord] = {}
    seen = set()
    for key, _ in await store.context.read_all(prefix + b"\x00", prefix + b"\xff"):
        try:
            items = unpack(key, len(prefix))
            primary_key = items[:-1] if store.records.splitting.has_suffixes else items
            if primary_key in seen:
                continue
            seen.add(primary_key)
            record = await store.load(primary_key)
            if record is not None:
                found[primary_key] = record
        except (RecordLayerError, MalformedTuple) as error:
            findings.append(Finding(what="pairs that are no record", where="records", detail=str(error)))
    return list(found.values())


async def _check_index(store: RecordStore, index: Index, records: list[StoredRecord]) -> list[Finding]:
    maintainer = store.upkeep.maintainer(index)
    where = f"index {index.name}"
    if isinstance(maintainer, Auditing):
        return [Finding(what=what, where=where, detail=detail) for what, detail in await maintainer.audit(records)]
    if isinstance(maintainer, AtomicIndex) and follows_from_records(maintainer):
        return await _check_totals(store, maintainer, records, where)
    return []


def follows_from_records(maintainer: AtomicIndex) -> bool:
    """Whether the aggregate is a function of the records that are there. A sum over a repeated field is not: a value
    that a record has twice before a change and once after it cancels (see `index.standard.difference`)."""
    return maintainer.type in _EXACT and not (
        maintainer.type == "sum" and maintainer.space.index.root_expression.creates_duplicates
    )


async def _check_totals(
    store: RecordStore, maintainer: AtomicIndex, records: list[StoredRecord], where: str
) -> list[Finding]:
    totals: Counter[tuple[Any, ...]] = Counter()
    for record in records:
        for group, amount in maintainer.amounts(record):
            totals[group] += amount
    there = {entry.group: entry.value for entry in await drain(maintainer.scan(Bounds.ALL))}
    return [
        Finding(what="an aggregate is off", where=where, detail=(group, there.get(group, 0), totals[group]))
        for group in totals.keys() | there.keys()
        if (there.get(group, 0) - totals[group]) % _WRAP
    ]
