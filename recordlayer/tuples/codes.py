"""The type codes of the tuple encoding: the first byte of every element.

Source  FoundationDB, design/tuple.md. Codes that are not listed here have no meaning in a key we read.
"""

from __future__ import annotations

from typing import Final

NULL: Final = 0x00  # inside a nested tuple it is followed by ESCAPE
BYTES: Final = 0x01  # terminated by 00; a 00 inside is written 00 ff
STRING: Final = 0x02  # UTF-8, terminated and escaped as BYTES
NESTED: Final = 0x05  # elements, terminated by 00
NEGATIVE_BIG: Final = 0x0B  # complemented length, then the magnitude complemented
ZERO: Final = 0x14  # ZERO + n: n bytes of a positive integer; ZERO - n: of a negative one, complemented
POSITIVE_BIG: Final = 0x1D  # length, then the magnitude
FLOAT: Final = 0x20  # 4 bytes; the sign bit flipped, or all bits of a negative one
DOUBLE: Final = 0x21  # 8 bytes, likewise
FALSE: Final = 0x26
TRUE: Final = 0x27
UUID: Final = 0x30  # 16 bytes
VERSIONSTAMP: Final = 0x33  # 12 bytes

ESCAPE: Final = 0xFF  # behind a 00: the 00 is data

MAX_INTEGER_BYTES: Final = 255  # what the length byte of a big integer can say
MAX_DEPTH: Final = 100  # nested tuples in nested tuples; a bound, so that hostile bytes cannot exhaust the stack

COMPLEMENT: Final = bytes(255 - byte for byte in range(256))  # a table for bytes.translate: every bit flipped
