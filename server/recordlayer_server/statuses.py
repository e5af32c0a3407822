"""The one table from errors to what a caller is told: a code, a reason, and whether to try again.

The library's errors are known by their `code`, which is a promise; one that is not in the table is told as its base
class is. A caller gets the title of an error and those of its fields that the table names: they speak of the caller's
own schema and records. Retrying is worth it if and only if there is a RetryInfo.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from recordlayer.client.pb import errors_pb2, types_pb2
from recordlayer.errors import RecordLayerError

DOMAIN = "recordlayer.v1"
DETAILS = "grpc-status-details-bin"
MOST_DETAILS = 6_000
"""Bytes of a status with its details: what callers' libraries take in trailing metadata is 8 KB in all."""

CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    retry   seconds until trying again is worth it; None: it is not
    fields  of the error that the caller is told
    hint    whether the caller is told the error's own hint: not where that speaks of this library's calls
    """

    code: int
    reason: str
    retry: float | None = None
    fields: tuple[str, ...] = ()
    hint: bool = False


_FIELDS = ("field", "record_type", "index", "reason", "operator", "option")

TABLE: Mapping[str, Row] = {
    # what can never work
    "usage_error": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST", fields=_FIELDS),
    "wrong_type": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST", fields=_FIELDS),
    "unknown_field": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST", fields=(*_FIELDS, "message"), hint=True),
    "unknown_record_type": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST", fields=_FIELDS, hint=True),
    "unknown_index": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST", fields=_FIELDS, hint=True),
    "query_error": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST", fields=_FIELDS),
    "tuple_error": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST"),
    "key_function_failed": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST", fields=_FIELDS),
    "incomplete_record": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST", fields=(*_FIELDS, "missing")),
    "closed": Row(code_pb2.INTERNAL, "INTERNAL"),
    "foreign_awaitable": Row(code_pb2.INTERNAL, "INTERNAL"),
    "library_missing": Row(code_pb2.INTERNAL, "INTERNAL"),
    "schema_error": Row(code_pb2.INTERNAL, "INTERNAL"),
    "no_plan": Row(code_pb2.FAILED_PRECONDITION, "INDEX_REQUIRED", fields=("query", "definition"), hint=True),
    "index_not_readable": Row(code_pb2.FAILED_PRECONDITION, "INDEX_NOT_READABLE", fields=("index", "state")),
    "index_not_supported": Row(code_pb2.FAILED_PRECONDITION, "INDEX_REQUIRED", fields=("index",)),
    "bad_continuation": Row(code_pb2.INVALID_ARGUMENT, "CONTINUATION_MISMATCH"),
    "feed_token_expired": Row(code_pb2.OUT_OF_RANGE, "TOKEN_EXPIRED", fields=("reason",)),
    "bad_feed_token": Row(code_pb2.INVALID_ARGUMENT, "TOKEN_MISMATCH"),
    "feed_missing": Row(code_pb2.FAILED_PRECONDITION, "NOT_SYNCED"),
    # callers
    "unauthenticated": Row(code_pb2.UNAUTHENTICATED, "UNAUTHENTICATED", hint=True),
    "forbidden": Row(code_pb2.PERMISSION_DENIED, "FORBIDDEN"),
    "overloaded": Row(code_pb2.UNAVAILABLE, "OVERLOADED", retry=1.0),
    "tenant_over_limit": Row(code_pb2.RESOURCE_EXHAUSTED, "THROTTLED", retry=1.0),
    # sizes
    "record_too_large": Row(code_pb2.INVALID_ARGUMENT, "BATCH_TOO_LARGE", fields=("size", "limit")),
    "index_entry_too_large": Row(code_pb2.INVALID_ARGUMENT, "BATCH_TOO_LARGE", fields=("index", "size", "limit")),
    "transaction_too_large": Row(code_pb2.INVALID_ARGUMENT, "BATCH_TOO_LARGE", fields=("size", "limit")),
    "key_too_large": Row(code_pb2.INVALID_ARGUMENT, "BATCH_TOO_LARGE", fields=("size", "limit")),
    "value_too_large": Row(code_pb2.INVALID_ARGUMENT, "BATCH_TOO_LARGE", fields=("size", "limit")),
    "local_versions_exhausted": Row(code_pb2.INVALID_ARGUMENT, "BATCH_TOO_LARGE"),
    # what is there, or not
    "record_exists": Row(code_pb2.ALREADY_EXISTS, "EXISTS", fields=("record_type",)),
    "record_missing": Row(code_pb2.NOT_FOUND, "NOT_FOUND", fields=("record_type",)),
    "record_type_changed": Row(code_pb2.FAILED_PRECONDITION, "EXISTS"),
    "uniqueness_violation": Row(code_pb2.ALREADY_EXISTS, "UNIQUE", fields=("index",)),
    "store_missing": Row(code_pb2.PERMISSION_DENIED, "FORBIDDEN"),
    "meta_data_missing": Row(code_pb2.PERMISSION_DENIED, "FORBIDDEN"),
    "name_not_interned": Row(code_pb2.PERMISSION_DENIED, "FORBIDDEN"),
    "tenant_not_empty": Row(code_pb2.ALREADY_EXISTS, "EXISTS"),
    "store_moved": Row(code_pb2.FAILED_PRECONDITION, "MOVED", fields=("to",)),
    # exports and imports
    "stream_damaged": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST", fields=("found",), hint=True),
    "stream_truncated": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST", hint=True),
    "stream_too_new": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST"),
    "import_refused": Row(code_pb2.INVALID_ARGUMENT, "BAD_REQUEST"),
    "import_interrupted": Row(code_pb2.FAILED_PRECONDITION, "OPERATION_RUNNING"),
    "tenant_changed": Row(code_pb2.ABORTED, "CONTENTION", retry=1.0, fields=("found",)),
    "tenant_frozen": Row(code_pb2.FAILED_PRECONDITION, "STORE_LOCKED", fields=("lock", "format_version")),
    # what passes
    "stale_meta_data": Row(code_pb2.UNAVAILABLE, "STALE_METADATA", retry=1.0),
    "store_locked": Row(code_pb2.UNAVAILABLE, "STORE_LOCKED", retry=5.0, fields=("state", "reason")),
    "resolver_locked": Row(code_pb2.UNAVAILABLE, "STORE_LOCKED", retry=5.0),
    "conflict": Row(code_pb2.ABORTED, "CONTENTION", retry=0.1, fields=("conflicts",)),
    "too_old": Row(code_pb2.ABORTED, "TOO_OLD", retry=0.05),
    "future_version": Row(code_pb2.UNAVAILABLE, "TOO_OLD", retry=0.05),
    "maybe_committed": Row(code_pb2.UNKNOWN, "COMMIT_UNKNOWN"),
    "cluster_version_changed": Row(code_pb2.UNKNOWN, "COMMIT_UNKNOWN"),
    "timed_out": Row(code_pb2.DEADLINE_EXCEEDED, "DEADLINE"),
    "cancelled": Row(code_pb2.CANCELLED, "CANCELLED"),
    "operation_cancelled": Row(code_pb2.CANCELLED, "CANCELLED"),
    "process_behind": Row(code_pb2.UNAVAILABLE, "OVERLOADED", retry=0.5),
    "commit_proxy_memory_limit": Row(code_pb2.UNAVAILABLE, "OVERLOADED", retry=1.0),
    "grv_proxy_memory_limit": Row(code_pb2.UNAVAILABLE, "OVERLOADED", retry=1.0),
    "batch_throttled": Row(code_pb2.UNAVAILABLE, "OVERLOADED", retry=1.0),
    "tag_throttled": Row(code_pb2.RESOURCE_EXHAUSTED, "THROTTLED", retry=1.0),
    "proxy_tag_throttled": Row(code_pb2.RESOURCE_EXHAUSTED, "THROTTLED", retry=1.0),
    "too_many_watches": Row(code_pb2.RESOURCE_EXHAUSTED, "THROTTLED", retry=5.0),
    "database_locked": Row(code_pb2.UNAVAILABLE, "CLUSTER_UNREACHABLE", retry=5.0),
    "timed_out_waiting": Row(code_pb2.UNAVAILABLE, "CLUSTER_UNREACHABLE", retry=1.0),
    "engine_unavailable": Row(code_pb2.UNAVAILABLE, "CLUSTER_UNREACHABLE", retry=5.0),
    "disk_full": Row(code_pb2.UNAVAILABLE, "OVERLOADED", retry=30.0),
    "map_full": Row(code_pb2.UNAVAILABLE, "OVERLOADED", retry=30.0),
    # builds
    "build_locked": Row(code_pb2.UNAVAILABLE, "BUILD_RUNNING", retry=1.0, fields=("index",)),
    "build_blocked": Row(code_pb2.FAILED_PRECONDITION, "BUILD_PAUSED", fields=("index", "id")),
    "build_mismatch": Row(code_pb2.FAILED_PRECONDITION, "BUILD_REFUSED", fields=("index", "begun", "asked")),
    "build_refused": Row(code_pb2.FAILED_PRECONDITION, "BUILD_REFUSED", fields=("index", "state")),
    "source_unsuitable": Row(code_pb2.FAILED_PRECONDITION, "BUILD_REFUSED", fields=("index", "source", "reason")),
    # what is broken
    "corrupt_record": Row(code_pb2.DATA_LOSS, "CORRUPT"),
    "corrupt_header": Row(code_pb2.DATA_LOSS, "CORRUPT"),
    "corrupt_index_entry": Row(code_pb2.DATA_LOSS, "CORRUPT", fields=("index",)),
    "corrupt_range_set": Row(code_pb2.DATA_LOSS, "CORRUPT"),
    "corrupt_feed": Row(code_pb2.DATA_LOSS, "CORRUPT"),
    "corrupt_file": Row(code_pb2.DATA_LOSS, "CORRUPT"),
    "corrupt_name": Row(code_pb2.DATA_LOSS, "CORRUPT"),
    "malformed_meta_data": Row(code_pb2.DATA_LOSS, "CORRUPT"),
    "record_layer_error": Row(code_pb2.INTERNAL, "INTERNAL"),
}


class Refusal(Exception):
    """A call, or one item of it, ends with this status."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


