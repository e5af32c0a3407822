"""Entries of TEXT indexes: a token, the record that has it, and its places in the text."""

from __future__ import annotations

from recordlayer.errors import CorruptIndexEntry
from recordlayer.index.bunched import unpacked_positions
from recordlayer.index.entry import EntryLayout, IndexEntry, Items, behind
from recordlayer.tuples import pack, unpack


class TextLayout:
    """How the keys of a TEXT index are made up.

    entries   what an entry's items are
    grouping  how many columns stand before the token
    prefix    the index's prefix
    """

    __slots__ = ("entries", "grouping", "prefix")

    def __init__(self, entries: EntryLayout, grouping: int, prefix: bytes) -> None:
        self.entries = entries
        self.grouping = grouping
        self.prefix = prefix

    def map_length(self, key: bytes) -> int:
        """How much of a key is the prefix of its map: all before the map key.  Raises  MalformedTuple."""
        start, columns = len(self.prefix), self.grouping + 1
        suffix = key[start:]
        at = behind(suffix, columns)
        if at < 0:
            at = len(pack(unpack(suffix)[:columns]))
        return start + at


class TextEntry(IndexEntry):
    """One token of one text."""

    __slots__ = ("_map",)

    def __init__(self, layout: TextLayout, suffix: bytes, places: bytes, map_length: int) -> None:
        super().__init__(layout.entries, suffix, places)
        self._map = (layout.grouping, map_length - len(layout.prefix))

    @property
    def token(self) -> str:
        """The token."""
        token: str = self.items[self._map[0]]
        return token

    @property
    def positions(self) -> list[int]:
        """Its places among the tokens of the text, from 0. Empty if the index leaves them out."""
        try:
            return unpacked_positions(self._value)
        except IndexError as error:
            found = "places that are cut off"
            raise CorruptIndexEntry(index=self._layout.index_name, key=self.items, found=found) from error

    @property
    def value(self) -> Items:
        """The places as the one column of a value."""
        return (tuple(self.positions),)

    @property
    def behind_token(self) -> bytes:
        """What is the same in all entries of one row: further columns and the rest of the primary key, packed."""
        return self._suffix[self._map[1] :]
