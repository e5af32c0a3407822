"""A record store in one transaction: saving, loading, deleting and scanning records and their indexes.

This class says in which order things happen; how is in the other modules of the package.

Cost    save: 1 range read (+ 1 for each entry of a unique index), 1 write for the record (+ 1 with a version), 1 for
        each changed index entry; delete: 1 range read, 1 clear for the record, 1 for each entry; load: 1 range read;
        with a change feed 1 write more a change, and 1 or 2 a transaction
Source  Record Layer, FDBRecordStore
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.scan import FORWARD, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.errors import IndexNotReadable, UsageError
from recordlayer.index.bounds import Bounds
from recordlayer.index.maintainer import Maintainer, Verdict
from recordlayer.index.state import IndexState
from recordlayer.kv.context import Context
from recordlayer.kv.engine import ConflictKind
from recordlayer.kv.mutations import Write, perform
from recordlayer.metadata import Index
from recordlayer.options import NO_LIMITS
from recordlayer.store.blueprint import Blueprint
from recordlayer.store.change_log import ChangeLog
from recordlayer.store.counts import RecordCounts
from recordlayer.store.expect import Expect, VersionBehavior
from recordlayer.store.header import StoreHeader
from recordlayer.store.layout import Keyspace
from recordlayer.store.record import StoredRecord
from recordlayer.store.records import Records
from recordlayer.store.split import RawRecord
from recordlayer.store.states import IndexStates
from recordlayer.store.synthesis import NO_SYNTHESIS, Synthesis
from recordlayer.store.upkeep import Change, Kept, Upkeep, claim_all, pending_of
from recordlayer.tuples import Versionstamp, pack
from recordlayer.waiting.overlap import gather

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.store.sampling import Sampling

Items = tuple[Any, ...]


class RecordStore:
    """An open store. Made by `store.open.open_store`; lives as long as its transaction."""

    def __init__(self, context: Context, blueprint: Blueprint, header: StoreHeader) -> None:
        layout, metadata = blueprint.layout, blueprint.metadata
        self.context = context
        self.layout = layout
        self.metadata = metadata
        self.header = header
        self.states = states = IndexStates(
            context, layout, blueprint.states, blueprint.schema, chooses=blueprint.chooses, shared=header.states
        )
        self.limits = NO_LIMITS
        """Of each query for which nothing else is said, and of each scan."""
        self.visible: Callable[[StoredRecord], bool] | None = None
        """Tells which records are shown, in a store that hides those that have expired."""
        self.codec = codec = blueprint.codec
        self.upkeep = Upkeep(context, blueprint, states)
        self.sampling: Sampling | None = None
        """Looks at some of the records that are changed; None for none."""
        self.counts = None if blueprint.counts is None else RecordCounts(context, layout, blueprint.counts)
        header.feed = None if blueprint.feed is None else ChangeLog(context, layout, header, blueprint.feed)
        self.records = Records(context, layout, codec, blueprint.splitting, old_versions=blueprint.old_versions)
        self._keys = codec.schema.primary_keys
        self._stores_versions = metadata.store_record_versions
        self._makes = bool(metadata.synthetic)

    @property
    def feed(self) -> ChangeLog | None:
        """What writes the store's change feed, None if it has none: the same for all who have the store open in this
        transaction."""
        return self.header.feed

    # -- one record ------------------------------------------------------------------------------------

    def identify(self, message: Message) -> StoredRecord:
        """A message as a record of this store.

        Raises  UnknownRecordType, WrongType for what is no message.
        """
        record_type, codec = self.metadata.record_type_of(message), self.codec
        schema = codec.schema
        function = schema.key_functions.get(type(message))
        keys = () if function is None else function(message, schema.contexts[record_type.name], b"", b"")
        key = keys[0] if len(keys) == 1 else schema.primary_key(record_type, message)
        return StoredRecord.of_message(codec, record_type, message, key)

    async def save(
        self,
        message: Message,
        *,
        expect: Expect = Expect.ANYTHING,
        version: Versionstamp | None = None,
        version_behavior: VersionBehavior = VersionBehavior.DEFAULT,
    ) -> StoredRecord:
        """Write a record, in place of one with the same primary key, and bring its indexes up to date.

        Raises  RecordExists, RecordMissing, RecordTypeChanged, as `expect` says; UniquenessViolation; RecordTooLarge;
                IndexEntryTooLarge; IncompleteRecord; StoreLocked. Nothing has been written then.
        """
        self.header.check_may_write()
        new = self.identify(message)
        turns, place = self.context.turns, self.layout.records + new.primary_key_bytes
        if not turns.take(place):
            await turns.wait(place)
        try:
            versioned = self._stores_versions or version is not None or version_behavior is not VersionBehavior.DEFAULT
            if not (versioned or self._makes) and (kept := self._kept_plainly(new)) is not None:
                await self._save_plainly(new, place, kept, expect)
                return new
            reading = self.records.begin(new.primary_key_bytes, exact=True)
            verdicts = self.upkeep.verdicts(new)
            raw = await self.records.finish(reading)
            old = None if raw is None else self.records.stored(new.primary_key_bytes, raw)
            expect.check(old, new)
            if self.sampling is not None and old is not None:
                await self.sampling.look(self, old)
            for verdict in verdicts:
                await verdict.settle(old)
            if versioned:
                new.version = version_behavior.version(version, self.metadata, self.context)
            synthesis = await Synthesis.begun(self, [(old, new)]) if self._makes else NO_SYNTHESIS
            try:
                await self._write(new, old, raw, verdicts, synthesis)
            finally:
                synthesis.end()
            return new
        finally:
            turns.leave(place)

    def _kept_plainly(self, new: StoredRecord) -> Kept | None:
        """Who keeps the indexes of a record, where nothing but its pairs and its direct entries has to do with a save;
        None where there is more to it."""
        if self.header.feed is not None or self.counts is not None or self.sampling is not None:
            return None
        kept = self.upkeep.kept(new.record_type)
        return None if kept.rest or not self.records.is_plain else kept

    def plainly_kept(self, news: Iterable[StoredRecord]) -> dict[str, Kept] | None:
        """`_kept_plainly` for several records, by their types; None where there is more to one of them."""
        found: dict[str, Kept] = {}
        for new in news:
            name = new.record_type.name
            if name not in found:
                kept = None if self._stores_versions or self._makes else self._kept_plainly(new)
                if kept is None:
                    return None
                found[name] = kept
        return found

    def plain_writes(self, new: StoredRecord, raw: RawRecord | None, kept: Kept, expect: Expect) -> list[Write] | None:
        """All that a save has to write then; None where there is more to it after all.

        Raises  what refuses the record.
        """
        records = self.records
        old = None if raw is None else records.stored(new.primary_key_bytes, raw)
        if expect is not Expect.ANYTHING:
            expect.check(old, new)
        data = self.codec.encode(new.message)
        pair = records.one_pair(new, data, raw)
        if pair is None or kept.direct is None or (old is not None and old.record_type is not new.record_type):
            return None
        writes = kept.direct.between(old, new, kept.prefixes)
        if writes is not None:
            writes.insert(0, pair)
        return writes

    async def _save_plainly(self, new: StoredRecord, base: bytes, kept: Kept, expect: Expect) -> None:
        """The steps of `save` that are left then: most saves are so."""
        records = self.records
        raw = await records.replaced(base)
        writes = self.plain_writes(new, raw, kept, expect)
        if writes is not None:
            self.write_all(writes)
            return
        old = None if raw is None else records.stored(new.primary_key_bytes, raw)
        data = self.codec.encode(new.message)
        records.check_size(new, data)
        writes, changes = self.upkeep.prepare(old, new)
        records.write(new, data, raw)
        await self.complete(writes, changes)

    def write_all(self, writes: list[Write]) -> None:
        """Write all of a record, or of several. Where that fails, nothing can be committed."""
        try:
            perform(self.context, writes)
        except BaseException as error:
            self.context.doom(error)
            raise

    async def _write(
        self,
        new: StoredRecord,
        old: StoredRecord | None,
        raw: RawRecord | None,
        verdicts: Sequence[Verdict],
        synthesis: Synthesis,
    ) -> None:
        # What can be refused comes first; from the first write on nothing waits until the record is complete.
        data = self.codec.encode(new.message)
        self.records.check_size(new, data)
        writes, changes = self.upkeep.prepare(old, new, synthesis.changes)
        feed = self.header.feed
        place = None if feed is None else feed.claim()
        if verdicts or synthesis.verdicts:
            claim_all(self.context, [*verdicts, *synthesis.verdicts])
        pair = self.records.one_pair(new, data, raw)
        if pair is None:
            self.records.write(new, data, raw)
        self.write_beside(new, data, old, raw, place)
        await self.complete(writes if pair is None else [pair, *writes], changes)

    def write_beside(
        self, new: StoredRecord, data: bytes, old: StoredRecord | None, raw: RawRecord | None, place: int | None
    ) -> None:
        """Write what comes with a record beside its indexes: its change and its count."""
        feed = self.header.feed
        if feed is not None and place is not None:
            feed.saved(place, new, data, old, raw)
        if old is None and self.counts is not None:
            self.counts.added(new)

    async def complete(self, writes: list[Write], changes: list[Change]) -> None:
        """Write what the indexes of a record need, which has been written. Where that fails, nothing can be committed:
        a record without its entries must not be."""
        try:
            perform(self.context, writes)
            if not changes:
                return
            pending = pending_of(changes)
            if len(pending) == 1:
                await pending[0]
            elif pending:
                await gather(*pending)  # indexes that read wait together
        except BaseException as error:
            self.context.doom(error)
            raise

    def packed_key(self, key: Any) -> bytes:
        """A primary key as it is stored.  Raises  UsageError, WrongType."""
        return pack(self._keys.columns(key))

    async def load(self, key: Any, *, snapshot: bool = False) -> StoredRecord | None:
        """The record with a primary key, or None.  Raises  CorruptRecord; UsageError, WrongType for no such key."""
        record = await self.records.load(pack(self._keys.columns(key)), snapshot=snapshot)
        return record if record is None or self.visible is None else self._shown(record)

    async def load_packed(self, packed: bytes, *, snapshot: bool = False) -> StoredRecord | None:
        """The same for a primary key as it is stored, and also of a record that is not shown: for who changes it."""
        return await self.records.load(packed, snapshot=snapshot)

    def _shown(self, record: StoredRecord) -> StoredRecord | None:
        return record if self.visible is None or self.visible(record) else None

    async def load_many(self, keys: Sequence[Any], *, snapshot: bool = False) -> list[StoredRecord | None]:
        """The records with these primary keys, None where there is none.  Cost  as many range reads, 1 round trip."""
        packed = [pack(self._keys.columns(key)) for key in keys]
        records = await self.load_all_packed(packed, snapshot=snapshot)
        return [None if record is None else self._shown(record) for record in records]

    async def load_all_packed(self, packed: Sequence[bytes], *, snapshot: bool = False) -> list[StoredRecord | None]:
        """The same for primary keys as they are stored, and also of records that are not shown."""
        raws = await self.records.finish_all(self.records.begin_all(packed, snapshot=snapshot))
        pairs = zip(packed, raws, strict=True)
        return [None if raw is None else self.records.stored(one, raw) for one, raw in pairs]

    async def preload(self, keys: Iterable[Any]) -> None:
        """Load records to be answered from memory when they are loaded or saved later in this transaction.

        Cost    1 range read each, in 1 round trip.
        Raises  as `load`.
        """
        await self.records.preload([self.packed_key(key) for key in keys])

    async def exists(self, key: Any, *, snapshot: bool = False) -> bool:
        """Whether there is a record with a primary key.  Cost  as `load`."""
        return await self.load(key, snapshot=snapshot) is not None

    async def delete(self, key: Any) -> bool:
        """Remove the record with a primary key and its index entries. Whether there was one."""
        return await self.delete_packed(pack(self._keys.columns(key)))

    async def delete_packed(self, packed: bytes, *, reason: str | None = None) -> bool:
        """The same for a primary key as it is stored. `reason`: for readers of the change feed."""
        self.header.check_may_write()
        turns, place = self.context.turns, self.layout.records + packed
        if not turns.take(place):
            await turns.wait(place)
        try:
            raw = await self.records.finish(self.records.begin(packed, exact=True))
            if raw is None:
                return False
            old = self.records.stored(packed, raw)
            if self.sampling is not None:
                await self.sampling.look(self, old)
            synthesis = await Synthesis.begun(self, [(old, None)]) if self._makes else NO_SYNTHESIS
            try:
                writes, changes = self.upkeep.prepare(old, None, synthesis.changes)
                claim_all(self.context, synthesis.verdicts)
                at = None if self.feed is None else self.feed.claim()
                self.remove_record(old, raw, at, reason=reason)
                await self.complete(writes, changes)
            finally:
                synthesis.end()
            return True
        finally:
            turns.leave(place)

    def remove_record(self, old: StoredRecord, raw: RawRecord, place: int | None, *, reason: str | None = None) -> None:
        """Clear a record, with its change and its count; its index entries are to be cleared behind it."""
        if self.counts is not None:
            self.counts.removed(old)
        self.records.remove(old.primary_key_bytes, raw)
        if self.feed is not None and place is not None:
            self.feed.deleted(place, old, raw, reason=reason)

    def add_conflict(self, kind: ConflictKind, key: Any) -> None:
        """Behave as if the record with a primary key had been read, or written, whether there is one or not."""
        base = self.layout.records + pack(self._keys.columns(key))
        self.context.transaction.add_conflict_range(kind, base, base + b"\xff")

    async def delete_all(self) -> None:
        """Remove all records and index entries; the header, the index states and the change feed stay. Changes of
        records that were begun before are there first.  Cost  2 clear ranges."""
        self.header.check_may_write()
        await self.context.turns.quiet(self.layout.records)
        place = None if self.feed is None else self.feed.claim()
        prefix = self.layout.prefix
        states = self.layout.index_states
        behind = prefix + b"\xff" if self.feed is None else self.feed.layout.prefix
        self.context.clear_range(self.layout.of(Keyspace.RECORDS), states + b"\x00")
        self.context.clear_range(states + b"\xff", behind)
        if self.feed is not None and place is not None:
            self.feed.cleared(place, ())
        self.context.forget_claims(prefix)
        self.records.forget_preloaded()

    # -- many ------------------------------------------------------------------------------------------

    def primary_key_prefix(self, key: Any) -> Items:
        """The beginning of a primary key, checked."""
        return self._keys.columns(key, whole=False)

    def scan(self, bounds: Bounds = Bounds.ALL, options: ScanOptions = FORWARD) -> Cursor[StoredRecord]:
        """The records within bounds, by primary key.  Cost  1 range read a chunk."""
        return self.records.scan(bounds.keys(self.layout.records), options)

    def index_maintainer(self, name: str) -> Maintainer:
        """The index type at work on a readable index.  Raises  UnknownIndex, IndexNotReadable."""
        maintainer = self.upkeep.readable.get(name)
        if maintainer is None:
            index = self.metadata.index(name)
            self.check_readable(index)
            maintainer = self.upkeep.maintainer(index)
            assert maintainer is not None, "a readable index is not disabled"
            self.upkeep.readable[name] = maintainer
        return maintainer

    def scan_index(self, name: str, bounds: Bounds = Bounds.ALL, options: ScanOptions = FORWARD) -> Cursor[Any]:
        """The entries of an index within bounds.  Raises  UnknownIndex, IndexNotReadable.

        Cost  1 range read a chunk.
        """
        return self.index_maintainer(name).scan(bounds, options)

    async def aggregate(self, name: str, group: Items = (), *, snapshot: bool = False) -> Any:
        """What an aggregate index holds for all groups that begin with `group`.

        Cost    1 read if `group` has all grouping columns, else 1 range read a chunk.
        Raises  UnknownIndex, IndexNotReadable; UsageError if the index keeps no aggregate.
        """
        maintainer = self.index_maintainer(name)
        aggregate = getattr(maintainer, "aggregate", None)  # to ask whether it is `Aggregating` costs half of a read
        if aggregate is None:
            raise UsageError(index=name, type=maintainer.type, hint="only aggregate indexes can answer this")
        return await aggregate(group, snapshot=snapshot)

    # -- index states ----------------------------------------------------------------------------------

    def index_state(self, name: str) -> IndexState:
        """The state of an index.  Raises  UnknownIndex."""
        return self.states.of(self.metadata.index(name))

    def check_readable(self, index: Index) -> None:
        """Raises  IndexNotReadable."""
        state = self.states.of(index)
        if not state.is_readable:
            raise IndexNotReadable(index=index.name, state=state.name, hint="build the index first")
