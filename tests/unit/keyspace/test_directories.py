"""Trees of directories, and paths down them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import InvalidDirectory, UnknownDirectory, UsageError, WrongDirectoryValue
from recordlayer.keyspace import (
    InternedDirectory,
    KeySpace,
    KeySpaceDirectory,
    KeySpacePath,
    KeyType,
    ScopedInterningLayer,
)
from recordlayer.tuples import SingleFloat, pack, unpack

VALUES: dict[KeyType, st.SearchStrategy[Any]] = {
    KeyType.NULL: st.none(),
    KeyType.BYTES: st.binary(),
    KeyType.STRING: st.text(),
    KeyType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    KeyType.FLOAT: st.floats(width=32, allow_nan=False).map(SingleFloat),
    KeyType.DOUBLE: st.floats(allow_nan=False),
    KeyType.BOOLEAN: st.booleans(),
    KeyType.UUID: st.uuids(),
}


class UserPath(KeySpacePath):
    """An application's own path."""

    def orders(self) -> KeySpacePath:
        return self.add("orders")


def shop() -> KeySpace:
    return KeySpace(
        KeySpaceDirectory(
            "app",
            str,
            KeySpaceDirectory("user", int, KeySpaceDirectory("orders", str, value="o"), path_class=UserPath),
            KeySpaceDirectory("settings", str, value="s"),
            KeySpaceDirectory("nothing", None),
        ),
        InternedDirectory("tenant", KeySpaceDirectory("data", KeyType.BYTES)),
    )


@pytest.mark.parametrize("kind", list(KeyType))
@given(data=st.data())
def test_the_bounds_of_a_type_hold_its_values_and_no_other(kind: KeyType, data: st.DataObject) -> None:
    value = data.draw(VALUES[kind])
    packed = pack((value,))
    assert [known for known in KeyType if known.low <= packed < known.high] == [kind]
    assert KeyType.of(value) is kind
    assert KeyType.of(unpack(packed)[0]) is kind


def test_what_no_directory_can_hold_has_no_type() -> None:
    assert KeyType.of(object()) is None
    assert KeyType.of(2**63) is None
    assert KeyType.of(("nested",)) is None


def test_a_path_is_the_tuple_of_its_values() -> None:
    path = shop().path("app", "acme").add("user", 7).add("orders")
    assert path.items() == ("acme", 7, "o")
    assert path.subspace().key() == pack(("acme", 7, "o"))
    assert str(path) == '/app:"acme"/user:7/orders:"o"'
    assert repr(path) == f"<KeySpacePath {path}>"
    assert [step.value for step in path] == ["acme", 7, "o"]


def test_paths_of_a_directory_with_a_class_have_its_methods() -> None:
    user = shop().path("app", "acme").add("user", 7)
    assert isinstance(user, UserPath)
    assert user.orders().items() == ("acme", 7, "o")


def test_paths_are_equal_where_their_directories_and_values_are() -> None:
    space = shop()
    one, other = (space.path("app", "acme").add("user", 7) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != space.path("app", "acme").add("user", 8)
    assert one != space.path("app", "other").add("user", 7)
    assert one != shop().path("app", "acme").add("user", 7), "of another tree"
    assert one != "a text"


@pytest.mark.parametrize(
    ("name", "value"),
    [("user", "7"), ("user", True), ("user", 2**63), ("user", 7.0), ("settings", "other"), ("nothing", 0)],
)
def test_values_of_another_type_or_constant_are_refused(name: str, value: object) -> None:
    with pytest.raises(WrongDirectoryValue, match=name):
        shop().path("app", "acme").add(name, value)


def test_a_value_may_be_left_out_for_constants_only() -> None:
    assert shop().path("app", "acme").add("nothing").items() == ("acme", None)
    with pytest.raises(WrongDirectoryValue, match="give a value"):
        shop().path("app", "acme").add("user")


def test_directories_that_are_not_there_are_named_with_those_that_are() -> None:
    with pytest.raises(UnknownDirectory, match="settings"):
        shop().path("app", "acme").add("usr", 7)
    with pytest.raises(UnknownDirectory, match="tenant"):
        shop().path("apps", "acme")


def test_a_path_with_interned_names_has_no_tuple_of_its_own() -> None:
    path = shop().path("tenant", "acme").add("data", b"x")
    assert path.is_interned
    with pytest.raises(UsageError, match="resolve"):
        path.items()
    with pytest.raises(WrongDirectoryValue, match="names"):
        shop().path("tenant", 7)


D = KeySpaceDirectory


@pytest.mark.parametrize(
    "children",
    [
        (lambda: (D("a", int), D("b", int))),
        (lambda: (D("a", int), D("b", int, value=1))),
        (lambda: (D("a", str, value="x"), D("b", str, value="x"))),
        (lambda: (D("a", str), D("a", int))),
        (lambda: (D("a", None), D("b", None))),
        (lambda: (D("a", int, value=1), InternedDirectory("b", value="x"))),
        (lambda: (InternedDirectory("a"), InternedDirectory("b", value="x"))),
        (lambda: (InternedDirectory("a", value="x"), InternedDirectory("b", value="x"))),
        (
            lambda: (
                InternedDirectory("a", value="x"),
                InternedDirectory("b", value="y", resolver=ScopedInterningLayer(b"other")),
            )
        ),
        (lambda: ("no directory",)),
    ],
)
def test_directories_that_cannot_be_told_apart_are_refused(children: Any) -> None:
    with pytest.raises(InvalidDirectory):
        KeySpaceDirectory("parent", str, *children())


def test_constants_that_differ_and_other_types_stand_side_by_side() -> None:
    KeySpaceDirectory(
        "parent",
        str,
        D("a", str, value="x"),
        D("b", str, value="y"),
        D("c", int, value=1),
        D("d", float),
        D("e", bool),
        D("f", uuid.UUID),
    )
    KeySpaceDirectory("parent", str, InternedDirectory("a", value="x"), InternedDirectory("b", value="y"))


@pytest.mark.parametrize("name", ["", "a\x00b", "a/b", 7, None])
def test_names_of_directories_are_texts(name: Any) -> None:
    with pytest.raises(InvalidDirectory):
        KeySpaceDirectory(name, str)


@pytest.mark.parametrize(("kind", "value"), [(str, 7), (int, "x"), (None, 7), (bytes, "x")])
def test_a_constant_is_of_its_directorys_type(kind: Any, value: object) -> None:
    with pytest.raises(InvalidDirectory, match="constant"):
        KeySpaceDirectory("a", kind, value=value)


def test_a_type_that_no_element_has_is_refused() -> None:
    with pytest.raises(InvalidDirectory, match="KeyType"):
        KeySpaceDirectory("a", dict)


def test_a_key_space_shows_its_tree() -> None:
    assert str(shop()).splitlines() == [
        "app (STRING)",
        "+- user (INTEGER)",
        "|  +- orders (STRING='o')",
        "+- settings (STRING='s')",
        "+- nothing (NULL)",
        "[tenant]",
        "+- data (BYTES)",
    ]
    assert repr(shop().root.child("app")) == "<directory app (STRING)>"
