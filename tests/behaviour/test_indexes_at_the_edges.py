"""Values at the edges in every index type: nulls, duplicates, signed zeros, NaNs, the ends of 64 bits, empty texts,
zero bytes. Whatever comes in place of whatever, indexes agree with the records and aggregates with a recount."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import concat, errors, field
from recordlayer.index.leaderboard_directory import Windows
from recordlayer.keys import concat_fields, key_with_value
from recordlayer.metadata.definitions import (
    bitmap_index,
    count_not_null,
    leaderboard,
    max_ever,
    min_ever,
    multidimensional,
    permuted_max,
    permuted_min,
    rank,
    text_index,
)
from tests.behaviour.conftest import Shop
from tests.support import games
from tests.support.embedded import LONG
from tests.support.shop import PATH, Order, builder

SKU = field("items").fan_out().nest("sku")

EVERY = (
    builder()
    .index("Order", "values", concat("ratio", "weight", "body"))
    .index("Order", "covering", key_with_value(concat("ratio", "weight", "note"), split_point=1))
    .index("Order", "tags", concat(field("tags").fan_out(), "total"))
    .index("Order", "counts", rl.count(group_by=concat("ratio", "weight")))
    .index("Order", "counts_of_tags", rl.count(group_by=field("tags").fan_out()))
    .index("Order", "not_null", count_not_null("ratio", group_by="weight"))
    .index("Order", "sums", rl.sum_of("total", group_by="ratio"))
    .index("Order", "least", min_ever("ratio", group_by="customer"))
    .index("Order", "greatest", max_ever(concat("weight", "body"), group_by="customer"))
    .index("Order", "ranked", rank("ratio", group_by="weight"))
    .index("Order", "ranked_with_duplicates", rank("weight", count_duplicates=True))
    .index("Order", "ranked_tags", rank(field("tags").fan_out()))
    .index("Order", "least_now", permuted_min("ratio", group_by="customer"))
    .index("Order", "greatest_now", permuted_max(concat("ratio", "weight"), group_by=concat("customer", "paid")))
    .index("Order", "positions", bitmap_index("total", group_by="ratio", entry_size=64))
    .index("Order", "words", text_index("note", group_by="ratio"))
    .index("Order", "many_words", text_index(SKU))
    .index("Order", "places", multidimensional(concat("total", "id"), prefix="ratio"))
    .build()
)


def double(bits: int) -> float:
    number: float = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
    return number


NANS = tuple(map(double, (0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000001, 0xFFF8000012345678)))
DOUBLES = (
    None,
    0.0,
    -0.0,
    math.inf,
    -math.inf,
    5e-324,
    -5e-324,
    1.7976931348623157e308,
    double(0x7FF8000000000000),
    double(0xFFF8000000000000),
    double(0x7FF8000000000001),
)
SINGLES = (None, 0.0, -0.0, math.inf, -math.inf, math.nan, 1e-45, 3.4028234663852886e38)
LONGS = (None, 0, 1, -1, (1 << 63) - 1, -(1 << 63), 63, 64, -64, 255, 256, -256)
TEXTS = (None, "", "\x00", "a", "a\x00", "apple", "apple apples", "apple apple", "¿?", "\U0010ffff", "ﬀ ǆ", "a" * 300)
BLOBS = (None, b"", b"\x00", b"\xff", b"\x00\xff", b"\xff" * 40)


def drawn(numbers: random.Random, keys: int = 4) -> Any:
    pick = numbers.choice
    made = Order(
        id=pick((0, 1, -1, (1 << 63) - 1, -(1 << 63))[:keys]),
        customer=pick(TEXTS[:5]),
        total=pick(LONGS),
        ratio=pick(DOUBLES),
        weight=pick(SINGLES),
        paid=pick((None, True, False)),
        note=pick(TEXTS),
        body=pick(BLOBS),
        tags=numbers.choices(("", "\x00", "a", "a\x00"), k=numbers.randrange(4)),
    )
    for _ in range(numbers.randrange(3)):
        made.items.add(sku=pick(TEXTS) or "apple pear")
    return made


@pytest.mark.parametrize("seed", range(60 if LONG else 3))
def test_every_value_may_come_in_place_of_every_other(db: Any, seed: int) -> None:
    numbers = random.Random(seed)
    shop = Shop(db, EVERY)
    for _ in range(10):
        with db.transaction() as tx:
            store = tx.store(EVERY, path=PATH)
            for _ in range(4):
                if numbers.random() < 0.2:
                    store.delete(drawn(numbers).id)
                elif numbers.random() < 0.3:
                    store.save_many([drawn(numbers) for _ in range(2)])
                else:
                    store.save(drawn(numbers))
        shop.check()


def test_entries_of_nans_of_every_sign_and_payload_go_with_their_records(db: Any) -> None:
    metadata = builder().index("Order", "ratios", "ratio").build()
    shop = Shop(db, metadata)
    shop.save(*(Order(id=number, ratio=ratio) for number, ratio in enumerate(NANS)))
    shop.check()
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        wanted = {struct.pack(">d", ratio) for ratio in NANS}
        assert {struct.pack(">d", entry.key[0]) for entry in store.scan_index("ratios")} == wanted
        assert {struct.pack(">d", record.ratio) for record in store.scan()} == wanted
        store.save(Order(id=0, ratio=NANS[1]))
        store.delete_many(range(1, len(NANS)))
        (left,) = store.scan_index("ratios")
        assert (struct.pack(">d", left.key[0]), left.primary_key) == (struct.pack(">d", NANS[1]), (0,))
    shop.check()


def test_a_negative_zero_in_place_of_a_zero_is_another_value(db: Any) -> None:
    shop = Shop(db, EVERY)
    shop.save(Order(id=1, ratio=0.0, customer="a", total=3))
    shop.save(Order(id=1, ratio=-0.0, customer="a", total=3))
    shop.save(Order(id=2, ratio=0.0, customer="a", total=3))
    with db.transaction() as tx:
        store = tx.store(EVERY, path=PATH)
        ranks = store.ranks("ranked", None)
        assert [(ranks.rank(score), math.copysign(1, score)) for score in (-0.0, 0.0)] == [(0, -1), (1, 1)]
        (least,) = store.aggregate("least", "a")
        assert math.copysign(1, least) == -1
        everywhere = (None, None)
        assert [found.id for found in store.space("places", -0.0).within(everywhere, everywhere)] == [1]
    shop.check()


def test_a_word_that_several_texts_of_a_record_have_stays_with_the_last_of_them(db: Any) -> None:
    def with_texts(*texts: str) -> Any:
        return Order(id=1, items=[{"sku": text} for text in texts])

    def found(word: str) -> list[list[int]]:
        with db.transaction() as tx:
            entries = tx.store(EVERY, path=PATH).texts("many_words").entries(word).all()
        return [entry.positions for entry in entries]

    shop = Shop(db, EVERY)
    shop.save(with_texts("an apple", "apple pear"))
    shop.save(with_texts("an apple"))
    assert (found("apple"), found("pear")) == ([[1]], [])
    shop.save(with_texts("apple apple", "an apple"))
    shop.save(with_texts("an apple", "apple apple"))
    assert found("apple") == [[0, 1]]
    shop.check()
    shop.save(with_texts())
    assert found("apple") == []
    shop.check()


def test_a_position_that_two_records_had_leaves_no_others_behind(db: Any) -> None:
    """Who goes first takes the bit along; who goes last must not make ones of a bitmap that is no more."""
    shop = Shop(db, EVERY)
    shop.save(Order(id=1, total=5, ratio=1.0), Order(id=2, total=5, ratio=1.0))
    with db.transaction() as tx:
        tx.store(EVERY, path=PATH).delete_many([1, 2])
    with db.transaction() as tx:
        assert tx.store(EVERY, path=PATH).bitmaps(("positions", 1.0)).all() == []
    shop.check()


# -- leaderboards ------------------------------------------------------------------------------------------------

LEAST, MOST = -(1 << 63), (1 << 63) - 1


@pytest.mark.parametrize("high", [True, False])
def test_scores_and_times_at_the_ends_of_64_bits_are_ranked(db: Any, high: bool) -> None:
    columns = field("scores").fan_out().nest(concat_fields("points", "at"))
    metadata = games.builder().index("Player", "board", leaderboard(columns, group_by="team")).build()
    overlapping = (Windows(1, -10, 5, 20, 3), Windows(2, LEAST + 1, 1, MOST, 1), Windows(3, 0, 1, 1, 1))
    points = (0, -1, 1, LEAST, MOST)
    shop = Shop(db, metadata, games.PATH)
    with db.transaction() as tx:
        board = tx.store(metadata, path=games.PATH).leaderboard("board")
        board.update_windows(0, overlapping, high_score_first=high)
        board.set_direction("b", high_score_first=not high)
    times = (0, LEAST, MOST - 1, -10)
    shop.save(
        *(
            games.Player(id=10 * team + number, team="ab"[team], scores=[{"points": score, "at": at} for at in times])
            for team in range(2)
            for number, score in enumerate(points)
        )
    )
    shop.check()
    wanted = sorted(points, reverse=high)
    with db.transaction() as tx:
        board = tx.store(metadata, path=games.PATH).leaderboard("board")
        for kind, at in ((0, 0), (1, -10), (2, -10), (3, 0)):
            ranks = board.ranks("a", type=kind, at=at)
            assert [entry.key[1] for entry in ranks.entries()] == wanted, kind
            assert [ranks.rank(score) for score in wanted] == list(range(len(points))), kind
        assert board.ranks("a", type=3, at=1).entries().all() == []
        assert [entry.key[1] for entry in board.ranks("b").entries()] == wanted[::-1], "a direction of its own"


@pytest.mark.parametrize("windows", [Windows(1, MOST, 1, 1, 1), Windows(1, LEAST, -1, 5, 2), Windows(1, 0, MOST, 9, 2)])
def test_windows_beyond_64_bits_are_refused(db: Any, windows: Windows) -> None:
    columns = field("scores").fan_out().nest(concat_fields("points", "at"))
    metadata = games.builder().index("Player", "board", leaderboard(columns)).build()
    with db.transaction() as tx:
        board = tx.store(metadata, path=games.PATH).leaderboard("board")
        with pytest.raises(errors.UsageError, match="64 bits"):
            board.update_windows(0, (windows,))
        assert board.windows() == ()
