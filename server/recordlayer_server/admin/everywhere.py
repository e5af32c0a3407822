"""A build in all databases of an environment, one after the other: the public one, then those of users.

What belongs to one database, such as a lock, is noted, and the others are gone on with; what does not, such as a
cluster that is away, ends the walk, to go on where it was. Its place is the page of users that it is at: databases of
that page are looked at twice then, which costs little where nothing is left to build.

Cost    3 transactions a database, and what its builds cost; 1 range read for each 50 users
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2
from recordlayer.errors import NameNotInterned
from recordlayer.tuples import pack, unpack
from recordlayer_server import places, statuses
from recordlayer_server.admin.journal import Shown
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant
from recordlayer_server.schemas import rollout

USERS_A_PAGE = 50
MOST_FAILURES = 20
ENOUGH = 10
"""Databases of which a share is a share."""
_OF_ONE = frozenset({"STORE_LOCKED", "BUILD_PAUSED"})
"""Reasons that will pass, but for one database, and nobody knows when."""


async def await_version(tx: Transaction, container: str, environment: int, version: int) -> None:
    """Raises  Refusal if a version of the schema is not active: to be tried again while it is staged."""
    active = await rollout.current(tx, container, environment)
    if active is not None and active.version >= version:
        return
    row = await rollout.staged(tx, container, environment)
    if row is None or row.origin.version < version:
        raise statuses.refusal(code_pb2.ABORTED, "CONFLICT", f"version {version} of the schema was withdrawn")
    text = f"version {version} of the schema waits to become active"
    raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "SCHEMA_STAGED", text, retry=2.0, version=version)


class Walk:
    """One walk through the databases.

    place     where it goes on, b"" for the beginning; what `moved` was given last
    progress  what it has seen to is counted here
    build     what the operation says of it: how many are canaries, and which share may fail
    held      is given the place where it goes on behind the canaries, if somebody lets it
    """

    def __init__(
        self,
        databases: Databases,
        container: str,
        environment: int,
        *,
        place: bytes,
        progress: Shown.Progress,
        build: Shown.Build,
        moved: Callable[[bytes], None],
        held: Callable[[bytes], None],
    ) -> None:
        self._databases = databases
        self._where = container, environment
        self._progress = progress
        self._moved, self._held = moved, held
        self._canaries = build.canaries
        self._most_failed = build.most_failed if build.HasField("most_failed") else 1.0
        self._page: tuple[bytes | None, int, int] = (None, 0, 0)
        self._passed = False
        """Somebody has let it go on behind the canaries."""
        if place:
            behind, databases_, failed, *passed = unpack(place)
            self._page, self._passed = (behind, databases_, failed), bool(passed and passed[0])
        self._behind, progress.databases, progress.databases_failed = self._page
        del progress.failures[min(progress.databases_failed, MOST_FAILURES) :]

    async def run(self, build: Callable[[Tenant], Awaitable[bool]]) -> bool:
        """Build in each of them; False as soon as one was stopped.

        Raises  Refusal at the end, if some could not be built.
        """
        progress = self._progress
        async for tenant in self._tenants():
            try:
                if not await build(tenant):
                    return False
            except Exception as error:
                status = statuses.known(error)
                if status is None or (
                    statuses.retry_after(status) is not None and statuses.reason_of(status) not in _OF_ONE
                ):
                    raise
                progress.databases_failed += 1
                if len(progress.failures) < MOST_FAILURES:
                    scope = "PUBLIC" if tenant.scope == places.PUBLIC else "PRIVATE"
                    database = context_pb2.Database(scope=scope, user=tenant.user)
                    progress.failures.add(database=database, status=status)
            progress.databases += 1
            self._stop_if_need_be()
        if progress.databases_failed:
            text, number = "some databases could not be built", progress.databases_failed
            raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "BUILD_INCOMPLETE", text, databases=number)
        return True

    def _stop_if_need_be(self) -> None:
        """Raises  Refusal where too many have failed, or the canaries are over."""
        seen, failed = self._progress.databases, self._progress.databases_failed
        over = not self._passed and 0 < self._canaries <= seen
        judged = seen >= ENOUGH or over or not self._most_failed
        if failed / seen > self._most_failed and judged:  # a product would round 0.29 of 100 down
            text = f"{failed} of {seen} databases could not be built, which is more than may be: the others were left"
            raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "BUILD_STOPPED", text, databases=seen, failed=failed)
        if over:
            self._held(pack((*self._page, True)))
            text = f"the first {seen} databases were seen to: resume it to go on with the others"
            raise statuses.refusal(code_pb2.FAILED_PRECONDITION, "CANARIES_DONE", text, databases=seen, failed=failed)

    async def _tenants(self) -> AsyncIterator[Tenant]:
        container, environment = self._where
        if self._behind is None:
            yield Tenant(container, environment, places.PUBLIC, "")
        above = places.of_users(container, environment)
        while True:

            async def page(tx: Transaction, behind: bytes | None = self._behind) -> tuple[list[str], bytes | None]:
                space = tx.key_space(places.SPACE)
                try:
                    found = await space.list(
                        above, "user", limit=USERS_A_PAGE, snapshot=True, continuation=behind or None
                    )
                except NameNotInterned:
                    return [], None
                return [str(one.path.value) for one in found.paths], found.continuation

            names, behind = await self._databases.database.run(page)
            for name in names:
                yield Tenant(container, environment, places.PRIVATE, name)
            if behind is None:
                return
            self._behind = behind
            self._page = behind, self._progress.databases, self._progress.databases_failed
            self._moved(pack((*self._page, self._passed)))
