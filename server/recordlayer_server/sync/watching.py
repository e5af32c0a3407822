"""One stream of Watch: its targets, and what it tells of them.

    Added      the target is watched
    Changed    with content, pages of what has changed; without, that something has
    Current    all has been told; then nothing comes until there is a change
    Reset      begin anew: with content, everything follows
    Removed    the target is not watched any more
    Progress   tokens of quiet targets, from time to time and before the server ends the stream

A target begins where its token is, not now: it listens to its zone first, and reads then. What is to be done for a
target is a mark in a set, so a caller that is slow to read holds up nothing and costs nothing: changes gather behind
its token until it is there again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, status_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2, sync_pb2
from recordlayer.errors import StoreLocked
from recordlayer_server import statuses
from recordlayer_server.call import Call
from recordlayer_server.contents import shape_of, zone_of
from recordlayer_server.databases import Databases
from recordlayer_server.paging import read_limits
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reading
from recordlayer_server.store_formats import not_synced
from recordlayer_server.sync.pulses import Pulse, Pulses
from recordlayer_server.sync.tokens import Phase, Tokens, ZoneToken
from recordlayer_server.sync.zone_changes import Room, ZonePage, ZoneReader, anything_new
from recordlayer_server.zone_catalog import incarnations

_ROOM = 64 << 10
_WAITING = 200  # replies that wait to be sent before the next request is read
_OK = status_pb2.Status()
_OF_TARGETS = {
    code_pb2.NOT_FOUND,
    code_pb2.OUT_OF_RANGE,
    code_pb2.INVALID_ARGUMENT,
    code_pb2.PERMISSION_DENIED,
    code_pb2.FAILED_PRECONDITION,
    code_pb2.DATA_LOSS,
}
"""Codes of what is about a target; others end the stream."""


@dataclass(eq=False, slots=True)
class Target:
    """One zone that a stream follows.

    token    where it is; None: at the beginning
    quiet    all has been told, and nothing has happened since
    begun    without content: whether it was looked at what has changed behind the caller's token
    told     without content: the caller has been told of a change, and its own token is the one that counts now
    """

    stream: Stream
    number: int
    zone: str
    reader: ZoneReader
    shape: bytes
    content: bool
    token: ZoneToken | None
    pulse: Pulse | None = None
    quiet: bool = False
    begun: bool = False
    told: bool = False

    def changed(self, pulse: Pulse) -> None:
        """The zone's pulse says that there is something. Who was quiet goes on where the pulse was before, as all
        others do who were: then one reading serves them all."""
        before, token = pulse.before, self.token
        known = before is not None and before.feed and token is not None and before.incarnation == token.incarnation
        if self.quiet and self.content and known:
            assert before is not None, "it is known"
            self.token = before.token(self.zone)
        self.quiet = False
        self.stream.due(self)

    def closed(self, error: StoreLocked) -> None:
        """The database is closed to everybody, and so is the stream: it says why, and when to come again."""
        self.stream.fail(error)


@dataclass(slots=True)
class Stream:
    """What one caller watches."""

    databases: Databases
    pulses: Pulses
    call: Call
    tenant: Tenant
    tokens: Tokens
    targets: dict[int, Target] = field(default_factory=dict)
    _there: bool | None = None
    _due: dict[Target, None] = field(default_factory=dict)
    _waiting: deque[sync_pb2.WatchReply] = field(default_factory=deque)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _failed: BaseException | None = None
    _ended: bool = False

    # -- what the caller says ------------------------------------------------------------------------------

    async def read(self, requests: AsyncIterator[sync_pb2.WatchRequest]) -> None:
        """Take what the caller says to its end."""
        try:
            async for request in requests:
                kind = request.WhichOneof("kind")
                if kind == "add":
                    await self._add(request.add)
                elif kind == "remove":
                    self._remove(request.remove.target, _OK)
                else:
                    raise statuses.bad_request("kind", "add or remove; a stream is opened once")
                while len(self._waiting) > _WAITING:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:
            self.fail(error)
        self._ended = True
        self._wake.set()

    def fail(self, error: BaseException) -> None:
        """Let the stream end with an error, the first there is."""
        self._failed = self._failed or error
        self._wake.set()

    async def _add(self, said: sync_pb2.WatchRequest.Add) -> None:
        if said.target in self.targets:
            raise statuses.bad_request("add.target", f"{said.target} is watched already: give each its own number")
        try:
            target = await self._target(said)
        except Exception as error:
            status = statuses.known(error)
            if status is None:
                raise
            removed = sync_pb2.WatchReply.Removed(target=said.target, status=status)
            self._say(sync_pb2.WatchReply(removed=removed))
            return
        self.targets[said.target] = target
        self.call.follows = len(self.targets)
        self._say(sync_pb2.WatchReply(added=sync_pb2.WatchReply.Added(target=said.target)))
        if target.pulse is not None and target.pulse.mark is not None:
            self.due(target)

    async def _target(self, said: sync_pb2.WatchRequest.Add) -> Target:
        """Raises  Refusal, Overloaded."""
        limits = self.databases.limits
        if len(self.targets) >= limits.targets_per_stream:
            text = f"a stream has at most {limits.targets_per_stream} targets: open another one"
            raise statuses.refusal(code_pb2.RESOURCE_EXHAUSTED, "THROTTLED", text)
        zone = zone_of(said.zone, "add.zone", limits)
        self.call.permit((zone,))
        if self._there is None:  # not before a right was asked for: who has none learns nothing from how long it takes
            self._there = await reading(self.databases, self.call, self._look)
        if not self._there:
            raise statuses.forbidden()
        bounds = read_limits(context_pb2.ReadLimits(), limits, self.call.time_left)
        reader = ZoneReader(shape_of(said, limits), frozenset(said.record_types), bounds)
        like = sync_pb2.WatchRequest.Add(form=said.form, record_types=sorted(set(said.record_types)))
        if said.HasField("desired_keys"):
            like.desired_keys.CopyFrom(said.desired_keys)
        shape = like.SerializeToString(deterministic=True)
        token = self.tokens.of_zone(said.token, zone)
        target = Target(self, said.target, zone, reader, shape, said.content, token)
        target.pulse = self.pulses.join(self.tenant, zone, target)
        return target

    async def _look(self, tx: Transaction) -> bool:
        """Whether the container is there."""
        return await self.databases.metadata(tx, self.tenant) is not None

    def _remove(self, number: int, status: status_pb2.Status) -> None:
        target = self.targets.pop(number, None)
        self.call.follows = len(self.targets)
        if target is not None:
            self._due.pop(target, None)
            if target.pulse is not None:
                self.pulses.leave(target.pulse, target)
        self._say(sync_pb2.WatchReply(removed=sync_pb2.WatchReply.Removed(target=number, status=status)))

    # -- what it is told -----------------------------------------------------------------------------------

    def due(self, target: Target) -> None:
        """There is something to be done for a target."""
        if self.targets.get(target.number) is target:
            self._due[target] = None
            self._wake.set()

    def _say(self, reply: sync_pb2.WatchReply) -> None:
        self._waiting.append(reply)
        self._wake.set()

    async def replies(self) -> AsyncIterator[sync_pb2.WatchReply]:
        """Everything that is told, until the caller or the server ends it.  Raises  Refusal."""
        stopping, clock = self.call.stopping, asyncio.get_running_loop().time
        interval = self.databases.limits.progress_interval.total_seconds()
        next_progress = clock() + interval
        ending = asyncio.ensure_future(stopping.wait())
        try:
            while True:
                while self._waiting:
                    yield self._waiting.popleft()
                self._room.set()
                if self._failed is not None:
                    raise self._failed
                if stopping.is_set():
                    yield self._progress()
                    raise statuses.refusal(code_pb2.UNAVAILABLE, "STOPPING", "the server stops", retry=0.1)
                if clock() >= next_progress:
                    next_progress = clock() + interval
                    yield self._progress()
                if self._due:
                    target = next(iter(self._due))
                    del self._due[target]
                    for reply in await self._step(target):
                        yield reply
                    continue
                if self._ended and not self.targets:
                    return
                self._wake.clear()
                if not self._waiting:
                    waking = asyncio.ensure_future(self._wake.wait())
                    try:
                        await asyncio.wait(
                            (waking, ending), timeout=next_progress - clock(), return_when=asyncio.FIRST_COMPLETED
                        )
                    finally:
                        waking.cancel()
        finally:
            ending.cancel()

    def close(self) -> None:
        """Nobody listens any more."""
        for target in self.targets.values():
            if target.pulse is not None:
                self.pulses.leave(target.pulse, target)
        self.targets.clear()
        self._due.clear()

    async def _step(self, target: Target) -> list[sync_pb2.WatchReply]:
        """What there is to say of a target; it is due again if that is not all."""
        try:
            self.call.permit((target.zone,))  # what callers may do changes while they watch
            return await (self._contents(target) if target.content else self._hint(target))
        except Exception as error:
            status = statuses.known(error)
            if status is None or status.code not in _OF_TARGETS:
                raise
            if self.targets.get(target.number) is not target:
                return []
            if statuses.reason_of(status) == "TOKEN_EXPIRED":
                return [self._reset(target, status)]
            self._remove(target.number, status)
            return []

    def _reset(self, target: Target, status: status_pb2.Status) -> sync_pb2.WatchReply:
        target.token, target.told = None, False
        if target.content:
            self.due(target)
        else:
            target.quiet = target.begun = target.told = True
        return sync_pb2.WatchReply(reset=sync_pb2.WatchReply.Reset(target=target.number, status=status))

    async def _contents(self, target: Target) -> list[sync_pb2.WatchReply]:
        assert target.pulse is not None, "it listens before it reads"
        token = target.token
        page, version = await target.pulse.page((token, target.shape), lambda: self._page(target, token))
        if self.targets.get(target.number) is not target:
            return []
        target.token = page.token
        context = context_pb2.ReplyContext(read_version=version)
        sealed = self.tokens.zone(page.token)
        said: list[sync_pb2.WatchReply] = []
        if page.records:
            changed = sync_pb2.WatchReply.Changed(target=target.number, records=page.records, token=sealed)
            said.append(sync_pb2.WatchReply(context=context, changed=changed))
        if page.more:
            self.due(target)
        else:
            target.quiet = target not in self._due
            current = sync_pb2.WatchReply.Current(target=target.number, token=sealed)
            said.append(sync_pb2.WatchReply(context=context, current=current))
        return said

    async def _page(self, target: Target, token: ZoneToken | None) -> tuple[ZonePage, int]:
        limits = self.databases.limits

        async def work(tx: Transaction) -> tuple[ZonePage, int]:
            store = await self.databases.records(tx, self.tenant)
            incarnation = (await incarnations(self.databases, tx, self.tenant, [target.zone]))[target.zone]
            if incarnation is None:
                raise statuses.not_found("zone", target.zone)
            room = Room(limits.records_per_page, limits.message_bytes - _ROOM)
            page = await target.reader.page(store, target.zone, incarnation, token, room)
            return page, await tx.read_version()

        return await reading(self.databases, self.call, work)

    async def _hint(self, target: Target) -> list[sync_pb2.WatchReply]:
        """Word of a change. The pulse has seen it: only the first time the target reads by itself."""
        pulse, token, number = target.pulse, target.token, target.number
        assert pulse is not None, "it listens before it reads"
        assert pulse.mark is not None, "it is due when the pulse is ready"
        if pulse.mark.incarnation is None:
            raise statuses.not_found("zone", target.zone)
        if token is not None and token.incarnation != pulse.mark.incarnation:
            text = "the zone was deleted and made again"
            target.token = None
            raise statuses.refusal(code_pb2.OUT_OF_RANGE, "TOKEN_EXPIRED", text, why=text)
        if pulse.mark.silent:
            raise not_synced()
        version, new = pulse.mark.version, True
        if not target.begun and token is not None and token.phase == Phase.FOLLOW:
            new, version = await self._anything_new(token)
        target.begun, target.token = True, pulse.mark.token(target.zone)
        target.quiet = target not in self._due
        reply = sync_pb2.WatchReply(context=context_pb2.ReplyContext(read_version=version))
        if new:
            target.told = True
            reply.changed.target = number
        else:
            reply.current.target = number
            reply.current.token = self.tokens.zone(token) if token is not None else b""
        return [reply]

    async def _anything_new(self, token: ZoneToken) -> tuple[bool, int]:
        async def work(tx: Transaction) -> tuple[bool, int]:
            store = await self.databases.records(tx, self.tenant)
            version = await tx.read_version()
            if store is None or store.feed.settings is None:
                return bool(token.feed), version
            return not token.feed or await anything_new(tx, store, token), version

        return await reading(self.databases, self.call, work)

    def _progress(self) -> sync_pb2.WatchReply:
        time, versions = Timestamp(), []
        time.GetCurrentTime()
        progress = sync_pb2.WatchReply.Progress(time=time)
        for target in self.targets.values():
            mark = None if target.pulse is None else target.pulse.mark
            if target.quiet and not target.told and mark is not None and mark.feed and mark.incarnation is not None:
                versions.append(mark.version)
                token = self.tokens.zone(mark.token(target.zone))
                progress.targets.append(sync_pb2.WatchReply.Current(target=target.number, token=token))
        context = context_pb2.ReplyContext(read_version=min(versions, default=0))
        return sync_pb2.WatchReply(context=context, progress=progress)
