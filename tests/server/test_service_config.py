"""The service config that other languages use: gRPC takes it, it names reads only, and it does what it says."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from recordlayer.client.pb import (
    admin_pb2,
    assets_pb2,
    records_pb2,
    records_pb2_grpc,
    schemas_pb2,
    server_pb2,
    subscriptions_pb2,
    sync_pb2,
    transactions_pb2,
    zones_pb2,
)
from recordlayer.client.service_config import service_config


class Flaky(records_pb2_grpc.RecordsServicer):
    """Is not there at the first call of each method."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def _answer(self, context: Any, method: str, reply: Any) -> Any:
        self.calls.append(method)
        if self.calls.count(method) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return reply

    def Lookup(self, request: Any, context: Any) -> Any:
        return self._answer(context, "Lookup", records_pb2.LookupReply())

    def Modify(self, request: Any, context: Any) -> Any:
        return self._answer(context, "Modify", records_pb2.ModifyReply())


def test_reads_are_sent_again_and_writes_are_not() -> None:
    server, service = grpc.server(ThreadPoolExecutor(2)), Flaky()
    records_pb2_grpc.add_RecordsServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        options = [("grpc.service_config", service_config())]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            stub = records_pb2_grpc.RecordsStub(channel)
            stub.Lookup(records_pb2.LookupRequest(), timeout=20)
            with pytest.raises(grpc.RpcError) as refused:
                stub.Modify(records_pb2.ModifyRequest(), timeout=20)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert service.calls == ["Lookup", "Lookup", "Modify"]
    finally:
        server.stop(None)


FILES = (
    admin_pb2,
    assets_pb2,
    records_pb2,
    schemas_pb2,
    server_pb2,
    subscriptions_pb2,
    sync_pb2,
    transactions_pb2,
    zones_pb2,
)
WRITES = {
    *("BeginUpload", "Modify", "Apply", "Promote", "Withdraw", "Create", "Delete", "Resume"),
    *("LockDatabase", "UnlockDatabase", "SetLimits", "DeleteDatabase", "MoveDatabase", "EndCalls"),
    *("BuildIndexes", "ScrubIndexes", "RepairRecords", "DropIndexes"),
    *("CancelOperation", "PauseOperation", "ResumeOperation", "ThrottleOperation"),
}


def test_it_names_every_unary_method_but_those_that_write() -> None:
    named = {(one["service"], one["method"]) for one in json.loads(service_config())["methodConfig"][0]["name"]}
    unary = {
        (service.full_name, method.name)
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if not method.client_streaming and not method.server_streaming
    }
    assert named == {(service, method) for service, method in unary if method not in WRITES}
