"""Uniqueness: no two records with the same key columns, unless one of them is a null that does not count.

Layout  7 violations of an index that is not unique yet: (*columns, *primary key) -> the other record's packed primary
        key, written for both; both primary keys are complete
Cost    1 range read for each entry of the new record, begun before the old record has been read; and none for a record
        whose entries all have nulls
Source  Record Layer, StandardIndexMaintainer.checkUniqueness, removeUniquenessViolationsAsync. There the error comes at
        the commit; here when the record is saved, before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recordlayer.errors import UniquenessViolation
from recordlayer.index.entry import EntryLayout, Items
from recordlayer.index.maintainer import IndexedRecord, IndexSpace
from recordlayer.index.state import IndexState
from recordlayer.kv.engine import Chunk, StreamingMode
from recordlayer.tuples import pack, prefix_range, unpack
from recordlayer.waiting.waitable import Waitable

_VIOLATIONS = 7


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """An entry that must be alone with its columns: their packed key, and the key of this record's own entry."""

    columns: Items
    prefix: bytes
    own: bytes


class UniqueVerdict:
    """The look at what already stands where a record's entries shall go."""

    __slots__ = ("_freed", "_keys", "_keys_of", "_layout", "_others", "_reads", "_record", "_space")

    def __init__(
        self,
        space: IndexSpace,
        layout: EntryLayout,
        record: IndexedRecord,
        keys: list[UniqueKey],
        keys_of: Callable[[IndexedRecord], list[UniqueKey]],
    ) -> None:
        self._space = space
        self._keys_of = keys_of
        self._freed: set[bytes] = set()
        self._layout = layout
        self._record = record
        self._keys = keys
        self._others: list[tuple[UniqueKey, list[Items]]] = []
        # Its own entry and one other is all that there can be where uniqueness holds.
        limit = 2 if space.state is IndexState.READABLE else 0
        self._reads: list[Waitable[Chunk]] = [
            space.context.get_range(
                key.prefix + b"\x00", key.prefix + b"\xff", limit=limit, mode=StreamingMode.WANT_ALL
            )
            for key in keys
        ]

    async def settle(self, old: IndexedRecord | None, gone: Sequence[IndexedRecord] = ()) -> None:
        """Raises  UniquenessViolation if a readable index has another record's entry, which stays."""
        start = len(self._space.entries)
        freed = self._freed = {key.own for record in gone for key in self._keys_of(record)}
        for key, read in zip(self._keys, self._reads, strict=True):
            chunk = await read
            rows = chunk.rows
            if chunk.more and rows and self._space.state is not IndexState.READABLE:
                rows = rows + await self._space.context.read_all(rows[-1][0] + b"\x00", key.prefix + b"\xff")
            if any(found == key.own for found, _ in rows):
                continue  # the entry is there already: nothing is added
            others = [self._layout.primary_key(unpack(found, start)) for found, _ in rows if found not in freed]
            if others and self._space.state.is_readable:
                raise self._violation(key, others[0])
            if others:
                self._others.append((key, others))

    def claim(self) -> None:
        """Raises  UniquenessViolation if another record of this transaction was there first, unseen by the reads; for
        an index that is being built that is noted as a violation."""
        claims = self._space.context.claims
        readable = self._space.state.is_readable
        for key in self._keys:
            claimed = claims.get(key.prefix)
            if claimed is None or claimed == key.own or claimed in self._freed:
                continue
            held_by = self._layout.primary_key(unpack(claimed, len(self._space.entries)))
            if readable:
                raise self._violation(key, held_by)
            if not any(known is key and held_by in others for known, others in self._others):
                self._others.append((key, [held_by]))
        for key in self._keys:
            claims[key.prefix] = key.own
        for key, others in self._others:
            self._note_violations(key, others)

    def _note_violations(self, key: UniqueKey, others: list[Items]) -> None:
        prefix = pack(key.columns, self._space.space(_VIOLATIONS))
        own = self._record.primary_key_bytes
        for other in others:
            packed = pack(other)
            self._space.context.set(prefix + own, packed)
            self._space.context.set(prefix + packed, own)

    def _violation(self, key: UniqueKey, held_by: Items) -> UniquenessViolation:
        return UniquenessViolation(
            index=self._space.index.name,
            value=key.columns,
            saving=self._record.primary_key,
            held_by=held_by,
            hint="load the other record first, and change or delete it if this one is right",
        )


def forget(space: IndexSpace, prefix: bytes, own: bytes) -> None:
    """An entry of this transaction is gone: others may claim its columns."""
    if space.context.claims.get(prefix) == own:
        del space.context.claims[prefix]


def keeps_violations(state: IndexState) -> bool:
    """Whether an index in this state may have violations to take away with its entries."""
    return state in (IndexState.WRITE_ONLY, IndexState.READABLE_UNIQUE_PENDING)


async def remove_violations(space: IndexSpace, columns: list[Items], record: IndexedRecord) -> None:
    """Take away what was noted about a record's removed entries; one that is then alone has no violation left."""
    for items in columns:
        prefix = pack(items, space.space(_VIOLATIONS))
        space.context.clear(prefix + record.primary_key_bytes)
        left = await space.context.read_all(prefix + b"\x00", prefix + b"\xff")
        if len(left) == 1:
            space.context.clear_range(*prefix_range(prefix))
