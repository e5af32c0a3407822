"""What will go: methods and fields with the day from which they may be gone, told to those who still use them.

Whoever uses one finds in the trailing metadata of the answer, for each,

    deprecated: /recordlayer.v1.Records/Lookup; sunset=2027-06-30; instead=/recordlayer.v1.Records/Find

and `sunset`, the earliest of these days, as RFC 8594 writes it. `SOON` is empty: nothing was ever taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import format_datetime
from typing import Any

from google.protobuf.message import Message

from recordlayer_server.call import current

DEPRECATED, SUNSET = "deprecated", "sunset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """Until when it is there, and what takes its place."""

    sunset: date
    instead: str


Table = Mapping[str, Going]
"""By the names of methods, "/recordlayer.v1.Records/Lookup", and of fields, "recordlayer.v1.LookupRequest.form"."""

SOON: Table = {}

Parse = Callable[[bytes], Any]


def noticing(parse: Parse | None, method: str) -> Parse | None:
    """The same parser, which lets the call that runs tell of what it uses that will go."""
    table = SOON
    if parse is None or not table:
        return parse

    def parsed(data: bytes) -> Any:
        message = parse(data)
        used = {method, *_fields(message)} & table.keys()
        if used:
            call = current()
            call.announces = announced(used | _said(call.announces), table)
        return message

    return parsed


def announced(used: set[str], table: Table) -> tuple[tuple[str, str], ...]:
    """The trailing metadata for what a call uses."""
    first = min(table[what].sunset for what in used)
    day = format_datetime(datetime(first.year, first.month, first.day, tzinfo=UTC), usegmt=True)
    told = [f"{what}; sunset={table[what].sunset}; instead={table[what].instead}" for what in sorted(used)]
    return (*((DEPRECATED, text) for text in told), (SUNSET, day))


def _said(announced: tuple[tuple[str, str], ...]) -> set[str]:
    """What a call was found to use before: a stream has many messages."""
    return {text.partition(";")[0] for name, text in announced if name == DEPRECATED}


def _fields(message: Message) -> Iterator[str]:
    """The full names of all fields that are set, at any depth."""
    for field, value in message.ListFields():
        yield field.full_name
        if field.message_type is not None:
            is_map = field.message_type.GetOptions().map_entry
            for one in value.values() if is_map else value if field.is_repeated else (value,):
                if isinstance(one, Message):
                    yield from _fields(one)
