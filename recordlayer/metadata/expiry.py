"""When records expire: an index says so with an option of ours, which the Java Record Layer leaves alone.

    .expires("Session", "expires_at")                           at the time in a field
    .expires("Order", "created_at", ttl=timedelta(days=90))     so long after the time in a field
    .expires("Event", ttl=timedelta(hours=1))                   so long after the record was saved last

The index is what finds them, in the order of their times, so it is a VALUE index of the field, or a VERSION index. A
record without a time never expires.

Layout  option `recordlayer.expires`: "seconds", "milliseconds", "microseconds" or "version", and behind a + the
        milliseconds that are added: "milliseconds+7776000000"
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.descriptor import FieldDescriptor as Types

from recordlayer.errors import InvalidIndex, UsageError, WrongType
from recordlayer.keys import VERSION, KeyExpression, as_expression
from recordlayer.metadata.definitions import IndexDefinition
from recordlayer.metadata.index import Index, as_options
from recordlayer.metadata.record_type import RecordType

EXPIRES = "recordlayer.expires"
_VERSION = "version"
_INTEGERS = (Types.TYPE_INT64, Types.TYPE_INT32, Types.TYPE_SINT64, Types.TYPE_SFIXED64, Types.TYPE_SINT32)


class TimeUnit(enum.Enum):
    """What a field counts, from 1970 on."""

    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    MICROSECONDS = "microseconds"


_UNITS = {unit.value: unit for unit in TimeUnit}
_IN_A_SECOND = {TimeUnit.SECONDS: 1, TimeUnit.MILLISECONDS: 1_000, TimeUnit.MICROSECONDS: 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """When the records of an index expire. `unit` is None where that depends on when they were saved."""

    unit: TimeUnit | None
    ttl: timedelta

    def latest(self, now: float) -> int:
        """The greatest value of the field that has expired `now`, in seconds since 1970."""
        assert self.unit is not None, "there is a field"
        # In whole microseconds: a float of seconds times a million would round.
        microseconds = round(now * 1_000_000) - self.ttl // timedelta(microseconds=1)
        return microseconds * _IN_A_SECOND[self.unit] // 1_000_000


def expiry_of(index: Index) -> Expiry | None:
    """When the records of an index expire; None if it does not say.  Raises  InvalidIndex."""
    text = index.options.get(EXPIRES)
    if text is None:
        return None
    unit, plus, added = text.partition("+")
    known = unit == _VERSION or unit in _UNITS
    if not known or (plus and not added.isdecimal()) or (unit == _VERSION and not added):
        hint = f'the option {EXPIRES} says "milliseconds", "version+3600000" or the like, not {text!r}'
        raise InvalidIndex(index=index.name, type=index.type, hint=hint)
    return Expiry(
        unit=None if unit == _VERSION else TimeUnit(unit), ttl=timedelta(milliseconds=int(added) if added else 0)
    )


def expiry_index(expression: KeyExpression | str | None, ttl: timedelta | None, unit: TimeUnit) -> IndexDefinition:
    """The index that says when records expire.  Raises  UsageError, WrongType."""
    if not isinstance(unit, TimeUnit):
        raise WrongType(argument="unit", value=unit, hint="use TimeUnit")
    if ttl is not None and (not isinstance(ttl, timedelta) or ttl <= timedelta(0)):
        raise UsageError(ttl=ttl, hint="give a datetime.timedelta above zero")
    added = "" if ttl is None else f"+{ttl // timedelta(milliseconds=1)}"
    if expression is None:
        if ttl is None:
            raise UsageError(hint="say in which field the time is, or how long records last: ttl=timedelta(...)")
        return IndexDefinition(type="version", expression=VERSION, options=as_options({EXPIRES: _VERSION + added}))
    return IndexDefinition(
        type="value", expression=as_expression(expression), options=as_options({EXPIRES: unit.value + added})
    )


def problems(index: Index, record_types: Iterable[RecordType]) -> Iterator[InvalidIndex]:
    """What is wrong with an index that says when records expire."""
    try:
        expiry = expiry_of(index)
    except InvalidIndex as error:
        yield error
        return
    if expiry is None:
        return
    kind = "version" if expiry.unit is None else "value"
    first = index.root_expression.normalized()[:1]
    hint = ""
    if index.type != kind:
        hint = f"records expire by an index of type {kind}"
    elif index.predicate is not None or index.root_expression.creates_duplicates:
        hint = "an index by which records expire has one entry for each record"
    elif expiry.unit is None:
        if first != VERSION.normalized()[:1]:
            hint = "records that expire after they were saved have an index that begins with version()"
    elif any(first[0].leaf_fields(each.descriptor)[:1][0].type not in _INTEGERS for each in record_types):
        hint = "the time is an integer: seconds, milliseconds or microseconds since 1970"
    if hint:
        yield InvalidIndex(index=index.name, type=index.type, expression=index.root_expression, hint=hint)
