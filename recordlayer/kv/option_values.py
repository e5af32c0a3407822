"""What value each option takes.

Engines check options with this before they act on them, so that every engine refuses the same values with the same
errors, and at once: FoundationDB's client itself reports a bad value at the next read or at the commit.

Source  fdb.options, Transaction::setOption and TagSet of FoundationDB's client 7.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from recordlayer.errors import InvalidOperation, InvalidOption, InvalidOptionValue, transaction_error
from recordlayer.kv.engine import DatabaseOption, OptionValue, TransactionOption

_T, _D = TransactionOption, DatabaseOption
_INT32_MAX = (1 << 31) - 1
_IDENTIFIER_LENGTH, _TAG_LENGTH, _MOST_TAGS = 100, 16, 5
_SPAN_LENGTH = 33
_IDEMPOTENCY_LENGTHS = range(16, 256)

Checked = int | bytes | None
"""A value in the one form that engines need to know: a number, bytes, or nothing."""

# option -> lowest and highest number
_NUMBERS: dict[TransactionOption, tuple[int, int]] = {
    _T.TRANSACTION_LOGGING_MAX_FIELD_LENGTH: (-1, _INT32_MAX),
    _T.TIMEOUT: (0, _INT32_MAX),
    _T.RETRY_LIMIT: (-1, _INT32_MAX),
    _T.MAX_RETRY_DELAY: (0, _INT32_MAX),
    _T.SIZE_LIMIT: (32, 10_000_000),
}
_TEXTS = {_T.DEBUG_TRANSACTION_IDENTIFIER, _T.IDEMPOTENCY_ID, _T.TAG, _T.AUTO_THROTTLE_TAG, _T.SPAN_PARENT}

_DATABASE_NUMBERS: dict[DatabaseOption, tuple[int, int]] = {
    _D.LOCATION_CACHE_SIZE: (0, _INT32_MAX),
    _D.MAX_WATCHES: (0, 1_000_000),
}
_DATABASE_TEXTS = {_D.MACHINE_ID, _D.DATACENTER_ID}

DEFAULT_OF: dict[DatabaseOption, TransactionOption] = {
    _D.SNAPSHOT_RYW_ENABLE: _T.SNAPSHOT_RYW_ENABLE,
    _D.SNAPSHOT_RYW_DISABLE: _T.SNAPSHOT_RYW_DISABLE,
    _D.TRANSACTION_LOGGING_MAX_FIELD_LENGTH: _T.TRANSACTION_LOGGING_MAX_FIELD_LENGTH,
    _D.TRANSACTION_TIMEOUT: _T.TIMEOUT,
    _D.TRANSACTION_RETRY_LIMIT: _T.RETRY_LIMIT,
    _D.TRANSACTION_MAX_RETRY_DELAY: _T.MAX_RETRY_DELAY,
    _D.TRANSACTION_SIZE_LIMIT: _T.SIZE_LIMIT,
    _D.TRANSACTION_CAUSAL_READ_RISKY: _T.CAUSAL_READ_RISKY,
    _D.TRANSACTION_BYPASS_UNREADABLE: _T.BYPASS_UNREADABLE,
    _D.TRANSACTION_USED_DURING_COMMIT_PROTECTION_DISABLE: _T.USED_DURING_COMMIT_PROTECTION_DISABLE,
    _D.TRANSACTION_REPORT_CONFLICTING_KEYS: _T.REPORT_CONFLICTING_KEYS,
}
"""Database option -> the transaction option that it is the default of."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What a transaction has been called so far: options whose value is judged by those before."""

    identifier: bytes = b""
    tags: frozenset[bytes] = frozenset()

    def after(self, option: TransactionOption, value: Checked) -> Labels:
        """The labels after an option.  Raises  InvalidOperation, and FoundationDB's 2109 for too many tags."""
        match option:
            case _T.DEBUG_TRANSACTION_IDENTIFIER:
                assert isinstance(value, bytes)
                if self.identifier not in (b"", value):
                    raise InvalidOperation(option=_named(option), hint="a transaction keeps its first identifier")
                return replace(self, identifier=value)
            case _T.LOG_TRANSACTION if not self.identifier:
                raise InvalidOperation(option=_named(option), hint="set debug_transaction_identifier before")
            case _T.TAG | _T.AUTO_THROTTLE_TAG:
                assert isinstance(value, bytes)
                tags = self.tags | {value}
                if len(tags) > _MOST_TAGS:
                    raise transaction_error(2109, option=_named(option), most=_MOST_TAGS)
                return replace(self, tags=tags)
        return self


