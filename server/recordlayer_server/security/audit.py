"""The audit log: who did which administrative action, one JSON object a line, only ever added to.

A line is on disk before the action is answered. Rotate it by moving the file away: the next line begins a new one.
"""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path


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

    def _append(self, line: bytes) -> None:
        file = self._open()
        try:
            while line:
                line = line[os.write(file, line) :]
            os.fsync(file)
        finally:
            os.close(file)
