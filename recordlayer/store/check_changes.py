"""Whether a change feed agrees with the records: the last change of each record says what became of it.

That holds as far back as the feed goes: a record whose changes were all trimmed, or that is older than the feed, is not
missed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recordlayer.errors import CorruptFeed, CorruptRecord, MalformedTuple, UnknownEncryptionKey
from recordlayer.kv.engine import KeyValue
from recordlayer.store.change_layout import FIRST, ChangeKind, Entry, FeedLayout, FeedState, assembled
from recordlayer.store.record import StoredRecord
from recordlayer.tuples import pack, unpack

if TYPE_CHECKING:
    from recordlayer.store.store import RecordStore

Found = tuple[str, Any]
"""What is wrong, in words, and a detail."""


def audit(store: RecordStore, rows: list[KeyValue], records: list[StoredRecord]) -> list[Found]:
    """Everything in the feed's pairs that does not agree."""
    if store.feed is None:
        return [("a change feed that the header does not tell of", len(rows))] if rows else []
    layout, settings = store.feed.layout, store.feed.settings
    pairs = dict(rows) | dict(store.context.stamped_rows(layout.prefix, layout.prefix + b"\xff"))
    value = pairs.pop(layout.state, None)
    if value is None:
        return [("the feed's state is gone: its readers begin anew", None)]
    try:
        state = FeedState.parse(value)
        if state.settings != settings:
            return [("the feed's state is that of another feed", state.settings)]
        found, changes = _changes(layout, settings.group_by, pairs)
    except CorruptFeed as error:
        return [("the feed cannot be read", str(error))]
    return found + _compare(store, state, changes, records)


def _changes(layout: FeedLayout, group_by: int, pairs: dict[bytes, bytes]) -> tuple[list[Found], list[Change]]:
    """All changes in their order."""
    known = (layout.last, layout.last_wide, layout.groups, layout.consumers)
    logs: dict[bytes, list[KeyValue]] = {}
    found: list[Found] = []
    for key, value in sorted(pairs.items()):
        if key.startswith(layout.wide):
            logs.setdefault(layout.wide, []).append((key, value))
        elif group_by and key.startswith(layout.logs):
            try:
                group = pack(unpack(key, len(layout.logs))[:group_by])
            except MalformedTuple:
                found.append(("a key that is none of the feed's", key))
            else:
                logs.setdefault(layout.log_of(group), []).append((key, value))
        elif not key.startswith(known):
            found.append(("a key that is none of the feed's", key))
    changes: list[Change] = []
    for log, rows in logs.items():
        entries = assembled(rows, log)
        if sum(size for _, _, size in entries) < len(rows):
            found.append(("parts of a change are missing", rows[-1][0]))
        changes += [(position, entry) for position, entry, _ in entries]
        if log != layout.wide and layout.last_of(log[len(layout.logs) :]) not in pairs:
            found.append(("a group with changes is not listed", log[len(layout.logs) :]))
    if changes and layout.last not in pairs:
        found.append(("there are changes, and no last one", None))
    return found, sorted(changes, key=lambda change: change[0])


Change = tuple[bytes, Entry]


def _compare(store: RecordStore, state: FeedState, changes: list[Change], records: list[StoredRecord]) -> list[Found]:
    grouped = store.feed is not None and store.feed.settings.group_by > 0
    latest: dict[bytes, Entry] = {}
    cleared: list[Entry] = []
    found: list[Found] = []
    for position, entry in changes:
        if position <= (state.floor or FIRST) and not grouped:
            found.append(("a change from before the place up to which was trimmed", position))
        if entry.kind is ChangeKind.CLEAR:
            cleared.append(entry)
            for key in [key for key in latest if entry.covers(key)]:
                latest[key] = entry
        else:
            latest[entry.key] = entry
    images = store.feed is not None and store.feed.settings.new_images
    complete = state.floor is None and not state.partial
    alive = {record.primary_key_bytes: record for record in records}
    for key, record in alive.items():
        last = latest.pop(key, None)
        if last is None:
            gone = any(entry.covers(key) for entry in cleared)
            if gone or complete:
                what = "a record is there that was cleared" if gone else "a record is there that was never inserted"
                found.append((what, record.primary_key))
        elif last.kind in (ChangeKind.DELETE, ChangeKind.CLEAR):
            found.append(("a record is there that was deleted", record.primary_key))
        elif last.record_type != record.record_type.name:
            found.append(("a record is of another type than its last change", record.primary_key))
        elif images and last.new is not None and not _same(store, last.new, record):
            found.append(("a record is not as its last change left it", record.primary_key))
    return found + [
        ("a record is gone, and its last change says that it is there", key)
        for key, entry in latest.items()
        if entry.kind in (ChangeKind.INSERT, ChangeKind.UPDATE)
    ]


def _same(store: RecordStore, image: bytes, record: StoredRecord) -> bool:
    try:
        return bool(StoredRecord(store.codec, record.primary_key_bytes, image).message == record.message)
    except (CorruptRecord, UnknownEncryptionKey):
        return False
