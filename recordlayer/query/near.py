"""Distances on earth, taken for a sphere: great circles by the haversine formula, which is exact enough for small ones.

Source  R. W. Sinnott, Virtues of the Haversine, Sky and Telescope 68 (1984); radius: IUGG mean radius R1
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from recordlayer.errors import QueryError, UsageError
from recordlayer.query.comparison import Operator
from recordlayer.query.decide import Decide, Truth
from recordlayer.query.predicate import And, Compare, Near, Path, PathStep, Predicate, shown

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor

EARTH = 6_371_008.8  # metres
_WIDER = 1 + 1e-9
"""Bounds of latitude are a little wider than the circle: what is near is decided by the distance."""


def near(path: Path, latitude: float, longitude: float, within: float) -> Predicate:
    """The condition, with bounds of latitude that an index can answer.  Raises  UsageError."""
    if not path:
        raise UsageError(what="near without a field", hint="write q.place.near(52.4, 4.9, within=1000)")
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and 0 <= within < math.inf):
        raise UsageError(
            field=shown(path), latitude=latitude, longitude=longitude, within=within, hint="give degrees and metres"
        )
    degrees = math.degrees(within / EARTH) * _WIDER + 1e-9
    height = (*path, PathStep("latitude"))
    return And(
        (
            Compare(height, Operator.GREATER_OR_EQUAL, float(latitude - degrees)),
            Compare(height, Operator.LESS_OR_EQUAL, float(latitude + degrees)),
            Near(path, float(latitude), float(longitude), float(within)),
        )
    )


def distance(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Metres between two points."""
    low, high = math.radians(latitude), math.radians(other_latitude)
    half = math.sin((high - low) / 2) ** 2
    half += math.cos(low) * math.cos(high) * math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    return 2 * EARTH * math.asin(math.sqrt(min(1.0, half)))


def is_near(predicate: Near, descriptor: Descriptor) -> Decide:
    """Decides on a message with latitude and longitude.  Raises  QueryError for another one."""
    fields = [descriptor.fields_by_name[name] for name in ("latitude", "longitude")]
    if any(field.type != field.TYPE_DOUBLE for field in fields):
        hint = "latitude and longitude are double fields, in degrees"
        raise QueryError(field=shown(predicate.path), hint=hint)
    optional = [field.name for field in fields if field.has_presence]

    def decide(message: Any, record: Any) -> Truth:
        if message is None or not all(message.HasField(name) for name in optional):
            return None
        away = distance(predicate.latitude, predicate.longitude, message.latitude, message.longitude)
        return away <= predicate.within

    return decide
