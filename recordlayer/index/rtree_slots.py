"""Slots of R-tree nodes: items and children, as the bytes that are stored.

A slot's place in the order of its tree is a piece of its bytes: tuples are packed so that bytes sort as tuples do, and
the Hilbert value comes first, then the key. So slots are compared, moved and stored again without being unpacked; that
is done when somebody looks at a point.

Layout  see `index.rtree_nodes`
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from recordlayer.errors import MalformedTuple
from recordlayer.index.hilbert import hilbert_value
from recordlayer.tuples import pack, unpack

Items = tuple[Any, ...]

NULL = -(1 << 63) - 1
"""Where a null stands among the coordinates of a box."""


def hilbert_size(order: bytes) -> int:
    """How many bytes the Hilbert value takes at the beginning of a place."""
    code = order[0]
    if code == 0x1D:
        return 2 + order[1]
    if 0x14 <= code <= 0x1C:
        return 1 + code - 0x14
    raise MalformedTuple(found="no Hilbert value", code=code)


class Item:
    """A point with what is kept there.

    order  its place: the elements of the Hilbert value and of the key, (point, suffix)
    value  the element of the value, a tuple
    """

    __slots__ = ("_key", "order", "value")

    def __init__(self, order: bytes, value: bytes) -> None:
        self.order = order
        self.value = value
        self._key: tuple[Items, Items] | None = None

    @classmethod
    def of(cls, point: Items, suffix: Items, value: Items = ()) -> Item:
        made = cls(pack((hilbert_value(point), (point, suffix))), pack((value,)))
        made._key = point, suffix
        return made

    @property
    def hilbert(self) -> int:
        (value,) = unpack(self.order[: hilbert_size(self.order)])
        return int(value)

    @property
    def packed(self) -> bytes:
        """The key, packed."""
        return self.order[hilbert_size(self.order) + 1 : -1]

    @property
    def key(self) -> tuple[Items, Items]:
        if self._key is None:
            point, suffix = _tuples_in(self.packed, 2)
            if not _NUMBERS.issuperset(map(type, point)):
                raise MalformedTuple(found="a point that is none", point=point)
            self._key = point, suffix
        return self._key

    @property
    def point(self) -> Items:
        return self.key[0]

    @property
    def suffix(self) -> Items:
        return self.key[1]

    @property
    def columns(self) -> Items:
        """The columns of the value."""
        columns: Items
        (columns,) = _tuples_in(self.value, 1)
        return columns


class Child:
    """What an inner node knows of a node below: the places of its first and last, its id, and the box around it."""

    __slots__ = ("_sides", "box", "first", "id", "last")

    def __init__(self, first: bytes, last: bytes, node_id: bytes, box: bytes) -> None:
        self.first = first
        self.last = last
        self.id = node_id
        self.box = box
        self._sides: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    @classmethod
    def of(cls, first: bytes, last: bytes, node_id: bytes, low: Sequence[int], high: Sequence[int]) -> Child:
        box = tuple([None if number == NULL else number for number in (*low, *high)])
        made = cls(first, last, node_id, pack((box,)))
        made._sides = tuple(low), tuple(high)
        return made

    @property
    def sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The lows and the highs of its box."""
        if self._sides is None:
            (box,) = _tuples_in(self.box, 1)
            if len(box) % 2 or not _NUMBERS.issuperset(map(type, box)):
                raise MalformedTuple(found="a box that is none", box=box)
            numbers = as_numbers(box)
            half = len(numbers) // 2
            self._sides = numbers[:half], numbers[half:]
        return self._sides

    def same(self, other: Child) -> bool:
        return (self.first, self.last, self.box) == (other.first, other.last, other.box)


Slot = Item | Child


_NUMBERS = frozenset((int, type(None)))
"""Types of coordinates."""


def _tuples_in(packed: bytes, size: int) -> Items:
    """So many tuples, packed.  Raises  MalformedTuple."""
    found = unpack(packed)
    if len(found) != size or {type(one) for one in found} != {tuple}:
        raise MalformedTuple(found="no tuples where some belong", wanted=size)
    return found


def as_numbers(coordinates: Iterable[int | None]) -> tuple[int, ...]:
    """Coordinates with a number for null."""
    return tuple([NULL if number is None else number for number in coordinates])


# -- whole nodes -------------------------------------------------------------------------------------------------------

_INT = rb"\x14|" + b"|".join(
    rb"[%b%b].{%d}" % (_low, _high, size)
    for size, _low, _high in (
        (size, re.escape(bytes((0x14 - size,))), re.escape(bytes((0x14 + size,)))) for size in range(1, 9)
    )
)
_BIG = b"|".join(rb"\x1d%b.{%d}" % (re.escape(bytes((size,))), size) for size in range(9, 129))
_TEXT = rb"[\x01\x02](?:[^\x00]|\x00\xff)*+\x00"
_FLAT = rb"(?:%b|%b|\x00\xff|\x20.{4}|\x21.{8}|[\x26\x27]|\x30.{16}|\x33.{12})" % (_INT, _TEXT)
_TUPLE = rb"\x05%b*+\x00" % _FLAT
_NESTED = rb"\x05(?:%b|%b)*+\x00" % (_FLAT, _TUPLE)
_ORDER = rb"(?:%b|%b)\x05%b%b\x00" % (_BIG, _INT, _TUPLE, _NESTED)
_ID = rb"\x01(?:[^\x00]|\x00\xff)*+\x00"

