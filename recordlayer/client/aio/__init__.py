"""The service's client for asyncio."""

from __future__ import annotations

from recordlayer.client.aio.assets import ZoneAssets
from recordlayer.client.aio.client import Client, connect
from recordlayer.client.aio.replica import Replica
from recordlayer.client.aio.transaction import Transaction, TransactionZone
from recordlayer.client.aio.zone import Zone
from recordlayer.client.edits import Delete, Loaded, Save, Update

__all__ = [
    "Client",
    "Delete",
    "Loaded",
    "Replica",
    "Save",
    "Transaction",
    "TransactionZone",
    "Update",
    "Zone",
    "ZoneAssets",
    "connect",
]
