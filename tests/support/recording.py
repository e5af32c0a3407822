"""An observer that keeps what it is told, and events to tell it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from recordlayer.observe import events as kinds
from recordlayer.observe.events import Bytes, Counts, Event, Origin, Outcome, Place

E = TypeVar("E", bound=Event)

MS = timedelta(milliseconds=1)
ORIGIN = Origin(transaction=7, attempt=2, work="checkout", tags=("web",), database="memory:")
BY_CUSTOMER = Place("/shop/acme", "index", "order_by_customer")
RECORDS = Place("/shop/acme", "records")
COUNTS = Counts(reads=3, empty=1, rows=2, read=Bytes(90), writes=2, clears=1, written=Bytes(40))


class Recording:
    """Keeps every event; `kinds` limits what it wants."""

    def __init__(self, *kinds: type[Event]) -> None:
        self.kinds = kinds
        self.events: list[Event] = []

    def wants(self, kind: type[Event]) -> bool:
        return not self.kinds or kind in self.kinds

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if type(event) is kind]

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


_SAMPLES: dict[str, Any] = {
    "took": 250 * MS,
    "waited": 30 * MS,
    "age": 12_000 * MS,
    "outcome": Outcome.COMMITTED,
    "counts": COUNTS,
    "places": {BY_CUSTOMER: COUNTS, RECORDS: COUNTS},
    "place": BY_CUSTOMER,
    "key": b"\x02ana\x00",
    "begin": b"a",
    "end": b"b\xff",
    "ranges": ((b"a", b"b"),),
    "conflicts": ("record 1 of Order in /shop/acme",),
    "plan": "Scan order_by_customer",
    "query": 'Order where customer = "ana"',
    "store": "/shop/acme",
    "index": "order_by_customer",
    "error": "conflict",
    "opened": "shop.py:12 in checkout",
    "stopped": "limit_reached",
}


def sample(kind: type[E]) -> E:
    """An event of a kind, with something in each field."""
    values: dict[str, Any] = {}
    for name in kind.__dataclass_fields__:
        values[name] = ORIGIN if name == "origin" else _SAMPLES.get(name, 3)
    return kind(**values)


ALL = [sample(kind) for kind in kinds.KINDS]
