"""How many transactions are open at once, of each database and of all: each holds what it wrote until then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from google.rpc import code_pb2

from recordlayer.errors import Overloaded
from recordlayer_server import statuses
from recordlayer_server.limits import Limits
from recordlayer_server.places import Tenant


class OpenOnes:
    """The transactions that are open in this process."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: Counter[Tenant] = Counter()
        self._all = 0

    @property
    def open(self) -> int:
        """How many there are."""
        return self._all

    @contextmanager
    def place(self, tenant: Tenant) -> Iterator[None]:
        """A place for one more.  Raises  Refusal, Overloaded."""
        most = self._limits.transactions_per_database
        if self._open[tenant] >= most:
            text = f"this database has {most} transactions open already"
            raise statuses.refusal(code_pb2.RESOURCE_EXHAUSTED, "THROTTLED", text, retry=0.5)
        if self._all >= self._limits.transactions_per_server:
            raise Overloaded(why="too many transactions are open", retry_after=timedelta(seconds=0.5))
        self._open[tenant] += 1
        self._all += 1
        try:
            yield
        finally:
            self._all -= 1
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]
