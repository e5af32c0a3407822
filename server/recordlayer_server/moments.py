"""Comparisons of the messages google.protobuf.Timestamp and Duration, which are two fields each: seconds and nanos.

Each comparison names the seconds by themselves, so that an index that begins with them is of use, and leaves the rest
to the nanos. Neither field has presence: one that is not written is 0, and only where the message is not set a
comparison is unknown. In an order, as in an index, a 0 comes where nothing comes: before negative numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from recordlayer import q
from recordlayer.client.pb import types_pb2
from recordlayer.keys.access import is_message
from recordlayer.pb.types import FieldDescriptor
from recordlayer.query.paths import FieldPath
from recordlayer.query.predicate import Predicate
from recordlayer_server.statuses import bad_request
from recordlayer_server.values import microseconds, scalar, unknown_field

TIMESTAMP = "google.protobuf.Timestamp"
DURATION = "google.protobuf.Duration"
_LONGEST = 315_576_000_000  # seconds of a Duration: about 10,000 years
_SECOND = 1_000_000_000


class Moment(NamedTuple):
    """A point or a span of time. They are ordered as tuples: the parts of a Duration have the same sign."""

    seconds: int
    nanos: int


def is_moment(field: FieldDescriptor) -> bool:
    return is_message(field) and field.message_type.full_name in (TIMESTAMP, DURATION)


def moment(field: FieldDescriptor, value: types_pb2.Value, where: str) -> Moment:
    """What such a field is compared with: a timestamp_value, or seconds and nanos as a message_value, in which both
    kinds are written.  Raises  Refusal."""
    name, kind = field.message_type.full_name, value.WhichOneof("kind")
    if kind == "timestamp_value" and name == TIMESTAMP:
        given = Moment(value.timestamp_value.seconds, value.timestamp_value.nanos)
    elif kind == "message_value":
        known, parts = field.message_type.fields_by_name, {"seconds": 0, "nanos": 0}
        for part, number in value.message_value.fields.items():
            if part not in known:
                raise unknown_field(part, where)
            parts[part] = scalar(known[part], number, f"{where}.{part}")
        given = Moment(parts["seconds"], parts["nanos"])
    else:
        wanted = "a timestamp" if name == TIMESTAMP else "a message with seconds and nanos"
        raise bad_request(where, f"{wanted} is wanted")
    if name == TIMESTAMP:
        microseconds(Timestamp(seconds=given.seconds, nanos=given.nanos), where)
    elif not (abs(given.seconds) <= _LONGEST and abs(given.nanos) < _SECOND and given.seconds * given.nanos >= 0):
        raise bad_request(where, "at most 315576000000 seconds, and less than a second of nanos, of the same sign")
    return given


class MomentPath:
    """A field that holds such messages, to be compared as other fields are. Of a list, one element has to do."""

    __slots__ = ("_holds",)

    def __init__(self, path: FieldPath, *, in_list: bool = False) -> None:
        def holds(condition: Callable[[FieldPath], Predicate]) -> Predicate:
            return path.matches(condition(q)) if in_list else condition(path)

        self._holds = holds

    def __eq__(self, at: object) -> Predicate:  # type: ignore[override]  # builds a predicate, as paths do
        assert isinstance(at, Moment), "nothing else is made for such a field"
        return self._holds(lambda path: (path["seconds"] == at.seconds) & (path["nanos"] == at.nanos))

    def __ne__(self, at: object) -> Predicate:  # type: ignore[override]  # builds a predicate
        return ~self.__eq__(at)

    def __lt__(self, at: Moment) -> Predicate:
        return self._holds(lambda path: _beyond(path["seconds"] <= at.seconds, path, at, path["nanos"] < at.nanos))

    def __le__(self, at: Moment) -> Predicate:
        return self._holds(lambda path: _beyond(path["seconds"] <= at.seconds, path, at, path["nanos"] <= at.nanos))

    def __gt__(self, at: Moment) -> Predicate:
        return self._holds(lambda path: _beyond(path["seconds"] >= at.seconds, path, at, path["nanos"] > at.nanos))

    def __ge__(self, at: Moment) -> Predicate:
        return self._holds(lambda path: _beyond(path["seconds"] >= at.seconds, path, at, path["nanos"] >= at.nanos))

    __hash__ = None  # type: ignore[assignment]  # == builds a predicate

    def in_(self, moments: Iterable[Moment]) -> Predicate:
        first, *others = [self == one for one in moments]
        for one in others:
            first |= one
        return first


def _beyond(reached: Predicate, path: FieldPath, at: Moment, nanos: Predicate) -> Predicate:
    """The second is reached; and is another one, or the nanos decide."""
    return reached & ((path["seconds"] != at.seconds) | nanos)
