"""Texts, bitmaps and extremes of groups as callers ask for them: with values as people write them.

Cost    see `index.text_scan`, `index.bitmap`, `index.permuted`; records: 1 range read each, those of a batch together
Source  Record Layer, TextScan, ComposedBitmapIndexQueryPlan, PermutedMinMaxIndexMaintainer
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from recordlayer.cursor.step import Cursor
from recordlayer.errors import UsageError
from recordlayer.index.bitmap import Bitmap, BitmapIndex
from recordlayer.index.bitmap_composition import all_of, any_of, compose, first_without_others
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import AggregateEntry
from recordlayer.index.permuted import PermutedIndex
from recordlayer.index.text import TextIndex
from recordlayer.index.text_entry import TextEntry
from recordlayer.index.text_scan import Match, TextSearch, search
from recordlayer.metadata import Index
from recordlayer.store.ranking import as_elements, entry_records
from recordlayer.store.record import StoredRecord
from recordlayer.store.scanning import scan_options
from recordlayer.store.store import RecordStore

Items = tuple[Any, ...]


class Texts:
    """The texts of one group of a TEXT index."""

    def __init__(self, store: RecordStore, index: Index, maintainer: TextIndex, group: Items) -> None:
        self._store = store
        self._index = index
        self._maintainer = maintainer
        self._group = group

    def tokens(self, text: str) -> list[str]:
        """What the index's tokenizer makes of a text that is looked for."""
        return list(self._maintainer.tokenizer.asked(text))

    def entries(self, wanted: str | Iterable[str], match: Match | str, distance: int, **how: Any) -> Cursor[TextEntry]:
        """The entries of texts that match."""
        maintainer = self._maintainer
        tokens = self.tokens(wanted) if isinstance(wanted, str) else list(wanted)
        if not all(isinstance(token, str) for token in tokens):
            raise UsageError(tokens=tokens, hint="give a text, or tokens as a list of strings")
        options = scan_options(self._store, **how)
        asked = TextSearch(match=_match(match), tokens=tuple(tokens), group=self._group, distance=distance)
        return search(maintainer.scan, asked, Bounds.ALL, options)

    def records(
        self, wanted: str | Iterable[str], match: Match | str, distance: int, **how: Any
    ) -> Cursor[StoredRecord]:
        """The records of these entries."""
        entries: Cursor[Any] = self.entries(wanted, match, distance, **how)
        return entry_records(self._store, self._index, entries, snapshot=bool(how.get("snapshot")))

    async def tidy(self, *, limit: int, resume: bytes | None) -> bytes | None:
        """Have the index take less room.  Raises  StoreLocked."""
        self._store.header.check_may_write()
        return await self._maintainer.tidy(limit=limit, resume=resume)


def _match(match: Match | str) -> Match:
    try:
        return Match(match)
    except ValueError:
        hint = f"it is one of {', '.join(repr(known.value) for known in Match)}"
        raise UsageError(match=match, hint=hint) from None


def texts(store: RecordStore, name: str, group: Items) -> Texts:
    """The texts of a group of a TEXT index.  Raises  UnknownIndex, IndexNotReadable, UsageError, WrongType."""
    maintainer = store.index_maintainer(name)
    if not isinstance(maintainer, TextIndex):
        hint = "only a TEXT index knows words: define one with text_index(...)"
        raise UsageError(index=name, type=maintainer.type, hint=hint)
    if len(group) != maintainer.layout.grouping:
        raise UsageError(index=name, group=group, hint=f"give all {maintainer.layout.grouping} grouping columns")
    index = store.metadata.index(name)
    return Texts(store, index, maintainer, as_elements(store, index, group, start=0))


COMBINED = {"all": all_of, "any": any_of, "first without others": first_without_others}


def bitmaps(
    store: RecordStore, groups: Sequence[Sequence[Any]], combine: str, first: int | None, behind: int | None, **how: Any
) -> Cursor[Bitmap]:
    """Bitmaps of groups put together: of each the name of a BITMAP_VALUE index and values of its grouping columns.

    Raises  UnknownIndex, IndexNotReadable, UsageError, WrongType.
    """
    if combine not in COMBINED:
        raise UsageError(combine=combine, hint=f"it is one of {', '.join(map(repr, COMBINED))}")
    scans: list[tuple[BitmapIndex, Items]] = []
    for name, *group in groups:
        maintainer = store.index_maintainer(name)
        if not isinstance(maintainer, BitmapIndex):
            hint = "only a BITMAP_VALUE index has bitmaps: define one with bitmap_index(...)"
            raise UsageError(index=name, type=maintainer.type, hint=hint)
        scans.append((maintainer, as_elements(store, store.metadata.index(name), tuple(group), start=0)))
    return compose(scans, COMBINED[combine], first=first, behind=behind, options=scan_options(store, **how))


def extremes(store: RecordStore, name: str, prefix: Items, bounds: Bounds | None, **how: Any) -> Cursor[AggregateEntry]:
    """The groups of a PERMUTED_MIN or PERMUTED_MAX index in order of their values.

    Raises  UnknownIndex, IndexNotReadable, UsageError.
    """
    maintainer = store.index_maintainer(name)
    if not isinstance(maintainer, PermutedIndex):
        hint = "only PERMUTED_MIN and PERMUTED_MAX indexes have groups by value: see permuted_min(...)"
        raise UsageError(index=name, type=maintainer.type, hint=hint)
    if bounds is not None and prefix:
        raise UsageError(prefix=prefix, bounds=str(bounds), hint="give a prefix or bounds, not both")
    return maintainer.scan_extremes(bounds or Bounds.equal(prefix), scan_options(store, **how))
