"""Indexes that have some of the records only serve the queries that ask for no others, and nobody else."""

from __future__ import annotations

import itertools
import math
import struct
from typing import Any

import pytest
from google.protobuf import message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import agg, field, q, query
from recordlayer.index.state import IndexState
from recordlayer.metadata import Index, compare, is_null, not_null
from recordlayer.query.advice import helpful_index
from recordlayer.query.evaluate import compiled
from recordlayer.query.implication import answered, not_implied
from recordlayer.query.normal import normalized
from recordlayer.query.planner import plan
from recordlayer.query.problem import problem_of
from recordlayer.query.rules.count import count_from_index
from recordlayer.query.rules.grouping import plan_groups
from tests.support.shop import shop_file

ORDER = query("Order")
ANA = compare("customer", "=", "ana")


def readable(index: Index) -> IndexState:
    return IndexState.READABLE


def metadata_of(syntax: str, **indexes: Any) -> rl.RecordMetaData:
    made = rl.RecordMetaDataBuilder(shop_file(syntax)).primary_key("Order", field("id"))
    for name, (expression, where) in indexes.items():
        made = made.index("Order", name, expression, where=where)
    return made.build()


# -- what is implied, against all values there are --------------------------------------------------------------------

NEGATIVE_NAN = struct.unpack(">d", b"\xff\xf8" + bytes(6))[0]
VALUES: dict[str, list[Any]] = {
    "customer": ["", "a", "ab", "\uffff", "\U00010000"],
    "ratio": [-1.0, -0.0, 0.0, 2.0, math.inf, math.nan, NEGATIVE_NAN],
    "total": [-1, 0, 1, 5],
    "address.city": ["", "a"],
}
"""Texts whose order is another by code point and by UTF-16 code unit, and numbers that are none."""
SYMBOLS = ["=", "!=", "<", "<=", ">", ">="]


def leaves(kind: Any) -> st.SearchStrategy[Any]:
    """`kind(name, values)` for each field."""
    return st.one_of([kind(name, values) for name, values in VALUES.items()])


PREDICATES = st.recursive(
    st.one_of(
        leaves(
            lambda name, values: st.builds(compare, st.just(name), st.sampled_from(SYMBOLS), st.sampled_from(values))
        ),
        st.builds(is_null, st.sampled_from(sorted(VALUES))),
        st.builds(not_null, st.sampled_from(sorted(VALUES))),
    ),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=3,
)


def path(name: str) -> Any:
    found: Any = q
    for step in name.split("."):
        found = found[step]
    return found


def compared(name: str, symbol: str, value: Any) -> Any:
    tests = {
        "=": lambda: path(name) == value,
        "!=": lambda: path(name) != value,
        "<": lambda: path(name) < value,
        "<=": lambda: path(name) <= value,
        ">": lambda: path(name) > value,
        ">=": lambda: path(name) >= value,
        "same": lambda: path(name).is_not_distinct_from(value),
        "other": lambda: path(name).is_distinct_from(value),
        "begins": lambda: path(name).starts_with(value),
        "like": lambda: path(name).like(f"{value}%"),
    }
    return tests[symbol]()


CONDITIONS = st.recursive(
    st.one_of(
        leaves(
            lambda name, values: st.builds(
                compared, st.just(name), st.sampled_from([*SYMBOLS, "same", "other"]), st.sampled_from(values)
            )
        ),
        st.builds(compared, st.just("customer"), st.sampled_from(["begins", "like"]), st.sampled_from(["", "a"])),
        leaves(lambda name, values: st.lists(st.sampled_from(values), max_size=3).map(path(name).in_)),
        st.sampled_from(sorted(VALUES)).map(lambda name: path(name).is_null()),
        st.sampled_from(sorted(VALUES)).map(lambda name: path(name).not_null()),
    ),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=4,
)
METADATA = {syntax: metadata_of(syntax) for syntax in ("proto2", "proto3")}


def everything(metadata: rl.RecordMetaData) -> list[Any]:
    """A message for each combination of values, unset ones among them."""
    order: Any = message_factory.GetMessageClass(metadata.record_type("Order").descriptor)
    found = []
    for customer, ratio, total, city in itertools.product(*[[None, *values] for values in VALUES.values()]):
        given_values = {"customer": customer, "ratio": ratio, "total": total}
        message = order(**{name: value for name, value in given_values.items() if value is not None})
        if city is not None:
            message.address.city = city
        found.append(message)
    return found


