"""Writing the change feed of a store: one entry for each change, in the transaction that makes the change.

Entries get their places at the commit, so writers neither read nor meet: two that change different records do not
conflict. What is written beside them says that something has changed, and is written blindly as well: it is what
watches look at, and what tells which groups have changed.

Cost    1 write a change (more for images above 90,000 bytes); 1 a transaction, in a feed with groups 1 more for each
        group. No reads.
Order   that of the commits; within one that of the operations, over all stores of the transaction. A transaction has
        65,536 places: more changes are refused with LocalVersionsExhausted before they are written
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recordlayer.kv.context import Context
from recordlayer.store.change_layout import (
    ChangeKind,
    Entry,
    FeedLayout,
    FeedSettings,
    head_of,
    last_of,
    operand_of,
    values_of,
)
from recordlayer.store.header import StoreHeader
from recordlayer.store.layout import StoreLayout
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from recordlayer.store.record import StoredRecord
    from recordlayer.store.split import RawRecord

_INSERT, _UPDATE = ChangeKind.INSERT.value, ChangeKind.UPDATE.value


class ChangeLog:
    """The feed of one store in one transaction."""

    __slots__ = ("_context", "_head", "_header", "_incarnation", "_last", "_layout", "_places", "settings")

    def __init__(self, context: Context, layout: StoreLayout, header: StoreHeader, settings: FeedSettings) -> None:
        self._context = context
        self._header = header
        self._layout = layout
        self._places: FeedLayout | None = None
        self._incarnation = -1
        self._head = self._last = b""  # of this incarnation
        self.settings = settings

    @property
    def layout(self) -> FeedLayout:
        """Made when it is first asked for: who only reads records does not."""
        if self._places is None:
            self._places = FeedLayout(self._layout)
        return self._places

    def claim(self) -> int:
        """The place of the next change: before anything of it is written.  Raises  LocalVersionsExhausted."""
        return self._context.claim_local_version()

    def saved(
        self, place: int, new: StoredRecord, data: bytes, old: StoredRecord | None, raw: RawRecord | None
    ) -> None:
        """A record was saved, in place of `old` if there was one."""
        settings, name = self.settings, new.record_type.name
        before = name if old is None else old.record_type.name
        values = values_of(
            _INSERT if old is None else _UPDATE,
            self._now(),
            new.primary_key_bytes,
            name.encode(),
            new=data if settings.new_images else None,
            old=raw.data if raw is not None and settings.old_images else None,
            old_type=None if before == name else before.encode(),
        )
        self._write(place, values, self._group_of(new))

    def deleted(self, place: int, old: StoredRecord, raw: RawRecord, *, reason: str | None = None) -> None:
        """A record was deleted."""
        entry = Entry(
            kind=ChangeKind.DELETE,
            time=self._now(),
            key=old.primary_key_bytes,
            record_type=old.record_type.name,
            old=raw.data if self.settings.old_images else None,
            reason=reason,
        )
        self._write(place, entry.values(), self._group_of(old))

    def cleared(self, place: int, prefix: tuple[Any, ...]) -> None:
        """All records whose primary keys begin with `prefix` were removed, and nobody has looked which."""
        entry = Entry(kind=ChangeKind.CLEAR, time=self._now(), key=pack(prefix))
        size = self.settings.group_by
        self._write(place, entry.values(), pack(prefix[:size]) if size and len(prefix) >= size else None)

    def _group_of(self, record: StoredRecord) -> bytes | None:
        size = self.settings.group_by
        return pack(record.primary_key[:size]) if size else None

    def _now(self) -> int:
        return max(0, int(self._context.world.clock.wall() * 1000))

    def _write(self, place: int, values: list[bytes], group: bytes | None) -> None:
        context, layout = self._context, self.layout
        incarnation = self._header.incarnation
        if incarnation != self._incarnation:
            self._incarnation, self._head, self._last = incarnation, head_of(incarnation), last_of(incarnation)
        last = self._last
        if group is None:
            log = layout.wide
            if self.settings.group_by:
                context.set_stamped_value(layout.last_wide, last)
        else:
            log = layout.log_of(group)
            context.set_stamped_value(layout.last_of(group), last)
        context.set_stamped_value(layout.last, last)
        key, offset = operand_of(log, self._head, place)
        for number, value in enumerate(values):
            context.set_stamped_key((key + pack((number,)) if number else key) + offset, value)
