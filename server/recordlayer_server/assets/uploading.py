"""One stream of an upload: the bytes of an asset from where they end so far, in transactions of a megabyte.

What was received stays when the stream breaks, in whole chunks; the next stream goes on behind them. The digest is
worked out along the way, or, behind a break, from what is there. Bytes that do not have it are taken away.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import assets_pb2, context_pb2
from recordlayer_server import statuses
from recordlayer_server.assets import catalog
from recordlayer_server.assets.catalog import CHUNK, Name
from recordlayer_server.assets.referring import in_microseconds
from recordlayer_server.call import Call
from recordlayer_server.databases import Databases
from recordlayer_server.pb import assets_pb2 as stored
from recordlayer_server.places import Tenant
from recordlayer_server.replies import reading, reply_context
from recordlayer_server.writing import add_cost, writing

STEP = 16 * CHUNK
"""Bytes of one transaction, and of one read."""


class Upload:
    """One stream, opened for an asset that is not whole yet.  `Upload.open` makes one."""

    def __init__(self, databases: Databases, call: Call, tenant: Tenant, asset: stored.Asset) -> None:
        self._databases = databases
        self._call = call
        self._tenant = tenant
        self._name = Name(asset.zone, asset.id)
        self._asset = asset
        self._digest = None if asset.received else hashlib.sha256()
        self._waiting = bytearray()
        self._version, self._cost = 0, context_pb2.Cost()

    @classmethod
    async def open(cls, databases: Databases, call: Call, tenant: Tenant, name: Name, offset: int) -> Upload:
        """Raises  Refusal."""

        async def work(tx: Transaction) -> stored.Asset:
            if await databases.metadata(tx, tenant) is None:
                raise statuses.forbidden()
            asset = await catalog.find(await databases.assets(tx, tenant), name)
            if asset is None:
                raise statuses.not_found("asset", name.id)
            return asset

        asset = await reading(databases, call, work)
        if asset.received != offset:
            raise _elsewhere(asset)
        return cls(databases, call, tenant, asset)

    async def take(self, requests: AsyncIterator[assets_pb2.UploadRequest]) -> assets_pb2.UploadReply:
        """Take all that comes.  Raises  Refusal."""
        limits = self._databases.limits
        async for request in requests:
            if request.WhichOneof("kind") != "data":
                raise statuses.bad_request("kind", "data behind the first message")
            if len(request.data) > limits.asset_message_bytes:
                raise statuses.too_large("data", limit=limits.asset_message_bytes, size=len(request.data))
            self._waiting += request.data
            size = self._asset.received + len(self._waiting)
            if size > self._asset.size:
                raise statuses.bad_request("data", f"the asset has {self._asset.size} bytes, as was said")
            if len(self._waiting) >= STEP and size < self._asset.size:
                await self._write(len(self._waiting) // CHUNK * CHUNK)
        if not self._asset.whole:
            is_last = self._asset.received + len(self._waiting) == self._asset.size
            await self._write(len(self._waiting) if is_last else len(self._waiting) // CHUNK * CHUNK)
        context = reply_context(self._call, commit_version=self._version, cost=self._cost)
        return assets_pb2.UploadReply(context=context, state=catalog.state(self._asset))

    async def _write(self, length: int) -> None:
        """Keep so many of the bytes that wait."""
        if not length:
            return
        data = bytes(self._waiting[:length])
        del self._waiting[:length]
        is_last = self._asset.received + length == self._asset.size
        if self._digest is None and is_last:
            self._digest = await self._received()
        if self._digest is not None:
            self._digest.update(data)
        is_right = not is_last or (self._digest is not None and self._digest.digest() == self._asset.digest)

        async def work(tx: Transaction) -> stored.Asset:
            store = await self._databases.assets(tx, self._tenant)
            asset = await catalog.find(store, self._name)
            if store is None or asset is None or asset.content != self._asset.content:
                raise statuses.not_found("asset", self._name.id)
            if asset.received != self._asset.received:
                raise _elsewhere(asset)
            if not is_right:
                await catalog.remove(store, self._name)
                return asset
            if await self._databases.is_full(self._tenant):
                raise self._databases.storage.exceeded()
            await catalog.write(store, asset, data)
            asset.whole = is_last
            await catalog.save(store, asset)
            if is_last:
                due = time.time_ns() // 1_000 + in_microseconds(self._databases.limits.asset_kept)
                await catalog.release(store, [self._name], due)
            return asset

        self._asset, written = await writing(self._databases, self._call, work)
        if not is_right:
            raise other_bytes(self._name.id)
        self._version = written.version
        add_cost(self._cost, written.cost)

    async def _received(self) -> hashlib._Hash:
        """The digest of what was there when the stream was opened. Nobody changes that."""
        digest, offset, asset = hashlib.sha256(), 0, self._asset

        async def work(tx: Transaction) -> bytes:
            store = await self._databases.assets(tx, self._tenant)
            wanted = min(STEP, asset.received - offset)
            return b"" if store is None else await catalog.read(store, asset, offset, wanted)

        while offset < asset.received:
            data = await reading(self._databases, self._call, work)
            if not data:  # the asset is gone; who writes will be told
                break
            digest.update(data)
            offset += len(data)
        return digest


def other_bytes(name: str) -> statuses.Refusal:
    """What was uploaded is not what was said. It is gone: begin again."""
    text = "these bytes do not have the digest that was said, and are gone: begin again"
    return statuses.refusal(code_pb2.FAILED_PRECONDITION, "DIGEST_MISMATCH", text, asset=name)


def _elsewhere(asset: stored.Asset) -> statuses.Refusal:
    text = f"go on at {asset.received}: so many bytes have been received"
    return statuses.refusal(code_pb2.FAILED_PRECONDITION, "WRONG_OFFSET", text, received=asset.received)
