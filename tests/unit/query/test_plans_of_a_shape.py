"""Queries that differ in their values only are planned once, and each has the plan that it would have had alone."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import agg, errors, field, q, query
from recordlayer.cursor.step import drain
from recordlayer.index.state import IndexState
from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.metadata import Index, predicate
from recordlayer.metadata.definitions import text_index
from recordlayer.query import counting, planner, problem
from recordlayer.query.counting import count_plan
from recordlayer.query.execute import count, planned, run_query
from recordlayer.query.explain import explain
from recordlayer.query.knowledge import ASSUMED
from recordlayer.query.plan.base import Run
from recordlayer.query.planner import Asking, Filled, plan
from recordlayer.query.rules import grouping
from recordlayer.query.rules.grouping import plan_groups
from recordlayer.store.check import check
from recordlayer.store.open import open_store
from recordlayer.store.store import RecordStore
from recordlayer.testing.clock import ManualClock
from recordlayer.waiting.drivers import run_blocking
from tests.support import things
from tests.support.shop import builder, shop, shop_file

NAMES = ["", "a", "a\x00", "ab", "b", "c"]
NUMBERS = [-3, 0, 1, 2, 7]
VALUES: dict[str, list[Any]] = {"customer": NAMES, "total": NUMBERS, "id": [1, 2, 3, 4, 5]}
OPERATORS: dict[str, Any] = {
    "=": lambda path, value: path == value,
    "!=": lambda path, value: path != value,
    "<": lambda path, value: path < value,
    ">=": lambda path, value: path >= value,
    "begins": lambda path, value: path.starts_with(value) if isinstance(value, str) else path > value,
    "in": lambda path, value: path.in_([value, "c" if isinstance(value, str) else 2]),
    "in many": lambda path, value: path.in_([*(NAMES if isinstance(value, str) else NUMBERS)[3:0:-1], value, value]),
    "like": lambda path, value: path.like(f"{value}%") if isinstance(value, str) else path <= value,
    "not distinct": lambda path, value: path.is_not_distinct_from(value),
    "tag": lambda path, value: q.tags.one_of_them() == str(value),
}
Way = Any
"""A comparison as (field, operator), or ("and" | "or" | "not", parts)."""
LEAVES = st.tuples(st.sampled_from(sorted(VALUES)), st.sampled_from(sorted(OPERATORS)))
WAYS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.just("and"), st.tuples(inner, inner)),
        st.tuples(st.just("or"), st.tuples(inner, inner)),
        st.tuples(st.just("not"), st.tuples(inner)),
    ),
    max_leaves=4,
)


def condition(way: Way, draw: Any) -> Any:
    name, what = way
    if name in VALUES:
        return OPERATORS[what](q[name], draw(st.sampled_from(VALUES[name])))
    first, *others = [condition(part, draw) for part in what]
    if name == "not":
        return ~first
    return first & others[0] if name == "and" else first | others[0]


def metadata_of(syntax: str, *, also_some: bool = False) -> rl.RecordMetaData:
    made = (
        rl.RecordMetaDataBuilder(shop_file(syntax))
        .primary_key("Order", field("id"))
        .index("Order", "by_customer_total", rl.concat("customer", "total"))
        .index("Order", "by_total", field("total"))
        .index("Order", "by_customer", field("customer"))
        .index("Order", "by_tag_total", rl.concat(field("tags").fan_out(), "total"))
    )
    if also_some:
        made = made.index("Order", "above_1", rl.concat("customer", "total"), where=predicate.compare("total", ">", 1))
    return made.build()


def readable(index: Index) -> IndexState:
    return IndexState.READABLE


def alone(asked: Any, metadata: rl.RecordMetaData) -> planner.Survey:
    """All plans of a query that nothing is kept for, the best first."""
    return Asking(asked, metadata, readable, ASSUMED).survey()


def begun() -> Context:
    """A transaction that stays young however long a busy machine takes."""
    world = ManualClock().world()
    return Context(open_engine("memory:", world=world).begin(), world=world)


async def filled(context: Context, metadata: rl.RecordMetaData) -> RecordStore:
    store = await open_store(context, metadata, b"\x02s\x00")
    order: Any = metadata.record_type("Order").message_class
    for number in range(1, 15):
        given = {"customer": NAMES[number % 6], "total": NUMBERS[number % 5], "tags": NAMES[: number % 3]}
        if number % 4 == 0:
            del given["customer"]
        await store.save(order(id=number, **given))
    return store


@pytest.mark.parametrize(("syntax", "also_some"), [("proto2", False), ("proto3", False), ("proto2", True)])
def test_a_plan_that_was_filled_is_the_one_that_the_query_would_have_alone(syntax: str, also_some: bool) -> None:
    used, fresh = {True: 0, False: 0}, metadata_of(syntax, also_some=also_some)
    context = begun()
    store = run_blocking(filled(context, fresh))

    async def rows(of: Any) -> list[Any]:
        return sorted([record.primary_key for record in await drain(of.execute(Run(store=store)))])

    @settings(max_examples=100, deadline=None)
    @given(data=st.data())
    def agree(data: st.DataObject) -> None:
        fresh.kept.pop(planner.PLANS, None)  # every example is for itself
        way = data.draw(WAYS)
        order = data.draw(st.sampled_from([(), (), ("total",), ("customer", "total")]))
        for _ in range(6):
            asked = query("Order").where(condition(way, data.draw))
            asked = asked.order_by(*order, in_memory=100) if order else asked
            found, survey = plan(asked, fresh, readable), alone(asked, fresh)
            used[isinstance(found, Filled)] += 1
            lines = {one.line: one for _, one in survey.found}
            assert found.plan.line in lines
            same = lines[found.plan.line]
            assert found.plan.identity == same.identity
            assert found.plan.estimate == same.estimate
            assert run_blocking(rows(found.plan)) == run_blocking(rows(survey.found[0][1]))

    agree()
    run_blocking(verified(store))
    context.close()
    assert used[True] > used[False] // 20


async def verified(store: RecordStore) -> None:
    assert await check(store) == []


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every query that a problem is made of: nothing is planned without one."""
    seen: list[Any] = []
    make = problem.problem_of

    def noted(asked: Any, *args: Any, **how: Any) -> Any:
        seen.append(asked)
        return make(asked, *args, **how)

    monkeypatch.setattr(planner, "problem_of", noted)
    return seen


