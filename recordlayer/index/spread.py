"""Hot counters: an aggregate that adds, spread over cells, so that writers of one group write to several keys.

The option `recordlayer.cells` of an index says over how many. It is an option of this library: the Java Record Layer
would take a cell for a group, so stores that are shared with it (`store.settings.share_with_java`) refuse such indexes.

Layout  key   (*grouping columns, cell): cells are 0 to n - 1, those that were never written are absent
        value 8 bytes little-endian; the aggregate of a group is the sum of its cells
Cost    save: as without cells: 1 atomic mutation a changed row; all of one transaction go to one cell
        one group: 1 range read; a scan reads n times as many pairs
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from recordlayer.cursor.continuation import wrap_key
from recordlayer.cursor.scan import KeyRange, KeyValueScan, ScanOptions
from recordlayer.cursor.step import Batch, Cursor, Resume, Stop, never
from recordlayer.errors import CorruptIndexEntry, MalformedTuple
from recordlayer.kv.context import Context
from recordlayer.kv.engine import KeyValue
from recordlayer.metadata import Index
from recordlayer.metadata.index import CELLS
from recordlayer.tuples import pack, unpack


class Cells:
    """The cells of one index, as one transaction uses them."""

    __slots__ = ("_context", "_gone", "_start", "_total", "own")

    def __init__(
        self,
        context: Context,
        entries: bytes,
        index: Index,
        total: Callable[[bytes, bytes], bytes],
        *,
        gone: bytes | None = None,
    ) -> None:
        """`total` of two values; a group whose total is `gone` is none any more."""
        self._context = context
        self._gone = gone
        self._start = len(entries)
        self._total = total
        self.own = pack((context.world.random.randrange(int(index.options[CELLS])),))
        """What follows the group in the keys that this transaction writes to."""

    def group_of(self, key: bytes) -> bytes:
        """The key of a cell without the cell.  Raises  CorruptIndexEntry."""
        try:
            cell = unpack(key, self._start)[-1]
            last = pack((cell,))
        except (MalformedTuple, IndexError) as error:
            raise CorruptIndexEntry(key=key, found="the key has no cell") from error
        return key[: -len(last)]

    async def read(self, group: bytes, *, snapshot: bool) -> bytes | None:
        """The total of a group, None if it has no cell."""
        total: bytes | None = None
        for key, value in await self._context.read_all(group, group + b"\xff", snapshot=snapshot):
            if self.group_of(key) == group:
                total = value if total is None else self._total(total, value)
        return total

    def scan(self, keys: KeyRange, options: ScanOptions) -> Cursor[KeyValue]:
        """The groups in a range with their totals."""
        return _Groups(self, self._context, keys, options)

    def there(self, groups: list[tuple[bytes, bytes, bytes]]) -> list[tuple[bytes, bytes, bytes]]:
        """Those of the groups that are not gone."""
        return groups if self._gone is None else [group for group in groups if group[2] != self._gone]

    def folded(self, rows: list[KeyValue]) -> list[tuple[bytes, bytes, bytes]]:
        """For each group in consecutive cells: its key, the key of its last cell, its total."""
        made: list[tuple[bytes, bytes, bytes]] = []
        for key, value in rows:
            group = self.group_of(key)
            if made and made[-1][0] == group:
                made[-1] = group, key, self._total(made[-1][2], value)
            else:
                made.append((group, key, value))
        return made


class _Groups(Cursor[KeyValue]):
    """Groups in order. A group is given when its last cell has been read; a continuation is that of the last cell.

    A budget that ends within a group stops behind the group before, or, if there is none, behind this one.
    """

    __slots__ = ("_cells", "_context", "_given", "_keys", "_left", "_open", "_options", "_scan")

    def __init__(self, cells: Cells, context: Context, keys: KeyRange, options: ScanOptions) -> None:
        self._cells = cells
        self._context = context
        self._keys = keys
        self._options = replace(options, limit=0)
        self._left = options.limit
        self._scan = KeyValueScan(context, keys, self._options)
        self._open: list[KeyValue] = []
        self._given: bytes | None = None

    def start(self) -> None:
        self._scan.start()

    async def batch(self) -> Batch[KeyValue]:
        batch = await self._scan.batch()
        cells = self._cells
        groups = cells.folded(self._open + list(batch.values))
        stop = batch.stop
        self._open = []
        if stop is not Stop.EXHAUSTED and groups:
            group, last, total = groups.pop()
            if stop is None or groups or self._given is not None:
                self._open = [(last, total)]
            else:
                groups.append(await self._rest(group, last, total))
        if groups:
            self._given = groups[-1][1]
        groups = cells.there(groups)
        if self._left and len(groups) >= self._left:
            groups, stop = groups[: self._left], Stop.LIMIT_REACHED
            self._given = groups[-1][1]
        self._left -= len(groups) if self._left else 0
        prefix_length = self._keys.prefix_length
        end = None
        if stop is not None and stop is not Stop.EXHAUSTED and self._given is not None:
            end = wrap_key(self._given[prefix_length:])
        resume: Resume = (lambda index: wrap_key(groups[index][1][prefix_length:])) if groups else never
        return Batch([(group, total) for group, _, total in groups], resume, stop, end)

    async def _rest(self, group: bytes, last: bytes, total: bytes) -> tuple[bytes, bytes, bytes]:
        """The group whole, read on without a budget."""
        begin, end = (group, last) if self._options.reverse else (last + b"\x00", group + b"\xff")
        rows = await self._context.read_all(begin, end, snapshot=self._options.snapshot)
        rows = [pair for pair in rows if self._cells.group_of(pair[0]) == group]
        ordered = rows[::-1] if self._options.reverse else rows
        return self._cells.folded([(last, total), *ordered])[0]
