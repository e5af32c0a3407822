"""Where a server is, and how safely it is reached."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import grpc

from recordlayer import __version__
from recordlayer.errors import UsageError


@dataclass(frozen=True, slots=True)
class Address:
    """A target of gRPC; without credentials in plain text."""

    target: str
    credentials: Any

    def channel(self, grpc_kind: Any) -> Any:
        """A channel of `grpc` or `grpc.aio`. gRPC's own retries are off: they know nothing of RetryInfo. A server that
        was away is looked for again within seconds, and not within the two minutes that gRPC takes by itself."""
        options = [
            ("grpc.enable_retries", 0),
            ("grpc.lb_policy_name", "round_robin"),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 1_000),  # how long an attempt to connect may take
            ("grpc.max_reconnect_backoff_ms", 3_000),
            ("grpc.primary_user_agent", f"recordlayer/{__version__}"),
            ("grpc.max_receive_message_length", -1),  # servers say how large their messages are
        ]
        if self.credentials is not None:
            return grpc_kind.secure_channel(self.target, self.credentials, options=options)
        return grpc_kind.insecure_channel(self.target, options=[*options, ("grpc.enable_http_proxy", 0)])


def address_of(url: str, *, credentials: Any, plain_text_anywhere: bool) -> Address:
    """The address that a URL names.

    Raises  UsageError for one that is not whole, and for plain text that would leave this machine
    """
    parts = urlsplit(url)
    if parts.scheme not in ("grpc", "grpcs") or not parts.hostname or parts.port is None:
        raise UsageError(url=url, hint="grpc://127.0.0.1:50051, or grpcs://HOST:PORT")
    if parts.scheme == "grpcs":
        return Address(parts.netloc, credentials or grpc.ssl_channel_credentials())
    if credentials is not None:
        raise UsageError(url=url, what="credentials for plain text", hint="use grpcs://")
    if not plain_text_anywhere and not _loopback(parts.hostname):
        raise UsageError(url=url, hint="without TLS only to this machine: use grpcs://, or plain_text_anywhere=True")
    return Address(parts.netloc, None)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
