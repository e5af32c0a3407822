"""Differences between two schemas: each once, with a judgement that says why."""

from __future__ import annotations

import pytest

from recordlayer.keys import field
from recordlayer.metadata import Evolution, RecordMetaData
from recordlayer.migrate.changes import SchemaDiff, Verdict, schema_diff
from tests.unit.metadata.test_successor import ORDER, PART, RENAMED, Build, by_customer, wanted


def changed(old: RecordMetaData, new: RecordMetaData, **allow: bool) -> dict[str, tuple[str, Verdict]]:
    found = schema_diff(old, new, allow=Evolution(**allow))
    return {change.subject: (change.what, change.verdict) for change in found.changes}


def judged(*messages: str, build: Build = by_customer, **allow: bool) -> SchemaDiff:
    return schema_diff(wanted(ORDER, build=by_customer), wanted(*messages, build=build), allow=Evolution(**allow))


def test_the_same_schema_is_no_change() -> None:
    found = judged(ORDER)
    assert (found.is_empty, found.changes) == (True, ())


def test_where_nothing_is_stored_everything_is_added() -> None:
    found = schema_diff(None, wanted(ORDER, build=by_customer))
    assert [(change.subject, change.verdict) for change in found.changes] == [
        ("type Order", Verdict.SAFE),
        ("index by_customer", Verdict.SAFE),
    ]


def test_a_field_and_a_type_that_are_added_are_safe() -> None:
    more = ORDER.replace("}", "optional string note = 4; }")
    assert changed(wanted(ORDER), wanted(more, PART)) == {
        "type Part": ("added", Verdict.SAFE),
        "field Order.note": ("added as number 4", Verdict.SAFE),
    }


def test_an_index_over_stored_records_needs_a_build_and_one_over_a_new_type_does_not() -> None:
    found = judged(ORDER, PART, build=lambda b: (by_customer(b), b.index("Part", "by_weight", field("weight"))))
    assert {change.subject: change.verdict for change in found.changes}["index by_weight"] is Verdict.SAFE
    found = judged(ORDER, build=lambda b: (by_customer(b), b.index("Order", "by_total", field("total"))))
    assert [(change.subject, change.verdict) for change in found.changes] == [("index by_total", Verdict.BUILD)]


def test_a_rename_is_found_by_its_number_and_is_one_refusal_with_the_option_that_allows_it() -> None:
    renamed = lambda builder: builder.index("Order", "by_customer", field("buyer"))  # noqa: E731
    (refused,) = judged(RENAMED, build=renamed).changes
    assert (refused.subject, refused.what) == ("field Order.buyer", "renamed from customer")
    assert (refused.verdict, refused.allowed_by) == (Verdict.REFUSED, "allow_field_renames")
    (allowed,) = judged(RENAMED, build=renamed, allow_field_renames=True).changes
    assert allowed.verdict is Verdict.SAFE, "and its index is not built again"


def test_an_index_made_unique_is_built_again() -> None:
    (change,) = judged(ORDER, build=lambda b: b.index("Order", "by_customer", field("customer"), unique=True)).changes
    assert (change.subject, change.what, change.verdict) == ("index by_customer", "unique", Verdict.BUILD)


def test_an_index_that_is_gone_is_dropped() -> None:
    (change,) = judged(ORDER, build=lambda builder: None).changes
    assert (change.subject, change.what, change.verdict) == ("index by_customer", "dropped", Verdict.SAFE)


@pytest.mark.parametrize(
    ("message", "subject", "what"),
    [
        (ORDER.replace("optional int64 total", "optional string total"), "field Order.total", "from int64 to string"),
        (ORDER.replace("optional int64 total = 3;", ""), "field Order.total", "removed"),
    ],
)
def test_what_would_read_otherwise_is_refused_whatever_is_allowed(message: str, subject: str, what: str) -> None:
    (change,) = judged(message, allow_field_renames=True).changes
    assert (change.subject, change.what, change.verdict) == (subject, what, Verdict.REFUSED)
    assert change.allowed_by is None
    assert change.reason


def test_a_type_that_is_gone_is_refused_and_there_is_no_target() -> None:
    found = schema_diff(wanted(ORDER, PART), wanted(ORDER))
    assert found.target is None
    assert [(change.subject, change.verdict) for change in found.refused] == [("type Part", Verdict.REFUSED)]


def test_a_schema_with_versions_that_may_follow_is_stored_as_it_is() -> None:
    """All databases get the versions of the lock file, whichever they have seen before."""
    first = wanted(ORDER)
    later = wanted(ORDER, build=lambda b: (by_customer(b), b.version(7)))
    assert schema_diff(first, later).target is later
