"""Key expressions as generated Python: one function from message to rows, or straight to packed keys.

The interpreter (`KeyExpression.evaluate`) asks at every field what it is. Here the questions are asked once, when the
function is made for one expression and one message type; what is left is attribute reads and packing. The generated
function gives what the interpreter gives, in the same order. A message of another class than the one it was made for
(the same type from another pool), a column that cannot be packed, and nodes that are rare take the interpreter's way.

    rows(message, context)                     the rows, as `evaluate` gives them
    keys(message, context, prefix, suffix)     prefix + packed row + suffix for each row
    pairs(message, context, prefix, suffix)    the same up to a split point, and the packed columns from there on

Cost    about 0.2 µs a column; making a function about a millisecond, once
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recordlayer import tuples
from recordlayer.keys.codegen import Emit, rows_code
from recordlayer.keys.codewriter import Column, Interpreted, Scope, Writer, in_variables, tuple_source
from recordlayer.keys.expression import KeyExpression, RecordContext, Row
from recordlayer.keys.grouping import KeyWithValue
from recordlayer.tuples.compiled import define

if TYPE_CHECKING:
    from google.protobuf.message import Message

Rows = Callable[["Message | None", RecordContext], list[Row]]
Keys = Callable[["Message | None", RecordContext, bytes, bytes], list[bytes]]
Pair = tuple[bytes, bytes]
Pairs = Callable[["Message | None", RecordContext, bytes, bytes], list[Pair]]


def compile_rows(expression: KeyExpression, message_class: type[Message], *, name: str = "rows") -> Rows:
    """A function that gives what `expression.evaluate` gives, for messages of one class."""

    def emit(out: Writer) -> Emit:
        return lambda columns: out.give(tuple_source([column.value for column in columns]))

    def slow(message: Message | None, context: RecordContext) -> list[Row]:
        return expression.evaluate(message, context)

    made: Rows = _compile(expression, message_class, emit, slow, name=name, extra=())
    return made


def compile_keys(expression: KeyExpression, message_class: type[Message], *, name: str = "keys") -> Keys:
    """A function that gives prefix + packed row + suffix for each row of an expression."""

    def emit(out: Writer) -> Emit:
        def each(columns: list[Column]) -> None:
            pieces = ["prefix", *[column.packed for column in in_variables(columns, out)], "suffix"]
            out.give(f"_t_join(({', '.join(pieces)}))")

        return each

    def slow(message: Message | None, context: RecordContext, prefix: bytes, suffix: bytes) -> list[bytes]:
        return [tuples.pack(row, prefix) + suffix for row in expression.evaluate(message, context)]

    made: Keys = _compile(expression, message_class, emit, slow, name=name, extra=("prefix", "suffix"))
    return made


def compile_pairs(expression: KeyWithValue, message_class: type[Message], *, name: str = "pairs") -> Pairs:
    """A function that gives prefix + packed key + suffix and the packed value for each row of a covering index."""
    at = expression.split_point

    def emit(out: Writer) -> Emit:
        def each(columns: list[Column]) -> None:
            packed = [column.packed for column in in_variables(columns, out)]
            key = ", ".join(["prefix", *packed[:at], "suffix"])
            out.give(f"(_t_join(({key})), _t_join({tuple_source(packed[at:])}))")

        return each

    def slow(
        message: Message | None, context: RecordContext, prefix: bytes, suffix: bytes
    ) -> list[tuple[bytes, bytes]]:
        rows = expression.evaluate(message, context)
        return [(tuples.pack(row[:at], prefix) + suffix, tuples.pack(row[at:])) for row in rows]

    made: Pairs = _compile(expression, message_class, emit, slow, name=name, extra=("prefix", "suffix"))
    return made


def _compile(
    expression: KeyExpression,
    message_class: type[Message],
    emit: Callable[[Writer], Emit],
    slow: Callable[..., Any],
    *,
    name: str,
    extra: tuple[str, ...],
) -> Callable[..., Any]:
    parameters = ("message", "context", *extra)
    arguments = ", ".join(parameters)
    many = expression.creates_duplicates
    out = Writer(many=many)
    out.names |= {"_k_class": message_class, "_k_slow": slow}
    with out.block("if type(message) is not _k_class:"):
        out.add(f"return _k_slow({arguments})")
    if many:
        out.add("rows = []")
    try:
        with out.block("try:"):
            rows_code(expression, Scope(message_class.DESCRIPTOR, "message"), out, emit(out))
    except Interpreted:
        return slow
    with out.block("except _t_errors:"):
        out.add(f"return _k_slow({arguments})")
    if many:
        out.add("return rows")
    return define(out.lines, name=name, parameters=parameters, names=out.names)
