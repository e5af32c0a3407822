"""Fields of a message, and expressions on the messages that fields hold.

Source  Record Layer: FieldKeyExpression, NestingKeyExpression
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from recordlayer.errors import InvalidKeyExpression, SchemaError, UnknownField, WrongType
from recordlayer.keys import access
from recordlayer.keys.expression import (
    NO_CONTEXT,
    FanType,
    KeyExpression,
    NullInterpretation,
    RecordContext,
    Row,
)
from recordlayer.keys.suggest import did_you_mean, listed

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.keys.grouping import Split
    from recordlayer.pb.types import Descriptor, FieldDescriptor


@dataclass(frozen=True, slots=True, repr=False)
class Field(KeyExpression):
    """A field by name: one column."""

    name: str
    fan_type: FanType = FanType.SCALAR
    nulls: NullInterpretation = NullInterpretation.NOT_UNIQUE

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise WrongType(argument="name", value=self.name, hint="the name of a field is a string")
        if not isinstance(self.fan_type, FanType):
            raise WrongType(argument="fan_type", value=self.fan_type, hint="use FanType.SCALAR, FAN_OUT or CONCATENATE")
        if not isinstance(self.nulls, NullInterpretation):
            raise WrongType(argument="nulls", value=self.nulls, hint="use NullInterpretation")

    def __repr__(self) -> str:
        fan = {FanType.SCALAR: "", FanType.FAN_OUT: ".fan_out()", FanType.CONCATENATE: ".concatenated()"}
        nulls = "" if self.nulls is NullInterpretation.NOT_UNIQUE else f", nulls={self.nulls.name}"
        return f'field("{self.name}"{nulls}){fan[self.fan_type]}'

    # -- shaping ---------------------------------------------------------------------------------------

    def fan_out(self) -> Field:
        """One row for each element of a repeated field."""
        return replace(self, fan_type=FanType.FAN_OUT)

    def concatenated(self) -> Field:
        """One row with all elements of a repeated field as a nested tuple."""
        return replace(self, fan_type=FanType.CONCATENATE)

    def nest(self, *children: KeyExpression | str) -> Nesting:
        """An expression on the message (or on each of the messages) that this field holds."""
        from recordlayer.keys.compose import as_expression, concat

        if not children:
            raise InvalidKeyExpression(expression=self, hint="name at least one field of the nested message")
        if self.fan_type is FanType.CONCATENATE:
            raise InvalidKeyExpression(expression=self, hint="concatenated fields cannot nest: use fan_out()")
        parts = [as_expression(child) for child in children]
        return Nesting(self, parts[0] if len(parts) == 1 else concat(*parts))

    def split(self, size: int) -> Split:
        """Elements of a repeated field taken `size` at a time."""
        from recordlayer.keys.grouping import Split

        return Split(self if self.fan_type is FanType.FAN_OUT else self.fan_out(), size)

    # -- what it gives ---------------------------------------------------------------------------------

    @property
    def column_size(self) -> int:
        return 1

    @property
    def creates_duplicates(self) -> bool:
        return self.fan_type is FanType.FAN_OUT

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return (self.nulls is NullInterpretation.NOT_UNIQUE,)

    def ignoring_nulls(self) -> Field:
        return replace(self, nulls=NullInterpretation.NOT_UNIQUE)

    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        if message is None:
            return self._missing()
        field = message.DESCRIPTOR.fields_by_name.get(self.name)
        if field is None:
            return self._missing()
        if access.is_repeated(field):
            return self._repeated(field, access.elements(message, field))
        if self.nulls is NullInterpretation.NOT_NULL or access.is_set(message, field):
            if access.is_message(field) and not access.is_tuple_field(field.message_type):
                raise InvalidKeyExpression(expression=self, hint="the field holds a message: nest into it")
            return [(access.column(field, getattr(message, self.name)),)]
        return self._missing()

    def _repeated(self, field: FieldDescriptor, values: Any) -> list[Row]:
        if access.is_message(field) and len(values):
            raise InvalidKeyExpression(expression=self, hint="the field holds messages: nest into it")
        if self.fan_type is FanType.FAN_OUT:
            return [(access.column(field, value),) for value in values]
        if self.fan_type is FanType.CONCATENATE:
            return [(tuple([access.column(field, value) for value in values]),)]
        raise InvalidKeyExpression(expression=self, hint="the field is repeated: use fan_out() or concatenated()")

    def _missing(self) -> list[Row]:
        if self.fan_type is FanType.FAN_OUT:
            return []
        if self.fan_type is FanType.CONCATENATE and self.nulls is NullInterpretation.NOT_NULL:
            return [((),)]
        return [(None,)]

    # -- as a parent -----------------------------------------------------------------------------------

    def messages(self, message: Message | None) -> list[Any]:
        """The messages that this field holds; a scalar field that is not set holds one that is not there."""
        missing: list[Any] = [] if self.fan_type is FanType.FAN_OUT else [None]
        if message is None:
            return missing
        field = message.DESCRIPTOR.fields_by_name.get(self.name)
        if field is None:
            return missing
        if not access.is_message(field):
            raise InvalidKeyExpression(expression=self, hint="the field holds no message: it cannot be nested into")
        if access.is_repeated(field):
            if self.fan_type is FanType.FAN_OUT:
                return list(access.elements(message, field))
            raise InvalidKeyExpression(expression=self, hint="the field is repeated: use fan_out()")
        if self.nulls is NullInterpretation.NOT_NULL or message.HasField(self.name):
            return [getattr(message, self.name)]
        return missing

    # -- faults ----------------------------------------------------------------------------------------

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        field = yield from self._field_problems(descriptor)
        if field is None or not access.is_message(field):
            return
        # Java unwraps the messages of tuple_fields.proto in singular fields only.
        if access.is_repeated(field) or not access.is_tuple_field(field.message_type):
            inner = listed(field.message_type.fields_by_name)
            yield InvalidKeyExpression(
                message=descriptor.name,
                field=self.name,
                hint=f"the field holds {field.message_type.name} messages: nest into it ({inner})",
            )

    def _field_problems(self, descriptor: Descriptor) -> Generator[SchemaError, None, FieldDescriptor]:
        """Problems of the field itself; returns its descriptor if there is one."""
        field = descriptor.fields_by_name.get(self.name)
        if field is None:
            yield unknown_field(descriptor, self.name)
        elif self.fan_type is FanType.SCALAR and access.is_repeated(field):
            hint = "the field is repeated: write .fan_out() for one entry an element, .concatenated() for a list"
            yield InvalidKeyExpression(message=descriptor.name, field=self.name, hint=hint)
        elif self.fan_type is not FanType.SCALAR and not access.is_repeated(field):
            hint = "the field is not repeated: leave the fan type away"
            yield InvalidKeyExpression(message=descriptor.name, field=self.name, fan_type=self.fan_type.name, hint=hint)
        return field

    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        return [descriptor.fields_by_name[self.name]]

    def leaf_fields(self, descriptor: Descriptor) -> list[FieldDescriptor]:
        return [descriptor.fields_by_name[self.name]]


@dataclass(frozen=True, slots=True, repr=False)
class Nesting(KeyExpression):
    """An expression on the message in a field: its rows for each message there."""

    parent: Field
    child: KeyExpression

    def __repr__(self) -> str:
        return f"{self.parent!r}.nest({self.child!r})"

    @property
    def column_size(self) -> int:
        return self.child.column_size

    @property
    def children(self) -> tuple[KeyExpression, ...]:
        return (self.child,)

    @property
    def creates_duplicates(self) -> bool:
        return self.parent.creates_duplicates or self.child.creates_duplicates

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        return self.child.nulls_distinct

    def normalized(self) -> tuple[KeyExpression, ...]:
        return tuple(Nesting(self.parent, column) for column in self.child.normalized())

    def _sub_key(self, start: int, end: int) -> KeyExpression:
        return Nesting(self.parent, self.child.sub_key(start, end))

    def ignoring_nulls(self) -> Nesting:
        return Nesting(self.parent.ignoring_nulls(), self.child.ignoring_nulls())

    def evaluate(self, message: Message | None, context: RecordContext = NO_CONTEXT) -> list[Row]:
        rows: list[Row] = []
        for nested in self.parent.messages(message):
            rows += self.child.evaluate(nested, context)
        return rows

    def problems(self, descriptor: Descriptor) -> Iterator[SchemaError]:
        field = yield from self.parent._field_problems(descriptor)
        if self.parent.fan_type is FanType.CONCATENATE:
            yield InvalidKeyExpression(expression=self, hint="concatenated fields cannot nest: use fan_out()")
        if field is None:
            return
        if not access.is_message(field):
            hint = "the field holds no message: it cannot be nested into"
            yield InvalidKeyExpression(message=descriptor.name, field=self.parent.name, hint=hint)
            return
        if access.is_tuple_field(field.message_type) and not access.is_repeated(field):
            hint = f"a singular {field.message_type.name} field is one column itself: do not nest into it"
            yield InvalidKeyExpression(message=descriptor.name, field=self.parent.name, hint=hint)
            return
        yield from self.child.problems(field.message_type)

    def column_fields(self, descriptor: Descriptor) -> list[FieldDescriptor | None]:
        return self.child.column_fields(descriptor.fields_by_name[self.parent.name].message_type)

    def leaf_fields(self, descriptor: Descriptor) -> list[FieldDescriptor]:
        return self.child.leaf_fields(descriptor.fields_by_name[self.parent.name].message_type)


def unknown_field(descriptor: Descriptor, name: str) -> UnknownField:
    """The error for a field that a message does not have, with the name that was probably meant."""
    names = list(descriptor.fields_by_name)
    hint = did_you_mean(name, names) or f"its fields are {listed(names)}"
    return UnknownField(message=descriptor.name, field=name, hint=hint)


def field(
    name: str,
    *,
    fan_type: FanType = FanType.SCALAR,
    nulls: NullInterpretation = NullInterpretation.NOT_UNIQUE,
) -> Field:
    """A field of a message, by name: one column.

    A missing value is a null that is exempt from uniqueness, unless `nulls` says otherwise.
    """
    return Field(name, fan_type, nulls)
