"""Records with something for every type of index, drawn at random, and metadata that have them all."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import field
from recordlayer.keys.functions import function
from recordlayer.keys.special import VERSION
from recordlayer.metadata import compare, definitions, not_null

_KIND = descriptor_pb2.FieldDescriptorProto
_NUMBER, _TEXT = _KIND.TYPE_INT64, _KIND.TYPE_STRING

MESSAGES: dict[str, tuple[tuple[str, bool, int | str], ...]] = {
    "Item": (("sku", False, _TEXT), ("price", False, _NUMBER)),
    "Spot": (("city", False, _TEXT),),
    "Thing": (
        ("id", False, _NUMBER),
        ("name", False, _TEXT),
        ("total", False, _NUMBER),
        ("tags", True, _TEXT),
        ("text", False, _TEXT),
        ("x", False, _NUMBER),
        ("y", False, _NUMBER),
        ("kind", False, _TEXT),
        ("points", False, _NUMBER),
        ("at", False, _NUMBER),
        ("items", True, "Item"),
        ("spot", False, "Spot"),
    ),
    "Note": (("id", False, _NUMBER), ("name", False, _TEXT), ("total", False, _NUMBER)),
}
"""Message -> (field, repeated, kind). In proto2 every field has presence, in proto3 none but the messages."""

NAMES = ["", "a", "a\x00", "b"]
NUMBERS = [-3, 0, 1, 2]
TAGS = ["x", "y"]
KINDS = ["k", "l"]
CITIES = ["", "Oslo", "Rome"]
WORDS = ["be", "bee", "not", "to"]
OF_KIND_K = compare("kind", "=", "k")


def things_file(syntax: str) -> Any:
    """The file with these messages."""
    package = f"things_{syntax}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax=syntax)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field_name, repeated, kind) in enumerate(fields, 1):
            label = _KIND.LABEL_REPEATED if repeated else _KIND.LABEL_OPTIONAL
            made = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                made.type, made.type_name = _KIND.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                made.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindFileByName(file.name)


def metadata_of(syntax: str, *, filtered: bool = False) -> rl.RecordMetaData:
    """Both types have the same primary keys but for the key of the type, and every type of index is there.

    filtered  also indexes that have some of the records only
    """
    both = ("Thing", "Note")
    key = rl.concat(rl.record_type(), "id")
    made = (
        rl.RecordMetaDataBuilder(things_file(syntax))
        .store_record_versions()
        .primary_key("Thing", key)
        .primary_key("Note", key)
        .index(both, "all_by_name", field("name"))
        .index(both, "all_by_total_name", rl.concat("total", "name"))
        .index("Thing", "by_name_total", rl.concat("name", "total"))
        .index("Thing", "by_total", field("total"))
        .index("Thing", "by_tag_total", rl.concat(field("tags").fan_out(), "total"))
        .index("Thing", "by_name_tag", rl.concat("name", field("tags").fan_out()))
        .index("Thing", "by_total_covering", rl.key_with_value(rl.concat("total", "name"), split_point=1))
        .index("Thing", "by_item", field("items").fan_out().nest(rl.concat("sku", "price")))
        .index("Thing", "by_city", field("spot").nest("city"))
        .index("Thing", "by_negative", function("sub", "total"))
        .index("Thing", "per_name", rl.count(group_by="name"))
        .index("Thing", "sum_per_name", rl.sum_of("total", group_by="name"))
        .index("Thing", "words", definitions.text_index("text"))
        .index("Thing", "words_of_kind", definitions.text_index("text", group_by="kind"))
        .index("Thing", "words_only", definitions.text_index("text", omit_positions=True))
        .index("Thing", "ranks", definitions.rank("total"))
        .index("Thing", "ranks_in_kind", definitions.rank("total", group_by="kind", count_duplicates=True))
        .index("Thing", "board", definitions.leaderboard(rl.concat("points", "at"), group_by="kind"))
        .index("Thing", "bits_of_name", definitions.bitmap_index("id", group_by="name", entry_size=8))
        .index("Thing", "bits_of_kind", definitions.bitmap_index("id", group_by="kind", entry_size=8))
        .index("Thing", "bits_of_tag", definitions.bitmap_index("id", group_by=field("tags").fan_out(), entry_size=8))
        .index("Thing", "box", definitions.multidimensional(rl.concat("x", "y")))
        .index("Thing", "box_of_kind", definitions.multidimensional(rl.concat("x", "y"), prefix="kind"))
        .index("Thing", "least_total", definitions.permuted_min("total", group_by=rl.concat("kind", "name")))
        .index("Thing", "by_version", definitions.version_index())
        .index("Thing", "by_kind_version", definitions.version_index(rl.concat("kind", VERSION)))
    )
    if filtered:
        made = (
            made.index("Thing", "with_name", field("total"), where=not_null("name"))
            .index(both, "above_0", rl.concat("name", "total"), where=compare("total", ">", 0))
            .index("Thing", "ranks_above_0", definitions.rank("total"), where=compare("total", ">", 0))
            .index("Thing", "bits_of_k", definitions.bitmap_index("id", group_by="name", entry_size=8), where=OF_KIND_K)
        )
    return made.build()


def rows(presence: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows of both types, in the order in which they are saved. Ids are told later."""
    missing = st.none() if presence else st.nothing()

    def one(values: list[Any]) -> st.SearchStrategy[Any]:
        return missing | st.sampled_from(values)

    item = st.fixed_dictionaries({"sku": one(["p", "q"]), "price": one([0, 5, 9])})
    thing = st.fixed_dictionaries(
        {
            "type": st.just("Thing"),
            "name": one(NAMES),
            "total": one(NUMBERS),
            "tags": st.lists(st.sampled_from(TAGS), max_size=2),
            "text": missing | st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join),
            "x": one(NUMBERS),
            "y": one(NUMBERS),
            "kind": one(KINDS),
            "points": st.sampled_from([1, 2, 3]),
            "at": st.sampled_from([5, 15]),
            "items": st.lists(item, max_size=2),
            "spot": st.none() | one(CITIES).map(lambda city: {"city": city}),
        }
    )
    note = st.fixed_dictionaries({"type": st.just("Note"), "name": one(NAMES), "total": one(NUMBERS)})
    return st.lists(thing | thing | thing | note, max_size=8)
