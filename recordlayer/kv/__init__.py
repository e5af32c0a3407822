"""Ordered keys and values in transactions, in bytes: the contract of engines, and the engines."""

from __future__ import annotations

from recordlayer.kv.upkeep import compact, verify

__all__ = ["compact", "verify"]
