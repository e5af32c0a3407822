"""Which messages are compressed: those for callers who accept gzip, from a size on from which it is worth it.

gRPC negotiates it, and compresses on the event loop: about 25 ms for a megabyte. So the largest ones go as they are, as
do the bytes of assets, which mostly are compressed already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recordlayer_server.call import current

NEGOTIATED = ("grpc.default_compression_level", 1)
"""The channel option for what callers accept, gzip before deflate, for every message that does not say otherwise."""
MOST = 512 << 10
AS_THEY_ARE = frozenset({"/recordlayer.v1.Assets/Download"})

Serialize = Callable[[Any], bytes]


def choosing(serialize: Serialize | None, method: str, least: int) -> Serialize:
    """The same (None: they are bytes), which keeps messages of fewer bytes than this, and of more than `MOST`, from
    being compressed."""
    never = method in AS_THEY_ARE

    def serialized(message: Any) -> bytes:
        data: bytes = message if serialize is None else serialize(message)
        if never or not least <= len(data) <= MOST:
            current().send_as_it_is()
        return data

    return serialized
