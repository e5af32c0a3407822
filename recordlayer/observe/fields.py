"""An event as plain names and values, for whoever writes it down.

Names are those of the event's fields. Durations become milliseconds with the suffix `_ms`, origins and counts are laid
flat, parts of stores become the names of the indexes among them. What users stored stays out unless asked for: keys are
left out, values in queries and plans become a question mark.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta

from recordlayer.observe.events import Counts, Event, Origin, Place

Plain = str | int | float | bool
_KEYS = frozenset({"key", "begin", "end", "ranges", "conflicts"})
_SPOKEN = frozenset({"query", "plan"})
_VALUE = re.compile(r"""b?'(?:[^'\\]|\\.)*' | b?"(?:[^"\\]|\\.)*" | (?<![\w.]) -?\d[\w.+]* (?![\w.])""", re.VERBOSE)


def title_of(kind: type[Event]) -> str:
    """The constant words for a kind of event: `CommitFinished` is "commit finished"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()


def fields_of(event: Event, *, keys: bool = False) -> dict[str, Plain]:
    """The fields of an event that say something: no None, no empty text.

    keys  include keys, ranges, what conflicts, and the values in queries, all of which may hold what users stored
    """
    found: dict[str, Plain] = {}
    for field in fields(event):
        if keys or field.name not in _KEYS:
            value = getattr(event, field.name)
            if not keys and field.name in _SPOKEN:
                value = masked(value)
            _add(found, field.name, value)
    return found


def masked(text: str) -> str:
    """A query or a plan without its values: `customer = 'ana'` is `customer = ?`. Equal for queries of one shape."""
    return _VALUE.sub("?", text)


def _add(found: dict[str, Plain], name: str, value: object) -> None:
    match value:
        case None | "":
            return
        case bool() | int() | float() | str():
            found[name] = value
        case timedelta():
            found[f"{name}_ms"] = milliseconds(value)
        case enum.Enum():
            found[name] = str(value.value)
        case bytes():
            found[name] = text_of(value)
        case Origin() | Counts():
            for field in fields(value):
                _add(found, field.name, getattr(value, field.name))
        case Place():
            if value.store:
                found[name] = str(value)
        case Mapping():
            names = sorted({key.name for key in value if isinstance(key, Place) and key.name})
            _add(found, "indexes", ",".join(names))
        case tuple():
            _add(found, name, "; ".join(_part(part) for part in value))
        case _:
            found[name] = str(value)


def _part(value: object) -> str:
    if isinstance(value, bytes):
        return text_of(value)
    if isinstance(value, tuple):
        return "-".join(_part(part) for part in value)
    return str(value)


def milliseconds(duration: timedelta) -> float:
    return round(duration / timedelta(milliseconds=1), 3)


def text_of(data: bytes) -> str:
    r"""Bytes as people read keys: printable ASCII as it is, the rest as \xNN."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in data)
