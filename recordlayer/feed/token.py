"""Tokens: where a reader of a feed is, as opaque bytes.

A token belongs to one feed, by the id that the feed was given when it was switched on, and to one group or to the whole
of it. It may be kept for as long as changes are kept; it goes with a store that is moved. Of a store that was copied,
and not moved, both have the same feed from before: let only one of the two be followed with tokens of that time.

Layout  a protobuf message: {1 form, 2 what it is for, 3 id of the feed, 4 digest of the store's prefix, 5 packed group,
        6 position, 7 where a pass over groups is, 8 where that pass ends, 9 check}. A seal makes it unreadable and
        unforgeable: `cursor.sealing`
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields, number_field
from recordlayer.errors import BadContinuation, BadFeedToken, FeedTokenExpired
from recordlayer.store.change_layout import ID_BYTES, POSITION_BYTES
from recordlayer.store.store import RecordStore

FORM = 1
DIGEST_BYTES = 8


class Purpose(enum.IntEnum):
    """What a token leads to."""

    CHANGES = 1
    GROUPS = 2
    VERSIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token's content. `feed` is what it is bound to beside the store; `place`, `until` are of a pass over groups."""

    purpose: Purpose
    feed: bytes
    group: bytes | None
    position: bytes
    place: bytes | None = None
    until: bytes | None = None

    def encoded(self, store: RecordStore) -> bytes:
        body = encode_fields(
            {
                1: FORM,
                2: self.purpose,
                3: self.feed,
                4: digest(store.layout.prefix),
                5: self.group,
                6: self.position,
                7: self.place,
                8: self.until,
            }
        )
        return body + encode_fields({9: digest(body)})

    @classmethod
    def decode(cls, data: bytes, store: RecordStore, purpose: Purpose, feed: bytes, group: bytes | None) -> Token:
        """The content of a token that leads to what is asked for.

        Raises  BadFeedToken; FeedTokenExpired for one of an earlier feed of the same store.
        """
        try:
            fields = decode_fields(data, known=9)
            check, found = bytes_field(fields, 9), bytes_field(fields, 3)
            position, owner = bytes_field(fields, 6), bytes_field(fields, 4)
            place, until, its_group = bytes_field(fields, 7), bytes_field(fields, 8), bytes_field(fields, 5)
            form, found_purpose = number_field(fields, 1), number_field(fields, 2)
        except BadContinuation as error:
            raise BadFeedToken(reason=error.fields.get("reason"), hint="keep tokens as the bytes they are") from error
        if form != FORM:
            raise BadFeedToken(form=form, hint="it is of another form: of a newer release?")
        whole = check is not None and digest(data[: -len(encode_fields({9: check}))]) == check
        parts = len(found or b"") == ID_BYTES and len(position or b"") == POSITION_BYTES and owner is not None
        if not whole or not parts or len(until or bytes(POSITION_BYTES)) != POSITION_BYTES:
            raise BadFeedToken(reason="it is damaged or cut off", hint="keep tokens as the bytes they are")
        assert found is not None, "it was measured"
        assert position is not None, "it was measured"
        if found != feed and owner != digest(store.layout.prefix):
            raise BadFeedToken(reason="it belongs to another store")
        if found_purpose != purpose or its_group != group:
            raise BadFeedToken(reason="it was given for something else", hint="resume with the same group and call")
        if found != feed:
            raise FeedTokenExpired(reason="the feed was begun anew since")
        return cls(purpose=purpose, feed=feed, group=its_group, position=position, place=place, until=until)


def digest(data: bytes) -> bytes:
    """What tells damage, and nothing more."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
