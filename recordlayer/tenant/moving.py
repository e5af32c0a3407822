"""Moves: a tenant comes to another place, and nobody writes or opens anything where it was.

1. Changes of records are forbidden in all stores of the tenant, by the lock of an export: `Guard.FREEZE`.
2. It is copied. What was copied is shown at the new place once all stores are found to be locked still.
3. Each store that was moved gets a lock that keeps everybody out, Java's programs too, and says where it is now: who
   comes late is told so (StoreMoved). This lock stays.
4. Everything else of the tenant is removed there.

A move that was interrupted, by whatever, goes on when it is called again with the same places: locks and marks in both
databases say how far it is. Until the third step it can be given up: `Tenant.thaw` at the old place, `Tenant.delete` at
the new one, if an import is under way there.

A store that is made at the old place after all stores were seen to be locked is left alone, and said. Keys outside of
stores have no locks: whoever writes them has to be held off otherwise.

Layout  the lock: a header with FULL_STORE (format 14 is the first to know it, so the header says 14 at least), whose
        reason is "recordlayer: moved, " and the new place in words
Cost    as an export and an import; then 2 reads and 1 write a store, and 2 clear ranges for about a megabyte
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from recordlayer.errors import TenantChanged, UsageError
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.options import TransactionOptions
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store.header import MOVED, FormatVersion
from recordlayer.store.open import Path
from recordlayer.tenant.export import Exporter, Guard
from recordlayer.tenant.freeze import each_header, frozen_by, is_frozen, reason_of, thaw, write_header
from recordlayer.tenant.importing import Importer, ImportReport, imported
from recordlayer.tenant.marks import imported_key
from recordlayer.tenant.place import TenantPlace, tenant_place
from recordlayer.tenant.removal import RemovalReport, clear_in_steps, remove_all
from recordlayer.tenant.steps import StepLimits, Steps
from recordlayer.tenant.stores import HEADER, header_in, path_at

_STATES = DataStoreInfo.StoreLockState
_LONGEST = 1_000


class MoveStage(enum.Enum):
    """What a move does."""

    COPYING = "copying"
    CLOSING = "closing"
    """The stores at the old place get the lock that stays."""
    REMOVING = "removing"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveReport:
    """How far a move is.

    copied          what has come to the new place; None where an earlier try had copied it
    closed          stores at the old place that have the lock that stays
    estimated_left  bytes that are still at the old place, about
    """

    stage: MoveStage
    copied: ImportReport | None = None
    closed: int = 0
    estimated_left: int = 0

    @property
    def finished(self) -> bool:
        return self.stage is MoveStage.FINISHED


@dataclass(slots=True)
class _Seen:
    """The locks at the old place: reasons of exports, and how many stores are moved already, to here or elsewhere."""

    frozen: set[str] = field(default_factory=set)
    stores: int = 0
    moved: int = 0
    elsewhere: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A tenant, with how transactions on it are begun."""

    beginning: Beginning
    path: Path
    options: TransactionOptions | None = None