SHAPES: dict[str, Any] = {
    "look-up": lambda n: query("Order").where(q.customer == f"c{n}"),
    "union": lambda n: query("Order").where((q.customer == f"c{n}") | (q.customer == f"d{n}")),
    "intersection": lambda n: query("Order").where(q.customer == f"c{n}", q.total == n + 1),
    "range and filter": lambda n: query("Order").where(q.customer == f"c{n}", q.total > n, ~(q.note == f"n{n}")),
    "between": lambda n: query("Order").where(q.total.between(n, 2 * n)),
    "beginning": lambda n: query("Order").where(q.customer.starts_with(f"c{n}")),
    "one after the other": lambda n: query("Order").where((q.customer == f"c{n}") | (q.total > 2 * n)),
    "list": lambda n: query("Order").where(q.customer.in_([f"d{n}", f"c{n}", f"d{n}"])),
    "list behind": lambda n: query("Order").where(q.customer == f"c{n}", q.total.in_([n, n + 100, n + 10])),
    "list of keys": lambda n: query("Order").where(q.id.in_([n + 20, n]), q.note == f"c{n}"),
    "list as a union": lambda n: query("Order").where(q.customer.in_([f"c{n}", f"d{n}"])).order_by("total"),
    "list as a filter": lambda n: query("Order").where(q.customer == f"c{n}", q.note.in_(["x", f"n{n}", ""])),
}


def partly_indexed() -> rl.RecordMetaData:
    """An index has the orders that are not paid, and another those with a total above 3."""
    made = builder().index("Order", "open", field("customer"), where=predicate.compare("paid", "=", False))
    return made.index("Order", "large", field("note"), where=predicate.compare("total", ">", 3)).build()


