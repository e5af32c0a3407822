"""Exports: all keys of a tenant as a stream that another database can import.

An export is the tenant at one moment, or it fails. While it reads at one version, that is so by itself. When it has to
go on at a newer one, because a version is readable for five seconds only, it has the database judge whether anything of
the tenant was changed in between: a transaction that has read the whole path at the old version, and nothing else.
`Guard` says what else may be done about writers.

Cost    every key is read once; with Guard.PROVE, a small commit for every two seconds that it takes
Source  Record Layer: KeySpacePath.exportAllData, DataInKeySpacePath
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from recordlayer.errors import (
    BadContinuation,
    Closed,
    Conflict,
    MalformedTuple,
    TenantChanged,
    TooOld,
    TransactionError,
    WrongType,
)
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.kv.engine import KeyValue
from recordlayer.options import TransactionOptions
from recordlayer.store.open import Path
from recordlayer.tenant.freeze import freeze, is_frozen, reason_of, thaw, without_lock
from recordlayer.tenant.marks import probe_key
from recordlayer.tenant.place import TenantPlace, tenant_place
from recordlayer.tenant.spots import Spot, Spots
from recordlayer.tenant.steps import StepLimits, Steps
from recordlayer.tenant.stores import HEADER, header_in
from recordlayer.tenant.stream import HEAD, Kind, Writer, rows_as_bytes
from recordlayer.tuples import pack, unpack

_RENEW_SECONDS = 2.0
_TRIES = 5
_TOKEN = 2


class Guard(enum.Enum):
    """What an export does about changes that are made while it runs."""

    PROVE = "prove"
    """It has the database prove that there were none, and fails if there were."""
    FREEZE = "freeze"
    """It forbids them by a lock in the header of every store, from format version 12 on, until it is done."""
    NONE = "none"
    """Nothing: the caller knows that nobody writes. If somebody does, the export is not of one moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """How far an export is.

    stores, rows, bytes  that were exported; bytes of keys, as far as they follow a store's or
                         a directory's path, and of values
    written              bytes of the stream so far
    version              the database's version that it shows, None as long as nothing was read
    """

    finished: bool = False
    stores: int = 0
    rows: int = 0
    bytes: int = 0
    written: int = 0
    transactions: int = 0
    version: int | None = None


