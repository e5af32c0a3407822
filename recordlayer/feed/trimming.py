"""Forgetting old changes, in bounded steps: each removes what it has looked at, and says in the feed's state up to
where something may be gone. Tokens from before that place are refused by every reader from the same commit on.

The age of a change is by the wall clock of who made it. A step removes the oldest changes of a log up to the first one
that is not old enough, so clocks that differ make a change stay, never go early by more than they differ.

Cost    a step: 2 reads, 1 range read over groups, 1 a log that has old changes; 1 clear range a log, 1 write
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from recordlayer.errors import UsageError
from recordlayer.feed.reading import state_of
from recordlayer.feed.settings import log_of
from recordlayer.kv.engine import StreamingMode
from recordlayer.store.change_layout import FIRST, assembled, key_of
from recordlayer.store.store import RecordStore

_GROUPS_A_STEP = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """What a step has done.

    removed  changes
    more     whether there may be more to do: call again, in another transaction, with `place`
    place    the group behind which to go on; None: from the first again
    """

    removed: int
    more: bool
    place: bytes | None = None


async def trim(store: RecordStore, older_than: timedelta, *, limit: int = 1_000, place: bytes | None = None) -> Trimmed:
    """Remove changes that are older, about `limit` of them at most.

    Raises  FeedMissing, FeedTokenExpired, CorruptFeed; UsageError.
    """
    if not isinstance(older_than, timedelta) or older_than < timedelta(0):
        raise UsageError(older_than=older_than, hint="give a datetime.timedelta of 0 or more")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise UsageError(limit=limit, hint="give a whole number of at least 1")
    log = log_of(store)
    context, layout = store.context, log.layout
    cutoff = int((context.world.clock.wall() - older_than.total_seconds()) * 1000)
    context.add_read_conflict_key(layout.state)  # two that trim must not both move the floor
    state = await state_of(context, log)
    logs: list[tuple[bytes, bytes | None]] = [] if place is not None else [(layout.wide, None)]
    begin = layout.groups if place is None else layout.groups + place + b"\xff"
    groups = await context.get_range(
        begin, layout.groups + b"\xff", limit=_GROUPS_A_STEP, snapshot=True, mode=StreamingMode.WANT_ALL
    )
    logs += [(layout.log_of(key[len(layout.groups) :]), key) for key, _ in groups.rows]
    lasts = dict(groups.rows)
    share = max(2, limit // max(1, len(logs)))
    reads = [
        context.get_range(prefix, prefix + b"\xff", limit=share, snapshot=True, mode=StreamingMode.WANT_ALL)
        for prefix, _ in logs
    ]
    removed, floor, unfinished = 0, state.floor or FIRST, False
    for (prefix, last), begun in zip(logs, reads, strict=True):
        chunk = await begun
        rows = chunk.rows
        if chunk.more and rows and not assembled(rows, prefix):
            rows = await context.read_all(rows[0][0], rows[0][0] + b"\xff", snapshot=True)
        entries = assembled(rows, prefix)
        old = 0
        while old < len(entries) and entries[old][1].time < cutoff:
            old += 1
        more = chunk.more or len(chunk.rows) >= share
        if old:
            cut = entries[old - 1][0]
            context.clear_range(prefix, key_of(prefix, cut) + b"\xff")
            floor, removed = max(floor, cut), removed + old
            unfinished = unfinished or (more and old == len(entries))
        if last is not None and not more and old == len(entries) and lasts[last] <= floor[: len(lasts[last])]:
            # Nothing is left of the group: who asks which groups have changed need not see it any more.
            context.add_read_conflict_key(last)
            context.clear(last)
    if removed:
        context.set(layout.state, replace(state, floor=floor).serialized())
    following = groups.rows[-1][0][len(layout.groups) :] if len(groups.rows) >= _GROUPS_A_STEP else None
    if unfinished:
        return Trimmed(removed=removed, more=True, place=place)
    return Trimmed(removed=removed, more=following is not None, place=following)
