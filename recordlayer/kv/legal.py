"""Which keys, values and ranges a transaction may name.

Source  ReadYourWritesTransaction of FoundationDB's client 7.3: the same checks in the same order.
"""

from __future__ import annotations

from recordlayer.errors import (
    InvalidMutationType,
    InvalidOperation,
    InvertedRange,
    KeyOutsideLegalRange,
    KeyTooLarge,
    ValueTooLarge,
    WrongType,
)
from recordlayer.kv.engine import (
    END_OF_KEYS,
    KEY_LIMIT,
    METADATA_VERSION_KEY,
    VALUE_LIMIT,
    KeySelector,
    MutationType,
)

END_OF_SYSTEM_KEYS = b"\xff\xff"
STAMP_LENGTH = 10
_OFFSET_LENGTH = 4
_METADATA_OPERAND = bytes(STAMP_LENGTH + _OFFSET_LENGTH)
_SHOWN = 60  # bytes of a key that errors show
_KINDS = frozenset(MutationType)


def check_bytes(what: str, value: object) -> None:
    if not isinstance(value, bytes):
        raise WrongType(argument=what, got=type(value).__name__, hint="pass bytes")


def check_writable(key: bytes, *, system: bool) -> None:
    check_bytes("key", key)
    if key >= (END_OF_SYSTEM_KEYS if system else END_OF_KEYS):
        raise KeyOutsideLegalRange(key=key[:_SHOWN])
    if len(key) > KEY_LIMIT:
        raise KeyTooLarge(key=key[:_SHOWN], length=len(key), limit=KEY_LIMIT)


def check_value(key: bytes, value: bytes) -> None:
    check_bytes("value", value)
    if len(value) > VALUE_LIMIT:
        raise ValueTooLarge(key=key[:_SHOWN], length=len(value), limit=VALUE_LIMIT)


def check_clear(key: bytes, *, system: bool) -> None:
    """A key may be cleared that is too long to exist: nothing happens."""
    check_bytes("key", key)
    if key >= (END_OF_SYSTEM_KEYS if system else END_OF_KEYS):
        raise KeyOutsideLegalRange(key=key[:_SHOWN])


def check_set(key: bytes, value: bytes, *, system: bool) -> None:
    if key == METADATA_VERSION_KEY:
        raise InvalidOperation(key=key, hint="set it with SET_VERSIONSTAMPED_VALUE")
    check_writable(key, system=system)
    check_value(key, value)


def check_atomic(kind: MutationType, key: bytes, operand: bytes, *, system: bool) -> None:
    """Raises  InvalidMutationType, InvalidOperation, KeyOutsideLegalRange, KeyTooLarge, ValueTooLarge, WrongType."""
    check_bytes("key", key)
    if key == METADATA_VERSION_KEY:
        if kind != MutationType.SET_VERSIONSTAMPED_VALUE or operand != _METADATA_OPERAND:
            raise InvalidOperation(key=key, hint="only SET_VERSIONSTAMPED_VALUE with 14 zero bytes may write it")
        return
    if kind not in _KINDS:
        raise InvalidMutationType(kind=kind, hint="see recordlayer.kv.engine.MutationType")
    check_writable(key, system=system)
    check_value(key, operand)
    if kind == MutationType.SET_VERSIONSTAMPED_KEY:
        placeholder_offset(key)
    elif kind == MutationType.SET_VERSIONSTAMPED_VALUE:
        placeholder_offset(operand)


def placeholder_offset(operand: bytes) -> int:
    """Where the 10-byte placeholder stands in `operand`, whose last 4 bytes say so.  Raises  InvalidOperation."""
    body = len(operand) - _OFFSET_LENGTH
    offset = int.from_bytes(operand[body:], "little", signed=True) if body >= 0 else -1
    if offset < 0 or offset + STAMP_LENGTH > body:
        raise InvalidOperation(
            operand=operand[:_SHOWN],
            hint="a versionstamped operand ends in the 4-byte little-endian offset of 10 bytes inside it",
        )
    return offset


def check_readable(key: bytes, *, system: bool) -> None:
    check_bytes("key", key)
    if key >= (END_OF_SYSTEM_KEYS if system else END_OF_KEYS) and key != METADATA_VERSION_KEY:
        raise KeyOutsideLegalRange(key=key[:_SHOWN])


def check_range(begin: bytes, end: bytes, *, system: bool) -> tuple[bytes, bytes]:
    """The range cut to keys that can exist.  Raises  KeyOutsideLegalRange, InvertedRange, WrongType."""
    check_bytes("begin", begin)
    check_bytes("end", end)
    last = END_OF_SYSTEM_KEYS if system else END_OF_KEYS
    if begin > end:
        raise InvertedRange(begin=begin[:_SHOWN], end=end[:_SHOWN], hint="pass the smaller key first")
    if begin > last or end > last:
        raise KeyOutsideLegalRange(begin=begin[:_SHOWN], end=end[:_SHOWN])
    return begin[: KEY_LIMIT + 1], end[: KEY_LIMIT + 1]


def as_selector(what: str, value: bytes | KeySelector) -> KeySelector:
    """A selector; a plain key is its first key at or above.  Raises  WrongType."""
    if isinstance(value, bytes):
        return KeySelector(value, False, 1)
    if isinstance(value, KeySelector) and isinstance(value.key, bytes) and isinstance(value.offset, int):
        return value
    raise WrongType(argument=what, got=type(value).__name__, hint="pass bytes or a KeySelector")


def selector(what: str, value: bytes | KeySelector, *, system: bool) -> KeySelector:
    """A selector in the form without `or_equal`.  Raises  WrongType, KeyOutsideLegalRange."""
    if type(value) is bytes and value <= END_OF_KEYS:  # the usual case, in few steps
        return KeySelector(value, False, 1)
    chosen = as_selector(what, value)
    if chosen.key > (END_OF_SYSTEM_KEYS if system else END_OF_KEYS):
        raise KeyOutsideLegalRange(argument=what, key=chosen.key[:_SHOWN])
    if chosen.or_equal:
        return KeySelector(chosen.key[:KEY_LIMIT] + b"\0", False, chosen.offset)
    return chosen
