"""Pages of a change feed: what has changed behind a token, in the order of the commits.

Everything is read at snapshot: a reader conflicts with no writer, and what it reads is complete at its read version.
A feed with groups has one log for each, and one for what concerns several; a page over several of them is merged.

Cost    1 read, and 1 range read a log: 1 for a feed without groups, 2 for one group; for all groups one for each that
        has changed behind the token, and 1 range read over the groups. 2 round trips, 3 for all groups
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from recordlayer.cursor.limits import NO_LIMITS, Budget, Limits, budget_of
from recordlayer.cursor.sealing import EXPIRED, Sealed
from recordlayer.cursor.step import Stop
from recordlayer.errors import BadContinuation, BadFeedToken, CorruptFeed, FeedTokenExpired, UsageError, WrongType
from recordlayer.feed.change import Change
from recordlayer.feed.coalescing import coalesced
from recordlayer.feed.settings import check_group, log_of
from recordlayer.feed.token import Purpose, Token
from recordlayer.kv.context import Context
from recordlayer.kv.engine import KeyValue, StreamingMode
from recordlayer.options import as_limits
from recordlayer.store.change_layout import FIRST, ChangeKind, Entry, FeedState, assembled, behind, parts_of
from recordlayer.store.change_log import ChangeLog
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack

DEFAULT_LIMIT = 1_000
_LEAST_OF_A_LOG = 8
_AHEAD = 600_000_000
"""About ten minutes of versions: a token so far ahead of the database comes from another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a reader wants.

    group      only the changes of one, as packed columns; None for all
    types      names of record types; None for all. What was cleared is always there
    coalesced  each record once a page, as it is now
    """

    group: bytes | None = None
    types: Collection[str] | None = None
    coalesced: bool = False
    limit: int = DEFAULT_LIMIT
    limits: Limits = NO_LIMITS

    @classmethod
    def of(
        cls,
        log: ChangeLog,
        *,
        group: object = None,
        types: Collection[str] | None = None,
        coalesced: bool = False,
        limit: int | None = None,
        limits: Limits = NO_LIMITS,
    ) -> Asked:
        """Raises  UsageError, WrongType."""
        columns = check_group(log, group)
        if isinstance(types, str):
            raise WrongType(argument="types", value=types, hint="give a list of names")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise UsageError(limit=limit, hint="give a whole number of at least 1")
        return cls(
            group=None if columns is None else pack(columns),
            types=types,
            coalesced=coalesced,
            limit=DEFAULT_LIMIT if limit is None else limit,
            limits=limits,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Changes up to a position. `stop` is EXHAUSTED if there were no more."""

    changes: list[Change]
    position: bytes
    stop: Stop


@dataclass(slots=True)
class _Log:
    """What was read of one log."""

    entries: list[tuple[bytes, Entry]] = field(default_factory=list)
    exhausted: bool = True


async def state_of(context: Context, log: ChangeLog) -> FeedState:
    """Cost  1 read.  Raises  FeedTokenExpired if something has removed the feed."""
    value = await context.get(log.layout.state, snapshot=True)
    state = None if value is None else FeedState.parse(value)
    if state is None or state.settings.id != log.settings.id:
        raise FeedTokenExpired(
            reason="the feed's keys are gone: somebody who does not know of it cleared the store",
            hint="disable and enable the feed; its readers begin anew",
        )
    return state


async def now(context: Context, log: ChangeLog, store: RecordStore) -> bytes:
    """The position behind everything that this transaction can see.  Cost  none beyond the read version."""
    version = await context.read_version()
    return store.header.incarnation.to_bytes(4, "big") + version.to_bytes(8, "big") + b"\xff" * 4


async def check_position(store: RecordStore, state: FeedState, position: bytes | None) -> bytes:
    """The position to begin behind; None is the beginning of the store.  Raises  FeedTokenExpired."""
    if position is None:
        if state.floor is not None:
            raise FeedTokenExpired(reason="the beginning of the feed was trimmed")
        if state.partial:
            raise FeedTokenExpired(reason="the store had records before it had a feed")
        return FIRST
    if state.floor is not None and position < state.floor:
        raise FeedTokenExpired(reason="it is older than what is kept")
    incarnation, version = position[:4], int.from_bytes(position[4:12], "big")
    current = store.header.incarnation.to_bytes(4, "big")
    ahead = incarnation == current and version > await store.context.read_version() + _AHEAD
    if incarnation > current or ahead:
        raise FeedTokenExpired(
            reason="it is from a later time than the database: the store was put back",
            hint="raise the incarnation of a store that comes to another database, or back from a copy",
        )
    return position


