"""One record to bytes: evaluate, pack and serialise, compiled against interpreted.

One operation is one record of six fields: its primary key, its entries in three indexes (one field; two fields; three
fields), all packed behind prefixes, and the record in its envelope. Nothing is stored. Both ways give the same bytes.
"""

from __future__ import annotations

import random
from typing import Any

from google.protobuf import descriptor_pb2, message_factory

from bench.harness import CPU, Report, Settings, compare, statement
from recordlayer.keys import concat, field
from recordlayer.keys.compiled import compile_keys, compile_rows
from recordlayer.metadata import Index, RecordMetaData, RecordMetaDataBuilder, RecordType
from recordlayer.tuples import pack

RECORDS = 100
PREFIX = pack(("app", 7))
COMPILED = 1 / 2  # the promise: at least twice as fast as interpreted

Field = descriptor_pb2.FieldDescriptorProto
FIELDS = {
    "id": Field.TYPE_INT64,
    "name": Field.TYPE_STRING,
    "city": Field.TYPE_STRING,
    "price": Field.TYPE_DOUBLE,
    "count": Field.TYPE_INT32,
    "active": Field.TYPE_BOOL,
}

WHOLE = """
for record in records:
    key = {key}
    for index, place in indexes:
        {entries}
    metadata.envelope(record)
"""
INDEXES = """
for record in records:
    for index, place in indexes:
        {entries}
"""
UNION = """
for record in records:
    around = union()
    around._Item.CopyFrom(record)
    union.FromString(around.SerializeToString()).ListFields()[0]
"""


def metadata(syntax: str) -> RecordMetaData:
    """The metadata of the record: six fields, three indexes."""
    file = descriptor_pb2.FileDescriptorProto(name=f"bench_{syntax}.proto", package="bench", syntax=syntax)
    message = file.message_type.add(name="Item")
    for number, (name, kind) in enumerate(FIELDS.items(), 1):
        message.field.add(name=name, number=number, type=kind, label=Field.LABEL_OPTIONAL)
    built = (
        RecordMetaDataBuilder.from_descriptor_set(descriptor_pb2.FileDescriptorSet(file=[file]))
        .primary_key("Item", "id")
        .index("Item", "by_city", field("city"))
        .index("Item", "by_name", concat("name", "city"))
        .index("Item", "by_price", concat("price", "count", "active"))
        .build()
    )
    # As it is stored, so that there is a union message to compare with; ours never makes one.
    return RecordMetaData.from_bytes(built.to_bytes())


def run(settings: Settings) -> Report:
    """Records of both syntaxes, and what their parts cost."""
    cases = []
    for syntax in ("proto2", "proto3"):
        names = _names(metadata(syntax))
        times = 3 if settings.quick else 10

        def contender(source: str, names: dict[str, Any] = names, times: int = times) -> Any:
            return statement(source, names, operations=RECORDS, times=times)

        compiled = WHOLE.format(
            key="primary_key(record, context, prefix, b'')[0]",
            entries="index.keys(record, context, place, key)",
        )
        interpreted = WHOLE.format(
            key="pack(item.primary_key.evaluate_single(record, context), prefix)",
            entries="[pack(row, place) + key for row in index.expression.evaluate(record, context)]",
        )
        cases.append(
            compare(
                f"primary key, three indexes, envelope: {syntax}",
                ours=contender(compiled),
                peers={"interpreted": contender(interpreted)},
                settings=settings,
                target={"interpreted": COMPILED},
                timer=CPU,
            )
        )
        for what, ours, peer in (
            (
                "keys of three indexes",
                "index.keys(record, context, place, prefix)",
                "[pack(row, place) + prefix for row in index.expression.evaluate(record, context)]",
            ),
            (
                "rows of three indexes",
                "index.rows(record, context)",
                "index.expression.evaluate(record, context)",
            ),
        ):
            cases.append(
                compare(
                    f"{what}: {syntax}",
                    ours=contender(INDEXES.format(entries=ours)),
                    peers={"interpreted": contender(INDEXES.format(entries=peer))},
                    settings=settings,
                    target={"interpreted": COMPILED},
                    timer=CPU,
                )
            )
        cases.append(
            compare(
                f"envelope and back: {syntax}",
                ours=contender("for record in records: metadata.open_envelope(metadata.envelope(record))"),
                peers={
                    "protobuf alone": contender("for record in records: parse(record.SerializeToString())"),
                    "a union message": contender(UNION),
                },
                settings=settings,
                timer=CPU,
            )
        )
    return Report(bench="record", cases=tuple(cases))


class Compiled:
    """The expression of an index, and its functions."""

    def __init__(self, index: Index, record_type: RecordType) -> None:
        self.expression = index.root_expression
        self.rows = compile_rows(self.expression, record_type.message_class)
        self.keys = compile_keys(self.expression, record_type.message_class)


def _names(built: RecordMetaData) -> dict[str, Any]:
    item = built.record_type("Item")
    chance = random.Random(1)  # the same records in every run
    records = [
        item.message_class(
            id=chance.getrandbits(chance.randint(1, 40)),
            name="".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=chance.randint(3, 20))),
            city=chance.choice(["Amsterdam", "Oslo", "Wien"]),
            price=chance.uniform(0, 100),
            count=chance.randint(0, 300),
            active=chance.random() < 0.5,
        )
        for _ in range(RECORDS)
    ]
    indexes = [(Compiled(index, item), pack((index.name,), PREFIX)) for index in built.indexes.values()]
    for record in records:
        for index, prefix in indexes:
            rows = index.expression.evaluate(record, item.context)
            assert index.keys(record, item.context, prefix, b"") == [pack(row, prefix) for row in rows]
    return {
        "records": records,
        "indexes": indexes,
        "item": item,
        "primary_key": compile_keys(item.primary_key, item.message_class),
        "metadata": built,
        "context": item.context,
        "prefix": PREFIX,
        "pack": pack,
        "parse": item.message_class.FromString,
        "union": message_factory.GetMessageClass(built.union.descriptor),
    }
