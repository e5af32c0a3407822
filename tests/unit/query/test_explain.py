"""What plans say about themselves, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from recordlayer import q, query
from recordlayer.errors import NoPlan
from recordlayer.index.state import IndexState
from recordlayer.metadata import Index
from recordlayer.query.explain import explain
from recordlayer.query.planner import plan
from tests.support.shop import SHOP, shop


def readable(index: Index) -> IndexState:
    return IndexState.DISABLED if index.name == "by_city" else IndexState.READABLE


def text(asked: Any) -> str:
    return str(explain(plan(asked, SHOP, readable)))


def line(asked: Any) -> str:
    return plan(asked, SHOP, readable).plan.line


EXPLAINED = """\
Filter paid = False                                   ~30 records
└─ Fetch Order                                        ~100 records
   └─ Scan by_customer_and_total [customer = 'ana']   ~100 entries
reads ~200 pairs in 2 round trips (an estimate without statistics)
not used: by_city is DISABLED
not used: by_customer gives another order
not used: by_name has no records of type Order
not used: by_tag has no entries of records whose repeated field is empty
not used: by_total_with_note costs more (~20,000 pairs)
not used: orders_per_customer is a count index
not used: primary key gives another order
not used: sales_per_customer is a sum index"""


def test_a_plan_is_a_tree_with_its_cost_and_the_reasons_against_other_indexes() -> None:
    unpaid = query("Order").where(q.customer == "ana", q.paid == False).order_by("total")  # noqa: E712  (a predicate)
    assert text(unpaid) == EXPLAINED


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (query("Order").where(q.id == 3), "Only(Scan(records[id = 3]), Order)"),
        (query("Order").where(q.customer == "ana"), "Fetch(Scan(by_customer[customer = 'ana']))"),
        (
            query("Order").where(q.total > 3, q.customer == "ana"),
            "Fetch(Scan(by_customer_and_total[customer = 'ana', total > 3]))",
        ),
        (
            query("Order").where(q.total > 3, q.total <= 9, q.note == "x"),
            "Fetch(FilterEntries(Scan(by_total_with_note[total > 3, total <= 9]), note = 'x'))",
        ),
        (query("Order").where(q.tags.one_of_them() == "x"), "Fetch(Scan(by_tag[tags[any] = 'x']))"),
        (query("Order").where(q.tags.one_of_them() > "x"), "Fetch(Scan(by_tag[tags[any] > 'x']), each once)"),
        (
            query("Order").where(q.customer.starts_with("a")).select("customer", "id"),
            "Cover(Scan(by_customer[customer begins with 'a']))",
        ),
        (
            query("Order").order_by("customer", reverse=True),
            "Fetch(Scan(by_customer[all] in reverse))",
        ),
        (query("Order").where(q.address.city == "x"), "Filter(Only(Scan(records[all]), Order), address.city = 'x')"),
        (query("Customer").where(q.name == "ana"), "Fetch(Scan(by_name[name = 'ana']))"),
        (query(), "Scan(records[all])"),
        (query("Order").where(q.customer.in_([])), "Fetch(Scan(by_customer[customer in []]))"),
        (
            query("Order").where(q.customer.in_(["bo", "ana"]), q.total > 3).order_by("customer", "total"),
            "Fetch(Scan(by_customer_and_total[customer in ['bo', 'ana'], total > 3]))",
        ),
        (query("Order").where(q.id.in_([1, 2])), "Only(Load(records[id in [1, 2]]), Order)"),
        (
            query("Order").where(q.tags.one_of_them().in_(["x", "y"])),
            "Fetch(Union(Scan(by_tag[tags[any] = 'x']), Scan(by_tag[tags[any] = 'y']) by primary key))",
        ),
        (
            query("Order").where((q.customer == "ana") | (q.total == 10)),
            "Fetch(Union(Scan(by_customer[customer = 'ana']), Scan(by_total_with_note[total = 10]) by primary key))",
        ),
        (
            query("Order").where((q.customer == "ana") | (q.total == 10), q.note == "x"),
            (
                "Filter(Fetch(Union(Scan(by_customer[customer = 'ana']), "
                "FilterEntries(Scan(by_total_with_note[total = 10]), note = 'x') by primary key)), note = 'x')"
            ),
        ),
        (
            query("Order").where(q.customer.in_(["bo", "ana"])).order_by("total", reverse=True),
            (
                "Fetch(Union(Scan(by_customer_and_total[customer = 'bo'] in reverse), "
                "Scan(by_customer_and_total[customer = 'ana'] in reverse) by total, primary key))"
            ),
        ),
        (
            query("Order").where((q.customer > "b") | (q.tags.one_of_them() >= "n")),
            "Filter(Only(Scan(records[all]), Order), customer > 'b' or tags[any] >= 'n')",
        ),
        (
            query("Order").where((q.customer.starts_with("b")) | (q.tags.one_of_them().starts_with("n"))),
            (
                "Concat(Fetch(Scan(by_customer[customer begins with 'b'])), "
                "Filter(Fetch(Scan(by_tag[tags[any] begins with 'n']), each once), "
                "(customer begins with 'b') is not true))"
            ),
        ),
        (
            query("Order").where(q.customer == "ana", q.tags.one_of_them() == "gift", q.paid == True),  # noqa: E712
            (
                "Filter(Fetch(Intersect(Scan(by_customer[customer = 'ana']), Scan(by_tag[tags[any] = 'gift']) "
                "by primary key)), paid = True)"
            ),
        ),
        (
            query("Order").where(q.customer == "ana").order_by("note", in_memory=100),
            "Sort(Fetch(Scan(by_customer[customer = 'ana'])) by note)",
        ),
        (
            query("Order").where(q.customer.like("a%")),
            "Fetch(Scan(by_customer[customer begins with 'a']))",
        ),
        (
            query("Order").where(q.customer.like("a%b")),
            "Fetch(FilterEntries(Scan(by_customer[customer begins with 'a']), customer like 'a%b'))",
        ),
        (
            query("Order").where(q.tags.one_of_them(unknown_if_empty=True) == "x", q.total.is_not_distinct_from(3)),
            "Fetch(Intersect(Scan(by_tag[tags[any] = 'x']), Scan(by_total_with_note[total = 3]) by primary key))",
        ),
        (
            query("Order").where(q.tags.one_of_them() > "x").with_duplicates(),
            "Fetch(Scan(by_tag[tags[any] > 'x']))",
        ),
    ],
)
def test_a_plan_in_one_line_says_what_is_scanned_and_what_is_tested(asked: Any, expected: str) -> None:
    assert line(asked) == expected


def test_a_missing_index_is_named_with_nested_and_repeated_fields() -> None:
    with pytest.raises(NoPlan) as raised:
        plan(query("Order").where(q.tags.one_of_them() == "x").order_by("address.zip"), SHOP, readable)
    assert 'concat(field("tags").fan_out(), field("address").nest(field("zip")))' in raised.value.hint


def test_a_query_reads_as_it_was_asked() -> None:
    asked = query("Order").where((q.a == 1) | ~(q.b > "x"), q.c.is_null()).order_by("d", reverse=True).select("e")
    assert str(asked) == "Order where (a = 1 or not (b > 'x')) and c is null order by d descending select e"


def test_the_same_query_is_planned_once() -> None:
    asked = query("Order").where(q.customer == "ana")
    assert plan(asked, SHOP, readable) is plan(query("Order").where(q.customer == "ana"), SHOP, readable)
    one, other = query("Order").where(q.total == 1), query("Order").where(q.total == 2)
    assert plan(one, SHOP, readable).plan.line != plan(other, SHOP, readable).plan.line


def test_other_values_take_the_way_of_the_first_and_come_to_the_same_plan() -> None:
    pairs = [
        (q.customer == "ana", q.customer == "bo"),
        (q.customer.in_(["a", "b"]), q.customer.in_(["c", "d"])),
        ((q.customer == "a") | (q.total == 1), (q.customer == "b") | (q.total == 2)),
        ((q.customer == "a") & (q.total == 1), (q.customer == "b") & (q.total == 2)),
        (q.total.between(1, 2), q.total.between(3, 9)),
        (q.customer.starts_with("a") | q.tags.one_of_them().starts_with("n"),) * 2,
    ]
    for one, other in pairs:
        used, fresh = shop(), shop()
        for metadata in (used, fresh):
            if metadata is used:
                plan(query("Order").where(one), metadata, readable)
            found = plan(query("Order").where(other), metadata, readable)
            lines = found.plan.line, [each.line for each in found.others], found.rejected
            if metadata is used:
                kept = lines
        assert lines == kept


def test_equal_values_of_different_types_are_different_queries() -> None:
    one = plan(query("Order").where(q.ratio == 1), SHOP, readable)
    other = plan(query("Order").where(q.ratio == 1.0), SHOP, readable)
    zero, minus = (plan(query("Order").where(q.ratio == value), SHOP, readable) for value in (0.0, -0.0))
    assert one is not other
    assert zero is not minus
    assert zero.plan.line != minus.plan.line
