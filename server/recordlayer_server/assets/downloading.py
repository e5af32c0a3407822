"""The bytes of an asset, or a range of them, in messages of a megabyte, each read in a transaction of its own.

An asset never changes while it is there. One that goes meanwhile, or is made again under its name, ends the stream with
NOT_FOUND.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import assets_pb2
from recordlayer_server import statuses
from recordlayer_server.assets import catalog
from recordlayer_server.assets.catalog import Name
from recordlayer_server.assets.uploading import STEP
from recordlayer_server.call import Call
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reading, reply_context
from recordlayer_server.writing import cost_of


@dataclass(slots=True)
class Download:
    """What is left of a range.

    length  0: to the end
    """

    databases: Databases
    call: Call
    tenant: Tenant
    name: Name
    offset: int
    length: int
    content: bytes = b""

    async def replies(self) -> AsyncIterator[assets_pb2.DownloadReply]:
        """Raises  Refusal."""
        while True:
            reply = await reading(self.databases, self.call, self._next)
            yield reply
            self.offset += len(reply.data)
            self.length -= len(reply.data)
            if self.length <= 0:
                return

    async def _next(self, tx: Transaction) -> assets_pb2.DownloadReply:
        if await self.databases.metadata(tx, self.tenant) is None:
            raise statuses.forbidden()
        store = await self.databases.assets(tx, self.tenant)
        asset = await catalog.find(store, self.name)
        if store is None or asset is None or not asset.whole or self.content not in (b"", asset.content):
            raise statuses.not_found("asset", self.name.id)
        reply = assets_pb2.DownloadReply(offset=self.offset)
        if not self.content:
            if self.offset > asset.size:
                raise statuses.bad_request("offset", f"the asset has {asset.size} bytes")
            left = asset.size - self.offset
            self.length = min(self.length or left, left)
            reply.asset.CopyFrom(catalog.shown(asset))
        wanted = min(self.length, STEP)
        reply.data = await catalog.read(store, asset, self.offset, wanted)
        if len(reply.data) != wanted:
            raise statuses.refusal(code_pb2.DATA_LOSS, "CORRUPT", "a part of the asset is missing")
        self.content = asset.content
        reply.context.CopyFrom(reply_context(self.call, read_version=await tx.read_version(), cost=cost_of(tx)))
        return reply
