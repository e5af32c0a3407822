"""The entries of several indexes as one generated function: what they have in common is read and packed once.

    entries(message, context, suffix, prefixes)    a write of each index, in their order

A record of a type with four indexes over one column, and a count of its groups, reads that column once and packs it
once; there is one call and one look for errors instead of one each. `None` stands for what the function was not made
for: a message of another class, a column that cannot be packed, an amount that is no integer. Who asks then takes each
index by itself.

Cost    about 0.4 µs an index
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from recordlayer.core import made_in_c
from recordlayer.keys.codegen import rows_code
from recordlayer.keys.codewriter import Column, Interpreted, Scope, Writer, in_variables, tuple_source
from recordlayer.keys.entry_program import program_of
from recordlayer.keys.expression import KeyExpression, RecordContext
from recordlayer.keys.grouping import KeyWithValue
from recordlayer.tuples.compiled import define
from recordlayer.tuples.packing import encode_element

if TYPE_CHECKING:
    from google.protobuf.message import Message

Write = tuple[int, bytes, bytes]
_LONG = (1 << 64) - 1
Entries = Callable[["Message", RecordContext, bytes, Sequence[bytes]], "list[Write] | None"]


class OneEntry(NamedTuple):
    """An index of which each record has exactly one entry.

    expression  its columns, in one row
    kind        of write, the first item of each
    operand     what is written where the expression has no columns for it
    tail        what follows the columns in the key: None for the whole primary key, else these expressions
    amount      the last column is an integer that is not part of the key, but written, in 8 bytes little-endian; there
                is None in place of the operand where it is null
    """

    expression: KeyExpression
    kind: int
    operand: bytes
    tail: tuple[KeyExpression, ...] | None
    amount: bool = False


def compile_entries(
    wanted: Sequence[OneEntry], message_class: type[Message], *, name: str, key_limit: int, value_limit: int
) -> Entries | None:
    """A function that gives (kind, prefix + packed columns + tail, operand) for each of `wanted`. None if one of them
    has no generated form."""
    limits = {"key_limit": key_limit, "value_limit": value_limit}
    function = entries_in_python(wanted, message_class, name=name, **limits)
    program = None if function is None else program_of(wanted, message_class.DESCRIPTOR)
    if function is None or program is None:
        return function
    return made_in_c("entries", function, encode_element, message_class, *program, key_limit, value_limit)


def entries_in_python(
    wanted: Sequence[OneEntry], message_class: type[Message], *, name: str, key_limit: int, value_limit: int
) -> Entries | None:
    """The same as generated code, which is there without the compiled core as well."""
    out = Writer(many=False)
    out.names |= {"_k_class": message_class}
    made: list[tuple[str, str, str]] = []
    with out.block("if type(message) is not _k_class:"):
        out.add("return None")
    prefixes = [f"p{place}" for place in range(len(wanted))]
    try:
        with out.block("try:"):
            out.add(f"{tuple_source(prefixes)} = prefixes")
            for prefix, one in zip(prefixes, wanted, strict=True):
                made.append(_write(one, prefix, Scope(message_class.DESCRIPTOR, "message"), out))
            sizes = [f"len({key}) > {key_limit}" for _, key, _ in made]
            sizes += [f"len({value}) > {value_limit}" for _, _, value in made if value.isidentifier()]
            with out.block(f"if {' or '.join(sizes)}:"):
                out.add("return None")
            out.add(f"return [{', '.join(tuple_source(list(one)) for one in made)}]")
    except Interpreted:
        return None
    with out.block("except _t_errors:"):
        out.add("return None")
    function: Entries = define(
        out.lines, name=name, parameters=("message", "context", "suffix", "prefixes"), names=out.names
    )
    return function


def _write(one: OneEntry, prefix: str, scope: Scope, out: Writer) -> tuple[str, str, str]:
    """The kind, and where the key and the value are."""
    columns = _columns(one.expression, scope, out)
    amount = in_variables([columns.pop()], out)[0].source if one.amount else ""
    at = one.expression.split_point if isinstance(one.expression, KeyWithValue) else None
    packed = [out.packed(column) for column in columns]
    key = [prefix, *packed[:at]]
    if one.tail is None:
        key.append("suffix")
    for expression in one.tail or ():
        key += [out.packed(column) for column in _columns(expression, scope, out)]
    key_variable = out.variable()
    out.add(f"{key_variable} = _t_join({tuple_source(key)})")
    value = repr(one.operand)
    if amount:
        with out.block(f"if type({amount}) is not int and {amount} is not None:"):
            out.add("return None")
        value = f"None if {amount} is None else ({amount} & {_LONG}).to_bytes(8, 'little')"
    elif at is not None:
        value = out.variable()
        out.add(f"{value} = _t_join({tuple_source(packed[at:])})")
    return str(int(one.kind)), key_variable, value


def _columns(expression: KeyExpression, scope: Scope, out: Writer) -> list[Column]:
    found: list[Column] = []
    rows_code(expression, scope, out, found.extend)
    return found