class Exporter:
    """One export. `next` gives the stream piece by piece.

    resume  a token of an earlier export of this path, that is gone on with: see `token`
    thaws   allow changes again at the end, where the guard has forbidden them
    """

    def __init__(
        self,
        beginning: Beginning,
        path: Path,
        *,
        guard: Guard = Guard.PROVE,
        resume: bytes | None = None,
        thaws: bool = True,
        limits: StepLimits | None = None,
        options: TransactionOptions | None = None,
    ) -> None:
        if not isinstance(guard, Guard):
            raise WrongType(argument="guard", value=guard, hint="use Guard.PROVE, FREEZE or NONE")
        self._steps = Steps(beginning, "tenant export", limits, options)
        self._contents: tuple[str, int | None, None] = ("all", None, None)
        self._path = path
        self._guard = guard
        self._resume = resume
        self._thaws = thaws
        self._context: Context | None = None
        self._began = 0.0
        self._stream = b""
        self._writer = Writer()
        self._place: TenantPlace | None = None
        self._spots: Spots | None = None
        self._at = b""
        self._store: bytes | None = None  # the prefix of the store that the last row is in
        self._spot: Spot | None = None
        self._directory: bytes | None = None  # of rows outside of stores: what they begin with
        self._stores = self._rows = self._bytes = 0
        self._version: int | None = None
        self._finished = self._closed = False

    @property
    def report(self) -> ExportReport:
        return ExportReport(
            finished=self._finished,
            stores=self._stores,
            rows=self._rows,
            bytes=self._bytes,
            written=self._writer.written,
            transactions=self._steps.transactions,
            version=self._version,
        )

    @property
    def token(self) -> bytes:
        """Where it is, as opaque bytes: an export with `resume=token` goes on behind what `next` has given. It begins
        with byte `report.written` of the stream. With Guard.PROVE it must do so within five seconds."""
        place = self._place
        if place is None:
            raise Closed(what="export", hint="it has not begun: there is nothing to go on from")
        return pack(
            (
                _TOKEN,
                place.digest,
                self._guard.value,
                self._stream,
                self._at[len(place.prefix) :],
                None if self._store is None else self._store[len(place.prefix) :],
                self._writer.digest,
                self._writer.written,
                self._stores,
                self._rows,
                self._bytes,
                self._version,
            )
        )

    async def next(self) -> bytes | None:
        """The next piece of the stream; None behind the last.

        Raises  TenantChanged; TenantFrozen; NameNotInterned for a path whose names nobody has interned.
        """
        if self._closed and not self._finished:
            raise Closed(what="export", hint="begin another, or go on with its token")
        if self._finished:
            return None
        try:
            data = b"" if self._place is not None else await self._begin()
            if not data:
                data = await self._page()
        except BaseException:
            self.leave()
            raise
        await self._steps.pace(len(data))
        return data

    def leave(self) -> None:
        """Let go of the transaction. What was frozen stays so: `thaw` it, or go on with the token."""
        self._closed = True
        if self._context is not None:
            self._context.close()
            self._context = None

    @property
    def stream(self) -> bytes:
        """What tells this stream from all others, once it has begun."""
        return self._stream

    async def thaw(self) -> None:
        """Allow changes again where this export forbade them."""
        if self._guard is Guard.FREEZE and self._place is not None:
            await thaw(self._steps, self._place, reason_of(self._stream))

    # -- beginning

    async def _begin(self) -> bytes:
        async def learn(context: Context) -> tuple[TenantPlace, Spots]:
            place = await tenant_place(context, self._path)
            return place, await Spots.of(context, place)

        place, self._spots = await self._steps.run(learn)
        self._at = place.begin
        if self._resume is not None:
            self._go_on(place, self._resume)
            self._place = place
            return b""
        random = self._steps.beginning.world.random
        self._stream = random.getrandbits(128).to_bytes(16, "big")
        if self._guard is Guard.FREEZE:
            try:
                await freeze(self._steps, place, reason_of(self._stream))
            except BaseException:
                await thaw(self._steps, place, reason_of(self._stream))
                raise
        self._place = place
        return HEAD + self._writer.frame(Kind.BEGIN, pack((self._stream, str(place), *self._contents)))

    def _go_on(self, place: TenantPlace, token: bytes) -> None:
        try:
            kind, digest, guard, *rest = unpack(token)
            self._stream, at, store, checksum, written, self._stores, self._rows, self._bytes, self._version = rest
        except (MalformedTuple, ValueError, TypeError) as error:
            raise BadContinuation(reason="it is not one of an export") from error
        sound = type(at) is bytes and type(checksum) is bytes and type(written) is int
        if kind != _TOKEN or not sound or digest != place.digest or not place.has(place.prefix + at):
            raise BadContinuation(reason="it belongs to another tenant, or another operation", path=str(place))
        if guard != self._guard.value:
            raise BadContinuation(reason="it is of an export with another guard", guard=guard)
        self._at = place.prefix + at
        self._store = None if store is None else place.prefix + store
        self._writer = Writer(checksum, written)

    # -- pages

    async def _page(self) -> bytes:
        place, spots = self._place, self._spots
        assert place is not None, "it has begun"
        assert spots is not None, "it has begun"
        tries = 0
        while True:
            try:
                context = await self._reading(place)
                found, finished = await self._piece(place, spots, context)
                break
            except TransactionError as error:
                tries += 1
                if not error.retryable or tries >= self._steps.limits.retries:
                    raise
                await self._renew(place, error)
        self._steps.transactions += 1
        frames = [self._writer.frame(*one) for one in found]
        if finished:
            frames.append(self._writer.frame(Kind.END, pack((self._rows, self._bytes, self._version))))
            self._finished = True
            self.leave()
            if self._thaws:
                await self.thaw()
        return b"".join(frames)

    async def _piece(self, place: TenantPlace, spots: Spots, context: Context) -> tuple[list[tuple[Kind, bytes]], bool]:
        """The contents of the next frames, and whether nothing follows."""
        chunk = await self._steps.read(context, self._at, place.end, snapshot=True)
        frames = await self._frames(context, place, spots, chunk.rows)
        if chunk.rows:
            self._at = chunk.rows[-1][0] + b"\x00"
        return frames, not chunk.more

    async def _frames(
        self, context: Context, place: TenantPlace, spots: Spots, rows: list[KeyValue]
    ) -> list[tuple[Kind, bytes]]:
        """The rows as contents of frames, each with those of one place."""
        frames: list[tuple[Kind, bytes]] = []
        held: list[KeyValue] = []
        begins = len(place.prefix)
        store, spot, directory = self._store, self._spot, self._directory
        stores = size = 0
        for key, value in rows:
            header = None
            inside = store is not None and key.startswith(store) and key[len(store) : len(store) + 1] != b"\xff"
            if not inside:
                store, header = None, header_in(key, value)
                if header is not None:
                    stores += 1
                    store = key[: -len(HEADER)]
            found = spot
            if store is not None:
                if not inside or spot is None or not spot.is_store:
                    found = await spots.spot_of(context, store, is_store=True)
                directory = None
            elif directory is None or not key.startswith(directory):
                found = await spots.spot_of(context, key)
                leads_on = place.resolved is not None and not found.is_reverse
                directory = None if leads_on else place.prefix + key[begins : begins + found.length]
            if found != spot:
                if held:
                    frames.append((Kind.ROWS, rows_as_bytes(held)))
                    held = []
                assert found is not None, "a row has a place"
                frames.append((Kind.PLACE, found.packed()))
                spot = found
            assert spot is not None, "a row has a place"
            if header is not None:
                value = self._header(value)
            held.append((key[begins + spot.length :], value))
            size += len(key) - begins - spot.length + len(value)
        if held:
            frames.append((Kind.ROWS, rows_as_bytes(held)))
        self._store, self._spot, self._directory = store, spot, directory
        self._stores += stores
        self._rows += len(rows)
        self._bytes += size
        return frames

    def _header(self, value: bytes) -> bytes:
        """A header as it is exported: without the lock of an export.  Raises  TenantChanged."""
        header = header_in(HEADER, value)
        assert header is not None, "it was found to be one"
        if self._guard is Guard.FREEZE and not is_frozen(header, reason_of(self._stream)):
            raise TenantChanged(found="a store that is not frozen", hint="was it made or unlocked meanwhile?")
        return header.SerializeToString(deterministic=True) if without_lock(header) else value

    # -- versions

    async def _reading(self, place: TenantPlace) -> Context:
        """The transaction to read in."""
        clock = self._steps.beginning.world.clock
        if self._context is None:
            self._context, self._began = self._steps.context(), clock.monotonic()
            before, self._version = self._version, await self._context.read_version()
            if before is not None:
                await self._prove(place, before)
        elif clock.monotonic() - self._began >= _RENEW_SECONDS:
            await self._renew(place, None)
        assert self._context is not None, "it was renewed"
        return self._context

    async def _renew(self, place: TenantPlace, error: BaseException | None) -> None:
        """Go on at a newer version."""
        old, self._context = self._context, None
        try:
            if error is not None and old is not None:
                await old.transaction.on_error(error)
            await self._reading(place)
        finally:
            if old is not None:
                old.close()

    async def _prove(self, place: TenantPlace, version: int) -> None:
        """Raises  TenantChanged unless nothing of the tenant was changed since a version."""
        if self._guard is not Guard.PROVE:
            return
        probe = probe_key(place.prefix)
        for tries in range(1, _TRIES + 1):
            context = self._steps.context()
            try:
                context.set_read_version(version)
                context.add_read_conflict_range(place.begin, place.end)
                context.add_write_conflict_range(probe, probe + b"\x00")
                await context.commit()
                return
            except Conflict as error:
                raise TenantChanged(since_version=version) from error
            except TooOld as error:
                raise TenantChanged(
                    since_version=version,
                    found="too much time since the last piece to tell",
                    hint="take the pieces at least every few seconds, or export with Guard.FREEZE",
                ) from error
            except TransactionError as error:
                if not error.retryable or tries == _TRIES:
                    raise
            finally:
                context.close()
