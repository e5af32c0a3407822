"""Seeing what a database does: events, observers, and adapters for logging, OpenTelemetry and Prometheus.

    from recordlayer.observe import LogSlow, Observers, OpenTelemetry, Prometheus

    db = recordlayer.open("file:shop.rl", observer=Observers(LogSlow(), OpenTelemetry(), Prometheus()))

    events.py      what happens, as values
    fields.py      an event as plain names and values
    observer.py    who is told, and how observers are put together
    logs.py        to the standard library's logging
    otel.py        to OpenTelemetry, as spans
    prometheus.py  to Prometheus, as counters and histograms

The adapters import what they adapt to when they are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.on_demand import on_demand

if TYPE_CHECKING:
    from recordlayer.observe.logs import LogEvents, LogSlow
    from recordlayer.observe.observer import NOTHING, Callbacks, Observer, Observers
    from recordlayer.observe.otel import OpenTelemetry
    from recordlayer.observe.prometheus import Prometheus

_HOME = {
    "NOTHING": "observer",
    "Callbacks": "observer",
    "LogEvents": "logs",
    "LogSlow": "logs",
    "Observer": "observer",
    "Observers": "observer",
    "OpenTelemetry": "otel",
    "Prometheus": "prometheus",
}

__getattr__ = on_demand(__name__, _HOME)


def __dir__() -> list[str]:
    return __all__


__all__ = ["NOTHING", "Callbacks", "LogEvents", "LogSlow", "Observer", "Observers", "OpenTelemetry", "Prometheus"]
