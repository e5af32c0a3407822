"""S6: each of the 21 comparators against brute force, over nulls, lists and Unicode."""

from __future__ import annotations

import math
import os
import random
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from recordlayer.client.pb import filter_pb2
from recordlayer.query.near import distance
from tests.support.service import Caller, calling, operation, photos, run, where

LONG = os.environ.get("RECORDLAYER_LONG_TESTS") == "1"
RECORDS, FILTERS = (400, 40) if LONG else (60, 4)

TEXTS = ["", "a", "ab", "abc", "Ab", "ä", "äb", "日本", "日", "a\U0001f600", "\U0001f600", "z" * 40, "e\u0301", "é"]
WORDS = ["red", "blue", "Grün", "sky", "日本", "boat"]
NUMBERS = [0, 1, -1, 7, 1 << 40, -(1 << 40), 255, 256]
REALS = [0.0, -0.0, 1.5, -1.5, 1e300, math.inf, -math.inf]

TIMES = [Timestamp(seconds=at, nanos=nanos) for at in (0, 1, -1, 1_700_000_000) for nanos in (0, 1, 500_000_000)]

Truth = bool | None
Held = dict[str, Any]


def some_photo(chance: random.Random) -> Held:
    """Fields of a record; about a third of them are not set."""
    made: Held = {
        "title": chance.choice(TEXTS),
        "rating": chance.choice(NUMBERS),
        "ratio": chance.choice(REALS),
        "hidden": chance.random() < 0.5,
        "hash": chance.choice(TEXTS).encode(),
        "kind": chance.choice(["PICTURE", "PANORAMA", "SCREENSHOT"]),
        "caption": " ".join(chance.choices(WORDS, k=chance.randrange(4))),
        "taken": chance.choice(TIMES),
        "place": (chance.uniform(-89, 89), chance.choice([179.9, -179.9, 0.0, chance.uniform(-180, 180)])),
    }
    made = {name: held for name, held in made.items() if chance.random() < 0.7}
    made["tags"] = chance.choices(TEXTS, k=chance.randrange(4))
    made["sizes"] = chance.choices(NUMBERS, k=chance.randrange(4))
    return made


# -- brute force: None is unknown --------------------------------------------------------------------------------------


def on_one(test: Callable[[Any, Any], bool]) -> Callable[[Held, str, Any], Truth]:
    return lambda held, name, given: None if name not in held else test(held[name], given)


def on_list(test: Callable[[list[Any], Any], bool]) -> Callable[[Held, str, Any], Truth]:
    return lambda held, name, given: test(held[name], given)


def opposite(truth: Callable[[Held, str, Any], Truth]) -> Callable[[Held, str, Any], Truth]:
    def decide(held: Held, name: str, given: Any) -> Truth:
        decided = truth(held, name, given)
        return None if decided is None else not decided

    return decide


def order(value: Any) -> Any:
    """Enums by number; times by seconds, then nanos; floats with -0.0 below 0.0; text by code point, as in Python."""
    if value in ("PICTURE", "PANORAMA", "SCREENSHOT"):
        return ["PICTURE", "PANORAMA", "SCREENSHOT"].index(value)
    if isinstance(value, Timestamp):
        return (value.seconds, value.nanos)
    return (value, math.copysign(1.0, value)) if isinstance(value, float) else value


def words_of(text: str) -> set[str]:
    folded = unicodedata.normalize("NFKD", text.lower())
    return set("".join(letter for letter in folded if not unicodedata.combining(letter)).split())


equals = on_one(lambda held, given: order(held) == order(given))
begins = on_one(lambda held, given: held.startswith(given))
among = on_one(lambda held, given: order(held) in [order(one) for one in given])
contains = on_list(lambda held, given: given in held)
contains_any = on_list(lambda held, given: any(one in held for one in given))
contains_all = on_list(lambda held, given: all(one in held for one in given))
member_begins = on_list(lambda held, given: any(one.startswith(given) for one in held))

