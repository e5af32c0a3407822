"""The order of tuples, which is the order of their packed bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from recordlayer.tuples.packing import encode_open

# Two values of one of these types compare as their elements do. (Text: the order of UTF-8 is that of code points.)
_NATIVE: Final = frozenset((int, str, bytes, bool))


def compare(a: Sequence[Any], b: Sequence[Any]) -> int:
    """-1 if `a` sorts before `b`, 1 if behind, 0 if they pack to the same bytes.

    Versionstamps may be incomplete: those sort behind all complete ones. Nothing is packed that the answer does not
    depend on.

    Raises `UnpackableValue` when it meets a value whose type has no place in a tuple.
    """
    for x, y in zip(a, b, strict=False):
        kind = type(x)
        if kind is not type(y) or kind not in _NATIVE:
            x, y = encode_open(x), encode_open(y)
        if x != y:
            return -1 if x < y else 1
    return (len(a) > len(b)) - (len(a) < len(b))
