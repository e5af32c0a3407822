"""What an open store is made from: all that follows from its metadata, its header, its index states and the options.

A transaction reads the header and the states of each store that it opens. Where they are what they were before, byte
for byte, and whoever opens says the same, so is all that was worked out from them then: it is remembered here, and a
store is little more than a few objects around it. Nothing is believed: what is remembered is compared with what was
read.

Cost    memory for `MOST_STORES` blueprints
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from recordlayer.index.filter import IndexFilter
from recordlayer.index.state import IndexState
from recordlayer.kv.engine import KeyValue
from recordlayer.metadata import RecordMetaData
from recordlayer.store.change_layout import settings_in
from recordlayer.store.counts import are_kept
from recordlayer.store.header import FormatVersion, StoreHeader
from recordlayer.store.layout import StoreLayout
from recordlayer.store.places import StorePlaces
from recordlayer.store.record import Codec
from recordlayer.store.serializer import Serializer
from recordlayer.store.split import Splitting

if TYPE_CHECKING:
    from recordlayer.store.upkeep import Keeping

MOST_STORES = 1_000


class Blueprint:
    """What is the same for all who open a store with the same metadata and find the same header and index states.
    Immutable, but for what is worked out from it later.

    states        the states of the indexes that are not simply readable
    chooses       the application's choice of the records that indexes are kept for, None if it makes none
    old_versions  versions lie in their own keyspace
    feed          the settings of the change feed, None if there is none
    counts        by which key records are counted, None if they are not
    keepings      who keeps the indexes of a record type, by its name: filled by `upkeep`
    """

    __slots__ = (
        "chooses",
        "codec",
        "counts",
        "feed",
        "keepings",
        "layout",
        "metadata",
        "old_versions",
        "places",
        "schema",
        "splitting",
        "states",
    )

    def __init__(
        self,
        layout: StoreLayout,
        metadata: RecordMetaData,
        header: StoreHeader,
        states: Mapping[str, IndexState],
        *,
        omits_suffix: bool,
        serializer: Serializer,
        chooses: IndexFilter | None = None,
    ) -> None:
        self.layout = layout
        self.metadata = metadata
        self.states = states
        self.chooses = chooses
        self.places = StorePlaces(layout.prefix, metadata)
        self.codec = Codec(metadata, serializer)
        self.schema = self.codec.schema
        self.splitting = Splitting(metadata.split_long_records, omits_suffix)
        self.old_versions = omits_suffix or header.format_version < FormatVersion.SAVE_VERSION_WITH_RECORD
        self.feed = settings_in(header)
        self.counts = metadata.record_count_key if are_kept(header, metadata.record_count_key) else None
        self.keepings: dict[str, Keeping] = {}


class Opened:
    """An opening that had nothing to change: what was read and said, and what came of it.

    options  what was said; compared by what it says
    header   the bytes that were there; there is no lock in them
    """

    __slots__ = ("_options", "blueprint", "cacheable", "header")

    def __init__(self, blueprint: Blueprint, options: object, header: bytes, *, cacheable: bool) -> None:
        self._options = options
        self.blueprint = blueprint
        self.header = header
        self.cacheable = cacheable

    def is_of(self, metadata: RecordMetaData, options: object) -> bool:
        """Whether it was opened so."""
        return self.blueprint.metadata is metadata and (self._options is options or self._options == options)

    def found(self, first: Sequence[KeyValue], states: Mapping[str, IndexState]) -> bool:
        """Whether the first pair of the store and its states are what they were."""
        blueprint = self.blueprint
        return bool(first) and first[0] == (blueprint.layout.header, self.header) and states == blueprint.states


class Blueprints:
    """The last opening of each store that had nothing to change, by prefix. Safe in any number of threads: entries are
    replaced, never changed."""

    __slots__ = ("_opened",)

    def __init__(self) -> None:
        self._opened: dict[bytes, Opened] = {}

    def find(self, prefix: bytes) -> Opened | None:
        return self._opened.get(prefix)

    def keep(self, opened: Opened) -> None:
        """Remember an opening; over `MOST_STORES`, the older half is forgotten."""
        self._opened[opened.blueprint.layout.prefix] = opened
        if len(self._opened) > MOST_STORES:
            kept = list(self._opened.items())
            self._opened = dict(kept[len(kept) // 2 :])

    def __len__(self) -> int:
        return len(self._opened)
