"""What the service gives its callers sealed, continuations and tokens of Sync: what it has not sealed it refuses; and
what is inside of a seal of its own, whichever release wrote it, is read or refused."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta

from recordlayer.cursor.sealing import ContinuationSeal, Tenant
from recordlayer.errors import BadContinuation, ExpiredContinuation
from recordlayer_server.places import PRIVATE
from recordlayer_server.places import Tenant as Database
from recordlayer_server.statuses import Refusal
from recordlayer_server.sync.tokens import DatabaseToken, Phase, Tokens, ZoneToken
from tests.fuzz.harness import Target

ZONE, DATABASE, CONTINUATION, INSIDE = 0, 1, 2, 4
"""The first byte of an input: what it is to be, and a bit for what is sealed before it is opened."""

SEAL = ContinuationSeal({"a": bytes(32), "b": bytes(range(64))}, current="a", lifetime=timedelta(hours=1))
OWNER = Database("com.example.photos", 1, PRIVATE, "ana")
TOKENS = Tokens(SEAL, OWNER)
OTHERS = Tokens(SEAL, OWNER._replace(user="bo"))


def check(data: bytes) -> None:
    kind, token = data[0] if data else 0, data[1:]
    now = time.time()
    if kind & 3 == CONTINUATION:
        place = Tenant(name=b"store", now=now)
        if kind & INSIDE:
            sealed = SEAL.seal(token, place)
            assert SEAL.open(sealed, place) == token
            token = sealed
        opened = SEAL.open(token, place)
        assert SEAL.open(SEAL.seal(opened, place), place) == opened
        return
    if kind & INSIDE:
        token = SEAL.seal(token, Tenant(name=TOKENS._name, now=now))
    if not token:
        return  # whoever begins
    if kind & 1:
        database = TOKENS.of_database(token)
        assert database is not None
        assert TOKENS.of_database(TOKENS.database(database)) == database
    else:
        zone = TOKENS.of_zone(token, "z")
        assert zone is not None
        assert TOKENS.of_zone(TOKENS.zone(zone), "z") == zone
    try:
        OTHERS.of_database(token) if kind & 1 else OTHERS.of_zone(token, "z")
    except Refusal:
        return
    raise AssertionError("it opens another database")


def seeds() -> Iterable[bytes]:
    place, name = Tenant(name=b"store", now=time.time()), Tenant(name=TOKENS._name, now=time.time())
    zone = TOKENS.zone(ZoneToken(zone="z", incarnation=3, phase=Phase.COPY, feed=b"feed", after="n1"))
    database = TOKENS.database(DatabaseToken(records=b"r", zones=b""))
    yield bytes((ZONE,)) + zone
    yield bytes((DATABASE,)) + database
    yield bytes((CONTINUATION,)) + SEAL.seal(b"a place", place)
    yield bytes((ZONE | INSIDE,)) + SEAL.open(zone, name)
    yield bytes((DATABASE | INSIDE,)) + SEAL.open(database, name)
    yield bytes((CONTINUATION | INSIDE,)) + b"a place"


TARGET = Target("service_tokens", check, (Refusal, BadContinuation, ExpiredContinuation), seeds)
