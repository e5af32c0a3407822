"""A record type: a message type that records of a store may have, with its primary key.

Source  Record Layer: RecordType
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recordlayer.keys import KeyExpression, Literal, RecordContext

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordType:
    """One record type of a metadata. Belongs to that metadata: two loaded separately are never equal."""

    name: str
    """the simple name of its message"""

    descriptor: Descriptor
    message_class: type[Message]
    """what records are parsed into: the generated class where there is one"""

    primary_key: KeyExpression

    record_type_key: Any
    """int, bool, str, bytes or float; the smallest number of its union fields unless `explicit_key` says otherwise"""

    explicit_key: Literal | None = None
    since_version: int | None = None
    """the metadata version that brought it, None if it was there from the beginning"""

    union_fields: tuple[int, ...] = ()
    """numbers of the union's fields that hold it, ascending"""

    union_field: int = 0
    """the one of them that is written"""

    unknown: bytes = field(default=b"", repr=False)
    """what its stored form holds beyond what we know"""

    kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    """what others have worked out for it, functions of its messages for example: they go when it goes"""

    @property
    def context(self) -> RecordContext:
        """What key expressions need to know of a record of this type that has no version."""
        return RecordContext(record_type_key=self.record_type_key)

    def __repr__(self) -> str:
        return f"<RecordType {self.name}, primary key {self.primary_key!r}>"
