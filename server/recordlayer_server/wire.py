"""Requests and replies as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.rpc import code_pb2

from recordlayer_server import statuses

Parse = Callable[[bytes], Any]
Serialize = Callable[[Any], bytes]


def strict(parse: Parse | None) -> Parse | None:
    """The same, where bytes that are no message are the caller's mistake. Left to grpc, they would be answered with the
    parser's own words, and in a stream as an error of the server's own."""
    if parse is None:
        return None

    def strict(data: bytes) -> Any:
        try:
            return parse(data)
        except Exception:  # whatever a parser raises, the caller sent it
            code, message = code_pb2.INVALID_ARGUMENT, "these bytes are not a message of this method"
            raise statuses.refusal(code, "BAD_REQUEST", message) from None

    return strict


def or_bytes(serialize: Serialize | None) -> Serialize | None:
    """The same, where handlers may also give the bytes of a reply."""
    if serialize is None:
        return None
    return lambda reply: reply if type(reply) is bytes else serialize(reply)
