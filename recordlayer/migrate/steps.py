"""The steps of one store: its metadata, its opening, its builds. Each ends in a transaction that also notes it.

Nothing is remembered from step to step but what the database says: whoever comes after kill -9 works out what is left
and goes on. Every transaction sees that the operator is still the one at work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from recordlayer.errors import BuildLocked, BuildMismatch, EvolutionRefused, MigrationRefused, UniquenessViolation
from recordlayer.index.state import IndexState
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.metadata import Evolution, Index, RecordMetaData
from recordlayer.migrate.changes import SchemaDiff, schema_diff
from recordlayer.migrate.journal import HistoryRow, Journal
from recordlayer.migrate.plan import StoreNeeds, needs_of
from recordlayer.online.indexer import BuildReport, OnlineIndexer
from recordlayer.online.options import BuildLimits, BuildPolicy
from recordlayer.online.stamp import erase_notes
from recordlayer.store.header import FormatVersion
from recordlayer.store.marking import mark_readable
from recordlayer.store.metadata_store import MetaDataStore, StoredMetaData
from recordlayer.store.open import OpenMode, OpenOptions, open_store
from recordlayer.store.serializer import PLAIN, Serializer
from recordlayer.store.upgrade import MOST_RECORDS_FOR_INLINE_BUILD, NewIndex
from recordlayer.tenant.steps import Steps
from recordlayer.tuples import Subspace
from recordlayer.waiting.timer import sleep

Told = Callable[[str, bytes, "BuildReport | None"], object]
"""Is told of what was done: in words, in which store, and how far a build is."""

_POLICY = BuildPolicy(mark_readable=False)
_LEASE = timedelta(seconds=10)
"""How long a silent builder is waited for, at most: no longer than the operator himself, who says so three times in it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for all stores of a migration.

    metadata  where it is kept, with the rules that are relaxed
    limits    of the builds
    slice     how long a build works before it says again that it is at work
    """

    wanted: RecordMetaData
    metadata: StoredMetaData
    allow: Evolution = field(default_factory=Evolution)
    serializer: Serializer = PLAIN
    limits: BuildLimits = field(default_factory=BuildLimits)
    slice: timedelta = timedelta(seconds=10)
    told: Told = lambda words, store, report: None

    def opening(self) -> OpenOptions:
        return OpenOptions(
            mode=OpenMode.OPEN, format_version=1, serializer=self.serializer, new_index_state=_state_of_new
        )


def _state_of_new(new: NewIndex) -> IndexState:
    """Few records are indexed at once; more, and what should be unique, are built online."""
    if new.records == 0:
        return IndexState.READABLE
    few = new.records is not None and new.records <= MOST_RECORDS_FOR_INLINE_BUILD
    return IndexState.READABLE if few and not new.index.unique else IndexState.WRITE_ONLY


class StoreSteps:
    """The steps of one store, as parts of a run.

    waiting  afterwards: indexes that are built and not unique yet
    """

    def __init__(
        self, beginning: Beginning, settings: Settings, journal: Journal, steps: Steps, prefix: bytes, run: str
    ) -> None:
        self._beginning = beginning
        self._settings = settings
        self._journal = journal
        self._steps = steps
        self._prefix = prefix
        self._run = run
        self._indexer: OnlineIndexer | None = None
        self.waiting: list[str] = []

    async def all(self) -> None:
        """Bring the store to where it should be.

        Raises  MigrationHeld; StoreLocked and what else opening it raises; what building an index raises.
        """
        needs = await self._steps.run(self._open)
        if needs is None:
            return
        if needs.builds:
            await self._build(needs.builds)
        for index in needs.finishes:
            await self._finish(index)

    async def leave(self) -> None:
        """Let others build what this one was building when it was interrupted."""
        if self._indexer is not None:
            await self._indexer.leave()

    # -- opening

    async def _open(self, context: Context) -> StoreNeeds | None:
        """What is left to do behind the opening; None if that is nothing. Noted with it."""
        await self._journal.keep(context)
        target = await MetaDataStore(context, self._settings.metadata).load(fresh=True)
        needs = await needs_of(context, self._prefix, target)
        if needs is None:
            self._done(context)
            return None
        if needs.opens:
            await open_store(context, target, self._prefix, self._settings.opening())
            self._note(context, "store opened", from_version=needs.version, to_version=target.version)
            needs = await needs_of(context, self._prefix, target)
            assert needs is not None, "it was there"
        if not needs.builds and not needs.finishes:
            self._done(context)
            return None
        return needs

    # -- building

    async def _build(self, indexes: tuple[Index, ...]) -> None:
        try:
            await self._build_together(indexes)
        except BuildMismatch:
            if len(indexes) == 1:
                raise
            for index in indexes:  # they were begun apart
                await self._build_together((index,))
        for index in indexes:
            await self._finish(index)

    async def _build_together(self, indexes: tuple[Index, ...]) -> None:
        """One pass over the records, in slices: between them the lease is renewed."""
        settings = self._settings
        self._indexer = OnlineIndexer(
            self._beginning,
            settings.metadata,
            Subspace(prefix=self._prefix),
            [index.name for index in indexes],
            policy=_POLICY,
            limits=replace(settings.limits, total_time=settings.slice),
            lease=min(_LEASE, settings.slice * 3),
            opening=OpenOptions(serializer=settings.serializer),
            told=self._advanced,
        )
        waited = False
        while True:
            try:
                if (await self._indexer.build()).finished:
                    break
            except BuildLocked as locked:
                if waited:
                    raise  # he has said since that he is at work
                waited = True
                await self._outlast(locked)
            await self._steps.run(self._journal.keep)
        self._indexer = None

    async def _outlast(self, locked: BuildLocked) -> None:
        """Wait until the lease of another builder is over: of one that was killed nothing else tells."""
        world = self._beginning.world
        until = world.clock.monotonic() + locked.silent_for.total_seconds()
        self._settings.told("waiting for a builder that has fallen silent", self._prefix, None)
        while (left := until - world.clock.monotonic()) > 0:
            await sleep(min(left, self._settings.slice.total_seconds()), world)
            await self._steps.run(self._journal.keep)

    def _advanced(self, report: BuildReport) -> None:
        self._settings.told("building", self._prefix, report)

    async def _finish(self, index: Index) -> None:
        async def finish(context: Context) -> IndexState:
            await self._journal.keep(context)
            target = await MetaDataStore(context, self._settings.metadata).load(fresh=True)
            store = await open_store(context, target, self._prefix, self._settings.opening())
            known = target.index(index.name)
            pending = store.header.format_version >= FormatVersion.READABLE_UNIQUE_PENDING
            try:
                changed = await mark_readable(store, known, unique_pending=pending)
            except UniquenessViolation:  # a store of an old format has no state for this: it stays write-only
                changed = False
            state = store.states.peek(known)
            if changed:
                erase_notes(store, known)
            if changed or not state.is_readable:
                step = "index built" if state is IndexState.READABLE else "index pending"
                self._note(context, step, about=known.name, to_version=target.version)
            left = await needs_of(context, self._prefix, target)
            if left is not None and not left.builds and not left.finishes:
                self._done(context)
            return state

        state = await self._steps.run(finish)
        if state is IndexState.READABLE:
            self._settings.told(f"built index {index.name}", self._prefix, None)
        else:
            self.waiting.append(index.name)

    # -- notes

    def _done(self, context: Context) -> None:
        self._journal.note_done(context, self._run, self._prefix)

    def _note(
        self,
        context: Context,
        step: str,
        *,
        about: str = "",
        from_version: int | None = None,
        to_version: int | None = None,
    ) -> None:
        row = HistoryRow(
            step=step,
            who=self._journal.who,
            at=context.world.clock.wall(),
            run=self._run,
            store=self._prefix,
            about=about,
            from_version=from_version,
            to_version=to_version,
        )
        self._journal.note(context, row)


async def difference(context: Context, settings: Settings) -> SchemaDiff:
    """What is different between what is stored and what is wanted.  Cost  1 range read."""
    return schema_diff(await stored(context, settings.metadata), settings.wanted, allow=settings.allow)


async def stored(context: Context, where: StoredMetaData) -> RecordMetaData | None:
    """The metadata that is kept, None if there is none yet.  Cost  1 range read."""
    return await MetaDataStore(context, where).peek()


async def store_metadata(context: Context, settings: Settings, journal: Journal, run: str) -> bool:
    """Store what is wanted, if that is not stored yet, and note it. Whether something was written.

    Raises  MigrationHeld; MigrationRefused with every change that is refused.
    """
    await journal.keep(context)
    found = await difference(context, settings)
    if found.is_empty:
        return False
    if found.refused or found.target is None:
        raise refusal(found)
    rules = replace(settings.allow, allow_index_rebuilds=True)
    try:
        await MetaDataStore(context, replace(settings.metadata, evolution=rules)).save(found.target)
    except EvolutionRefused as error:
        raise MigrationRefused(findings=error.fields.get("findings")) from error
    row = HistoryRow(
        step="metadata stored",
        who=journal.who,
        at=context.world.clock.wall(),
        run=run,
        from_version=None if found.current is None else found.current.version,
        to_version=found.target.version,
    )
    journal.note(context, row)
    return True


def refusal(found: SchemaDiff) -> MigrationRefused:
    """The error for changes that are refused."""
    refused = [f"{change.subject}: {change.reason}" for change in found.refused]
    return MigrationRefused(refused=refused, hint="plan it to see which rules could be relaxed")