OTHER_SHAPES: dict[str, tuple[Any, Any]] = {
    "sorted in memory": (
        shop,
        lambda n: query("Order").where(q.customer == f"c{n}").order_by("note", in_memory=10),
    ),
    "several types": (
        lambda: things.metadata_of("proto2"),
        lambda n: query("Thing", "Note").where(q.name == f"c{n}", q.name != f"cc{n}"),
    ),
    "indexes of some records": (
        partly_indexed,
        lambda n: query("Order").where(q.paid == False, q.customer == f"c{n}", q.note > f"c{n}"),  # noqa: E712
    ),
}
ALL_SHAPES = {name: (shop, make) for name, make in SHAPES.items()} | OTHER_SHAPES


@pytest.mark.parametrize("name", ALL_SHAPES)
def test_a_shape_is_planned_twice_and_then_only_filled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (metadata_of_shape, make), seen = ALL_SHAPES[name], counted(monkeypatch)
    metadata = metadata_of_shape()
    for number in range(1, 3):
        plan(make(number), metadata, readable)
    seen.clear()
    found = [plan(make(number), metadata, readable) for number in range(3, 9)]
    assert not seen
    for number, one in enumerate(found, 3):
        assert one.plan.line == alone(make(number), metadata).found[0][1].line
        assert str(explain(one)).count(f"c{number}" if "between" not in name else str(2 * number))
        assert one.plan.line not in [other.line for other in one.others]


