"""The code that a key expression is: lines of Python that read a message and hold one row's columns in variables.

Nodes with exactly one row become straight code, hoisted before the loops; nodes with any number of rows become loops
around it, in the order of the parts. A node that has no generated form where it stands is evaluated by itself (its
rows are unpacked into variables), or raises `Interpreted`: then the whole expression is left to the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable
from keyword import iskeyword
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor as Types

from recordlayer import tuples
from recordlayer.keys import access
from recordlayer.keys.codewriter import Column, Interpreted, Scope, Writer, tuple_source
from recordlayer.keys.compose import ListOf, Then
from recordlayer.keys.expression import FanType, KeyExpression, NullInterpretation
from recordlayer.keys.field import Field, Nesting
from recordlayer.keys.functions import FunctionCall
from recordlayer.keys.grouping import Dimensions, Grouping, KeyWithValue
from recordlayer.keys.special import Empty, Literal, RecordType, Version
from recordlayer.tuples.compiled import Kind

if TYPE_CHECKING:
    from recordlayer.pb.types import FieldDescriptor

KINDS = {
    Types.CPPTYPE_INT32: Kind.INT,
    Types.CPPTYPE_INT64: Kind.INT,
    Types.CPPTYPE_UINT32: Kind.INT,
    Types.CPPTYPE_UINT64: Kind.INT,
    Types.CPPTYPE_ENUM: Kind.INT,
    Types.CPPTYPE_DOUBLE: Kind.FLOAT,
    Types.CPPTYPE_FLOAT: Kind.SINGLE_FLOAT,
    Types.CPPTYPE_BOOL: Kind.BOOL,
    Types.CPPTYPE_STRING: Kind.STR,
}
_FLOATS = (Types.TYPE_FLOAT, Types.TYPE_DOUBLE)


# -- single rows: straight code --------------------------------------------------------------------------------------


def _single(node: KeyExpression, scope: Scope, out: Writer) -> list[Column]:
    """Code that sets the columns of a node that always has exactly one row."""
    if isinstance(node, Field):
        return [out.once(("column", node, scope), lambda: _field(node, scope, out))]
    if isinstance(node, Nesting):
        parent = node.parent
        nested = out.once(("message", parent, scope), lambda: _nested_scope(parent, scope, out))
        return _single(node.child, nested, out)
    if isinstance(node, Then):
        return [column for part in node.parts for column in _single(part, scope, out)]
    if isinstance(node, ListOf):
        return [_tuple_column(_single(part, scope, out)) for part in node.parts]
    if isinstance(node, (Grouping, Dimensions, KeyWithValue)):
        return _single(node.whole, scope, out)
    if isinstance(node, Empty):
        return []
    if isinstance(node, Literal):
        return [Column(out.name(node.element), Kind.ANY, constant=tuples.pack((node.element,)))]
    if isinstance(node, RecordType):
        return [Column("context.record_type_key", Kind.INT)]
    if isinstance(node, Version):
        return [Column("context.version", Kind.VERSIONSTAMP)]
    if isinstance(node, FunctionCall) and node.function is not None and node.function.value is not None:
        return [_function(node, scope, out)]
    return _interpreted(node, scope, out)


def _interpreted(node: KeyExpression, scope: Scope, out: Writer) -> list[Column]:
    if scope.message is None:
        raise Interpreted
    columns = [Column(out.variable(), Kind.ANY) for _ in range(node.column_size)]
    if isinstance(node, KeyWithValue):
        raise Interpreted
    targets = "".join(f"{column.source}, " for column in columns)
    out.add(f"(({targets}),) = {out.name(node)}.evaluate({scope.message}, context)")
    return columns


def _tuple_column(columns: list[Column]) -> Column:
    return Column(tuple_source([column.value for column in columns]), Kind.ANY, nullable=False)


def _function(node: FunctionCall, scope: Scope, out: Writer) -> Column:
    function = node.function
    assert function is not None, "asked for before"
    if function.whole is not None:
        return _interpreted(node, scope, out)[0]
    arguments = ", ".join(column.value for column in _single(node.arguments, scope, out))
    variable = out.variable()
    out.add(f"{variable} = {out.name(function.value)}({arguments})")
    return Column(variable, Kind.ANY)


def _nested_scope(parent: Field, scope: Scope, out: Writer) -> Scope:
    """The scope of the message in a field that is not repeated."""
    field = _descriptor_of(parent, scope)
    if field is None or not access.is_message(field) or access.is_repeated(field):
        raise Interpreted
    if scope.message is None:
        if field.name != "value":
            raise Interpreted
        return Scope(field.message_type, scope.entry_value)
    variable = out.variable()
    there = f"{scope.message}.{field.name}"
    always = parent.nulls is NullInterpretation.NOT_NULL
    conditions = [f"{scope.message} is not None"] if scope.missing else []
    conditions += [] if always else [f'{scope.message}.HasField("{field.name}")']
    condition = f" if {' and '.join(conditions)} else None" if conditions else ""
    out.add(f"{variable} = {there}{condition}")
    return Scope(field.message_type, variable, missing=bool(conditions))


def _descriptor_of(node: Field, scope: Scope) -> FieldDescriptor | None:
    found = scope.descriptor.fields_by_name.get(node.name)
    # Names that Python cannot write as an attribute are rare enough for the interpreter.
    return found if node.name.isidentifier() and not iskeyword(node.name) else None


def _field(node: Field, scope: Scope, out: Writer) -> Column:
    field = _descriptor_of(node, scope)
    if field is None:
        return _interpreted(node, scope, out)[0]
    if access.is_repeated(field):
        return _concatenated(node, field, scope, out)
    if node.fan_type is not FanType.SCALAR:
        return _interpreted(node, scope, out)[0]
    variable = out.variable()
    if scope.message is None:
        out.add(f"{variable} = {scope.key if field.name == 'key' else scope.entry_value}")
        return _present(node, field, variable, "", scope, out)
    if not scope.missing:
        return _present(node, field, variable, f"{scope.message}.{field.name}", scope, out)
    with out.block(f"if {scope.message} is None:"):
        out.add(f"{variable} = None")
    with out.block("else:"):
        column = _present(node, field, variable, f"{scope.message}.{field.name}", scope, out)
    return Column(variable, column.kind, raw_float=column.raw_float)


def _present(node: Field, field: FieldDescriptor, variable: str, read: str, scope: Scope, out: Writer) -> Column:
    """Set a variable to the field of a message that is there; `read` is empty if it is set already."""
    not_null = node.nulls is NullInterpretation.NOT_NULL
    if access.is_message(field):
        convert = access.TUPLE_FIELDS.get(field.message_type.full_name)
        if convert is None or scope.message is None:
            raise Interpreted
        made = f"{out.name(convert)}({read})"
        has = f'{scope.message}.HasField("{field.name}")'
        out.add(f"{variable} = {made}" + ("" if not_null else f" if {has} else None"))
        return Column(variable, Kind.UUID if field.message_type.name == "UUID" else Kind.ANY)
    kind = Kind.BYTES if field.type == Types.TYPE_BYTES else KINDS[field.cpp_type]
    if read:
        out.add(f"{variable} = {read}")
    checks: list[tuple[str, str]] = []
    if not not_null:
        checks.append((_unset(field, variable, scope), f"{variable} = None"))
    if field.type == Types.TYPE_STRING:
        checks.append((f"type({variable}) is bytes", f"{variable} = _k_text({variable})"))
    word = "if"
    for condition, statement in checks:
        with out.block(f"{word} {condition}:"):
            out.add(statement)
        word = "elif"
    return Column(variable, kind, nullable=not not_null, raw_float=field.type == Types.TYPE_FLOAT)


def _unset(field: FieldDescriptor, variable: str, scope: Scope) -> str:
    """A condition that the field is not set. Looks at the value first: what differs from the default is set."""
    if scope.message is not None and field.has_presence:
        has = f'not {scope.message}.HasField("{field.name}")'
        return has if field.has_default_value else f"not {variable} and {has}"
    if field.has_presence:
        return "False"  # both members of a map entry are always written
    if field.type in _FLOATS:
        return f"not {variable} and not _k_minus_zero({variable})"
    return f"not {variable}"


def _concatenated(node: Field, field: FieldDescriptor, scope: Scope, out: Writer) -> Column:
    if node.fan_type is not FanType.CONCATENATE or access.is_message(field) or scope.message is None:
        return _interpreted(node, scope, out)[0]
    variable = out.variable()
    read = f"{scope.message}.{field.name}"
    if field.type == Types.TYPE_FLOAT:
        made = f"tuple([_k_SingleFloat(x) for x in {read}])"
    elif field.type == Types.TYPE_STRING:
        made = f"tuple([_k_text(x) if type(x) is bytes else x for x in {read}])"
    else:
        made = f"tuple({read})"
    if scope.missing:
        nothing = "()" if node.nulls is NullInterpretation.NOT_NULL else "None"
        made = f"{nothing} if {scope.message} is None else {made}"
    out.add(f"{variable} = {made}")
    return Column(variable, Kind.ANY)


# -- any number of rows: loops around the code for one --------------------------------------------------------------

Emit = Callable[[list[Column]], None]


def rows_code(node: KeyExpression, scope: Scope, out: Writer, emit: Emit) -> None:
    """Code that runs what `emit` writes once for each row of a node."""
    if not node.creates_duplicates:
        emit(_single(node, scope, out))
    elif isinstance(node, (Then, ListOf)):
        _combinations(node, scope, out, emit)
    elif isinstance(node, (Grouping, Dimensions, KeyWithValue)):
        rows_code(node.whole, scope, out, emit)
    elif isinstance(node, Field):
        _elements(node, scope, out, emit)
    elif isinstance(node, Nesting):
        _nested_rows(node, scope, out, emit)
    else:
        _interpreted_rows(node, scope, out, emit)


def _interpreted_rows(node: KeyExpression, scope: Scope, out: Writer, emit: Emit) -> None:
    if scope.message is None or isinstance(node, KeyWithValue):
        raise Interpreted
    columns = [Column(out.variable(), Kind.ANY) for _ in range(node.column_size)]
    targets = "".join(f"{column.source}, " for column in columns)
    with out.block(f"for ({targets}) in {out.name(node)}.evaluate({scope.message}, context):"):
        emit(columns)


def _combinations(node: Then | ListOf, scope: Scope, out: Writer, emit: Emit) -> None:
    """Parts of one row are computed before the loops; the loops stand in the order of the parts that need them."""
    found: dict[int, list[Column]] = {}
    for place, part in enumerate(node.parts):
        if not part.creates_duplicates:
            found[place] = _single(part, scope, out)
    looping = [place for place, part in enumerate(node.parts) if part.creates_duplicates]

    def loop(rest: list[int]) -> None:
        if rest:
            place, *others = rest

            def inner(columns: list[Column]) -> None:
                found[place] = columns
                loop(others)

            rows_code(node.parts[place], scope, out, inner)
        elif isinstance(node, ListOf):
            emit([_tuple_column(found[place]) for place in range(len(node.parts))])
        else:
            emit([column for place in range(len(node.parts)) for column in found[place]])

    loop(looping)


def _elements(node: Field, scope: Scope, out: Writer, emit: Emit) -> None:
    field = _descriptor_of(node, scope)
    if field is None or scope.message is None or not access.is_repeated(field) or access.is_message(field):
        _interpreted_rows(node, scope, out, emit)
        return
    variable = out.variable()
    kind = Kind.BYTES if field.type == Types.TYPE_BYTES else KINDS[field.cpp_type]
    source = f"{scope.message}.{field.name}"
    if scope.missing:
        source = f"{source} if {scope.message} is not None else ()"
    with out.block(f"for {variable} in {source}:"):
        if field.type == Types.TYPE_STRING:
            with out.block(f"if type({variable}) is bytes:"):
                out.add(f"{variable} = _k_text({variable})")
        emit([Column(variable, kind, nullable=False, raw_float=field.type == Types.TYPE_FLOAT)])


def _nested_rows(node: Nesting, scope: Scope, out: Writer, emit: Emit) -> None:
    if node.parent.fan_type is not FanType.FAN_OUT:
        nested = _nested_scope(node.parent, scope, out)
        rows_code(node.child, nested, out, emit)
        return
    field = _descriptor_of(node.parent, scope)
    if field is None or scope.message is None or not access.is_message(field) or not access.is_repeated(field):
        raise Interpreted
    source = f"{scope.message}.{field.name}"
    if access.is_map(field):
        key, value = out.variable(), out.variable()
        source = f"sorted({source}.items())" if not access.is_message(_entry_value(field)) else _by_key(source)
        head, inner = f"for {key}, {value} in ", Scope(field.message_type, None, key=key, entry_value=value)
    else:
        variable = out.variable()
        head, inner = f"for {variable} in ", Scope(field.message_type, variable)
    if scope.missing:
        source = f"{source} if {scope.message} is not None else ()"
    with out.block(f"{head}{source}:"):
        rows_code(node.child, inner, out, emit)


def _entry_value(field: FieldDescriptor) -> FieldDescriptor:
    return field.message_type.fields_by_name["value"]


def _by_key(source: str) -> str:
    return f"sorted({source}.items(), key=lambda entry: entry[0])"