_LEAF_SLOT = rb"\x05(%b)(%b)\x00" % (_ORDER, _NESTED)
_INNER_SLOT = rb"\x05(%b)(%b)(%b)(%b)\x00" % (_ORDER, _ORDER, _ID, _TUPLE)
_TWO_ORDERS = rb"(%b)(%b)" % (_ORDER, _ORDER)


@cache
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    """On first use: it takes milliseconds, and few stores have such an index."""
    return re.compile(pattern, re.DOTALL)


LEAF, INNER = b"\x14", b"\x15\x01"
"""The kinds of nodes, packed."""

Decoded = tuple[bool, tuple[Any, ...]]

_RECENT: dict[bytes, Decoded] = {}
_MOST_RECENT, _LARGEST = 512, 1 << 13
"""Nodes that are remembered by what is stored of them, and the bytes that one may have: those near the root of a tree
are read for each change. Some megabytes at most."""


def decode(value: bytes) -> Decoded:
    """Whether a stored node is a leaf, and its slots.  Raises  MalformedTuple, ValueError."""
    found = _RECENT.get(value)
    if found is None:
        found = _decoded(value)
        remember(value, found)
    return found


def remember(value: bytes, decoded: Decoded) -> None:
    """Know what this value of a node holds."""
    if len(value) > _LARGEST:
        return
    if len(_RECENT) >= _MOST_RECENT:
        _RECENT.clear()
    _RECENT[value] = decoded


def _decoded(value: bytes) -> Decoded:
    leaf = value.startswith(LEAF)
    start = 1 if leaf else 2
    slots: list[Slot]
    if leaf:
        groups = _compiled(_LEAF_SLOT).findall(value, start + 1)
        slots = [Item(order, stored) for order, stored in groups]
        size = sum([len(order) + len(stored) + 2 for order, stored in groups])
    else:
        parts = _compiled(_INNER_SLOT).findall(value, start + 1)
        slots = [Child(first, last, _id_of(node_id), box) for first, last, node_id, box in parts]
        size = sum([len(first) + len(last) + len(node_id) + len(box) + 2 for first, last, node_id, box in parts])
    if size and start + 1 + size + 1 == len(value) and (leaf or value.startswith(INNER)):
        return leaf, tuple(slots)
    return _decoded_slowly(value)


def _decoded_slowly(value: bytes) -> Decoded:
    """The same for anything: Hilbert values that are not stored, elements that are rare."""
    kind, stored = unpack(value)
    if not stored:
        raise MalformedTuple(found="a node without slots")
    slots: list[Slot] = []
    for slot in stored:
        if kind == 0:
            hilbert, (point, suffix), kept = slot
            order = pack((hilbert_value(point) if hilbert is None else hilbert, (point, suffix)))
            slots.append(Item(order, pack((kept,))))
        elif kind == 1:
            low_hilbert, least, high_hilbert, greatest, node_id, box = slot
            slots.append(Child(pack((low_hilbert, least)), pack((high_hilbert, greatest)), node_id, pack((box,))))
        else:
            raise MalformedTuple(found=f"a node of the unknown kind {kind}")
    return kind == 0, tuple(slots)


def encode(slots: Sequence[Any], *, leaf: bool, stores_hilbert: bool) -> bytes:
    """A node as it is stored."""
    parts = [LEAF if leaf else INNER, b"\x05"]
    for slot in slots:
        if not leaf:
            parts += (b"\x05", slot.first, slot.last, id_element(slot.id), slot.box, b"\x00")
        elif stores_hilbert:
            parts += (b"\x05", slot.order, slot.value, b"\x00")
        else:
            parts += (b"\x05\x00\xff", slot.order[hilbert_size(slot.order) :], slot.value, b"\x00")
    parts.append(b"\x00")
    return b"".join(parts)


def id_element(node_id: bytes) -> bytes:
    """A node's id as an element."""
    return b"\x01" + node_id.replace(b"\x00", b"\x00\xff") + b"\x00"


def _id_of(element: bytes) -> bytes:
    return element[1:-1].replace(b"\x00\xff", b"\x00")


# -- single slots ------------------------------------------------------------------------------------------------------


def slot_key(slot: Slot, *, stores_hilbert: bool) -> bytes:
    """A slot stored by itself: what follows the node's id in its key."""
    if isinstance(slot, Child):
        return INNER + slot.first + slot.last
    if stores_hilbert:
        return LEAF + slot.order
    return LEAF + b"\x00" + slot.order[hilbert_size(slot.order) :]


def slot_value(slot: Slot) -> bytes:
    return id_element(slot.id) + slot.box if isinstance(slot, Child) else slot.value


def slot_of(key: bytes, value: bytes) -> Slot:
    """A slot that was stored by itself.  Raises  MalformedTuple, ValueError."""
    if key.startswith(LEAF):
        if key[1] != 0:
            hilbert_size(key[1:])
            return Item(key[1:], value)
        point, _ = unpack(key[3:-1])
        return Item(pack((hilbert_value(point),)) + key[2:], value)
    if not key.startswith(INNER):
        raise MalformedTuple(found="a slot of an unknown kind")
    node_id, _ = unpack(value)
    box = value[len(id_element(node_id)) :]
    both = _compiled(_TWO_ORDERS).fullmatch(key, 2)
    if both is not None:
        return Child(both[1], both[2], node_id, box)
    low_hilbert, least, high_hilbert, greatest = unpack(key, 2)
    return Child(pack((low_hilbert, least)), pack((high_hilbert, greatest)), node_id, box)