class Mover:
    """One move."""

    def __init__(
        self,
        source: Side,
        target: Side,
        *,
        to: str = "",
        limits: StepLimits | None = None,
        told: Callable[[MoveReport], object] | None = None,
    ) -> None:
        if len(to) > _LONGEST:
            raise UsageError(to=to[:80], hint=f"at most {_LONGEST} characters for those who come late")
        self._source, self._target = source, target
        self._limits = limits
        self._there = Steps(source.beginning, "tenant move", limits, source.options)
        self._here = Steps(target.beginning, "tenant move", limits, target.options)
        self._to = to
        self._told = told
        self._report = MoveReport(stage=MoveStage.COPYING)

    async def run(self) -> MoveReport:
        """Move, or go on with it.

        Raises  TenantNotEmpty, TenantFrozen, TenantChanged; as `Tenant.copy_to`. Until the copy is shown, nothing is
                left of it then and the old place is as it was.
        """
        old = await self._there.run(lambda context: tenant_place(context, self._source.path))
        new = await self._here.run(lambda context: tenant_place(context, self._target.path, create=True))
        if old.prefix == new.prefix and self._source.beginning is self._target.beginning:
            raise UsageError(path=str(old), hint="it is there: give another place")
        self._to = self._to or str(new)
        seen = await self._look(old)
        if seen.elsewhere:
            raise TenantChanged(found=f"a store that was moved to {seen.elsewhere}", path=str(old))
        stream = await self._copied(new, seen)
        if stream is None and not seen.moved:
            stream = await self._copy(old, new, seen)
        await self._close(old, stream)
        await self._remove(old)
        await self._here.run(lambda context: _forget(context, new))
        self._tell(stage=MoveStage.FINISHED, estimated_left=0)
        return self._report

    def _tell(self, **changes: object) -> None:
        self._report = replace(self._report, **changes)  # type: ignore[arg-type]  # fields of the report
        if self._told is not None:
            self._told(self._report)

    # -- looking

    async def _look(self, old: TenantPlace) -> _Seen:
        seen = _Seen()

        async def look(_: Context, __: bytes, header: DataStoreInfo) -> bool:
            reason = frozen_by(header)
            if reason is not None:
                seen.frozen.add(reason)
            lock = header.store_lock_state.reason
            if lock == self._lock:
                seen.moved += 1
            elif lock.startswith(MOVED):
                seen.elsewhere = lock[len(MOVED) :]
            seen.stores += 1
            return False

        await each_header(self._there, old, look)
        return seen

    @property
    def _lock(self) -> str:
        return MOVED + self._to

    async def _copied(self, new: TenantPlace, seen: _Seen) -> bytes | None:
        """The stream of an earlier try that has brought everything. What is left of one that has not is taken away.

        Raises  TenantNotEmpty
        """
        under_way, finished = await self._here.run(lambda context: imported(context, new))
        if finished is not None and reason_of(finished) in seen.frozen:
            return finished
        if seen.moved:
            return None
        if under_way is not None and reason_of(under_way) in seen.frozen:
            await remove_all(self._here, new)
        return None

    # -- copying

    async def _copy(self, old: TenantPlace, new: TenantPlace, seen: _Seen) -> bytes:
        """The stream that has brought everything."""
        for reason in seen.frozen:
            await thaw(self._there, old, reason)
        source, target = self._source, self._target
        exporter = Exporter(
            source.beginning,
            source.path,
            guard=Guard.FREEZE,
            thaws=False,
            limits=self._limits,
            options=source.options,
        )
        importer = Importer(target.beginning, target.path, remembered=True, limits=self._limits, options=target.options)
        try:
            while (data := await exporter.next()) is not None:
                await importer.feed(data)
                self._tell(copied=importer.report)
            await self._all_frozen(old, exporter.stream)
            copied = await importer.finish()
        except Exception:
            exporter.leave()
            _, finished = await self._here.run(lambda context: imported(context, new))
            if finished != exporter.stream:
                await importer.abandon()
                await exporter.thaw()
            raise
        self._report = replace(self._report, copied=copied)  # told with the next stage: nothing is taken back any more
        return exporter.stream

    async def _all_frozen(self, old: TenantPlace, stream: bytes) -> None:
        """Raises  TenantChanged for a store that was made, or unlocked, meanwhile."""

        async def look(context: Context, key: bytes, header: DataStoreInfo) -> bool:
            if not is_frozen(header, reason_of(stream)):
                raise await _strange(context, old, key)
            return False

        await each_header(self._there, old, look)

    # -- closing

    async def _close(self, old: TenantPlace, stream: bytes | None) -> None:
        """Give every store that was moved the lock that stays."""
        strange: list[TenantChanged] = []

        async def close(context: Context, key: bytes, header: DataStoreInfo) -> bool:
            if header.store_lock_state.reason == self._lock:
                return True
            if stream is None or not is_frozen(header, reason_of(stream)):
                strange.append(await _strange(context, old, key))
                return False
            header.formatVersion = max(header.formatVersion, FormatVersion.FULL_STORE_LOCK)
            header.store_lock_state.CopyFrom(
                _STATES(
                    lock_state=_STATES.FULL_STORE,
                    reason=self._lock,
                    timestamp=int(context.world.clock.wall() * 1000),
                )
            )
            write_header(context, key, header)
            return True

        closed = await each_header(self._there, old, close)
        self._tell(stage=MoveStage.CLOSING, closed=closed)
        if strange:
            raise strange[0]

    async def _remove(self, old: TenantPlace) -> None:
        """Remove all that was moved, but for the headers."""
        at = old.begin

        def left(report: RemovalReport) -> None:
            self._tell(stage=MoveStage.REMOVING, estimated_left=report.estimated_left)

        while at < old.end:

            async def outside(context: Context, begin: bytes = at) -> tuple[bytes, bytes | None]:
                """Where to go on, and the store that is there."""
                chunk = await self._there.read(context, begin, old.end)
                for key, value in chunk.rows:
                    header = header_in(key, value)
                    if header is None:
                        context.clear(key)
                    elif header.store_lock_state.reason != self._lock:
                        raise await _strange(context, old, key)
                    else:
                        return key, key[: -len(HEADER)]
                return (chunk.rows[-1][0] + b"\x00" if chunk.more else old.end), None

            at, store = await self._there.run(outside)
            if store is not None:
                at = store + b"\xff"
                await clear_in_steps(self._there, store + HEADER + b"\x00", at, left)


async def _strange(context: Context, old: TenantPlace, key: bytes) -> TenantChanged:
    store = await path_at(context, old, key[: -len(HEADER)])
    hint = "it was made or unlocked during the move, and is left as it is: lock or delete it, and move again"
    return TenantChanged(store=str(store), found="a store that is not locked", hint=hint)


async def _forget(context: Context, new: TenantPlace) -> None:
    context.clear(imported_key(new.prefix))
