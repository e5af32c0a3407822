"""Assets of one zone: bytes beside its records."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc

from recordlayer.client.pb import assets_pb2, types_pb2
from recordlayer.errors import CallRefused, UsageError

if TYPE_CHECKING:
    from recordlayer.client.aio.client import Client

_PART = 256 << 10


class ZoneAssets:
    """Assets of one zone.

    asset = await zone.assets.upload(picture, content_type="image/png")
    await zone.save(Photo(image={"id": asset.id}), name="p1")    # a field of the type recordlayer.v1.Asset
    picture = await zone.assets.download(asset.id)

    What no record refers to is taken away after a day, or as the server says (`Limits.asset_kept`).
    """

    def __init__(self, client: Client, zone: types_pb2.ZoneName) -> None:
        self._client = client
        self._zone = zone

    async def upload(self, data: bytes, *, id: str = "", content_type: str = "") -> types_pb2.Asset:  # noqa: A002
        """The asset, all of whose bytes the server has: put its id into a record. Goes on where it was after the
        connection was lost; the client's timeout counts anew whenever something has come through.

        id  1 to 64 of A-Z a-z 0-9 . _ -; who uploads the same bytes under the same id again goes on, too, or is done

        Raises  RecordExists for other bytes under this id; CallRefused, NoAnswer
        """
        request = assets_pb2.BeginUploadRequest(
            context=self._client.context,
            zone=self._zone,
            id=id or uuid.uuid4().hex,
            size=len(data),
            digest=hashlib.sha256(data).digest(),
            content_type=content_type,
        )
        attempts = self._client.attempts()
        state: assets_pb2.UploadState = (await self._client.call(self._client.assets.BeginUpload, request)).state
        while not state.whole:
            stream = self._requests(request.id, data, state.received)
            try:
                state = (
                    await self._client.assets.Upload(stream, timeout=attempts.left(), metadata=self._client.metadata())
                ).state
            except grpc.RpcError as error:
                now = (await self._client.call(self._client.assets.BeginUpload, request)).state
                if now.received > state.received:
                    attempts = self._client.attempts()
                elif not now.whole:
                    await self._client.transport.sleep(attempts.delay_behind(error))
                state = now
        return state.asset

    async def _requests(self, name: str, data: bytes, offset: int) -> AsyncIterator[assets_pb2.UploadRequest]:
        opened = assets_pb2.UploadRequest.Open(context=self._client.context, zone=self._zone, id=name, offset=offset)
        yield assets_pb2.UploadRequest(open=opened)
        for at in range(offset, len(data), _PART):
            yield assets_pb2.UploadRequest(data=data[at : at + _PART])

    async def download(self, asset: Any, *, offset: int = 0, length: int = 0) -> bytes:
        """The bytes of an asset, or a range of them; of all of them the digest is looked at.

        asset   its id, or what a record has in its field
        length  0: to the end; the range may go beyond it

        Raises  CallRefused, with the reason NOT_FOUND where it is not there; UsageError for one that is kept elsewhere
        """
        name = asset if isinstance(asset, str) else asset.id
        if not name:
            raise UsageError(what="an asset that the service does not keep", hint="fetch it from its url")
        request = assets_pb2.DownloadRequest(context=self._client.context, zone=self._zone, id=name)
        attempts, found, known = self._client.attempts(), bytearray(), types_pb2.Asset()
        while True:
            request.offset, request.length = offset + len(found), length and length - len(found)
            before = len(found)
            said = {"timeout": attempts.left(), "metadata": self._client.metadata()}
            try:
                async for reply in self._client.assets.Download(request, **said):
                    if reply.HasField("asset"):
                        _check(not known.id or known == reply.asset, "it was made again meanwhile", name)
                        known = reply.asset
                    found += reply.data
                break
            except grpc.RpcError as error:
                if len(found) == before:
                    await self._client.transport.sleep(attempts.delay_behind(error))
                elif length and len(found) == length:
                    break
                else:
                    attempts = self._client.attempts()
        whole = len(found) == known.size and not offset
        _check(not whole or hashlib.sha256(found).digest() == known.digest, "it has other bytes than it should", name)
        return bytes(found)


def _check(well: bool, what: str, name: str) -> None:
    if not well:
        raise CallRefused(reason="CORRUPT", asset=name, message=what)
