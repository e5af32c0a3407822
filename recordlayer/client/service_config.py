"""The service config for gRPC clients in other languages: which calls their library may send again by itself.

Reads only, and only when nobody has answered them. A call that a server has refused is sent again where the status
carries `RetryInfo`, which gRPC's own retries do not look at: that, and writes, are for the code around (an idempotency
key makes a second sending harmless).
"""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).with_name("service_config.json")


def service_config() -> str:
    """The JSON, as the channel option `grpc.service_config` takes it."""
    return FILE.read_text(encoding="utf-8")