def refusal(
    code: int,
    reason: str,
    message: str,
    /,
    *details: Any,
    retry: float | None = None,
    **metadata: object,
) -> Refusal:
    """What a handler raises: with an ErrorInfo of this reason, a RetryInfo if trying again is worth it, and details."""
    status = status_pb2.Status(code=code, message=message)
    _pack(status, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=_texts(metadata)))
    if retry is not None:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromMilliseconds(round(retry * 1_000))
        _pack(status, info)
    for detail in details:
        _pack(status, detail)
    return Refusal(status)


def bad_request(field: str, description: str) -> Refusal:
    """A field of the request that will not do: its path, and what is wanted."""
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
    return refusal(
        code_pb2.INVALID_ARGUMENT,
        "BAD_REQUEST",
        f"{field}: {description}",
        error_details_pb2.BadRequest(field_violations=[violation]),
    )


def too_large(what: str, *, limit: int, size: int) -> Refusal:
    return refusal(code_pb2.INVALID_ARGUMENT, "BATCH_TOO_LARGE", f"{what}: too much", limit=limit, size=size)


def forbidden() -> Refusal:
    """No right, or not there: nobody is told which."""
    return refusal(code_pb2.PERMISSION_DENIED, "FORBIDDEN", "it is not there, or you have no right to it")


