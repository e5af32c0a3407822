"""Waiting for a change of a feed, or of one of its groups: an engine's watch of the key that each commit changes.

A watch is set by the transaction that has read the changes, and so misses none that comes behind them. It may fire
without a change: it is a hint, read again. Watches are limited in number: share one among all who wait for the same.

Cost    1 watch, 2 for a group. No reads, no conflicts
"""

from __future__ import annotations

from datetime import timedelta

from recordlayer.errors import UsageError
from recordlayer.feed.settings import check_group, log_of
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack
from recordlayer.waiting.overlap import Group
from recordlayer.waiting.timer import sleep
from recordlayer.waiting.waitable import Waitable
from recordlayer.world import World


class FeedWatch:
    """What waits. It begins with the commit of the transaction that has set it."""

    def __init__(self, watches: list[Waitable[None]], world: World) -> None:
        self._watches = watches
        self._world = world

    async def wait(self, at_most: timedelta | None = None) -> bool:
        """Whether something has changed; False once `at_most` has passed. The watch is over in both cases.

        Raises  UsageError; what has ended the watch, such as TooManyWatches.
        """
        if at_most is not None and not isinstance(at_most, timedelta):
            raise UsageError(at_most=at_most, hint="give a datetime.timedelta, or None")
        group = Group()
        try:
            members = [group.add(watch) for watch in self._watches]
            alarm = None if at_most is None else group.add(sleep(at_most.total_seconds(), self._world))
            while True:
                for member in members:
                    if member.done:
                        member.outcome()
                        group.close()
                        return True
                if alarm is not None and alarm.done:
                    group.close()
                    return False
                await group
                group.step()
        except BaseException as interrupt:
            group.abandon(interrupt)
            raise

    def cancel(self) -> None:
        """Give the watch up, and its place among the engine's."""
        for watch in self._watches:
            watch.cancel()


def watch(store: RecordStore, group: object = None) -> FeedWatch:
    """A watch of the feed, or of one group.  Raises  FeedMissing, UsageError."""
    log = log_of(store)
    columns = check_group(log, group)
    keys = [log.layout.last]
    if columns is not None:
        keys = [log.layout.last_of(pack(columns)), log.layout.last_wide]
    return FeedWatch([store.context.transaction.watch(key) for key in keys], store.context.world)
