"""Index types whose entries may lie scattered, and take less room when they are put together."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Tidying(Protocol):
    """What such types can do besides: called at the end of a rebuild, and whenever somebody has the time."""

    async def tidy(self, *, limit: int = 0, resume: bytes | None = None) -> bytes | None:
        """Put them together: all, or about `limit` pairs from `resume` on. Where to go on, None at the end. Scans give
        the same before and after."""
