"""Where the change feed of a store lies, and what its entries hold.

Layout  below S(255), S the prefix of the store:
        (0)                              state: {1 form, 2 id of the feed, 3 position up to which it was trimmed,
                                         4 records were there before it, 5 settings}
        (1, incarnation, stamp[, part])  changes of the whole store: all of them in a feed without groups, else those
                                         that concern several groups
        (2, *group, incarnation, stamp[, part])   changes of one group
        (3, *group)                      position of the last change of a group, without its local part
        (4)                              the same of the whole feed
        (5)                              the same of the changes that concern several groups
        (6, name, group)                 consumers: {1 position, 2 milliseconds since 1970}
        stamp is a Versionstamp: the version of the commit and the place within it, which is the order of operations.
        A position is incarnation (4 bytes), commit (10) and place (2), big-endian, so positions sort as entries do.
        The user field `recordlayer.change_feed` of the header holds the settings: {1 form, 2 id, 3 columns of a group,
        4 new images, 5 old images}. Whoever opens the store sees that it has a feed.
        An entry: 01, then {1 kind, 2 milliseconds since 1970, 3 packed primary key, or what those cleared begin with,
        4 record type, 5 new image, 6 old image, 7 reason, 8 record type before, where it is another}; images are as
        records are stored. A long one: 02, number of parts (2 bytes), its beginning; the rest is in the parts 1, 2...
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields, flag_field, number_field
from recordlayer.errors import BadContinuation, CorruptFeed
from recordlayer.kv.engine import KeyValue
from recordlayer.store.header import StoreHeader
from recordlayer.store.layout import Keyspace, StoreLayout
from recordlayer.tuples import pack, unpack

FEED = "recordlayer.change_feed"
"""The user field of the header that says that a store has a feed."""
FORM = 1
ID_BYTES = 16
POSITION_BYTES = 16
FIRST = bytes(POSITION_BYTES)
"""The position before all changes."""
PART_BYTES = 90_000
"""A value takes 100,000 bytes at most."""

_STAMP = b"\x33"
_UNSET = b"\xff" * 10
_LAST_PLACE = (4).to_bytes(4, "little")
_WHOLE, _LONG = b"\x01", b"\x02"
_PLACES = tuple(pack((number,)) for number in range(7))


class ChangeKind(enum.Enum):
    """What happened to records."""

    INSERT = 1
    UPDATE = 2
    DELETE = 3
    CLEAR = 4
    """All records whose primary keys begin with the change's are gone, whether there were any or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """How a feed is kept.

    id          of this feed: another one of the same store, after this was disabled, has another
    group_by    as many leading columns of the primary key make a group, 0 for a feed without groups
    new_images  entries hold the record as it was saved
    old_images  entries hold the record as it was before
    """

    id: bytes
    group_by: int = 0
    new_images: bool = False
    old_images: bool = False

    def serialized(self) -> bytes:
        return encode_fields({1: FORM, 2: self.id, 3: self.group_by, 4: int(self.new_images), 5: int(self.old_images)})

    @classmethod
    def parse(cls, data: bytes) -> FeedSettings:
        """Raises  CorruptFeed."""
        try:
            fields = decode_fields(data, known=5)
            identity = bytes_field(fields, 2)
            if number_field(fields, 1) != FORM or identity is None or len(identity) != ID_BYTES:
                raise BadContinuation(reason="they are of another form")
            return cls(
                id=identity,
                group_by=number_field(fields, 3),
                new_images=flag_field(fields, 4),
                old_images=flag_field(fields, 5),
            )
        except BadContinuation as error:
            hint = "written by a newer release?"
            raise CorruptFeed(settings=data, reason=error.fields.get("reason"), hint=hint) from error


def settings_in(header: StoreHeader) -> FeedSettings | None:
    """The settings of the store's feed, None if it has none.  Raises  CorruptFeed."""
    for field in header.message.user_field:
        if field.key == FEED:
            return _known_settings(bytes(field.value))
    return None


_known_settings = lru_cache(maxsize=1_000)(FeedSettings.parse)  # each opening of a store asks


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """What readers look at first.

    floor     entries up to this position may be gone; None if nothing was trimmed
    partial   there were records before the feed: its beginning is not the beginning of the store
    settings  a copy of those in the header, should that be lost
    """

    settings: FeedSettings
    floor: bytes | None = None
    partial: bool = False

    def serialized(self) -> bytes:
        settings = self.settings.serialized()
        return encode_fields({1: FORM, 2: self.settings.id, 3: self.floor, 4: int(self.partial), 5: settings})

    @classmethod
    def parse(cls, data: bytes) -> FeedState:
        """Raises  CorruptFeed."""
        try:
            fields = decode_fields(data, known=5)
            settings, floor = bytes_field(fields, 5), bytes_field(fields, 3)
            if number_field(fields, 1) != FORM or settings is None or len(floor or FIRST) != POSITION_BYTES:
                raise BadContinuation(reason="it is of another form")
            return cls(settings=FeedSettings.parse(settings), floor=floor, partial=flag_field(fields, 4))
        except BadContinuation as error:
            raise CorruptFeed(state=data, reason=error.fields.get("reason")) from error


class FeedLayout:
    """The keys of one store's feed."""

    __slots__ = ("_consumers", "_groups", "_lasts", "last", "last_wide", "prefix", "state", "wide")

    def __init__(self, layout: StoreLayout) -> None:
        self.prefix = layout.of(Keyspace.CHANGE_FEED)
        self.state, self.wide, self._groups, self._lasts, self.last, self.last_wide, self._consumers = (
            self.prefix + place for place in _PLACES
        )

    @property
    def groups(self) -> bytes:
        """What the positions of all groups' last changes begin with."""
        return self._lasts

    @property
    def consumers(self) -> bytes:
        return self._consumers

    @property
    def logs(self) -> bytes:
        """What the changes of all groups begin with."""
        return self._groups

    def log_of(self, group: bytes) -> bytes:
        """What the entries of a group begin with."""
        return self._groups + group

    def last_of(self, group: bytes) -> bytes:
        return self._lasts + group

    def consumer(self, name: str, group: bytes | None) -> bytes:
        return self._consumers + pack((name, group))


