"""Fields and keys in words: as they stand in plans, and in the lock file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor as Kinds

from recordlayer.keys import KeyExpression, access
from recordlayer.metadata import Index

if TYPE_CHECKING:
    from recordlayer.pb.types import FieldDescriptor

_NAMES = {
    number: name.removeprefix("TYPE_").lower() for name, number in vars(Kinds).items() if name.startswith("TYPE_")
}


def field_words(field: FieldDescriptor) -> str:
    """The type of a field: "int64", "repeated string", "required Address"."""
    held = field.message_type or field.enum_type
    kind = held.full_name if held is not None else _NAMES.get(field.type, str(field.type))
    if access.is_repeated(field):
        return f"repeated {kind}"
    return f"required {kind}" if access.is_required(field) else kind


def key_words(of: Index | KeyExpression) -> str:
    """A key expression in words."""
    return repr(of.root_expression if isinstance(of, Index) else of)
