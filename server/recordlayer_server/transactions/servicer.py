"""The service Transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from recordlayer.client.pb import transactions_pb2, transactions_pb2_grpc
from recordlayer_server.call import current
from recordlayer_server.databases import Databases
from recordlayer_server.transactions.open_ones import OpenOnes
from recordlayer_server.transactions.transacting import transact

NAME = "recordlayer.v1.Transactions"


class Transactions(transactions_pb2_grpc.TransactionsServicer):  # type: ignore[misc]  # generated, without types
    """The interactive transactions of all databases."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self.open_ones = OpenOnes(databases.limits)

    def Transact(
        self, requests: AsyncIterator[transactions_pb2.TransactRequest], _: Any
    ) -> AsyncIterator[transactions_pb2.TransactReply]:
        return transact(self._databases, self.open_ones, current(), requests)
