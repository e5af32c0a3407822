"""What an index type is: two verbs that every one has, and more that it may have.

An index type sees a narrow `IndexSpace`, never the store: the transaction, its keyspaces, its definition, its state.

Source  Record Layer, IndexMaintainer; what is optional there by throwing is optional here by protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast, runtime_checkable

from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.index.bounds import Bounds
from recordlayer.index.filter import IndexFilter
from recordlayer.index.functions import IndexFunctions
from recordlayer.index.state import IndexState
from recordlayer.keys.expression import RecordContext
from recordlayer.kv.context import Context
from recordlayer.kv.mutations import Write
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.metadata import Index

Items = tuple[Any, ...]


class IndexedRecord(Protocol):
    """A record as index types see it."""

    @property
    def message(self) -> Message: ...

    @property
    def primary_key(self) -> Items: ...

    @property
    def primary_key_bytes(self) -> bytes: ...

    @property
    def stored_key_bytes(self) -> bytes:
        """The packed primary key of the stored record that a build comes to this one by: its own, as a rule."""

    @property
    def key_context(self) -> RecordContext: ...


class IndexSpace:
    """Where one index of one store lives, in one transaction.

    Layout  keyspaces of the store: 2 entries, 3 secondary, 6 built ranges, 7 violations, 9 build; the index state is in
            5, by name
    """

    __slots__ = (
        "_key",
        "_store",
        "building",
        "chooses",
        "context",
        "entries",
        "functions",
        "index",
        "siblings",
        "state",
    )

    def __init__(
        self,
        context: Context,
        store: bytes,
        index: Index,
        state: IndexState,
        functions: IndexFunctions,
        *,
        building: bool = False,
        siblings: Callable[[bytes], IndexSpace | None] | None = None,
    ) -> None:
        self.context = context
        self.index = index
        self.state = state
        self.functions = functions
        self.building = building
        """A build is at work here: what it brings is written although the index is not readable."""
        self.siblings = siblings
        """Finds where another index of the store lives, by its packed subspace key."""
        self.chooses: IndexFilter | None = None
        """The application's choice of the records that the index is kept for."""
        self._store = store
        self._key = pack((index.subspace_key,))
        self.entries = store + b"\x15\x02" + self._key

    @property
    def is_kept(self) -> bool:
        """Whether every change is to be written, whatever record it is about and however often it comes."""
        return self.building or self.state.is_readable

    def space(self, number: int) -> bytes:
        """The index's prefix in a keyspace of the store."""
        return self._store + bytes((0x15, number)) + self._key


class Maintainer(Protocol):
    """An index type at work on one index of one store."""

    type: ClassVar[str]

    @property
    def idempotent(self) -> bool:
        """Whether applying the same change twice leaves the index as applying it once."""

    def prepare(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        """What turns the entries of `old` into those of `new`, in order. Writes nothing itself, so that a record which
        one index refuses leaves no trace in the others.  Raises  IndexEntryTooLarge and what the type refuses."""

    def finish(self, old: IndexedRecord | None, new: IndexedRecord | None) -> Coroutine[Any, None, None] | None:
        """Called when that is written: the part of the change that needs to read, None if there is none."""

    def scan(self, bounds: Bounds, options: ScanOptions) -> Cursor[Any]:
        """The entries within bounds, in key order."""


class Verdict(Protocol):
    """A check under way, begun before anything is written."""

    async def settle(self, old: IndexedRecord | None, gone: Sequence[IndexedRecord] = ()) -> None:
        """Wait for what was begun. `gone`: other records that lose their entries, or have other ones, with the same
        change; only those of synthetic types are told.  Raises  UniquenessViolation."""

    def claim(self) -> None:
        """Without waiting, just before writing: take note of what will be written.  Raises  UniquenessViolation."""


class Checked(Protocol):
    """Index types that may refuse a record. Asking for the protocol with isinstance is slow: `as_checked` asks once."""

    checks: bool
    """Whether this index does."""

    def check(self, new: IndexedRecord) -> Verdict | None:
        """Begin to look whether `new` may be written; None if there is nothing to look at."""


def as_checked(maintainer: Maintainer) -> Checked | None:
    """The maintainer, if it may refuse records."""
    return cast("Checked", maintainer) if getattr(maintainer, "checks", False) else None


class Bringing(Protocol):
    """Index types that can tell the entries of many new records at once: a build is faster so. `as_bringing` asks."""

    brings: bool
    """Whether this index can: its entries need no look at what is there."""

    def bring(self, records: Iterable[IndexedRecord]) -> list[Write]:
        """What `prepare` gives for each of them, new.  Raises  IndexEntryTooLarge."""


def as_bringing(maintainer: Maintainer) -> Bringing | None:
    """The maintainer, if it can tell the entries of many records at once."""
    return cast("Bringing", maintainer) if getattr(maintainer, "brings", False) else None


@runtime_checkable
class Aggregating(Protocol):
    """Index types that keep one value for each group."""

    async def aggregate(self, group: Items, *, snapshot: bool = False) -> Any:
        """The aggregate over all groups that begin with `group`."""


@runtime_checkable
class PrefixClearing(Protocol):
    """Index types that can drop all entries of the records whose primary keys begin alike, without reading them: what
    "delete where" needs. A type without these verbs is taken to be unable to, and refuses the whole deletion by name.

    What the type owes: the store has found that the leading columns of the index's root expression
    (`keys.prefixes.leading_columns`: the grouping columns of a grouping, the key part of a covering index, the prefix
    of dimensions, else all columns) are the very columns and values that the deletion is about. So an entry that
    begins with `prefix` belongs to a deleted record, and every deleted record's entries begin so. The type answers
    whether it keeps its data in that order, and clears them in *every* keyspace it uses, write-only or readable:
    entries, secondary space, caches of this transaction. `index.standard.clear_entries` does it for one keyspace.

    Types that must look twice: text (only with a grouping), permuted_min and permuted_max (only the columns that are
    not permuted), rank (its ranked set too), leaderboards (they begin with the leaderboard, not the group: refuse).
    """

    def can_clear_prefix(self, columns: int) -> bool:
        """Whether the entries that begin with the first `columns` leading columns lie together. 0: all entries."""

    def clear_prefix(self, prefix: Items) -> None:
        """Clear them; `prefix` has values for that many columns, none for all entries.  Cost  1 clear range a keyspace.

        Called only when every index of the store has agreed.
        """


@runtime_checkable
class Auditing(Protocol):
    """Index types that can compare what they hold with the records it should follow from: what `store.check` asks.
    A type without this verb is left out of the check."""

    async def audit(self, records: Sequence[IndexedRecord]) -> list[tuple[str, Any]]:
        """What does not agree, in words and with what it is about; nothing if all is well. `records` are all records of
        the store that the index is about, each readable. What no longer follows from the records that are there (a
        minimum ever saved) is not judged.

        Cost  reads the whole index.
        """
