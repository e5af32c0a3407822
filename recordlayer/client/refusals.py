"""Statuses of the service as errors of the library, and what they say about trying again."""

from __future__ import annotations

from typing import Any

from google.rpc import error_details_pb2, status_pb2

from recordlayer.client.pb import errors_pb2
from recordlayer.errors import (
    CallRefused,
    ChangeTagStale,
    Forbidden,
    NoAnswer,
    RecordExists,
    RecordLayerError,
    Unauthenticated,
    UniquenessViolation,
)

DETAILS = "grpc-status-details-bin"
SAME: dict[str, type[RecordLayerError]] = {
    "CONFLICT": ChangeTagStale,
    "EXISTS": RecordExists,
    "UNIQUE": UniquenessViolation,
    "UNAUTHENTICATED": Unauthenticated,
    "FORBIDDEN": Forbidden,
}
"""Reasons for which the library has an error of its own; all others are CallRefused."""


def status_of(error: Any) -> status_pb2.Status | None:
    """The status that the server sent; None where the failure is the transport's and no server answered."""
    for name, value in error.trailing_metadata() or ():
        if name == DETAILS:
            return status_pb2.Status.FromString(value)
    return None


def _detail(status: status_pb2.Status, kind: Any) -> Any:
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            found = kind()
            packed.Unpack(found)
            return found
    return None


def retry_delay(status: status_pb2.Status) -> float | None:
    """Seconds until trying again is worth it; None: it is not."""
    info = _detail(status, error_details_pb2.RetryInfo)
    return None if info is None else float(info.retry_delay.ToTimedelta().total_seconds())


def reason_of(status: status_pb2.Status) -> str:
    info = _detail(status, error_details_pb2.ErrorInfo)
    return "" if info is None else str(info.reason)


def refusal_of(status: status_pb2.Status) -> RecordLayerError:
    """The error for a status that is not OK."""
    reason = reason_of(status)
    fields: dict[str, Any] = {"reason": reason, "message": status.message}
    delay = retry_delay(status)
    if delay is not None:
        fields["retry_after"] = delay
    conflict = _detail(status, errors_pb2.ConflictInfo)
    if conflict is not None:
        fields["server_record"] = conflict.server_record if conflict.HasField("server_record") else None
    failure = _detail(status, errors_pb2.BatchFailure)
    if failure is not None:
        fields["operation"] = failure.operation
        if failure.operations > 1:
            fields["undone"] = failure.operations - 1  # all others, whatever they were
    return SAME.get(reason, CallRefused)(**fields)


def no_answer(error: Any) -> NoAnswer:
    return NoAnswer(reason=error.code().name, message=error.details())
