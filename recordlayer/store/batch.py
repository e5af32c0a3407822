"""Many records at once, and trying out: all reads are under way together, the writes come in the order of the records.

A batch is saved completely or not at all: whatever can be refused is found out before the first write, and the
transaction may go on without it. A record that comes twice is written twice, the second in place of the first. A unique
value is judged by what was there before the batch: one record cannot take what another of the same batch gives up.

Cost    save: 1 range read a record (+ 1 for each entry of a unique index), 1 round trip; writes as one by one
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recordlayer.index.maintainer import Verdict
from recordlayer.kv.mutations import Write, perform
from recordlayer.store.expect import Expect, VersionBehavior
from recordlayer.store.reading import ReadingMany
from recordlayer.store.record import StoredRecord
from recordlayer.store.split import RawRecord
from recordlayer.store.store import RecordStore
from recordlayer.store.synthesis import Synthesis
from recordlayer.store.upkeep import Change, Kept, claim_all, writes_of
from recordlayer.tuples import Versionstamp

if TYPE_CHECKING:
    from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Planned:
    """A save that nothing speaks against: what was there, and all that is to be written."""

    new: StoredRecord
    old: StoredRecord | None
    raw: RawRecord | None
    data: bytes
    verdicts: Sequence[Verdict]
    writes: list[Write]
    changes: list[Change]
    place: int | None
    """of its change in the feed"""


Removed = tuple[StoredRecord, RawRecord, list[Write], list[Change]]
"""A record that is to go, as it was read, and what its indexes need."""


async def save_many(
    store: RecordStore,
    messages: Iterable[Message],
    *,
    expect: Expect = Expect.ANYTHING,
    version_behavior: VersionBehavior = VersionBehavior.DEFAULT,
) -> list[StoredRecord]:
    """Save records in their order, all of them or none. Parameters and errors as those of `RecordStore.save`."""
    store.header.check_may_write()
    given = list(messages)
    news = [store.identify(message) for message in given]
    taken = await _take_turns(store, [new.primary_key_bytes for new in news])
    try:
        found: dict[bytes, RawRecord | None] | None = None
        if version_behavior is VersionBehavior.DEFAULT and (kept := store.plainly_kept(news)) is not None:
            keys = _keys_of(news)
            reading = store.records.begin_all(keys, exact=True)
            try:
                found = await _found(store, keys, reading)
            finally:
                reading.cancel()
            writes = _plain_writes(store, news, found, kept, expect)
            if writes is not None:
                store.write_all(writes)
                return news
        plans = await _plan(store, news, expect, version_behavior, found=found)
        synthesis = await Synthesis.begun(store, [(plan.old, plan.new) for plan in plans])
        try:
            made = writes_of(synthesis.changes)
            claim_all(store.context, [*(one for plan in plans for one in plan.verdicts), *synthesis.verdicts])
            await _write(store, plans)
            await store.complete(made, synthesis.changes)
        finally:
            synthesis.end()
        return news
    finally:
        _leave_turns(store, taken)


def _plain_writes(
    store: RecordStore,
    news: list[StoredRecord],
    found: Mapping[bytes, RawRecord | None],
    kept: Mapping[str, Kept],
    expect: Expect,
) -> list[Write] | None:
    """All that is to be written where that is little; None where there is more to one of the records."""
    if len(found) < len(news):
        return None  # one comes twice
    only = next(iter(kept.values())) if len(kept) == 1 else None
    writes: list[Write] = []
    for new in news:
        keeps = kept[new.record_type.name] if only is None else only
        more = store.plain_writes(new, found[new.primary_key_bytes], keeps, expect)
        if more is None:
            return None
        writes += more
    return writes


async def _write(store: RecordStore, plans: list[Planned]) -> None:
    ready: list[Write] = []  # and not written yet: what belongs to a record goes together
    try:
        for plan in plans:
            pair = store.records.one_pair(plan.new, plan.data, plan.raw)
            if pair is None:
                perform(store.context, ready)
                store.records.write(plan.new, plan.data, plan.raw)
                ready = []
            else:
                ready.append(pair)
            store.write_beside(plan.new, plan.data, plan.old, plan.raw, plan.place)
            ready += plan.writes
            if plan.changes:
                await store.complete(ready, plan.changes)
                ready = []
        perform(store.context, ready)
    except BaseException as error:
        store.context.doom(error)
        raise


async def delete_many(store: RecordStore, wanted: Iterable[Any]) -> list[bool]:
    """Remove the records with these primary keys, all or none. For each whether there was one.

    Cost    1 range read each, 1 round trip; writes as one by one.
    Raises  as `RecordStore.delete`. Nothing has been written then.
    """
    store.header.check_may_write()
    packed = [store.packed_key(key) for key in wanted]
    taken = await _take_turns(store, packed)
    try:
        keys = list(dict.fromkeys(packed))
        reading = store.records.begin_all(keys, exact=True)
        found: dict[bytes, Removed] = {}
        try:
            for key, raw in zip(keys, await store.records.finish_all(reading), strict=True):
                if raw is not None:
                    old = store.records.stored(key, raw)
                    found[key] = (old, raw, *store.upkeep.prepare(old, None))
        finally:
            reading.cancel()
        left = dict.fromkeys(found, True)
        there = [left.pop(key, False) for key in packed]
        places = [None if store.feed is None else store.feed.claim() for _ in found]
        synthesis = await Synthesis.begun(store, [(old, None) for old, *_ in found.values()])
        try:
            made = writes_of(synthesis.changes)
            claim_all(store.context, synthesis.verdicts)
            await _remove(store, places, found.values())
            await store.complete(made, synthesis.changes)
        finally:
            synthesis.end()
        return there
    finally:
        _leave_turns(store, taken)


async def _remove(store: RecordStore, places: Iterable[int | None], found: Iterable[Removed]) -> None:
    try:
        for place, (old, raw, writes, changes) in zip(places, found, strict=True):
            store.remove_record(old, raw, place)
            await store.complete(writes, changes)
    except BaseException as error:
        store.context.doom(error)
        raise


async def dry_save(
    store: RecordStore,
    message: Message,
    *,
    expect: Expect = Expect.ANYTHING,
    version: Versionstamp | None = None,
    version_behavior: VersionBehavior = VersionBehavior.DEFAULT,
) -> StoredRecord:
    """What `RecordStore.save` would save, with the pairs and bytes it would take. Nothing is written, no local version
    is used up: a new version is shown as an incomplete one with local version 0.

    Cost    the reads of a save.
    Raises  as `RecordStore.save`.
    """
    store.header.check_may_write()
    new = store.identify(message)
    taken = await _take_turns(store, [new.primary_key_bytes])
    try:
        gives_new = version_behavior.gives_new(version, store.metadata)
        given = Versionstamp.incomplete(0) if gives_new else version
        (plan,) = await _plan(store, [new], expect, VersionBehavior.IF_PRESENT, given, dry=True)
        await _dry(store, plan.old, new)
        new.shape = store.records.shape(new, plan.data)
        return new
    finally:
        _leave_turns(store, taken)


async def dry_delete(store: RecordStore, key: Any) -> bool:
    """Whether `RecordStore.delete` would find a record. Nothing is written.

    Cost    1 range read.
    Raises  as `RecordStore.delete`.
    """
    store.header.check_may_write()
    packed = store.packed_key(key)
    raw = await store.records.finish(store.records.begin(packed, exact=True))
    if raw is None:
        return False
    old = store.records.stored(packed, raw)
    store.upkeep.prepare(old, None)
    await _dry(store, old, None)
    return True


async def _dry(store: RecordStore, old: StoredRecord | None, new: StoredRecord | None) -> None:
    """Find out what records that are made from a changed one would be refused for."""
    synthesis = await Synthesis.begun(store, [(old, new)])
    try:
        writes_of(synthesis.changes)
    finally:
        synthesis.end()


# -- in detail -----------------------------------------------------------------------------------------------


async def _plan(
    store: RecordStore,
    news: list[StoredRecord],
    expect: Expect,
    version_behavior: VersionBehavior,
    version: Versionstamp | None = None,
    *,
    found: dict[bytes, RawRecord | None] | None = None,
    dry: bool = False,
) -> list[Planned]:
    """Everything that can be refused, and what to write; nothing is written yet. `found`: what was read already."""
    records = store.records
    keys = _keys_of(news)
    reading = None if found is not None else records.begin_all(keys, exact=True)
    plans: list[Planned] = []
    try:
        begun = [store.upkeep.verdicts(new) for new in news]
        if found is None and reading is not None:
            found = await _found(store, keys, reading)
        assert found is not None, "it was given, or read"
        latest: dict[bytes, StoredRecord] = {}
        for new, verdicts in zip(news, begun, strict=True):
            key = new.primary_key_bytes
            raw = found[key]
            old = latest.get(key) if latest else None
            if old is None and raw is not None:
                old = records.stored(key, raw)
            expect.check(old, new)
            for verdict in verdicts:
                await verdict.settle(old)
            new.version = version_behavior.version(version, store.metadata, store.context)
            data = store.codec.encode(new.message)
            records.check_size(new, data)
            writes, changes = store.upkeep.prepare(old, new)
            place = None if dry or store.feed is None else store.feed.claim()
            plans.append(Planned(new, old, raw, data, verdicts, writes, changes, place))
            if len(keys) < len(news):  # one comes twice: the second follows upon the first
                latest[key], found[key] = new, RawRecord(data, new.version, records.shape(new, data))
    finally:
        if reading is not None:
            reading.cancel()
    return plans


def _keys_of(news: list[StoredRecord]) -> list[bytes]:
    return list(dict.fromkeys([new.primary_key_bytes for new in news]))


async def _found(store: RecordStore, keys: list[bytes], reading: ReadingMany) -> dict[bytes, RawRecord | None]:
    return dict(zip(keys, await store.records.finish_all(reading), strict=True))


async def _take_turns(store: RecordStore, keys: Iterable[bytes]) -> list[bytes]:
    """Have all these records for oneself. In the order of their keys, so that two batches never wait for each other."""
    turns, taken = store.context.turns, list[bytes]()
    try:
        for place in sorted({store.layout.records + key for key in keys}):
            if not turns.take(place):
                await turns.wait(place)
            taken.append(place)
    except BaseException:
        _leave_turns(store, taken)
        raise
    return taken


def _leave_turns(store: RecordStore, taken: list[bytes]) -> None:
    for place in taken:
        store.context.turns.leave(place)