def transaction_option(option: int, value: OptionValue) -> tuple[TransactionOption, Checked]:
    """The option and its value, checked.  Raises  InvalidOption, InvalidOptionValue, and 2110 for a tag too long."""
    try:
        known = TransactionOption(option)
    except ValueError:
        raise InvalidOption(option=option, hint="see recordlayer.kv.engine.TransactionOption") from None
    if known in _NUMBERS:
        number = _number(_named(known), value, *_NUMBERS[known])
        if number == 0 and known == _T.TRANSACTION_LOGGING_MAX_FIELD_LENGTH:
            raise InvalidOptionValue(option=_named(known), value=value, hint="a negative number is no limit")
        return known, number
    if known in _TEXTS:
        text = _text(_named(known), value)
        _check_length(known, text)
        return known, text
    _refuse_any(_named(known), value)
    return known, None


def database_option(option: int, value: OptionValue) -> tuple[DatabaseOption, Checked]:
    """The option and its value, checked.  Raises  InvalidOption, InvalidOptionValue."""
    try:
        known = DatabaseOption(option)
    except ValueError:
        raise InvalidOption(option=option, hint="see recordlayer.kv.engine.DatabaseOption") from None
    if known in DEFAULT_OF:
        return known, transaction_option(DEFAULT_OF[known], value)[1]
    if known in _DATABASE_NUMBERS:
        return known, _number(_named(known), value, *_DATABASE_NUMBERS[known])
    if known in _DATABASE_TEXTS:
        return known, _text(_named(known), value)
    _refuse_any(_named(known), value)
    return known, None


def _check_length(option: TransactionOption, text: bytes) -> None:
    match option:
        case _T.DEBUG_TRANSACTION_IDENTIFIER if not 0 < len(text) <= _IDENTIFIER_LENGTH:
            raise InvalidOptionValue(option=_named(option), hint=f"it takes 1 to {_IDENTIFIER_LENGTH} bytes")
        case _T.SPAN_PARENT if len(text) != _SPAN_LENGTH:
            raise InvalidOptionValue(option=_named(option), hint=f"it takes {_SPAN_LENGTH} bytes")
        case _T.TAG | _T.AUTO_THROTTLE_TAG if len(text) > _TAG_LENGTH:
            raise transaction_error(2110, option=_named(option), value=text[:40], most=_TAG_LENGTH)
        case _T.IDEMPOTENCY_ID if len(text) not in _IDEMPOTENCY_LENGTHS:
            raise InvalidOption(option=_named(option), hint="an idempotency id has 16 to 255 bytes")


def _named(option: TransactionOption | DatabaseOption) -> str:
    return option.name.lower()


def _number(name: str, value: OptionValue, low: int, high: int) -> int:
    if isinstance(value, bytes) and len(value) == 8:  # as FoundationDB's C API takes it
        value = int.from_bytes(value, "little", signed=True)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidOptionValue(option=name, value=value, hint=f"it takes an integer from {low} to {high}")
    return value


def _text(name: str, value: OptionValue) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, bytes):
        raise InvalidOptionValue(option=name, value=value, hint="it takes a string or bytes")
    return value


def _refuse_any(name: str, value: OptionValue) -> None:
    if value is not None:
        raise InvalidOptionValue(option=name, value=value, hint="it takes no value")
