"""What comes next: versions and places are worked out, nothing is different twice, and the rules let it pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import recordlayer as rl
from recordlayer.keys import field
from recordlayer.metadata import Evolution, RecordMetaData, RecordMetaDataBuilder, rank
from recordlayer.metadata.successor import successor
from tests.unit.metadata.test_update import file_of, proto

ORDER = "message Order { optional int64 id = 1; optional string customer = 2; optional int64 total = 3; }"
RENAMED = "message Order { optional int64 id = 1; optional string buyer = 2; optional int64 total = 3; }"
PART = "message Part { optional int64 id = 1; optional int64 weight = 2; }"
TAG = "message Tag { optional int64 id = 1; }"

Build = Callable[[RecordMetaDataBuilder], object]


def wanted(*messages: str, build: Build = lambda builder: None, **keys: str) -> RecordMetaData:
    builder = RecordMetaDataBuilder(file_of(proto(*messages)))
    for message in messages:
        name = message.split()[1]
        if name != "RecordTypeUnion":
            builder.primary_key(name, keys.get(name, "id"))
    build(builder)
    return builder.build()


def followed(current: RecordMetaData, next_: RecordMetaData, **allow: bool) -> RecordMetaData:
    """The successor, which the rules let pass, and which nothing follows any more."""
    stored = RecordMetaData.from_bytes(current.to_bytes())
    made = successor(stored, next_)
    assert Evolution(**allow).findings(stored, made) == ()
    again = RecordMetaData.from_bytes(made.to_bytes())
    assert successor(again, next_) is again, "what is as it should be is let alone"
    return made


def by_customer(builder: RecordMetaDataBuilder) -> None:
    builder.index("Order", "by_customer", field("customer"))


def test_the_same_schema_has_no_successor() -> None:
    current = wanted(ORDER, PART, build=by_customer)
    assert successor(current, current) is current
    assert successor(current, wanted(ORDER, PART, build=by_customer)) is current


def test_a_new_index_comes_with_the_next_version() -> None:
    current = wanted(ORDER)
    made = followed(current, wanted(ORDER, build=by_customer))
    index = made.index("by_customer")
    assert (index.added_version, index.last_modified_version) == (made.version, made.version)
    assert made.version == current.version + 1


def test_an_index_that_is_defined_otherwise_keeps_its_place_and_is_built_again() -> None:
    current = wanted(ORDER, build=by_customer)
    old = current.index("by_customer")
    for change in (
        lambda builder: builder.index("Order", "by_customer", rl.concat("customer", "total")),
        lambda builder: builder.index("Order", "by_customer", field("customer"), unique=True),
        lambda builder: builder.index("Order", "by_customer", rank("total")),
    ):
        made = followed(current, wanted(ORDER, build=change), allow_index_rebuilds=True)
        index = made.index("by_customer")
        assert (index.subspace_key, index.added_version) == (old.subspace_key, old.added_version)
        assert index.last_modified_version == made.version > current.version
        assert Evolution().findings(current, made), "without leave to build it is refused"


def test_an_index_that_is_gone_becomes_a_former_one_and_its_place_is_not_used_again() -> None:
    current = wanted(ORDER, build=by_customer)
    without = followed(current, wanted(ORDER))
    assert [former.former_name for former in without.former_indexes] == ["by_customer"]
    back = followed(without, wanted(ORDER, build=by_customer))
    assert back.index("by_customer").subspace_key == "by_customer#2"
    third = followed(followed(back, wanted(ORDER)), wanted(ORDER, build=by_customer))
    assert third.index("by_customer").subspace_key == "by_customer#3"


def test_a_new_type_comes_with_the_version_in_which_it_came() -> None:
    current = wanted(ORDER, build=by_customer)

    def build(builder: RecordMetaDataBuilder) -> None:
        by_customer(builder)
        builder.index("Part", "by_weight", field("weight"))

    made = followed(current, wanted(ORDER, PART, build=build))
    part = made.record_type("Part")
    assert part.since_version is not None
    assert current.version < part.since_version <= made.version


def test_a_type_that_is_written_before_the_others_gets_the_next_number() -> None:
    """Without a union of one's own, numbers are given in the order in which types came, whatever the file's order."""
    current = wanted(ORDER, PART)
    made = followed(current, wanted(TAG, ORDER, PART))
    numbers = {field.descriptor.name: field.number for field in made.union.fields}
    assert numbers == {"Order": 1, "Part": 2, "Tag": 3}


def test_an_index_whose_fields_are_renamed_is_not_built_again() -> None:
    current = wanted(ORDER, build=by_customer)
    next_ = wanted(RENAMED, build=lambda builder: builder.index("Order", "by_customer", field("buyer")))
    made = followed(current, next_, allow_field_renames=True)
    assert made.index("by_customer").last_modified_version == current.index("by_customer").last_modified_version
    assert made.version > current.version


def test_an_option_that_is_for_queries_only_builds_nothing() -> None:
    hidden = {"allowedForQuery": "false"}
    current = wanted(ORDER, build=by_customer)
    next_ = wanted(ORDER, build=lambda b: b.index("Order", "by_customer", field("customer"), options=hidden))
    made = followed(current, next_)
    assert dict(made.index("by_customer").options) == hidden
    assert made.index("by_customer").last_modified_version == current.index("by_customer").last_modified_version


def test_settings_raise_the_version() -> None:
    current = wanted(ORDER, build=by_customer)
    split = wanted(ORDER, build=lambda b: (by_customer(b), b.split_long_records()))
    assert followed(current, split, allow_unsplit_to_split=True).split_long_records
    versions = wanted(ORDER, build=lambda b: (by_customer(b), b.store_record_versions()))
    assert followed(current, versions).version == current.version + 1


def test_another_primary_key_is_refused_by_the_rules_and_not_lost() -> None:
    current = wanted(ORDER)
    made = successor(current, wanted(ORDER, Order="total"))
    assert made.record_type("Order").primary_key == field("total")
    assert made.version == current.version + 1
    assert [finding.rule for finding in Evolution().findings(current, made)] == ["primary key changed"]


@pytest.mark.parametrize("kept", [ORDER, PART])
def test_a_type_that_is_gone_is_refused(kept: str) -> None:
    with pytest.raises(rl.RecordLayerError):
        Evolution().check(current := wanted(ORDER, PART), successor(current, wanted(kept)))
