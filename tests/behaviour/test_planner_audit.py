"""What a planner should do, row by row (features 9, PLN-01 to PLN-30), and what released record layers got wrong
(features 17): which tests show it, and which rows are open. The rows that no other test shows are tested here.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field, q, query
from recordlayer.metadata import definitions
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, Order, builder, shop_file

TESTS = Path(__file__).resolve().parents[1]

QUERIES = "behaviour/test_queries.py"
PAGES = "behaviour/test_queries_pages.py"
PROMISED = "behaviour/test_queries_promised.py"
AGREE = "unit/query/test_plans_agree.py::test_every_plan_gives_what_a_plain_loop_gives"
EVERY_TYPE = (
    "unit/query/test_every_index_type_agrees.py::test_plans_over_every_type_of_index_give_what_a_plain_loop_gives"
)
LINES = "unit/query/test_explain.py::test_a_plan_in_one_line_says_what_is_scanned_and_what_is_tested"
GOLDEN = "unit/query/test_golden_plans.py::test_plans_word_for_word"
SHAPES = "unit/query/test_plans_of_a_shape.py"
BOUNDS = "unit/query/test_hints_and_bounds.py"
HERE = "behaviour/test_planner_audit.py"

FEATURES: dict[str, tuple[str, ...]] = {
    "PLN-01 plans are values: kept, looked at, run later": (
        "unit/query/test_explain.py::test_the_same_query_is_planned_once",
        f"{BOUNDS}::test_what_is_kept_keeps_no_store",
        f"{BOUNDS}::test_a_query_is_copied_and_pickled_without_its_plan",
        f"{SHAPES}::test_a_page_goes_on_with_the_plan_of_another_process",
    ),
    "PLN-02 scans of everything, by primary key, by type": (
        GOLDEN,
        f"{QUERIES}::test_primary_keys_that_begin_with_the_type_bound_the_scan_of_a_type",
        "behaviour/test_statistics.py::test_plans_follow_what_was_counted",
    ),
    "PLN-03 index scan with equality prefix and one range": (LINES, f"{PROMISED}::test_17_1_greater_never_gives_equal"),
    "PLN-04 a wider scan, trimmed later": (
        f"{HERE}::test_pln_04_a_scan_that_takes_more_than_was_asked_for_is_trimmed",
    ),
    "PLN-05 covering scans": (
        f"{QUERIES}::test_a_covering_query_has_the_fields_asked_for_and_reads_no_record",
        f"{QUERIES}::test_covered_values_behind_the_key_of_an_index_are_used",
    ),
    "PLN-06 entries are filtered and merged before records are read": (
        LINES,
        f"{HERE}::test_pln_06_records_are_read_behind_filters_unions_and_intersections",
    ),
    "PLN-08 residual filters, filters by type": (
        LINES,
        "behaviour/test_queries_ranks.py::test_types_are_a_condition_where_several_are_asked_for",
    ),
    "PLN-09 unions in order and without, distinct": (
        AGREE,
        LINES,
        f"{PROMISED}::test_17_5_records_of_two_types_with_equal_keys_are_two_records",
        "behaviour/test_grouping.py::test_17_5_records_of_several_types_with_equal_keys_are_all_in_their_groups",
    ),
    "PLN-10 intersections, also of aggregate indexes": (
        AGREE,
        f"{PAGES}::test_types_with_equal_numbers_in_their_keys_both_come_from_every_plan",
        "unit/query/test_kept_groups.py::test_groups_come_from_the_indexes_that_keep_them",
    ),
    "PLN-11 normal forms with limits": (
        "unit/query/test_normal_forms.py::test_alternatives_are_multiplied_out",
        "unit/query/test_normal_forms.py::test_too_many_alternatives_are_none",
    ),
    "PLN-12 IN as scans one after the other, as union that keeps an order, with limits": (
        LINES,
        GOLDEN,
        f"{PROMISED}::test_17_2_conditions_that_are_no_ranges_are_those_of_a_loop",
    ),
    "PLN-13 words, also of groups, and combined": (EVERY_TYPE, GOLDEN),
    "PLN-14 scans by rank": (
        "behaviour/test_queries_ranks.py::test_conditions_on_ranks_are_those_of_a_sorted_list",
        "behaviour/test_queries_ranks.py::test_conditions_on_ranks_in_a_window_of_a_leaderboard",
        EVERY_TYPE,
    ),
    "PLN-15 the order of an index, both ways": (
        f"{QUERIES}::test_an_order_is_that_of_an_index_with_null_first",
        f"{PROMISED}::test_17_7_an_order_is_honoured_or_refused",
    ),
    "PLN-16 sorts in bounded memory": (
        "behaviour/test_sorting_in_memory.py::test_17_12_a_sort_resumes_behind_every_record_in_whatever_memory",
        "behaviour/test_sorting_in_memory.py::test_memory_bounds_what_a_continuation_holds_and_how_often_records_are_read",
    ),
    "PLN-17 distinct values, the first or none, one row where there is nothing": (
        f"{HERE}::test_pln_17_distinct_values_the_first_or_none_and_a_row_for_nothing",
    ),
    "PLN-18 aggregates from indexes, streaming, bitmaps together": (
        "unit/query/test_kept_groups.py::test_every_plan_gives_the_groups_of_the_records",
        "behaviour/test_grouping.py::test_groups_stream_by_where_an_index_has_them_together",
        f"{QUERIES}::test_counting_uses_an_index_where_one_counts",
        EVERY_TYPE,
    ),
    "PLN-19 joins by flat map, elements as records": (
        "behaviour/test_joins.py::test_pairs_are_those_of_a_plain_loop",
        "behaviour/test_queries_synthetic.py::test_every_plan_gives_what_nested_loops_give",
    ),
    "PLN-20 a share of the queries takes another plan": (
        f"{HERE}::test_pln_20_a_share_of_the_pages_takes_another_plan_and_goes_on_with_it",
    ),
    "PLN-21 what is needed decides about covering": (
        LINES,
        f"{HERE}::test_pln_21_what_is_needed_decides_about_covering",
    ),
    "PLN-22 one planner, with switches": (
        f"{BOUNDS}::test_only_allowed_indexes_are_used",
        f"{BOUNDS}::test_an_index_that_its_option_keeps_from_queries_is_used_where_a_query_allows_it",
    ),
    "PLN-23 all alternatives are looked at and compared": (AGREE, EVERY_TYPE),
    "PLN-24 costs by statistics": (
        "behaviour/test_statistics.py::test_plans_follow_what_was_counted",
        "behaviour/test_statistics.py::test_sizes_are_estimated_by_the_engine_where_nothing_counts",
    ),
    "PLN-25 planning is bounded": (
        f"{BOUNDS}::test_thirty_two_alternatives_and_conditions_over_twelve_indexes_are_planned_within_bounds",
        f"{BOUNDS}::test_when_the_bound_is_reached_there_is_a_plan_all_the_same",
    ),
    "PLN-26 explain: text, JSON, graphs, what was done": (
        "behaviour/test_explaining.py::test_what_queries_did_word_for_word",
        "behaviour/test_explaining.py::test_plans_as_json_and_as_graphs_word_for_word",
        "unit/cli/test_query.py::test_a_plan_is_told_measured_drawn_and_given_to_programs",
    ),
    "PLN-27 plans are kept by shape, with conditions on values": (
        f"{SHAPES}::test_a_shape_is_planned_twice_and_then_only_filled",
        f"{SHAPES}::test_values_that_a_plan_depends_on_are_not_shared",
        f"{SHAPES}::test_hints_and_states_of_indexes_have_plans_of_their_own",
    ),
    "PLN-28 rules of others": (
        (
            "unit/query/test_custom_index_types.py::"
            "test_a_type_of_another_package_answers_conditions_that_no_type_of_ours_can"
        ),
    ),
    "PLN-29 states of indexes": (
        f"{BOUNDS}::test_17_4_an_index_that_is_not_readable_is_only_planned_with_where_a_query_tries_it",
        f"{PROMISED}::test_17_4_a_new_index_on_a_full_store_is_not_used_before_it_is_built",
    ),
    "PLN-30 hints": (
        f"{BOUNDS}::test_only_allowed_indexes_are_used",
        f"{BOUNDS}::test_hidden_indexes_are_not_used",
        f"{BOUNDS}::test_names_of_indexes_are_checked",
    ),
}
OPEN = {
    "PLN-07 records fetched by the database": "the client library for Python has no call for mapped ranges; records of "
    "a page of entries are read side by side, in one round trip",
    "PLN-13 intersections that are probable": "conditions on all prefixes are tested on the records; no Bloom filter",
    "PLN-14 scores worked out from ranks beforehand": "ranks are scanned as ranks, or tested on each record; a "
    "condition on a rank does not become one on the score for other indexes",
    "PLN-19 recursive queries, temporary tables, table functions": "there is no language that would ask for them",
    "PLN-28 rules as classes of one's own": "index types join in, rules do not",
}

FAILURES: dict[str, tuple[str, ...]] = {
    "17.1": (f"{PROMISED}::test_17_1_greater_never_gives_equal",),
    "17.2": (f"{PROMISED}::test_17_2_conditions_that_are_no_ranges_are_those_of_a_loop", AGREE),
    "17.3": (f"{PROMISED}::test_17_3_an_index_of_another_kind_is_not_read_as_a_value_index",),
    "17.4": (
        f"{PROMISED}::test_17_4_a_new_index_on_a_full_store_is_not_used_before_it_is_built",
        f"{BOUNDS}::test_17_4_an_index_that_is_not_readable_is_only_planned_with_where_a_query_tries_it",
    ),
    "17.5": (
        f"{PROMISED}::test_17_5_records_of_two_types_with_equal_keys_are_two_records",
        f"{PAGES}::test_types_with_equal_numbers_in_their_keys_both_come_from_every_plan",
    ),
    "17.6": (f"{PROMISED}::test_17_6_a_record_comes_once_also_across_continuations",),
    "17.7": (
        f"{PROMISED}::test_17_7_an_order_is_honoured_or_refused",
        "behaviour/test_sorting_in_memory.py::test_17_7_an_order_without_an_index_is_kept_in_memory_or_refused",
    ),
    "17.8": (
        f"{PROMISED}::test_17_8_unset_and_default_are_told_apart_where_a_field_has_presence",
        "unit/query/test_conditions.py::test_unset_default_and_null_are_three_things_where_the_metadata_tells_them_apart",
        "unit/query/test_conditions.py::test_the_tables_of_three_valued_logic",
    ),
    "17.9": (f"{PROMISED}::test_17_9_conditions_on_elements_of_scalars_and_of_messages",),
    "17.10": (
        "behaviour/test_indexes_unique.py::test_the_index_may_be_read_as_unique_when_all_is_resolved",
        "behaviour/test_indexes_unique.py::test_a_reader_of_violations_conflicts_with_those_that_come",
        (
            "behaviour/test_online_builds.py::"
            "test_equal_values_of_a_unique_index_are_found_and_the_build_is_finished_when_they_are_gone"
        ),
    ),
    "17.11": (
        "behaviour/test_saving_and_loading.py::test_records_of_any_size_come_back",
        "behaviour/test_saving_and_loading.py::test_a_record_grows_and_shrinks_without_leaving_parts_behind",
        "behaviour/test_repairing_records.py::test_what_is_no_record_is_deleted_with_its_entries",
    ),
    "17.12": (
        f"{PROMISED}::test_17_12_pages_of_any_size_are_the_whole",
        "behaviour/test_grouping.py::test_17_12_groups_stop_and_resume_anywhere_also_within_a_group",
        "behaviour/test_joins.py::test_17_12_joins_stop_and_resume_anywhere",
        "behaviour/test_sorting_in_memory.py::test_17_12_a_sort_that_limits_stop_goes_on_where_it_was",
        AGREE,
        EVERY_TYPE,
    ),
    "17.13": (
        "behaviour/test_ranks.py::test_random_changes_leave_the_ranks_of_a_sorted_list",
        "behaviour/test_ranks.py::test_eight_writers_at_once_end_with_right_ranks",
    ),
    "17.14": (
        f"{PROMISED}::test_17_14_a_word_is_not_the_beginning_of_another",
        "behaviour/test_texts.py::test_a_word_is_found_as_a_whole",
    ),
    "17.15": (
        "behaviour/test_builds_under_load.py::test_indexes_built_under_writers_hold_what_a_recount_gives",
        "behaviour/test_builds_under_load.py::test_a_builder_that_is_killed_again_and_again_comes_to_the_end",
    ),
    "17.16": (f"{PROMISED}::test_17_16_what_a_transaction_has_written_comes_last_by_version",),
    "17.17": (
        (
            "behaviour/test_metadata_stores.py::"
            "test_a_program_with_older_metadata_than_the_store_is_told_both_versions_and_how_to_go_on"
        ),
    ),
    "17.18": (
        "behaviour/test_migrations.py::test_a_rename_is_applied_where_it_is_allowed_and_builds_nothing",
        "unit/metadata/test_evolution.py::test_messages_keep_their_form",
    ),
    "17.19": ("house/test_readme.py::test_the_programs_do_what_they_say",),
    "17.20": ("unit/cli/test_expression.py::test_what_is_not_understood_is_refused_with_its_place",),
    "17.21": (
        f"{PROMISED}::test_17_21_a_continuation_that_cannot_go_on_is_refused",
        "golden/test_continuations.py::test_continuations_of_every_release_resume_where_they_were_taken",
    ),
    "17.22": ("behaviour/test_idempotency.py::test_a_thousand_unknown_commits_apply_their_work_once_each",),
}


@cache
def names_in(name: str) -> frozenset[str]:
    parsed = ast.parse((TESTS / name).read_text(encoding="utf-8"))
    return frozenset(node.name for node in parsed.body if isinstance(node, ast.FunctionDef))


def test_every_row_has_tests_that_are_there_or_a_reason_why_it_is_open() -> None:
    rows = {*FEATURES, *OPEN}
    assert {row[:6] for row in rows} == {f"PLN-{number:02}" for number in range(1, 31)}
    assert FAILURES.keys() == {f"17.{number}" for number in range(1, 23)}
    for row, shown_by in (FEATURES | FAILURES).items():
        assert shown_by, row
        for one in shown_by:
            file, _, name = one.partition("::")
            if file.startswith("house/") and not (TESTS / "house").exists():
                continue  # they judge the source tree, and an installed package is tested without it
            assert name in names_in(file), (row, one)


INDEXED = (
    builder()
    .index("Order", "by_total", rl.concat("total", "customer"))
    .index("Order", "by_customer", rl.concat("customer", "total"))
    .index("Order", "by_note", field("note"))
    .index("Order", "by_tag", field("tags").fan_out())
    .index("Order", "words", definitions.text_index("note"))
    .build()
)
ORDERS = [
    Order(
        id=number,
        customer=("ana", "bo")[number % 2],
        total=number % 5,
        note=("apples", "pears")[number % 3 == 0],
        tags=["x", "y"][: number % 3 + number % 2],
    )
    for number in range(1, 13)
]


@pytest.fixture
def orders(db: Any) -> Any:
    shop = Shop(db, INDEXED)
    shop.save(*ORDERS)
    yield shop
    shop.check()


def ids(messages: Any) -> list[int]:
    return sorted(message.id for message in messages)


def line(shop: Shop, asked: Any) -> str:
    with shop.db.transaction() as tx:
        found: str = tx.store(shop.metadata, path=PATH).explain(asked).line
        return found


def test_pln_04_a_scan_that_takes_more_than_was_asked_for_is_trimmed(db: Any) -> None:
    """Zeros without presence are nulls in an index, before all negative numbers: one range has both, and more."""
    metadata = (
        rl.RecordMetaDataBuilder(shop_file("proto3"))
        .primary_key("Order", field("id"))
        .index("Order", "by_total", field("total"))
        .build()
    )
    order: Any = metadata.record_type("Order").message_class
    shop = Shop(db, metadata)
    totals = [-5, -1, 0, 0, 3, 8]
    shop.save(*[order(id=number, total=total) for number, total in enumerate(totals, 1)])
    asked = query("Order").where(q.total > -3, q.total < 8)
    assert line(shop, asked) == "Fetch(FilterEntries(Scan(by_total(..., 8)), total > -3 and total < 8))"
    assert ids(shop.messages(asked)) == [2, 3, 4, 5]
    shop.check()


def test_pln_06_records_are_read_behind_filters_unions_and_intersections(orders: Shop) -> None:
    """As many records are read as there are results."""
    for asked in (
        query("Order").where(q.total >= 1, q.customer == "ana", q.total != 2).use_indexes("by_total"),
        query("Order").where((q.note == "plums") | (q.note == "pears")),
        query("Order").where(q.note == "pears", q.tags.contains("x")),
    ):
        with orders.db.transaction() as tx:
            analyzed = tx.store(INDEXED, path=PATH).analyze(asked)
        found = orders.messages(asked)
        assert found
        assert analyzed.line.startswith("Fetch(")
        (below,) = analyzed.root.children
        assert analyzed.root.actual.rows == below.actual.rows == len(found)
        assert analyzed.root.actual.keys - below.actual.keys == len(found), "so many records are read"


def test_pln_17_distinct_values_the_first_or_none_and_a_row_for_nothing(orders: Shop) -> None:
    assert [tuple(row) for row in orders.messages(query("Order").select_distinct("customer"))] == [("ana",), ("bo",)]
    nothing = query("Order").where(q.customer == "cy")
    with orders.db.transaction() as tx:
        store = tx.store(INDEXED, path=PATH)
        first = store.query(query("Order").where(q.customer == "bo").order_by("total")).first()
        assert first == ORDERS[4]
        assert store.query(nothing).first() is None
    (row,) = orders.messages(nothing.aggregate(orders=rl.agg.count(), most=rl.agg.max("total")))
    assert tuple(row) == (0, None)


def test_pln_20_a_share_of_the_pages_takes_another_plan_and_goes_on_with_it(orders: Shop) -> None:
    """A caller who tries an index on some of the queries gets the same records; a page that went another way is not
    mixed up with it."""
    plain = query("Order").where(q.customer == "ana", q.total > 0)
    tried = plain.use_indexes("by_total")
    assert line(orders, plain) != line(orders, tried)

    def page(asked: Any, resume: bytes | None = None) -> tuple[list[int], bytes | None]:
        with orders.db.transaction() as tx:
            found = tx.store(INDEXED, path=PATH).query(asked, limit=2, resume=resume)
            return [one.id for one in found.all()], found.continuation

    for asked in (plain, tried):
        whole, resume = page(asked)
        while resume is not None:
            more, resume = page(asked, resume)
            whole += more
        assert sorted(whole) == ids(orders.messages(plain))
    _, resume = page(plain)
    with pytest.raises(errors.BadContinuation):
        page(tried, resume)


def test_pln_21_what_is_needed_decides_about_covering(orders: Shop) -> None:
    asked = query("Order").where(q.total == 3)
    assert line(orders, asked) == "Fetch(Scan(by_total[total = 3]))"
    assert line(orders, asked.select("id", "customer")) == "Cover(Scan(by_total[total = 3]))"
    assert line(orders, asked.select("id", "note")) == "Fetch(Scan(by_total[total = 3]))"