async def read(store: RecordStore, log: ChangeLog, position: bytes, asked: Asked) -> Portion:
    """The changes behind a position."""
    context, layout = store.context, log.layout
    end = max(position, await now(context, log, store))
    logs = [layout.wide]
    if asked.group is not None:
        logs.append(layout.log_of(asked.group))
    elif log.settings.group_by:
        logs += [layout.log_of(group) for group in await changed_groups(context, log, position)]
    budget = budget_of(context, as_limits("limits", asked.limits), store.limits)
    found = await _read_logs(context, logs, position, asked.limit, budget)
    merged = sorted(pair for one in found for pair in _keyed(one))
    frontier = min((one.entries[-1][0] for one in found if not one.exhausted), default=None)
    if frontier is not None:
        merged = [pair for pair in merged if pair[0] <= frontier]
    if len(merged) > asked.limit:
        del merged[asked.limit :]
        frontier = merged[-1][0]
    stop = Stop.EXHAUSTED
    if frontier is not None:
        stop = (budget.spent() if budget is not None else None) or Stop.LIMIT_REACHED
    entries = [(place, _within(entries[at][1], asked.group)) for place, entries, at in merged]
    changes = [
        Change.of(store.codec, entry, place)
        for place, entry in entries
        if entry is not None and _wanted(entry, asked.types)
    ]
    if asked.coalesced:
        changes = await coalesced(store, changes)
    return Portion(changes=changes, position=end if frontier is None else frontier, stop=stop)


def _keyed(log: _Log) -> list[tuple[bytes, list[tuple[bytes, Entry]], int]]:
    return [(place, log.entries, at) for at, (place, _) in enumerate(log.entries)]


def _within(entry: Entry, group: bytes | None) -> Entry | None:
    """What a change is to readers of a group: of what was cleared in several groups, the part that is in this one."""
    if group is None or entry.kind is not ChangeKind.CLEAR or len(entry.key) >= len(group):
        return entry
    return replace(entry, key=group) if entry.covers(group) else None


def _wanted(entry: Entry, types: Collection[str] | None) -> bool:
    return types is None or not entry.record_type or entry.record_type in types or entry.old_type in types


async def changed_groups(context: Context, log: ChangeLog, position: bytes) -> list[bytes]:
    """The groups that have changed behind a position.  Cost  1 range read a chunk of groups."""
    prefix = log.layout.groups
    rows = await context.read_all(prefix, prefix + b"\xff", snapshot=True)
    return [key[len(prefix) :] for key, value in rows if value >= position[: len(value)]]


