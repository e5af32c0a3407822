# Generated from recordlayer/client/aio/__init__.py by tests/house/generate_blocking.py: do not edit.
"""The service's blocking client."""

from __future__ import annotations

from recordlayer.client.blocking.assets import ZoneAssets
from recordlayer.client.blocking.client import Client, connect
from recordlayer.client.blocking.replica import Replica
from recordlayer.client.blocking.zone import Zone
from recordlayer.client.edits import Delete, Loaded, Save

__all__ = ["Client", "Delete", "Loaded", "Replica", "Save", "Zone", "ZoneAssets", "connect"]
