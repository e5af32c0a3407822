"""What the server runs with."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

_NAMES = ("recordlayer", "grpcio", "protobuf", "lmdb", "foundationdb")


def libraries() -> Mapping[str, str]:
    """Versions of packages by name; of those that are installed."""
    found: dict[str, str] = {}
    for name in _NAMES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
