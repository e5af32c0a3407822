"""Scans of TEXT indexes: the entries of one token after the other, and the records that have several.

    TextSearch(Match.ALL, ("to", "be"))      entries of records whose text has both, one for each, by primary key

Which tokens somebody looks for is the business of the index's tokenizer: "apple" is not "apples" for the default one.

Layout  continuations of plain scans are Java's: the packed items of the last entry. Searches for several tokens have
        those of the cursors that they are made of (`cursor.merge`, `cursor.chain`)
Cost    1 range read a chunk for each token, side by side
Source  Record Layer, TextCursor, BunchedMapMultiIterator, TextScan
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recordlayer.cursor.chain import Concat
from recordlayer.cursor.merge import Intersection, Union
from recordlayer.cursor.scan import FORWARD, KeyRange, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Batch, Cursor, Stop, drain, never
from recordlayer.cursor.transform import CursorFactory, Empty, Filter, Limit, Map
from recordlayer.errors import BadContinuation, CorruptIndexEntry, MalformedTuple, UsageError
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.bunched import bunch_of
from recordlayer.index.entry import Items
from recordlayer.index.text_entry import TextEntry, TextLayout
from recordlayer.kv.context import Context
from recordlayer.tuples import pack

_PER_PAIR = 10
"""About how many entries a pair holds, for the size of the first chunk."""


class TextCursor(Cursor[TextEntry]):
    """The entries of bunched maps within bounds, in order."""

    __slots__ = ("_begin", "_context", "_end", "_layout", "_left", "_options", "_place", "_source")

    def __init__(self, context: Context, layout: TextLayout, bounds: Bounds, options: ScanOptions = FORWARD) -> None:
        keys = bounds.keys(layout.prefix)
        self._context = context
        self._layout = layout
        self._options = options
        self._begin, self._end = keys.begin, keys.end
        self._left = options.limit
        self._source: KeyValueScan | None = None
        self._place = options.continuation
        if self._place is not None:
            if not isinstance(self._place, bytes):
                raise BadContinuation(reason="it is not bytes", got=type(self._place).__name__)
            last = layout.prefix + self._place
            if not keys.begin <= last < keys.end:
                hint = "resume with the same bounds, index and query that gave it"
                raise BadContinuation(reason="it lies outside the range that is scanned", hint=hint)
            if options.reverse:
                self._end = last
            else:
                self._begin = last + b"\x00"

    def start(self) -> None:
        if self._source is not None:
            self._source.start()

    async def batch(self) -> Batch[TextEntry]:
        if self._source is None:
            self._source = await self._open()
        found = await self._source.batch()
        layout, reverse = self._layout, self._options.reverse
        start = len(layout.prefix)
        entries: list[TextEntry] = []
        full = False
        for key, value in found.values:
            try:
                length = layout.map_length(key)
                keys, values = bunch_of(key[length:], value)
            except (MalformedTuple, CorruptIndexEntry) as error:
                reason = error.fields.get("found") if isinstance(error, CorruptIndexEntry) else str(error)
                name = layout.entries.index_name
                raise CorruptIndexEntry(index=name, key=key, value=value, found=reason) from error
            prefix, whole_prefix = key[start:length], key[:length]
            places = range(len(keys) - 1, -1, -1) if reverse else range(len(keys))
            for at in places:
                if self._begin <= whole_prefix + keys[at] < self._end:
                    entries.append(TextEntry(layout, prefix + keys[at], values[at], length))
                    if self._left and len(entries) == self._left:
                        full = True
                        break
            if full:
                break
            self._place = prefix + keys[places[-1]]
        if self._left:
            self._left -= len(entries)
        stop, end = found.stop, None
        if full:
            stop, end = Stop.LIMIT_REACHED, entries[-1].suffix
        elif stop is not None and stop is not Stop.EXHAUSTED and self._place is not None:
            last = layout.prefix + self._place
            if last <= self._begin if reverse else last >= self._end:
                stop = Stop.EXHAUSTED  # the bunch reaches out of the bounds: nothing follows
            else:
                end = self._place
        return Batch(entries, (lambda index: entries[index].suffix) if entries else never, stop, end)

    async def _open(self) -> KeyValueScan:
        """The scan of pairs, from the bunch on that the first entry may be in."""
        begin, options, context = self._begin, self._options, self._context
        length = self._map_of(begin)
        if length < len(begin):
            before = await context.get_range(begin[:length], begin, limit=1, reverse=True, snapshot=options.snapshot)
            if before.rows:
                signpost, value = before.rows[0]
                keys, _ = bunch_of(signpost[length:], value)
                if begin[:length] + keys[-1] >= begin:
                    begin = signpost
        expect = options.expect or options.limit
        raw = replace(options, limit=0, continuation=None, expect=expect // _PER_PAIR + 2 if expect else 0)
        return KeyValueScan(context, KeyRange(begin, max(begin, self._end), 0), raw)

    def _map_of(self, begin: bytes) -> int:
        """How much of the first key of a range is the prefix of a map; all of it if it does not reach into one."""
        for key in (begin, begin[:-1]):  # it may end in the byte that follows all that begin alike
            try:
                return self._layout.map_length(key)
            except MalformedTuple:
                pass
        return len(begin)


# -- searching ---------------------------------------------------------------------------------------------


class Match(enum.Enum):
    """How the tokens of a text are to match those that are looked for."""

    ALL = "all"
    """all of them are there"""
    ANY = "any"
    """one of them is there"""
    PHRASE = "phrase"
    """they follow each other"""
    WITHIN = "within"
    """all of them are there, not farther from each other than a distance"""
    PREFIX = "prefix"
    """a token begins with the one that is given"""
    ANY_PREFIX = "any prefix"
    """a token begins with one of them"""
    ALL_PREFIXES = "all prefixes"
    """for each of them a token begins with it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSearch:
    """What is looked for, and where.

    tokens    as the index's tokenizer gives them, in order; an empty one is a stop word: in a phrase it stands for any
              token, elsewhere it does not count
    group     values of all grouping columns
    distance  for WITHIN, between the first and the last of the tokens: 1 for neighbours
    """

    match: Match
    tokens: tuple[str, ...]
    group: Items = ()
    distance: int = 0

    @property
    def is_ordered(self) -> bool:
        """Whether each text is found once, in the order of what stands behind the token: further columns and the rest
        of the primary key. Prefixes give a text for each token that begins so, in the order of the tokens."""
        return self.match not in (Match.PREFIX, Match.ANY_PREFIX, Match.ALL_PREFIXES)