def not_found(kind: str, name: str) -> Refusal:
    reason = "ZONE_NOT_FOUND" if kind == "zone" else "NOT_FOUND"
    resource = error_details_pb2.ResourceInfo(resource_type=kind, resource_name=name[:256])
    return refusal(code_pb2.NOT_FOUND, reason, f"there is no such {kind}", resource)


def conflict(server_record: types_pb2.Record) -> Refusal:
    """A stale change tag, with the record as it is now if there is room for it."""
    info = errors_pb2.ConflictInfo(server_record=server_record)
    if info.ByteSize() > MOST_DETAILS - 2_000:
        info = errors_pb2.ConflictInfo(omitted=True)
    return refusal(code_pb2.ABORTED, "CONFLICT", "the record has another change tag", info)


def stopping() -> Refusal:
    return refusal(code_pb2.UNAVAILABLE, "STOPPING", "the server stops", retry=0.1)


def ended() -> Refusal:
    return refusal(code_pb2.UNAVAILABLE, "ENDED", "an operator has ended the call", retry=1.0)


def unreachable() -> Refusal:
    text = "the database does not answer"
    return refusal(code_pb2.UNAVAILABLE, "CLUSTER_UNREACHABLE", text, retry=1.0)


def known(error: BaseException) -> status_pb2.Status | None:
    """The status of an error that the table has; None for what nobody foresaw."""
    if isinstance(error, Refusal):
        return error.status
    if not isinstance(error, RecordLayerError):
        return None
    row = row_of(error)
    if row.code == code_pb2.INTERNAL:
        return None
    if row.reason == "FORBIDDEN":
        return forbidden().status
    told = {name: error.fields[name] for name in row.fields if error.fields.get(name) not in (None, "")}
    told |= _record_of(error, row)
    if isinstance(conflicts := told.get("conflicts"), tuple):
        # Where the store lies is nobody's business: "record ('', 'a') of Photo in /recordlayer/63".
        told["conflicts"] = tuple(str(one).rsplit(" in /", 1)[0] for one in conflicts)
    message = error.title + "".join(f"; {name} {_shown(value)}" for name, value in told.items())
    if row.hint and error.hint:
        message += f" ({error.hint})"
    retry, after = row.retry, getattr(error, "retry_after", error.fields.get("retry_after"))
    if retry is not None and isinstance(after, timedelta):
        retry = after.total_seconds()
    return refusal(row.code, row.reason, message, retry=retry, **told).status


