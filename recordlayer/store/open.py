"""Opening a store: what is read, what is refused, and when the header is written.

Cost    nothing for a store whose state is known from before (`state_cache`); else 2 ranges in 1 round trip (the first
        pair of the store, the index states); + what an upgrade needs
Source  Record Layer, FDBRecordStore.checkVersion and its callees
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from operator import is_
from typing import Any

from recordlayer.errors import (
    FormatTooNew,
    NotARecordStore,
    StaleMetaData,
    StaleUserVersion,
    StoreExists,
    StoreMissing,
    UsageError,
    WrongType,
)
from recordlayer.index.filter import IndexFilter
from recordlayer.index.state import IndexState
from recordlayer.keyspace import KeySpacePath, ResolvedPath
from recordlayer.kv.context import Context
from recordlayer.kv.engine import KeyValue, StreamingMode
from recordlayer.kv.observed import ObservedTransaction
from recordlayer.metadata import RecordMetaData
from recordlayer.observe.events import StoreOpened
from recordlayer.options import NO_LIMITS, Limits, as_limits
from recordlayer.store.blueprint import Blueprint, Blueprints, Opened
from recordlayer.store.expired import visible_at
from recordlayer.store.header import DEFAULT_FORMAT, NEWEST_FORMAT, FormatVersion, StoreHeader
from recordlayer.store.header_writes import write_header
from recordlayer.store.layout import Keyspace, StoreLayout
from recordlayer.store.places import StorePlaces
from recordlayer.store.sampling import Sampling
from recordlayer.store.serializer import PLAIN, Serializer
from recordlayer.store.sharing import is_shared, refuse_feed_beside_java, refuse_what_java_cannot_read
from recordlayer.store.state_cache import StoreStateCache
from recordlayer.store.states import states_in
from recordlayer.store.store import RecordStore
from recordlayer.store.upgrade import Before, NewIndexState, upgrade
from recordlayer.tuples import Subspace, pack


def store_prefix(path: Sequence[Any] | Subspace) -> bytes:
    """The prefix of the store at a path: the packed tuple of its names, as Java packs a key space path.

    Raises  WrongType, UsageError.
    """
    if isinstance(path, Subspace):
        return path.key()
    if not isinstance(path, (tuple, list)):
        raise WrongType(path=path, hint='a path is a tuple of names, such as ("shop", "acme")')
    if not path:
        raise UsageError(path=path, hint="give at least one name: a store at the root would own the whole database")
    return pack(tuple(path))


Path = Sequence[Any] | Subspace | KeySpacePath | ResolvedPath
"""Where something is: names from the root, a path of a key space, or a Subspace."""


async def resolved_prefix(context: Context, path: Path) -> bytes:
    """The prefix of what lies at a path.

    Cost    none; of a path of a key space with interned names, what looking them up costs.
    Raises  WrongType, UsageError; what resolving a path of a key space raises.
    """
    if isinstance(path, KeySpacePath):
        return (await path.resolve(context)).prefix
    return path.prefix if isinstance(path, ResolvedPath) else store_prefix(path)


class OpenMode(enum.Enum):
    """What must or must not be there. The values are Java's names."""

    CREATE_OR_OPEN = "ERROR_IF_NO_INFO_AND_NOT_EMPTY"
    """Create the store if nothing is there."""
    CREATE = "ERROR_IF_EXISTS"
    OPEN = "ERROR_IF_NOT_EXISTS"
    TOLERATE_LEFTOVERS = "ERROR_IF_NO_INFO_AND_HAS_RECORDS_OR_INDEXES"
    """As CREATE_OR_OPEN, also when only states and progress of index builds are there."""
    UNCHECKED = "NONE"
    """Take whatever is there for a store without a header."""


_LEFTOVERS = (Keyspace.INDEX_STATES, Keyspace.INDEX_RANGES, Keyspace.INDEX_BUILDS)


class Cacheable(enum.Enum):
    """Whether opening a store says in its header that processes may keep its state between transactions."""

    UNCHANGED = "unchanged"
    """As it is; a new store does not say so."""
    IF_NEW = "if new"
    YES = "yes"
    NO = "no"


