"""Index entries: the columns of a key, of its value, and the primary key of the record that it belongs to.

Layout  key (*columns, *primary key columns not found among them), value (*covering columns) or nothing

Source  Record Layer, IndexEntry, Index.getEntryPrimaryKey, Index.trimPrimaryKey
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from recordlayer.core import in_c
from recordlayer.errors import CorruptIndexEntry, MalformedTuple
from recordlayer.keys import entry_primary_key, trim_primary_key
from recordlayer.kv.engine import KeyValue
from recordlayer.tuples import pack, unpack

Items = tuple[Any, ...]


class EntryLayout:
    """How the keys of one index are made up.

    columns    columns of the entry itself; what follows is the rest of the primary key
    positions  for each column of the primary key its place among the entry's columns, -1 if it is not there; None if
               none is there, and then the whole primary key follows
    unpack     from a key to its items
    """

    __slots__ = ("columns", "index_name", "positions", "unpack")

    def __init__(
        self,
        index_name: str,
        columns: int,
        positions: Sequence[int] | None,
        unpack_key: Callable[[bytes], Items] = unpack,
    ) -> None:
        self.unpack = unpack_key
        self.index_name = index_name
        self.columns = columns
        self.positions = positions

    def primary_key(self, items: Items) -> Items:
        """The primary key in the items of a key."""
        return entry_primary_key(items, self.columns, self.positions)

    def trimmed(self, primary_key: Items) -> Items:
        """The columns of a primary key that follow an entry's columns."""
        return trim_primary_key(primary_key, self.positions)


def behind(packed: bytes, columns: int, at: int = 0) -> int:
    """Where the elements behind the next `columns` from `at` on begin, or -1 where that is not told so easily.

    For the usual elements only: unpacking all of them to pack most of them again would cost several times as much.
    """
    try:
        for _ in range(columns):
            size = SIZES[packed[at]]
            if size > 0:
                at += size
            elif size:
                return -1
            else:
                end = packed.index(0, at + 1)
                if packed[end + 1 : end + 2] == b"\xff":
                    return -1
                at = end + 1
    except (IndexError, ValueError):
        return -1
    return at if at <= len(packed) else -1


def _size_of(code: int) -> int:
    """Bytes of an element with this code: 0 if it ends with a zero byte, -1 if that is not told so easily."""
    if 0x0C <= code <= 0x1C:
        return 1 + abs(code - 0x14)
    return {0x00: 1, 0x01: 0, 0x02: 0, 0x20: 5, 0x21: 9, 0x26: 1, 0x27: 1, 0x30: 17, 0x33: 13}.get(code, -1)


SIZES = [_size_of(code) for code in range(256)]
"""Bytes of an element by its first byte, as `_size_of` says."""


@in_c("rests")
def rests(pairs: Sequence[KeyValue], known: int, columns: int) -> list[bytes | None]:
    """Of each key what follows the `columns` elements from `known` on; None where that is not told so easily."""
    found: list[bytes | None] = []
    for key, _ in pairs:
        size = SIZES[key[known]] if columns == 1 and len(key) > known else 0
        at = known + size if size > 0 else behind(key, columns, known)
        found.append(key[at:] if known < at <= len(key) else None)
    return found


class IndexEntry:
    """One entry. What it holds is unpacked when it is first looked at."""

    __slots__ = ("_items", "_layout", "_suffix", "_value")

    def __init__(self, layout: EntryLayout, suffix: bytes, value: bytes) -> None:
        self._layout = layout
        self._suffix = suffix
        self._value = value
        self._items: Items | None = None

    @property
    def index_name(self) -> str:
        """The index that it is of."""
        return self._layout.index_name

    @property
    def items(self) -> Items:
        """All items of the key: its columns, then the rest of the primary key."""
        if self._items is None:
            try:
                self._items = self._layout.unpack(self._suffix)
            except MalformedTuple as error:
                raise CorruptIndexEntry(index=self._layout.index_name, key=self._suffix, found=str(error)) from error
        return self._items

    @property
    def key(self) -> Items:
        """The columns of the key."""
        return self.items[: self._layout.columns]

    @property
    def value(self) -> Items:
        """The columns that the entry covers besides its key."""
        if not self._value:
            return ()
        try:
            return unpack(self._value)
        except MalformedTuple as error:
            raise CorruptIndexEntry(
                index=self._layout.index_name, key=self.items, value=self._value, found=str(error)
            ) from error

    @property
    def primary_key(self) -> Items:
        """The primary key of the entry's record."""
        try:
            return self._layout.primary_key(self.items)
        except (IndexError, StopIteration, RuntimeError) as error:
            raise CorruptIndexEntry(
                index=self._layout.index_name, key=self.items, found="columns of the primary key are missing"
            ) from error

    @property
    def primary_key_bytes(self) -> bytes:
        """The same, packed: cut from the key where it stands there as a whole."""
        if self._layout.positions is None:
            at = behind(self._suffix, self._layout.columns)
            if at >= 0:
                return self._suffix[at:]
        return pack(self.primary_key)

    @property
    def suffix(self) -> bytes:
        """The key without the index's prefix, as bytes."""
        return self._suffix

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IndexEntry):
            return NotImplemented
        return (self._suffix, self._value) == (other._suffix, other._value)

    def __hash__(self) -> int:
        return hash((self._suffix, self._value))

    def __repr__(self) -> str:
        value = f" -> {self.value!r}" if self._value else ""
        return f"IndexEntry({self._layout.index_name}: {self.key!r}, primary key {self.primary_key!r}{value})"


class AggregateEntry:
    """One group of an aggregate index: the grouping columns and the aggregate."""

    __slots__ = ("group", "value")

    def __init__(self, group: Items, value: Any) -> None:
        self.group = group
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AggregateEntry):
            return NotImplemented
        return (self.group, self.value) == (other.group, other.value)

    def __hash__(self) -> int:
        return hash((self.group, self.value))

    def __repr__(self) -> str:
        return f"AggregateEntry({self.group!r}: {self.value!r})"
