"""Nodes of R-trees: read or refused, read as they were written; and trees with such nodes are searched and checked."""

from __future__ import annotations

from collections.abc import Iterable

from recordlayer.errors import MalformedTuple, RecordLayerError
from recordlayer.index.rtree_slots import Child, Item, _decoded, _decoded_slowly, encode, slot_key, slot_of, slot_value
from tests.fuzz.damage import Damaged
from tests.fuzz.harness import Target

NODE, PAIRS = 0, 1
"""What the first byte of an input is: of a node alone, or of changed pairs of the first store; 2 is of the second."""

STORES = (Damaged(("place",), ("space",)), Damaged(("places",), ("spaces of groups",)))


def check(data: bytes) -> None:
    if data[:1] > bytes((NODE,)):
        STORES[(data[0] - PAIRS) % 2].ask(data[1:])
        return
    try:
        leaf, slots = _decoded(data[1:])
    except (ValueError, TypeError, IndexError) as refusal:  # `fetch` makes one error of them
        raise MalformedTuple(found=str(refusal)) from refusal
    assert shown(_decoded_slowly(data[1:])[1]) == shown(slots), "the fast reader reads what the careful one does"
    written = encode(slots, leaf=leaf, stores_hilbert=True)
    assert shown(_decoded(written)[1]) == shown(slots)
    for slot in slots:
        again = slot_of(slot_key(slot, stores_hilbert=True), slot_value(slot))
        assert shown([again]) == shown([slot])


def shown(slots: Iterable[Item | Child]) -> list[tuple[bytes, ...]]:
    return [
        (one.order, one.value) if isinstance(one, Item) else (one.first, one.last, one.id, one.box) for one in slots
    ]


def seeds() -> Iterable[bytes]:
    items = [Item.of((number, 5), (number, "x"), (None, 1.5)) for number in (-9, 0, 700)]
    yield bytes((NODE,)) + encode(items, leaf=True, stores_hilbert=True)
    yield bytes((NODE,)) + encode(items, leaf=True, stores_hilbert=False)
    children = [Child.of(items[0].order, items[1].order, b"n\x00" * 8, (-9, 5), (700, 5))]
    yield bytes((NODE,)) + encode(children, leaf=False, stores_hilbert=True)


def hints() -> Iterable[bytes]:
    for place, store in enumerate(STORES, PAIRS):
        yield from store.hints(5, place)


TARGET = Target("rtree_nodes", check, (RecordLayerError,), seeds, hints)
