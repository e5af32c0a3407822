"""The lock file: what people read, and the exact metadata back; what was edited is not used."""

from __future__ import annotations

import tomllib

import pytest

from recordlayer import errors
from recordlayer.migrate.lockfile import from_text, to_text
from tests.support.shop import SHOP
from tests.unit.metadata.test_successor import ORDER, by_customer, followed, wanted


def test_the_exact_metadata_is_read_back() -> None:
    assert from_text(to_text(SHOP)).to_bytes() == SHOP.to_bytes()
    assert to_text(from_text(to_text(SHOP))) == to_text(SHOP)


def test_it_says_numbers_places_and_versions_in_words() -> None:
    locked = followed(wanted(ORDER, build=by_customer), wanted(ORDER))
    locked = followed(locked, wanted(ORDER, build=by_customer))
    said = tomllib.loads(to_text(locked))
    assert said["version"] == locked.version
    assert list(said["messages"].values()) == [{"1": "int64 id", "2": "string customer", "3": "int64 total"}]
    index = said["indexes"]["by_customer"]
    assert (index["key"], index["place"], index["added"]) == ('field("customer")', "by_customer#2", locked.version)
    assert [former["place"] for former in said["former_indexes"]] == ["by_customer"]


def test_one_change_is_a_small_difference_for_reviewers() -> None:
    before = to_text(wanted(ORDER)).partition("[exact]")[0].splitlines()
    after = to_text(followed(wanted(ORDER), wanted(ORDER, build=by_customer))).partition("[exact]")[0].splitlines()
    assert [line for line in before if line not in after] == ["version = 0"]


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        ("version = ", "version = 1"),
        ('place = "by_customer"', 'place = "elsewhere"'),
        ("[exact]", "[else]"),
        ("[settings]", "<<<<<<< ours"),
        ('metadata = """\n', 'metadata = """\nAAAA'),
        ("format = 1", "format = 2"),
    ],
)
def test_what_was_edited_is_refused_with_the_way_back(found: str, instead: str) -> None:
    text = to_text(wanted(ORDER, build=by_customer))
    assert found in text
    with pytest.raises(errors.InvalidLockFile):
        from_text(text.replace(found, instead))


def test_line_breaks_of_another_system_are_no_edit() -> None:
    assert from_text(to_text(SHOP).replace("\n", "\r\n")).to_bytes() == SHOP.to_bytes()
