"""Consumers: readers whose place in the feed is kept in the database, moved by the transaction that uses what was read.

A consumer that writes to the same database, in the same transaction, sees each change exactly once, whenever it is
killed: either both are there, what it wrote and its new place, or neither. Two processes with the same name conflict,
and one of them tries again. What it does elsewhere it may do twice.

Cost    1 read beside those of the page; 1 write if there were changes
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields, number_field
from recordlayer.cursor.sealing import Sealed
from recordlayer.cursor.step import Stop
from recordlayer.errors import BadContinuation, CorruptFeed, UsageError, WrongType
from recordlayer.feed.reading import Asked, ChangesPage, Giver, check_position, now, read, state_of
from recordlayer.feed.settings import check_group, log_of
from recordlayer.store.change_layout import FIRST, POSITION_BYTES
from recordlayer.store.change_log import ChangeLog
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack, unpack

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_NAME = 1_000
_REFRESH = 60_000_000
"""A consumer that finds nothing writes its place anew when it has moved by so many versions, about a minute: a place
that is never moved would be trimmed away in a quiet group of a busy feed."""


class FeedStart(enum.Enum):
    """Where a consumer begins that has no place yet."""

    BEGINNING = "beginning"
    """With the first change of the store; refused if that is not there any more, or the feed came later."""
    OLDEST = "oldest"
    """With the oldest change that is kept."""
    NOW = "now"
    """With what changes behind its first transaction. That one may copy the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """A place that is kept.

    group     of whose changes, None for all
    moved_at  by the wall clock of who moved it
    behind    whether there are changes that it has not seen
    """

    name: str
    group: tuple[Any, ...] | None
    moved_at: datetime
    behind: bool


async def consume(
    store: RecordStore, name: str, sealed: Sealed, *, asked: Asked, start: FeedStart = FeedStart.BEGINNING
) -> ChangesPage:
    """The changes that a consumer has not seen, and its place behind them once this transaction commits.

    Raises  FeedTokenExpired if they were trimmed: `rewind` it then, to a token of before its copy of the store;
            FeedMissing, CorruptFeed; UsageError, WrongType.
    """
    log = log_of(store)
    key = _key(log, name, asked.group)
    if not isinstance(start, FeedStart):
        raise WrongType(argument="start", value=start, hint="use FeedStart")
    context = store.context
    kept = context.get(key)
    state = await state_of(context, log)
    value = await kept
    position: bytes | None
    if value is not None:
        position = _parse(key, value)[0]
    elif start is FeedStart.NOW:
        position = await now(context, log, store)
    else:
        position = None if start is FeedStart.BEGINNING else state.floor or FIRST
    begin = await check_position(store, state, position)
    portion = await read(store, log, begin, asked)
    if value is None or portion.changes or portion.stop is not Stop.EXHAUSTED or _has_moved(begin, portion.position):
        _keep(store, key, portion.position)
    return ChangesPage(portion, Giver(store, log.settings.id, asked.group, sealed))


def _has_moved(before: bytes, after: bytes) -> bool:
    moved = int.from_bytes(after[4:12], "big") - int.from_bytes(before[4:12], "big")
    return before[:4] != after[:4] or moved >= _REFRESH


async def rewind(store: RecordStore, name: str, token: bytes, sealed: Sealed, *, group: object = None) -> None:
    """Have a consumer go on at a token.  Cost  1 read, 1 write.  Raises  BadFeedToken, FeedTokenExpired."""
    log = log_of(store)
    columns = check_group(log, group)
    packed = None if columns is None else pack(columns)
    position = Giver(store, log.settings.id, packed, sealed).opened(token).position
    await check_position(store, await state_of(store.context, log), position)
    _keep(store, _key(log, name, packed), position)


async def forget(store: RecordStore, name: str, *, group: object = None) -> bool:
    """Remove a consumer's place. Whether it had one.  Cost  1 read, 1 clear."""
    log = log_of(store)
    columns = check_group(log, group)
    key = _key(log, name, None if columns is None else pack(columns))
    there = await store.context.get(key) is not None
    store.context.clear(key)
    return there


async def consumers(store: RecordStore) -> list[Consumer]:
    """All places that are kept.  Cost  1 range read, 1 read, and 1 for each that follows a group."""
    log = log_of(store)
    prefix, context = log.layout.consumers, store.context
    last = await context.get(log.layout.last, snapshot=True)
    wide = await context.get(log.layout.last_wide, snapshot=True)
    found: list[Consumer] = []
    for key, value in await context.read_all(prefix, prefix + b"\xff", snapshot=True):
        name, group = unpack(key, len(prefix))
        position, moved = _parse(key, value)
        newest = last
        if group is not None:
            own = await context.get(log.layout.last_of(group), snapshot=True)
            newest = max((one for one in (own, wide) if one is not None), default=None)
        found.append(
            Consumer(
                name=name,
                group=None if group is None else unpack(group),
                moved_at=_EPOCH + timedelta(milliseconds=moved),
                behind=newest is not None and newest > position[: len(newest)],
            )
        )
    return found


def _key(log: ChangeLog, name: object, group: bytes | None) -> bytes:
    if not isinstance(name, str):
        raise WrongType(argument="name", value=name, hint="a consumer is named by a string")
    if not name or len(name.encode()) > _LONGEST_NAME:
        raise UsageError(name=name[:40], hint=f"a name has 1 to {_LONGEST_NAME} bytes")
    return log.layout.consumer(name, group)


def _keep(store: RecordStore, key: bytes, position: bytes) -> None:
    moved = max(0, int(store.context.world.clock.wall() * 1000))
    store.context.set(key, encode_fields({1: position, 2: moved}))


def _parse(key: bytes, value: bytes) -> tuple[bytes, int]:
    try:
        fields = decode_fields(value)
        position = bytes_field(fields, 1)
        if position is None or len(position) != POSITION_BYTES:
            raise BadContinuation(reason="it has no position")
        return position, number_field(fields, 2)
    except BadContinuation as error:
        raise CorruptFeed(key=key, value=value[:40], reason="a consumer's place cannot be read") from error
