"""The service's client over both facades, and the messages of the container of photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf import descriptor_pool, duration_pb2, message_factory, struct_pb2, timestamp_pb2

from recordlayer.client import aio, blocking
from recordlayer.client.pb import types_pb2
from tests.support.facades import BackgroundLoop, Blocking
from tests.support.photos import CONTAINER, photos_file


def _messages() -> Callable[[str], Any]:
    pool = descriptor_pool.DescriptorPool()  # not the one of the process: other tests have the same names
    for module in (duration_pb2, timestamp_pb2, struct_pb2, types_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(photos_file().SerializeToString())
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"photos.{name}"))


_message = _messages()
Photo: Any = _message("Photo")
Album: Any = _message("Album")


@contextmanager
def connected(facade: str, url: str, *, loop: BackgroundLoop | None = None, **said: Any) -> Iterator[Any]:
    """A client of the container of photos, called as the blocking one is; asyncio's over a loop, by default its own."""
    said = {"container": CONTAINER, **said}
    if facade == "blocking":
        with blocking.connect(url, **said) as client:
            yield client
        return
    own = BackgroundLoop() if loop is None else loop
    try:

        async def connect() -> aio.Client:
            return aio.connect(url, **said)  # channels belong to the loop that they were made in

        with Blocking(own.run(connect()), own) as client:
            yield client
    finally:
        if loop is None:
            own.close()