MESSAGES = {syntax: everything(metadata) for syntax, metadata in METADATA.items()}


@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
@settings(max_examples=200)
@given(predicate=PREDICATES, condition=CONDITIONS)
def test_what_is_implied_is_true_of_every_record_asked_for(syntax: str, predicate: Any, condition: Any) -> None:
    known = METADATA[syntax].record_type("Order")
    predicate = predicate.typed(known.descriptor)
    conditions = normalized(condition)
    implied = not_implied(predicate, conditions, [known]) is None
    known_already = [compiled(one, known) for one in answered(predicate, conditions, [known])]
    if not implied and not known_already:
        return
    decide = compiled(condition, known)
    for message in MESSAGES[syntax]:
        kept = predicate.decide(message) is True
        if implied and decide(message, None) is True:
            assert kept, message
        if kept:
            assert all(one(message, None) is True for one in known_already), message


OPEN = compare("status", "=", 1)
LARGE = compare("total", ">", 10)
USED: list[tuple[Any, Any]] = [
    (LARGE, q.total > 10),
    (LARGE, q.total >= 11),
    (LARGE, q.total == 12),
    (LARGE, q.total.in_([11, 12])),
    (LARGE, (q.total > 5) & (q.total > 20) & (q.customer == "a")),
    (LARGE, (q.total > 10) | (q.customer == "a")),  # for one of the alternatives
    (LARGE, ((q.total > 11) & (q.customer == "a")) | (q.total == 99)),
    (~LARGE, ~(q.total > 10)),
    (~LARGE, q.total < 3),
    (compare("total", "!=", 0), q.total > 0),
    (compare("total", "!=", 3), q.total != 3),
    (compare("total", "!=", 3), ~q.total.in_([3, 4])),
    (not_null("customer"), q.customer == "a"),
    (not_null("customer"), q.customer.like("%a")),
    (not_null("customer"), q.customer.not_null()),
    (not_null("customer"), ~(q.customer == "a")),
    (is_null("customer"), q.customer.is_null()),
    (not_null("address.city"), q.address.city.starts_with("O")),
    (compare("customer", ">=", "b"), q.customer.starts_with("bo")),
    (compare("status", "=", 1) | compare("status", "=", 2), q.status.in_(["PAID", "SENT"])),
    (compare("status", "=", 1) | LARGE, (q.status == "PAID") | (q.total > 10)),
    (OPEN & LARGE, (q.total == 11) & (q.status == 1)),
    (compare("ratio", "<", 1.0), q.ratio.between(0, 0.5)),
]
NOT_USED: list[tuple[Any, Any]] = [
    (LARGE, q.total > 9),
    (LARGE, q.total >= 10),
    (LARGE, q.total.in_([10, 11])),
    (LARGE, q.total != 5),
    (LARGE, q.total.is_null()),
    (LARGE, q.customer == "a"),
    (~LARGE, q.total <= 11),
    (compare("total", "!=", 3), q.total.is_distinct_from(3)),
    (not_null("customer"), q.customer.is_distinct_from("a")),
    (not_null("customer"), q.customer.is_null()),
    (is_null("customer"), q.customer == "a"),
    (OPEN & LARGE, q.total == 11),
    (compare("ratio", "<", 1.0), q.ratio < 0.5),  # a NaN with a sign is less than it, and not in the index
    (compare("customer", "<", "\uffff"), q.customer < "\ufffe"),  # and so may be what comes as a pair of surrogates
]


@pytest.mark.parametrize(("where", "condition"), USED)
def test_an_index_is_used_where_the_query_implies_its_condition(where: Any, condition: Any) -> None:
    found = plan(ORDER.where(condition), metadata_of("proto2", some=(field("note"), where)), readable)
    assert "Scan(some" in " ".join([found.plan.line, *[other.line for other in found.others]]), found.rejected


@pytest.mark.parametrize(("where", "condition"), NOT_USED)
def test_an_index_is_not_used_where_it_may_lack_records(where: Any, condition: Any) -> None:
    found = plan(ORDER.where(condition), metadata_of("proto2", some=(field("note"), where)), readable)
    assert "some" not in " ".join([found.plan.line, *[other.line for other in found.others]])
    assert "the query does not say so" in found.rejected["some"]


