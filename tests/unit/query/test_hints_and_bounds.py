"""What a query may say about indexes, how much planning one may cost, and that a plan which is kept is never the wrong
one."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field, q, query
from recordlayer.index.state import IndexState
from recordlayer.metadata import Index
from recordlayer.query import effort
from recordlayer.query.explain import reasons
from recordlayer.query.planner import plan
from recordlayer.query.predicate import And, Or
from tests.support.shop import builder, shop

BY_ANA = query("Order").where(q.customer == "ana")


def readable(index: Index) -> IndexState:
    return IndexState.READABLE


def line(asked: Any, metadata: rl.RecordMetaData, state: Any = readable) -> str:
    return plan(asked, metadata, state).plan.line


# -- hints -----------------------------------------------------------------------------------------------------------


def test_only_allowed_indexes_are_used() -> None:
    metadata = shop()
    assert line(BY_ANA, metadata) == "Fetch(Scan(by_customer[customer = 'ana']))"
    assert line(BY_ANA.use_indexes("by_customer_and_total"), metadata) == (
        "Fetch(Scan(by_customer_and_total[customer = 'ana']))"
    )
    nothing = plan(BY_ANA.use_indexes(), metadata, readable)
    assert nothing.plan.line == "Filter(Only(Scan(records[all]), Order), customer = 'ana')"
    assert nothing.rejected["by_customer"] == "is not among the indexes that this query allows"


def test_hidden_indexes_are_not_used() -> None:
    metadata = shop()
    found = plan(BY_ANA.hide_indexes("by_customer"), metadata, readable)
    assert found.plan.line == "Fetch(Scan(by_customer_and_total[customer = 'ana']))"
    assert found.rejected["by_customer"] == "is hidden from this query"
    both = BY_ANA.hide_indexes("by_customer").hide_indexes("by_customer_and_total")
    assert line(both, metadata).startswith("Filter(Only(Scan(records")


def test_an_index_that_its_option_keeps_from_queries_is_used_where_a_query_allows_it() -> None:
    options = {"allowedForQuery": "false"}
    metadata = builder().index("Order", "kept_back", field("customer"), options=options).build()
    found = plan(BY_ANA, metadata, readable)
    assert "Scan(records" in found.plan.line
    assert found.rejected["kept_back"] == "is not allowed for queries"
    assert line(BY_ANA.use_indexes("kept_back"), metadata) == "Fetch(Scan(kept_back[customer = 'ana']))"


@pytest.mark.parametrize("state", [one for one in IndexState if not one.is_readable])
def test_17_4_an_index_that_is_not_readable_is_only_planned_with_where_a_query_tries_it(state: IndexState) -> None:
    """features 17.4: a write-only, disabled, half-built or never-built index is never used by a plan."""
    metadata = shop()

    def of(index: Index) -> IndexState:
        return state if index.name.startswith("by_customer") else IndexState.READABLE

    found = plan(BY_ANA, metadata, of)
    assert "by_customer" not in found.plan.line
    assert not any("by_customer" in other.line for other in found.others)
    assert found.rejected["by_customer"] == f"is {state.name}"
    assert line(BY_ANA.try_indexes("by_customer"), metadata, of) == "Fetch(Scan(by_customer[customer = 'ana']))"


def test_names_of_indexes_are_checked() -> None:
    with pytest.raises(errors.UnknownIndex):
        plan(BY_ANA.hide_indexes("by_nothing"), shop(), readable)
    with pytest.raises(errors.WrongType):
        BY_ANA.use_indexes(3)  # type: ignore[arg-type]


def test_hints_are_no_part_of_what_a_continuation_is_bound_to() -> None:
    from recordlayer.query.identity import of_query

    assert of_query(BY_ANA) == of_query(BY_ANA.hide_indexes("by_customer").try_indexes("by_tag"))


# -- bounds ----------------------------------------------------------------------------------------------------------

FIELDS = ("customer", "total", "note", "ratio", "weight", "paid", "body", "status")


def many_indexes() -> rl.RecordMetaData:
    """Twelve indexes that all have something to say."""
    made = builder()
    for number in range(12):
        first, second = FIELDS[number % 6], FIELDS[(number + 1 + number // 6) % 6]
        made = made.index("Order", f"index_{number}", rl.concat(first, second))
    return made.build()


def test_thirty_two_alternatives_and_conditions_over_twelve_indexes_are_planned_within_bounds() -> None:
    metadata = many_indexes()
    either = Or(tuple([(q.customer == f"c{number}") & (q.total > number) for number in range(16)]))
    other = Or(tuple([(q.note == f"n{number}") & (q.ratio > number) for number in range(16)]))
    for asked in (
        query("Order").where(either, other),
        query("Order").where(either | other),
        query("Order").where(And(tuple([q.customer == f"c{number}" for number in range(32)]))),
        query("Order").where(Or(tuple([q.total == number for number in range(32)])), either),
        query("Order").where(*[(q.customer == f"c{number}") | (q.total == number) for number in range(32)]),
    ):
        found = plan(asked, metadata, readable)
        assert found.others
        assert found.survey.effort.looks <= effort.MOST
        assert found.survey.effort.plans <= 100


def test_when_the_bound_is_reached_there_is_a_plan_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "MOST", 5)
    found = plan(query("Order").where((q.customer == "a") | (q.total == 1)), many_indexes(), readable)
    assert found.survey.effort.looks == 5
    assert "Scan(records" in found.plan.line


# -- plans that are kept ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [q.total == 0, q.total == 1, q.total == -1],
        [q.total > 0, q.total > -1, q.total > 1, q.total >= 0],
        [q.total.between(1, 1), q.total.between(1, 9), q.total.between(9, 1)],
        [q.customer.in_([]), q.customer.in_(["a"]), q.customer.in_(["a", "b"]), q.customer.in_(["a", "a"])],
        [q.customer.in_([""]), q.customer.in_(["a"])],
        [q.customer == "", q.customer == "a"],
        [q.customer.starts_with(""), q.customer.starts_with("a")],
        [q.customer.like("a%"), q.customer.like("%a"), q.customer.like("a"), q.customer.like("")],
        [q.customer.is_not_distinct_from(None), q.customer.is_not_distinct_from("a")],
        [(q.customer == "a") | (q.total == 1), (q.customer == "") | (q.total == 0)],
        [(q.customer == "a") | (q.customer == "b"), (q.customer == "a") | (q.customer == "a")],
    ],
)
@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
def test_values_that_matter_do_not_take_the_way_of_others(values: list[Any], syntax: str) -> None:
    """Whatever was planned before, a query gets the plan that it would get alone."""
    from tests.support.shop import shop_file

    def metadata() -> rl.RecordMetaData:
        return (
            rl.RecordMetaDataBuilder(shop_file(syntax))
            .primary_key("Order", field("id"))
            .index("Order", "by_customer", field("customer"))
            .index("Order", "by_total", field("total"))
            .build()
        )

    alone = [line(query("Order").where(one), metadata()) for one in values]
    for order in (values, values[::-1]):
        used = metadata()
        lines = {str(one): line(query("Order").where(one), used) for one in order}
        assert [lines[str(one)] for one in values] == alone


def test_what_is_kept_keeps_no_store() -> None:
    """Plans outlive the transaction that they were first made in."""
    import gc
    import weakref

    class State:
        def __call__(self, index: Index) -> IndexState:
            return IndexState.READABLE

    metadata, state = shop(), State()
    gone = weakref.ref(state)
    found = plan(BY_ANA, metadata, state)
    del state
    gc.collect()
    assert gone() is None
    assert reasons(found)


def test_a_query_is_copied_and_pickled_without_its_plan() -> None:
    import copy
    import pickle

    asked, metadata = query("Order").where(q.total == 1), shop()
    first = plan(asked, metadata, readable)
    assert plan(asked, metadata, readable) is plan(asked, metadata, readable) is first
    for other in (copy.deepcopy(asked), pickle.loads(pickle.dumps(asked))):
        assert other == asked
        assert other.kept is None
    assert plan(asked, shop(), readable) is not first, "other metadata have other plans"
