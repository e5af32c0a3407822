"""The tuple layer: tuples of plain values as bytes that sort as the tuples do.

Byte for byte FoundationDB's (`fdb.tuple`, and Java's `com.apple.foundationdb.tuple`). No I/O, no engine in sight.
"""

from __future__ import annotations

from recordlayer.tuples.ordering import compare
from recordlayer.tuples.packing import has_incomplete_versionstamp, pack, pack_with_versionstamp
from recordlayer.tuples.ranges import prefix_range, range_of, strinc
from recordlayer.tuples.single_float import SingleFloat
from recordlayer.tuples.subspace import Subspace
from recordlayer.tuples.unpacking import unpack, unpack_element
from recordlayer.tuples.versionstamp import Versionstamp

__all__ = [
    "SingleFloat",
    "Subspace",
    "Versionstamp",
    "compare",
    "has_incomplete_versionstamp",
    "pack",
    "pack_with_versionstamp",
    "prefix_range",
    "range_of",
    "strinc",
    "unpack",
    "unpack_element",
]
