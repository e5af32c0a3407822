"""How long a transaction may take and what it may do, and when its caller is warned: once of each.

time        from its beginning to its commit; a warning when a quarter of it is left
idle        from an answer to the next step; a warning at its half
operations  records looked up, pages, and operations; a warning when a tenth is left
bytes       read and written; the same
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from google.rpc import code_pb2

from recordlayer.client.pb import context_pb2, transactions_pb2
from recordlayer_server import statuses
from recordlayer_server.limits import Limits

Reply = transactions_pb2.TransactReply


class Bounds:
    """The bounds of one transaction, which begins now.

    time  seconds that it may take at most, 0 for the server's
    """

    def __init__(self, limits: Limits, *, time: float = 0.0) -> None:
        self._clock = asyncio.get_running_loop().time
        self._most = limits.transaction_time.total_seconds()
        self._time = min(time or self._most, self._most)
        self._idle = limits.transaction_idle.total_seconds()
        self._operations = limits.transaction_operations
        self._bytes = self._all_bytes = limits.transaction_bytes
        self._few = limits.transaction_operations // 10
        self._warned: set[int] = set()
        self.ends = self._clock() + self._time
        """On the clock of the event loop."""
        self._answered = self._clock()

    @property
    def time_left(self) -> float:
        return max(0.0, self.ends - self._clock())

    def begun(self) -> Reply.Begun:
        """What the caller is told of them."""
        made = Reply.Begun(operations=self._operations, bytes=self._bytes)
        made.time.FromTimedelta(timedelta(seconds=self.time_left))
        made.idle.FromTimedelta(timedelta(seconds=self._idle))
        return made

    # -- time ----------------------------------------------------------------------------------------------

    def answered(self) -> None:
        """The caller has the answer to its last step: it is its turn."""
        self._answered = self._clock()
        self._warned.discard(Reply.IDLE)

    def next_look(self) -> float:
        """Seconds until there may be a warning, or the end."""
        moments = [self.ends, self._answered + self._idle]
        if Reply.TIME not in self._warned:
            moments.append(self.ends - self._time / 4)
        if Reply.IDLE not in self._warned:
            moments.append(self._answered + self._idle / 2)
        return max(0.0, min(moments) - self._clock())

    def check(self) -> None:
        """Raises  Refusal when the transaction is over."""
        now = self._clock()
        if now >= self.ends:
            raise ended("time", "the transaction took too long: begin again, with less in it")
        if now >= self._answered + self._idle:
            raise ended("idle", "no step came for too long: begin again")

    # -- operations and bytes ------------------------------------------------------------------------------

    def take(self, operations: int) -> None:
        """A step has so many operations.  Raises  Refusal if that is too much; then nothing is taken."""
        if operations > self._operations:
            raise statuses.too_large("operations of the transaction", limit=self._operations, size=operations)
        if self._bytes <= 0:
            size = self._all_bytes - self._bytes
            raise statuses.too_large("bytes of the transaction", limit=self._all_bytes, size=size)
        self._operations -= operations

    def spent(self, cost: context_pb2.Cost) -> None:
        """A step has read and written."""
        self._bytes -= cost.bytes_read + cost.bytes_written

    def warnings(self) -> list[Reply]:
        """What the caller is to be warned of now."""
        now, found = self._clock(), []
        near = {
            Reply.TIME: now >= self.ends - self._time / 4,
            Reply.IDLE: now >= self._answered + self._idle / 2,
            Reply.OPERATIONS: self._operations <= self._few,
            Reply.BYTES: self._bytes <= self._all_bytes // 10,
        }
        for bound, is_near in near.items():
            if is_near and bound not in self._warned:
                self._warned.add(bound)
                told = Reply.Warning(bound=bound, operations_left=self._operations, bytes_left=max(0, self._bytes))
                told.time_left.FromTimedelta(timedelta(seconds=self.time_left))
                found.append(Reply(warning=told))
        return found


def ended(why: str, text: str) -> statuses.Refusal:
    """The transaction is over, and nothing of it is there."""
    return statuses.refusal(code_pb2.ABORTED, "TRANSACTION_ENDED", text, retry=0.05, why=why)
