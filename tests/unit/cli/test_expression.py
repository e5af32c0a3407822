"""Queries as text: what the library's own expressions give, and nothing else is worked out."""

from __future__ import annotations

import warnings

import pytest

import recordlayer as rl
from recordlayer import agg, concat, field, q
from recordlayer.cli.expression import LONGEST, condition_in, query_in
from recordlayer.cli.statement import statement_in
from recordlayer.errors import InvalidExpression


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('customer == "ana" and 10 < total <= 100', (q.customer == "ana") & ((q.total > 10) & (q.total <= 100))),
        ('q.customer == "ana" or q.total != -1', (q.customer == "ana") | (q.total != -1)),
        ('(customer == "ana") & ~(total >= 1.5)', (q.customer == "ana") & ~(q.total >= 1.5)),
        ("note is None and body is not None", q.note.is_null() & q.body.not_null()),
        ('"new" in tags and total not in [1, 2]', q.tags.contains("new") & ~q.total.in_([1, 2])),
        ("total.between(1, 2)", q.total.between(1, 2)),
        ('q["items"].one_of_them().matches(price > 5)', q["items"].one_of_them().matches(q.price > 5)),
        ('address.city.like("O%")', q.address.city.like("O%")),
        ("q[\"like\"] == b'x'", q["like"] == b"x"),
        ('q(concat("a", field("b").nest("c"))) == ("x", 1)', q(concat("a", field("b").nest("c"))) == ("x", 1)),
        ('score.ranked(group_by="game") < 10', q.score.ranked(group_by="game") < 10),
    ],
)
def test_conditions_are_those_of_programs(text: str, meant: object) -> None:
    assert condition_in(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Order", rl.query("Order")),
        ('query("Order").where(q.total > 1).order_by("total")', rl.query("Order").where(q.total > 1).order_by("total")),
        (
            'query("Order").group_by("customer").aggregate(n=agg.count()).having(n > 1)',
            rl.query("Order").group_by("customer").aggregate(n=agg.count()).having(q.n > 1),
        ),
        (
            'query("Order").join("Customer", on={"customer": "name"})',
            rl.query("Order").join("Customer", on={"customer": "name"}),
        ),
    ],
)
def test_queries_are_those_of_programs(text: str, meant: object) -> None:
    assert query_in(text) == meant


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("total", "a condition is wanted"),
        ("total >", "invalid syntax"),
        ("total.betwen(1, 2)", 'did you mean "between"'),
        ("total.between(1)", "missing 1 required"),
        ("total == None", "is_null"),
        ('"a" == "b"', "compare a field"),
        ("total + 1 > 2", "values are not worked out"),
        ("total and paid", "this is no condition"),
        ("total > 1j", "give a number"),
        ("__import__('os').system('true')", "known are"),
        ("().__class__ == 1", "only fields have fields"),
        ("(lambda: total == 1)()", "cannot be called"),
        ("[x == 1 for x in y]", "only conditions"),
        ("query('A').kept == 1", "only fields have fields"),
        ("total.between(*[1, 2])", "not understood here"),
        ("agg == 1", "call it"),
        ("(" * 400 + ")" * 400, "not understood"),
        ("-" * 5000 + "1 == total", "not understood"),
        ("a" * (LONGEST + 1), "at most"),
        ("total == '\ud800'", "not understood"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidExpression, match="not understood") as refused:
        condition_in(text)
    assert complaint in str(refused.value)


def test_python_gives_no_advice_on_what_is_typed() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert condition_in(r'note == "\d"') == (q.note == r"\d")
        assert condition_in("total in[1]or total==2") == q.total.in_([1]) | (q.total == 2)
        with pytest.raises(InvalidExpression):
            condition_in("1is total")
    assert told == []


def test_names_of_fields_never_reach_into_objects() -> None:
    """Whatever a field is called: it is a path, not an attribute of Python's."""
    for name in ("__class__", "__init__", "_steps", "steps", "_compare"):
        assert str(condition_in(f"a.{name} == 1")) == f"a.{name} = 1"


def test_statements_have_clauses_that_quotes_parentheses_and_points_hide() -> None:
    made = statement_in('explain Order where note == "limit 5" and (q["where"] == 1) order by total, id desc limit 5')
    assert made.verb == "explain"
    assert made.limit == 5
    where = (q.note == "limit 5") & (q["where"] == 1)
    assert made.query == rl.query("Order").where(where).order_by("total", "id", reverse=True, in_memory=1000)
    assert statement_in('query("Order").where(total > 1) limit 2').limit == 2
    assert statement_in("Order").query == rl.query("Order")
    for text, complaint in [
        ("Order where", "not understood"),
        ("Order order total", "order by total"),
        ("Order order by a.", "name a field"),
        ("Order limit none", "a number of rows"),
        ("Order where a == 1 where b == 2", "say where once"),
        ('Order where a == "', "not understood"),
        ('query("O").aggregate(n=agg.count()) where n > 1', "in the query itself"),
        ("", "not understood"),
    ]:
        with pytest.raises(InvalidExpression) as refused:
            statement_in(text)
        assert complaint in str(refused.value)
    assert field("a") is not None
