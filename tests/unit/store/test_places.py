"""Keys of a store in words, and the part that each lies in; whatever the bytes are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import field
from recordlayer.observe.events import Place
from recordlayer.store.layout import Keyspace
from recordlayer.store.places import StorePlaces, path_of
from recordlayer.tuples import pack, strinc
from tests.support.shop import SHOP, builder

PREFIX = pack(("shop", "acme"))
PLACES = StorePlaces(PREFIX, SHOP)


def key(keyspace: int, *items: object) -> bytes:
    return pack((keyspace, *items), PREFIX)


KEYS: dict[str, tuple[bytes, Place]] = {
    "header": (key(0), Place("/shop/acme", "header")),
    "record": (key(1, 42, 0), Place("/shop/acme", "records")),
    "index entry": (key(2, "by_customer", "ana", 42), Place("/shop/acme", "index", "by_customer")),
    "an index that metadata does not have": (key(2, "gone", "ana", 42), Place("/shop/acme", "index")),
    "secondary": (key(3, "by_customer", 1), Place("/shop/acme", "index", "by_customer")),
    "count": (key(4, "ana"), Place("/shop/acme", "record counts")),
    "state": (key(5, "by_customer"), Place("/shop/acme", "index states")),
    "built range": (key(6, "by_customer", b"x"), Place("/shop/acme", "index build", "by_customer")),
    "violation": (key(7, "by_name", "Ana", "a"), Place("/shop/acme", "uniqueness violations", "by_name")),
    "old version": (key(8, 42), Place("/shop/acme", "record versions")),
    "build": (key(9, "by_customer", 0), Place("/shop/acme", "index build", "by_customer")),
    "nothing known": (PREFIX + b"\xf0", Place("/shop/acme", "store")),
}


@pytest.mark.parametrize("name", KEYS)
def test_every_key_lies_in_a_part_of_the_store(name: str) -> None:
    key, place = KEYS[name]
    assert PLACES.place_of(key) == place
    assert PLACES.place_of(key) is PLACES.place_of(key), "remembered"


def single(key: bytes) -> tuple[bytes, bytes]:
    return key, key + b"\x00"


WORDS: dict[str, tuple[tuple[bytes, bytes], str]] = {
    "header": (single(key(0)), "the header of /shop/acme"),
    "first read": ((PREFIX + b"\x00", key(0) + b"\x00"), "the header of /shop/acme"),
    "everything": ((PREFIX + b"\x00", PREFIX + b"\xff"), "all of /shop/acme"),
    "record": (single(key(1, 42, 0)), "record (42,) of Order in /shop/acme"),
    "part of a record": (single(key(1, 42, 3)), "record (42,) of Order in /shop/acme"),
    "another type": (single(key(1, "a", 0)), "record ('a',) of Customer in /shop/acme"),
    "all records": ((key(1), strinc(key(1))), "all records in /shop/acme"),
    "records from": ((key(1, 5), strinc(key(1))), "records with primary keys from (5,) in /shop/acme"),
    "records up to": ((key(1) + b"\x00", key(1, 7)), "records with primary keys up to (7,) in /shop/acme"),
    "no such primary key": (single(key(1, 1.5)), "records whose primary key begins with (1.5,) in /shop/acme"),
    "state": (single(key(5, "by_tag")), "the state of index by_tag in /shop/acme"),
    "states": ((key(5) + b"\x00", key(5) + b"\xff"), "the index states in /shop/acme"),
    "count": (single(key(4, "ana")), "the record counts of ('ana',) in /shop/acme"),
    "entry": (single(key(2, "by_tag", "new", 7)), "the entry ('new',) of record (7,) in index by_tag in /shop/acme"),
    "covering": (
        single(key(2, "by_total_with_note", 5, 7)),
        "the entry (5,) of record (7,) in index by_total_with_note in /shop/acme",
    ),
    "group": (
        single(key(2, "orders_per_customer", "ana")),
        "the group ('ana',) of index orders_per_customer in /shop/acme",
    ),
    "violations": (single(key(7, "by_name", "Ana", "a")), "uniqueness violations of index by_name in /shop/acme"),
    "built": (single(key(6, "by_name", b"")), "built ranges of index by_name in /shop/acme"),
}


@pytest.mark.parametrize("name", WORDS)
def test_ranges_in_words(name: str) -> None:
    (begin, end), words = WORDS[name]
    assert PLACES.describe(begin, end) == words


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_whatever_follows_the_prefix_is_described(begin: bytes, end: bytes) -> None:
    low, high = sorted((begin, end))
    assert PLACES.describe(PREFIX + low, PREFIX + high).endswith("/shop/acme")
    assert PLACES.place_of(PREFIX + low).store == "/shop/acme"


@given(st.integers(0, 20), st.tuples(st.sampled_from([None, 1, "by_tag", "ana", b"x", 2.5]), st.text(max_size=3)))
def test_whatever_tuple_follows_the_prefix_is_described(keyspace: int, items: tuple[object, ...]) -> None:
    whole = key(keyspace, *items)
    for end in (whole + b"\x00", whole + b"\xff", strinc(whole), strinc(PREFIX)):
        assert PLACES.describe(whole, end).endswith("/shop/acme")


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        (pack(("shop", 7)), "/shop/7"),
        (pack(("shop", b"\x01", None, ("a", 1))), r"/shop/b'\x01'/None/('a', 1)"),
        (b"", "/"),
        (b"\xfe\x01raw", r"\xfe\x01raw"),
    ],
)
def test_a_prefix_reads_as_a_path(prefix: bytes, path: str) -> None:
    assert path_of(prefix) == path


def test_a_name_that_was_given_is_the_path() -> None:
    assert StorePlaces(PREFIX, SHOP, "/people/ana").place_of(key(0)).store == "/people/ana"


def test_entries_of_an_index_with_primary_key_columns_name_the_whole_record() -> None:
    metadata = (
        builder()
        .primary_key("Order", rl.concat("customer", "id"))
        .index("Order", "by_both", rl.concat("total", "customer"))
        .build()
    )
    places = StorePlaces(PREFIX, metadata)
    words = places.describe(*single(key(2, "by_both", 5, "ana", 42)))
    assert words == "the entry (5, 'ana') of record ('ana', 42) in index by_both in /shop/acme"


def test_indexes_are_found_by_their_subspace_key() -> None:
    metadata = builder().index("Order", "renamed", field("customer")).build()
    index = metadata.index("renamed")
    found: Callable[[bytes], Place] = StorePlaces(PREFIX, metadata).place_of
    assert found(pack((Keyspace.INDEXES.value, index.subspace_key, "ana"), PREFIX)).name == "renamed"
