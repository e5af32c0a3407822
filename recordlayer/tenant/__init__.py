"""Tenants: what lies below a path, as a whole. Listed, measured, exported and imported, copied, moved,
deleted, limited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.on_demand import on_demand

if TYPE_CHECKING:
    from recordlayer.tenant.changes import ChangesReport
    from recordlayer.tenant.export import ExportReport, Guard
    from recordlayer.tenant.importing import ImportReport
    from recordlayer.tenant.limits import Overload, TenantLimits, TenantUsage
    from recordlayer.tenant.moving import MoveReport, MoveStage
    from recordlayer.tenant.removal import RemovalReport
    from recordlayer.tenant.statistics import Size, Statistics
    from recordlayer.tenant.steps import StepLimits
    from recordlayer.tenant.stores import FoundStore, StorePage

_HOME = {
    "ChangesReport": "changes",
    "ExportReport": "export",
    "FoundStore": "stores",
    "Guard": "export",
    "ImportReport": "importing",
    "Overload": "limits",
    "MoveReport": "moving",
    "MoveStage": "moving",
    "RemovalReport": "removal",
    "Size": "statistics",
    "Statistics": "statistics",
    "StepLimits": "steps",
    "StorePage": "stores",
    "TenantLimits": "limits",
    "TenantUsage": "limits",
}


__getattr__ = on_demand(__name__, _HOME)

__all__ = [
    "ChangesReport",
    "ExportReport",
    "FoundStore",
    "Guard",
    "ImportReport",
    "MoveReport",
    "MoveStage",
    "Overload",
    "RemovalReport",
    "Size",
    "Statistics",
    "StepLimits",
    "StorePage",
    "TenantLimits",
    "TenantUsage",
]