def test_a_default_that_cannot_be_told_from_nothing_is_not_in_the_index() -> None:
    """In proto3 an index where total >= 0 has no record with a total of 0, and a query for those has."""
    metadata = metadata_of("proto3", some=(field("note"), compare("total", ">=", 0)))
    found = plan(ORDER.where(q.total >= 0), metadata, readable)
    assert found.rejected["some"] == "has only records with total >= 0, and the query does not say so"
    assert "Scan(some" in plan(ORDER.where(q.total >= 1), metadata, readable).plan.line


# -- plans -----------------------------------------------------------------------------------------------------------

PLANS = metadata_of(
    "proto2",
    open_by_customer=(rl.concat("customer", "note"), OPEN),
    by_customer=("customer", None),
    open_per_customer=(rl.count(group_by="customer"), OPEN),
    spent_per_customer=(rl.sum_of("total", group_by="customer"), OPEN & not_null("total")),
)
PAID = ORDER.where(q.status == "PAID")
UNION = (
    "Fetch(Union(Scan(open_by_customer[customer = 'a']), Scan(open_by_customer[customer = 'b']) by note, primary key))"
)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        # What the index has by its own condition is not tested again.
        (PAID.where(q.customer == "a"), "Fetch(Scan(open_by_customer[customer = 'a']))"),
        (PAID, "Fetch(Scan(open_by_customer[all]))"),
        (PAID.order_by("customer"), "Fetch(Scan(open_by_customer[all]))"),
        (PAID.where(q.customer > "a").select("note"), "Cover(Scan(open_by_customer[customer > 'a']))"),
        (
            PAID.where((q.customer == "a") | (q.customer == "b")).order_by("note"),
            UNION,
        ),
        (ORDER.where(q.customer == "a"), "Fetch(Scan(by_customer[customer = 'a']))"),
    ],
)
def test_plans_over_an_index_of_some_records(asked: Any, line: str) -> None:
    assert plan(asked, PLANS, readable).plan.line == line


def test_counts_and_sums_of_some_records_come_from_the_indexes_that_keep_them() -> None:
    counted = count_from_index(problem_of(PAID.where(q.customer == "a"), PLANS, readable))
    assert counted is not None
    assert counted.line == "Count(open_per_customer[= 'a'])"
    assert count_from_index(problem_of(ORDER.where(q.customer == "a"), PLANS, readable)) is None
    assert count_from_index(problem_of(PAID.where(q.total > 1), PLANS, readable)) is None
    by = PAID.group_by("customer").aggregate(n=agg.count())
    assert plan_groups(by, PLANS, readable).plan.line == "Groups(open_per_customer[all] by customer: count() as n)"


def test_a_plan_that_is_kept_for_a_shape_is_right_for_every_value() -> None:
    """The values decide whether such an index may be used, so a plan for one is no plan for the next."""
    metadata = metadata_of("proto2", large=("customer", LARGE), by_customer=("customer", None))
    asked = ORDER.where((q.customer == "a") & (q.total > rl.param("least")))
    large = "Filter(Fetch(Scan(large[customer = 'a'])), total > 11)"
    all_of_them = "Filter(Fetch(Scan(by_customer[customer = 'a'])), total > 9)"
    for _ in range(2):
        assert plan(asked.bind(least=9), metadata, readable).plan.line == all_of_them
        assert plan(asked.bind(least=11), metadata, readable).plan.line == large


def test_an_index_that_cannot_be_used_does_not_stand_in_the_way_of_advice() -> None:
    metadata = metadata_of("proto2", large=("customer", LARGE))
    asked = problem_of(ORDER.where(q.customer == "a"), metadata, readable)
    assert helpful_index(asked) == '.index("Order", "by_customer", field("customer"))'


def test_a_condition_that_an_index_has_chosen_its_records_by_is_counted_once() -> None:
    """What is asked for is all that the index has: not a part of it again."""
    metadata = metadata_of(
        "proto2", above=("total", compare("total", ">", 0)), of_ana=(rl.concat("customer", "total"), ANA)
    )

    def keys(asked: Any, index: str) -> float:
        return plan(asked.use_indexes(index).select("total", "id"), metadata, readable).plan.estimate.keys

    assert keys(ORDER.where(q.total > 0), "above") == 3_000
    assert keys(ORDER.where(q.total > 5), "above") == 900
    assert keys(ORDER.where(q.customer == "ana"), "of_ana") == 100
    assert keys(ORDER.where(q.customer == "ana", q.total > 5), "of_ana") == 30
