"""TEXT index: for each token of a text the records that have it, and at which places.

Layout  2  (*grouping columns, token): a bunched map (`index.bunched`) from (*further columns, *primary key columns not
           among them) to the token's places in the text, or to nothing with the option textOmitPositions
        3  (0, *primary key) -> (version of the tokenizer that cut the record's texts), kept for every record
Cost    save: for each token that comes or goes what the map costs, all reads side by side; a text that stays costs
        nothing. Of a record that was there: + 1 read, its version. Rows of one record are done one after the other
Source  Record Layer, TextIndexMaintainer
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Sequence
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple

from recordlayer.cursor.scan import FORWARD, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.index.bounds import Bounds
from recordlayer.index.bunched import BUNCH_SIZE, Change, packed_positions
from recordlayer.index.bunched_check import rebunch
from recordlayer.index.entry import EntryLayout
from recordlayer.index.judging import Evidence, Fault, audit
from recordlayer.index.maintainer import IndexedRecord, IndexSpace, Items
from recordlayer.index.standard import StandardMaintainer, clear_entries, difference
from recordlayer.index.text_entry import TextEntry, TextLayout
from recordlayer.index.text_judging import TextJudge, version_in
from recordlayer.index.text_scan import TextCursor
from recordlayer.index.tokenizer import IndexTokenizer
from recordlayer.keys.grouping import Grouping
from recordlayer.kv.engine import KeyValue
from recordlayer.kv.mutations import Write
from recordlayer.tuples import pack
from recordlayer.waiting.waitable import Turn

SECONDARY = 3
WINDOW = 64
"""Maps of one text that are read side by side."""
TURN = 256
"""Maps after which others go first."""


class _Row(NamedTuple):
    """A row of a record: where its tokens' maps lie, the text, and the map key."""

    group: bytes
    text: str
    tail: bytes


class _Plan(NamedTuple):
    """What a change of a record means, as far as it can be told without reading."""

    old: IndexedRecord | None
    new: IndexedRecord | None
    removed: list[_Row]
    added: list[_Row]


_Value = tuple[bytes, bytes | None, bool]
"""The prefix of a map, the value to put, None to remove; whether the row's key was there before."""


def _same_place(removed: list[_Row], added: list[_Row]) -> bool:
    """Whether one text takes the place of another: other texts of the record have nothing to do with it."""
    if len(removed) != 1 or len(added) != 1:
        return False
    return (removed[0].group, removed[0].tail) == (added[0].group, added[0].tail)


def _share_places(rows: list[_Row]) -> bool:
    """Whether several texts of a record share the entries of their tokens. (Java takes an entry away with either of
    two, although the other has the token as well.)"""
    return len(rows) > 1 and len({(row.group, row.tail) for row in rows}) < len(rows)