UserVersionCheck = Callable[[int, int, RecordMetaData], int]
"""The user version to store, from the one that is stored, the stored metadata version (both -1 for a new store) and the
metadata. It raises what it likes in order to refuse the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """How to open a store.

    format_version   the least that the store shall have afterwards; a store is never lowered
    user_version     a version of the application's own, or what finds one: a store with a newer one is refused, an
                     older one is raised
    bypass_lock      the reason of a full lock, to open the store all the same
    count_records    an index that is new to a store is built at once if there are at most 200 records; without a COUNT
                     index to ask, look at up to 201 of them. Java takes any record for too many then.
    cacheable        what the header shall say of that, from format 7 on
    new_index_state  decides the state of each index that is new to the store, instead of the rule above
    sampling         looks, at some saves and deletions, whether an index agrees with the old record; None for never
    hide_expired     records whose time has passed are not loaded, scanned or queried, before they are deleted as well;
                     aggregates and scans of indexes have them until then
    index_filter     chooses the records that each index is kept for, the same at every opening
    limits           of each query for which nothing else is said, and of each scan
    """

    mode: OpenMode = OpenMode.CREATE_OR_OPEN
    format_version: int = DEFAULT_FORMAT
    user_version: int | UserVersionCheck | None = None
    serializer: Serializer = PLAIN
    bypass_lock: str | None = None
    count_records: bool = True
    cacheable: Cacheable = Cacheable.UNCHANGED
    new_index_state: NewIndexState | None = None
    index_filter: IndexFilter | None = None
    limits: Limits = NO_LIMITS
    hide_expired: bool = False
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.mode, OpenMode):
            raise WrongType(argument="mode", value=self.mode, hint="use OpenMode")
        as_limits("limits", self.limits)
        if not isinstance(self.cacheable, Cacheable):
            raise WrongType(argument="cacheable", value=self.cacheable, hint="use Cacheable")
        if type(self.format_version) not in (int, FormatVersion) or self.format_version < 1:
            raise UsageError(format_version=self.format_version, hint=f"versions are 1 to {NEWEST_FORMAT}")
        if self.format_version > NEWEST_FORMAT:
            raise FormatTooNew(format_version=self.format_version, newest_known=NEWEST_FORMAT)
        if self.index_filter is not None and not callable(self.index_filter):
            raise WrongType(argument="index_filter", value=self.index_filter, hint="give a function")
        if self.user_version is not None and not callable(self.user_version):
            _check_user_version(self.user_version)


DEFAULT_OPEN = OpenOptions()
_UNSAID = {each.name: getattr(DEFAULT_OPEN, each.name) for each in fields(OpenOptions)}


def opening(**said: Any) -> OpenOptions:
    """`OpenOptions(**said)`, but always the same object where all that is said goes without saying."""
    usual = all(map(is_, said.values(), map(_UNSAID.get, said)))
    return DEFAULT_OPEN if usual else OpenOptions(**said)


async def open_store(
    context: Context, metadata: RecordMetaData, prefix: bytes, options: OpenOptions = DEFAULT_OPEN
) -> RecordStore:
    """The store whose keys begin with `prefix`, created or upgraded if need be.

    Raises  StoreMissing, StoreExists, NotARecordStore, FormatTooNew, StaleMetaData, StaleUserVersion, StoreLocked,
            CorruptHeader.
    """
    if not isinstance(metadata, RecordMetaData):
        raise WrongType(metadata=metadata, hint="give what RecordMetaDataBuilder(...).build() returns")
    blueprints = None if context.shared is None else context.shared.of(Blueprints)
    opened = None if blueprints is None else blueprints.find(prefix)
    if opened is not None and not opened.is_of(metadata, options):
        opened = None
    layout = StoreLayout(prefix) if opened is None else opened.blueprint.layout
    places = StorePlaces(prefix, metadata) if opened is None else opened.blueprint.places
    context.places.append(places)
    observed = context.observed
    began = 0.0 if observed is None else context.world.clock.monotonic()
    cache = None if context.shared is None else context.shared.of(StoreStateCache)
    known = None if cache is None else await cache.find(context, prefix)
    if known is not None:
        first, states = [(layout.header, known.header)], known.states
        context.add_read_conflict_key(layout.header)
    else:
        first, states = await _read(context, layout)
    if opened is not None and opened.found(first, states):
        if cache is not None and known is None:
            await cache.remember(context, prefix, opened.header, states, cacheable=opened.cacheable)
        store = _again(context, opened, options)
        if observed is not None:
            _tell(observed, context, places, began, created=False, cached=known is not None)
        return store
    header, is_new = header_of(layout, first, options.mode)
    header.check_format()
    header.check_lock(bypass=options.bypass_lock)
    if is_shared(header):
        refuse_what_java_cannot_read(metadata)
        refuse_feed_beside_java(header)
    format_before, metadata_before, cacheable_before = header.format_version, header.metadata_version, header.cacheable
    changed = _raise_versions(header, metadata, options, layout)
    changed = _set_cacheable(header, options, is_new=is_new) or changed
    left_old_format = not is_new and format_before != header.format_version
    omits_suffix = _omits_suffix(header, metadata, format_before if left_old_format else 0)
    outdated = format_before != header.format_version or metadata_before != metadata.version
    serializer, chooses = options.serializer, options.index_filter
    blueprint = Blueprint(
        layout, metadata, header, states, omits_suffix=omits_suffix, serializer=serializer, chooses=chooses
    )
    if not (changed or outdated):
        if cache is not None and known is None:
            await cache.remember(context, prefix, first[0][1], states, cacheable=header.cacheable)
        if blueprints is not None and _comes_again(header, first[0][1], options):
            blueprints.keep(Opened(blueprint, options, first[0][1], cacheable=header.cacheable))
    header = _shared(context, prefix, header)
    store = _made(context, blueprint, header, options)
    if outdated:
        before = Before(
            is_new=is_new,
            format_version=format_before,
            metadata_version=metadata_before,
            cacheable=cacheable_before,
        )
        try:
            await upgrade(store, before, count_records=options.count_records, decide=options.new_index_state)
        except BaseException as error:
            context.doom(error)  # half of an upgrade must not be committed
            raise
    if changed or outdated:
        write_header(store, was_cacheable=cacheable_before)
        if header.cacheable and not cacheable_before and await context.metadata_version() is None:
            context.change_metadata_version()  # without a stamp nobody could tell that the state is still the same
    if observed is not None:
        _tell(observed, context, places, began, created=is_new, cached=known is not None)
    return store


def _comes_again(header: StoreHeader, stored: bytes, options: OpenOptions) -> bool:
    """Whether an opening that had nothing to change will have nothing to change the next time. Functions of the
    caller's may say something else then, and locks are looked at; a field may have been set to what it is unset."""
    if options.index_filter is not None or callable(options.user_version):
        return False
    message = header.message
    return not message.HasField("store_lock_state") and message == message.FromString(stored)


