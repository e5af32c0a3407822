"""Which groups have changed behind a token: one entry for each group there is, whose writers never read it.

Groups are passed in the order of their keys. A pass that takes several pages ends where the database was at its first
page: what changes meanwhile is found again by the next pass.

Cost    1 read, 1 range read a page, 1 for changes that concern several groups; 1 round trip
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recordlayer.cursor.sealing import Sealed
from recordlayer.errors import UsageError
from recordlayer.feed.reading import DEFAULT_LIMIT, Giver, check_position, now, state_of
from recordlayer.feed.settings import log_of
from recordlayer.feed.token import Purpose
from recordlayer.kv.engine import StreamingMode
from recordlayer.store.store import RecordStore
from recordlayer.tuples import unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupsPage:
    """Groups that have changed. Iterate over it.

    groups      their columns
    everything  records of several groups were cleared at once: look at all groups that you know, whether they are
                listed or not
    token       where to go on: in the same pass if there is `more`, else with what changes from now on
    """

    groups: tuple[tuple[Any, ...], ...]
    everything: bool
    token: bytes
    more: bool

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.groups)


async def groups_changed(
    store: RecordStore, since: bytes | None, sealed: Sealed, *, limit: int | None = None
) -> GroupsPage:
    """The groups that have changed behind a token, or ever.

    limit  groups that are looked at for one page, changed or not

    Raises  FeedMissing, FeedTokenExpired, BadFeedToken; UsageError for a feed without groups.
    """
    log = log_of(store)
    if not log.settings.group_by:
        raise UsageError(hint="the feed has no groups: enable(group_by=...) makes them")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UsageError(limit=limit, hint="give a whole number of at least 1")
    context, layout = store.context, log.layout
    give = Giver(store, log.settings.id, None, sealed, purpose=Purpose.GROUPS)
    token = None if since is None else give.opened(since)
    state = await state_of(context, log)
    position = await check_position(store, state, None if token is None else token.position)
    place = b"" if token is None or token.place is None else token.place
    until = token.until if token is not None else None
    if until is None:
        until = max(position, await now(context, log, store))
    begin, end = layout.groups + place + (b"\xff" if place else b""), layout.groups + b"\xff"
    most = limit or DEFAULT_LIMIT
    wide = context.get(layout.last_wide, snapshot=True)
    chunk = await context.get_range(begin, end, limit=most, snapshot=True, mode=StreamingMode.WANT_ALL)
    last_wide = await wide
    context.counters.rows_read += len(chunk.rows)
    start = len(layout.groups)
    changed = [key[start:] for key, value in chunk.rows if value >= position[: len(value)]]
    more = bool(chunk.rows) and (chunk.more or len(chunk.rows) >= most)
    if more:
        following = give.token(position, place=chunk.rows[-1][0][start:], until=until)
    else:
        following = give.token(until)
    return GroupsPage(
        groups=tuple(unpack(group) for group in changed),
        everything=last_wide is not None and last_wide >= position[: len(last_wide)],
        token=following,
        more=more,
    )


async def groups_now(store: RecordStore, sealed: Sealed) -> bytes:
    """The token behind everything that this transaction can see."""
    log = log_of(store)
    give = Giver(store, log.settings.id, None, sealed, purpose=Purpose.GROUPS)
    return give.token(await now(store.context, log, store))
