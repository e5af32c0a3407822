"""What of a page of changes a subscription tells.

A query's filter is decided on the record as it is now. What a record was before it was deleted is not known any more:
deletions are told by the type alone, and a record that has ceased to match is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from recordlayer import RecordMetaData
from recordlayer.client.pb import subscriptions_pb2
from recordlayer.feed.change import Change
from recordlayer.query.evaluate import compiled
from recordlayer.store.change_layout import ChangeKind
from recordlayer_server import statuses
from recordlayer_server.contents import name_of
from recordlayer_server.filters import Filters, record_types
from recordlayer_server.limits import Limits

Event = subscriptions_pb2.ReceiveReply.Event
_Matches = Callable[[Any, Any], bool | None]


def check(said: subscriptions_pb2.Subscription, metadata: RecordMetaData, limits: Limits) -> None:
    """Raises  Refusal if a query is about something that the container does not have."""
    if said.WhichOneof("kind") == "query":
        _matches(said.query, metadata, limits)


def events_of(
    said: subscriptions_pb2.Subscription, changes: Iterable[Change], metadata: RecordMetaData, limits: Limits
) -> list[Event]:
    """The events, in the order of the changes.  Raises  Refusal if the schema has no place for the query any more."""
    wanted, matches = "", None
    if said.WhichOneof("kind") == "query":
        wanted, matches = said.query.record_type, _matches(said.query, metadata, limits)
    told: list[Event] = []
    for change in changes:
        if change.kind is ChangeKind.CLEAR and len(change.primary_key) < 2:
            cleared = Event(kind=Event.CLEARED)
            if change.primary_key:
                cleared.name.zone.name = change.primary_key[0]
            told.append(cleared)
            continue
        event = Event(name=name_of(change.primary_key))
        record = change.new
        if record is None:
            event.kind, event.record_type = Event.DELETED, change.old_type or change.record_type
        else:
            event.kind, event.record_type = Event.SAVED, record.record_type.name
        if wanted and event.record_type != wanted:
            continue
        if record is not None and matches is not None and matches(record.message, record) is not True:
            continue
        told.append(event)
    return told


def _matches(query: subscriptions_pb2.Subscription.Query, metadata: RecordMetaData, limits: Limits) -> _Matches | None:
    """Decides on a record of the query's type; None: all of them.  Raises  Refusal."""
    if not query.record_type:
        raise statuses.bad_request("subscription.query.record_type", "name a record type")
    [name] = record_types([query.record_type], metadata)
    if not query.HasField("filter"):
        return None
    record_type = metadata.record_type(name)
    condition = Filters(record_type.descriptor, limits).condition(query.filter, "subscription.query.filter")
    return compiled(condition, record_type)
