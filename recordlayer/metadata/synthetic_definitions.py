"""Building metadata in code: record types while they are described, and those that are made from others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Self

from recordlayer.errors import InvalidRecordType, SchemaError
from recordlayer.keys import KeyExpression, Literal
from recordlayer.metadata import synthetic_proto
from recordlayer.metadata.metadata import unknown_record_type

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor


@dataclasses.dataclass(slots=True)
class TypeDraft:
    """A record type while it is being described."""

    name: str
    descriptor: Descriptor
    primary_key: KeyExpression | None = None
    explicit_key: Literal | None = None
    since_version: int | None = None
    unknown: bytes = b""


class SyntheticDefinitions:
    """The part of a `RecordMetaDataBuilder` that defines unnested and joined types."""

    _types: dict[str, TypeDraft]
    _findings: list[SchemaError]
    _carried: bytes
    _synthetic: set[str]
    """names of all such types"""
    _defined: set[str]
    """those that this program has defined"""

    def unnested(
        self,
        name: str,
        stored: str,
        *,
        parent: str,
        nested: synthetic_proto.Nested,
    ) -> Self:
        """A type of records that are made from those of `stored`, one for each choice of elements: indexes may be over
        them. `unnested("OrderLine", "Order", parent="order", nested={"line": field("lines").fan_out()})` has the fields
        `order` and `line`.

        parent  the name of the stored record in them
        nested  name -> where its messages are in the parent; or (name of another constituent, where they are in that)
        """
        if self._is_new(name):
            descriptor = self._draft(stored).descriptor
            self._carried = synthetic_proto.with_unnested(self._carried, name, descriptor, parent, nested)
        return self

    def joined(
        self,
        name: str,
        constituents: Mapping[str, str],
        *,
        on: Iterable[tuple[synthetic_proto.Joined, synthetic_proto.Joined]],
        outer: Iterable[str] = (),
    ) -> Self:
        """A type of records that are made by joining stored ones: indexes may be over them.

            .joined("Sale", {"order": "Order", "customer": "Customer"}, on=[("order.customer", "customer.id")])
            .index("Sale", "sales_by_city", concat(field("customer").nest("city"), field("order").nest("total")))

        constituents  name -> record type; a type may be there twice
        on            pairs of what must be equal: "constituent.field" or (constituent, expression of one column)
        outer         constituents that may be missing where none fits. All of them: a full outer join

        Each join needs the primary key or an index to find partners by, from both sides. A change of one record changes
        the entries of all its partners.

        Raises: InvalidRecordType
        """
        for record_type in constituents.values():
            self._draft(record_type)
        if self._is_new(name):
            self._carried = synthetic_proto.with_joined(self._carried, name, constituents, on, outer)
        return self

    def _is_new(self, name: str) -> bool:
        if name in self._types or name in self._synthetic:
            hint = "names of record types are unique in a metadata"
            self._findings.append(InvalidRecordType(record_type=name, hint=hint))
            return False
        self._synthetic.add(name)
        self._defined.add(name)
        return True

    def _draft(self, record_type: str) -> TypeDraft:
        found = self._types.get(record_type)
        return found if found is not None else unknown_record_type(record_type, self._types)
