"""Assets by the Python client, against a server in a process of its own, which is killed."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

import recordlayer.aio
from recordlayer.client.pb import assets_pb2, types_pb2
from recordlayer.client.testing.fake import FakeServer, fake
from recordlayer.errors import CallRefused, NoAnswer, RecordExists, UsageError
from recordlayer_server.assets.collecting import Collector
from recordlayer_server.databases import Databases
from recordlayer_server.places import DEVELOPMENT, PUBLIC, Tenant
from tests.support.assets import STEP, kept
from tests.support.clients import Photo, connected
from tests.support.photos import CONTAINER, description

DATA = bytes(range(251)) * 10_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeServer]:
    file = tmp_path_factory.mktemp("assets") / "photos.rl"
    with fake({CONTAINER: description()}, db=f"file:{file}", flags=["--asset-bytes", "3000000"]) as server:
        server.file = file  # type: ignore[attr-defined]  # for the test that looks into it
        yield server


@pytest.mark.parametrize("facade", ["asyncio", "blocking"])
def test_assets_are_uploaded_referred_to_and_downloaded(facade: str, server: FakeServer) -> None:
    with connected(facade, server.url, user=facade) as client:
        zone = client.create_zone("z")
        asset = zone.assets.upload(DATA, content_type="image/png")
        assert (asset.size, asset.digest) == (len(DATA), hashlib.sha256(DATA).digest())
        zone.save(Photo(title="t", image={"id": asset.id}), name="p")
        found = zone.load(Photo, "p").message.image
        assert types_pb2.Asset.FromString(found.SerializeToString()) == asset
        assert zone.assets.download(found) == DATA
        assert zone.assets.download(asset.id, offset=70_000, length=2_000_000) == DATA[70_000:2_070_000]
        assert zone.assets.download(asset.id, offset=2_400_000) == DATA[2_400_000:]
        assert zone.assets.upload(DATA, id=asset.id, content_type="image/png") == asset, "again is well"
        assert zone.assets.upload(b"", id="empty").size == 0
        assert zone.assets.download("empty") == b""
        with pytest.raises(RecordExists):
            zone.assets.upload(b"other", id=asset.id)
        for other in (client.zone(), client.database(user="nobody").zone("z")):
            with pytest.raises(CallRefused) as refused:
                other.assets.download(asset.id)
            assert refused.value.reason == "NOT_FOUND", "it belongs to its zone, and to its database"
        with pytest.raises(CallRefused) as refused:
            zone.assets.upload(bytes(3_000_001))
        assert refused.value.reason == "BATCH_TOO_LARGE"
        with pytest.raises(UsageError):
            zone.assets.download(types_pb2.Asset(url="https://example.com/a.mov"))


class Lost(grpc.RpcError):
    """What a client gets when the connection is lost."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "lost"

    def trailing_metadata(self) -> None:
        return None


def test_a_lost_connection_is_gone_on_from_and_one_that_brings_nothing_is_given_up(server: FakeServer) -> None:
    with connected("blocking", server.url, user="lost") as client:
        zone, upload, download = client.zone(), client.assets.Upload, client.assets.Download
        offsets: list[int] = []

        def losing_uploads(requests: Iterator[Any], **said: Any) -> Any:
            first = next(requests)
            offsets.append(first.open.offset)
            upload(iter([first, *(next(requests) for _ in range(4))]), **said)  # a megabyte, or what is left
            raise Lost

        def losing_downloads(request: Any, **said: Any) -> Iterator[Any]:
            offsets.append(request.offset)
            yield next(iter(download(request, **said)))
            raise Lost

        client.assets.Upload, client.assets.Download = losing_uploads, losing_downloads
        asset = zone.assets.upload(DATA[: 2 * STEP], id="a")
        assert offsets == [0, STEP]
        offsets.clear()
        assert zone.assets.download(asset, length=2 * STEP) == DATA[: 2 * STEP]
        assert zone.assets.download(asset, offset=1, length=STEP) == DATA[1 : 1 + STEP]
        assert offsets == [0, STEP, 1]
        impatient = client.database(user="impatient")
        impatient._timeout = timedelta(seconds=0.2)

        def nothing(requests: Iterator[Any], **_: Any) -> Any:
            raise Lost

        impatient.assets.Upload = nothing
        with pytest.raises(NoAnswer):
            impatient.zone().assets.upload(DATA, id="b")


def test_an_upload_goes_on_behind_a_kill_and_what_is_given_up_leaves_nothing(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = Tenant(CONTAINER, DEVELOPMENT, PUBLIC, "")
    digest = hashlib.sha256(DATA).digest()
    with connected("blocking", server.url) as client:
        over = threading.Event()

        def begin(name: str) -> assets_pb2.UploadState:
            request = assets_pb2.BeginUploadRequest(context=client.context, id=name, size=len(DATA), digest=digest)
            return client.call(client.assets.BeginUpload, request).state

        def requests(name: str) -> Iterator[assets_pb2.UploadRequest]:
            yield assets_pb2.UploadRequest(open=assets_pb2.UploadRequest.Open(context=client.context, id=name))
            yield assets_pb2.UploadRequest(data=DATA[:STEP])
            yield assets_pb2.UploadRequest(data=DATA[STEP : STEP + 1000])
            over.wait()

        for name in ("finished", "given_up"):
            assert begin(name).received == 0
        streams = [client.assets.Upload.future(requests(name)) for name in ("finished", "given_up")]
        while not all(begin(name).received for name in ("finished", "given_up")):
            over.wait(0.01)  # until the test's time is over
        server.stop()
        over.set()
        for stream in streams:
            assert stream.exception().code() is grpc.StatusCode.UNAVAILABLE
        server.start()
        assert begin("finished").received == STEP, "what was received is there"
        zone = client.zone()
        asset = zone.assets.upload(DATA, id="finished")
        zone.save(Photo(title="t", image={"id": asset.id}), name="p")
        assert zone.assets.download(asset) == DATA
    server.stop()

    async def left() -> dict[tuple[str, str], int]:
        async with recordlayer.aio.open(f"file:{_file(server)}") as database:
            databases = Databases(database)
            assert ("", "given_up") in await kept(databases, tenant)
            await Collector(databases).collect()
            return await kept(databases, tenant)

    later = time.time_ns() + 2 * 86_400 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    try:
        assert asyncio.run(left()) == {("", "finished"): len(DATA)}
    finally:
        server.start()


def _file(server: FakeServer) -> Path:
    return server.file  # type: ignore[attr-defined,no-any-return]  # see the fixture
