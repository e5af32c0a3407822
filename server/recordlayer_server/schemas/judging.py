"""What a description would change, judged: by the rules of evolution, and those that a caller relaxes.

Descriptions come from outside. They are bounded before anything is made of them (`schema`), and what is made of them is
made beside the event loop, one at a time in a process: a large one takes about a second.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from google.rpc import code_pb2, error_details_pb2

from recordlayer import RecordMetaData
from recordlayer.client.pb import schemas_pb2
from recordlayer.errors import IndexNotSupported, InvalidMetaData, RecordLayerError, SchemaError
from recordlayer.metadata import Evolution
from recordlayer.migrate.changes import SchemaChange, SchemaDiff, Verdict, schema_diff
from recordlayer_server import logs, schema, statuses
from recordlayer_server.schemas import rollout

MOST_CHANGES = 1_000
"""In a reply."""
_TEXT = 1_000
_REASONS = 10

_VERDICTS = {
    Verdict.SAFE: schemas_pb2.SchemaChange.SAFE,
    Verdict.BUILD: schemas_pb2.SchemaChange.BUILD,
    Verdict.REFUSED: schemas_pb2.SchemaChange.REFUSED,
}
_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def evolution_of(allowed: schemas_pb2.Allowed) -> Evolution:
    """The rules, with those relaxed that a caller allows."""
    options: dict[str, Any] = {f"allow_{field.name}": True for field, value in allowed.ListFields() if value}
    return Evolution(**options)


async def described(description: bytes) -> RecordMetaData:
    """The metadata that a caller describes, as if they were the first.  Raises  Refusal."""
    if not description:
        raise statuses.bad_request("description", "a FileDescriptorSet, or MetaData")
    if len(description) > schema.MOST_BYTES:
        raise statuses.too_large("description", limit=schema.MOST_BYTES, size=len(description))
    turns = _TURNS.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with turns:
        try:
            return await asyncio.to_thread(_made, description)
        except (SchemaError, IndexNotSupported) as error:
            raise statuses.bad_request("description", _words(error)) from None
        except RecordLayerError:
            raise
        except Exception as error:  # of protobuf, or of whatever else meets descriptors that do not fit together
            logs.write(logs.server, logging.INFO, "a description was refused", error=repr(error)[:_TEXT])
            raise statuses.bad_request("description", "its descriptors do not fit together") from None


def _made(description: bytes) -> RecordMetaData:
    return rollout.usable(schema.derived(description).to_bytes())


def _words(error: RecordLayerError) -> str:
    """An error of somebody's schema, in a few words: it speaks of nothing else."""
    if isinstance(error, InvalidMetaData):
        return "; ".join(_words(found) for found in error.findings[:_REASONS])[:_TEXT]
    fields = (f"{name} {value}" for name, value in error.fields.items() if isinstance(value, (str, int)))
    text = "; ".join((error.title, *fields)) + (f" ({error.hint})" if error.hint else "")
    return text.encode(errors="replace").decode()[:_TEXT]


def judged(before: RecordMetaData | None, wanted: RecordMetaData, rules: Evolution) -> SchemaDiff:
    """What is different, and what comes next. An index that is there and would be another one is refused unless that is
    allowed: queries have to do without it until it is built."""
    diff = schema_diff(before, wanted, allow=rules)
    if before is None or rules.allow_index_rebuilds:
        return diff
    changes = tuple(_refused(change) if _is_rebuilt(change, before) else change for change in diff.changes)
    return dataclasses.replace(diff, changes=changes)


def _is_rebuilt(change: SchemaChange, before: RecordMetaData) -> bool:
    return change.verdict is Verdict.BUILD and change.subject.removeprefix("index ") in before.indexes


def _refused(change: SchemaChange) -> SchemaChange:
    return dataclasses.replace(change, verdict=Verdict.REFUSED, allowed_by="allow_index_rebuilds")


def changes_of(diff: SchemaDiff) -> tuple[list[schemas_pb2.SchemaChange], bool]:
    """The changes for a reply, those first that are refused; and whether there are more."""
    order = [Verdict.REFUSED, Verdict.BUILD, Verdict.SAFE]
    found = sorted(diff.changes, key=lambda change: order.index(change.verdict))
    return [_message(change) for change in found[:MOST_CHANGES]], len(found) > MOST_CHANGES


def _message(change: SchemaChange) -> schemas_pb2.SchemaChange:
    return schemas_pb2.SchemaChange(
        subject=change.subject[:_TEXT],
        what=change.what[:_TEXT],
        verdict=_VERDICTS[change.verdict],
        reason=change.reason[:_TEXT],
        allowed_by=(change.allowed_by or "").removeprefix("allow_"),
    )


def refusal(changes: Iterable[SchemaChange]) -> statuses.Refusal:
    """What whoever applies such a schema is told: Validate tells all of it."""
    found = list(changes)
    failure = error_details_pb2.PreconditionFailure()
    for change in found[:_REASONS]:
        known = _message(change)
        description = f"{known.what[:200]}: {known.reason[:200]}"
        failure.violations.add(
            type=known.allowed_by or "evolution", subject=known.subject[:100], description=description
        )
    words = f"{failure.violations[0].subject}: {failure.violations[0].description}" if found else ""
    message = f"stores cannot follow this schema: {words}" + (f", and {len(found) - 1} more" if len(found) > 1 else "")
    return statuses.refusal(code_pb2.FAILED_PRECONDITION, "SCHEMA_REFUSED", message, failure)
