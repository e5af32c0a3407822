"""Metadata kept in the database, where all processes find it: the newest version, and those it has replaced.

Layout  (null, 0)          the newest, a serialised MetaData message of up to 100,000 bytes
        (null, 1), (2)...  the same in parts, if it is longer
        ("H", version, 0), ("H", version, 1)...  what was replaced, by its version
        (0), (1)...        the newest, in stores of an old format: moved when it is read
Cost    load: nothing for what is known from before (`metadata_cache`), else 1 range read
        save: 1 range read, 4 writes (the newest, what it replaces, the metadata version stamp)
Source  Record Layer, FDBMetaDataStore
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from recordlayer.errors import CorruptRecord, MalformedMetaData, MetaDataMissing, WrongType
from recordlayer.keyspace import KeySpacePath, ResolvedPath
from recordlayer.kv.context import Context
from recordlayer.kv.engine import StreamingMode
from recordlayer.metadata import Evolution, RecordMetaData, RecordMetaDataBuilder
from recordlayer.store.metadata_cache import MetaDataCache
from recordlayer.store.open import Path, resolved_prefix, store_prefix
from recordlayer.store.split import RawRecord, Splitting
from recordlayer.tuples import pack, unpack

_CURRENT = pack((None,))
_HISTORY = pack(("H",))
_OLD_BEGIN, _OLD_END = pack((0,)), b"\x1d"  # integers from 0 on
_PARTS = Splitting(splits=True, omits_suffix=False)

Change = Callable[[RecordMetaDataBuilder], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMetaData:
    """Where metadata is kept, and how it is read and replaced: what `Transaction.store` takes in place of the metadata.

    path           names from the root, as for a record store; a path of a key space; or a Subspace
    local          a generated module: records are messages of its classes, which may be newer or older than the stored
    seed           stored when there is nothing yet
    evolution      the rules by which one version may follow another
    keeps_history  whether replaced versions are kept
    """

    path: Path
    local: object = None
    seed: RecordMetaData | None = None
    evolution: Evolution = field(default_factory=Evolution)
    keeps_history: bool = True
    prefix: bytes | None = field(init=False, repr=False)
    """What the keys begin with; None if names of the path have to be looked up first."""

    def __post_init__(self) -> None:
        prefix = None if isinstance(self.path, (KeySpacePath, ResolvedPath)) else store_prefix(self.path)
        object.__setattr__(self, "prefix", prefix)
        if self.seed is not None and not isinstance(self.seed, RecordMetaData):
            raise WrongType(
                argument="seed", value=self.seed, hint="give what RecordMetaDataBuilder(...).build() returns"
            )


class MetaDataStore:
    """The metadata kept in one place, in one transaction."""

    __slots__ = ("_context", "_prefix", "_where")

    def __init__(self, context: Context, where: StoredMetaData) -> None:
        self._context = context
        self._where = where
        self._prefix = where.prefix

    async def _place(self) -> bytes:
        """What the keys begin with."""
        if self._prefix is None:
            self._prefix = await resolved_prefix(self._context, self._where.path)
        return self._prefix

    # -- reading ---------------------------------------------------------------------------------------

    async def load(self, *, fresh: bool = False) -> RecordMetaData:
        """The newest metadata. A transaction that goes by it conflicts with whoever replaces it.

        fresh  read it from the database, whatever is known from before

        Raises  MetaDataMissing, unless there is a seed; MalformedMetaData, and what else building it raises.
        """
        metadata, _ = await self.known(fresh=fresh)
        return metadata

    async def known(self, *, fresh: bool = False) -> tuple[RecordMetaData, bool]:
        """The newest metadata, and whether it was remembered rather than read."""
        context, where = self._context, self._where
        prefix = await self._place()
        base = prefix + _CURRENT
        cache = None if context.shared is None else context.shared.of(MetaDataCache)
        if cache is not None and not fresh:
            remembered = await cache.find(context, prefix, where.local)
            if remembered is not None:
                context.add_read_conflict_range(base + b"\x00", base + b"\xff")
                return remembered, True
        raw = await self._current()
        if raw is None:
            if where.seed is None:
                raise MetaDataMissing(prefix=prefix, hint="save metadata there first, or give a seed")
            data = where.seed.to_bytes()
            await self._replace(data, None)
            return where.seed if where.local is None else self._built(data), False
        if cache is None:
            return self._built(raw.data), False
        return await cache.remember(context, prefix, where.local, raw.data, self._built), False

    async def peek(self) -> RecordMetaData | None:
        """The newest metadata as it is stored, None if there is none: a seed is not asked for.  Cost  1 range read."""
        raw = await self._current()
        return None if raw is None else self._built(raw.data)

    async def version(self, number: int) -> RecordMetaData | None:
        """The metadata that had a version and was replaced, None if it is not kept.  Cost  1 range read."""
        raw = await self._read(await self._place() + _HISTORY + pack((number,)))
        return None if raw is None else self._built(raw.data)

    async def history(self) -> list[int]:
        """The versions that are kept of what was replaced, ascending.  Cost  1 range read: it reads all of them."""
        prefix = await self._place() + _HISTORY
        rows = await self._context.read_all(prefix + b"\x00", prefix + b"\xff")
        return sorted({int(unpack(key, len(prefix))[0]) for key, _ in rows})

    def _built(self, data: bytes) -> RecordMetaData:
        return RecordMetaData.from_bytes(data, local=self._where.local)

    async def _current(self) -> RawRecord | None:
        prefix = await self._place()
        raw = await self._read(prefix + _CURRENT)
        if raw is not None:
            return raw
        rows = await self._context.read_all(prefix + _OLD_BEGIN, prefix + _OLD_END)
        old = self._assembled(prefix, rows)
        if old is not None:
            self._context.clear_range(prefix + _OLD_BEGIN, prefix + _OLD_END)
            _PARTS.write(self._context, prefix + _CURRENT, old.data, None)
            self._changed()
        return old

    async def _read(self, base: bytes) -> RawRecord | None:
        context, end = self._context, base + b"\xff"
        chunk = await context.get_range(base + b"\x00", end, mode=StreamingMode.WANT_ALL)
        rows = chunk.rows
        if chunk.more and rows:
            rows = rows + await context.read_all(rows[-1][0] + b"\x00", end)
        return self._assembled(base, rows)

    @staticmethod
    def _assembled(base: bytes, rows: list[tuple[bytes, bytes]]) -> RawRecord | None:
        try:
            return _PARTS.assemble(base, rows)
        except CorruptRecord as error:
            reason = f"its parts do not fit together: {error.fields.get('found')}"
            raise MalformedMetaData(reason=reason, key=error.fields.get("key")) from error

    # -- replacing -------------------------------------------------------------------------------------

    async def save(self, metadata: RecordMetaData) -> None:
        """Replace the newest metadata. Its version must be higher, and the rules of evolution must let it follow.

        Raises  EvolutionRefused; MalformedMetaData if what is there cannot be read.
        """
        if not isinstance(metadata, RecordMetaData):
            raise WrongType(metadata=metadata, hint="give what RecordMetaDataBuilder(...).build() returns")
        await self._replace(metadata.to_bytes(), await self._current())

    async def _replace(self, data: bytes, raw: RawRecord | None) -> None:
        context, where = self._context, self._where
        prefix = await self._place()
        new = RecordMetaData.from_bytes(data)
        if raw is not None:
            old = RecordMetaData.from_bytes(raw.data)
            replace(where.evolution, allow_no_version_change=False).check(old, new)
            if where.keeps_history:
                base = prefix + _HISTORY + pack((old.version,))
                context.clear_range(base + b"\x00", base + b"\xff")
                _PARTS.write(context, base, raw.data, None)
        base = prefix + _CURRENT
        _PARTS.write(context, base, data, None if raw is None else raw.shape)
        self._changed()

    async def mutate(self, change: Change) -> RecordMetaData:
        """Change the newest metadata: `change` is called with a builder of it. What is stored now.

        The version rises by itself where the builder counts a change, and by one where it does not.

        Raises  MetaDataMissing, EvolutionRefused, and what building the metadata raises. Nothing has been written then.
        """
        raw = await self._current()
        if raw is None:
            raise MetaDataMissing(prefix=await self._place(), hint="save metadata there first")
        builder = RecordMetaDataBuilder.from_proto(raw.data)
        before = builder.build().version
        change(builder)
        changed = builder.build()
        if changed.version == before:
            changed = builder.version(before + 1).build()
        data = changed.to_bytes()
        await self._replace(data, raw)
        return self._built(data)

    def _changed(self) -> None:
        self._context.stores_changed = True
        self._context.change_metadata_version()
