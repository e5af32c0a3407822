"""Migrations, in the asyncio facade."""

from __future__ import annotations

from datetime import timedelta

from recordlayer.metadata import RecordMetaData
from recordlayer.migrate.fleet import MigrationReport, MigrationStatus
from recordlayer.migrate.journal import HistoryRow
from recordlayer.migrate.migration import Migration as Core
from recordlayer.migrate.plan import Plan
from recordlayer.waiting.drivers import run_asyncio

Rows = list[HistoryRow]


class Migration:
    """Brings one store, or many that go by the same metadata, to a schema. `Database.migration` gives one.

    Its notes (who is at work, what was done, which stores a run has behind it) are below the place of the metadata.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def plan(self) -> Plan:
        """What there is to do, judged and priced, in order. Nothing is changed.

        Cost    as listing the stores; 2 range reads each until 100 are found that need something, and what counting
                the records of those costs.
        """
        return await run_asyncio(self._core.plan())

    async def status(self) -> MigrationStatus:
        """What is stored, who is at work, how far the last run came, what is left.

        Cost  as `plan`, and 1 range read for each 1,000 stores that the last run has behind it.
        """
        return await run_asyncio(self._core.status())

    async def history(self, *, limit: int = 100) -> Rows:
        """The newest steps that were done, the latest first.  Cost  1 range read."""
        return await run_asyncio(self._core.history(limit=limit))

    async def rollback_schema(self, version: int | None = None) -> RecordMetaData:
        """The schema to migrate to in order to go back to that of a version, by default to the one before. Versions
        rise all the same; fields and types that were added since stay.

        Raises  UsageError if that version is not kept; MigrationRefused where there is no way back.
        """
        return await run_asyncio(self._core.rollback_schema(version))

    async def apply(self, *, resume: bool = False, wait: timedelta = timedelta(0)) -> MigrationReport:
        """Do what is left to do, each step in a transaction that also notes it. What ended early, by an error, an
        interrupt or with its process, goes on where it was when somebody applies the same schema again.

        resume  only go on with a run that was begun before
        wait    how long to wait for somebody else who is at work

        Cost    as opening the stores, and 2 reads and 2 writes a step; builds read every record once.
        Raises  MigrationHeld; MigrationRefused; MigrationChanged if there is nothing to resume, or its schema differs.
        """
        try:
            return await run_asyncio(self._core.apply(resume=resume, wait=wait))
        finally:
            # Interrupted, the core waits for nothing more: what others would wait for is taken away from here.
            await run_asyncio(self._core.leave())
