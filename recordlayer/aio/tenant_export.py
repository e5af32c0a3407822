"""Exports of tenants under way, in the asyncio facade, and where imports take their bytes from."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import BinaryIO

from recordlayer.errors import WrongType
from recordlayer.tenant.export import Exporter, ExportReport
from recordlayer.waiting.drivers import run_asyncio

PIECE = 1 << 20


class TenantExport:
    """An export under way: an iterator of bytes. `Tenant.export` gives one."""

    def __init__(self, core: Exporter) -> None:
        self._core = core

    @property
    def report(self) -> ExportReport:
        """How far it is."""
        return self._core.report

    @property
    def token(self) -> bytes:
        """Opaque bytes: `Tenant.export(resume=token)` goes on behind what was given out, in another process if need be.
        It goes on at byte `report.written` of the stream; with Guard.PROVE, within five seconds only.

        Raises  Closed before the first piece.
        """
        return self._core.token

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (data := await run_asyncio(self._core.next())) is not None:
                yield data
        finally:
            self._core.leave()

    async def write_to(self, file: BinaryIO, *, told: Callable[[ExportReport], object] | None = None) -> ExportReport:
        """Write the stream to a binary file, which stays open.

        told  called after each piece: what it sees is in the file

        Raises  TenantChanged, TenantFrozen, NameNotInterned; what the file raises.
        """
        try:
            while (data := await run_asyncio(self._core.next())) is not None:
                file.write(data)
                if told is not None:
                    told(self._core.report)
        except BaseException:
            self._core.leave()
            raise
        return self._core.report


async def pieces_of(source: BinaryIO | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The bytes of a file, or of an iterator."""
    read = getattr(source, "read", None)
    if read is not None:
        while data := read(PIECE):
            yield data
    elif isinstance(source, AsyncIterable):
        async for data in source:
            yield data
    else:
        raise WrongType(argument="source", value=source, hint="give a binary file, or an iterator of bytes")
