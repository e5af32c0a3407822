"""The names that this process has seen committed.

A name keeps its number, so an entry is good for as long as the resolver's version stands; the version is looked at once
in half a minute. What a transaction wrote itself is kept once it has committed.

Source  Record Layer: FDBDatabase's directory caches and resolver state cache
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

MOST_NAMES = 10_000
LOOK_AGAIN_SECONDS = 30.0
_LONGEST_TRANSACTION = 60.0


class Name(NamedTuple):
    """What a name is interned as.

    about  bytes that are kept with it; None if there are none
    """

    number: int
    about: bytes | None = None


class Known:
    """What is known of one resolver. The oldest entries go first when there are too many."""

    __slots__ = ("_new", "checked_at", "names", "numbers", "version")

    def __init__(self) -> None:
        self._new: dict[str, float] = {}
        self.version: int | None = None
        self.checked_at = 0.0
        self.names: dict[str, Name] = {}
        self.numbers: dict[int, str] = {}

    def is_new(self, text: str, now: float) -> None:
        """Somebody here interns a name and has not committed yet: until then, who reads it may read his own write."""
        if len(self._new) >= MOST_NAMES:
            self._new = {text: since for text, since in self._new.items() if now - since < _LONGEST_TRANSACTION}
        self._new[text] = now

    def has_read(self, text: str, name: Name, now: float) -> None:
        """A transaction has read a name."""
        since = self._new.get(text)
        if since is None or now - since > _LONGEST_TRANSACTION:
            self.learn(text, name)

    def learn(self, text: str, name: Name) -> None:
        """A name is known to be committed."""
        self._new.pop(text, None)
        for kept in (self.names, self.numbers):
            while len(kept) >= MOST_NAMES:
                kept.pop(next(iter(kept)), None)  # type: ignore[call-overload]  # each has keys of its own type
        self.names[text] = name
        self.numbers[name.number] = text

    async def refresh(self, now: float, version: Callable[[], Awaitable[int]]) -> None:
        """Look at the resolver's version, if that was long ago, and forget what was known under another."""
        if self.version is not None and now - self.checked_at < LOOK_AGAIN_SECONDS:
            return
        found = await version()
        if found != self.version:
            self.names, self.numbers = {}, {}
        self.version, self.checked_at = found, now


class NameCache:
    """All resolvers of a database, by layout and scope."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Known] = {}
        self.reverse_directory: int | None = None
        """The number of the directory `recdb_rd_cache`, once somebody has seen it committed."""

    def of(self, layout: str, scope: bytes) -> Known:
        key = (layout, scope)
        found = self._known.get(key)
        if found is None:
            found = self._known.setdefault(key, Known())
        return found