def key_of(log: bytes, position: bytes) -> bytes:
    """The key of the change at a position."""
    return log + pack((int.from_bytes(position[:4], "big"),)) + _STAMP + position[4:]


def behind(log: bytes, position: bytes) -> bytes:
    """The first key that a later change can have."""
    return log if position == FIRST else key_of(log, position) + b"\xff"


def head_of(incarnation: int) -> bytes:
    """What stands between what a log's entries begin with and their versions."""
    return pack((incarnation,)) + _STAMP


def operand_of(log: bytes, head: bytes, place: int) -> tuple[bytes, bytes]:
    """A key that the commit completes, and what says where its version stands. `head`: `head_of`."""
    begin = log + head
    return begin + _UNSET + place.to_bytes(2, "big"), len(begin).to_bytes(4, "little")


def last_of(incarnation: int) -> bytes:
    """What the commit makes the position of its last change."""
    return incarnation.to_bytes(4, "big") + _UNSET + _LAST_PLACE


def position_in(key: bytes, log: bytes) -> tuple[bytes, int]:
    """The position of an entry, and which part of it this is; 0 for the first.  Raises  CorruptFeed."""
    try:
        items = unpack(key, len(log))
        incarnation, stamp, *part = items
        return incarnation.to_bytes(4, "big") + stamp.to_bytes(), part[0] if part else 0
    except Exception as error:  # whatever lies there, it is no entry
        raise CorruptFeed(key=key, reason="its key is not one of a change") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change, as it is stored. `key` is the packed primary key, or what the keys that were cleared begin with."""

    kind: ChangeKind
    time: int
    key: bytes
    record_type: str = ""
    new: bytes | None = None
    old: bytes | None = None
    reason: str | None = None
    old_type: str | None = None

    def values(self) -> list[bytes]:
        """The value of the entry, and those of its parts."""
        return values_of(
            self.kind.value,
            self.time,
            self.key,
            self.record_type.encode() or None,
            new=self.new,
            old=self.old,
            reason=None if self.reason is None else self.reason.encode(),
            old_type=None if self.old_type is None else self.old_type.encode(),
        )

    @classmethod
    def parse(cls, values: list[bytes]) -> Entry:
        """Raises  CorruptFeed."""
        first = values[0]
        data = b"".join([first[3:], *values[1:]]) if first[:1] == _LONG else first[1:]
        try:
            fields = decode_fields(data, known=8)
            key = bytes_field(fields, 3)
            reason, old_type = bytes_field(fields, 7), bytes_field(fields, 8)
            return cls(
                kind=ChangeKind(number_field(fields, 1)),
                time=number_field(fields, 2),
                key=b"" if key is None else key,
                record_type=(bytes_field(fields, 4) or b"").decode(),
                new=bytes_field(fields, 5),
                old=bytes_field(fields, 6),
                reason=None if reason is None else reason.decode(),
                old_type=None if old_type is None else old_type.decode(),
            )
        except (BadContinuation, ValueError) as error:
            raise CorruptFeed(value=first[:40], reason=str(error)) from error

    def covers(self, key: bytes) -> bool:
        """Whether the record with this primary key is among those that were cleared."""
        size = len(self.key)
        return self.kind is ChangeKind.CLEAR and key.startswith(self.key) and key[size : size + 1] != b"\xff"


def values_of(
    kind: int,
    time: int,
    key: bytes,
    record_type: bytes | None,
    *,
    new: bytes | None = None,
    old: bytes | None = None,
    reason: bytes | None = None,
    old_type: bytes | None = None,
) -> list[bytes]:
    """`Entry.values`, from what its fields hold as numbers and bytes."""
    data = encode_fields({1: kind, 2: time, 3: key, 4: record_type, 5: new, 6: old, 7: reason, 8: old_type})
    if len(data) <= PART_BYTES:
        return [_WHOLE + data]
    parts = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
    return [_LONG + (len(parts) - 1).to_bytes(2, "big") + parts[0], *parts[1:]]


def parts_of(value: bytes, key: bytes) -> int:
    """How many pairs follow that belong to the same entry.  Raises  CorruptFeed."""
    if value[:1] == _WHOLE:
        return 0
    if value[:1] != _LONG or len(value) < 3:
        raise CorruptFeed(key=key, value=value[:40], reason="it is of another form", hint="of a newer release?")
    return int.from_bytes(value[1:3], "big")


def assembled(rows: Sequence[KeyValue], log: bytes) -> list[tuple[bytes, Entry, int]]:
    """The entries whose pairs are all there, each with its position and the number of its pairs.

    Raises  CorruptFeed.
    """
    entries: list[tuple[bytes, Entry, int]] = []
    at = 0
    while at < len(rows):
        key, value = rows[at]
        place, part = position_in(key, log)
        if part:
            raise CorruptFeed(key=key, reason="it is a part without a beginning")
        size = parts_of(value, key) + 1
        if at + size > len(rows):
            break
        for number in range(1, size):
            if rows[at + number][0] != key_of(log, place) + pack((number,)):
                raise CorruptFeed(key=key, reason="parts of it are missing")
        entries.append((place, Entry.parse([one for _, one in rows[at : at + size]]), size))
        at += size
    return entries
