"""What migrations note in the database: who is at work, what was done, and which stores a run has behind it.

Layout  below a path of its own, JSON in every value
        ("lease")              who migrates, until when
        ("run")                the run under way, or the last one
        ("done", run, store)   a store that a run has finished, by the prefix of its keys
        ("history", stamp)     a step, in the order of the commits
Cost    lease: 1 read a step, 1 write now and then; history: 1 write a step
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from recordlayer.errors import MigrationHeld, UsageError
from recordlayer.kv.context import Context
from recordlayer.kv.engine import StreamingMode
from recordlayer.tuples import Versionstamp, pack, unpack
from recordlayer.tuples.packing import pack_with_versionstamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a migration over some stores.

    id        one that no other run has
    schema    a digest of the schema that is wanted
    who       began it, at `begun` seconds since 1970
    stores    there were when it began
    finished  nothing of it is left to do
    stopped   why it stopped early; empty otherwise
    """

    id: str
    schema: str
    who: str
    begun: float
    stores: int
    finished: bool = False
    stopped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """A step that was done, in the transaction that did it.

    step   "metadata stored", "store opened", "index built", "index pending"
    store  the prefix of its keys; empty for the metadata
    at     seconds since 1970, by the clock of who did it
    """

    step: str
    who: str
    at: float
    run: str = ""
    store: bytes = b""
    about: str = ""
    from_version: int | None = None
    to_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Somebody at work. `until`: seconds since 1970."""

    id: str
    who: str
    until: float


class Journal:
    """The notes below one prefix, for one operator.

    who    how others know him
    lease  how long others wait when he has fallen silent
    """

    def __init__(self, prefix: bytes, *, who: str, id: str, lease: timedelta) -> None:  # noqa: A002
        if lease <= timedelta(0):
            raise UsageError(lease=lease, hint="give a time that is longer than nothing")
        self.who = who
        self._prefix = prefix
        self._id = id
        self._lease = lease.total_seconds()

    # -- who is at work

    async def holder(self, context: Context) -> Lease | None:
        """Who is at work, if he has not fallen silent.  Cost  1 read."""
        lease = await self._lease_row(context)
        return lease if lease is not None and context.world.clock.wall() < lease.until else None

    async def take(self, context: Context) -> None:
        """Be the one at work.  Cost  1 read, 1 write.  Raises  MigrationHeld."""
        held = await self.holder(context)
        if held is not None and held.id != self._id:
            raise self._held(context, held)
        self._renew(context)

    async def keep(self, context: Context) -> None:
        """Be sure that this is still the one at work, in a transaction that does a step.

        Cost    1 read; 1 write when half of the lease is over.
        Raises  MigrationHeld if somebody else has taken over.
        """
        held = await self._lease_row(context)
        if held is None or held.id != self._id:
            raise self._held(context, held)
        if held.until - context.world.clock.wall() < self._lease / 2:
            self._renew(context)

    async def leave(self, context: Context) -> None:
        """Let others work.  Cost  1 read, 1 write."""
        held = await self._lease_row(context)
        if held is not None and held.id == self._id:
            context.clear(self._key("lease"))

    def _renew(self, context: Context) -> None:
        lease = Lease(id=self._id, who=self.who, until=context.world.clock.wall() + self._lease)
        context.set(self._key("lease"), _packed(asdict(lease)))

    async def _lease_row(self, context: Context) -> Lease | None:
        raw = await context.get(self._key("lease"))
        return None if raw is None else Lease(**json.loads(raw))

    @staticmethod
    def _held(context: Context, held: Lease | None) -> MigrationHeld:
        if held is None:
            return MigrationHeld(who=None, hint="the lease was taken away: begin again, it goes on where it was")
        left = max(0.0, held.until - context.world.clock.wall())
        hint = "wait until it is done, or until it has been silent for so long"
        return MigrationHeld(who=held.who, silent_after_seconds=round(left, 1), hint=hint)

    # -- runs

    async def run(self, context: Context) -> Run | None:
        """The run under way, or the last one.  Cost  1 read."""
        raw = await context.get(self._key("run"))
        return None if raw is None else Run(**json.loads(raw))

    def set_run(self, context: Context, run: Run) -> None:
        context.set(self._key("run"), _packed(asdict(run)))

    async def is_done(self, context: Context, run: str, store: bytes) -> bool:
        """Whether a run has finished a store.  Cost  1 read."""
        return await context.get(self._done(run) + pack((store,))) is not None

    def note_done(self, context: Context, run: str, store: bytes) -> None:
        context.set(self._done(run) + pack((store,)), _packed({"at": context.world.clock.wall(), "who": self.who}))

    async def done(self, context: Context, run: str, *, after: bytes | None = None, limit: int = 1_000) -> list[bytes]:
        """Stores that a run has finished, in their order, behind one of them.  Cost  1 range read a chunk."""
        prefix = self._done(run)
        begin = prefix + b"\x00" if after is None else prefix + pack((after,)) + b"\x00"
        rows = await _rows(context, begin, prefix + b"\xff", limit)
        return [unpack(key, len(prefix))[0] for key, _ in rows]

    def forget_done(self, context: Context, run: str) -> None:
        """Forget which stores a run has finished: once it is over, nobody asks.  Cost  1 clear range."""
        context.clear_range(self._done(run) + b"\x00", self._done(run) + b"\xff")

    def _done(self, run: str) -> bytes:
        return self._prefix + pack(("done", run))

    # -- history

    def note(self, context: Context, row: HistoryRow) -> None:
        """Add a row to the history; it is there when what the transaction does is.  Cost  1 write."""
        stamp = Versionstamp.incomplete(context.claim_local_version())
        value = {**asdict(row), "store": row.store.hex()}
        context.set_stamped_key(pack_with_versionstamp(("history", stamp), self._prefix), _packed(value))

    async def history(self, context: Context, *, limit: int = 100) -> list[HistoryRow]:
        """The newest rows, the latest first.  Cost  1 range read a chunk."""
        prefix = self._prefix + pack(("history",))
        newest = await _rows(context, prefix + b"\x00", prefix + b"\xff", limit, reverse=True)
        rows = [json.loads(value) for _, value in newest]
        return [HistoryRow(**{**row, "store": bytes.fromhex(row["store"])}) for row in rows]

    def _key(self, name: str) -> bytes:
        return self._prefix + pack((name,))


async def _rows(
    context: Context, begin: bytes, end: bytes, limit: int, *, reverse: bool = False
) -> list[tuple[bytes, bytes]]:
    """The first pairs of a range, or the last; however many chunks they come in."""
    rows: list[tuple[bytes, bytes]] = []
    while len(rows) < limit:
        chunk = await context.get_range(
            begin, end, limit=limit - len(rows), reverse=reverse, snapshot=True, mode=StreamingMode.WANT_ALL
        )
        rows += chunk.rows
        if not chunk.more or not chunk.rows:
            break
        last = chunk.rows[-1][0]
        begin, end = (begin, last) if reverse else (last + b"\x00", end)
    return rows


def _packed(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
