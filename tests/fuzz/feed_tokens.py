"""Tokens of change feeds: any bytes lead nowhere or to a place in the feed they are for; a token whose check agrees,
whatever else it says, leads to no change from outside, and the token of its page to the rest."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import recordlayer as rl
from recordlayer.cursor.continuation import encode_fields
from recordlayer.errors import BadFeedToken, FeedTokenExpired
from recordlayer.feed.token import digest
from recordlayer.testing.clock import ManualClock
from tests.fuzz.harness import Target
from tests.support.shop import Order, builder

PLAIN, BY_GROUP, CHECKED = 1, 2, 4
"""Bits of the first byte of an input: 1 leads to changes of a group, 2 to the groups that have changed, 4 has its check
put right."""

METADATA = (
    rl.RecordMetaDataBuilder(builder().build().file)
    .primary_key("Order", rl.concat("customer", "id"))
    .primary_key("Customer", rl.concat("name", "id"))
    .build()
)
PATH = ("followed",)


@cache
def database() -> Any:
    db = rl.open("memory:", world=ManualClock().world())
    for number in range(6):
        with db.transaction() as tx:
            store = tx.store(METADATA, path=PATH, format_version=13)
            if not number:
                store.feed.enable(group_by=1)
            store.save(Order(id=number, customer="ab"[number % 2]))
    return db


def check(data: bytes) -> None:
    kind, token = data[0] if data else 0, data[1:]
    if kind & CHECKED:
        token += encode_fields({9: digest(token)})
    with database().transaction() as tx:
        feed = tx.store(METADATA, path=PATH).feed
        if kind & BY_GROUP:
            page = feed.groups_changed(since=token)
            rest = feed.groups_changed(since=page.token)
            assert {*page, *rest} <= {("a",), ("b",)}
        else:
            group = "a" if kind & PLAIN else None
            whole = [change.primary_key for change in feed.changes(group=group)]
            page = feed.changes(since=token, group=group, limit=2)
            rest = feed.changes(since=page.token, group=group)
            found = [change.primary_key for change in (*page, *rest)]
            assert found == whole[len(whole) - len(found) :]
        tx.cancel()


def seeds() -> Iterable[bytes]:
    with database().transaction() as tx:
        feed = tx.store(METADATA, path=PATH).feed
        tokens = {0: feed.oldest(), PLAIN: feed.oldest(group="a"), BY_GROUP: feed.groups_changed(limit=1).token}
        tokens[PLAIN | 8] = feed.now(group="a")
        tx.cancel()
    for kind, token in tokens.items():
        yield bytes((kind,)) + token
        yield bytes((kind | CHECKED,)) + token[: -len(encode_fields({9: bytes(8)}))]


TARGET = Target("feed_tokens", check, (BadFeedToken, FeedTokenExpired), seeds)
