"""Scans as callers ask for them: by a prefix of the key or by bounds, with limits.

Cost  1 range read a chunk
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from recordlayer.cursor.limits import Limits, budget_of
from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.sealing import ContinuationSeal, Sealed, Tenant
from recordlayer.cursor.step import Cursor
from recordlayer.cursor.transform import Filter, Limit
from recordlayer.errors import UsageError, WrongType
from recordlayer.index.bounds import Bounds
from recordlayer.options import as_limits
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore


def _as_items(prefix: Any) -> tuple[Any, ...]:
    return tuple(prefix) if isinstance(prefix, (tuple, list)) else (prefix,)


def _bounds(prefix: tuple[Any, ...], bounds: Bounds | None) -> Bounds:
    if bounds is None:
        return Bounds.equal(prefix)
    if not isinstance(bounds, Bounds):
        raise WrongType(argument="bounds", value=bounds, hint="make them with Bounds.between(low, high)")
    if prefix:
        raise UsageError(prefix=prefix, bounds=str(bounds), hint="give a prefix or bounds, not both")
    return bounds


def scan_options(
    store: RecordStore, *, reverse: bool, limit: int, resume: bytes | None, limits: Limits, snapshot: bool
) -> ScanOptions:
    """What a caller says about a scan, as cursors take it; what the store was opened with bounds it too.

    Raises  UsageError.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise UsageError(limit=limit, hint="give a whole number; None for all")
    return ScanOptions(
        reverse=reverse,
        snapshot=snapshot,
        limit=limit,
        continuation=resume,
        budget=budget_of(store.context, as_limits("limits", limits), store.limits),
    )


def record_scan(store: RecordStore, prefix: Any, *, bounds: Bounds | None, **how: Any) -> Cursor[StoredRecord]:
    """The records whose primary key begins with `prefix`, or lies within bounds."""
    items = _as_items(prefix)
    if items:
        items = store.primary_key_prefix(items)
    within, options = _bounds(items, bounds), scan_options(store, **how)
    if store.visible is None:
        return store.scan(within, options)
    shown: Cursor[StoredRecord] = Filter(store.scan(within, replace(options, limit=0)), store.visible)
    return Limit(shown, options.limit) if options.limit else shown


def index_scan(store: RecordStore, index: str, prefix: Any, *, bounds: Bounds | None, **how: Any) -> Cursor[Any]:
    """The entries of an index that begin with `prefix`, or lie within bounds."""
    return store.scan_index(index, _bounds(_as_items(prefix), bounds), scan_options(store, **how))


def sealed(store: RecordStore, seal: ContinuationSeal | None) -> Sealed:
    """A seal at work for a store, now."""
    return Sealed(seal, Tenant(name=store.layout.prefix, now=store.context.world.clock.wall()))