def _record_of(error: RecordLayerError, row: Row) -> dict[str, object]:
    """The record that an error is about, as callers call it: of what is damaged, and of what has a value already."""
    match error.fields.get({"CORRUPT": "primary_key", "UNIQUE": "held_by"}.get(row.reason, "")):
        case (str() as zone, str() as name):
            return {"record_name": name, **({"zone": zone} if zone else {})}
    return {}


def row_of(error: RecordLayerError) -> Row:
    """The row of an error, or of the nearest of its base classes."""
    for base in type(error).__mro__:
        row = TABLE.get(getattr(base, "code", ""))
        if row is not None:
            return row
    return TABLE["record_layer_error"]


def reason_of(status: status_pb2.Status) -> str:
    """The reason in a status, "" if it has none."""
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            return str(info.reason)
    return ""


def retry_after(status: status_pb2.Status) -> float | None:
    """Seconds until trying again is worth it; None if it is not."""
    for detail in status.details:
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            info = error_details_pb2.RetryInfo()
            detail.Unpack(info)
            return float(info.retry_delay.ToMilliseconds() / 1_000)
    return None


def trailing(status: status_pb2.Status) -> tuple[str, bytes]:
    """A status with its details as the metadata that clients' libraries look for; without those that do not fit."""
    small = status_pb2.Status()
    small.CopyFrom(status)
    while small.ByteSize() > MOST_DETAILS and small.details:
        del small.details[-1]
    return DETAILS, small.SerializeToString()


def _pack(status: status_pb2.Status, detail: Any) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _texts(metadata: Mapping[str, object]) -> dict[str, str]:
    return {name: _shown(value) for name, value in metadata.items()}


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else ", ".join(value) if _is_words(value) else str(value)  # type: ignore[arg-type]
    return text if len(text) <= 500 else text[:499] + "…"


def _is_words(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, bytes) and all(isinstance(one, str) for one in value)
