"""MAX_EVER_VERSION: the version of the latest change in each group, with what else is grouped.

The version of this very transaction is filled in at its commit. Until then the transaction keeps the value, of several
for one group the latest, and shows it with an incomplete version (Java's transactions do not).

Layout  as `index.atomic`; value the packed grouped columns. A complete version: BYTE_MAX; an incomplete one:
        SET_VERSIONSTAMPED_VALUE at the commit, whose version is greater than all that are stored
Cost    save: 1 write for each row, no reads, no conflicts between writers
Source  Record Layer, AtomicMutation.Standard.MAX_EVER_VERSION, AtomicMutationIndexMaintainer
"""

from __future__ import annotations

from typing import ClassVar

from recordlayer.cursor.scan import KeyRange, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.index.aggregate_rules import RULES, Rule
from recordlayer.index.atomic import AtomicIndex
from recordlayer.index.entry import Items
from recordlayer.index.maintainer import IndexedRecord
from recordlayer.index.pending import pending_read, pending_scan
from recordlayer.index.standard import row_difference
from recordlayer.kv.engine import KeyValue, MutationType
from recordlayer.kv.mutations import STAMP_VALUE, Write
from recordlayer.tuples import compare, has_incomplete_versionstamp, pack, pack_with_versionstamp, unpack

_OFFSET_BYTES = 4


def _latest(left: Items | None, right: Items) -> Items:
    return right if left is None or compare(left, right) < 0 else left


RULES["max_ever_version"] = Rule(
    added=lambda grouped, null: pack(grouped),
    removed=lambda grouped, null: None,
    mutation=MutationType.BYTE_MAX,
    read=unpack,
    fold=_latest,
    empty=None,
    idempotent=True,
)


class MaxEverVersionIndex(AtomicIndex):
    """The latest version that was ever saved in each group."""

    type: ClassVar[str] = "max_ever_version"
    __slots__ = ()

    def writes(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        _, added = row_difference(self.rows(old), self.rows(new))
        writes: list[Write] = []
        for row in added:
            key = pack(row[: self._grouping], self.space.entries)
            grouped = row[self._grouping :]
            if has_incomplete_versionstamp(grouped):
                operand = pack_with_versionstamp(grouped)
                self.check_size(key, operand[:-_OFFSET_BYTES], new)
                writes.append((STAMP_VALUE, key, operand))
            else:
                value = pack(grouped)
                self.check_size(key, value, new)
                writes.append((MutationType.BYTE_MAX, key, value))
        return writes

    def stored(self, keys: KeyRange, options: ScanOptions) -> Cursor[KeyValue]:
        return pending_scan(self.space.context, keys, options, start=len(self.space.entries))

    async def stored_at(self, key: bytes, *, snapshot: bool) -> bytes | None:
        return await pending_read(self.space.context, key, snapshot=snapshot)
