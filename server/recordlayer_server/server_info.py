"""The service Server: what this server is, and the limits that callers are held to."""

from __future__ import annotations

import os
import platform
from dataclasses import fields
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from recordlayer.client.pb import server_pb2, server_pb2_grpc
from recordlayer_server.call import current
from recordlayer_server.databases import Databases
from recordlayer_server.limits import Limits
from recordlayer_server.operation.libraries import libraries
from recordlayer_server.replies import reply_context

NAME = "recordlayer.v1.Server"
FEATURES = (
    "admin",
    "assets",
    "idempotency-keys",
    "chunked-records",
    "partitions",
    "schemas",
    "sealed-continuations",
    "subscriptions",
    "sync",
    "transactions",
    "transforms",
    "watch",
    "webhooks",
    "zones",
)


class Server(server_pb2_grpc.ServerServicer):  # type: ignore[misc]  # generated, without types
    """What this server is."""

    def __init__(self, databases: Databases) -> None:
        self._libraries = {"python": platform.python_version(), **libraries()}
        self._limits = _as_message(databases.limits)
        self._engine = databases.database.url.partition(":")[0]

    async def GetServerInfo(self, request: server_pb2.GetServerInfoRequest, _: Any) -> server_pb2.GetServerInfoReply:
        return server_pb2.GetServerInfoReply(
            context=reply_context(current()),
            version=self._libraries["recordlayer"],
            revision=os.environ.get("RECORDLAYER_REVISION", ""),
            engine=self._engine,
            libraries=self._libraries,
            features=FEATURES,
            limits=self._limits,
        )


def _as_message(limits: Limits) -> server_pb2.Limits:
    made = server_pb2.Limits()
    for field in fields(limits):
        value = getattr(limits, field.name)
        if field.name not in server_pb2.Limits.DESCRIPTOR.fields_by_name:
            continue
        if isinstance(value, timedelta):
            duration = Duration()
            duration.FromTimedelta(value)
            getattr(made, field.name).CopyFrom(duration)
        else:
            setattr(made, field.name, value)
    return made
