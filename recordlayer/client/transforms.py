"""Changes of a field by what it holds, which the server makes where the record is: nobody has to read it first.

zone.update(Photo(), name="p", transforms=[increment("views"), add_to_list("tags", ["new"])])
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import empty_pb2

from recordlayer.client.pb.records_pb2 import Transform
from recordlayer.client.values import list_of, value_of


def increment(field: str, by: float = 1) -> Transform:
    """So much more, or less; a number that is not set counts as 0."""
    return Transform(field=field, increment=value_of(by))


def minimum(field: str, value: float) -> Transform:
    """The lesser of what is there and this; one that is not set gives way."""
    return Transform(field=field, minimum=value_of(value))


def maximum(field: str, value: float) -> Transform:
    """The greater of what is there and this; one that is not set gives way."""
    return Transform(field=field, maximum=value_of(value))


def server_time(field: str) -> Transform:
    """When the server saves the record."""
    return Transform(field=field, server_time=empty_pb2.Empty())


def add_to_list(field: str, values: Iterable[Any]) -> Transform:
    """Those that are not in the list yet, at its end."""
    return Transform(field=field, add_to_list=list_of(values))


def remove_from_list(field: str, values: Iterable[Any]) -> Transform:
    """All that are equal to one of these."""
    return Transform(field=field, remove_from_list=list_of(values))
