"""FoundationDB's codes as errors of our tree."""

from __future__ import annotations

from recordlayer.errors import OtherTransactionError, TransactionError, transaction_error
from recordlayer.kv.fdb.native import Native


def error_of(native: Native, code: int) -> TransactionError:
    """Our error for a code that the client returned. One without a class of its own carries FoundationDB's words."""
    error = transaction_error(code)
    if type(error) is OtherTransactionError:
        return transaction_error(code, reason=words(native, code))
    return error


def words(native: Native, code: int) -> str:
    """What FoundationDB says about a code."""
    text: bytes = native.get_error(code)
    return text.decode(errors="replace")
