"""What of a page of changes a subscription tells.

A query's filter is decided on the record as it is now. What a record was before is not in the feed: whether one that
does not match has matched is known from `remembering`, and where that cannot say it is told as if it had.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from recordlayer import RecordMetaData, StoredRecord
from recordlayer.client.pb import subscriptions_pb2
from recordlayer.feed.change import Change
from recordlayer.query.evaluate import compiled
from recordlayer.store.change_layout import ChangeKind
from recordlayer_server import statuses
from recordlayer_server.contents import name_of
from recordlayer_server.filters import Filters, record_types
from recordlayer_server.limits import Limits

Event = subscriptions_pb2.ReceiveReply.Event


@dataclass(frozen=True, slots=True)
class Condition:
    """What a query asks of records. `matches` is None where it asks for all of a type."""

    record_type: str
    matches: Callable[[Any, Any], bool | None] | None

    def holds(self, record: StoredRecord | None) -> bool:
        if record is None or record.record_type.name != self.record_type:
            return False
        return self.matches is None or self.matches(record.message, record) is True


@dataclass(slots=True)
class Memory:
    """What is to be remembered once the changes of a page count as told.

    forget  everything that was remembered goes first
    held    whether each record is remembered then, by name
    """

    forget: bool = False
    held: dict[str, bool] = field(default_factory=dict)

    def clear(self) -> None:
        self.forget = True
        self.held.clear()


def remembers(said: subscriptions_pb2.Subscription) -> bool:
    """Whether it has to be remembered what was told: of a query with a filter."""
    return said.WhichOneof("kind") == "query" and said.query.HasField("filter")


def condition_of(said: subscriptions_pb2.Subscription, metadata: RecordMetaData, limits: Limits) -> Condition | None:
    """What a query asks; None for subscriptions to everything in a zone or database.

    Raises  Refusal if it is about something that the container does not have.
    """
    if said.WhichOneof("kind") != "query":
        return None
    if not said.query.record_type:
        raise statuses.bad_request("subscription.query.record_type", "name a record type")
    [name] = record_types([said.query.record_type], metadata)
    if not said.query.HasField("filter"):
        return Condition(name, None)
    record_type = metadata.record_type(name)
    asked = Filters(record_type.descriptor, limits).condition(said.query.filter, "subscription.query.filter")
    return Condition(name, compiled(asked, record_type))


def doubtful(changes: Iterable[Change], condition: Condition) -> list[str]:
    """Names of the records that do not match now and may have: which of them did has to be known."""
    return [
        str(change.primary_key[1])
        for change in changes
        if change.folded is not None
        and condition.record_type in change.folded.types
        and not condition.holds(change.new)
    ]


def told(
    changes: Sequence[Change],
    condition: Condition | None,
    known: Collection[str] = (),
    *,
    known_from: tuple[int, int] = (0, 0),
) -> tuple[list[Event], Memory]:
    """The events, in the order of the changes, and what is remembered behind them.

    known       of the doubtful ones, those that matched
    known_from  incarnation and version up to which it was not known which match
    """
    events: list[Event] = []
    memory = Memory()
    for change in changes:
        if change.kind is ChangeKind.CLEAR and len(change.primary_key) < 2:
            cleared = Event(kind=Event.CLEARED)
            if change.primary_key:
                cleared.name.zone.name = change.primary_key[0]
            events.append(cleared)
            known = ()
            memory = Memory(forget=True)
            continue
        record = change.new
        kind = Event.DELETED if record is None else Event.SAVED
        record_type = change.old_type or change.record_type if record is None else record.record_type.name
        if condition is not None:
            name = str(change.primary_key[1])
            found, held = _judged(change, condition, known=name in known, known_from=known_from)
            if held is not None:
                memory.held[name] = held
            if found is None:
                continue
            kind, record_type = found, condition.record_type
        events.append(Event(kind=kind, name=name_of(change.primary_key), record_type=record_type))
    return events, memory


def _judged(
    change: Change, condition: Condition, *, known: bool, known_from: tuple[int, int]
) -> tuple[Event.Kind | None, bool | None]:
    """What a query's subscription tells of a change, None for nothing; and whether the record is remembered behind it,
    None to leave that as it is."""
    exact = condition.matches is not None
    if condition.holds(change.new):
        return Event.SAVED, True if exact else None
    folded = change.folded
    if folded is None or condition.record_type not in folded.types:
        return None, None
    gone = Event.DELETED if change.new is None else Event.LEFT
    if not exact:
        return gone, None  # it was of this type: the feed says so
    commit = int.from_bytes(change.position[4:12], "big")
    if known or folded.commits > 1 or (change.incarnation, commit) <= known_from:
        return gone, not folded.settled
    return None, None if folded.settled else True
