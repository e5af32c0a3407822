# Generated from recordlayer/client/aio/__init__.py by tests/house/generate_blocking.py: do not edit.
"""The service's blocking client."""

from __future__ import annotations

from recordlayer.client.blocking.assets import ZoneAssets
from recordlayer.client.blocking.client import Client, connect
from recordlayer.client.blocking.replica import Replica
from recordlayer.client.blocking.transaction import Transaction, TransactionZone
from recordlayer.client.blocking.zone import Zone
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
