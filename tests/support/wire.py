"""A caller with one request that sees the frames of HTTP/2: what no library of gRPC's shows."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

_DATA, _HEADERS, _SETTINGS, _WINDOW_UPDATE = 0, 1, 4, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_WINDOW = 1 << 24


async def answers_on_the_wire(address: Any, method: str, message: bytes, *, accepts: str) -> list[tuple[bool, bytes]]:
    """Of each message that comes back, whether it is marked as compressed, and its bytes as they came. `accepts`:
    encodings."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        "grpc-accept-encoding": accepts,
    }
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    writer.write(_frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, _WINDOW)))  # of each stream
    writer.write(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW)))  # of the connection
    writer.write(_frame(_HEADERS, _END_HEADERS, 1, b"".join(map(_literal, *zip(*headers.items(), strict=True)))))
    writer.write(_frame(_DATA, _END_STREAM, 1, struct.pack(">BI", 0, len(message)) + message))
    body = b""
    try:
        while True:
            head = await reader.readexactly(9)
            length, kind, flags, stream = int.from_bytes(head[:3], "big"), head[3], head[4], head[5:]
            content = await reader.readexactly(length)
            if kind == _SETTINGS and not flags & _ACK:
                writer.write(_frame(_SETTINGS, _ACK, 0, b""))
            if kind == _DATA:
                body += content
            if flags & _END_STREAM and kind in (_DATA, _HEADERS) and stream[-1] == 1:
                break
    finally:
        writer.close()
    found = []
    while body:
        compressed, length = struct.unpack(">BI", body[:5])
        found.append((bool(compressed), body[5 : 5 + length]))
        body = body[5 + length :]
    return found


def _literal(name: str, value: str) -> bytes:
    """A header that is in no table, and without Huffman's code; lengths below 127."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content
