"""When a call is tried again.

If and only if the service says so by a RetryInfo, after its delay; where no answer came at all, a read is sent again,
and so is a write, since each one carries an idempotency key and is applied once. Both stay within the call's deadline,
and within a budget of retries that all calls of a client share: each call that went well earns a tenth of one.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import status_pb2

from recordlayer.client.refusals import no_answer, reason_of, refusal_of, retry_delay, status_of
from recordlayer.errors import RecordLayerError

_MOST = 10.0
_EARNED = 0.1


@dataclass(slots=True)
class Budget:
    """How many retries are left to a client."""

    left: float = _MOST

    def earn(self) -> None:
        self.left = min(_MOST, self.left + _EARNED)


@dataclass(slots=True)
class Attempts:
    """Those of one call, which ends after some seconds."""

    budget: Budget
    seconds: float
    _end: float = field(init=False)
    _pause: float = 0.05

    def __post_init__(self) -> None:
        self._end = time.monotonic() + self.seconds

    def left(self) -> float:
        """Seconds until the deadline."""
        return max(self._end - time.monotonic(), 0.001)

    def delay_behind(self, error: Any) -> float:
        """Seconds to wait before the next attempt, which is taken off the budget.

        Raises  what the failure is as an error of the library, if it is the last word
        """
        status = status_of(error)
        if status is not None:
            return self._spend(self.told(status), refusal_of(status), error)
        lost = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        return self._spend(self._pause * (0.5 + random.random()) if lost else None, no_answer(error), error)

    def told(self, status: status_pb2.Status) -> float | None:
        """Seconds that a status says to wait; None: another attempt is no use."""
        delay = retry_delay(status)
        if delay is None and reason_of(status) == "COMMIT_UNKNOWN":
            return self._pause  # the same key finds out
        return delay

    def may_wait(self, delay: float) -> bool:
        """Whether deadline and budget allow another attempt after some seconds; then it is taken off the budget."""
        if self.budget.left < 1 or delay >= self.left():
            return False
        self.budget.left -= 1
        self._pause *= 2
        return True

    def _spend(self, delay: float | None, failure: RecordLayerError, error: Exception) -> float:
        if delay is None or not self.may_wait(delay):
            raise failure from error
        return delay
