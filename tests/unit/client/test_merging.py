"""Three-way merges: what one side changed is as that side has it, and what both changed differently is asked about."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, timestamp_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer.client.merging import Conflict, keep_mine, keep_theirs, merge
from recordlayer.errors import WrongType

_PROTO = """
name: "things.proto" package: "things" syntax: "proto3" dependency: "google/protobuf/timestamp.proto"
message_type {
  name: "Part"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "size" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
}
message_type {
  name: "Thing"
  field { name: "title" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "note" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 1 proto3_optional: true }
  field { name: "ratio" number: 3 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "main" number: 4 type: TYPE_MESSAGE type_name: ".things.Part" label: LABEL_OPTIONAL }
  field { name: "tags" number: 5 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "parts" number: 6 type: TYPE_MESSAGE type_name: ".things.Part" label: LABEL_REPEATED }
  field { name: "counts" number: 7 type: TYPE_MESSAGE type_name: ".things.Thing.CountsEntry" label: LABEL_REPEATED }
  field { name: "named" number: 8 type: TYPE_MESSAGE type_name: ".things.Thing.NamedEntry" label: LABEL_REPEATED }
  field { name: "at" number: 9 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
  field { name: "text" number: 10 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "part" number: 11 type: TYPE_MESSAGE type_name: ".things.Part" label: LABEL_OPTIONAL oneof_index: 0 }
  nested_type {
    name: "CountsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
  }
  nested_type {
    name: "NamedEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".things.Part" label: LABEL_OPTIONAL }
  }
  oneof_decl { name: "content" }
  oneof_decl { name: "_note" }
}
"""


def _messages() -> tuple[Any, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(text_format.Parse(_PROTO, descriptor_pb2.FileDescriptorProto()).SerializeToString())
    kinds = [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"things.{name}")) for name in ("Thing", "Part")
    ]
    return kinds[0], kinds[1]


Thing, Part = _messages()


def asked(base: Any, mine: Any, theirs: Any, **said: Any) -> tuple[Any, list[str]]:
    merged = merge(base, mine, theirs, **said)
    return merged.message, [one.path for one in merged.conflicts]


def test_changes_of_different_fields_are_all_there() -> None:
    base = Thing(title="a", note="n", ratio=1.0, main=Part(name="m", size=1), counts={"x": 1, "y": 2})
    mine = Thing(title="b", note="n", ratio=1.0, main=Part(name="mine", size=1), counts={"x": 1, "z": 3})
    theirs = Thing(title="a", ratio=2.0, main=Part(name="m", size=9), counts={"x": 5, "y": 2})
    theirs.at.FromSeconds(7)
    merged, conflicts = asked(base, mine, theirs)
    wanted = Thing(title="b", ratio=2.0, main=Part(name="mine", size=9), counts={"x": 5, "z": 3})
    wanted.at.FromSeconds(7)
    assert (merged, conflicts) == (wanted, [])
    assert not merged.HasField("note"), "what they have unset stays unset"
    assert asked(base, theirs, mine) == (wanted, []), "it does not matter who is who"


def test_what_both_have_changed_differently_is_asked_about_with_all_three() -> None:
    base = Thing(title="a", main=Part(size=1), counts={"x": 1}, named={1: Part(name="n")}, text="t")
    mine = Thing(title="b", main=Part(size=2), counts={"x": 2}, named={1: Part(name="m")}, part=Part(name="p"))
    theirs = Thing(title="c", main=Part(size=3), named={1: Part(name="o")}, text="u")
    told: list[Conflict] = []

    def resolve(conflict: Conflict) -> Any:
        told.append(conflict)
        return conflict.mine

    merged, conflicts = asked(base, mine, theirs, resolve=resolve)
    assert merged == mine
    assert sorted(conflicts) == ["content", "counts[x]", "main.size", "named[1].name", "title"]
    by_path = {one.path: (one.base, one.mine, one.theirs) for one in told}
    assert by_path["title"] == ("a", "b", "c")
    assert by_path["counts[x]"] == (1, 2, None)
    assert by_path["content"] == (("text", "t"), ("part", Part(name="p")), ("text", "u"))
    assert merge(base, mine, theirs, resolve=keep_theirs).message == theirs
    made_up = merge(base, mine, theirs, resolve=lambda one: "both" if one.path == "title" else one.theirs)
    assert made_up.message.title == "both"


def test_a_message_that_is_one_value_is_not_torn_apart() -> None:
    base, mine, theirs = Thing(), Thing(), Thing()
    for number, thing in enumerate((base, mine, theirs)):
        thing.at.seconds, thing.at.nanos = number % 2, number // 2
    assert asked(base, mine, theirs) == (mine, ["at"])
    base, mine, theirs = (Thing(main=Part(name=name, size=size)) for name, size in (("a", 1), ("b", 1), ("a", 2)))
    assert asked(base, mine, theirs)[0].main == Part(name="b", size=2)
    assert asked(base, mine, theirs, whole=["things.Part"]) == (mine, ["main"])


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        ("abc", "abcx", "abcy", "abcyx"),
        ("abc", "bc", "abcy", "bcy"),
        ("abc", "xabc", "ab", "xab"),
        ("abc", "ac", "ac", "ac"),
        ("abc", "abcx", "abcx", "abcx"),
        ("", "xy", "zy", "zyx"),
        ("abc", "axc", "abcd", "axcd"),
        ("abcd", "axcd", "abyd", "axyd"),
        ("abc", "", "abcd", "d"),
        ("abc", "axc", "ayc", None),
        ("abc", "axc", "ac", None),
        ("abc", "ac", "ayc", None),
        ("abc", "axc", "axc", "axc"),
    ],
)
def test_lists_are_merged_by_their_elements(base: str, mine: str, theirs: str, merged: str | None) -> None:
    for make in (lambda text: Thing(tags=text), lambda text: Thing(parts=[Part(name=letter) for letter in text])):
        there, conflicts = asked(make(base), make(mine), make(theirs), resolve=lambda _: [])
        assert there == make(merged or "")
        assert bool(conflicts) == (merged is None)


def test_a_record_that_both_have_made_begins_with_nothing() -> None:
    merged, conflicts = asked(None, Thing(title="a", note="n"), Thing(title="b", tags=["t"]))
    assert merged == Thing(title="a", note="n", tags=["t"])
    assert conflicts == ["title"]


def test_a_deletion_gives_way_to_a_change() -> None:
    for keep in (keep_mine, keep_theirs):
        assert keep(Conflict("", "base", None, "theirs")) == "theirs"
        assert keep(Conflict("", "base", "mine", None)) == "mine"


def test_what_the_type_does_not_know_is_as_they_have_it() -> None:
    newer = Thing.FromString(Thing(title="a").SerializeToString() + b"\xf8\x07\x01")
    merged, _ = asked(Thing(title="a"), Thing(title="a", note="n"), newer)
    assert merged.SerializeToString().endswith(b"\xf8\x07\x01")
    assert merged.note == "n"


def test_messages_of_several_types_are_refused() -> None:
    with pytest.raises(WrongType):
        merge(Thing(), Thing(), Part())


_parts = st.builds(Part, name=st.sampled_from("ab"), size=st.sampled_from([0, 1]))
_things = st.builds(
    lambda oneof, **fields: Thing(**fields, **oneof),
    oneof=st.sampled_from([{}, {"text": "t"}, {"part": Part(name="p")}]),
    title=st.sampled_from("ab"),
    note=st.sampled_from([None, "", "n"]),
    ratio=st.sampled_from([0.0, -0.0, float("nan")]),
    main=st.none() | _parts,
    tags=st.lists(st.sampled_from("abc"), max_size=4),
    parts=st.lists(_parts, max_size=3),
    counts=st.dictionaries(st.sampled_from("xy"), st.sampled_from([1, 2])),
    named=st.dictionaries(st.sampled_from([1, 2]), _parts),
)


def bytes_of(message: Any) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))


@given(_things, _things, _things)
@settings(max_examples=150, deadline=None)
def test_merging_keeps_what_only_one_side_has_changed(base: Any, mine: Any, theirs: Any) -> None:
    before = [bytes_of(one) for one in (base, mine, theirs)]
    assert bytes_of(merge(base, mine, base).message) == before[1]
    assert bytes_of(merge(base, base, theirs).message) == before[2]
    assert bytes_of(merge(base, mine, mine).message) == before[1]
    assert merge(base, mine, mine).conflicts == ()
    both = merge(base, mine, theirs)
    assert [one.path for one in both.conflicts] == [one.path for one in merge(base, theirs, mine).conflicts]
    again = merge(theirs, both.message, theirs)
    assert bytes_of(again.message) == bytes_of(both.message), "rebased on theirs it is what it is"
    assert [bytes_of(one) for one in (base, mine, theirs)] == before, "what is merged is not changed"
