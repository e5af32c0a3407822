"""The services that a server has, over the databases that it serves."""

from __future__ import annotations

from collections.abc import Callable

from recordlayer.client.pb import (
    admin_pb2_grpc,
    assets_pb2_grpc,
    records_pb2_grpc,
    schemas_pb2_grpc,
    server_pb2_grpc,
    subscriptions_pb2_grpc,
    sync_pb2_grpc,
    transactions_pb2_grpc,
    zones_pb2_grpc,
)
from recordlayer_server import records, server_info, zones
from recordlayer_server.admin import servicer as admin
from recordlayer_server.assets import servicer as assets
from recordlayer_server.databases import Databases
from recordlayer_server.schemas import servicer as schemas
from recordlayer_server.serving import Service
from recordlayer_server.subscriptions import servicer as subscriptions
from recordlayer_server.sync import servicer as sync
from recordlayer_server.transactions import servicer as transactions


def services(databases: Databases, *, busy: Callable[[], bool] | None = None) -> tuple[Service, ...]:
    """All of them.

    busy  whether the event loop has no rest; without it, that is seen
    """
    return (
        Service(
            records.NAME,
            lambda server: records_pb2_grpc.add_RecordsServicer_to_server(
                records.Records(databases, busy=busy), server
            ),
        ),
        Service(zones.NAME, lambda server: zones_pb2_grpc.add_ZonesServicer_to_server(zones.Zones(databases), server)),
        Service(sync.NAME, lambda server: sync_pb2_grpc.add_SyncServicer_to_server(sync.Sync(databases), server)),
        Service(
            assets.NAME,
            lambda server: assets_pb2_grpc.add_AssetsServicer_to_server(assets.Assets(databases), server),
        ),
        Service(
            schemas.NAME,
            lambda server: schemas_pb2_grpc.add_SchemaServicer_to_server(schemas.Schema(databases), server),
        ),
        Service(
            subscriptions.NAME,
            lambda server: subscriptions_pb2_grpc.add_SubscriptionsServicer_to_server(
                subscriptions.Subscriptions(databases), server
            ),
        ),
        Service(
            transactions.NAME,
            lambda server: transactions_pb2_grpc.add_TransactionsServicer_to_server(
                transactions.Transactions(databases), server
            ),
        ),
        Service(
            admin.NAME,
            lambda server: admin_pb2_grpc.add_AdminServicer_to_server(admin.Admin(databases), server),
            admin=True,
        ),
        Service(
            server_info.NAME,
            lambda server: server_pb2_grpc.add_ServerServicer_to_server(server_info.Server(databases), server),
        ),
    )
