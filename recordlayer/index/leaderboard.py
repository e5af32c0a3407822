"""TIME_WINDOW_LEADERBOARD index: the best score of each record in each window of time, ranked.

The grouped columns are a score, its time, then what tells equal ones apart. A record may have many scores; in each
window that contains the time of one of them, and in each group, it has one entry: its best there.

Layout  2 entries  (window key, *grouping columns, score, time, ..., *primary key columns not among them) -> nothing
                   ()  the latest time of any score: 8 bytes little-endian, offset by 2**63
        3 ranks    ()  the directory of windows (`index.leaderboard_directory`)
                   (null, *grouping columns)  the direction of a group, where it is not that of the directory
                   (window key, *grouping columns)  a ranked set of packed (score, time, ...) (`index.ranked_set`)
        Where high scores come first, scores are stored negated: the best always sorts first.
Cost    save: 1 read of the directory, 1 for each group; then for each window and group whose best has changed 1 write
        and a change of a ranked set, all windows side by side
Source  Record Layer, TimeWindowLeaderboardIndexMaintainer
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from recordlayer.cursor.scan import FORWARD, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.errors import IndexNotSupported, UsageError
from recordlayer.index.bounds import Bounds
from recordlayer.index.built import built_part
from recordlayer.index.entry import EntryLayout, IndexEntry
from recordlayer.index.leaderboard_directory import (
    ALL_TIME,
    FIRST,
    LAST,
    Directory,
    Window,
    direction_from_bytes,
    direction_to_bytes,
    negated,
)
from recordlayer.index.leaderboard_entries import WindowEntries, turned_round
from recordlayer.index.maintainer import IndexedRecord, IndexSpace, Items
from recordlayer.index.rank import RANKS, Sought, keep_ranks, ranked_set_options
from recordlayer.index.ranked_set import RankedSet, RankedSetOptions, structure
from recordlayer.index.standard import StandardMaintainer, same_rows
from recordlayer.keys.grouping import Grouping
from recordlayer.kv.engine import MutationType
from recordlayer.kv.mutations import Write
from recordlayer.tuples import SingleFloat, pack, unpack
from recordlayer.waiting.overlap import gather

_OFFSET = 1 << 63
_SPARE = 9  # bytes that the key of a window may take


@dataclass(frozen=True, slots=True)
class _Best:
    """Where a record's best score of a window and group stands: the packed group, the score as it is stored."""

    window: Window
    group: bytes
    score: bytes


