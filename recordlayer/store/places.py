"""What a key of a store means: which part of it, which record, which entry of which index; in words.

For events, which count operations by part, and for errors, which name what conflicted. Nothing is read.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from recordlayer.errors import MalformedTuple, WrongType
from recordlayer.index.columns import field_column, value_converter
from recordlayer.index.entry import EntryLayout
from recordlayer.keys.grouping import Grouping, KeyWithValue
from recordlayer.metadata import Index, RecordMetaData, RecordType
from recordlayer.observe.events import Place
from recordlayer.observe.fields import text_of
from recordlayer.store.layout import Keyspace
from recordlayer.tuples import pack, strinc, unpack

Items = tuple[Any, ...]

_PARTS = {
    Keyspace.HEADER: "header",
    Keyspace.RECORDS: "records",
    Keyspace.INDEXES: "index",
    Keyspace.INDEX_SECONDARY: "index",
    Keyspace.RECORD_COUNTS: "record counts",
    Keyspace.INDEX_STATES: "index states",
    Keyspace.INDEX_RANGES: "index build",
    Keyspace.UNIQUENESS_VIOLATIONS: "uniqueness violations",
    Keyspace.OLD_RECORD_VERSIONS: "record versions",
    Keyspace.INDEX_BUILDS: "index build",
    Keyspace.SLIDING_WINDOWS: "sliding windows",
    Keyspace.VERSION_TIMES: "versions by time",
    Keyspace.CHANGE_FEED: "change feed",
}
_PARTS_OF_AN_INDEX = {
    Keyspace.INDEX_SECONDARY: "secondary keys",
    Keyspace.INDEX_RANGES: "built ranges",
    Keyspace.UNIQUENESS_VIOLATIONS: "uniqueness violations",
    Keyspace.INDEX_BUILDS: "build progress",
    Keyspace.SLIDING_WINDOWS: "the sliding window",
}
_OF_AN_INDEX = frozenset({Keyspace.INDEXES, *_PARTS_OF_AN_INDEX})
_BY_ELEMENT = {pack((keyspace.value,)): keyspace for keyspace in Keyspace}


def path_of(prefix: bytes) -> str:
    """A store's prefix as people write paths: /shop/acme."""
    try:
        elements = unpack(prefix)
    except MalformedTuple:
        return text_of(prefix)
    return "/" + "/".join(element if isinstance(element, str) else repr(element) for element in elements)


class StorePlaces:
    """The keys of one store.

    path  what people call the store, if that is not in its prefix
    """

    def __init__(self, prefix: bytes, metadata: RecordMetaData, path: str | None = None) -> None:
        self.prefix = prefix
        self.metadata = metadata
        self._path = path

    @cached_property
    def store(self) -> str:
        return self._path if self._path is not None else path_of(self.prefix)

    @cached_property
    def _indexes(self) -> dict[bytes, Index]:
        return {pack((index.subspace_key,)): index for index in self.metadata.indexes.values()}

    def place_of(self, key: bytes) -> Place:
        """The part of the store that a key lies in."""
        keyspace, start = self.keyspace_of(key)
        if keyspace in _OF_AN_INDEX:
            start = _behind_element(key, start)
        which = key[len(self.prefix) : start]
        place = self._places.get(which)
        if place is None:
            index = None if keyspace is None else self.index_of(keyspace, key, len(self.prefix) + 2)[0]
            part = "store" if keyspace is None else _PARTS[keyspace]
            place = self._places[which] = Place(self.store, part, "" if index is None else index.name)
        return place

    @cached_property
    def _places(self) -> dict[bytes, Place]:
        return {}

    def keyspace_of(self, key: bytes) -> tuple[Keyspace | None, int]:
        """The keyspace of a key and where the rest of it begins."""
        start = len(self.prefix)
        for length in (2, 1):
            keyspace = _BY_ELEMENT.get(key[start : start + length])
            if keyspace is not None:
                return keyspace, start + length
        return None, start

    def index_of(self, keyspace: Keyspace, key: bytes, start: int) -> tuple[Index | None, int]:
        """The index whose keyspace a key is in, and where its own part begins."""
        if keyspace in _OF_AN_INDEX:
            end = _behind_element(key, start)
            index = self._indexes.get(key[start:end])
            if index is not None:
                return index, end
        return None, start

    # -- words -----------------------------------------------------------------------------------------

    def describe(self, begin: bytes, end: bytes) -> str:
        """The keys from `begin` up to `end` in words, such as "record (42,) of Order in /shop/acme"."""
        keyspace, start = self.keyspace_of(begin)
        if keyspace is None or keyspace is Keyspace.HEADER:
            header = self.prefix + pack((Keyspace.HEADER.value,))
            return f"the header of {self.store}" if end == header + b"\x00" else f"all of {self.store}"
        index, start = self.index_of(keyspace, begin, start)
        span = Span.of(begin, end, start)
        if index is not None:
            words = self._of_index(keyspace, index, span)
        elif keyspace in (Keyspace.RECORDS, Keyspace.OLD_RECORD_VERSIONS):
            words = self._of_records(span, version=keyspace is Keyspace.OLD_RECORD_VERSIONS)
        elif keyspace is Keyspace.INDEX_STATES and span.only is not None and len(span.only) == 1:
            words = f"the state of index {span.only[0]}"
        else:
            words = f"the {_PARTS[keyspace]}{span.words() if span.only is None else f' of {span.only!r}'}"
        return f"{words} in {self.store}"

    def _of_records(self, span: Span, *, version: bool) -> str:
        sizes = {
            known.name: known.primary_key.column_size
            for known in self.metadata.record_types.values()
            if span.only is None or _may_begin_with(known, span.only)
        }
        if span.only is None:
            # Behind a primary key may follow what tells the parts of a record apart.
            cut = span.cut(max(sizes.values(), default=0))
            return f"records with primary keys{cut.words()}" if cut.low or cut.high else "all records"
        given = len(span.only)
        names = " or ".join(name for name, size in sizes.items() if size == given or (span.one and size == given - 1))
        longer = any(size > given for size in sizes.values())
        if not names:
            return f"records whose primary key begins with {span.only!r}"
        exact = max(size for size in sizes.values() if size <= given)
        words = f"{'the version of record' if version else 'record'} {span.only[:exact]!r} of {names}"
        return f"{words}, and records whose primary key begins so" if longer else words

    def _of_index(self, keyspace: Keyspace, index: Index, span: Span) -> str:
        if keyspace is not Keyspace.INDEXES:
            return f"{_PARTS_OF_AN_INDEX[keyspace]} of index {index.name}"
        if span.only is None:
            every = "entries" if span.low or span.high else "all entries"
            return f"{every} of index {index.name}{span.words()}"
        root = index.root_expression
        if isinstance(root, Grouping):
            whole = len(span.only) >= root.grouping_count
            return f"{'the group' if whole else 'groups that begin with'} {span.only!r} of index {index.name}"
        layout = EntryLayout(
            index.name,
            root.split_point if isinstance(root, KeyWithValue) else root.column_size,
            index.primary_key_positions,
        )
        positions = layout.positions
        behind = 1 if positions is None else sum(position < 0 for position in positions)
        if len(span.only) < layout.columns + behind:
            return f"entries of index {index.name} that begin with {span.only!r}"
        key, record = span.only[: layout.columns], layout.primary_key(span.only)
        return f"the entry {key!r} of record {record!r} in index {index.name}"


