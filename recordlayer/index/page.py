"""The entries of one read: kept as pairs, and as entries when somebody looks at one.

What is done to every entry of a page, such as cutting out the primary keys, is done here for all of them at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from recordlayer.cursor.merge import Merged
from recordlayer.cursor.page import Page
from recordlayer.index.entry import EntryLayout, IndexEntry, rests
from recordlayer.kv.engine import KeyValue


class EntryPage(Page[IndexEntry]):
    """Entries of one index.

    pairs   as they were read
    start   bytes of a key before its columns
    known   bytes before the first column that is not the same in all entries
    same    how many columns are the same in all entries
    """

    __slots__ = ("known", "layout", "pairs", "same", "start")

    def __init__(
        self, layout: EntryLayout, pairs: Sequence[KeyValue], start: int, known: int | None = None, same: int = 0
    ) -> None:
        self._values = None
        self.layout = layout
        self.pairs = pairs
        self.start = start
        self.known = start if known is None else known
        self.same = same

    def __len__(self) -> int:
        return len(self.pairs)

    def make(self) -> list[IndexEntry]:
        layout, start = self.layout, self.start
        return [IndexEntry(layout, key[start:], value) for key, value in self.pairs]

    def part(self, places: slice) -> EntryPage:
        return EntryPage(self.layout, self.pairs[places], self.start, self.known, self.same)

    def pick(self, places: Sequence[int]) -> list[IndexEntry]:
        if self._values is not None:
            return super().pick(places)
        layout, start, pairs = self.layout, self.start, self.pairs
        return [IndexEntry(layout, pairs[place][0][start:], pairs[place][1]) for place in places]

    def primary_keys(self) -> list[bytes]:
        """The packed primary key of each entry: `IndexEntry.primary_key_bytes`."""
        layout = self.layout
        columns = layout.columns - self.same
        if layout.positions is not None or columns < 0:
            return [entry.primary_key_bytes for entry in self.values]
        known = self.known
        if not columns:
            return [key[known:] for key, _ in self.pairs]
        found = rests(self.pairs, known, columns)
        return [
            IndexEntry(layout, pair[0][self.start :], pair[1]).primary_key_bytes if rest is None else rest
            for rest, pair in zip(found, self.pairs, strict=True)
        ]


def primary_keys_of(entries: Sequence[IndexEntry]) -> list[bytes]:
    """The packed primary key of each entry."""
    if isinstance(entries, EntryPage) and not entries.is_made:
        return entries.primary_keys()
    if isinstance(entries, Merged) and entries.of_all is primary_keys_of:
        return entries.keys
    return [entry.primary_key_bytes for entry in entries]