async def _read_logs(
    context: Context, logs: Sequence[bytes], position: bytes, limit: int, budget: Budget | None
) -> list[_Log]:
    """The first entries of each log. Of many logs less is read of each, so that a page stays a page."""
    share = limit + 1 if len(logs) <= 2 else max(_LEAST_OF_A_LOG, limit // len(logs) + 1)
    if budget is not None and budget.keys is not None:
        share = min(share, max(1, budget.keys))
    reads = [
        context.get_range(behind(log, position), log + b"\xff", limit=share, snapshot=True, mode=StreamingMode.WANT_ALL)
        for log in logs
    ]
    found: list[_Log] = []
    for log, begun in zip(logs, reads, strict=True):
        chunk = await begun
        rows, more = chunk.rows, chunk.more or len(chunk.rows) >= share
        if budget is not None and rows:
            kept = budget.take(rows)
            rows, more = kept, more or len(kept) < len(rows)
        context.counters.rows_read += len(rows)
        found.append(await _entries(context, log, rows, more=more))
    return found


async def _entries(context: Context, log: bytes, rows: list[KeyValue], *, more: bool) -> _Log:
    """Rows as entries; one whose parts were not all read is left for the next page, unless it is the first."""
    entries = assembled(rows, log)
    used = sum(size for _, _, size in entries)
    if used < len(rows) and not entries:
        first, value = rows[0]
        parts = await context.read_all(first, first + b"\xff", snapshot=True)
        if len(parts) != parts_of(value, first) + 1:
            raise CorruptFeed(key=first, reason="parts of it are missing")
        entries, used = assembled(parts, log), len(rows)
        more = True
    elif used < len(rows) and not more:
        raise CorruptFeed(key=rows[used][0], reason="parts of it are missing")
    return _Log([(place, entry) for place, entry, _ in entries], exhausted=not more or not entries)


# -- what is handed out --------------------------------------------------------------------------------------


class ChangesPage:
    """Changes in the order in which they were committed. Iterate over it.

    token    where to go on, behind the last of them; at the end, behind all that there was
    more     whether there may be more already: ask again at once
    stopped  why it ended: EXHAUSTED, LIMIT_REACHED, or a limit of keys, bytes or time
    """

    __slots__ = ("_give", "changes", "position", "stopped")

    def __init__(self, portion: Portion, give: Giver) -> None:
        self.changes = portion.changes
        self.position = portion.position
        self.stopped = portion.stop
        self._give = give

    @property
    def token(self) -> bytes:
        return self._give.token(self.position)

    @property
    def more(self) -> bool:
        return self.stopped is not Stop.EXHAUSTED

    def token_behind(self, change: Change) -> bytes:
        """Where to go on behind one of the changes."""
        return self._give.token(change.position)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __repr__(self) -> str:
        return f"<ChangesPage of {len(self.changes)} changes{', and there may be more' if self.more else ''}>"


class Giver:
    """Makes the tokens of one reader, and reads them."""

    __slots__ = ("_feed", "_group", "_purpose", "_sealed", "_store")

    def __init__(
        self,
        store: RecordStore,
        feed: bytes,
        group: bytes | None,
        sealed: Sealed,
        *,
        purpose: Purpose = Purpose.CHANGES,
    ) -> None:
        self._store, self._feed, self._group, self._sealed, self._purpose = store, feed, group, sealed, purpose

    def token(self, position: bytes, *, place: bytes | None = None, until: bytes | None = None) -> bytes:
        token = Token(
            purpose=self._purpose, feed=self._feed, group=self._group, position=position, place=place, until=until
        )
        return self._sealed.closed(token.encoded(self._store))

    def opened(self, token: bytes) -> Token:
        """What a token says.  Raises  BadFeedToken, FeedTokenExpired."""
        try:
            inner = self._sealed.opened(token)
        except BadContinuation as error:
            if error.fields.get("reason") == EXPIRED:
                raise FeedTokenExpired(reason="the time for which it was sealed is over") from error
            raise BadFeedToken(reason=error.fields.get("reason"), hint=error.hint) from error
        assert inner is not None, "a token was given"
        return Token.decode(inner, self._store, self._purpose, self._feed, self._group)


async def changes(store: RecordStore, since: bytes | None, asked: Asked, sealed: Sealed) -> ChangesPage:
    """The changes behind a token, or from the beginning of the store on.

    Raises  FeedMissing, FeedTokenExpired, BadFeedToken, CorruptFeed.
    """
    log = log_of(store)
    give = Giver(store, log.settings.id, asked.group, sealed)
    position = None if since is None else give.opened(since).position
    state = await state_of(store.context, log)
    start = await check_position(store, state, position)
    return ChangesPage(await read(store, log, start, asked), give)


async def token_now(store: RecordStore, group: bytes | None, sealed: Sealed) -> bytes:
    """The token behind everything that this transaction can see: for who copies the store first."""
    log = log_of(store)
    return Giver(store, log.settings.id, group, sealed).token(await now(store.context, log, store))


async def token_oldest(store: RecordStore, group: bytes | None, sealed: Sealed) -> bytes:
    """The token before the oldest change that is kept: for who wants recent history, not a replica.  Cost  1 read."""
    log = log_of(store)
    state = await state_of(store.context, log)
    return Giver(store, log.settings.id, group, sealed).token(state.floor or FIRST)
