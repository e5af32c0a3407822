"""The place of a point on the Hilbert curve through all points of 64-bit coordinates.

Points that are near on the curve are near in space, so an order of points by their place keeps neighbours together.

    hilbert_value((0, 0))      2**127; an integer of 64 bits for each dimension
    hilbert_value((None, 5))   a null stands where the least number does

Source  John Skilling, "Programming the Hilbert curve" (2004), as the Record Layer's RTreeHilbertCurveHelpers has it.
        The algorithm goes from the highest bit down, and what it has done to the lower bits so far is an exchange and
        an inversion of the axes: so it is a machine with few states, and here takes several bits at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache

_BITS = 64
_BIAS = 1 << (_BITS - 1)
_STEPS = {1: 8, 2: 4, 3: 2}
"""Bits that are taken at a time, by dimensions: few enough steps, and few enough of them to remember."""

_REMEMBERED = 1 << 14
"""Steps that are remembered for each number of dimensions."""

_State = tuple[tuple[int, ...], tuple[int, ...], int]
"""Which axis stands for each one, whether it is inverted, and whether the result is."""


def hilbert_value(point: Sequence[int | None]) -> int:
    """The place of a point."""
    return _curve(len(point)).place([0 if number is None else number + _BIAS for number in point])


class _Curve:
    """The curve through a space of so many dimensions: its states, and the steps between them that were taken."""

    __slots__ = ("_fresh", "_numbers", "_size", "_states", "_step", "_steps")

    def __init__(self, size: int) -> None:
        self._size = size
        self._step = _STEPS.get(size, 1)
        first: _State = (tuple(range(size)), (0,) * size, 0)
        # A curve serves all threads of the process, without a lock: a number is given out once, and a state that two
        # threads find at the same time has the number that was noted first.
        self._fresh = itertools.count(1)
        self._states = {0: first}
        self._numbers = {first: 0}
        self._steps: dict[int, tuple[int, int]] = {}

    def place(self, coordinates: list[int]) -> int:
        step, width, known = self._step, self._size * self._step, self._steps
        mask = (1 << step) - 1
        found = state = 0
        for shift in range(_BITS - step, -1, -step):
            chunk = 0
            for coordinate in coordinates:
                chunk = chunk << step | coordinate >> shift & mask
            taken = known.get(state << width | chunk)
            if taken is None:
                taken = self._take(state, chunk)
            found = found << width | taken[0]
            state = taken[1]
        return found

    def _take(self, number: int, chunk: int) -> tuple[int, int]:
        digits, state = _advance(self._size, self._step, self._states[number], chunk)
        following = self._numbers.get(state)
        if following is None:
            following = next(self._fresh)
            self._states[following] = state
            following = self._numbers.setdefault(state, following)
        if len(self._steps) < _REMEMBERED:
            self._steps[number << self._size * self._step | chunk] = digits, following
        return digits, following


@cache
def _curve(size: int) -> _Curve:
    return _Curve(size)


def _advance(size: int, step: int, state: _State, chunk: int) -> tuple[int, _State]:
    """`step` bits of each coordinate (the first in the highest bits) as digits of the place, and the state behind."""
    axes, inverted, turned = list(state[0]), list(state[1]), state[2]
    digits = 0
    for level in range(step - 1, -1, -1):
        bits = [
            (chunk >> (step * (size - 1 - axis) + level) & 1) ^ flip for axis, flip in zip(axes, inverted, strict=True)
        ]
        for place, bit in enumerate(bits):
            if bit:
                inverted[0] ^= 1
            else:
                axes[0], axes[place] = axes[place], axes[0]
                inverted[0], inverted[place] = inverted[place], inverted[0]
        gray = 0
        for bit in bits:
            gray ^= bit
            digits = digits << 1 | gray ^ turned
        turned ^= gray
    return digits, (tuple(axes), tuple(inverted), turned)
