"""Atomic operations as functions from the stored value and the operand to the new value.

Integers are little endian. The result has the length of the operand; a shorter stored value is padded with zero bytes,
a longer one cut. None stands for an absent key.

Source  FoundationDB's API reference, "MutationType"; the client's Atomic.h for empty operands.
"""

from __future__ import annotations

from collections.abc import Callable

from recordlayer.kv.engine import VALUE_LIMIT, MutationType

AtomicFunction = Callable[[bytes | None, bytes], bytes | None]


def _fitted(stored: bytes, length: int) -> bytes:
    return stored[:length].ljust(length, b"\0")


def add(stored: bytes | None, operand: bytes) -> bytes:
    if not stored or not operand:
        return operand
    length = len(operand)
    total = int.from_bytes(stored[:length], "little") + int.from_bytes(operand, "little")
    return (total & ((1 << 8 * length) - 1)).to_bytes(length, "little")


def bit_and(stored: bytes | None, operand: bytes) -> bytes:
    if stored is None:
        return operand
    return bytes(a & b for a, b in zip(_fitted(stored, len(operand)), operand, strict=True))


def bit_or(stored: bytes | None, operand: bytes) -> bytes:
    if not stored:
        return operand
    return bytes(a | b for a, b in zip(_fitted(stored, len(operand)), operand, strict=True))


def bit_xor(stored: bytes | None, operand: bytes) -> bytes:
    if not stored:
        return operand
    return bytes(a ^ b for a, b in zip(_fitted(stored, len(operand)), operand, strict=True))


def append_if_fits(stored: bytes | None, operand: bytes) -> bytes:
    if not stored:
        return operand
    return stored + operand if len(stored) + len(operand) <= VALUE_LIMIT else stored


def maximum(stored: bytes | None, operand: bytes) -> bytes:
    if not stored or not operand:
        return operand
    fitted = _fitted(stored, len(operand))
    # A tie keeps either: they are equal at the operand's length.
    return fitted if int.from_bytes(fitted, "little") > int.from_bytes(operand, "little") else operand


def minimum(stored: bytes | None, operand: bytes) -> bytes:
    if stored is None or not operand:
        return operand
    fitted = _fitted(stored, len(operand))
    return fitted if int.from_bytes(fitted, "little") < int.from_bytes(operand, "little") else operand


def byte_max(stored: bytes | None, operand: bytes) -> bytes:
    return operand if stored is None else max(stored, operand)


def byte_min(stored: bytes | None, operand: bytes) -> bytes:
    return operand if stored is None else min(stored, operand)


def compare_and_clear(stored: bytes | None, operand: bytes) -> bytes | None:
    return None if stored == operand else stored


ATOMIC: dict[MutationType, AtomicFunction] = {
    MutationType.ADD: add,
    MutationType.BIT_AND: bit_and,
    MutationType.BIT_OR: bit_or,
    MutationType.BIT_XOR: bit_xor,
    MutationType.APPEND_IF_FITS: append_if_fits,
    MutationType.MAX: maximum,
    MutationType.MIN: minimum,
    MutationType.BYTE_MAX: byte_max,
    MutationType.BYTE_MIN: byte_min,
    MutationType.COMPARE_AND_CLEAR: compare_and_clear,
}
