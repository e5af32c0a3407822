"""The service Assets: takes requests apart, asks who may, and puts replies together."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from google.rpc import code_pb2

from recordlayer.aio import Transaction
from recordlayer.client.pb import assets_pb2, assets_pb2_grpc
from recordlayer_server import statuses
from recordlayer_server.assets import catalog
from recordlayer_server.assets.catalog import Name
from recordlayer_server.assets.downloading import Download
from recordlayer_server.assets.referring import DIGEST_BYTES, in_microseconds
from recordlayer_server.assets.uploading import Upload, other_bytes
from recordlayer_server.call import WORD, current
from recordlayer_server.contents import zone_of
from recordlayer_server.databases import Databases
from recordlayer_server.pb import assets_pb2 as stored
from recordlayer_server.replies import reply_context
from recordlayer_server.writing import writing
from recordlayer_server.zone_catalog import missing_zones

NAME = "recordlayer.v1.Assets"


class Assets(assets_pb2_grpc.AssetsServicer):  # type: ignore[misc]  # generated, without types
    """The assets of all databases."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._limits = databases.limits

    async def BeginUpload(self, request: assets_pb2.BeginUploadRequest, _: Any) -> assets_pb2.BeginUploadReply:
        call, databases, limits = current(), self._databases, self._limits
        name = self._name(request.zone, request.id or secrets.token_hex(16))
        if not 0 <= request.size <= limits.asset_bytes:
            raise statuses.too_large("size", limit=limits.asset_bytes, size=request.size)
        if len(request.digest) != DIGEST_BYTES:
            raise statuses.bad_request("digest", f"SHA-256: {DIGEST_BYTES} bytes")
        if len(request.content_type.encode()) > limits.name_bytes:
            raise statuses.bad_request("content_type", f"at most {limits.name_bytes} bytes")
        if not request.size and request.digest != hashlib.sha256().digest():
            raise other_bytes(name.id)
        tenant = call.permit((name.zone,))
        made = stored.Asset(
            zone=name.zone,
            id=name.id,
            size=request.size,
            digest=request.digest,
            content_type=request.content_type,
            received=0,
            whole=not request.size,
            created_by=call.identity.name,
            content=secrets.token_bytes(8),
        )

        async def work(tx: Transaction) -> stored.Asset:
            if await databases.metadata(tx, tenant) is None:
                raise statuses.forbidden()
            if await missing_zones(databases, tx, tenant, [name.zone]):
                raise statuses.not_found("zone", name.zone)
            store = await databases.assets(tx, tenant, create=True)
            assert store is not None, "it was made"
            known = await catalog.find(store, name)
            if known is not None:
                if catalog.shown(known) != catalog.shown(made):
                    text = "there is another asset of this id"
                    raise statuses.refusal(code_pb2.ALREADY_EXISTS, "EXISTS", text)
                return known
            if await databases.is_full(tenant):
                raise databases.storage.exceeded()
            made.created_at = time.time_ns() // 1_000
            await catalog.save(store, made)
            await catalog.release(store, [name], made.created_at + in_microseconds(limits.asset_kept))
            return made

        asset, written = await writing(databases, call, work)
        context = reply_context(call, commit_version=written.version, cost=written.cost)
        return assets_pb2.BeginUploadReply(context=context, state=catalog.state(asset))

    async def Upload(self, requests: AsyncIterator[assets_pb2.UploadRequest], _: Any) -> assets_pb2.UploadReply:
        call, coming = current(), aiter(requests)
        first = await anext(coming, None)
        if first is None or first.WhichOneof("kind") != "open":
            raise statuses.bad_request("open", "the first message opens the stream")
        call.bind(first.open.context)
        name = self._name(first.open.zone, first.open.id, where="open.")
        tenant = call.permit((name.zone,))
        upload = await Upload.open(self._databases, call, tenant, name, first.open.offset)
        return await upload.take(coming)

    def Download(self, request: assets_pb2.DownloadRequest, _: Any) -> AsyncIterator[assets_pb2.DownloadReply]:
        call = current()
        name = self._name(request.zone, request.id)
        if request.offset < 0 or request.length < 0:
            raise statuses.bad_request("offset", "offset and length are not below 0")
        tenant = call.permit((name.zone,))
        return Download(self._databases, call, tenant, name, request.offset, request.length).replies()

    def _name(self, zone: Any, id_: str, *, where: str = "") -> Name:
        if not WORD.fullmatch(id_):
            raise statuses.bad_request(f"{where}id", "1 to 64 of A-Z a-z 0-9 . _ -")
        return Name(zone_of(zone, f"{where}zone", self._limits), id_)
