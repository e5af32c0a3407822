"""What commits replaced under one key, in one bytes object.

A chain is a run of entries with ascending versions: version of a commit, the value it replaced or that there was none,
whether the write counts for conflicts. There are hundreds of thousands of chains; as bytes in a dict they take half the
room, and the garbage collector, which would have to look at every tuple, does not see them at all.

Layout  one entry   version (8, big endian), flags (1), value
        several     version of the last entry (8), MANY (1), how many (4), where the ends begin to count (8), then for
                    each entry version (8), flags (1), end of its value (8); then the values
        So a chain compares with the 8 bytes of a version as its newest entry does.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

Chain = bytes

_LOUD, _PRESENT, _MANY = 1, 2, 128


class _Current:
    """Stands for "the base has it": None is a value, that of an absent key."""


CURRENT: Final = _Current()

_HEAD = Struct(">QB")
_MANY_HEAD = Struct(">QBIQ")
_ENTRY = Struct(">QBQ")
_VALUE_AT, _TABLE_AT, _STEP = _HEAD.size, _MANY_HEAD.size, _ENTRY.size


def chain_of(version: int, old: bytes | None, *, loud: bool) -> Chain:
    """A chain of one entry."""
    if old is None:
        return _HEAD.pack(version, _LOUD if loud else 0)
    return _HEAD.pack(version, (_LOUD if loud else 0) | _PRESENT) + old


def newest_of(chain: Chain) -> int:
    """The version of the last entry."""
    return int.from_bytes(chain[:8], "big")


def length_of(chain: Chain) -> int:
    """How many entries a chain has."""
    count: int = _MANY_HEAD.unpack_from(chain)[2] if chain[8] == _MANY else 1
    return count


def first_after(chain: Chain, version: int) -> object:
    """The value in the first entry after `version`, or CURRENT if there is none."""
    if chain < (version + 1).to_bytes(8, "big"):
        return CURRENT
    flags = chain[8]
    if flags != _MANY:
        return chain[_VALUE_AT:] if flags & _PRESENT else None
    _, _, count, base = _MANY_HEAD.unpack_from(chain)
    at = _find(chain, version, count)
    _, flags, end = _ENTRY.unpack_from(chain, at)
    if not flags & _PRESENT:
        return None
    start = base if at == _TABLE_AT else _ENTRY.unpack_from(chain, at - _STEP)[2]
    values = _TABLE_AT + count * _STEP - base
    return chain[values + start : values + end]


def loud_after(chain: Chain, version: int) -> bool:
    """Whether an entry after `version` counts for conflicts."""
    if chain < (version + 1).to_bytes(8, "big"):
        return False
    flags = chain[8]
    if flags != _MANY:
        return bool(flags & _LOUD)
    count = _MANY_HEAD.unpack_from(chain)[2]
    table_end = _TABLE_AT + count * _STEP
    return any(chain[at + 8] & _LOUD for at in range(_find(chain, version, count), table_end, _STEP))


def before_last(chain: Chain) -> int:
    """The version of the last entry but one; 0 if there is only one."""
    if chain[8] != _MANY:
        return 0
    count = _MANY_HEAD.unpack_from(chain)[2]
    version: int = _ENTRY.unpack_from(chain, _TABLE_AT + (count - 2) * _STEP)[0]
    return version


def appended(chain: Chain, version: int, old: bytes | None, *, loud: bool) -> Chain:
    """The chain with one more entry, which is newer than all before."""
    base, table, values = _parts(chain)
    old, present = (b"", 0) if old is None else (old, _PRESENT)
    entry = _ENTRY.pack(version, (_LOUD if loud else 0) | present, base + len(values) + len(old))
    head = _MANY_HEAD.pack(version, _MANY, len(table) // _STEP + 1, base)
    return b"".join((head, table, entry, values, old))


def with_last(chain: Chain, version: int, old: bytes | None, *, loud: bool) -> Chain:
    """The chain with another last entry. What the old one said of conflicts goes back to the one before it."""
    if chain[8] != _MANY:
        return chain_of(version, old, loud=loud)
    base, table, values = _parts(chain)
    was_loud = table[8 - _STEP] & _LOUD
    table = table[:-_STEP]
    end = _ENTRY.unpack_from(table, len(table) - _STEP)[2]
    shorter = _made(base, table, values[: end - base])
    return appended(made_loud(shorter) if was_loud else shorter, version, old, loud=loud)


def made_loud(chain: Chain) -> Chain:
    """The chain whose last entry counts for conflicts."""
    at = 8 if chain[8] != _MANY else _TABLE_AT + (length_of(chain) - 1) * _STEP + 8
    return chain[:at] + bytes([chain[at] | _LOUD]) + chain[at + 1 :]


def after(chain: Chain, version: int) -> Chain | None:
    """The entries after `version`; None if there are none."""
    if chain < (version + 1).to_bytes(8, "big"):
        return None
    if chain[8] != _MANY:
        return chain
    at = _find(chain, version, length_of(chain)) - _TABLE_AT
    if at == 0:
        return chain
    base, table, values = _parts(chain)
    start: int = _ENTRY.unpack_from(table, at - _STEP)[2]
    return _made(start, table[at:], values[start - base :])


def _find(chain: Chain, version: int, count: int) -> int:
    """Where the first entry after `version` stands in a chain of several, which has one."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if _ENTRY.unpack_from(chain, _TABLE_AT + middle * _STEP)[0] > version:
            high = middle
        else:
            low = middle + 1
    return _TABLE_AT + low * _STEP


def _parts(chain: Chain) -> tuple[int, bytes, bytes]:
    """Where the ends begin to count, the table, the values."""
    if chain[8] != _MANY:
        version, flags = _HEAD.unpack_from(chain)
        return 0, _ENTRY.pack(version, flags, len(chain) - _VALUE_AT), chain[_VALUE_AT:]
    _, _, count, base = _MANY_HEAD.unpack_from(chain)
    values = _TABLE_AT + count * _STEP
    return base, chain[_TABLE_AT:values], chain[values:]


def _made(base: int, table: bytes, values: bytes) -> Chain:
    version, flags, _ = _ENTRY.unpack_from(table, len(table) - _STEP)
    if len(table) == _STEP:
        return _HEAD.pack(version, flags) + values
    return _MANY_HEAD.pack(version, _MANY, len(table) // _STEP, base) + table + values
