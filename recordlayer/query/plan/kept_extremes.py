"""The least and the greatest values of groups: from the ends of each group in an index where the value follows the
group's columns, and from PERMUTED_MIN and PERMUTED_MAX indexes, which keep one of them.

A null in an index is no value, where a field may be unset; where it has no presence it stands for the default, which
may be greater or less than what lies next to it. What one key does not tell, another one does.

Cost  ends: 1 to 3 reads a group, 1 round trip each (`cursor.leaping`). PERMUTED: 1 range read a chunk; and for each
      group whose extreme may be hidden behind a null 1 read, side by side for all groups of a chunk
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recordlayer.cursor.leaping import Ends, Leap
from recordlayer.cursor.pipeline import ReadEach
from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import Filter, Map
from recordlayer.index.entry import AggregateEntry, behind
from recordlayer.kv.engine import Chunk, StreamingMode
from recordlayer.query.identity import Part
from recordlayer.query.plan.base import Run
from recordlayer.query.plan.kept_groups import Kept
from recordlayer.query.plan.scan import each
from recordlayer.tuples import SingleFloat, pack, unpack
from recordlayer.waiting.waitable import Ready, Waitable

if TYPE_CHECKING:
    from recordlayer.index.bounds import Bounds
    from recordlayer.index.maintainer import IndexSpace

Items = tuple[Any, ...]
NOTHING = Chunk([], more=False)
EMPTY = Ends(None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptExtremes(Kept):
    """Base of both.

    default  what a null stands for, None where it is no value
    """

    default: Any = None

    @property
    def adds_up(self) -> bool:
        return False

    def best(self, *, greatest: bool, value: Any, null: bool) -> Any:
        """The extreme of the values that are there: one of them that is no null, and perhaps nulls."""
        if not null or self.default is None:
            return value
        return self.default if value is None else (max if greatest else min)(value, self.default, key=_packed)


def _packed(value: Any) -> bytes:
    return pack((value,))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEnds(KeptExtremes):
    """An index whose entries of one group lie in the order of the value.

    columns   how many columns are those of the groups
    whole     the values of all of these, if they are known; None if groups are found
    keyspace  of the index, None for its entries
    """

    columns: int
    whole: Items | None
    keyspace: int | None = None

    @property
    def identity(self) -> Part:
        return ("ends", *super(KeptEnds, self).identity, self.columns, self.keyspace)

    @property
    def words(self) -> str:
        return f"ends of {super(KeptEnds, self).words}"

    def groups_of(self, run: Run) -> Cursor[AggregateEntry]:
        maintainer: Any = run.store.index_maintainer(self.index.name)
        space: IndexSpace = maintainer.space
        prefix = space.entries if self.keyspace is None else space.space(self.keyspace)
        columns, start = self.columns, len(prefix)

        def group_of(key: bytes) -> bytes:
            at = behind(key, columns, start)
            return key[:at] if at >= 0 else pack(unpack(key, start)[:columns], prefix)

        functions = {kind.function for kind in self.kinds}
        whole = None if self.whole is None else pack(self.whole, prefix)

        def scan(bounds: Bounds, options: Any) -> Cursor[Ends]:
            return Leap(
                run.store.context,
                bounds.keys(prefix),
                group_of,
                whole=whole,
                first=self.default is not None or ("max" not in functions and bool(self.places)),
                least="min" in functions,
                last="max" in functions,
                options=options,
            )

        ends = each(self.ranges, scan, run.scan_options(reverse=False))
        if whole is not None:
            ends = Filter(ends, lambda found: found != EMPTY)
        return Map(ends, self._entry(start))

    def _entry(self, start: int) -> Callable[[Ends], AggregateEntry]:
        columns = self.columns
        greatest = [kind.function == "max" for kind in self.kinds]

        def entry(ends: Ends) -> AggregateEntry:
            known = ends.first or ends.last
            group = self.whole if self.whole is not None else () if known is None else unpack(known, start)[:columns]
            null = ends.first is not None and unpack(ends.first, start)[columns] is None
            found = []
            for upwards in greatest:
                key = ends.last if upwards else ends.least
                value = None if key is None else _plain(unpack(key, start)[columns])
                found.append(self.best(greatest=upwards, value=value, null=null))
            return AggregateEntry(group, tuple(found))

        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPermuted(KeptExtremes):
    """A PERMUTED_MIN or PERMUTED_MAX index that has its groups in the order of their columns."""

    def groups_of(self, run: Run) -> Cursor[AggregateEntry]:
        maintainer: Any = run.store.index_maintainer(self.index.name)
        greatest = self.kinds[0].function == "max"
        prefix: bytes = maintainer.space.entries
        start = len(prefix)

        def other(entry: AggregateEntry) -> Waitable[Chunk]:
            """What may be better than the extreme in the order of the index."""
            (value,) = entry.value
            if greatest:
                if self.default is None or value is None or _packed(value) >= _packed(self.default):
                    return Ready(NOTHING)
                begin, end = b"\x00", b"\x01"
            elif value is not None or isinstance(self.default, (str, bytes, bool)):
                return Ready(NOTHING)
            else:
                begin, end = b"\x01", b"\xff"
            group = pack(entry.group, prefix)
            return run.store.context.get_range(
                group + begin, group + end, limit=1, snapshot=run.snapshot, mode=StreamingMode.EXACT
            )

        def settled(entry: AggregateEntry, chunk: Chunk) -> AggregateEntry:
            (value,) = entry.value
            null = value is None
            if chunk.rows:
                if run.budget is not None:
                    run.budget.charge(1, len(chunk.rows[0][0]))
                found = unpack(chunk.rows[0][0], start)[len(entry.group)]
                value, null = (value, True) if greatest else (found, True)
            return AggregateEntry(entry.group, (self.best(greatest=greatest, value=_plain(value), null=null),))

        extremes = each(self.ranges, maintainer.scan_extremes, run.scan_options(reverse=False))
        return ReadEach(extremes, other, settled)


def _plain(item: Any) -> Any:
    return item.value if isinstance(item, SingleFloat) else item
