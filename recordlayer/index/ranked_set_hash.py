"""The hash functions of ranked sets: on how many levels a member is.

They decide only where new members go, so one set may hold members that came in by different functions.

    JDK      31 * h + byte, bytes signed: the default; adjacent integers share most of their bits
    CRC      CRC-32 as in zlib
    MURMUR3  murmur3 for 32 bits, seed 0
    RANDOM   no function of the member at all: nobody can choose scores that all go to one level

Source  Record Layer, RankedSetHashFunctions; Arrays.hashCode(byte[]); MurmurHash3_x86_32 by Austin Appleby
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

Hash = Callable[[bytes], int]
"""32 bits of a packed score."""

_BITS = 0xFFFF_FFFF
_LEVEL_BITS = 4
"""A member of a level is on the next one with the chance 1 in 16."""


def jdk(score: bytes) -> int:
    """As Java hashes an array of bytes."""
    found = 1
    for byte in score:
        found = 31 * found + byte - ((byte & 0x80) << 1)
    return found & _BITS


def crc(score: bytes) -> int:
    """CRC-32."""
    return zlib.crc32(score)


def murmur3(score: bytes) -> int:
    """Murmur3 for 32 bits with the seed 0."""
    found = 0
    whole = len(score) & ~3
    for at in range(0, whole, 4):
        found ^= _mixed(int.from_bytes(score[at : at + 4], "little"))
        found = (_rotated(found, 13) * 5 + 0xE6546B64) & _BITS
    if whole < len(score):
        found ^= _mixed(int.from_bytes(score[whole:], "little"))
    found ^= len(score)
    found = ((found ^ found >> 16) * 0x85EBCA6B) & _BITS
    found = ((found ^ found >> 13) * 0xC2B2AE35) & _BITS
    return found ^ found >> 16


def _mixed(word: int) -> int:
    return _rotated(word * 0xCC9E2D51 & _BITS, 15) * 0x1B873593 & _BITS


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & _BITS


NAMES = ("JDK", "CRC", "RANDOM", "MURMUR3")
"""What the option rankHashFunction may say."""

_FUNCTIONS: dict[str, Hash] = {"JDK": jdk, "CRC": crc, "MURMUR3": murmur3}


def hash_function(name: str, random_bits: Callable[[int], int]) -> Hash:
    """The function of a name among `NAMES`; `random_bits` gives so many of them."""
    found = _FUNCTIONS.get(name)
    return found if found is not None else lambda score: random_bits(32)


def top_level(hashed: int, levels: int) -> int:
    """The highest of so many levels that a member with this hash is on; it is on all those below."""
    if not hashed:
        return levels - 1
    zeros = (hashed & -hashed).bit_length() - 1
    return min(levels - 1, zeros // _LEVEL_BITS)
