"""Key expressions that Java evaluated: the same rows, the same nulls, the same bytes."""

from __future__ import annotations

import base64

from recordlayer import tuples
from recordlayer.errors import UnknownFunction
from recordlayer.keys import FunctionCall, RecordContext, serial, walk
from recordlayer.keys.compiled import compile_rows
from tests.golden.scenario import Scenario

NOT_OURS = {"collate_jre"}
"""Functions whose results are Java's own affair: read and written, never called."""


def CONCERNS(scenario: Scenario) -> bool:
    return scenario.kind == "key-expression"


def test_rows_of_every_expression_and_record_are_java_s(scenario: Scenario, compared) -> None:
    (metadata,) = scenario.metadata
    record_type = metadata.record_type(scenario.data["record_type"])
    records = []
    for record in scenario.data["records"]:
        stamp = record.get("version")
        version = tuples.Versionstamp.from_bytes(bytes.fromhex(stamp)) if stamp else None
        context = RecordContext(record_type_key=record_type.record_type_key, version=version)
        records.append((record_type.message_class.FromString(base64.b64decode(record["record"])), context))
    for said in scenario.data["expressions"]:
        stored = bytes.fromhex(said["key_expression"])
        expression = serial.from_bytes(stored)
        assert serial.to_bytes(expression) == stored
        assert expression.column_size == said["column_count"]
        assert expression.creates_duplicates == said["creates_duplicates"]
        assert expression.version_columns == said["version_columns"]
        compared("expressions")
        generated = compile_rows(expression, record_type.message_class)
        foreign = any(isinstance(node, FunctionCall) and node.name in NOT_OURS for node in walk(expression))
        for (message, context), rows in zip(records, said["rows_of_each_record"], strict=True):
            if foreign:
                with_error(expression, message, context)
                continue
            assert list(map(as_said(expression), expression.evaluate(message, context))) == rows
            assert list(map(as_said(expression), generated(message, context))) == rows
            compared("rows", len(rows))


def as_said(expression):
    def row_as_said(row):
        distinct = any(
            column is None and exempt for column, exempt in zip(row, expression.nulls_distinct, strict=False)
        )
        return {"packed": tuples.pack(row).hex(), "contains_non_unique_null": distinct}

    return row_as_said


def with_error(expression, message, context) -> None:
    try:
        expression.evaluate(message, context)
    except UnknownFunction:
        return
    raise AssertionError(f"{expression!r} was evaluated")
