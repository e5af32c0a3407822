"""From keys back to paths, and what lies below a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer.errors import MalformedTuple, NameNotInterned, NotInKeySpace, UsageError, WrongDirectoryValue
from recordlayer.keyspace import InternedDirectory, KeySpace, KeySpaceDirectory, Listing
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

SPACE = KeySpace(
    KeySpaceDirectory(
        "app",
        str,
        KeySpaceDirectory("user", int, KeySpaceDirectory("orders", str, value="o")),
        KeySpaceDirectory("settings", str, value="s"),
        KeySpaceDirectory("old", str, value="old"),
    ),
    KeySpaceDirectory("number", int),
    KeySpaceDirectory("nothing", None),
)

TENANTS = KeySpace(InternedDirectory("tenant", KeySpaceDirectory("user", int)))


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = open_engine("memory:")
    yield engine
    engine.close()


@pytest.fixture
def context(engine: Engine) -> Iterator[Context]:
    context = Context(engine.begin(), world=World())
    yield context
    context.close()


def values(listing: Listing) -> list[Any]:
    return [found.path.value for found in listing.paths]


# -- from keys to paths


def test_a_key_leads_to_its_path_and_what_follows_it(context: Context) -> None:
    found = run_blocking(SPACE.path_of(context, pack(("acme", 7, "o", 1, "more"))))
    assert found.path == SPACE.path("app", "acme").add("user", 7).add("orders")
    assert found.remainder == (1, "more")
    assert str(found) == '/app:"acme"/user:7/orders:"o"+1+"more"'
    assert found.prefix == pack(("acme", 7, "o"))


def test_a_key_may_end_above_the_leaves(context: Context) -> None:
    found = run_blocking(SPACE.path_of(context, ("acme", 7)))
    assert (found.path, found.remainder) == (SPACE.path("app", "acme").add("user", 7), ())


def test_constants_are_told_from_each_other(context: Context) -> None:
    for name, value in (("settings", "s"), ("old", "old")):
        found = run_blocking(SPACE.path_of(context, ("acme", value)))
        assert found.path.directory.name == name


@pytest.mark.parametrize("key", [("acme", 1.5), ("acme", "other"), (True,), ("acme", 7, "other")])
def test_a_key_of_nobodys_is_refused_with_where_it_leaves_the_tree(context: Context, key: tuple[Any, ...]) -> None:
    with pytest.raises(NotInKeySpace, match="below"):
        run_blocking(SPACE.path_of(context, key))


def test_bytes_that_are_no_tuple_and_empty_keys_are_refused(context: Context) -> None:
    with pytest.raises(MalformedTuple):
        run_blocking(SPACE.path_of(context, b"\xff\xff"))
    with pytest.raises(UsageError):
        run_blocking(SPACE.path_of(context, b""))


def test_a_number_that_is_no_name_is_in_no_interned_directory(context: Context) -> None:
    with pytest.raises(NotInKeySpace):
        run_blocking(TENANTS.path_of(context, (99, 1)))


# -- listing


def fill(context: Context, *keys: tuple[Any, ...]) -> None:
    for key in keys:
        context.set(pack(key), b"")


def listed(context: Context, path: Any, name: str, **options: Any) -> Listing:
    return run_blocking(SPACE.list(context, path, name, **options))


def test_each_value_is_listed_once_in_order(context: Context) -> None:
    fill(context, *(("acme", user, "o", n) for user in (300, -5, 7) for n in range(3)), ("acme", "s"), ("zoe", 1))
    acme = SPACE.path("app", "acme")
    assert values(listed(context, acme, "user")) == [-5, 7, 300]
    assert values(listed(context, acme, "user", reverse=True)) == [300, 7, -5]
    assert values(listed(context, acme, "user", low=0, high=7)) == [7]
    assert values(listed(context, acme, "user", low=8)) == [300]
    assert values(listed(context, acme, "settings")) == ["s"]
    assert values(listed(context, acme, "old")) == []
    assert values(listed(context, None, "app")) == ["acme", "zoe"]


def test_texts_that_go_on_with_a_zero_byte_are_places_of_their_own(context: Context) -> None:
    fill(context, ("acme", 1), ("acme\x00", 2), ("acme\x00zoe", 3), ("b", 4))
    texts = ["acme", "acme\x00", "acme\x00zoe", "b"]
    assert values(listed(context, None, "app")) == texts
    assert values(listed(context, None, "app", reverse=True)) == texts[::-1]
    assert values(listed(context, None, "app", high="acme")) == texts[:1]
    assert values(listed(context, None, "app", low="acme", high="acme\x00")) == texts[:2]
    page = listed(context, None, "app", limit=1)
    assert values(listed(context, None, "app", continuation=page.continuation)) == texts[1:]
    assert [found.path.value for found in listed(context, SPACE.path("app", "acme"), "user").paths] == [1]


def test_listing_costs_one_read_a_path(context: Context) -> None:
    fill(context, *(("acme", user, "o", n) for user in range(5) for n in range(20)))
    before = context.counters.reads
    assert len(listed(context, SPACE.path("app", "acme"), "user").paths) == 5
    assert context.counters.reads - before == 6


@settings(max_examples=50)
@given(
    users=st.sets(st.integers(-(2**63), 2**63 - 1), max_size=12),
    limit=st.integers(1, 5),
    reverse=st.booleans(),
)
def test_pages_add_up_to_the_whole(users: set[int], limit: int, reverse: bool) -> None:
    engine = open_engine("memory:")
    context = Context(engine.begin(), world=World())
    fill(context, *(("acme", user, n) for user in users for n in range(2)))
    acme = SPACE.path("app", "acme")
    found: list[int] = []
    continuation: bytes | None = None
    while True:
        page = listed(context, acme, "user", limit=limit, reverse=reverse, continuation=continuation)
        assert len(page.paths) <= limit
        found += values(page)
        continuation = page.continuation
        if continuation is None:
            break
        assert len(page.paths) == limit
    assert found == sorted(users, reverse=reverse)
    engine.close()


def test_bad_requests_to_list_are_refused(context: Context) -> None:
    acme = SPACE.path("app", "acme")
    with pytest.raises(WrongDirectoryValue):
        listed(context, acme, "user", low="x")
    with pytest.raises(UsageError):
        listed(context, acme, "settings", low="a")
    with pytest.raises(UsageError):
        listed(context, acme, "user", limit=0)
    fill(context, ("acme", 7))
    with pytest.raises(NotInKeySpace):
        listed(context, acme, "user", continuation=b"\xff nothing of ours")


def test_interned_names_are_listed_by_their_numbers(context: Context) -> None:
    async def work() -> list[str]:
        numbers = {}
        for name in ("ana", "bo", "zoe"):
            resolved = await TENANTS.path("tenant", name).add("user", 1).resolve(context)
            context.set(resolved.prefix, b"")
            numbers[name] = resolved.items[0]
        await TENANTS.path("tenant", "empty").resolve(context)
        names = [found.path.value for found in (await TENANTS.list(context, None, "tenant")).paths]
        assert names == sorted(numbers, key=numbers.__getitem__)
        return names

    assert set(run_blocking(work())) == {"ana", "bo", "zoe"}


def test_listing_interns_nothing(context: Context) -> None:
    with pytest.raises(NameNotInterned):
        run_blocking(TENANTS.list(context, TENANTS.path("tenant", "nobody"), "user"))
    assert context.counters.writes == 0
