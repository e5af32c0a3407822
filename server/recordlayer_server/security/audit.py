"""The audit log: who did which administrative action, one JSON object a line, only ever added to.

A line is on disk before the action is answered. Rotate it by moving the file away: the next line begins a new one.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from recordlayer_server import statuses
from recordlayer_server.places import label

if TYPE_CHECKING:
    from recordlayer_server.call import Call

T = TypeVar("T")


def names_in(request: Any) -> list[str]:
    """What an action is about, by kind and name, as far as the request says that; no contents."""
    found: list[str] = []
    for one in getattr(request, "operations", ()):
        kinds = one.DESCRIPTOR.enum_types_by_name["Type"].values_by_number
        found.append(f"{kinds[one.type].name if one.type in kinds else one.type} {one.name.name}")
    for work in ("build", "scrub", "drop"):
        found += getattr(getattr(request, work, None), "indexes", ())
    found += getattr(request, "request_ids", ())
    found += [name for field in ("name", "peer") if (name := getattr(request, field, ""))]
    return found


class AuditLog:
    """Appends lines to a file.  Raises  OSError when it is made, if the file cannot be written."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        os.close(self._open())

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    async def write(self, *, who: str, action: str, outcome: str, **values: object) -> None:
        """Add a line.  Raises  OSError: an action that cannot be recorded is not to be done."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "who": who, "action": action, "outcome": outcome, **values}
        await asyncio.to_thread(self._append, json.dumps(line, default=str, ensure_ascii=False).encode() + b"\n")

    async def around(self, call: Call, request: Any, answer: Awaitable[T]) -> T:
        """An action's answer, once its line is written, however it ended.  Raises  as the action; OSError."""
        outcome = "CANCELLED"
        try:
            result = await answer
            outcome = "OK"
            return result
        except Exception as error:
            status = statuses.known(error)
            outcome = "INTERNAL" if status is None else statuses.reason_of(status)
            raise
        finally:
            await self.write(
                who=call.identity.name,
                action=call.method,
                outcome=outcome,
                request=call.request_id,
                tenant="" if call.tenant is None else label(call.tenant),
                names=names_in(request),
            )

    def _append(self, line: bytes) -> None:
        file = self._open()
        try:
            while line:
                line = line[os.write(file, line) :]
            os.fsync(file)
        finally:
            os.close(file)
