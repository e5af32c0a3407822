"""Judging a TEXT index: tokens of records by the maps they should be in, and bunches by the records of their entries.

A list of places may be left out, whatever the index's option says now: it may have been another.

Cost    records: 1 read each, 1 range read for each token; bunches: 1 range read a piece, and their records
Source  the layout of `index.text`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recordlayer.errors import CorruptIndexEntry, MalformedTuple
from recordlayer.index.bunched import BUNCH_SIZE, Change, bunch_of, packed_positions
from recordlayer.index.bunched_check import OUT_OF_ORDER, look_at
from recordlayer.index.judging import Evidence, Fault, Mend, clearing, putting
from recordlayer.index.maintainer import IndexedRecord
from recordlayer.kv.engine import KeyValue
from recordlayer.tuples import pack, unpack

if TYPE_CHECKING:
    from recordlayer.index.text import TextIndex


class TextJudge:
    """Judges one TEXT index."""

    def __init__(self, index: TextIndex) -> None:
        self._index = index
        self._space = index.space

    async def records(self, records: Sequence[IndexedRecord], evidence: Evidence) -> list[Fault]:
        """What is missing in the maps of some records' tokens, or has other places."""
        index, faults = self._index, list[Fault]()
        start = len(self._space.entries)
        for record, version in zip(records, await self._versions(records, evidence), strict=True):
            if version is None:
                key = index.versions + record.primary_key_bytes
                mend = putting(self._space, key, pack((index.tokenizer.version,)))
                what = "the version of a record's tokenizer is missing"
                faults.append(Fault(what, record.primary_key, mend, record.primary_key_bytes, key))
            wanted: dict[tuple[bytes, bytes], list[list[int]]] = {}
            for row in index.text_rows(record):
                for token, places in index.tokenizer.positions(row.text, version or 0).items():
                    wanted.setdefault((pack((token,), row.group), row.tail), []).append(places)
            for (
                prefix,
                tail,
            ), possible in wanted.items():  # several texts of a record may have a token: either will do
                found = await _entry(prefix, tail, evidence)
                if found is not None and (not found or found in map(packed_positions, possible)):
                    continue
                what = "an entry is missing" if found is None else "an entry has other places than its token"
                mend = self._changing(prefix, tail, index.value_of(possible[-1]))
                faults.append(Fault(what, unpack(prefix + tail, start), mend, record.primary_key_bytes, prefix + tail))
        return faults

    async def _versions(self, records: Sequence[IndexedRecord], evidence: Evidence) -> list[int | None]:
        versions = self._index.versions
        values = await evidence.values([versions + record.primary_key_bytes for record in records])
        return [None if value is None else version_in(value) for value in values]

    async def bunches(self, pairs: Sequence[KeyValue], evidence: Evidence) -> list[Fault]:
        """What is wrong with some bunches, and which of their entries have no record."""
        layout, start = self._index.layout, len(self._space.entries)
        last = pairs[-1][0]
        map_end = last[: layout.map_length(last)] + b"\xff" if _is_readable(self._index, last) else last
        behind = await evidence.rows(last + b"\x00", map_end, limit=1) if map_end > last else []
        wrong, entries = look_at(layout, [*pairs, *behind], BUNCH_SIZE)
        values, stored = dict(pairs), dict([*pairs, *behind])
        faults = [
            Fault(what, detail, self._renewing(key, stored[key]), None, key)
            for key, what, detail in wrong
            if key in values or what == OUT_OF_ORDER  # the one behind is judged by itself with those that follow
        ]
        mine = {
            whole: pack(layout.entries.primary_key(unpack(whole, start)))
            for whole, signpost in entries.items()
            if signpost in values
        }
        owners = list(dict.fromkeys(mine.values()))
        own = dict(zip(owners, await self._own(owners, evidence), strict=True))
        for whole, owner in mine.items():
            if whole not in own[owner]:
                length = layout.map_length(entries[whole])
                mend = self._changing(whole[:length], whole[length:], None)
                faults.append(Fault("an entry has no record", unpack(whole, start), mend, owner, whole))
        return faults

    async def _own(self, owners: list[bytes], evidence: Evidence) -> list[frozenset[bytes]]:
        """The entries of records with these primary keys: prefixes of maps with the keys in them."""
        found = await evidence.records(owners)
        there = [record for record in found if record is not None]
        versions = dict(
            zip([one.primary_key_bytes for one in there], await self._versions(there, evidence), strict=True)
        )
        return [
            frozenset()
            if record is None
            else frozenset(
                pack((token,), row.group) + row.tail
                for row in self._index.text_rows(record)
                for token in self._index.tokenizer.positions(row.text, versions[record.primary_key_bytes] or 0)
            )
            for record in found
        ]

    async def versions(self, pairs: Sequence[KeyValue], evidence: Evidence) -> list[Fault]:
        """Versions of tokenizers that belong to no record."""
        start = len(self._index.versions)
        owners = [key[start:] for key, _ in pairs]
        return [
            Fault(
                "the version of a tokenizer has no record",
                _items(owner),
                clearing(self._space, self._index.versions + owner),
                owner,
                self._index.versions + owner,
            )
            for owner, record in zip(owners, await evidence.records(owners), strict=True)
            if record is None
        ]

    # -- mending

    def _changing(self, prefix: bytes, key: bytes, value: bytes | None) -> Mend:
        """Puts a value into a map, or removes it."""

        async def mend() -> None:
            await Change(self._space.context, prefix, key, value).apply()

        return mend

    def _renewing(self, signpost: bytes, stored: bytes) -> Mend:
        """Takes a bunch away and puts what can be read of it into its map one by one."""

        async def mend() -> None:
            context, layout = self._space.context, self._index.layout
            context.clear(signpost)
            if not _is_readable(self._index, signpost):
                return
            length = layout.map_length(signpost)
            try:
                keys, values = bunch_of(signpost[length:], stored)
            except CorruptIndexEntry:
                return  # its entries are missing now, and come back with their records
            for key, value in zip(keys, values, strict=True):
                await Change(context, signpost[:length], key, value).apply()

        return mend


async def _entry(prefix: bytes, key: bytes, evidence: Evidence) -> bytes | None:
    """What a map has at a key; None if it is not there, or its bunch cannot be read."""
    rows = await evidence.rows(prefix, prefix + key + b"\x00", limit=1, reverse=True)
    if not rows:
        return None
    try:
        keys, values = bunch_of(rows[0][0][len(prefix) :], rows[0][1])
    except CorruptIndexEntry:
        return None
    return values[keys.index(key)] if key in keys else None


def _is_readable(index: TextIndex, key: bytes) -> bool:
    try:
        index.layout.map_length(key)
    except MalformedTuple:
        return False
    return True


def _items(packed: bytes) -> Any:
    try:
        return unpack(packed)
    except MalformedTuple:
        return packed


def version_in(value: bytes | None) -> int:
    """The version of a tokenizer as it is stored; 0 where none is.  Raises  CorruptIndexEntry."""
    if value is None:
        return 0
    try:
        (version,) = unpack(value)
    except (MalformedTuple, ValueError) as error:
        raise CorruptIndexEntry(value=value, found="no version of a tokenizer") from error
    if type(version) is not int:
        raise CorruptIndexEntry(value=value, found="no version of a tokenizer")
    return version
