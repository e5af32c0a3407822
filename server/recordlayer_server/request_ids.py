"""Ids for calls that come without one: 128 random bits each, as 32 hexadecimal digits."""

from __future__ import annotations

import os

_BYTES, _MANY = 16, 256

_drawn: list[str] = []  # a draw asks the system, which costs more than all else about an id: many at once
os.register_at_fork(after_in_child=_drawn.clear)  # or two processes would give the same ones


def new_id() -> str:
    try:
        return _drawn.pop()
    except IndexError:
        digits = os.urandom(_BYTES * _MANY).hex()
        _drawn.extend(digits[at : at + 2 * _BYTES] for at in range(0, len(digits), 2 * _BYTES))
        return _drawn.pop()