TEXTS: dict[str, Any] = {
    "words": (lambda n: q.note.has_words(f"w{n} v{n}"), lambda n: q.note.has_words(f"w{n} v{n} u{n}")),
    "phrases": (lambda n: q.note.has_phrase(f"w{n} v{n}"), lambda n: q.note.has_any_word(f"w{n} v{n}")),
    "beginnings": (lambda n: q.customer.like(f"c{n}%"), lambda n: q.customer.like(f"%c{n}")),
    "patterns": (lambda n: q.customer.like(f"c{n}%z"), lambda n: q.customer.like(f"c{n}")),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_looked_for_in_texts_is_no_part_of_the_shape_but_its_kind_is(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one kind of search all plans are looked at once; what is of another kind has a way of its own."""
    metadata = builder().index("Order", "words", text_index("note")).build()
    surveyed: list[Any] = []
    survey = Asking.survey
    monkeypatch.setattr(Asking, "survey", lambda self: surveyed.append(self.query) or survey(self))
    for number in range(5):
        for make in TEXTS[name]:
            asked = query("Order").where(make(number))
            found = plan(asked, metadata, readable).plan
            before = len(surveyed)
            best = alone(asked, metadata).found[0][1]
            assert (found.line, found.identity, found.estimate) == (best.line, best.identity, best.estimate)
            del surveyed[before:]
    assert len(surveyed) == len(TEXTS[name])


def test_a_template_is_for_the_values_that_an_index_has_chosen_its_records_by() -> None:
    """A plan over an index of some records is never filled for values of which it has others."""
    metadata = partly_indexed()

    def line(asked: Any) -> str:
        return plan(asked, metadata, readable).plan.line

    for number in range(1, 9):
        for paid in (False, True):
            asked = query("Order").where(q.paid == paid, q.customer == f"c{number}")
            assert line(asked) == alone(asked, metadata).found[0][1].line
            assert ("open[" in line(asked)) is not paid
        asked = query("Order").where(q.note == f"c{number}", q.total > number)
        assert line(asked) == alone(asked, metadata).found[0][1].line
        assert ("large[" in line(asked)) is (number >= 3)


def test_values_that_a_plan_depends_on_are_not_shared() -> None:
    metadata = metadata_of("proto3")

    def line(asked: Any) -> str:
        return plan(asked, metadata, readable).plan.line

    for number in range(1, 4):
        assert f"total > {number}" in line(query("Order").where(q.total > number))
    for asked in (
        query("Order").where(q.total > 0),  # zeros are nulls in the index
        query("Order").where(q.total > -1),
        query("Order").where((q.customer == "a") | (q.customer == "a")),
        query("Order").where((q.customer == "a") | (q.customer == "b")),
        query("Order").where((q.customer == "b") | (q.customer == "c")),
        query("Order").where((q.customer == "c") | (q.customer == "d")),
        query("Order").where((q.customer == "c") | (q.customer == "c")),
        query("Order").where(q.customer.starts_with("")),
        query("Order").where(q.total > 1, q.total > 2),
        query("Order").where(q.total > 2, q.total > 3),
        query("Order").where(q.total > 4, q.total > 3),
        query("Order").where(q.id.in_([1, 2])),
        query("Order").where(q.id.in_([2, 1])),
        query("Order").where(q.id.in_([1, 1])),
    ):
        assert line(asked) == alone(asked, metadata).found[0][1].line


def test_lists_whose_values_a_column_has_in_another_order_have_plans_of_their_own() -> None:
    """The names of an enum sort otherwise than its numbers; numbers that are too large for a float become the same."""
    metadata = builder().index("Order", "by_status", field("status")).index("Order", "by_ratio", field("ratio")).build()
    names = [one.name for one in metadata.record_type("Order").descriptor.fields_by_name["status"].enum_type.values]
    large = 1 << 60
    for asked in [
        *[query("Order").where(q.status.in_(two)) for two in itertools.permutations(names, 2)],
        *[query("Order").where(q.ratio.in_([low, low + 1])) for low in (1, 2, 3, large, 4, large, 5, -1)],
        *[query("Order").where(q.ratio.in_([low, low + 1.0])) for low in (1, 2, 0, -1)],
    ]:
        found, own = plan(asked, metadata, readable).plan, alone(asked, metadata).found[0][1]
        assert (found.line, found.identity) == (own.line, own.identity)


def test_values_that_do_not_fit_are_refused_however_often_others_did() -> None:
    metadata = shop()
    for number in range(1, 5):
        plan(query("Order").where(q.total == number), metadata, readable)
    with pytest.raises(errors.WrongType):
        plan(query("Order").where(q.total == "five"), metadata, readable)
    with pytest.raises(errors.WrongType):
        plan(query("Order").where(q.total == True), metadata, readable)  # noqa: E712  (it is the value)
    for number in range(1, 5):
        plan(query("Order").where(q.id.in_([number, 9])), metadata, readable)
    for wrong in (["five", "six"], [1, "six"], [1, True]):
        with pytest.raises(errors.WrongType):
            plan(query("Order").where(q.id.in_(wrong)), metadata, readable)


def test_hints_and_states_of_indexes_have_plans_of_their_own() -> None:
    metadata = builder().index("Order", "other", field("customer")).build()
    lines = {plan(SHAPES["look-up"](number), metadata, readable).plan.line for number in range(4)}
    (used,) = {line.partition("[")[0].rpartition("(")[2] for line in lines}
    hidden = plan(SHAPES["look-up"](5).hide_indexes(used), metadata, readable)
    assert f"({used}[" not in hidden.plan.line

    def without(index: Index) -> IndexState:
        return IndexState.DISABLED if index.name == used else IndexState.READABLE

    assert f"({used}[" not in plan(SHAPES["look-up"](6), metadata, without).plan.line


def test_a_page_goes_on_with_the_plan_of_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A continuation that a plan from scratch gave is resumed by a filled one, and the other way round."""
    context = begun()
    metadata = metadata_of("proto2")
    store = run_blocking(filled(context, metadata))

    def ask(number: int) -> Any:
        return query("Order").where(q.total == NUMBERS[number])

    async def pages(number: int) -> list[Any]:
        found, resume = [], None
        while True:
            batch = await run_query(store, ask(number), limit=1, resume=resume).batch()
            found += [record.primary_key for record in batch.values]
            resume = batch.end
            if resume is None or not batch.values:
                return found
            if len(found) % 2:
                metadata.kept.pop(planner.PLANS, None)
                for other in (2, 3):
                    plan(ask(other), metadata, readable)

    expected = sorted([(number,) for number in range(1, 15) if number % 5 == 4])
    assert sorted(run_blocking(pages(4))) == expected
    run_blocking(verified(store))
    context.close()


COUNTED: dict[str, Any] = {
    "one group": lambda n: query("Order").where(q.customer == f"c{n}"),
    "a range of groups": lambda n: query("Order").where(q.customer == "a", q.total > n),
    "several groups": lambda n: query("Order").where(q.customer.in_([f"c{n}", f"d{n}"])),
    "rows": lambda n: query("Order").where(q.note == f"n{n}"),
}


@pytest.mark.parametrize("name", COUNTED)
def test_counts_of_a_shape_are_those_that_each_would_have_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def metadata() -> rl.RecordMetaData:
        made = builder().index("Order", "per_customer", rl.count(group_by="customer"))
        return made.index("Order", "per_total", rl.count(group_by=rl.concat("customer", "total"))).build()

    async def ask(of: RecordStore, number: int) -> tuple[str, Any, int]:
        asked = COUNTED[name](number)
        chosen = count_plan(of, asked, lambda one: planned(of, one).plan)
        return chosen.line, chosen.estimate, await count(of, asked)

    made: list[Any] = []
    make = counting.problem_of
    monkeypatch.setattr(
        counting, "problem_of", lambda asked, *how, **more: made.append(asked) or make(asked, *how, **more)
    )
    context, fresh = begun(), begun()
    used = run_blocking(filled(context, metadata()))
    for number in range(-3, 5):
        before = len(made)
        found = run_blocking(ask(used, number))
        planned_anew = len(made) - before
        alone = run_blocking(filled(fresh, metadata()))
        assert found == run_blocking(ask(alone, number))
        assert name == "rows" or number not in (-1, 3, 4) or not planned_anew
    run_blocking(verified(used))
    context.close()
    fresh.close()


GROUPED: dict[str, Any] = {
    "in memory": lambda n: query("Order").where(q.customer == f"c{n}").group_by("note", in_memory=10),
    "streaming": lambda n: query("Order").where(q.total > n).group_by("total"),
    "in another order": lambda n: query("Order").where(q.customer == f"c{n}").group_by("note", "total"),
    "over all": lambda n: query("Order").where(q.customer == f"c{n}"),
    "kept": lambda n: query("Order").where(q.customer == f"c{n}").group_by("customer"),
}


@pytest.mark.parametrize("name", GROUPED)
def test_groups_of_a_shape_are_planned_once_and_are_those_that_each_would_have_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def metadata() -> rl.RecordMetaData:
        made = builder().index("Order", "by_three", rl.concat("customer", "total", "note"))
        made = made.index("Order", "by_total", rl.concat("total", "customer"))
        return made.index("Order", "per_customer", rl.count(group_by="customer")).build()

    def ask(number: int) -> Any:
        return GROUPED[name](number).aggregate(n=agg.count(), most=agg.max("total")).having(q.n > number)

    used = metadata()
    first = plan_groups(ask(1), used, readable)
    looked: list[Any] = []
    survey = grouping._Asking.by_survey
    monkeypatch.setattr(grouping._Asking, "by_survey", lambda self: looked.append(self.query) or survey(self))
    for number in range(2, 6):
        found, alone = plan_groups(ask(number), used, readable), plan_groups(ask(number), metadata(), readable)
        assert len(looked) == number - 1, "the one without anything kept has looked at all"
        assert found.plan.line == alone.plan.line != first.plan.line
        assert found.plan.identity == alone.plan.identity
        assert found.plan.estimate == alone.plan.estimate
        assert [one.line for one in found.others] == [one.line for one in alone.others]
        assert found.rejected == alone.rejected
    assert plan_groups(ask(1), used, readable).plan.line == first.plan.line
