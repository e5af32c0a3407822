"""Conditions rewritten: negations at the leaves, common parts of alternatives, alternatives multiplied out, and no more
of them than a bound. That the rewritten ones mean the same, the tests that compare plans with a plain loop show."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import q
from recordlayer.keys.functions import function
from recordlayer.query.normal import MOST_ALTERNATIVES, alternatives, normalized
from recordlayer.query.predicate import And, Or, Predicate

A, B, C, D = q.a == 1, q.b == 2, q.c == 3, q.d == 4


def shown(conditions: Any) -> list[str]:
    return [str(one) for one in conditions]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (~(q.a == 1), ["a != 1"]),
        (~((q.a == 1) | (q.b < 2)), ["a != 1", "b >= 2"]),
        (~~(q.a > 1), ["a > 1"]),
        (~(q.a.is_null() & (q.b >= 2)), ["a is not null or b < 2"]),
        (~q.a.in_([1, 2]), ["not (a in [1, 2])"]),
        (~(q.a.one_of_them() == 1), ["not (a[any] = 1)"]),
        (~(q.a.is_distinct_from(1)), ["a = 1"]),
        (~(q(function("sub", "a")) > 1), [f"{function('sub', 'a')!r} <= 1"]),
        (~(q.a.ranked() < 3), ['rank of field("a") >= 3']),
        ((A & B) | (A & C), ["a = 1", "a = 1 and b = 2 or a = 1 and c = 3"]),
        (q(rl.concat("a", "b")) == (1, 2), ['field("a") = 1', 'field("b") = 2']),
        (And((A, And((A, B)))), ["a = 1", "b = 2"]),
    ],
)
def test_conditions_are_what_must_be_true_in_words_of_indexes(condition: Predicate, expected: list[str]) -> None:
    found = shown(normalized(condition))
    assert [one.replace("(", "").replace(")", "") for one in found] == [
        one.replace("(", "").replace(")", "") for one in expected
    ]


def test_alternatives_are_multiplied_out() -> None:
    branches = [shown(one) for one in alternatives(A | (B & (C | D)))]
    assert branches == [["a = 1"], ["b = 2", "c = 3"], ["b = 2", "d = 4"]]
    assert [shown(one) for one in alternatives(And((A | B, C | D)))] == [
        ["a = 1", "c = 3"],
        ["a = 1", "d = 4"],
        ["b = 2", "c = 3"],
        ["b = 2", "d = 4"],
    ]
    assert [shown(one) for one in alternatives(q.a.in_([1, 2]))] == [["a = 1"], ["a = 2"]]
    assert alternatives(A) == alternatives(q.a.in_([1])) == []


def test_too_many_alternatives_are_none() -> None:
    many = Or(tuple(q.a == number for number in range(MOST_ALTERNATIVES + 1)))
    assert alternatives(many) == []
    assert len(alternatives(Or(many.children[1:]))) == MOST_ALTERNATIVES
    product = And(tuple(Or((q[name] == 1, q[name] == 2)) for name in "abcdef"))
    branches = alternatives(product)
    assert len(branches) == 32, "what would grow beyond the bound is left as it is, and tested"
    assert "f = 1 or f = 2" in shown(branches[0])


def test_zeros_of_both_signs_are_two_conditions() -> None:
    assert len(normalized((q.a == 0.0) & (q.a == -0.0))) == 2