class Span:
    """The tuples between two keys, behind a common prefix.

    low, high  as far as the bounds are tuples; empty where there is no bound
    only       the tuple that all of them begin with; None if there are several
    one        it is one key
    """

    __slots__ = ("high", "low", "one", "only")

    def __init__(self, low: Items, high: Items, only: Items | None = None, *, one: bool = False) -> None:
        self.low = low
        self.high = high
        self.only = only
        self.one = one

    @classmethod
    def of(cls, begin: bytes, end: bytes, start: int) -> Span:
        # One key; or all keys that begin with one tuple t: from t or t 00, up to t ff or the next key behind all those.
        one = end == begin + b"\x00"
        for whole in (begin, begin[:-1] if begin.endswith(b"\x00") else begin):
            common, used = readable(whole[start:])
            if common and used == len(whole) - start and (one or end in (whole + b"\xff", _next(whole))):
                return cls(common, common, common, one=one)
        low, _ = readable(begin[start:]) if begin[start:] != b"\x00" else ((), 0)
        high: Items = ()
        if end.startswith(begin[:start]):
            high, _ = readable(end[start:].removesuffix(b"\x00"))
        return cls(low, high)

    def cut(self, size: int) -> Span:
        """The same for the first elements only."""
        return Span(self.low[:size], self.high[:size])

    def words(self) -> str:
        """The bounds, as far as there are any."""
        low = f" from {self.low!r}" if self.low else ""
        return low + (f" up to {self.high!r}" if self.high else "")


def readable(data: bytes) -> tuple[Items, int]:
    """The longest tuple that these bytes begin with, and its length."""
    end = len(data)
    while end:
        try:
            return unpack(data[:end]), end
        except MalformedTuple:
            end -= 1
    return (), 0


def _may_begin_with(record_type: RecordType, values: Items) -> bool:
    """Whether a primary key of this type can begin with these values, as far as its fields tell."""
    for column, value in zip(record_type.primary_key.normalized(), values, strict=False):
        if column.has_record_type_key and value != record_type.record_type_key:
            return False
        field = field_column(column, record_type.descriptor)
        if field is not None:
            try:
                value_converter(field.field)(value)
            except WrongType:
                return False
    return True


def _next(key: bytes) -> bytes | None:
    return strinc(key) if key.strip(b"\xff") else None


def _behind_element(key: bytes, start: int) -> int:
    """Where the element ends that begins at `start`, as far as indexes are named by such elements; `start` if not."""
    code = key[start] if start < len(key) else 0
    if code in (0x01, 0x02):
        return key.find(b"\x00", start + 1) + 1
    return start + 1 + abs(code - 0x14) if 0x0C <= code <= 0x1C else start
