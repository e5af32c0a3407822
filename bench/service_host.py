"""The processes of the service's benches: `python -m bench.service_host ours|echo|shared|greedy PORT` says its port and
serves until killed. To each line of its input it answers with the nanoseconds of processor time that it has used.

ours    the service over a file with relaxed durability, on a container of orders, with log lines as in production
echo    a bare grpc.aio server: /bench.Echo/Learn keeps a reply, and /bench.Echo/Call gives it to whoever calls
shared  as ours, with SHARE calls a second for each database
greedy  no server, but somebody who asks the one at PORT for TIMES_OVER times that share, whatever the answer; to a line
        of its input it answers with how often it has asked
"""

from __future__ import annotations

import asyncio
import contextlib
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
from recordlayer.client.pb import context_pb2, records_pb2, records_pb2_grpc, types_pb2

CONTAINER = "bench"
SHARE, TIMES_OVER = 10, 100
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


async def ours(path: Path, *, share: float = 0.0) -> None:
    from recordlayer_server import logs
    from recordlayer_server.config import Address, Config, Load
    from recordlayer_server.databases import Databases
    from recordlayer_server.main import settle
    from recordlayer_server.operation.around import around_of
    from recordlayer_server.services import services
    from recordlayer_server.serving import Serving

    logs.configure("info", "json", stream=_Nowhere())
    async with aio.open(f"file:{path}", durability="relaxed") as database:
        databases = Databases(database)
        await databases.put_containers({CONTAINER: description()})
        config = Config(db=f"file:{path}", listen=Address("127.0.0.1", 0), load=Load(tenant_rate=share))
        around = around_of(config)
        serving = Serving(config, database, services=services(databases), around=around)
        address = await serving.start()
        settle()
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


async def greedy(port: int) -> None:
    request = records_pb2.LookupRequest(names=[types_pb2.RecordName(name="order-0")])
    request.context.container = CONTAINER
    request.context.database.scope, request.context.database.user = context_pb2.Database.PRIVATE, "greedy"
    asked = 0

    def say() -> None:
        sys.stdin.readline()
        print(asked, flush=True)

    async def ask(lookup: Any) -> None:
        with contextlib.suppress(grpc_aio.AioRpcError):
            await lookup(request)

    async with grpc_aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        lookup = records_pb2_grpc.RecordsStub(channel).Lookup
        asyncio.get_running_loop().add_reader(sys.stdin, say)
        print(0, flush=True)
        began, under_way = time.monotonic(), set[asyncio.Task[None]]()
        while True:  # as many as are due by now, but never more than a second's worth under way
            due = int((time.monotonic() - began) * SHARE * TIMES_OVER) - asked
            for _ in range(min(due, SHARE * TIMES_OVER - len(under_way))):
                task = asyncio.create_task(ask(lookup))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                asked += 1
            await asyncio.sleep(0.005)


def main() -> None:
    if sys.argv[1] == "echo":
        asyncio.run(echo())
        return
    if sys.argv[1] == "greedy":
        asyncio.run(greedy(int(sys.argv[2])))
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(ours(Path(folder) / "bench.rl", share=SHARE if sys.argv[1] == "shared" else 0.0))


if __name__ == "__main__":
    main()
