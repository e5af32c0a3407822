"""Imports: what an export wrote comes to a path where nothing is.

Nobody sees half of it. The rows of stores are written as they come, but their headers are kept back elsewhere, and so
are all keys outside of stores. A store without a header is opened by nobody, Java included. When the stream has come to
its end and every checksum agreed, what was kept back is put in its place: in one transaction if that is no more than
`StepLimits` allow, else store by store, each of them whole. A stream that turns out to be damaged, or too short, has
everything taken away again.

A mark outside of the path says how far an import is. It keeps others away; the same stream, imported again after the
process was killed, goes on from there.

Cost    every key is written once, those that are kept back twice; 1 read and 1 write a transaction for the mark
Source  Record Layer: KeySpacePath.importData; that the target must be empty, and that nothing is half there, is ours
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from recordlayer.errors import (
    CorruptTenantState,
    ImportInterrupted,
    ImportRefused,
    MalformedTuple,
    StreamDamaged,
    StreamTruncated,
    TenantChanged,
    TenantError,
    TenantNotEmpty,
    WrongType,
)
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.kv.engine import KEY_LIMIT, VALUE_LIMIT, StreamingMode
from recordlayer.options import TransactionOptions
from recordlayer.store.header import FormatVersion
from recordlayer.store.open import Path
from recordlayer.tenant.freeze import without_lock
from recordlayer.tenant.marks import import_key, imported_key, staged
from recordlayer.tenant.place import TenantPlace, tenant_place
from recordlayer.tenant.removal import remove_all
from recordlayer.tenant.spots import Spot, Spots
from recordlayer.tenant.steps import StepLimits, Steps
from recordlayer.tenant.stores import HEADER, header_in
from recordlayer.tenant.stream import Frame, Kind, Reader, rows_in
from recordlayer.tuples import pack, unpack

_LAST_INCARNATION = (1 << 31) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import has brought.

    raised       stores whose incarnation was raised: their versions to come are behind those they have
    not_raised   stores of a format before 13, which has no incarnation: open them with format_version=13 before the
                 export, if versions are to keep their order
    resumed      it went on with an import that had been interrupted
    """

    finished: bool = False
    stores: int = 0
    rows: int = 0
    bytes: int = 0
    read: int = 0
    transactions: int = 0
    raised: int = 0
    not_raised: int = 0
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """How far an import is: `at` bytes of the stream have been dealt with."""

    stream: bytes
    at: int
    checksum: bytes
    spot: bytes = b""
    stores: int = 0
    rows: int = 0
    size: int = 0
    raised: int = 0
    not_raised: int = 0

    def packed(self) -> bytes:
        return pack(tuple(getattr(self, name) for name in self.__slots__))

    @classmethod
    def of(cls, value: bytes) -> _Mark:
        try:
            return cls(**dict(zip(cls.__slots__, unpack(value), strict=True)))
        except (MalformedTuple, ValueError) as error:
            raise CorruptTenantState(value=value[:64], hint="the mark of an import was expected") from error


