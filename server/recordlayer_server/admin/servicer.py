"""The service Admin, put together from its parts."""

from __future__ import annotations

from recordlayer.client.pb import admin_pb2_grpc
from recordlayer_server.admin.connections import Connections
from recordlayer_server.admin.indexes import Indexes
from recordlayer_server.admin.stores import Stores
from recordlayer_server.admin.tenants import Tenants

NAME = "recordlayer.v1.Admin"


class Admin(Stores, Indexes, Tenants, Connections, admin_pb2_grpc.AdminServicer):  # type: ignore[misc]  # generated, without types
    """All methods; those of a part are in its file."""
