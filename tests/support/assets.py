"""Assets of the container of photos: what a caller uploads and downloads, and what is kept."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from recordlayer.client.pb import assets_pb2 as pb
from recordlayer.client.pb import assets_pb2_grpc, types_pb2
from recordlayer_server.databases import Databases
from recordlayer_server.places import Tenant
from tests.support.service import Caller

STEP = 1 << 20


class Keeper:
    """Who keeps assets in a database."""

    def __init__(self, caller: Caller, *, token: str = "") -> None:
        self.caller = caller
        self.shown = [("authorization", f"Bearer {token}")] if token else []
        self.stub = assets_pb2_grpc.AssetsStub(caller.channel)

    async def begin(self, name: str, data: bytes, *, zone: str = "", **said: Any) -> pb.UploadState:
        said = {"size": len(data), "digest": hashlib.sha256(data).digest(), **said}
        request = pb.BeginUploadRequest(
            context=self.caller.context, zone=types_pb2.ZoneName(name=zone), id=name, **said
        )
        return (await self.stub.BeginUpload(request)).state

    async def send(
        self, name: str, data: bytes, *, offset: int = 0, zone: str = "", message: int = STEP
    ) -> pb.UploadState:
        """Some of the bytes, on one stream."""
        parts = (data[at : at + message] for at in range(0, len(data), message))
        return (await self.stub.Upload(self.stream(name, parts, offset=offset, zone=zone), metadata=self.shown)).state

    async def stream(
        self, name: str, parts: Iterable[bytes], *, offset: int = 0, zone: str = ""
    ) -> AsyncIterator[pb.UploadRequest]:
        place = {"zone": types_pb2.ZoneName(name=zone), "id": name, "offset": offset}
        yield pb.UploadRequest(open=pb.UploadRequest.Open(context=self.caller.context, **place))
        for part in parts:
            yield pb.UploadRequest(data=part)

    async def upload(self, name: str, data: bytes, *, zone: str = "") -> types_pb2.Asset:
        """All of it."""
        await self.begin(name, data, zone=zone)
        state = await self.send(name, data, zone=zone)
        assert state.whole
        return state.asset

    async def download(self, name: str, *, zone: str = "", **said: Any) -> bytes:
        request = pb.DownloadRequest(context=self.caller.context, zone=types_pb2.ZoneName(name=zone), id=name, **said)
        at, parts = said.get("offset", 0), []
        async for reply in self.stub.Download(request, metadata=self.shown):
            assert reply.offset == at
            parts.append(reply.data)
            at += len(reply.data)
        return b"".join(parts)


def asset(name: str) -> types_pb2.Value:
    """An asset that is kept, as the value of a field."""
    return types_pb2.Value(asset_value=types_pb2.Asset(id=name))


async def kept(databases: Databases, tenant: Tenant) -> dict[tuple[str, str], int]:
    """Every asset of a database with the bytes of its chunks; chunks without one have a "chunks of" before the name."""
    async with databases.database.transaction() as tx:
        store = await databases.assets(tx, tenant)
        found: list[Any] = [] if store is None else await store.scan().all()
    names = {(one.zone, one.id): 0 for one in found if one.DESCRIPTOR.name == "Asset"}
    for one in found:
        if one.DESCRIPTOR.name == "Chunk":
            name = (one.zone, one.asset)
            name = name if name in names else (one.zone, f"chunks of {one.asset}")
            names[name] = names.get(name, 0) + len(one.data)
    return names