def _again(context: Context, opened: Opened, options: OpenOptions) -> RecordStore:
    """The store, opened as it was before."""
    prefix, header = opened.blueprint.layout.prefix, StoreHeader.unlocked(opened.header)
    if (shared := context.headers.setdefault(prefix, header)) is not header and not shared.is_unread(opened.header):
        shared = _shared(context, prefix, header)
    return _made(context, opened.blueprint, shared, options)


def _made(context: Context, blueprint: Blueprint, header: StoreHeader, options: OpenOptions) -> RecordStore:
    store = RecordStore(context, blueprint, header)
    store.limits = options.limits
    store.sampling = options.sampling
    if options.hide_expired:
        store.visible = visible_at(blueprint.metadata, context.world.clock)
    return store


def _tell(
    observed: ObservedTransaction, context: Context, places: StorePlaces, began: float, *, created: bool, cached: bool
) -> None:
    took = timedelta(seconds=context.world.clock.monotonic() - began)
    observed.emit(StoreOpened(origin=observed.origin, store=places.store, took=took, created=created, cached=cached))


def _shared(context: Context, prefix: bytes, header: StoreHeader) -> StoreHeader:
    """The header that all go by who have the store open in this transaction, as it is now: two of them would write over
    what the other has put into it."""
    shared: StoreHeader = context.headers.setdefault(prefix, header)
    if shared is not header:
        shared.message.CopyFrom(header.message)
        shared.present = header.present
    return shared


async def read_state(
    context: Context, layout: StoreLayout, mode: OpenMode
) -> tuple[StoreHeader, bool, Mapping[str, IndexState]]:
    """The header, whether the store is new, and the states of its indexes.  Cost  2 ranges in 1 round trip."""
    first, states = await _read(context, layout)
    return *header_of(layout, first, mode), states


