"""A migration of one store, or of many that go by the same metadata: planned, applied, resumed, looked at.

The metadata is stored first, as stores refuse metadata that are older than what they were opened with; then each store
is brought to it. Of many stores a few go first, the canaries: unless all of them come through, the others are let
alone. A run notes each store that it is done with in the transaction that does it, so that whoever resumes it leaves
none out and does none twice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from recordlayer.errors import (
    BuildLocked,
    MigrationChanged,
    MigrationHeld,
    RecordLayerError,
    TransactionError,
    UsageError,
)
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.metadata import RecordMetaData
from recordlayer.migrate.changes import SchemaDiff
from recordlayer.migrate.fleet import FleetRules, MigrationReport, MigrationStatus, Stores
from recordlayer.migrate.journal import HistoryRow, Journal, Run
from recordlayer.migrate.plan import Plan, Price, Step, StepKind, needs_of, price_of
from recordlayer.migrate.rollback import rollback_target
from recordlayer.migrate.steps import Settings, StoreSteps, difference, refusal, store_metadata, stored
from recordlayer.store.metadata_store import MetaDataStore
from recordlayer.store.open import Path, resolved_prefix
from recordlayer.tenant.place import tenant_place
from recordlayer.tenant.steps import Steps
from recordlayer.tenant.stores import StorePage, list_stores
from recordlayer.tuples import pack
from recordlayer.waiting.overlap import END, pipelined
from recordlayer.waiting.timer import sleep

JOURNAL = pack(("migrations",))
"""Where the notes of migrations are, below the place of the metadata: Java's metadata store has nothing there."""

MOST_PRICED = 100
"""Stores that need something, of which a plan is made; what others behind them cost is told by these."""

_NAP = 0.2
_PAGE = 500


