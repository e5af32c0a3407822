"""Generated functions over all entries of a page: from the keys that were read to what is wanted of them, in one loop.

They know the usual bytes of columns of known kinds. For whatever else is in a page they give None, and it is read entry
by entry: then an entry that cannot be read says which one it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as FieldTypes

from recordlayer.core import made_in_c
from recordlayer.kv.engine import KeyValue
from recordlayer.metadata.envelope import varint
from recordlayer.pb.nans import parser_of
from recordlayer.pb.pages import page_parser_of
from recordlayer.tuples.compiled import UNPACKING_NAMES, Kind, define, unpacking_source
from recordlayer.tuples.unpacking import DECODERS

# Kinds of fields whose serialised form follows from a packed column: their letter in native/rows.c, their wire type.
_WIRE = {
    FieldTypes.TYPE_INT32: (b"i", 0),
    FieldTypes.TYPE_INT64: (b"l", 0),
    FieldTypes.TYPE_UINT32: (b"u", 0),
    FieldTypes.TYPE_UINT64: (b"w", 0),
    FieldTypes.TYPE_SINT32: (b"s", 0),
    FieldTypes.TYPE_SINT64: (b"z", 0),
    FieldTypes.TYPE_BOOL: (b"b", 0),
    FieldTypes.TYPE_DOUBLE: (b"d", 1),
    FieldTypes.TYPE_STRING: (b"t", 2),
    FieldTypes.TYPE_BYTES: (b"y", 2),
}

Rows = Callable[[Sequence[KeyValue], int], list[Any] | None]
"""From pairs, and where the columns begin in their keys, to what was made of each."""
Runs = Callable[[Sequence[KeyValue], int], "tuple[list[bytes], list[int], list[list[Any]]] | None"]
"""From the same to runs of entries with the same leading columns: those as bytes, and where each run ends; and the
values of the wanted columns of all entries."""


def compile_rows(kinds: Sequence[Kind], make: Any, named: Sequence[tuple[int, str]], *, name: str) -> Rows:
    """A function that makes a message of each entry. `named`: places of columns, and the fields that they are."""
    in_python = rows_in_python(kinds, make, named, name=name)
    by_name = make.DESCRIPTOR.fields_by_name
    fields: list[tuple[bytes, bytes] | None] = [None] * len(kinds)
    for place, field_name in named:
        field = by_name[field_name]
        if field.type not in _WIRE:
            return in_python  # it has to be looked at by somebody who knows what is allowed in it
        kind, wire_type = _WIRE[field.type]
        fields[place] = kind, varint(field.number << 3 | wire_type)
    return made_in_c("rows", in_python, parser_of(make), tuple(fields), page_parser_of(make))


def rows_in_python(kinds: Sequence[Kind], make: Any, named: Sequence[tuple[int, str]], *, name: str) -> Rows:
    """The same, generated: `make` is called with the columns as arguments."""
    arguments = ", ".join(f"{argument}=c{place}" for place, argument in named)
    lines = [f"    {line}" for place, kind in enumerate(kinds) for line in unpacking_source(kind, f"c{place}")]
    before = ["made = []", "add = made.append"]
    read: Rows = _over_pairs(before, ["    at = start", *lines], f"    add(make({arguments}))", "made", name, make)
    return read


def compile_tuples(kinds: Sequence[Kind], wanted: Sequence[tuple[int, Any]], *, name: str) -> Rows:
    """A function that makes a tuple of some columns of each entry. `wanted`: their places, and what a null in each of
    them stands for."""
    in_python = tuples_in_python(kinds, wanted, name=name)
    places, nulls = tuple([place for place, _ in wanted]), tuple([null for _, null in wanted])
    return made_in_c("tuples", in_python, DECODERS, len(kinds), places, nulls)


def tuples_in_python(kinds: Sequence[Kind], wanted: Sequence[tuple[int, Any]], *, name: str) -> Rows:
    """The same, generated."""
    parts = [f"c{place}" if null is None else f"({null!r} if c{place} is None else c{place})" for place, null in wanted]
    lines = [f"    {line}" for place, kind in enumerate(kinds) for line in unpacking_source(kind, f"c{place}")]
    before = ["made = []", "add = made.append"]
    made = f"    add(({', '.join(parts)},))"
    read: Rows = _over_pairs(before, ["    at = start", *lines], made, "made", name, None)
    return read


def compile_runs(kinds: Sequence[Kind], leading: int, wanted: Sequence[int], *, name: str) -> Runs:
    """A function that tells entries with the same `leading` columns by their bytes, without reading those again."""
    in_python = runs_in_python(kinds, leading, wanted, name=name)
    return made_in_c("runs", in_python, DECODERS, len(kinds), leading, tuple(wanted))


def runs_in_python(kinds: Sequence[Kind], leading: int, wanted: Sequence[int], *, name: str) -> Runs:
    """The same, generated: a page is read key by key."""
    before = ["groups, ends, last, place = [], [], None, 0", *[f"v{column} = []" for column in wanted]]
    lines = [
        "    at = start",
        # No element begins with ff: with it, a text that ended here in the last key goes on.
        "    if last is not None and data.startswith(last, start) and data[start + size] != 0xff:",
        "        at += size",
        "    else:",
        "        if place:",
        "            ends.append(place)",
    ]
    for place in range(leading):
        lines += [f"        {line}" for line in unpacking_source(kinds[place], f"c{place}")]
    lines += [
        "        size = at - start",
        "        last = data[start:at]",
        "        groups.append(last)",
        *[f"        g{column} = c{column}" for column in wanted if column < leading],
        "    place += 1",
    ]
    for place in range(leading, len(kinds)):
        lines += [f"    {line}" for line in unpacking_source(kinds[place], f"c{place}")]
    add = "; ".join([f"v{column}.append({'g' if column < leading else 'c'}{column})" for column in wanted]) or "pass"
    values = "".join([f"v{column}, " for column in wanted])
    result = f"(groups, [*ends, place] if place else ends, [{values}])"
    read: Runs = _over_pairs(before, lines, f"    {add}", result, name, None)
    return read


def _over_pairs(before: list[str], each: list[str], add: str, result: str, name: str, make: Any) -> Any:
    lines = [
        *before,
        "try:",
        "    for data, _ in pairs:",
        *[f"    {line}" for line in each],
        "        if at != len(data):",
        "            return None",
        f"    {add}",
        "except _t_errors:",
        "    return None",
        f"return {result}",
    ]
    return define(lines, name=name, parameters=("pairs", "start"), names={**UNPACKING_NAMES, "make": make})