class Importer:
    """One import. `feed` takes the stream piece by piece, `finish` makes it be there, `abandon` takes it away.

    remembered  leave word that this stream was imported here: see `imported`
    """

    def __init__(
        self,
        beginning: Beginning,
        path: Path,
        *,
        remembered: bool = False,
        limits: StepLimits | None = None,
        options: TransactionOptions | None = None,
    ) -> None:
        self._remembered = remembered
        self._steps = Steps(beginning, "tenant import", limits, options)
        self._path = path
        self._reader = Reader()
        self._place: TenantPlace | None = None
        self._spots: Spots | None = None
        self._mark: _Mark | None = None  # as it is in the database
        self._resumed = False
        self._waiting: list[Frame] = []
        self._size = 0
        self._end: Frame | None = None
        self._finished = False

    @property
    def report(self) -> ImportReport:
        mark = self._mark
        return ImportReport(
            finished=self._finished,
            stores=0 if mark is None else mark.stores,
            rows=0 if mark is None else mark.rows,
            bytes=0 if mark is None else mark.size,
            read=self._reader.read,
            transactions=self._steps.transactions,
            raised=0 if mark is None else mark.raised,
            not_raised=0 if mark is None else mark.not_raised,
            resumed=self._resumed,
        )

    # -- the stream

    async def feed(self, data: bytes) -> None:
        """Take some bytes of the stream, always from its beginning: what an interrupted import has dealt with is only
        checked.

        Raises  StreamDamaged, StreamTooNew, ImportRefused: nothing of the import is left then; TenantNotEmpty,
                ImportInterrupted; WrongType for what is no bytes.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            await self.abandon()
            raise WrongType(argument="data", value=data, hint="a stream is bytes: open the file in binary mode")
        try:
            for frame in self._reader.feed(data):
                await self._take(frame)
        except (StreamDamaged, TenantError) as error:
            await self._refuse(error)
            raise
        await self._steps.pace(len(data))

    async def finish(self) -> ImportReport:
        """The stream is at its end: have all of it be there.

        Raises  StreamTruncated, StreamDamaged: nothing of the import is left then.
        """
        try:
            self._reader.finish()
            await self._flush()
            end, mark = self._end, self._mark
            if end is None or mark is None:
                raise StreamTruncated(after=self._reader.read)
            expected = _counts(end)
            if expected != (mark.rows, mark.size):
                raise StreamDamaged(found=(mark.rows, mark.size), expected=expected)
        except TenantError as error:
            await self._refuse(error)
            raise
        await self._show()
        self._finished = True
        return self.report

    async def abandon(self) -> None:
        """Take away everything that was imported, unless somebody else has brought this import to its end."""
        mark, place = self._mark, self._place
        if mark is None or place is None:
            return
        self._waiting, self._mark = [], None
        # A mark of our own, so that a second try knows what the first may have committed.
        ended = replace(mark, stream=self._steps.beginning.world.random.randbytes(len(mark.stream)))

        async def end(context: Context) -> bool:
            key = import_key(place.prefix)
            kept = await context.get(key)
            if kept is None or _Mark.of(kept).stream not in (mark.stream, ended.stream):
                return False
            context.set(key, ended.packed())
            return True

        if await self._steps.run(end):
            await remove_all(self._steps, place)

    async def _refuse(self, error: Exception) -> None:
        if not isinstance(error, (TenantNotEmpty, ImportInterrupted)):
            await self.abandon()

    async def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.BEGIN:
            await self._begin(frame)
            return
        mark = self._mark
        if mark is None:
            raise StreamDamaged(at=frame.end, found="a frame before the beginning")
        if frame.end <= mark.at:
            if frame.end == mark.at and frame.digest != mark.checksum:
                raise ImportInterrupted(
                    path=str(self._place), hint="another stream was imported here: delete it, or import that one again"
                )
            return
        if frame.kind is Kind.END:
            self._end = frame
        elif frame.kind is Kind.RECORDS:
            raise StreamDamaged(at=frame.end, found="changes in an export of everything")
        else:
            self._waiting.append(frame)
            self._size += len(frame.content)
            if self._size >= self._steps.limits.bytes:
                await self._flush()

    async def _begin(self, frame: Frame) -> None:
        if self._mark is not None:
            raise StreamDamaged(at=frame.end, found="a second beginning")
        try:
            stream, _, what, *_ = unpack(frame.content)
        except (MalformedTuple, ValueError) as error:
            raise StreamDamaged(at=frame.end, found="a beginning that is none") from error
        if type(stream) is not bytes or what != "all":
            raise StreamDamaged(at=frame.end, found=what)
        first = _Mark(stream=stream, at=frame.end, checksum=frame.digest)

        async def learn(context: Context) -> tuple[TenantPlace, Spots, _Mark]:
            place = await tenant_place(context, self._path, create=True)
            spots = await Spots.of(context, place)
            kept = await context.get(import_key(place.prefix))
            if kept is not None:
                mark = _Mark.of(kept)
                if mark.stream != stream:
                    raise ImportInterrupted(path=str(place), hint="finish the other import, or delete the tenant")
                return place, spots, mark
            if (await context.get_range(place.begin, place.end, limit=1, mode=StreamingMode.EXACT)).rows:
                raise TenantNotEmpty(path=str(place))
            context.add_read_conflict_range(place.begin, place.end)
            context.set(import_key(place.prefix), first.packed())
            return place, spots, first

        self._place, self._spots, mark = await self._steps.run(learn)
        self._mark = mark
        self._resumed = mark.at > first.at

    # -- writing

    async def _flush(self) -> None:
        """Write what waits, and how far the import is then."""
        before, frames = self._mark, self._waiting
        if before is None or not frames:
            return

        async def write(context: Context) -> _Mark:
            place, spots = self._place, self._spots
            assert place is not None, "it has begun"
            assert spots is not None, "it has begun"
            kept = await context.get(import_key(place.prefix))
            mark = before
            for frame in frames:
                mark = await self._write(context, place, spots, mark, frame)
            mark = replace(mark, at=frames[-1].end, checksum=frames[-1].digest)
            if kept not in (before.packed(), mark.packed()):  # the latter: a try whose outcome nobody knew
                raise ImportInterrupted(path=str(place), hint="of two imports of one stream, one goes on")
            context.set(import_key(place.prefix), mark.packed())
            return mark

        self._mark = await self._steps.run(write)
        self._waiting, self._size = [], 0

    async def _write(self, context: Context, place: TenantPlace, spots: Spots, mark: _Mark, frame: Frame) -> _Mark:
        if frame.kind is Kind.PLACE:
            Spot.of(frame.content)
            return replace(mark, spot=frame.content)
        if not mark.spot:
            raise StreamDamaged(at=frame.end, found="rows without a place")
        spot = Spot.of(mark.spot)
        prefix = await spots.prefix_of(context, spot)
        back = staged(place.prefix)
        rows = rows_in(frame.content)
        stores = raised = not_raised = size = 0
        for behind, value in rows:
            key = prefix + behind
            _check(place, key, value)
            size += len(behind) + len(value)
            if spot.is_store and behind == HEADER:
                stores += 1
                value, is_raised = _header(key, value)
                raised, not_raised = raised + is_raised, not_raised + (not is_raised)
            elif spot.is_store:
                context.set(key, value)
                continue
            kept = back + key[len(place.prefix) :]
            if spot.is_store and len(kept) > KEY_LIMIT:
                raise ImportRefused(key_bytes=len(key), hint="the path is too long")
            # Hardly anybody has keys so long that they cannot be kept back.
            context.set(kept if len(kept) <= KEY_LIMIT else key, value)
        return replace(
            mark,
            stores=mark.stores + stores,
            rows=mark.rows + len(rows),
            size=mark.size + size,
            raised=mark.raised + raised,
            not_raised=mark.not_raised + not_raised,
        )

    async def _show(self) -> None:
        """Put what was kept back in its place.  Raises  ImportInterrupted if there is nothing to finish any more."""
        place, mark = self._place, self._mark
        assert place is not None, "it has begun"
        assert mark is not None, "it has begun"
        at_the_end = False

        async def some(context: Context) -> bool:
            nonlocal at_the_end
            kept_mark = await context.get(import_key(place.prefix))
            if kept_mark is None and at_the_end:
                return False  # a try whose outcome nobody knew
            if kept_mark != mark.packed():
                hint = "it was deleted, or another process has finished it: look what is there"
                raise ImportInterrupted(path=str(place), hint=hint)
            back = staged(place.prefix)
            begin, end = back, back + b"\xff\xff"
            chunk = await self._steps.read(context, begin, end)
            for kept, value in chunk.rows:
                key = place.prefix + kept[len(back) :]
                if await context.get(key) is not None:
                    raise TenantChanged(
                        key=key, path=str(place), hint="somebody wrote there during the import: delete the tenant"
                    )
                context.set(key, value)
            if chunk.rows:
                context.stores_changed = True
                context.clear_range(begin, chunk.rows[-1][0] + b"\x00")
            if not chunk.more:
                context.clear(import_key(place.prefix))
                if self._remembered:
                    context.set(imported_key(place.prefix), mark.stream)
            at_the_end = not chunk.more
            return chunk.more

        while await self._steps.run(some):
            pass


async def imported(context: Context, place: TenantPlace) -> tuple[bytes | None, bytes | None]:
    """The stream of an import that is under way, and that of one that has come to its end and was to be remembered.

    Cost  2 reads.
    """
    kept = await context.get(import_key(place.prefix))
    return None if kept is None else _Mark.of(kept).stream, await context.get(imported_key(place.prefix))


def _counts(end: Frame) -> tuple[object, ...]:
    """Rows and bytes, as the end of a stream has them.  Raises  StreamDamaged."""
    try:
        return unpack(end.content)[:2]
    except MalformedTuple as error:
        raise StreamDamaged(at=end.end, found="an end that is none") from error


def _check(place: TenantPlace, key: bytes, value: bytes) -> None:
    """Raises  StreamDamaged for what no export writes: a key of somebody else's, or one that no database takes."""
    if not place.has(key):
        raise StreamDamaged(key=key, found="a key outside of the tenant")
    if len(key) > KEY_LIMIT or len(value) > VALUE_LIMIT:
        raise StreamDamaged(key_bytes=len(key), value_bytes=len(value), found="more than a database takes")


def _header(key: bytes, value: bytes) -> tuple[bytes, bool]:
    """A header as it is imported, and whether its incarnation was raised."""
    header = header_in(key, value)
    if header is None:
        raise StreamDamaged(key=key, found="a header that is none")
    without_lock(header)
    raises = header.formatVersion >= FormatVersion.INCARNATION and header.incarnation < _LAST_INCARNATION
    if raises:
        header.incarnation += 1
    return header.SerializeToString(deterministic=True), raises