Scan = Callable[[Bounds, ScanOptions], Cursor[TextEntry]]


def search(
    scan: Scan, wanted: TextSearch, within: Bounds = Bounds.ALL, options: ScanOptions = FORWARD
) -> Cursor[TextEntry]:
    """The entries of texts that match. Of several tokens that one text has, the entry of the first that is looked for.

    scan    the scan of a TEXT index
    within  bounds for the columns behind the token: further columns and the rest of the primary key; not for prefixes

    Raises  UsageError, BadContinuation.
    """
    _check(wanted, within)
    tokens = tuple(dict.fromkeys(token for token in wanted.tokens if token))
    if not tokens:
        return Empty()
    prefixes = not wanted.is_ordered
    if len(tokens) == 1 and (wanted.match is not Match.PHRASE or wanted.tokens.count(tokens[0]) == 1):
        return scan(_bounds(wanted.group, tokens[0], within, prefix=prefixes), options)
    raw = replace(options, limit=0, continuation=None, expect=0)

    def source(token: str) -> CursorFactory[TextEntry]:
        bounds = _bounds(wanted.group, token, within, prefix=prefixes)
        return lambda resume: scan(bounds, replace(raw, continuation=resume))

    found: Cursor[TextEntry]
    if wanted.match is Match.ANY:
        sources = [source(token) for token in tokens]
        found = Union(sources, _behind_token, options.continuation, reverse=options.reverse)
    elif wanted.match in (Match.PREFIX, Match.ANY_PREFIX):
        shortest = [one for one in tokens if not any(one != other and one.startswith(other) for other in tokens)]
        ordered = sorted(shortest, key=lambda one: pack((one,)), reverse=options.reverse)
        found = Concat([source(token) for token in ordered], options.continuation)
    elif wanted.match is Match.ALL_PREFIXES:
        unlimited = replace(options, limit=0, continuation=None, budget=None, reverse=False)
        others = [Bounds.text(wanted.group, token) for token in tokens[1:]]
        cursors = [scan(bounds, unlimited) for bounds in others]
        found = _WithOthers(source(tokens[0])(options.continuation), cursors)
    else:
        sources = [source(token) for token in tokens]
        together: Cursor[Any] = _Together(sources, _behind_token, options.continuation, reverse=options.reverse)
        if wanted.match is not Match.ALL:
            together = Filter(together, _decider(wanted, tokens))
        found = Map(together, lambda entries: entries[0])
    return Limit(found, options.limit) if options.limit else found


