# Generated from recordlayer/aio/feed.py by tests/house/generate_blocking.py: do not edit.
"""Change feeds, in the blocking facade."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from recordlayer.cursor.limits import NO_LIMITS, Limits
from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.feed import consumers, groups, reading, settings, trimming, versions, watching
from recordlayer.feed.consumers import Consumer, FeedStart
from recordlayer.feed.groups import GroupsPage
from recordlayer.feed.reading import Asked, ChangesPage
from recordlayer.feed.trimming import Trimmed
from recordlayer.feed.versions import VersionsPage
from recordlayer.store.change_layout import FeedSettings
from recordlayer.store.scanning import sealed
from recordlayer.store.store import RecordStore as Core
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking


class FeedWatch:
    """Waits for a change. `ChangeFeed.watch` gives one; it begins with the commit of that transaction."""

    def __init__(self, core: watching.FeedWatch) -> None:
        self._core = core

    def wait(self, at_most: timedelta | None = None) -> bool:
        """Whether something has changed; False once so much time has passed. Call it behind the transaction, once: the
        watch is over then. It may fire without a change: read, and set another one.

        Raises  UsageError; what has ended the watch, such as TooManyWatches.
        """
        return run_blocking(self._core.wait(at_most))

    def cancel(self) -> None:
        """Give the watch up."""
        self._core.cancel()


class VersionFeed:
    """The records of a VERSION index in the order of their last changes: `RecordStore.version_feed`. For stores that
    are shared with the Java Record Layer; others can have a `ChangeFeed`.

    Deletions are not in it: a record that is gone has left the index as well, and a replica would keep it for ever.
    Where they matter, save a record with a mark instead of deleting it, and remove it once all who follow have seen it.
    """

    def __init__(self, core: versions.VersionFeed, store: Core) -> None:
        self._core = core
        self._store = store

    def changes(
        self,
        *,
        since: bytes | None = None,
        limit: int | None = None,
        limits: Limits = NO_LIMITS,
        seal: ContinuationSeal | None = None,
    ) -> VersionsPage:
        """The records that have changed behind a token, or all of them, each once, as it is now. Go on at `page.token`,
        at once if there is `page.more`. Parameters as those of `ChangeFeed.changes`.

        Cost    1 range read a page, 1 a record. Nobody conflicts with it.
        Raises  FeedTokenExpired once the store's incarnation is raised; BadFeedToken, IndexNotReadable, UsageError.
        """
        return run_blocking(self._core.changes(since, sealed(self._store, seal), limit=limit, limits=limits))

    def now(self, *, seal: ContinuationSeal | None = None) -> bytes:
        """The token behind all that this transaction can see.  Cost  none."""
        return run_blocking(self._core.now(sealed(self._store, seal)))


class ChangeFeed:
    """What changes in a store, deletions included, in the order of the commits: `RecordStore.feed`.

    A feed may be kept in groups, by the first columns of primary keys: then the changes of one group are read, waited
    for and listed on their own. `group` is a tuple of these columns, or the value of the only one.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def settings(self) -> FeedSettings | None:
        """How the feed is kept, None if the store has none.  Cost  none."""
        return None if self._core.feed is None else self._core.feed.settings

    def enable(self, *, group_by: int = 0, new_images: bool = False, old_images: bool = False) -> FeedSettings:
        """Keep a feed from now on, whoever writes. The store needs format version 8 or later, and 13 if it may ever
        move to another database. Store objects that this transaction opened before do not know of it.

        group_by    so many leading columns of the primary key make a group; 0 for none
        new_images  changes have the record as it was saved, as large as it is stored
        old_images  changes have the record as it was before

        Cost    1 range read, 2 writes. From then on 1 write a change, 1 a transaction, 1 a group it changes.
        Raises  FeedRefused if it is kept otherwise, or the store is shared with Java; UsageError, WrongType.
        """
        found = settings.enable(self._core, group_by=group_by, new_images=new_images, old_images=old_images)
        return run_blocking(found)

    def disable(self) -> bool:
        """Keep no feed any more and remove what there is. Whether there was one.  Cost  1 write, 1 clear range."""
        return settings.disable(self._core)

    # -- reading ---------------------------------------------------------------------------------------

    def changes(
        self,
        *,
        since: bytes | None = None,
        group: Any = None,
        types: Collection[str] | None = None,
        coalesced: bool = False,
        limit: int | None = None,
        limits: Limits = NO_LIMITS,
        seal: ContinuationSeal | None = None,
    ) -> ChangesPage:
        """The changes that were committed behind a token, oldest first: iterate over them, go on at `page.token`, at
        once if there is `page.more`. A page may be empty and have more.

        since      the token of an earlier page, None for the beginning of the store
        group      only the changes of one group
        types      only records of these types, and what was cleared
        coalesced  each record once, as it is now, deletions as such; a record that changes again comes again later
        limit      changes that are looked at, 1,000 if nothing is said
        limits     keys, bytes and time
        seal       tokens that nobody else can read, change or use elsewhere

        Cost    1 read, 1 range read, 2 for a group; for all groups 2, and 1 for each that has changed. Coalesced: 1
                range read a record. Nobody conflicts with it.
        Raises  FeedTokenExpired: begin anew; BadFeedToken, FeedMissing, CorruptFeed, UsageError, WrongType.
        """
        asked = self._asked(group=group, types=types, coalesced=coalesced, limit=limit, limits=limits)
        return run_blocking(reading.changes(self._core, since, asked, sealed(self._core, seal)))

    def now(self, *, group: Any = None, seal: ContinuationSeal | None = None) -> bytes:
        """The token behind all that this transaction can see. Take it, copy the store in as many transactions as that
        needs, then follow the changes from it: what both have is the same.  Cost  none.
        """
        return run_blocking(reading.token_now(self._core, self._group(group), sealed(self._core, seal)))

    def oldest(self, *, group: Any = None, seal: ContinuationSeal | None = None) -> bytes:
        """The token before the oldest change that is kept: recent history, not what a replica needs.  Cost  1 read."""
        return run_blocking(reading.token_oldest(self._core, self._group(group), sealed(self._core, seal)))

    def groups_changed(
        self, *, since: bytes | None = None, limit: int | None = None, seal: ContinuationSeal | None = None
    ) -> GroupsPage:
        """The groups that have changed behind a token of an earlier call, or ever.

        Cost    3 reads; it looks at one entry for each group there is.
        Raises  FeedTokenExpired, BadFeedToken, FeedMissing; UsageError for a feed without groups.
        """
        return run_blocking(groups.groups_changed(self._core, since, sealed(self._core, seal), limit=limit))

    def groups_now(self, *, seal: ContinuationSeal | None = None) -> bytes:
        """The token for `groups_changed` behind all that this transaction can see: for who lists the groups by other
        means, and then follows them.  Cost  none.
        """
        return run_blocking(groups.groups_now(self._core, sealed(self._core, seal)))

    def watch(self, *, group: Any = None) -> FeedWatch:
        """Waits for a change that this transaction does not see, of the feed or of a group. It begins at the commit.

        Cost    1 watch, 2 for a group, of the 10,000 that a database may have.
        Raises  FeedMissing, UsageError.
        """
        return FeedWatch(watching.watch(self._core, group))

    # -- consumers -------------------------------------------------------------------------------------

    def consume(
        self,
        name: str,
        *,
        start: FeedStart = FeedStart.BEGINNING,
        group: Any = None,
        types: Collection[str] | None = None,
        coalesced: bool = False,
        limit: int | None = None,
        limits: Limits = NO_LIMITS,
        seal: ContinuationSeal | None = None,
    ) -> ChangesPage:
        """The changes that the consumer of this name has not seen yet. Its place moves when this transaction commits:
        what the transaction writes because of them is written exactly once.

        start  where it begins if it has no place yet

        Other parameters as in `changes`.  Cost  as `changes`, 1 read and 1 write more.
        Raises  as `changes`; behind FeedTokenExpired, `rewind` it.
        """
        asked = self._asked(group=group, types=types, coalesced=coalesced, limit=limit, limits=limits)
        found = consumers.consume(self._core, name, sealed(self._core, seal), asked=asked, start=start)
        return run_blocking(found)

    def rewind(self, name: str, token: bytes, *, group: Any = None, seal: ContinuationSeal | None = None) -> None:
        """Have a consumer go on at a token.  Cost  1 read, 1 write.  Raises  BadFeedToken, FeedTokenExpired."""
        run_blocking(consumers.rewind(self._core, name, token, sealed(self._core, seal), group=group))

    def forget(self, name: str, *, group: Any = None) -> bool:
        """Remove a consumer's place. Whether it had one.  Cost  1 read, 1 clear."""
        return run_blocking(consumers.forget(self._core, name, group=group))

    def consumers(self) -> list[Consumer]:
        """The places that are kept, and which of them are behind.  Cost  1 range read, a read each."""
        return run_blocking(consumers.consumers(self._core))

    # -- trimming --------------------------------------------------------------------------------------

    def trim(self, older_than: timedelta, *, limit: int = 1_000, place: bytes | None = None) -> Trimmed:
        """Forget changes that are older, about `limit` at most, in this transaction. `Database.trim_feed` goes on until
        all is done. Tokens and consumers that would need them get FeedTokenExpired.

        Cost    2 reads, 1 range read a log; 1 clear range a log, 1 write.
        Raises  FeedMissing, UsageError.
        """
        return run_blocking(trimming.trim(self._core, older_than, limit=limit, place=place))

    def _asked(self, **wanted: Any) -> Asked:
        return Asked.of(settings.log_of(self._core), **wanted)

    def _group(self, group: Any) -> bytes | None:
        columns = settings.check_group(settings.log_of(self._core), group)
        return None if columns is None else pack(columns)

    def __repr__(self) -> str:
        return f"<ChangeFeed {self.settings!r}>"
