"""What has changed by a VERSION index, for stores that are shared with the Java Record Layer: whoever writes keeps it.

    metadata  .index("Order", "by_version", concat("zone", version()), type="version")
    reader    store.version_feed("by_version", "zone 7", deleted="gone").changes(since=token)

**Deletions are not in it**: a record that is gone has left the index as well, and a replica that follows it keeps the
record for ever, in silence. Where deletions matter, the application does not delete but saves the record with a mark,
which `deleted` names, and removes it later, when all who follow have seen that. Each record is there once, at its last
change, as it is now.

A token holds until the store's incarnation is raised: the index orders by versions, which other databases count
otherwise. Nothing is trimmed.

Cost    1 range read of the index a page, 1 range read a record, in 2 round trips. Nobody conflicts with it
Source  paper, section 8.1
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.limits import NO_LIMITS, Limits, budget_of
from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.sealing import Sealed
from recordlayer.cursor.step import Stop
from recordlayer.errors import CorruptIndexEntry, FeedTokenExpired, UnknownField, UsageError, WrongType
from recordlayer.feed.reading import DEFAULT_LIMIT, Giver
from recordlayer.feed.token import Purpose
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.entry import IndexEntry
from recordlayer.index.version import columns_before_version
from recordlayer.metadata import Index
from recordlayer.options import as_limits
from recordlayer.store.fetch import fetched
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore
from recordlayer.tuples import Versionstamp, pack

if TYPE_CHECKING:
    from google.protobuf.message import Message

Mark = str | Callable[["Message"], bool] | None
"""A field that is true in records that count as deleted, or a function that says so."""

_FIRST = bytes(12)
_INCARNATION = 4


@dataclass(frozen=True, slots=True)
class VersionChange:
    """A record as it is now, at the place of its last change.

    deleted  it bears the application's mark: a tombstone. Records that are really gone are never told of
    """

    record: StoredRecord
    version: Versionstamp
    deleted: bool

    @property
    def primary_key(self) -> tuple[Any, ...]:
        return self.record.primary_key

    @property
    def record_type(self) -> str:
        return self.record.record_type.name

    @property
    def message(self) -> Message:
        return self.record.message


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionsPage:
    """Changes in the order of the commits. Iterate over it; go on at `token`, at once if there is `more`."""

    changes: tuple[VersionChange, ...]
    token: bytes
    stopped: Stop

    @property
    def more(self) -> bool:
        return self.stopped is not Stop.EXHAUSTED

    def __iter__(self) -> Iterator[VersionChange]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)


class VersionFeed:
    """The records of a VERSION index, with these values in the columns before the version."""

    def __init__(self, store: RecordStore, name: str, prefix: tuple[Any, ...], deleted: Mark) -> None:
        self._store = store
        self._index = store.metadata.index(name)
        self._prefix = prefix
        columns = columns_before_version(self._index.root_expression) if self._index.type == "version" else None
        if columns is None:
            raise UsageError(index=name, type=self._index.type, hint="name a VERSION index with one entry a record")
        if columns != len(prefix):
            hint = f"give values for the {columns} columns before the version" if columns else "give no values"
            raise UsageError(index=name, values=prefix, hint=hint)
        if deleted is not None and not isinstance(deleted, str) and not callable(deleted):
            raise WrongType(argument="deleted", value=deleted, hint="give the name of a field, or a function")
        if isinstance(deleted, str):
            for each in store.metadata.record_types_of(self._index):
                if deleted not in each.descriptor.fields_by_name:
                    raise UnknownField(record_type=each.name, field=deleted)
        self._deleted = deleted

    async def now(self, sealed: Sealed) -> bytes:
        """The token behind everything that this transaction can see."""
        return self._give(sealed).token(await self._now())

    async def changes(
        self, since: bytes | None, sealed: Sealed, *, limit: int | None = None, limits: Limits = NO_LIMITS
    ) -> VersionsPage:
        """The records that have changed behind a token, or all of them.

        Raises  IndexNotReadable, FeedTokenExpired, BadFeedToken, UsageError.
        """
        store, give = self._store, self._give(sealed)
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise UsageError(limit=limit, hint="give a whole number of at least 1")
        end = await self._now()
        position = end[:_INCARNATION] + _FIRST if since is None else give.opened(since).position
        if position[:_INCARNATION] != end[:_INCARNATION]:
            raise FeedTokenExpired(reason="the store came to another database, whose versions cannot be compared")
        budget = budget_of(store.context, as_limits("limits", limits), store.limits)
        low = (*self._prefix, Versionstamp.from_bytes(position[_INCARNATION:]))
        high = (*self._prefix, Versionstamp.from_bytes(b"\xff" * 9 + b"\xfe" + b"\xff" * 2))
        bounds = Bounds.between(low, high, low_end=End.EXCLUSIVE, high_end=End.INCLUSIVE)
        options = ScanOptions(snapshot=True, limit=limit or DEFAULT_LIMIT, budget=budget)
        cursor = store.scan_index(self._index.name, bounds, options)
        entries: list[IndexEntry] = []
        while True:
            batch = await cursor.batch()
            entries += batch.values
            if batch.stop is not None:
                break
        records = await fetched(
            store.records, [entry.primary_key_bytes for entry in entries], snapshot=True, budget=budget
        )
        changes = [self._change(entry, record) for entry, record in zip(entries, records, strict=True)]
        if batch.stop is Stop.EXHAUSTED:
            position = max(position, end)
        elif entries:
            position = position[:_INCARNATION] + changes[-1].version.to_bytes()
        return VersionsPage(changes=tuple(changes), token=give.token(position), stopped=batch.stop)

    def _change(self, entry: IndexEntry, record: StoredRecord | None) -> VersionChange:
        if record is None:
            raise CorruptIndexEntry(index=entry.index_name, key=entry.items, found="its record is missing")
        mark = self._deleted
        deleted = (
            False if mark is None else getattr(record.message, mark) if isinstance(mark, str) else mark(record.message)
        )
        return VersionChange(record, entry.items[len(self._prefix)], bool(deleted))

    async def _now(self) -> bytes:
        version = await self._store.context.read_version()
        return self._store.header.incarnation.to_bytes(_INCARNATION, "big") + version.to_bytes(8, "big") + b"\xff" * 4

    def _give(self, sealed: Sealed) -> Giver:
        return Giver(self._store, identity_of(self._index), pack(self._prefix), sealed, purpose=Purpose.VERSIONS)


def identity_of(index: Index) -> bytes:
    """What tokens are bound to: an index that was defined anew is another one."""
    about = pack((index.name, index.subspace_key, index.last_modified_version))
    return hashlib.blake2b(about, digest_size=16).digest()