async def _read(context: Context, layout: StoreLayout) -> tuple[list[KeyValue], Mapping[str, IndexState]]:
    """The first pair of the store, and the states of its indexes."""
    prefix = layout.prefix
    first_read = context.get_range(prefix + b"\x00", prefix + b"\xff", limit=1, mode=StreamingMode.EXACT)
    states_range = layout.index_states + b"\x00", layout.index_states + b"\xff"
    states_read = context.get_range(*states_range, snapshot=True, mode=StreamingMode.WANT_ALL)
    first = (await first_read).rows
    chunk = await states_read
    rows = chunk.rows
    if chunk.more and rows:
        rows = rows + await context.read_all(rows[-1][0] + b"\x00", states_range[1], snapshot=True)
    return first, states_in(layout, rows) if rows else {}


def header_of(layout: StoreLayout, first: list[KeyValue], mode: OpenMode) -> tuple[StoreHeader, bool]:
    """The header in the first pair of a store, or an absent one; and whether the store is new."""
    if not first:
        if mode is OpenMode.OPEN:
            raise StoreMissing(prefix=layout.prefix, hint="create it, or open it with OpenMode.CREATE_OR_OPEN")
        return StoreHeader.absent(), True
    key, value = first[0]
    if key == layout.header:
        if mode is OpenMode.CREATE:
            raise StoreExists(prefix=layout.prefix, hint="open it, or create one elsewhere")
        return StoreHeader.parse(value, key=key), False
    keyspace = layout.keyspace_of(key)
    tolerated = mode is OpenMode.UNCHECKED or (mode is OpenMode.TOLERATE_LEFTOVERS and keyspace in _LEFTOVERS)
    if not tolerated:
        raise NotARecordStore(
            prefix=layout.prefix,
            first_key=key,
            looks_like="nothing of a record store" if keyspace is None else keyspace.name.lower().replace("_", " "),
            hint="is the path right? The data there belong to something else, or the header was lost",
        )
    return StoreHeader.absent(), True


def _raise_versions(header: StoreHeader, metadata: RecordMetaData, options: OpenOptions, layout: StoreLayout) -> bool:
    """Put the versions into the header. Whether one of the caller's own changed."""
    stored = header.metadata_version
    if stored > metadata.version:
        raise StaleMetaData(
            stored_version=stored,
            given_version=metadata.version,
            prefix=layout.prefix,
            hint="another process uses newer metadata with this store: restart with the new release; a store that is "
            "opened with a StoredMetaData finds the newer metadata by itself",
        )
    changed = False
    given = options.user_version
    if given is not None:
        version = given if isinstance(given, int) else given(header.user_version, stored, metadata)
        _check_user_version(version)
        if header.user_version > version:
            raise StaleUserVersion(stored_version=header.user_version, given_version=version)
        changed = header.user_version != version
        header.message.userVersion = version
    header.message.formatVersion = max(header.format_version, options.format_version)
    return changed


def _check_user_version(version: object) -> None:
    """Raises  WrongType, UsageError."""
    if type(version) is not int:
        raise WrongType(argument="user_version", value=version, hint="a whole number, or a function that returns one")
    if not -(1 << 31) <= version < 1 << 31:
        raise UsageError(user_version=version, hint="the header has 32 bits for it")


def _set_cacheable(header: StoreHeader, options: OpenOptions, *, is_new: bool) -> bool:
    """Put into the header whether the state may be cached. Whether that is a change."""
    wanted = options.cacheable
    if wanted is Cacheable.UNCHANGED or (wanted is Cacheable.IF_NEW and not is_new):
        return False
    cacheable = wanted is not Cacheable.NO
    if header.format_version < FormatVersion.CACHEABLE_STATE or header.cacheable is cacheable:
        return False
    header.message.cacheable = cacheable
    return True


def _omits_suffix(header: StoreHeader, metadata: RecordMetaData, left: int) -> bool:
    """Whether unsplit records have no suffix. Sets the header's flag when a store leaves the formats without suffix.

    `left` is the format version that the store has just left, 0 for none.
    """
    suffixed = FormatVersion.SAVE_UNSPLIT_WITH_SUFFIX
    if header.format_version < suffixed:
        return True
    if 0 < left < suffixed and not metadata.split_long_records:
        header.message.omit_unsplit_record_suffix = True
    return header.message.omit_unsplit_record_suffix