class Migration:
    """One migration.

    settings  what is wanted, and how it is built
    who       how others know the operator
    lease     how long others wait when he has fallen silent
    """

    def __init__(
        self,
        beginning: Beginning,
        settings: Settings,
        stores: Stores,
        *,
        who: str,
        journal: Path | None = None,
        lease: timedelta = timedelta(seconds=30),
        rules: FleetRules | None = None,
    ) -> None:
        self._beginning = beginning
        self._settings = replace(settings, slice=min(settings.slice, lease / 3))
        self._stores = stores
        self._who = who
        self._journal_path = journal
        self._lease = lease
        self._rules = rules or FleetRules()
        self._journal: Journal | None = None
        self._steps = Steps(beginning, "migration", None, None)
        self._under_way: dict[int, StoreSteps] = {}

    # -- looking

    async def plan(self) -> Plan:
        """What there is to do.

        Cost    as listing the stores; 2 range reads each until 100 are found that need something, and what counting
                the records of those costs.
        """
        found = await self._steps.run(lambda context: difference(context, self._settings))
        prefixes = await self._prefixes()
        steps = [] if found.is_empty else [Step(kind=StepKind.METADATA)]
        price, looked_at, needing = Price(), 0, 0

        async def look(prefix: bytes) -> tuple[list[Step], Price]:
            return await self._look(partial(self._needs, found, prefix))

        # One that needs nothing says nothing of those behind it: half of a fleet may be done.
        stores = pipelined(prefixes, look, window=self._rules.concurrency)
        while not found.refused and needing < MOST_PRICED and (one := await stores.next()) is not END:
            needed, cost = one
            looked_at += 1
            needing += bool(needed)
            steps += needed
            price += cost
        stores.close()
        share = len(prefixes) / looked_at if looked_at else 1.0
        return Plan(diff=found, stores=len(prefixes), priced=looked_at, steps=tuple(steps), price=price.times(share))

    async def _needs(self, found: SchemaDiff, prefix: bytes, context: Context) -> tuple[list[Step], Price]:
        """What is to be done in one store, and what that costs."""
        needs = None if found.target is None else await needs_of(context, prefix, found.target)
        if needs is None:
            return [], Price()
        steps = needs.steps()
        if not steps:
            return [], Price()
        return steps, await price_of(context, needs, found.current, serializer=self._settings.serializer)

    async def _look(
        self, look: Callable[[Context], Coroutine[Any, Any, tuple[list[Step], Price]]]
    ) -> tuple[list[Step], Price]:
        """The result of a transaction that is not committed."""
        context = self._steps.context()
        try:
            return await look(context)
        finally:
            context.close()

    async def status(self) -> MigrationStatus:
        """Where it is.  Cost  as `plan`, and 1 range read for each 1,000 stores that the last run has behind it."""
        plan = await self.plan()
        journal = await self._notes()
        holder = await self._steps.run(journal.holder)
        run = await self._steps.run(journal.run)
        done = 0 if run is None else await self._count_done(journal, run.id)
        current = plan.diff.current
        return MigrationStatus(
            version=None if current is None else current.version, holder=holder, run=run, done=done, plan=plan
        )

    async def _count_done(self, journal: Journal, run: str) -> int:
        done = 0
        after: bytes | None = None
        while True:

            async def some(context: Context, after: bytes | None = after) -> list[bytes]:
                return await journal.done(context, run, after=after)

            page = await self._steps.run(some)
            if not page:
                return done
            done, after = done + len(page), page[-1]

    async def history(self, *, limit: int = 100) -> list[HistoryRow]:
        """The newest steps that were done, the latest first.  Cost  1 range read."""
        journal = await self._notes()
        return await self._steps.run(lambda context: journal.history(context, limit=limit))

    async def rollback_schema(self, version: int | None = None) -> RecordMetaData:
        """The schema to migrate to in order to go back to that of a version, by default to the one before.

        Raises  UsageError if that is not kept; MigrationRefused where there is no way back.
        """

        async def back(context: Context) -> RecordMetaData:
            kept = MetaDataStore(context, self._settings.metadata)
            current = await kept.load(fresh=True)
            known = [number for number in await kept.history() if number < current.version]
            number = version if version is not None else (known[-1] if known else None)
            previous = None if number is None or number not in known else await kept.version(number)
            if previous is None:
                raise UsageError(version=version, current=current.version, hint=f"versions that are kept: {known}")
            return rollback_target(current, previous, self._settings.allow)

        return await self._steps.run(back)

    # -- doing

    async def apply(self, *, resume: bool = False, wait: timedelta = timedelta(0)) -> MigrationReport:
        """Do what is left to do. A run that ended early, by an error, an interrupt or with its process, goes on where
        it was.

        resume  only go on with a run that was begun before
        wait    how long to wait for somebody else who is at work

        Raises  MigrationHeld, MigrationRefused; MigrationChanged if there is nothing to resume, or the schema is not
                the one of the run. Whoever interrupts this from outside should await `leave` behind it.
        """
        self._journal = await self._notes()
        await self._take(self._journal, wait)
        try:
            report = await self._run(self._journal, resume)
        except Exception:
            await self.leave()
            raise
        await self.leave()
        return report

    async def leave(self) -> None:
        """Let others work at once. Whoever cannot is waited for until his lease has run out."""
        journal, self._journal = self._journal, None
        if journal is None:
            return
        for steps in list(self._under_way.values()):
            await steps.leave()
        try:
            await self._steps.run(journal.leave)
        except TransactionError:
            pass

    async def _take(self, journal: Journal, wait: timedelta) -> None:
        clock = self._beginning.world.clock
        until = clock.monotonic() + wait.total_seconds()
        while True:
            try:
                return await self._steps.run(journal.take)
            except MigrationHeld:
                if clock.monotonic() >= until:
                    self._journal = None
                    raise
            await sleep(_NAP, self._beginning.world)

    async def _run(self, journal: Journal, resume: bool) -> MigrationReport:
        prefixes = await self._prefixes()
        run = await self._steps.run(lambda context: self._begin(context, journal, resume, len(prefixes)))
        settings = self._settings
        if await self._steps.run(lambda context: store_metadata(context, settings, journal, run.id)):
            settings.told("stored the metadata", b"", None)
        version = await self._steps.run(self._version)
        report = MigrationReport(version=version, run=run.id, stores=len(prefixes))
        canaries, others = self._divided(prefixes)
        await self._stores_of(canaries, journal, run, report)
        if canaries and others and (report.failed or report.waiting):
            report.stopped = "canaries did not come through"
        elif self._rules.only_canary and others:
            report.stopped = "only canaries were asked for"
        else:
            await self._stores_of(others, journal, run, report)
        report.finished = not report.stopped and not report.failed and not report.waiting
        ended = replace(run, finished=report.finished, stopped=report.stopped)
        await self._steps.run(lambda context: self._end(context, journal, ended))
        return report

    async def _begin(self, context: Context, journal: Journal, resume: bool, stores: int) -> Run:
        await journal.keep(context)
        found, schema = await journal.run(context), _digest(self._settings.wanted)
        if found is not None and not found.finished and found.schema == schema:
            return found
        if resume:
            hint = "apply begins a run" if found is None or found.finished else "its schema is not this one: plan again"
            raise MigrationChanged(run=None if found is None else found.id, hint=hint)
        wanted = await difference(context, self._settings)
        if wanted.refused:
            raise refusal(wanted)
        if found is not None:
            journal.forget_done(context, found.id)
        now = context.world.clock.wall()
        made = Run(
            id=f"{context.world.random.getrandbits(64):016x}", schema=schema, who=self._who, begun=now, stores=stores
        )
        journal.set_run(context, made)
        return made

    async def _end(self, context: Context, journal: Journal, run: Run) -> None:
        await journal.keep(context)
        journal.set_run(context, run)

    async def _version(self, context: Context) -> int:
        found = await stored(context, self._settings.metadata)
        return 0 if found is None else found.version

    def _divided(self, prefixes: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """The canaries, spread over all stores and always the same; and the others in their order."""
        share = self._rules.canary
        most = math.ceil(share * len(prefixes)) if share else 0
        mixed = sorted(prefixes, key=lambda prefix: hashlib.blake2b(prefix, digest_size=8).digest())
        canaries = set(mixed[:most])
        return mixed[:most], [prefix for prefix in prefixes if prefix not in canaries]

    async def _stores_of(self, prefixes: Sequence[bytes], journal: Journal, run: Run, report: MigrationReport) -> None:
        """Migrate stores side by side, until too many have failed."""

        async def one(prefix: bytes) -> tuple[bytes, bool | str, list[str]]:
            if await self._steps.run(lambda context: journal.is_done(context, run.id, prefix)):
                return prefix, False, []
            steps = StoreSteps(self._beginning, self._settings, journal, self._steps, prefix, run.id)
            self._under_way[id(steps)] = steps
            try:
                await steps.all()
            except MigrationHeld:
                raise
            except RecordLayerError as error:
                await steps.leave()
                del self._under_way[id(steps)]
                return prefix, _why(error), []
            del self._under_way[id(steps)]
            return prefix, True, steps.waiting

        stores = pipelined(prefixes, one, window=self._rules.concurrency)
        while (ended := await stores.next()) is not END:
            prefix, outcome, waiting = ended
            if isinstance(outcome, str):
                report.failed[prefix] = outcome
            elif waiting:
                report.waiting[prefix] = waiting
            elif outcome:
                report.done += 1
                self._settings.told("store is done", prefix, None)
            else:
                report.skipped += 1
            if len(report.failed) >= self._rules.stop_after:
                stores.close()
                for steps in list(self._under_way.values()):
                    await steps.leave()
                report.stopped = f"{len(report.failed)} failed"
                return

    # -- places

    async def _notes(self) -> Journal:
        async def place(context: Context) -> bytes:
            path = self._journal_path
            if path is not None:
                return await resolved_prefix(context, path)
            return await resolved_prefix(context, self._settings.metadata.path) + JOURNAL

        prefix = await self._steps.run(place)
        id_ = f"{self._beginning.world.random.getrandbits(128):032x}"
        return Journal(prefix, who=self._who, id=id_, lease=self._lease)

    async def _prefixes(self) -> list[bytes]:
        """The stores, by the prefixes of their keys, in order."""
        paths, below = self._stores.paths, self._stores.below

        async def given(context: Context) -> list[bytes]:
            return [await resolved_prefix(context, path) for path in paths]

        if below is None:
            return await self._steps.run(given)
        place = await self._steps.run(lambda context: tenant_place(context, below))
        found: list[bytes] = []
        resume: bytes | None = None
        while True:

            async def some(context: Context, resume: bytes | None = resume) -> StorePage:
                return await list_stores(context, place, limit=_PAGE, continuation=resume)

            page = await self._steps.run(some)
            found += [store.prefix for store in page.stores]
            resume = page.continuation
            if resume is None:
                return found


def _why(error: RecordLayerError) -> str:
    """An error in one line."""
    whom = f" ({error.fields['builder']})" if isinstance(error, BuildLocked) else ""
    return f"{error.code}: {error.title}{whom}"


def _digest(wanted: RecordMetaData) -> str:
    return hashlib.sha256(wanted.to_bytes()).hexdigest()[:32]
