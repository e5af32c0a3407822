"""Conditions of the library mean the same when they have gone to a server and come back as its conditions."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import message_factory

from recordlayer import RecordMetaData, concat, param, q
from recordlayer.client.conditions import filter_of
from recordlayer.errors import UsageError, WrongType
from recordlayer.query.evaluate import compiled
from recordlayer_server.filters import Filters
from recordlayer_server.limits import DEFAULT
from tests.support.photos import description

PHOTO = RecordMetaData.from_bytes(description()).record_type("Photo")
Photo: Any = message_factory.GetMessageClass(PHOTO.descriptor)

CONDITIONS = [
    q.rating == 3,
    q.rating != 3,
    (q.rating < 3) | (q.rating >= 8),
    q.rating.between(2, 5) & ~(q.title == "a"),
    q.rating.in_([1, 4, 9]),
    ~q.rating.in_([1, 4, 9]),
    q.rating.is_distinct_from(3),
    q.rating.is_not_distinct_from(3),
    ~q.rating.is_not_distinct_from(3),
    q.title.is_null(),
    q.title.not_null() & ~q.title.starts_with("a"),
    q.title.like("a%"),
    q.hash == b"a",
    q.hidden == True,  # noqa: E712  (builds a condition)
    q.ratio > 1.5,
    q.kind == "PANORAMA",
    q.camera.make == "leica",
    q.camera.make.is_null(),
    q.tags.contains("a"),
    q.tags.contains_any(["a", "b"]),
    ~q.tags.contains_all(["a", "b"]),
    q.tags.one_of_them().starts_with("a"),
    q.tags.is_empty(),
    q.sizes.not_empty(),
    q.lenses.one_of_them().make == "leica",
    q.place.near(52.4, 4.9, within=100_000),
    ~q.place.near(52.4, 4.9, within=100_000) | (q.rating == 1),
    q.place.near(52.4, 4.9, within=1_000_000) & (q.place.latitude > 52) & q.place.near(53, 5, within=2_000_000),
    q.caption.has_words("red boat"),
    q.caption.has_any_word(["red", "sky"]),
]


def some_photo(chance: random.Random) -> Any:
    made = Photo()
    for name, values in {
        "rating": range(10),
        "title": ["a", "ab", "b"],
        "hash": [b"a", b"b"],
        "hidden": [True, False],
        "ratio": [1.5, 2.5, -1.0],
        "kind": [0, 1, 2],
        "caption": ["red boat", "blue sky", "a boat, red"],
    }.items():
        if chance.random() < 0.7:
            setattr(made, name, chance.choice(values))
    if chance.random() < 0.7:
        made.camera.make = chance.choice(["leica", "zeiss"])
    if chance.random() < 0.7:
        made.place.latitude, made.place.longitude = chance.uniform(51, 54), chance.uniform(4, 6)
    made.tags.extend(chance.choices(["a", "ab", "b", "c"], k=chance.randrange(4)))
    made.sizes.extend(chance.choices([1, 2], k=chance.randrange(3)))
    for make in chance.choices(["leica", "zeiss"], k=chance.randrange(3)):
        made.lenses.add(make=make)
    return made


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_a_condition_selects_the_same_there_and_here(condition: Any) -> None:
    chance = random.Random(11)
    there = compiled(Filters(PHOTO.descriptor, DEFAULT).condition(filter_of(condition)), PHOTO)
    here = compiled(condition, PHOTO)
    photos = [some_photo(chance) for _ in range(200)]
    decided = [here(photo, None) for photo in photos]
    assert [there(photo, None) for photo in photos] == decided
    assert True in decided
    assert set(decided) > {True}, "a condition that is always true shows nothing"


def test_what_the_library_says_beside_a_place_is_not_sent() -> None:
    assert str(filter_of(q.place.near(52, 4, within=9))).count("comparison") == 1


def test_a_time_of_python_is_one_of_the_service() -> None:
    sent = filter_of(q.taken >= datetime(2026, 1, 2, tzinfo=UTC))
    assert sent.comparison.value.timestamp_value.ToJsonString() == "2026-01-02T00:00:00Z"
    decide = compiled(Filters(PHOTO.descriptor, DEFAULT).condition(sent), PHOTO)
    photo = Photo()
    photo.taken.FromJsonString("2026-01-02T00:00:00Z")
    assert decide(photo, None) is True
    assert filter_of(q["$name"] == "p").comparison.field == "$name"


@pytest.mark.parametrize(
    "condition",
    [
        q.title.like("a%b"),
        q.title == param("title"),
        q.tags.all_of_them() == "a",
        q.tags.one_of_them(unknown_if_empty=True) == "a",
        q.sizes.one_of_them() > 1,
        q.labels.entry("k") == "v",
        q(concat("title", "rating")) > ("a", 1),
        q.rating.ranked() < 10,
        q.lenses.one_of_them().matches((q.make == "a") & (q.model == "b")),
        q.caption.has_phrase("red boat"),
        q.caption.has_words("red boat", tokenizer="default"),
        q.title == 1j,
    ],
    ids=str,
)
def test_what_the_service_has_no_word_for_is_refused_before_it_is_sent(condition: Any) -> None:
    with pytest.raises(UsageError) as refused:
        filter_of(condition)
    assert refused.value.hint


def test_what_is_no_condition_is_refused() -> None:
    with pytest.raises(WrongType):
        filter_of("title")  # type: ignore[arg-type]
