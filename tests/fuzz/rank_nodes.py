"""Ranked sets in which pairs are not what they were: ranks, scores and leaderboards are answered or refused, and
checked; nothing is sought without end."""

from __future__ import annotations

from collections.abc import Iterable

from recordlayer.errors import RecordLayerError
from tests.fuzz.damage import Damaged
from tests.fuzz.harness import Target

STORES = (
    Damaged(("ranked",), ("ranks",)),
    Damaged(("ranked_apart",), ("ranks of groups",)),
    Damaged(("board",), ("leaderboard",)),
)


def check(data: bytes) -> None:
    """The first byte says which index it is about."""
    STORES[data[0] % 3 if data else 0].ask(data[1:])


def hints() -> Iterable[bytes]:
    for place, store in enumerate(STORES):
        yield from store.hints(12, place)


TARGET = Target("rank_nodes", check, (RecordLayerError,), hints=hints)