class LeaderboardIndex(StandardMaintainer):
    """The best scores in windows of time."""

    type: ClassVar[str] = "time_window_leaderboard"

    __slots__ = ("_grouping", "_layout", "_options", "_ranks")

    def __init__(self, space: IndexSpace) -> None:
        super().__init__(space)
        index = space.index
        root = index.root_expression
        if not isinstance(root, Grouping) or root.grouped_count < 2:
            hint = "a leaderboard needs at least two grouped columns: score and time"
            raise IndexNotSupported(index=index.name, type=self.type, hint=hint)
        self._grouping = root.grouping_count
        self._options = ranked_set_options(space)
        self._ranks = space.space(RANKS)
        self._layout = EntryLayout(index.name, root.column_size, index.primary_key_positions)

    @property
    def idempotent(self) -> bool:
        return not self._options.count_duplicates

    # -- directory -------------------------------------------------------------------------------------

    async def directory(self, *, snapshot: bool = False) -> Directory | None:
        """The windows there are; None before the first update of the windows.  Cost  1 read."""
        data = await self.space.context.get(self._ranks, snapshot=snapshot)
        return None if data is None else Directory.from_bytes(data, index=self.space.index.name)

    def save_directory(self, directory: Directory) -> None:
        self.space.context.set(self._ranks, directory.to_bytes())

    async def high_score_first(self, directory: Directory, group: Items, *, snapshot: bool = False) -> bool:
        """The direction of a group.  Cost  1 read."""
        data = await self.space.context.get(pack((None, *group), self._ranks), snapshot=snapshot)
        return directory.high_score_first if data is None else direction_from_bytes(data, index=self.space.index.name)

    def save_direction(self, group: Items, *, high_score_first: bool) -> None:
        """Have a group's scores in a direction of its own. Entries that are there stay as they are."""
        self.check_group(group)
        self.space.context.set(pack((None, *group), self._ranks), direction_to_bytes(high_score_first))

    async def latest_timestamp(self) -> int | None:
        """The latest time of a score that was ever indexed.  Cost  1 read."""
        data = await self.space.context.get(self.space.entries)
        return None if data is None else int.from_bytes(data, "little") - _OFFSET

    def clear_window(self, window: Window) -> None:
        """Clear what is in a window. (Java leaves it behind where nobody finds it.)  Cost  2 clear ranges."""
        for prefix in (self.space.entries, self._ranks):
            self.space.context.clear_range(prefix + window.key, prefix + window.key + b"\xff")

    # -- maintenance -----------------------------------------------------------------------------------

    def rows(self, record: IndexedRecord | None) -> list[Items]:
        found = super().rows(record)
        for row in found:
            self._check_score(row[self._grouping :])
        return found

    def writes(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        """None: all of them depend on the directory. What can be refused is refused."""
        self.rows(old)
        if new is not None:
            tail = pack(self._layout.trimmed(new.primary_key))
            for row in self.rows(new):
                self.check_size(pack(row, self.space.entries) + tail + bytes(_SPARE), b"", new)
        return []

    def prepare(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        writes = super().prepare(old, new)
        if self.only_where_built:
            self.writes(old, new)
        return writes

    def finish(self, old: IndexedRecord | None, new: IndexedRecord | None) -> Coroutine[Any, None, None] | None:
        before, after = self.rows(old), self.rows(new)
        if same_rows(before, after):
            return None
        return self._follow(old, new, before, after)

    async def _follow(
        self, old: IndexedRecord | None, new: IndexedRecord | None, before: list[Items], after: list[Items]
    ) -> None:
        record = new if new is not None else old
        assert record is not None, "one of them has rows"
        if self.only_where_built:
            old, new = await built_part(self.space, old, new)
            before, after = self.rows(old), self.rows(new)
            if same_rows(before, after):
                return
        if (directory := await self.directory()) is None:
            return
        grouped = await self._grouped(directory, [*before, *after])
        removed, added = self._best(directory, before, grouped), self._best(directory, after, grouped)
        tail = pack(self._layout.trimmed(record.primary_key))
        changes = [
            self._change(removed.get(place), added.get(place), tail)
            for place in {**removed, **added}
            if removed.get(place) != added.get(place)
        ]
        times = [row[self._grouping + 1] for row in (*before, *after)]
        latest = (max(times) + _OFFSET).to_bytes(8, "little")
        self.space.context.atomic(MutationType.MAX, self.space.entries, latest)
        await gather(*changes)

    def _change(self, gone: _Best | None, come: _Best | None, tail: bytes) -> Coroutine[Any, None, None]:
        """Write the entry of one window and group; what is then to be done about its ranks."""
        place = gone or come
        assert place is not None, "there is a change"
        context, entries = self.space.context, self.space.entries + place.window.key + place.group
        if gone is not None:
            context.clear(entries + gone.score + tail)
        if come is not None:
            context.set(entries + come.score + tail, b"")
        return keep_ranks(
            self.space,
            self._ranks + place.window.key + place.group,
            self._options_of(place.window),
            [] if gone is None else [(gone.score, entries + gone.score)],
            [] if come is None else [come.score],
        )

    def _options_of(self, window: Window) -> RankedSetOptions:
        return replace(self._options, levels=window.levels)

    async def _grouped(self, directory: Directory, rows: Sequence[Items]) -> dict[bytes, bool]:
        """The direction of each group of some rows, by packed group."""
        groups = {pack(row[: self._grouping]): row[: self._grouping] for row in rows}
        directions = await gather(*(self.high_score_first(directory, group) for group in groups.values()))
        return dict(zip(groups, directions, strict=True))

    def _best(
        self, directory: Directory, rows: Sequence[Items], high_score_first: dict[bytes, bool]
    ) -> dict[tuple[bytes, bytes], _Best]:
        """The best of a record's scores by window and group."""
        scores: dict[bytes, list[tuple[bytes, int]]] = {}
        for row in rows:
            group, score = pack(row[: self._grouping]), row[self._grouping :]
            stored = negated(score) if high_score_first[group] else score
            scores.setdefault(group, []).append((pack(stored), score[1]))
        best: dict[tuple[bytes, bytes], _Best] = {}
        for group, ordered in scores.items():
            ordered.sort()
            for window in directory.windows:
                found = next((packed for packed, time in ordered if window.contains(time)), None)
                if found is not None:
                    best[window.key, group] = _Best(window, group, found)
        return best

    async def trimmed(self, scores: Sequence[Items], *, grouped: bool) -> list[Items]:
        """Those of some scores (with their groups, or without) that are the best in some window, best first.

        Cost  1 read, and 1 for each group.
        """
        if (directory := await self.directory()) is None:
            return list(scores)
        at = self._grouping if grouped else 0
        rows = [(*((None,) * (self._grouping - at)), *score) for score in scores]
        for row in rows:
            self._check_columns(row)
        if grouped:
            directions = await self._grouped(directory, rows)
        else:
            directions = {pack(row[: self._grouping]): directory.high_score_first for row in rows}
        best = self._best(directory, rows, directions)
        by_score = {}
        for row, score in zip(rows, scores, strict=True):
            group, own = pack(row[: self._grouping]), row[self._grouping :]
            by_score[group, pack(negated(own) if directions[group] else own)] = tuple(score)
        kept = {(one.score, one.group) for one in best.values()}
        return [by_score[group, score] for score, group in sorted(kept)]

    # -- many at once ----------------------------------------------------------------------------------

    def can_clear_prefix(self, columns: int) -> bool:
        """Only all of it: each window has the groups for itself."""
        return columns == 0

    def clear_prefix(self, prefix: Items) -> None:
        context = self.space.context
        context.clear_range(self.space.entries + b"\x00", self.space.entries + b"\xff")
        context.clear_range(self._ranks + b"\x01", self._ranks + b"\xff")  # from the null on: directions, which stay

    # -- reading ---------------------------------------------------------------------------------------

    async def window(self, kind: int, timestamp: int, *, snapshot: bool = False) -> tuple[Directory, Window] | None:
        """The oldest window of a type that contains a time.  Cost  1 read."""
        directory = await self.directory(snapshot=snapshot)
        found = None if directory is None else directory.find(kind, timestamp)
        return None if found is None or directory is None else (directory, found)

    def ranked_set(self, window: Window, group: Items) -> RankedSet:
        """The scores of a group in a window, as they are stored."""
        self.check_group(group)
        return RankedSet(self.space.context, pack(group, self._ranks + window.key), self._options_of(window))

    def scan(self, bounds: Bounds, options: ScanOptions = FORWARD) -> Cursor[IndexEntry]:
        """The entries of the window of all time by score: within bounds of grouping columns and scores.

        Bounds that end inside a group are turned round where its high scores come first; others go by the direction of
        the directory.  Cost  2 reads, then 1 range read a chunk.
        """

        async def entries(inner: ScanOptions) -> Cursor[IndexEntry] | None:
            found = await self.window(ALL_TIME, 0, snapshot=inner.snapshot)
            if found is None:
                return None
            directory, window = found
            low, high = (
                end[: self._grouping] if end and len(end) >= self._grouping else None
                for end in (bounds.low, bounds.high)
            )
            turned = directory.high_score_first
            if low is not None and low == high:
                turned = await self.high_score_first(directory, low, snapshot=inner.snapshot)
            if not turned:
                return self.scan_window(directory, window, bounds, inner)
            return self.scan_window(
                directory, window, turned_round(bounds, self._grouping), replace(inner, reverse=not inner.reverse)
            )

        return Sought(entries, options)

    def scan_window(
        self, directory: Directory, window: Window, bounds: Bounds, options: ScanOptions
    ) -> Cursor[IndexEntry]:
        """The entries of a window within bounds of scores as they are stored: best first."""
        keys = bounds.keys(self.space.entries + window.key)
        source = KeyValueScan(self.space.context, keys, options)
        start = len(self.space.entries) + len(window.key)

        async def direction(group: Items) -> bool:
            return await self.high_score_first(directory, group, snapshot=options.snapshot)

        return WindowEntries(self._layout, source, start, self._grouping, direction)

    async def rank_of(
        self, record: IndexedRecord, kind: int, timestamp: int, *, snapshot: bool = False
    ) -> tuple[int, Items] | None:
        """The rank of a record's best score in a window, and that score; None if it has none there.

        Raises  UsageError for a record with scores in several groups.
        """
        rows = self.rows(record)
        found = await self.window(kind, timestamp, snapshot=snapshot)
        if found is None or not rows:
            return None
        directory, window = found
        groups = {row[: self._grouping] for row in rows}
        if len(groups) > 1:
            hint = "the record has a rank in each: ask for the rank of a score instead"
            raise UsageError(index=self.space.index.name, groups=sorted(groups, key=repr), hint=hint)
        (group,) = groups
        high = await self.high_score_first(directory, group, snapshot=snapshot)
        best = self._best(replace(directory, windows=(window,)), rows, {pack(group): high})
        for one in best.values():
            ranks = self.ranked_set(window, group)
            if not await ranks.count(one.score, snapshot=snapshot):
                return None
            score = unpack(one.score)
            return await ranks.rank(one.score, snapshot=snapshot), negated(score) if high else score
        return None

    # -- checking --------------------------------------------------------------------------------------

    async def audit(self, records: Sequence[IndexedRecord]) -> list[tuple[str, Any]]:
        if (directory := await self.directory()) is None:
            return []
        expected: dict[bytes, set[bytes]] = {window.key: set() for window in directory.windows}
        members: dict[tuple[bytes, bytes], dict[bytes, int]] = {}
        for record in records:
            rows = self.rows(record)
            tail = pack(self._layout.trimmed(record.primary_key))
            for place, best in self._best(directory, rows, await self._grouped(directory, rows)).items():
                expected[best.window.key].add(best.group + best.score + tail)
                scores = members.setdefault(place, {})
                scores[best.score] = scores.get(best.score, 0) + 1 if self._options.count_duplicates else 1
        findings: list[tuple[str, Any]] = []
        for window in directory.windows:
            prefix = self.space.entries + window.key
            rows_there = await self.space.context.read_all(prefix + b"\x00", prefix + b"\xff")
            there = {key[len(prefix) :] for key, _ in rows_there}
            wanted = expected[window.key]
            findings += [("an entry is missing", (window, unpack(key))) for key in sorted(wanted - there)]
            findings += [("an entry has no record", (window, unpack(key))) for key in sorted(there - wanted)]
            for group in await self._groups(window, members):
                levels = await self.ranked_set(window, unpack(group)).levels()
                findings += [(f"a ranked set is broken: {wrong}", (window, group)) for wrong in structure(levels)]
                if {score: count for score, count in levels[0].items() if score} != members.get(
                    (window.key, group), {}
                ):
                    findings.append(("a ranked set has other scores than the records", (window, unpack(group))))
        return findings

    async def _groups(self, window: Window, members: dict[tuple[bytes, bytes], Any]) -> list[bytes]:
        """The packed groups of a window that have, or should have, a ranked set."""
        prefix = self._ranks + window.key
        rows = await self.space.context.read_all(prefix + b"\x00", prefix + b"\xff")
        stored = [pack(unpack(key, len(prefix))[: self._grouping]) for key, _ in rows]
        return list(dict.fromkeys([*stored, *(group for key, group in members if key == window.key)]))

    # -- what cannot be --------------------------------------------------------------------------------

    def check_group(self, group: Items) -> None:
        if len(group) != self._grouping:
            hint = f"the groups of this index have {self._grouping} columns"
            raise UsageError(index=self.space.index.name, group=group, hint=hint)

    def check_score(self, score: Items, *, whole: bool) -> bytes:
        """A score, packed; its first columns will do where not the whole is wanted.  Raises  UsageError."""
        size = self.space.index.column_size - self._grouping
        if not (len(score) == size if whole else 1 <= len(score) <= size):
            raise UsageError(index=self.space.index.name, score=score, hint=f"a score has {size} columns here")
        self._check_score((*score, 0) if len(score) == 1 else score)
        return pack(score)

    def _check_columns(self, row: Items) -> None:
        size = self.space.index.column_size
        if len(row) != size:
            raise UsageError(index=self.space.index.name, score=row, hint=f"this index has {size} columns")
        self._check_score(row[self._grouping :])

    def _check_score(self, score: Items) -> None:
        points, time = score[0], score[1]
        if isinstance(points, bool) or not isinstance(points, (int, float, SingleFloat)):
            what = "a score that is no number"
        elif type(time) is not int or not FIRST <= time <= LAST:
            what = "a time that is no number of 64 bits"
        else:
            return
        raise UsageError(
            index=self.space.index.name,
            what=what,
            score=score,
            hint="the columns of a leaderboard are a score, its time, then what tells equal ones apart: set them all",
        )
