"""What joined types hold, worked out from all records by nested loops: the simplest thing that can be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import recordlayer as rl
from recordlayer import field

Values = Callable[[Any], set[Any]]


@dataclass(frozen=True)
class Expected:
    """A joined type. `orders`: in which order its constituents are found, written down by hand."""

    name: str
    constituents: dict[str, str]
    joins: list[tuple[str, str, str, str]]
    outer: tuple[str, ...]
    orders: tuple[tuple[str, ...], ...]

    def add_to(self, builder: rl.RecordMetaDataBuilder) -> rl.RecordMetaDataBuilder:
        return builder.joined(
            self.name,
            self.constituents,
            on=[((left, _expression(one)), (right, _expression(other))) for left, one, right, other in self.joins],
            outer=self.outer,
        )

    def keys(self, records: Sequence[Any]) -> set[tuple[Any, ...]]:
        """The primary keys of its records without the key of the type; None for what is missing."""
        found: set[tuple[Any, ...]] = set()
        for order in self.orders:
            for parts in self._found(order, records):
                found.add(tuple(None if parts[name] is None else (key_of(parts[name]),) for name in self.constituents))
        return found

    def _found(self, order: tuple[str, ...], records: Sequence[Any]) -> list[dict[str, Any]]:
        found = [{order[0]: record} for record in self._of(order[0], records)]
        for name in order[1:]:
            following = []
            for parts in found:
                fitting = [record for record in self._of(name, records) if self._fits(name, record, parts)]
                following += [{**parts, name: record} for record in fitting]
                if not fitting and name in self.outer:
                    following.append({**parts, name: None})
            found = following
        return found

    def _of(self, name: str, records: Sequence[Any]) -> list[Any]:
        return [record for record in records if record.DESCRIPTOR.name == self.constituents[name]]

    def _fits(self, name: str, record: Any, parts: dict[str, Any]) -> bool:
        for left, one, right, other in [*self.joins, *((r, o, lft, e) for lft, e, r, o in self.joins)]:
            if left == name and right in parts:
                partner = parts[right]
                if partner is None or not values(record, one) & values(partner, other):
                    return False
        return True


def key_of(record: Any) -> Any:
    return record.id if record.DESCRIPTOR.name == "Order" else record.ref


def values(record: Any, name: str) -> set[Any]:
    found = getattr(record, name)
    if record.DESCRIPTOR.fields_by_name[name].is_repeated:
        return set(found)
    return {found if record.HasField(name) else None}


def _expression(name: str) -> Any:
    return field(name).fan_out() if name == "tags" else field(name)


ORDER_AND_CUSTOMER = {"order": "Order", "customer": "Customer"}
BY_REF = [("order", "customer", "customer", "ref")]

TYPES = (
    Expected("Inner", ORDER_AND_CUSTOMER, BY_REF, (), (("order", "customer"),)),
    Expected("Left", ORDER_AND_CUSTOMER, BY_REF, ("customer",), (("order", "customer"),)),
    Expected("Right", ORDER_AND_CUSTOMER, BY_REF, ("order",), (("customer", "order"),)),
    Expected("Full", ORDER_AND_CUSTOMER, BY_REF, ("order", "customer"), (("order", "customer"), ("customer", "order"))),
    Expected(
        "Tagged", ORDER_AND_CUSTOMER, [("order", "tags", "customer", "name")], ("order",), (("customer", "order"),)
    ),
    Expected(
        "Twice",
        ORDER_AND_CUSTOMER,
        [*BY_REF, ("customer", "name", "order", "note")],
        ("customer",),
        (("order", "customer"),),
    ),
    Expected(
        "Selves",
        {"one": "Order", "other": "Order"},
        [("one", "total", "other", "id")],
        ("other",),
        (("one", "other"),),
    ),
    Expected(
        "Chain",
        {"first": "Order", "customer": "Customer", "last": "Order"},
        [("first", "customer", "customer", "ref"), ("customer", "name", "last", "note")],
        ("customer", "last"),
        (("first", "customer", "last"),),
    ),
    Expected(
        "Middle",
        {"first": "Order", "customer": "Customer", "last": "Order"},
        [("first", "customer", "customer", "ref"), ("customer", "name", "last", "note")],
        ("first",),
        (("customer", "last", "first"),),
    ),
    Expected(
        "Triangle",
        {"one": "Order", "customer": "Customer", "other": "Order"},
        [
            ("one", "customer", "customer", "ref"),
            ("customer", "name", "other", "note"),
            ("other", "total", "one", "id"),
        ],
        ("customer", "other"),
        (("one", "customer", "other"),),
    ),
    Expected(
        "Loose",
        {"first": "Order", "customer": "Customer", "last": "Order"},
        [("first", "customer", "customer", "ref"), ("customer", "name", "last", "note")],
        ("first", "customer", "last"),
        (("first", "customer", "last"), ("customer", "first", "last"), ("last", "customer", "first")),
    ),
)


JOINS = [one for one in TYPES if one.name in ("Inner", "Left", "Right", "Full")]
"""Those of an order and a customer."""

Row = dict[str, Any]


def part(row: Row, *path: str) -> Any:
    """A field of a constituent, None where one on the way is not set."""
    found: Any = row
    for name in path:
        found = found.get(name) if isinstance(found, dict) else getattr(found, name) if found.HasField(name) else None
        if found is None:
            return None
    return found


def rows_of(name: str, records: list[Any]) -> dict[tuple[Any, ...], Row]:
    """The records of a type by their keys without that of the type."""
    orders = [one for one in records if one.DESCRIPTOR.name == "Order"]
    if name == "Line":
        return {((one.id,), (at,)): {"order": one, "item": item} for one in orders for at, item in enumerate(one.items)}
    by_key = {(key_of(one),): one for one in records}
    kind = next(one for one in JOINS if one.name == name)
    return {
        key: {place: by_key[own] for place, own in zip(kind.constituents, key, strict=True) if own is not None}
        for key in kind.keys(records)
    }
