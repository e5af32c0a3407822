"""How much one database may hold: a soft bound. The engine estimates its size, again after some seconds of writing.

A database over its bound takes deletions only. The estimate is poor for less than some megabytes, and a burst of writes
between two looks passes: it is there for bills and against accidents.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from google.rpc import code_pb2, error_details_pb2

from recordlayer import aio
from recordlayer.tuples import Subspace
from recordlayer_server import statuses

LOOK_AGAIN = 10.0
"""Seconds for which an estimate is good."""
REMEMBERED = 100_000


class Storage:
    """The sizes of databases, as far as they are known.

    most  bytes of keys and values that a database may have, 0 for any number
    """

    def __init__(self, database: aio.Database, *, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self.most = most
        self._clock = clock
        self._sizes: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    async def is_full(self, place: Subspace) -> bool:
        """Whether a database has as much as it may.  Cost  1 size, once in ten seconds for each database."""
        if not self.most:
            return False
        key, now = place.key(), self._clock()
        size, looked = self._sizes.get(key, (0, float("-inf")))
        if now - looked >= LOOK_AGAIN:
            self._sizes[key] = size, now  # others need not look too
            size = await self._database.tenant(place).size()
            self._sizes[key] = size, now
            self._sizes.move_to_end(key)
            while len(self._sizes) > REMEMBERED:
                self._sizes.popitem(last=False)
        return size >= self.most

    def exceeded(self) -> statuses.Refusal:
        """What a write to a full database ends with. Sending it again is no use: something has to go first."""
        text = "this database has as much as it may: delete something"
        violation = error_details_pb2.QuotaFailure.Violation(subject="database", description=f"{self.most} bytes")
        failure = error_details_pb2.QuotaFailure(violations=[violation])
        return statuses.refusal(code_pb2.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", text, failure, limit=self.most)