TRUTHS: dict[str, Callable[[Held, str, Any], Truth]] = {
    "EQUALS": equals,
    "NOT_EQUALS": opposite(equals),
    "LESS_THAN": on_one(lambda held, given: order(held) < order(given)),
    "LESS_THAN_OR_EQUALS": on_one(lambda held, given: order(held) <= order(given)),
    "GREATER_THAN": on_one(lambda held, given: order(held) > order(given)),
    "GREATER_THAN_OR_EQUALS": on_one(lambda held, given: order(held) >= order(given)),
    "IN": among,
    "NOT_IN": opposite(among),
    "BEGINS_WITH": begins,
    "NOT_BEGINS_WITH": opposite(begins),
    "NEAR": on_one(lambda held, given: distance(*held, *given[0]) <= given[1]),
    "CONTAINS_ALL_TOKENS": on_one(lambda held, given: words_of(given) <= words_of(held)),
    "CONTAINS_ANY_TOKENS": on_one(lambda held, given: bool(words_of(given) & words_of(held))),
    "LIST_CONTAINS": contains,
    "NOT_LIST_CONTAINS": opposite(contains),
    "LIST_CONTAINS_ANY": contains_any,
    "NOT_LIST_CONTAINS_ANY": opposite(contains_any),
    "LIST_CONTAINS_ALL": contains_all,
    "NOT_LIST_CONTAINS_ALL": opposite(contains_all),
    "LIST_MEMBER_BEGINS_WITH": member_begins,
    "NOT_LIST_MEMBER_BEGINS_WITH": opposite(member_begins),
}

ONE: dict[str, list[Any]] = {
    "title": TEXTS,
    "rating": NUMBERS,
    "ratio": REALS,
    "kind": ["PICTURE", "PANORAMA", "SCREENSHOT"],
    "taken": TIMES,
}
LISTS = {"tags": TEXTS, "sizes": NUMBERS}


def some_filter(comparator: str, chance: random.Random) -> tuple[str, Any]:
    """A field that the comparator is about, and an operand."""
    if comparator == "NEAR":
        return "place", ((chance.uniform(-90, 90), chance.uniform(-180, 180)), chance.choice([0, 1e5, 3e6, 2.1e7]))
    if "TOKENS" in comparator:
        return "caption", " ".join(chance.choices([*WORDS, "RED"], k=chance.randrange(1, 3)))
    if "LIST" in comparator:
        name = "tags" if "BEGINS" in comparator else chance.choice(sorted(LISTS))
        several = comparator.endswith(("ANY", "ALL"))
        return name, chance.choices(LISTS[name], k=chance.randrange(1, 4)) if several else chance.choice(LISTS[name])
    if "BEGINS" in comparator:
        return chance.choice([("title", chance.choice(TEXTS)), ("hash", chance.choice(TEXTS).encode())])
    name = chance.choice(sorted(ONE))
    if comparator.endswith("IN"):
        return name, chance.choices(ONE[name], k=chance.randrange(1, 4))
    return name, chance.choice(ONE[name])


def as_filter(comparator: str, name: str, given: Any) -> filter_pb2.Filter:
    if comparator == "NEAR":
        return where(name, comparator, given[0], distance=given[1])
    return where(name, comparator, given)


def test_there_are_21() -> None:
    known = set(filter_pb2.Comparison.Comparator.keys())
    assert len(TRUTHS) == 21
    assert known - TRUTHS.keys() == {"COMPARATOR_UNSPECIFIED", "IS_NULL", "NOT_NULL"}


@pytest.mark.parametrize("seed", [1, 2])
def test_each_comparator_selects_what_brute_force_selects(seed: int) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)
        held = {f"p{number:04}": some_photo(chance) for number in range(RECORDS)}
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.zone("other")
            names = sorted(held)
            for first in range(0, len(names), 100):
                some = names[first : first + 100]
                await caller.modify(*(operation("CREATE", name, **held[name]) for name in some))
                await caller.modify(*(operation("CREATE", name, zone="other", **held[name]) for name in some[:5]))
            for comparator, truth in TRUTHS.items():
                for _ in range(FILTERS):
                    name, given = some_filter(comparator, chance)
                    condition = as_filter(comparator, name, given)
                    wanted = {key for key, fields in held.items() if truth(fields, name, given) is True}
                    found = await caller.names(condition, limit=chance.choice([0, 3]))
                    assert len(found) == len(set(found)), condition
                    assert set(found) == wanted, condition
                    negated = filter_pb2.Filter()
                    getattr(negated, "not").CopyFrom(condition)
                    wanted = {key for key, fields in held.items() if truth(fields, name, given) is False}
                    assert set(await caller.names(negated)) == wanted, negated

    run(scenario())


def test_null_is_asked_for_by_its_own_comparators() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.modify(operation("CREATE", "set", title="", tags=["x"]), operation("CREATE", "unset"))
            assert await caller.names(where("title", "IS_NULL")) == ["unset"]
            assert await caller.names(where("title", "NOT_NULL")) == ["set"]
            assert await caller.names(where("tags", "IS_NULL")) == ["unset"]
            assert await caller.names(where("tags", "NOT_NULL")) == ["set"]

    run(scenario())
