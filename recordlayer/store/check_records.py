"""The pairs of a store's records looked at one by one: what they are put together to, and whether that is right.

Source  the layout of `split`
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from recordlayer.errors import MalformedTuple, RecordLayerError, UnknownEncryptionKey
from recordlayer.kv.engine import KeyValue
from recordlayer.store.record import StoredRecord
from recordlayer.store.split import pending_version
from recordlayer.store.store import RecordStore
from recordlayer.tuples import Versionstamp, pack, unpack

UNKNOWN_TYPE = "a record of a type that is not in the metadata"
UNKNOWN_KEY = "a record is encrypted with a key that is not here"


class Found(NamedTuple):
    """A key, what is wrong there, more about it; and the key without suffix, where there is a whole record to it."""

    key: bytes
    what: str
    detail: Any
    base: bytes | None = None


class RecordCheck:
    """What the records of one store are. `found` grows."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._records: dict[bytes, StoredRecord | None] = {}
        self.found: list[Found] = []

    def _find(self, key: bytes, what: str, detail: Any, base: bytes | None = None) -> None:
        self.found.append(Found(key, what, detail, base))

    def read(self, rows: list[KeyValue]) -> list[StoredRecord]:
        """The records in these pairs that can be read."""
        start = len(self._store.layout.records)
        for base, pairs in self._grouped(rows).items():
            self._records[base[start:]] = self._record(base, pairs)
        return [record for record in self._records.values() if record is not None]

    def _grouped(self, rows: list[KeyValue]) -> dict[bytes, list[KeyValue]]:
        """Pairs by their key without suffix, as far as they have one."""
        start = len(self._store.layout.records)
        suffixed = self._store.records.splitting.has_suffixes
        groups: dict[bytes, list[KeyValue]] = defaultdict(list)
        for key, value in rows:
            try:
                items = unpack(key, start)
            except MalformedTuple as error:
                self._find(key, "a key that is no tuple", str(error))
                continue
            if pack(items) != key[start:]:
                self._find(key, "a key that is packed in a way that nobody writes", items)
            elif not suffixed:
                groups[key].append((key, value))
            elif len(items) < 2 or type(items[-1]) is not int or items[-1] < -1:
                self._find(key, "a key without the suffix of a record's pair", items)
            else:
                groups[key[: -len(pack(items[-1:]))]].append((key, value))
        return groups

    def _record(self, base: bytes, pairs: list[KeyValue]) -> StoredRecord | None:
        store = self._store
        packed = base[len(store.layout.records) :]
        try:
            if store.records.splitting.has_suffixes:
                raw = store.records.splitting.assemble(base, pairs)
                assert raw is not None, "a group has a pair at least"
                record = store.records.stored(packed, raw)
            else:
                record = StoredRecord(store.codec, packed, pairs[0][1])
        except RecordLayerError as error:
            self._find(pairs[0][0], "pairs that are no record", str(error), base)
            return None
        pending = pending_version(store.context, base)
        if pending is not None:
            record.version = pending
        elif record.version is not None and not record.version.is_complete:
            self._find(pairs[0][0], "a version that was never completed", record.version, base)
        try:
            key = record.record_type.primary_key.evaluate_single(record.message, record.key_context)
        except RecordLayerError as error:
            self._find(pairs[-1][0], _words(error), str(error), base)
            return None
        if pack(key) != packed:
            where = record.primary_key, key
            self._find(pairs[-1][0], "a record lies under another primary key", where, base)
        return record

    def old_versions(self, rows: list[KeyValue]) -> None:
        """Look at the versions of old formats, and give them to the records, behind `read`."""
        prefix = self._store.layout.old_versions
        start = len(prefix)
        for packed, record in self._records.items():
            pending = self._store.context.stamped_value(prefix + packed)
            if pending is not None and record is not None:
                record.version = Versionstamp.from_bytes(pending[:12])
        for key, value in rows:
            if not self._store.records.has_old_versions:
                self._find(key, "a version where this format has none", None)
            elif key[start:] not in self._records:
                self._find(key, "a version without a record", None)
            elif len(value) != 12:
                self._find(key, "a version has 12 bytes", value)
            else:
                version = Versionstamp.from_bytes(value)
                if not version.is_complete:
                    self._find(key, "a version that was never completed", None)
                elif (record := self._records[key[start:]]) is not None and record.version is None:
                    record.version = version


def _words(error: RecordLayerError) -> str:
    if isinstance(error, UnknownEncryptionKey):
        return UNKNOWN_KEY
    return UNKNOWN_TYPE if is_unknown_type(error) else "a record cannot be read"


def is_unknown_type(error: RecordLayerError) -> bool:
    """Whether a record could not be read because its type is not in the metadata."""
    return error.fields.get("reason") == "the union has an unknown field" and error.fields.get("wire_type") == 2
