"""What a query or a plan is, as a few bytes that stay the same from release to release.

Continuations carry these bytes, so they are made from the parts of a query and not from its text, which may be worded
better one day: a value is its class's name and its fields by name. A field at its default is left out, so that a new
field, with a default that means what was before, changes nothing.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from recordlayer.tuples import pack

if TYPE_CHECKING:
    from recordlayer.index.bounds import Bounds
    from recordlayer.metadata import Index, RecordType
    from recordlayer.query.query import Query

SIZE = 8

Part = tuple[Any, ...]


def fingerprint(part: Any) -> bytes:
    """The bytes of something made of what `parts_of` gives."""
    return hashlib.blake2b(pack((part,)), digest_size=SIZE).digest()


def of_query(query: Query) -> bytes:
    """The bytes of a query: what it asks for, and with which values. What it may cost and hold in memory does not
    count."""
    return fingerprint(parts_of(query.asked))


def of_plan(identity: Part, metadata_parts: Part = ()) -> bytes:
    """The bytes of a plan."""
    return fingerprint((identity, metadata_parts))


def of_index(index: Index) -> Part:
    """An index, as far as the keys of its entries depend on it."""
    return ("index", index.subspace_key, index.last_modified_version, index.type)


def of_types(types: tuple[RecordType, ...]) -> Part:
    """What the keys of records depend on."""
    return ("records", *[parts_of(known.primary_key.ignoring_nulls()) for known in types])


def of_ranges(ranges: tuple[Bounds, ...]) -> Part:
    """What a scan is bounded by."""
    return tuple((bounds.low, bounds.high, bounds.low_end.value, bounds.high_end.value) for bounds in ranges)


def parts_of(value: Any) -> Any:
    """A value as what a tuple may hold."""
    kind: Any = type(value)
    if kind is str or kind is bool or kind is float or kind is bytes or value is None:
        return value
    if isinstance(value, enum.Enum):
        return ("enum", value.name)
    told = _told(kind)
    if told is not None:
        named = [
            (name, parts_of(held))
            for name, default in told
            if type(held := getattr(value, name)) is not type(default) or held != default
        ]
        return (kind.__name__, *named)
    if isinstance(value, (tuple, list)):
        return ("list", *[parts_of(one) for one in value])
    if isinstance(value, (frozenset, set)):
        return ("set", *sorted([parts_of(one) for one in value], key=lambda part: pack((part,))))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        return ("int", str(value))
    if isinstance(value, (bool, int, float, str, bytes)):
        return value
    return _other(value)


@lru_cache(maxsize=1_000)
def _told(kind: Any) -> tuple[tuple[str, Any], ...] | None:
    """The fields of a class that tell its values apart, with their defaults, or `MISSING`, which no value is; None if
    it is no dataclass. What does not make two values different, such as the code of a function, does not count."""
    if not is_dataclass(kind):
        return None
    return tuple([(field.name, field.default) for field in fields(kind) if field.compare])


def _other(value: Any) -> Any:
    """UUIDs and the like pack as they are, messages as their bytes; what does not pack is its text."""
    if hasattr(value, "SerializeToString"):
        return (type(value).__name__, value.SerializeToString(deterministic=True))
    try:
        pack((value,))
    except Exception:  # whatever a foreign value raises, it has no place in a tuple
        return (type(value).__name__, repr(value))
    return value
