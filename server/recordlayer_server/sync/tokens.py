"""Tokens of Sync: where a reader of a zone or of a database is.

A token is sealed with the keys of all servers for one database, which it names by container, environment, scope and
user: not by a place, so it goes with a database that is moved. It holds the library's token, which knows the store, its
feed and the incarnation of the store, and the incarnation of the zone; nothing of the schema. The seal has no end: how
old a token may be says the feed, which knows what was forgotten.

Layout  of an opened token: a tuple (form, kind, ...) with the fields of the class below
"""

from __future__ import annotations

import enum
import time
from dataclasses import astuple, dataclass
from typing import Any

from google.rpc import code_pb2

from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.cursor.sealing import Tenant as Sealed
from recordlayer.errors import BadContinuation, ExpiredContinuation, TupleError
from recordlayer.tuples import pack, unpack
from recordlayer_server import statuses
from recordlayer_server.places import Tenant

_FORM = 1
_ZONE, _DATABASE = 1, 2
_TYPES = {_ZONE: (str, int, int, bytes, str), _DATABASE: (bytes, bytes)}
"""What is behind form and kind."""


class Phase(enum.IntEnum):
    """What a reader of a zone does."""

    COPY = 1
    """Reads the records by name; the feed's token is of before the first of them."""
    FOLLOW = 2
    """Reads changes."""


@dataclass(frozen=True, slots=True)
class ZoneToken:
    """Where a reader of a zone is.

    incarnation  of the zone
    feed         the library's token; b"": the database keeps no changes yet
    after        while it copies, the last name that it has seen
    """

    zone: str
    incarnation: int
    phase: int
    feed: bytes = b""
    after: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseToken:
    """Where a reader of a database's zones is: the library's tokens of its records and of its zones, b"" where no
    changes are kept yet."""

    records: bytes
    zones: bytes


class Tokens:
    """Makes and reads the tokens of one database."""

    def __init__(self, seal: ContinuationSeal, tenant: Tenant) -> None:
        self._seal = seal
        self._name = b"sync\0" + pack(tuple(tenant))

    def zone(self, token: ZoneToken) -> bytes:
        return self._closed(_ZONE, token)

    def database(self, token: DatabaseToken) -> bytes:
        return self._closed(_DATABASE, token)

    def of_zone(self, data: bytes, zone: str) -> ZoneToken | None:
        """The token of a reader of this zone, None for one that begins.  Raises  Refusal."""
        if not data:
            return None
        token: ZoneToken = self._opened(_ZONE, data, ZoneToken)
        if token.zone != zone:
            raise _mismatch("the token is of another zone")
        return token

    def of_database(self, data: bytes) -> DatabaseToken | None:
        """Raises  Refusal."""
        if not data:
            return None
        token: DatabaseToken = self._opened(_DATABASE, data, DatabaseToken)
        return token

    def _closed(self, kind: int, token: Any) -> bytes:
        return self._seal.seal(pack((_FORM, kind, *astuple(token))), self._at())

    def _opened(self, kind: int, data: bytes, form: Any) -> Any:
        try:
            found = unpack(self._seal.open(data, self._at()))
        except ExpiredContinuation:
            raise expired("the key of its seal is gone") from None
        except (BadContinuation, TupleError):
            raise _mismatch("it is no token of this database") from None
        if found[:1] != (_FORM,):
            raise expired("it is of another release")
        if found[1:2] != (kind,):
            raise _mismatch("the token was given for something else")
        if tuple(map(type, found[2:])) != _TYPES[kind]:
            raise expired("it is of another release")
        return form(*found[2:])

    def _at(self) -> Sealed:
        return Sealed(name=self._name, now=time.time())


def expired(why: str) -> statuses.Refusal:
    """The reader begins anew, without a token."""
    text = f"what has changed since the token is not known any more: {why}"
    return statuses.refusal(code_pb2.OUT_OF_RANGE, "TOKEN_EXPIRED", text, why=why)


def _mismatch(text: str) -> statuses.Refusal:
    return statuses.refusal(code_pb2.INVALID_ARGUMENT, "TOKEN_MISMATCH", text)
