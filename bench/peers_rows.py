"""The records that the contenders of `peers` keep, the same for each of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

RECORDS = 20_000
CITIES = 200
"""Records of one city: RECORDS / CITIES = 100."""


class Row(NamedTuple):
    """One record, its fields in the order of `bench.record.FIELDS`."""

    id: int
    name: str
    city: str
    price: float
    count: int
    active: bool


def stored_rows() -> list[Row]:
    """What is there from the beginning."""
    chance = random.Random(1)
    return [_row(number, f"city {number * 31 % CITIES:04d}", chance) for number in range(RECORDS)]


def new_rows(size: int) -> Iterator[list[Row]]:
    """Records that come later, so many at a time and in other cities: queries go on finding what they found."""
    chance = random.Random(3 + size)
    first = RECORDS if size > 1 else 2 * RECORDS
    while True:
        yield [_row(first + place, f"new {chance.randrange(CITIES):04d}", chance) for place in range(size)]
        first += size


def changed_rows(size: int) -> Iterator[list[Row]]:
    """Records that are there, with another price."""
    chance = random.Random(4)
    stored = stored_rows()
    while True:
        yield [row._replace(price=chance.uniform(0, 100)) for row in chance.sample(stored, size)]


def _row(number: int, city: str, chance: random.Random) -> Row:
    return Row(
        number, f"owner {number * 7919 % 2_000:05d}", city, chance.uniform(0, 100), number % 300, number % 2 == 0
    )
