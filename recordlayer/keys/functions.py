"""Functions of columns: `function("add", concat("price", value(1)))`.

A function is a `KeyFunction` in a registry: the built-in ones of this package first, then what programs register, then
what installed distributions offer under the entry-point group "recordlayer.key_functions" (looked at once, when a name
is not known). A function that is not there at all can still be read from stored metadata: the index it belongs to is
then not maintained by us.

Source  Record Layer: FunctionKeyExpression and its Registry
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recordlayer.errors import InvalidKeyExpression, SchemaError, UnknownFunction
from recordlayer.keys.compose import as_expression, concat
from recordlayer.keys.expression import NO_CONTEXT, KeyExpression, RecordContext, Row
from recordlayer.keys.special import EMPTY
from recordlayer.keys.suggest import did_you_mean

if TYPE_CHECKING:
    from importlib import metadata

    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor, FieldDescriptor


ENTRY_POINTS = "recordlayer.key_functions"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFunction:
    """A function for key expressions.

    `value` takes the columns of one row of arguments and gives one value; or `call` takes the row and gives the rows
    it makes of it, which may be none or many if `creates_duplicates` says so. Either must depend on nothing else:
    entries are found again by calling it a second time. `whole`, if given, is asked first, with the argument
    expression and the message, and may answer with all rows or None. `check` gives faults of an argument expression.
    """

    name: str
    min_arguments: int
    max_arguments: int
    value: Callable[..., Any] | None = None
    call: Callable[[Row], Iterable[Row]] | None = None
    creates_duplicates: bool = False
    column_size: int = 1
    nulls_distinct: tuple[bool, ...] = (False,)
    whole: Callable[[KeyExpression, Message | None, RecordContext], list[Row] | None] | None = None
    check: Callable[[KeyExpression, Descriptor], Iterable[SchemaError]] | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.call is None):
            raise InvalidKeyExpression(function=self.name, hint="a function has either a value or a call")

    def rows(self, arguments: Row) -> list[Row]:
        """What it makes of one row of arguments."""
        if self.value is not None:
            return [(self.value(*arguments),)]
        assert self.call is not None, "one of them is there"
        return list(self.call(arguments))


@dataclass(frozen=True, slots=True, repr=False)
class FunctionCall(KeyExpression):
    """A function on the columns of its arguments: for each of their rows the rows that it gives."""

    name: str
    arguments: KeyExpression
    function: KeyFunction | None = field(compare=False)

    def __repr__(self) -> str:
        return f'function("{self.name}", {self.arguments!r})'

    @property
    def children(self) -> tuple[KeyExpression, ...]:
        return (self.arguments,)

    @property
    def creates_duplicates(self) -> bool:
        own = self.function is not None and self.function.creates_duplicates
        return own or self.arguments.creates_duplicates

    @property
    def column_size(self) -> int:
        return self.function.column_size if self.function is not None else 1

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return self.function.nulls_distinct if self.function is not None else (False,)

    # A version inside the arguments does not make the result a version.
    @property
    def version_columns(self) -> int:
        return 0

    @property
    def has_record_type_key(self) -> bool:
        return False

    def ignoring_nulls(self) -> FunctionCall:
        return FunctionCall(self.name, self.arguments.ignoring_nulls(), self.function)

    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        function = self.function
        if function is None:
            raise UnknownFunction(function=self.name)
        if function.whole is not None:
            rows = function.whole(self.arguments, message, context)
            if rows is not None:
                return rows
        results: list[Row] = []
        for row in self.arguments.evaluate(message, context):
            results += function.rows(row)
        if any(len(row) != function.column_size for row in results):
            raise InvalidKeyExpression(expression=self, hint=f"the function must give {function.column_size} columns")
        return results

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        yield from self.arguments.problems(descriptor)
        if self.function is None:
            yield unknown_function(self.name)
        elif self.function.check is not None:
            yield from self.function.check(self.arguments, descriptor)

    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        return [None] * self.column_size


class FunctionRegistry:
    """Functions by name."""

    def __init__(self, functions: Iterable[KeyFunction] = ()) -> None:
        self._functions: dict[str, KeyFunction] = {}
        self._looked_for_more = False
        for known in functions:
            self.register(known)

    def register(self, function: KeyFunction) -> None:
        """Add a function.

        Raises: InvalidKeyExpression when the name is taken.
        """
        if self._functions.setdefault(function.name, function) is not function:
            raise InvalidKeyExpression(function=function.name, hint="a function of this name is registered already")

    def find(self, name: str) -> KeyFunction | None:
        """The function of a name, or None."""
        found = self._functions.get(name)
        if found is None and not self._looked_for_more:
            self._looked_for_more = True
            from importlib import metadata  # takes tens of milliseconds, and only an unknown function asks for it

            for entry in metadata.entry_points(group=ENTRY_POINTS):
                self._functions.setdefault(entry.name, _loaded(entry))
            found = self._functions.get(name)
        return found

    def names(self) -> list[str]:
        return sorted(self._functions)


def _loaded(entry: metadata.EntryPoint) -> KeyFunction:
    where = f"{entry.name} = {entry.value}"
    try:
        offered = entry.load()
    except Exception as error:  # whatever a foreign module raises when it is imported
        raise UnknownFunction(function=entry.name, entry_point=where, reason=f"{error!r}") from error
    if not isinstance(offered, KeyFunction) or offered.name != entry.name:
        raise UnknownFunction(function=entry.name, entry_point=where, reason="it is no KeyFunction of this name")
    return offered


def registry() -> FunctionRegistry:
    """The registry of this process."""
    global _registry
    if _registry is None:
        from recordlayer.keys.built_in import BUILT_IN

        _registry = FunctionRegistry(BUILT_IN)
    return _registry


_registry: FunctionRegistry | None = None


def unknown_function(name: str) -> UnknownFunction:
    if name.startswith("collate_"):
        return UnknownFunction(
            function=name, hint="its keys are those of Java's own tables: such an index is only read"
        )
    hint = did_you_mean(name, registry().names()) or "register it, or install the package that brings it"
    return UnknownFunction(function=name, hint=hint)


def function(name: str, *arguments: KeyExpression | str) -> FunctionCall:
    """A registered function on columns.

    Raises: UnknownFunction; InvalidKeyExpression when the number of columns does not fit.
    """
    parts = [as_expression(argument) for argument in arguments]
    inner = EMPTY if not parts else parts[0] if len(parts) == 1 else concat(*parts)
    call = stored_call(name, inner)
    if call.function is None:
        raise unknown_function(name)
    return call


def stored_call(name: str, arguments: KeyExpression) -> FunctionCall:
    """A call as metadata stores it: the function may be unknown.

    Raises: InvalidKeyExpression when it is known and the number of columns does not fit.
    """
    known = registry().find(name)
    count = arguments.column_size
    if known is not None and not known.min_arguments <= count <= known.max_arguments:
        hint = f"the function takes {known.min_arguments} column{'s' * (known.min_arguments != 1)}"
        if known.max_arguments != known.min_arguments:
            hint = f"the function takes {known.min_arguments} to {known.max_arguments} columns"
        raise InvalidKeyExpression(function=name, arguments=arguments, columns=count, hint=hint)
    return FunctionCall(name, arguments, known)
