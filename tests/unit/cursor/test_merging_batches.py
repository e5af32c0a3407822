"""Merging whole batches gives what merging value by value gives: values, continuations, ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer.cursor.merge import Intersection, KeyOfAll, Union
from recordlayer.cursor.step import Batch, Cursor, Stop
from recordlayer.waiting.drivers import run_blocking

STOPS = (Stop.EXHAUSTED, Stop.SCAN_LIMIT)


class Portions(Cursor[int]):
    """Values in given portions, then a stop; continuations are the number of values taken."""

    def __init__(self, values: Sequence[int], sizes: Sequence[int], stop: Stop, continuation: bytes | None) -> None:
        self._values = values
        self._sizes = iter(sizes)
        self._stop = stop
        self._at = 0 if continuation is None else int.from_bytes(continuation, "big")

    async def batch(self) -> Batch[int]:
        first = self._at
        self._at = last = min(first + next(self._sizes, len(self._values)), len(self._values))
        stop = self._stop if last == len(self._values) else None
        end = last.to_bytes(2, "big") if stop is Stop.SCAN_LIMIT and last else None
        return Batch(self._values[first:last], lambda index: (first + index + 1).to_bytes(2, "big"), stop, end)


@st.composite
def sources(draw: st.DrawFn) -> tuple[bool, list[Callable[[bytes | None], Cursor[int]]]]:
    reverse = draw(st.booleans())
    unique = draw(st.integers(0, 3)) > 0
    made = []
    for _ in range(draw(st.integers(1, 3))):
        keys = draw(st.lists(st.integers(0, 12), unique=unique, max_size=10))
        values = [10 * key + draw(st.integers(0, 9)) for key in sorted(keys, reverse=reverse)]
        sizes = draw(st.lists(st.integers(0, 4), max_size=6))
        made.append((values, sizes, draw(st.sampled_from(STOPS))))
    return reverse, [lambda c, one=one: Portions(*one, c) for one in made]


def told(cursor: Cursor[int]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    while True:
        batch = run_blocking(cursor.batch())
        found += [(value, batch.resume(place)) for place, value in enumerate(batch.values)]
        if batch.stop is not None:
            return [*found, (batch.stop, batch.end)]


@settings(max_examples=300)
@given(sources())
def test_whole_batches_merge_as_single_values_do(given: tuple[bool, list[Any]]) -> None:
    reverse, makers = given
    for kind in (Union, Intersection):
        one_by_one = [lambda value: value // 10] * len(makers)
        together = [KeyOfAll[int](lambda values: [value // 10 for value in values])] * len(makers)
        expected = told(kind(makers, one_by_one, reverse=reverse))
        assert told(kind(makers, together, reverse=reverse)) == expected
        for _, continuation in expected[:-1]:
            rest = told(kind(makers, one_by_one, continuation, reverse=reverse))
            assert told(kind(makers, together, continuation, reverse=reverse)) == rest
