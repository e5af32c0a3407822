"""Turns: work on the same thing in one transaction, in the order in which it was begun.

A transaction's coroutines may run side by side, as with `asyncio.gather`. Two that change the same record would both
read what was there before, and leave index entries of a record that never was; so the second waits for the first.

Cost    one look into a dict for each change, unless somebody is in the way
Source  Record Layer, LockRegistry: the same purpose, by key instead of by name
"""

from __future__ import annotations

from collections import deque

from recordlayer.waiting.waitable import Promise


class Turns:
    """Who works on what in one transaction."""

    __slots__ = ("_queues", "_watchers")

    def __init__(self) -> None:
        self._queues: dict[bytes, deque[Promise[None]] | None] = {}
        self._watchers: list[Promise[None]] = []

    def take(self, key: bytes) -> bool:
        """Whether the key is ours now; if not, `wait` for it. `leave` it afterwards."""
        if key in self._queues:
            return False
        self._queues[key] = None
        return True

    async def wait(self, key: bytes) -> None:
        """The key is ours when this returns."""
        queue = self._queues[key]
        if queue is None:
            queue = self._queues[key] = deque()
        turn: Promise[None] = Promise()
        queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.ready():  # it was handed to us, and we do not want it any more
                self.leave(key)
            else:
                queue.remove(turn)
            raise

    async def quiet(self, prefix: bytes) -> None:
        """Nobody works on a key that begins with `prefix` when this returns, until the caller waits for something. It
        takes no turn: who held some keys and waited for others would keep those out who do so too."""
        while any(key.startswith(prefix) for key in self._queues):
            left: Promise[None] = Promise()
            self._watchers.append(left)
            await left

    def leave(self, key: bytes) -> None:
        """The next in line goes on."""
        queue = self._queues[key]
        if queue:
            queue.popleft().resolve(None)
        else:
            del self._queues[key]
            if self._watchers:
                watchers, self._watchers = self._watchers, []
                for watcher in watchers:
                    watcher.resolve(None)
