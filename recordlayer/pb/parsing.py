"""What protobuf raises for bytes that are not a message.

Its two implementations differ: for a text that is not UTF-8 upb gives bytes instead (or `DecodeError`, in proto3),
while the pure Python one raises `UnicodeDecodeError`.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

PARSE_ERRORS = (DecodeError, ValueError)