def _check(wanted: TextSearch, within: Bounds) -> None:
    if wanted.distance < 0:
        raise UsageError(distance=wanted.distance, hint="a distance is 0 or more")
    if within != Bounds.ALL and not wanted.is_ordered:
        raise UsageError(within=str(within), match=wanted.match.value, hint="prefixes are looked for in all columns")


def _bounds(group: Items, token: str, within: Bounds, *, prefix: bool) -> Bounds:
    if prefix:
        return Bounds.text(group, token)
    before = (*group, token)
    if within == Bounds.ALL:
        return Bounds.equal(before)
    low = before if within.low is None else (*before, *within.low)
    high = before if within.high is None else (*before, *within.high)
    low_end = End.INCLUSIVE if within.low_end is End.TREE else within.low_end
    high_end = End.INCLUSIVE if within.high_end is End.TREE else within.high_end
    return Bounds(low, high, low_end, high_end)


def _behind_token(entry: TextEntry) -> bytes:
    return entry.behind_token


class _Together(Intersection[Any]):
    """The entries of one text, one of each token."""

    __slots__ = ()

    def _merge(self, values: list[Any], places: list[tuple[int, ...]]) -> None:
        first: list[Any] = []
        super()._merge(first, places)
        held = [source.held.batch.values for source in self._sources]
        values += [[batch[taken - 1] for batch, taken in zip(held, place, strict=True)] for place in places]


class _WithOthers(Cursor[TextEntry]):
    """The entries of a cursor whose texts other scans have as well. What those find is read first, and kept as keys in
    memory: the tokens of a prefix are not in the order of the texts."""

    __slots__ = ("_found", "_others", "_source")

    def __init__(self, source: Cursor[TextEntry], others: Sequence[Cursor[TextEntry]]) -> None:
        self._source = source
        self._others = others
        self._found: set[bytes] | None = None

    async def batch(self) -> Batch[TextEntry]:
        if self._found is None:
            for cursor in self._others:
                cursor.start()
            sets = [{entry.behind_token for entry in await drain(cursor)} for cursor in self._others]
            self._found = set.intersection(*sets)
        batch, found = await self._source.batch(), self._found
        places = [place for place, entry in enumerate(batch.values) if entry.behind_token in found]
        resume = batch.resume
        values = [batch.values[place] for place in places]
        return Batch(values, lambda index: resume(places[index]), batch.stop, batch.end)


def _decider(wanted: TextSearch, tokens: Sequence[str]) -> Callable[[Sequence[TextEntry]], bool]:
    """Whether the places of the tokens match; a token whose places were left out matches anywhere."""
    if wanted.match is Match.WITHIN:
        return lambda entries: are_within([entry.positions for entry in entries], wanted.distance)
    offsets = [(place, tokens.index(token)) for place, token in enumerate(wanted.tokens) if token]
    return lambda entries: is_phrase([entry.positions for entry in entries], offsets)


def are_within(places: Sequence[list[int]], distance: int) -> bool:
    """Whether one of each list's numbers can be chosen so that they are not farther apart. Empty lists do not count."""
    tagged = sorted((place, which) for which, one in enumerate(places) for place in one)
    wanted = len({which for _, which in tagged})
    last: dict[int, int] = {}
    for place, which in tagged:
        last[which] = place
        if len(last) == wanted and place - min(last.values()) <= distance:
            return True
    return not wanted


def is_phrase(places: Sequence[list[int]], offsets: Sequence[tuple[int, int]]) -> bool:
    """Whether there is a beginning such that for each (offset, which list) the list has beginning + offset. Empty lists
    do not count."""
    known = [(offset, set(places[which])) for offset, which in offsets if places[which]]
    if not known:
        return True
    first, begins = known[0]
    return any(all(begin - first + offset in there for offset, there in known[1:]) for begin in begins)
