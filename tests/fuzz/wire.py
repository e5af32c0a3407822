"""Changes of protobuf messages that leave them messages: a field more, fewer, moved, or with another value, at any
depth; so that what is fuzzed is behind the parser."""

from __future__ import annotations

import random
from dataclasses import dataclass

from recordlayer.cursor.continuation import read_varint, varint
from recordlayer.errors import BadContinuation

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_SIZES = {_EIGHT: 8, _FOUR: 4}
_NUMBERS = (0, 1, 2, 7, 100, 0x7F, 0x80, 0xFFFF, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_TEXTS = (b"", b"a", b"\0", b"\xff", b"x" * 300, b"$", b"..", "\U0001f600".encode(), b"title", b"p0")
_DEEPEST = 12


@dataclass
class _Field:
    number: int
    kind: int
    value: int | bytes
    inside: list[_Field] | None = None


def changed(data: bytes, chance: random.Random) -> bytes:
    """A message like this one; the same bytes where they are none."""
    fields = _parsed(data)
    if fields is None:
        return data
    for _ in range(chance.choice((1, 1, 2, 3))):
        _change(fields, chance)
    return _written(fields)


def _parsed(data: bytes, depth: int = 0) -> list[_Field] | None:
    fields: list[_Field] = []
    at = 0
    try:
        while at < len(data):
            tag, at = read_varint(data, at)
            kind = tag & 7
            value: int | bytes
            if kind == _VARINT:
                value, at = read_varint(data, at)
                fields.append(_Field(tag >> 3, kind, value))
                continue
            if kind == _BYTES:
                size, at = read_varint(data, at)
            elif kind in _SIZES:
                size = _SIZES[kind]
            else:
                return None
            value = data[at : at + size]
            if len(value) < size or not tag >> 3:
                return None
            at += size
            inside = _parsed(value, depth + 1) if kind == _BYTES and value and depth < _DEEPEST else None
            fields.append(_Field(tag >> 3, kind, value, inside))
    except BadContinuation:  # a number that does not end
        return None
    return fields


def _written(fields: list[_Field]) -> bytes:
    parts = []
    for one in fields:
        parts.append(varint(one.number << 3 | one.kind))
        if isinstance(one.value, int):
            parts.append(varint(one.value))
            continue
        value = one.value if one.inside is None else _written(one.inside)
        parts.append((varint(len(value)) if one.kind == _BYTES else b"") + value)
    return b"".join(parts)


def _change(fields: list[_Field], chance: random.Random) -> None:
    if not fields:
        fields.append(_Field(chance.randrange(1, 20), _BYTES, chance.choice(_TEXTS)))
        return
    at = chance.randrange(len(fields))
    one = fields[at]
    if one.inside is not None and chance.random() < 0.75:
        _change(one.inside, chance)
        return
    match chance.randrange(7):
        case 0:
            del fields[at]
        case 1:
            fields.insert(chance.randrange(len(fields) + 1), _copied(one))
        case 2:
            one.number = chance.randrange(1, 24)
        case 3:
            fields.append(_Field(chance.randrange(1, 24), _VARINT, chance.choice(_NUMBERS)))
        case 4:
            fields.append(_Field(chance.randrange(1, 24), _BYTES, chance.choice(_TEXTS)))
        case _:
            _give(one, chance)


def _give(one: _Field, chance: random.Random) -> None:
    """Another value."""
    if isinstance(one.value, int):
        one.value = chance.choice((*_NUMBERS, one.value ^ 1, (one.value + 1) & ((1 << 64) - 1)))
    elif one.kind == _BYTES:
        near = bytearray(one.value)
        if near and chance.random() < 0.5:
            near[chance.randrange(len(near))] ^= 1 << chance.randrange(8)
            one.value = bytes(near)
        else:
            one.value = chance.choice(_TEXTS)
        one.inside = None
    else:
        one.value = chance.choice((bytes(len(one.value)), b"\xff" * len(one.value), chance.randbytes(len(one.value))))


def _copied(one: _Field) -> _Field:
    inside = None if one.inside is None else [_copied(each) for each in one.inside]
    return _Field(one.number, one.kind, one.value, inside)
