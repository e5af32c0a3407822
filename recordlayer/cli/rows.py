"""What a query gives, as rows of a table and as plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format, text_format
from google.protobuf.message import Message

from recordlayer.errors import UnknownField
from recordlayer.keys.access import is_repeated
from recordlayer.keys.suggest import did_you_mean, listed
from recordlayer.query.join import Pair
from recordlayer.query.rows import Row

MOST_COLUMNS = 6
"""So many fields of a record stand beside each other in 80 columns, unless it is said which."""


def plain(row: Any) -> Any:
    """A record, a row of a group or a pair as plain values, as protobuf's JSON has them: long integers are texts."""
    if isinstance(row, Pair):
        return {"outer": plain(row.outer), "inner": None if row.inner is None else plain(row.inner)}
    if isinstance(row, Row):
        return {name: _plain_value(value) for name, value in row.as_dict().items()}
    return json_format.MessageToDict(row, preserving_proto_field_name=True)


def _plain_value(value: Any) -> Any:
    if isinstance(value, Message):
        return plain(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class Columns:
    """The columns for rows of a query: of what comes first, or those that were asked for.

    left_out  names of fields that have no column
    """

    def __init__(self, rows: Sequence[Any], asked: Sequence[str] = ()) -> None:
        self.left_out: tuple[str, ...] = ()
        self._names: tuple[str, ...] = ()
        first = rows[0] if rows else None
        self._of_records = isinstance(first, Message)
        descriptors = {row.DESCRIPTOR.full_name: row.DESCRIPTOR for row in rows} if self._of_records else {}
        if isinstance(first, Row):
            self._names = self.heads = tuple(first.as_dict())
        elif isinstance(first, Pair):
            self.heads = (first.outer.DESCRIPTOR.name, "")
        elif len(descriptors) == 1:
            names = [field.name for field in next(iter(descriptors.values())).fields]
            self._names = self.heads = _checked(asked, names) or tuple(names[:MOST_COLUMNS])
            self.left_out = () if asked else tuple(names[MOST_COLUMNS:])
        else:
            self.heads = ("type", "record") if rows else ()
        self.numbers = tuple(
            head
            for place, head in enumerate(self.heads)
            if rows and all(_is_number(self._cell(row, place)) for row in rows)
        )

    def cells(self, row: Any) -> tuple[str, ...]:
        """The texts of one row; nothing for what is not set."""
        return tuple(_text(self._cell(row, place)) for place in range(len(self.heads)))

    def _cell(self, row: Any, place: int) -> Any:
        if isinstance(row, (Row, Pair)):
            return row[place]
        if self._names:
            return _field(row, self._names[place])
        return row.DESCRIPTOR.name if place == 0 else row


def _checked(asked: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    for name in asked:
        if name not in names:
            raise UnknownField(field=name, hint=did_you_mean(name, names) or f"fields are {listed(names)}")
    return tuple(asked)


def _field(record: Message, name: str) -> Any:
    field = record.DESCRIPTOR.fields_by_name[name]
    if not is_repeated(field) and field.has_presence and not record.HasField(name):
        return None
    value = getattr(record, name)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number
        named = [known[one].name if one in known else one for one in (value if is_repeated(field) else [value])]
        return named if is_repeated(field) else named[0]
    if is_repeated(field) and field.message_type is not None and field.message_type.GetOptions().map_entry:
        return ", ".join(f"{_text(key)}: {_text(value[key])}" for key in value)
    return list(value) if is_repeated(field) else value


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value)
    if isinstance(value, Message):
        return text_format.MessageToString(value, as_one_line=True, as_utf8=True)
    return str(value)
