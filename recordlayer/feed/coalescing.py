"""Each record once: of the changes of a page the last one of each record, with the record as it is now.

A record that has changed again behind the page comes in a later page as well, in the same state or a later one: taken
in their order, the pages end with what is in the store. What was cleared stands where it was: later changes of the same
records come behind it.

Cost    1 range read for each record, in 1 round trip
"""

from __future__ import annotations

from recordlayer.feed.change import Change
from recordlayer.store.change_layout import ChangeKind
from recordlayer.store.store import RecordStore


async def coalesced(store: RecordStore, changes: list[Change]) -> list[Change]:
    """The same changes, each record once, in its latest state."""
    kept: dict[bytes, Change] = {}
    commits: dict[bytes, set[bytes]] = {}
    types: dict[bytes, set[str]] = {}
    for number, change in enumerate(changes):
        entry = change.entry
        if entry.kind is ChangeKind.CLEAR:
            for key in [key for key, earlier in kept.items() if entry.covers(earlier.entry.key)]:
                del kept[key]
                commits.pop(key, None)
                types.pop(key, None)
            kept[b"cleared %d" % number] = change
        else:
            kept.pop(entry.key, None)
            kept[entry.key] = change
            commits.setdefault(entry.key, set()).add(change.position[:14])
            types.setdefault(entry.key, set()).update((entry.record_type, entry.old_type or entry.record_type))
    records = store.records
    readings = {
        key: records.begin(key, snapshot=True) for key, change in kept.items() if change.kind is not ChangeKind.CLEAR
    }
    found: list[Change] = []
    try:
        for key, change in kept.items():
            if change.kind is ChangeKind.CLEAR:
                found.append(change)
                continue
            raw = await records.finish(readings.pop(key))
            record = None if raw is None else records.stored(key, raw)
            found.append(change.latest(record, commits=len(commits[key]), types=frozenset(types[key])))
    finally:
        for reading in readings.values():
            reading.cancel()
    return found