class TextIndex(StandardMaintainer):
    """Words of texts, for searching."""

    type: ClassVar[str] = "text"

    __slots__ = ("_aggressive", "_cut", "_omits", "_plan", "layout", "tokenizer", "versions")

    def __init__(self, space: IndexSpace) -> None:
        super().__init__(space)
        index = space.index
        root = index.root_expression
        grouping = root.grouping_count if isinstance(root, Grouping) else 0
        entries = EntryLayout(index.name, root.column_size, index.primary_key_positions)
        self.layout = TextLayout(entries, grouping, space.entries)
        self.tokenizer = IndexTokenizer(index)
        self._omits = index.flag("textOmitPositions")
        self._aggressive = index.flag("textAddAggressiveConflictRanges")
        self.versions = space.space(SECONDARY) + pack((0,))
        self._plan: _Plan | None = None
        self._cut: tuple[str, int, dict[str, list[int]]] = ("", 0, {})

    @property
    def idempotent(self) -> bool:
        return True

    # -- what a record has -----------------------------------------------------------------------------

    def text_rows(self, record: IndexedRecord | None) -> list[_Row]:
        """The texts that a record has in this index."""
        at, layout = self.layout.grouping, self.layout.entries
        rows: list[_Row] = []
        tail: bytes | None = None
        for row in self.rows(record):
            assert record is not None, "nobody's rows are none"
            if not row[at]:
                continue
            if tail is None:
                full = layout.positions is None
                tail = record.primary_key_bytes if full else pack(layout.trimmed(record.primary_key))
            own = pack(row[at + 1 :]) + tail if len(row) > at + 1 else tail
            rows.append(_Row(pack(row[:at], self.space.entries), row[at], own))
        return rows

    def _tokens(self, text: str, version: int) -> dict[str, list[int]]:
        """The tokens of a text; of the last one they are remembered, from the check of sizes to the writing."""
        if self._cut[:2] != (text, version):
            self._cut = (text, version, self.tokenizer.positions(text, version))
        return self._cut[2]

    # -- maintenance -----------------------------------------------------------------------------------

    def writes(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        """None: every one of them needs a read, and is `finish`'s. What is too large is refused here.

        Raises  IndexEntryTooLarge.
        """
        removed, added = difference(self.text_rows(old), self.text_rows(new))
        for row in added:
            for token, places in self._tokens(row.text, self.tokenizer.version).items():
                # What a character and a number can take at most; exactly only where that may be too much.
                if len(row.group) + 4 * len(token) + len(row.tail) > 9_000 or len(places) > 9_000:
                    self.check_size(pack((token,), row.group) + row.tail, self.value_of(places) + row.tail, new)
        self._plan = _Plan(old, new, removed, added)
        return []

    def value_of(self, places: list[int]) -> bytes:
        """What the index keeps of a token's places."""
        return b"" if self._omits else packed_positions(places)

    def finish(self, old: IndexedRecord | None, new: IndexedRecord | None) -> Coroutine[Any, None, None] | None:
        plan, self._plan = self._plan, None
        if plan is None or plan.old is not old or plan.new is not new:
            plan = _Plan(old, new, *difference(self.text_rows(old), self.text_rows(new)))
        return self._change(plan)

    async def _change(self, plan: _Plan) -> None:
        old, new, removed, added = plan
        context, current = self.space.context, self.tokenizer.version
        if old is None:
            if new is not None:
                context.set(self.versions + new.primary_key_bytes, pack((current,)))
                await self._add(added)
            return
        key = self.versions + old.primary_key_bytes
        if new is not None:
            version = version_in(await context.get(key))
            before, after = self.text_rows(old), self.text_rows(new)
            if version == current and (_share_places(before) or _share_places(after)):
                await self._merge(before, after)
                return
            if version == current and _same_place(removed, added):
                await self._replace(removed[0], added[0])
                return
            if version == current:
                await self._take_away(removed, current)
            else:
                # Rows that stay were cut by another version: the tokens of all rows are written anew.
                await self._take_away(before, version)
                context.set(self.versions + new.primary_key_bytes, pack((current,)))
                added = after
            await self._add(added)
            return
        if removed:
            await self._take_away(removed, version_in(await context.get(key)))
        context.clear(key)

    async def _take_away(self, rows: list[_Row], version: int) -> None:
        for row in rows:
            tokens = self._tokens(row.text, version)
            await self._change_maps(row, [(pack((token,), row.group), None, False) for token in tokens])

    async def _add(self, rows: list[_Row]) -> None:
        for row in rows:
            tokens = self._tokens(row.text, self.tokenizer.version)
            values = [(pack((token,), row.group), self.value_of(places), False) for token, places in tokens.items()]
            await self._change_maps(row, values)

    async def _merge(self, old: list[_Row], new: list[_Row]) -> None:
        """Bring the entries of all texts of a record in step; of a token that several have, the last one's places."""
        places = {(row.group, row.tail): row for row in (*old, *new)}
        for place, row in places.items():
            before, after = (
                {
                    token: found
                    for one in rows
                    if (one.group, one.tail) == place
                    for token, found in self._tokens(one.text, self.tokenizer.version).items()
                }
                for rows in (old, new)
            )
            changes: list[_Value] = [(pack((token,), row.group), None, False) for token in before if token not in after]
            changes += [
                (pack((token,), row.group), self.value_of(found), token in before)
                for token, found in after.items()
                if before.get(token) != found
            ]
            await self._change_maps(row, changes)

    async def _replace(self, old: _Row, new: _Row) -> None:
        """One text in place of another: what removing the one and adding the other leaves, in one pass."""
        version = self.tokenizer.version
        after = self._tokens(new.text, version)  # first: the check of sizes has cut it just now
        before = self._tokens(old.text, version)
        changes: list[_Value] = [(pack((token,), old.group), None, False) for token in before if token not in after]
        changes += [
            (pack((token,), new.group), self.value_of(places), token in before) for token, places in after.items()
        ]
        await self._change_maps(new, changes)

    async def _change_maps(self, row: _Row, values: Sequence[_Value]) -> None:
        """Put the row's key into each map with a value, or remove it."""
        if not values:
            return
        context = self.space.context
        if self._aggressive:
            begin, end = row.group + b"\x00", row.group + b"\xff"
            context.add_read_conflict_range(begin, end)
            context.add_write_conflict_range(begin, end)
        # Records that are saved side by side in a transaction may share tokens: each map is changed by one at a time.
        # All take their maps in the same order, so that no two wait for each other.
        turns, taken = context.turns, 0
        ordered = sorted(values, key=itemgetter(0))
        under_way: deque[Change] = deque()
        try:
            for prefix, _, _ in ordered:
                if not turns.take(prefix):
                    await turns.wait(prefix)
                taken += 1
            for place, (prefix, value, replaces) in enumerate(ordered):
                under_way.append(Change(context, prefix, row.tail, value, replaces=replaces))
                if len(under_way) >= WINDOW:
                    await under_way.popleft().apply()
                if place % TURN == TURN - 1:
                    await Turn()
            while under_way:
                await under_way.popleft().apply()
        finally:
            for change in under_way:
                change.cancel()
            for prefix, _, _ in ordered[:taken]:
                turns.leave(prefix)

    # -- many at once ----------------------------------------------------------------------------------

    def can_clear_prefix(self, columns: int) -> bool:
        return columns <= self.layout.grouping

    def clear_prefix(self, prefix: Items) -> None:
        """Entries, and the versions of the records: their primary keys begin with the same columns, behind the record
        type if that is named and the index does not have it. (Java leaves the versions behind.)"""
        clear_entries(self.space, prefix)
        known = self._functions.record_type
        if known is not None and known.primary_key.normalized()[0].has_record_type_key:
            columns = self.space.index.root_expression.normalized()
            if prefix and not columns[0].has_record_type_key:
                prefix = (known.record_type_key, *prefix)
        clear_entries(self.space, (0, *prefix) if prefix else (), keyspace=SECONDARY)

    async def tidy(self, *, limit: int = 0, resume: bytes | None = None) -> bytes | None:
        """Put neighbours in half empty bunches together, in the whole index or in about `limit` pairs of it from
        `resume` on. Gives where to go on, None at the end. What is found by scans is the same before and after.

        Cost  1 range read a chunk; 1 write for each bunch that changes, 1 clear for each that goes
        """
        return await rebunch(self.space.context, self.layout, BUNCH_SIZE, limit=limit, resume=resume)

    # -- checking --------------------------------------------------------------------------------------

    @property
    def judged(self) -> tuple[bytes, ...]:
        return self.space.entries, self.versions

    async def judge_records(self, records: Sequence[IndexedRecord], evidence: Evidence) -> list[Fault]:
        return await TextJudge(self).records(records, evidence)

    async def judge_pairs(self, pairs: Sequence[KeyValue], evidence: Evidence) -> list[Fault]:
        if not pairs:
            return []
        judge = TextJudge(self)
        judged = judge.versions if pairs[0][0].startswith(self.versions) else judge.bunches
        return await judged(pairs, evidence)

    async def audit(self, records: Sequence[IndexedRecord]) -> list[tuple[str, Any]]:
        return await audit(self.space, self, records)

    # -- reading ---------------------------------------------------------------------------------------

    def scan(self, bounds: Bounds, options: ScanOptions = FORWARD) -> Cursor[TextEntry]:
        """The entries within bounds, of (*grouping columns, token, *further columns, *rest of the primary key).

        Cost  1 range read a chunk; + 1 to find the bunch to begin in, where bounds or a continuation lie within a map
        """
        return TextCursor(self.space.context, self.layout, bounds, options)
