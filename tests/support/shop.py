"""The records that most tests of stores use: orders and customers of a shop, described here instead of by protoc."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import recordlayer as rl
from recordlayer import field

_KIND = descriptor_pb2.FieldDescriptorProto
_LABELS = {"optional": _KIND.LABEL_OPTIONAL, "repeated": _KIND.LABEL_REPEATED}
_TYPES = {
    "int64": _KIND.TYPE_INT64,
    "string": _KIND.TYPE_STRING,
    "bytes": _KIND.TYPE_BYTES,
    "double": _KIND.TYPE_DOUBLE,
    "float": _KIND.TYPE_FLOAT,
    "bool": _KIND.TYPE_BOOL,
}

MESSAGES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "Address": (("city", "optional", "string"), ("zip", "optional", "int64")),
    "Item": (("sku", "optional", "string"), ("price", "optional", "int64")),
    "Order": (
        ("id", "optional", "int64"),
        ("customer", "optional", "string"),
        ("total", "optional", "int64"),
        ("tags", "repeated", "string"),
        ("items", "repeated", "Item"),
        ("address", "optional", "Address"),
        ("status", "optional", "Status"),
        ("ratio", "optional", "double"),
        ("weight", "optional", "float"),
        ("paid", "optional", "bool"),
        ("note", "optional", "string"),
        ("body", "optional", "bytes"),
    ),
    "Customer": (("id", "optional", "int64"), ("name", "optional", "string"), ("ref", "optional", "string")),
}
"""Message -> fields in order of their numbers. In proto2 every field has presence, in proto3 none but the messages."""

STATUS = ("OPEN", "PAID", "SENT")


def shop_file(syntax: str = "proto2") -> Any:
    """The file with these messages."""
    package = f"shop_{syntax}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax=syntax)
    status = file.enum_type.add(name="Status")
    for number, name in enumerate(STATUS):
        status.value.add(name=name, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field_name, label, kind) in enumerate(fields, 1):
            made = message.field.add(name=field_name, number=number, label=_LABELS[label])
            if kind in _TYPES:
                made.type = _TYPES[kind]
            else:
                made.type = _KIND.TYPE_ENUM if kind == "Status" else _KIND.TYPE_MESSAGE
                made.type_name = f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindFileByName(file.name)


FILE = shop_file()
Order: Any = message_factory.GetMessageClass(FILE.message_types_by_name["Order"])
Customer: Any = message_factory.GetMessageClass(FILE.message_types_by_name["Customer"])

PATH = ("shop", "acme")


def builder(file: Any = FILE) -> rl.RecordMetaDataBuilder:
    """Metadata of orders and customers without an index."""
    return rl.RecordMetaDataBuilder(file).primary_key("Order", field("id")).primary_key("Customer", field("ref"))


def plain() -> rl.RecordMetaData:
    return builder().build()


def shop() -> rl.RecordMetaData:
    """Metadata with the usual indexes."""
    return (
        builder()
        .index("Order", "by_customer", field("customer"))
        .index("Order", "by_customer_and_total", rl.concat("customer", "total"))
        .index("Order", "by_tag", field("tags").fan_out())
        .index("Order", "by_city", field("address").nest("city"))
        .index("Order", "by_total_with_note", rl.key_with_value(rl.concat("total", "note")))
        .index("Order", "orders_per_customer", rl.count(group_by=field("customer")))
        .index("Order", "sales_per_customer", rl.sum_of("total", group_by=field("customer")))
        .index("Customer", "by_name", field("name"), unique=True)
        .build()
    )


SHOP = shop()
