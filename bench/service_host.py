"""The processes of the service's bench: `python -m bench.service_host ours|echo` says its port and serves until killed.
To each line of its input it answers with the nanoseconds of processor time that it has used so far.

ours  the service over a file with relaxed durability, on a container of orders, with log lines as in production
echo  a bare grpc.aio server: /bench.Echo/Learn keeps a reply, and /bench.Echo/Call gives it to whoever calls
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2
from grpc import aio as grpc_aio

from recordlayer import RecordMetaDataBuilder, aio, count, field

CONTAINER = "bench"
FIELDS = ("id", "customer", "status", "total", "placed", "note")


def description() -> bytes:
    """Orders of six fields, with three indexes and a count for each status."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="bench_service.proto", package="bench_service", syntax="proto3")
    order = file.message_type.add(name="Order")
    for number, name in enumerate(FIELDS, 1):
        kind = kinds.TYPE_STRING if name in ("customer", "status", "note") else kinds.TYPE_INT64
        order.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    files = descriptor_pb2.FileDescriptorSet(file=[file])
    builder = RecordMetaDataBuilder.from_descriptor_set(files).primary_key("Order", "id")
    for name in ("customer", "total", "placed"):
        builder.index("Order", f"by_{name}", name)
    builder.index("Order", "per_status", count(group_by=field("status")))
    return builder.build().to_bytes()


class _Nowhere(io.TextIOBase):
    """Lines are made, and kept by nobody."""

    def write(self, text: str) -> int:
        return len(text)


def _say_time() -> None:
    if sys.stdin.readline():
        print(time.process_time_ns(), flush=True)


async def ours(path: Path) -> None:
    from recordlayer_server import logs
    from recordlayer_server.config import Address, Config
    from recordlayer_server.databases import Databases
    from recordlayer_server.services import services
    from recordlayer_server.serving import Serving

    logs.configure("info", "json", stream=_Nowhere())
    async with aio.open(f"file:{path}", durability="relaxed") as database:
        databases = Databases(database)
        await databases.put_containers({CONTAINER: description()})
        config = Config(db=f"file:{path}", listen=Address("127.0.0.1", 0))
        serving = Serving(config, database, services=services(databases))
        address = await serving.start()
        asyncio.get_running_loop().add_reader(sys.stdin, _say_time)
        print(address.port, flush=True)
        await asyncio.Event().wait()


async def echo() -> None:
    kept = b""

    async def learn(request: bytes, _: Any) -> bytes:
        nonlocal kept
        kept = request
        return b""

    async def call(request: bytes, _: Any) -> bytes:
        return kept

    server = grpc_aio.server()
    methods = {
        "Learn": grpc.unary_unary_rpc_method_handler(learn),
        "Call": grpc.unary_unary_rpc_method_handler(call),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Echo", methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    asyncio.get_running_loop().add_reader(sys.stdin, _say_time)
    print(port, flush=True)
    await server.wait_for_termination()


def main() -> None:
    if sys.argv[1] == "echo":
        asyncio.run(echo())
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(ours(Path(folder) / "bench.rl"))


if __name__ == "__main__":
    main()
