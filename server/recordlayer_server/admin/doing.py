"""An operation as one server does it: the library's own long works, told what the operation says.

Each of these works notes in its store how far it is, in the transactions that do it, and goes on from there whoever
begins it again; but for the look at the records, whose place is kept with the operation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Protocol, TypeVar, cast

from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import admin_pb2
from recordlayer.online.indexer import BuildReport
from recordlayer.online.options import Action, BuildLimits, BuildPolicy, WorkLimits
from recordlayer.online.repairer import RepairReport
from recordlayer.online.scrub_report import ScrubFinding, ScrubReport
from recordlayer.store.header import FormatVersion
from recordlayer_server import places
from recordlayer_server.admin import moving
from recordlayer_server.admin.everywhere import Walk, await_version
from recordlayer_server.admin.journal import Entry, Shown
from recordlayer_server.admin.part import absent
from recordlayer_server.databases import Databases, Place
from recordlayer_server.places import Tenant

RATE = 2_000
"""Records a second, where nothing is said: a server has calls to answer meanwhile."""
MOST_FINDINGS = 100
_LEASE = timedelta(seconds=10)
_LONGEST_DETAIL = 500
_STATES = cast("dict[str, admin_pb2.IndexStatus.State]", dict(admin_pb2.IndexStatus.State.items()))


Report = TypeVar("Report")


class _Stoppable(Protocol):
    def stop(self) -> None: ...


class Doing:
    """One operation, from when a server begins with it until it ends there.

    changed   there is something to be noted
    finished  it came to its end
    """

    def __init__(self, databases: Databases, entry: Entry) -> None:
        self.key = entry.key
        self.changed = self.finished = False
        self._databases = databases
        self._tenant = entry.tenant
        self._shown = entry.shown
        self._base = Shown.Progress.FromString(entry.shown.progress.SerializeToString())
        self._begun, self._place = entry.row.begun, entry.row.place
        self._held = b""
        self._before = 0
        self._rate: int | None = None
        self._stopped = False
        self._work: _Stoppable | None = None
        self.heed(entry)

    def heed(self, entry: Entry) -> None:
        """Go by what the operation says now."""
        said = entry.shown
        self._rate = said.records_per_second if said.HasField("records_per_second") else RATE
        if entry.row.pause or entry.row.cancel:
            self.stop()

    def stop(self) -> None:
        """Have it end after the transaction under way."""
        self._stopped = True
        if self._work is not None:
            self._work.stop()

    def note(self, entry: Entry) -> None:
        """Put down how far it is."""
        entry.shown.progress.CopyFrom(self._shown.progress)
        entry.row.begun = self._begun
        if self._place:
            entry.row.place = self._place
        entry.shown.MergeFrom(Shown(index_states=self._shown.index_states))
        self.changed = False

    def hold(self, entry: Entry) -> None:
        """Put down where it goes on once somebody lets it: with the pause and not before, or a server that begins with
        it again would go on by itself."""
        if self._held:
            entry.row.place = self._held

    async def do(self) -> None:
        """Do it, to its end or until it is stopped.  Raises  what the library says to it, Refusal."""
        kind = self._shown.WhichOneof("work")
        works: dict[str | None, Callable[[], Awaitable[bool]]] = {
            "build": self._build,
            "scrub": self._scrub,
            "repair": self._repair,
            "drop": self._drop,
            "delete": self._delete,
            "move": self._move,
        }
        self.finished = await works[kind]()

    # -- the kinds

    async def _build(self) -> bool:
        said = self._shown.build
        if self._tenant.scope == places.EVERY:
            return await self._build_everywhere(list(said.indexes), said.schema_version)
        readable = Action.REBUILD if said.anew and not self._begun else Action.MARK_READABLE
        if not await self._build_in(self._tenant, list(said.indexes), readable=readable, source=said.source or None):
            return False
        await self._see_states(list(said.indexes))
        return True

    async def _build_in(
        self, tenant: Tenant, indexes: list[str], *, readable: Action = Action.MARK_READABLE, source: str | None = None
    ) -> bool:
        """Whether it came to its end."""
        database, instance = self._databases.database, self._databases.instance
        place, format_version = await self._where(tenant)
        pending = format_version >= FormatVersion.READABLE_UNIQUE_PENDING
        indexer = database.online_indexer(
            place.metadata,
            path=place.records,
            indexes=indexes,
            policy=BuildPolicy(unique_pending=pending, readable=readable),
            limits=lambda: BuildLimits(records_per_second=self._rate),
            source=source,
            who=f"server {instance.id}",
            lease=min(_LEASE, instance.lease),
            told=self._built,
        )
        return (await self._through(indexer, indexer.build)).finished

    async def _build_everywhere(self, indexes: list[str], version: int) -> bool:
        container, environment = self._tenant.container, self._tenant.environment
        wait = partial(await_version, container=container, environment=environment, version=version)
        await self._databases.database.run(wait)

        async def build(tenant: Tenant) -> bool:
            if self._stopped:
                return False

            async def needs(tx: Transaction) -> list[str]:
                store = await self._databases.records(tx, tenant)
                known = () if store is None else store.metadata.indexes
                return [
                    name
                    for name in indexes
                    if store is not None and name in known and not store.index_state(name).is_readable
                ]

            missing = await self._databases.database.run(needs)
            self._before = self._shown.progress.records
            return not missing or await self._build_in(tenant, missing)

        def moved(place: bytes) -> None:
            self._place, self.changed = place, True

        def held(place: bytes) -> None:
            self._held = place

        progress = self._shown.progress
        walk = Walk(
            self._databases,
            container,
            environment,
            place=self._place,
            progress=progress,
            build=self._shown.build,
            moved=moved,
            held=held,
        )
        return await walk.run(build)

    def _built(self, report: BuildReport) -> None:
        progress = self._shown.progress
        if self._tenant.scope == places.EVERY:
            progress.records = self._before + report.records
        else:
            progress.records = report.scanned
            if report.total is not None:
                progress.records_total = report.total
        self._count(report.transactions, report.retries)

    async def _scrub(self) -> bool:
        said = self._shown.scrub
        place, _ = await self._where(self._tenant)
        scrubber = self._databases.database.index_scrubber(
            place.metadata,
            path=place.records,
            indexes=list(said.indexes) or None,
            repair=said.repair,
            anew=said.anew and not self._begun,
            most_findings=MOST_FINDINGS,
            limits=self._limits,
            told=self._scrubbed,
        )
        report = await self._through(scrubber, scrubber.scrub)
        self._scrubbed(report)
        return report.finished

    async def _repair(self) -> bool:
        said = self._shown.repair
        place, _ = await self._where(self._tenant)
        database, deletes = self._databases.database, said.delete_unreadable or said.delete_unknown_types
        repairer = database.record_repairer(
            place.metadata,
            path=place.records,
            delete=said.delete_unreadable,
            delete_types=said.delete_unknown_types,
            add_versions=said.add_versions,
            resume=self._place or None,
            most_findings=MOST_FINDINGS,
            limits=self._limits,
            told=self._repaired,
        )
        report = await self._through(repairer, repairer.repair)
        if not report.finished:
            return False
        if deletes and report.scrub is None and self._base.repaired:
            # Another server has deleted something, which says not what its entries were.
            scrubber = database.index_scrubber(
                place.metadata, path=place.records, repair=True, anew=True, limits=self._limits
            )
            return (await self._through(scrubber, scrubber.scrub)).finished
        return report.scrub is None or report.scrub.finished

    def _repaired(self, report: RepairReport) -> None:
        if report.resume is not None:
            self._place = report.resume
        self._scrubbed(report)

    async def _drop(self) -> bool:
        names = list(self._shown.drop.indexes)
        for name in names:
            if self._stopped:
                return False

            async def drop(tx: Transaction, name: str = name) -> None:
                await (await self._opened(tx, self._tenant)).disable_index(name)

            await self._databases.database.run(drop)
        await self._see_states(names)
        return True

    async def _delete(self) -> bool:
        return await self._whole(lambda progress, noted: moving.delete(self._databases, self._tenant, progress, noted))

    async def _move(self) -> bool:
        said = self._shown.move
        return await self._whole(
            lambda progress, noted: moving.move(self._databases, self._tenant, said, progress, noted)
        )

    async def _whole(self, work: Callable[[Shown.Progress, Callable[[], bool]], Awaitable[None]]) -> bool:
        """Whether a work on all of the database has come to its end."""

        def noted() -> bool:
            self._begun = self.changed = True
            return self._stopped

        try:
            await work(self._shown.progress, noted)
        except moving.Interrupted:
            return False
        return True

    # -- what they have in common

    async def _through(self, work: _Stoppable, run: Callable[[], Awaitable[Report]]) -> Report:
        """The report of a work, which can be stopped meanwhile."""
        self._work = work
        if self._stopped:
            work.stop()
        try:
            return await run()
        finally:
            self._work = None

    async def _where(self, tenant: Tenant) -> tuple[Place, int]:
        """Where the records of a database are, and the format of their store."""

        async def look(tx: Transaction) -> tuple[Place, int]:
            store = await self._opened(tx, tenant)
            place = await self._databases.place(tx, tenant)
            assert place is not None, "it could be opened"
            return place, store.header.info.format_version

        return await self._databases.database.run(look)

    async def _opened(self, tx: Transaction, tenant: Tenant) -> RecordStore:
        store = await self._databases.records(tx, tenant)
        if store is None:
            raise absent(tenant)
        return store

    async def _see_states(self, names: list[str]) -> None:
        async def look(tx: Transaction) -> dict[str, str]:
            store = await self._opened(tx, self._tenant)
            return {name: store.index_state(name).name for name in names}

        states = await self._databases.database.run(look)
        self._shown.MergeFrom(Shown(index_states={name: _STATES[state] for name, state in states.items()}))

    def _limits(self) -> WorkLimits:
        return WorkLimits(records=500, records_per_second=self._rate)

    def _scrubbed(self, report: ScrubReport) -> None:
        progress, base = self._shown.progress, self._base
        progress.records, progress.entries = base.records + report.records, base.entries + report.entries
        progress.found, progress.repaired = base.found + report.found, base.repaired + report.repaired
        del progress.findings[:], progress.not_judged[:]
        progress.not_judged.extend(report.not_judged)
        room = MOST_FINDINGS - len(base.findings)
        progress.findings.extend(base.findings)
        progress.findings.extend(_finding(one) for one in report.findings[: max(0, room)])
        self._count(report.transactions, report.retries)

    def _count(self, transactions: int, retries: int) -> None:
        progress, base = self._shown.progress, self._base
        progress.transactions, progress.retries = base.transactions + transactions, base.retries + retries
        self._begun = self.changed = True


def _finding(one: ScrubFinding) -> Shown.Finding:
    detail = "" if one.detail is None else repr(one.detail)[:_LONGEST_DETAIL]
    return Shown.Finding(where=one.where, what=one.what, detail=detail, repaired=one.repaired, trouble=one.trouble)
