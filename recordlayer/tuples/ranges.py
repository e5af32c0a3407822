"""Ranges of keys, as pairs (begin, end): begin inside, end outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recordlayer.errors import UnboundedPrefix
from recordlayer.tuples.packing import pack


def range_of(items: Sequence[Any], prefix: bytes = b"") -> tuple[bytes, bytes]:
    """All tuples that begin with `items` and are longer. The packed `items` themselves are not in it.

    Raises as `pack`.
    """
    packed = pack(items, prefix)
    return packed + b"\x00", packed + b"\xff"


def strinc(prefix: bytes) -> bytes:
    """The first key behind all the keys that begin with `prefix`.

    Raises `UnboundedPrefix` when there is none: for no bytes, or nothing but ff.
    """
    stem = prefix.rstrip(b"\xff")
    if not stem:
        raise UnboundedPrefix(prefix=prefix)
    return stem[:-1] + bytes((stem[-1] + 1,))


def prefix_range(prefix: bytes) -> tuple[bytes, bytes]:
    """All keys that begin with `prefix`, `prefix` itself too.

    Raises `UnboundedPrefix` as `strinc`.
    """
    return prefix, strinc(prefix)
