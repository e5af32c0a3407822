"""VERSION index: records in the order of their last change. A VALUE index with the record's version among its columns.

An entry with the version of this very transaction gets its key at the commit. Until then the transaction keeps it, and
scans of the same transaction show it with an incomplete version (Java's do not).

Layout  as `index.value`; at the commit a key set with its version: SET_VERSIONSTAMPED_KEY of the packed key with ten ff
        bytes for the version, and where those stand in 4 bytes little-endian
Cost    save: 1 write, and 1 clear for the entry of the version before
Source  Record Layer, VersionIndexMaintainer; same entries, same order
"""

from __future__ import annotations

from typing import ClassVar

from recordlayer.cursor.scan import FORWARD, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import Map
from recordlayer.errors import InvalidKeyExpression
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import IndexEntry
from recordlayer.index.maintainer import IndexedRecord, IndexSpace
from recordlayer.index.pending import pending_scan
from recordlayer.index.standard import difference
from recordlayer.index.value import Pair, ValueIndex
from recordlayer.keys import KeyExpression, KeyWithValue, RecordContext, Version
from recordlayer.kv.engine import KEY_LIMIT, VALUE_LIMIT
from recordlayer.kv.mutations import CLEAR, SET, STAMP, UNSTAMP, Write
from recordlayer.tuples import Versionstamp, pack, pack_with_versionstamp

_OFFSET_BYTES = 4
_ANY = Versionstamp(bytes(10), 0)


class VersionIndex(ValueIndex):
    """Entries in the order of commits."""

    type: ClassVar[str] = "version"

    __slots__ = ("_leading", "_place")

    def __init__(self, space: IndexSpace) -> None:
        super().__init__(space)
        self._leading = columns_before_version(space.index.root_expression)
        self._place: RecordContext | None = None

    # -- what a record has -----------------------------------------------------------------------------

    def operands(self, record: IndexedRecord, version: Versionstamp) -> list[Pair]:
        """The entries of a record whose version is not known yet: operands of versionstamped keys, and values."""
        if not self.covers(record.message):
            return []
        if self._leading is None or self.space.chooses is not None:
            return self._operands_of_rows(record)
        # Generated code packs complete versions: let it pack one, and put this one in its place.
        message = record.message
        place, raw = self._place_of(record), version.to_bytes()
        if self._split is None:
            parted = self._functions.parted(type(message), self._leading)
            ((head, rest),) = parted(message, place, self.space.entries, b"")
            offset = (len(head) + 1).to_bytes(_OFFSET_BYTES, "little")
            return [(head + rest[:1] + raw + rest[13:] + self.tail_of(record) + offset, b"")]
        at = len(self.space.entries) + 1
        if self._leading:
            at += len(self._functions.leading(type(message), self._leading)(message, place, b"", b"")[0])
        offset = at.to_bytes(_OFFSET_BYTES, "little")
        return [(key[:at] + raw + key[at + 12 :] + offset, value) for key, value in self.packed(record, place)]

    def _place_of(self, record: IndexedRecord) -> RecordContext:
        """What key expressions need beside the message, with some version."""
        own = record.key_context.record_type_key
        if self._place is None or self._place.record_type_key != own:
            self._place = RecordContext(record_type_key=own, version=_ANY)
        return self._place

    def _operands_of_rows(self, record: IndexedRecord) -> list[Pair]:
        tail = self._layout.trimmed(record.primary_key)
        made = []
        for row in self.rows(record):
            columns, covered = (row, ()) if self._split is None else (row[: self._split], row[self._split :])
            made.append((pack_with_versionstamp(columns + tail, self.space.entries), pack(covered)))
        return made

    # -- maintenance -----------------------------------------------------------------------------------

    def writes(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        before, was_pending = self._entries(old)
        added, is_pending = self._entries(new)
        if before:
            before, added = difference(before, added)
        for key, value in added:
            if len(key) > KEY_LIMIT or len(value) > VALUE_LIMIT:
                self.check_size(key[:-_OFFSET_BYTES] if is_pending else key, value, new)
        clear, put = UNSTAMP if was_pending else CLEAR, STAMP if is_pending else SET
        return [(clear, key, b"") for key, _ in before] + [(put, key, value) for key, value in added]

    def _entries(self, record: IndexedRecord | None) -> tuple[list[Pair], bool]:
        """The entries of a record, and whether they wait for the commit."""
        if record is None:
            return [], False
        version = record.key_context.version
        if version is None or version.is_complete:
            return self.pairs(record), False
        return self.operands(record, version), True

    # -- reading ---------------------------------------------------------------------------------------

    def scan(self, bounds: Bounds, options: ScanOptions = FORWARD) -> Cursor[IndexEntry]:
        """The entries within bounds, those of this transaction with incomplete versions.  Cost  1 range read a
        chunk."""
        keys = bounds.keys(self.space.entries)
        start, layout = len(self.space.entries), self._layout
        source = pending_scan(self.space.context, keys, options, start=start)
        return Map(source, lambda pair: IndexEntry(layout, pair[0][start:], pair[1]))

    # -- checking --------------------------------------------------------------------------------------

    def expected(self, record: IndexedRecord) -> list[Pair]:
        entries, pending = self._entries(record)
        return [(key[:-_OFFSET_BYTES], value) for key, value in entries] if pending else entries


def columns_before_version(root: KeyExpression) -> int | None:
    """How many columns stand before the version, where every record has one row and the version is a column of its
    key; None where that is not so simple."""
    whole = root.inner if isinstance(root, KeyWithValue) else root
    if root.creates_duplicates:
        return None
    for place, column in enumerate(whole.normalized()[: root.column_size]):
        if isinstance(column, Version):
            try:
                whole.sub_key(0, place)
            except InvalidKeyExpression:
                return None
            return place
    return None
