"""Searching texts, positions as bitmaps, the extremes of groups: what people ask of them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import concat, errors, field
from recordlayer.metadata.definitions import bitmap_index, permuted_max, permuted_min, text_index
from tests.behaviour.conftest import Shop
from tests.support.shop import FILE, PATH, Order, builder

NOTES = {
    1: "An apple a day keeps the doctor away",
    2: "Apples and pears",
    3: "The doctor keeps an apple",
    4: "Day after day, the apple tree",
    5: "To be, or not to be",
}

TEXTS = (
    builder()
    .index("Order", "words", text_index("note"))
    .index("Order", "words_by_customer", text_index("note", group_by="customer"))
    .index("Order", "words_without_places", text_index("note", omit_positions=True))
    .index("Order", "beginnings", text_index("note", tokenizer="prefix"))
    .index("Order", "ids", bitmap_index("id", group_by="customer", entry_size=16))
    .index("Order", "ids_by_tag", bitmap_index("id", group_by=field("tags").fan_out(), entry_size=16))
    .index("Order", "best", permuted_max("total", group_by=concat("customer", field("tags").fan_out())))
    .index("Order", "cheapest", permuted_min("total", group_by="customer", permuted=0))
    .build()
)


@pytest.fixture
def texts(db: Any) -> Any:
    shop = Shop(db, TEXTS)
    shop.save(*[Order(id=number, note=note, customer="ana" if number % 2 else "bo") for number, note in NOTES.items()])
    yield shop
    shop.check()


def found(shop: Shop, *wanted: Any, index: str = "words", group: Any = (), **how: Any) -> list[int]:
    with shop.db.transaction() as tx:
        store = tx.store(shop.metadata, path=PATH)
        return [order.id for order in store.texts(index, *group).records(*wanted, **how).all()]


# -- words -----------------------------------------------------------------------------------------------------------


def test_a_word_is_found_as_a_whole(texts: Shop) -> None:
    assert found(texts, "apple") == [1, 3, 4]
    assert found(texts, "Apples!") == [2]
    assert found(texts, "appl") == []
    assert found(texts, "appl", match="prefix") == [1, 3, 4, 2]


def test_several_words_are_found_together_or_one_of_them(texts: Shop) -> None:
    assert found(texts, "doctor apple") == [1, 3]
    assert found(texts, "pears day", match="any") == [1, 2, 4]
    assert found(texts, "doctor pears") == []
    assert found(texts, ["doctor", "apple"], reverse=True) == [3, 1]


def test_a_phrase_is_words_that_follow_each_other(texts: Shop) -> None:
    assert found(texts, "an apple", match="phrase") == [1, 3]
    assert found(texts, "apple an", match="phrase") == []
    assert found(texts, "to be or not to be", match="phrase") == [5]
    assert found(texts, "day day", match="phrase") == []
    assert found(texts, ["day", "", "day"], match="phrase") == [4], "a word that is left out stands for any word"


def test_words_are_found_within_a_distance(texts: Shop) -> None:
    assert found(texts, "doctor apple", match="within", distance=3) == [3]
    assert found(texts, "doctor apple", match="within", distance=5) == [1, 3]


def test_prefixes_of_several_words(texts: Shop) -> None:
    assert sorted(set(found(texts, ["pea", "da"], match="any prefix"))) == [1, 2, 4]
    assert found(texts, ["doc", "app"], match="all prefixes") == [1, 3]


def test_indexes_without_places_find_texts_with_all_the_words(texts: Shop) -> None:
    assert found(texts, "apple an", match="phrase", index="words_without_places") == [1, 3]
    assert found(texts, "apple", index="words_without_places") == [1, 3, 4]


def test_a_group_has_its_own_words(texts: Shop) -> None:
    assert found(texts, "apple", index="words_by_customer", group=("ana",)) == [1, 3]
    assert found(texts, "apple", index="words_by_customer", group=("bo",)) == [4]
    assert found(texts, "the", index="words_by_customer", group=("cleo",)) == []


def test_another_tokenizer_cuts_texts_and_searches_alike(texts: Shop) -> None:
    assert found(texts, "applesauce", index="beginnings") == [1, 2, 3, 4]
    with texts.db.transaction() as tx:
        store = tx.store(TEXTS, path=PATH)
        assert store.texts("beginnings").tokens("Apple a day") == ["app", "a", "day"]


def test_pages_of_a_search_go_on_where_the_last_one_stopped(texts: Shop) -> None:
    for wanted, how in (("apple", {}), ("doctor apple day", {"match": "any"}), ("a", {"match": "prefix"})):
        seen: list[int] = []
        resume = None
        while True:
            with texts.db.transaction() as tx:
                page = tx.store(TEXTS, path=PATH).texts("words").entries(wanted, limit=1, resume=resume, **how)
                entries = page.all()
                resume = page.continuation
            seen += [entry.primary_key[0] for entry in entries]
            if resume is None:
                break
        assert seen == found(texts, wanted, **how)


def test_an_entry_tells_the_word_and_its_places(texts: Shop) -> None:
    with texts.db.transaction() as tx:
        entries = tx.store(TEXTS, path=PATH).texts("words").entries("day").all()
    assert [(entry.token, entry.positions, entry.primary_key) for entry in entries] == [
        ("day", [3], (1,)),
        ("day", [0, 2], (4,)),
    ]


def test_a_changed_text_is_found_by_its_new_words_only(texts: Shop) -> None:
    texts.save(Order(id=1, note="Pears"))
    assert found(texts, "apple") == [3, 4]
    assert found(texts, "pears") == [1, 2]
    with texts.db.transaction() as tx:
        tx.store(TEXTS, path=PATH).delete(2)
    assert found(texts, "pears") == [1]


def test_a_tidy_index_takes_less_room_and_finds_the_same(db: Any) -> None:
    metadata = builder().index("Order", "words", text_index("note")).build()
    shop = Shop(db, metadata)
    numbers = [number * 7 % 60 for number in range(60)]  # in no order, so that bunches are split
    shop.save(*[Order(id=number, note="always the same words") for number in numbers])
    before = shop.pairs()
    expected = found(shop, "same")
    assert expected == sorted(numbers)
    resume = None
    for _ in range(100):
        with db.transaction() as tx:
            resume = tx.store(metadata, path=PATH).texts("words").tidy(limit=3, resume=resume)
        if resume is None:
            break
    assert resume is None
    after = shop.pairs()
    bunches = [key for key in after if key.startswith(b"\x15\x02")]
    assert len(bunches) == 4 * 3, "60 entries of each word in bunches of 20"
    assert len(after) < len(before)
    assert found(shop, "same") == expected
    shop.check()
    with db.transaction() as tx:
        assert tx.store(metadata, path=PATH).texts("words").tidy() is None
    assert shop.pairs() == after, "what is tidy is left alone"


def test_a_new_version_of_a_tokenizer_cuts_a_text_anew_when_its_record_is_saved(db: Any) -> None:
    old = builder().index("Order", "words", text_index("note", tokenizer="prefix")).build()
    new = builder().index("Order", "words", text_index("note", tokenizer="prefix", tokenizer_version=1)).build()
    shop, later = Shop(db, old), Shop(db, new)
    shop.save(Order(id=1, note="apples"), Order(id=2, note="apples"), Order(id=3, note="apples"))
    later.save(Order(id=1, note="apples"))
    assert found(later, ["appl"]) == [1]
    assert found(later, ["app"]) == [2, 3]
    with db.transaction() as tx:
        tx.store(new, path=PATH).delete(2)
    later.save(Order(id=3, note="pears"))
    assert found(later, ["app"]) == []
    assert found(later, ["pear"]) == [3]
    later.check()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"textTokenizerName": "nobody's"}, errors.IndexNotSupported),
        ({"textTokenizerVersion": "1"}, errors.IndexNotSupported),
        ({"textTokenizerVersion": "one"}, errors.IndexNotSupported),
        ({"textTokenizerName": "filter", "textTokenMinSize": "few"}, errors.IndexNotSupported),
    ],
)
def test_unknown_tokenizers_are_refused_when_a_record_is_saved(db: Any, options: Any, error: Any) -> None:
    from recordlayer.metadata.definitions import IndexDefinition

    definition = IndexDefinition(type="text", expression=field("note"), options=options)
    metadata = builder().index("Order", "words", definition).build()
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        with pytest.raises(error):
            store.save(Order(id=1, note="apple"))


def test_a_word_that_is_too_long_for_a_key_is_refused_and_nothing_is_written(db: Any) -> None:
    shop = Shop(db, builder().index("Order", "words", text_index("note")).build())
    shop.save(Order(id=1, note="short"))
    before = shop.pairs()
    with db.transaction() as tx:
        store = tx.store(shop.metadata, path=PATH)
        with pytest.raises(errors.IndexEntryTooLarge):
            store.save(Order(id=1, note="x" * 10_001))
    assert shop.pairs() == before


def test_what_cannot_be_asked_of_texts_is_refused(texts: Shop) -> None:
    with texts.db.transaction() as tx:
        store = tx.store(TEXTS, path=PATH)
        for wrong in (
            lambda: store.texts("ids"),
            lambda: store.texts("words", "ana"),
            lambda: store.texts("words").entries("apple", match="exactly"),
            lambda: store.texts("words").entries([1]),
            lambda: store.texts("words").entries("apple pie", match="within", distance=-1),
        ):
            with pytest.raises(errors.UsageError):
                wrong()
        with pytest.raises(errors.BadContinuation):
            store.texts("words").entries("apple", resume=b"\x02pear\x00\x15\x01").all()
        assert store.texts("words").entries("!?").all() == []


# -- positions -------------------------------------------------------------------------------------------------------


def positions(shop: Shop, *groups: Any, **how: Any) -> list[int]:
    with shop.db.transaction() as tx:
        results = tx.store(shop.metadata, path=PATH).bitmaps(*groups, **how).all()
    return [position for bitmap in results for position in bitmap.positions]


@pytest.fixture
def tagged(db: Any) -> Any:
    shop = Shop(db, TEXTS)
    for number in range(-5, 40):
        tags = [name for name, divisor in (("even", 2), ("third", 3)) if number % divisor == 0]
        shop.save(Order(id=number, customer="ana" if number < 30 else "bo", tags=tags, total=number * number % 17))
    yield shop
    shop.check()


def test_bitmaps_are_put_together(tagged: Shop) -> None:
    ana, bo = range(-5, 30), range(30, 40)
    assert positions(tagged, ("ids", "ana")) == [*ana]
    assert positions(tagged, ("ids", "ana"), ("ids_by_tag", "even")) == [n for n in ana if n % 2 == 0]
    assert positions(tagged, ("ids_by_tag", "even"), ("ids_by_tag", "third"), combine="any") == [
        n for n in (*ana, *bo) if n % 2 == 0 or n % 3 == 0
    ]
    assert positions(tagged, ("ids", "bo"), ("ids_by_tag", "even"), combine="first without others") == [
        n for n in bo if n % 2
    ]


def test_bitmaps_are_cut_to_the_positions_that_are_asked_for(tagged: Shop) -> None:
    for first, behind in ((None, 17), (3, None), (3, 4), (15, 33), (16, 32), (40, 50), (7, 7), (9, 2)):
        wanted = [n for n in range(-5, 30) if (first is None or n >= first) and (behind is None or n < behind)]
        assert positions(tagged, ("ids", "ana"), first=first, behind=behind) == wanted
        in_reverse = positions(tagged, ("ids", "ana"), first=first, behind=behind, reverse=True)
        assert sorted(in_reverse) == wanted


def test_pages_of_bitmaps_go_on_where_the_last_one_stopped(tagged: Shop) -> None:
    groups = (("ids", "ana"), ("ids_by_tag", "third"))
    seen: list[int] = []
    resume = None
    while True:
        with tagged.db.transaction() as tx:
            page = tx.store(TEXTS, path=PATH).bitmaps(*groups, limit=1, resume=resume)
            seen += [position for bitmap in page.all() for position in bitmap.positions]
            resume = page.continuation
        if resume is None:
            break
    assert seen == positions(tagged, *groups)


def test_a_position_that_must_be_alone_is_refused_to_others(db: Any) -> None:
    unique = {"unique": True, "bitmapValueEntrySize": 16}
    grouped = field("total").group_by("customer")
    from recordlayer.metadata.definitions import IndexDefinition

    definition = IndexDefinition(type="bitmap_value", expression=grouped, options=unique)
    shop = Shop(db, builder().index("Order", "seats", definition).build())
    shop.save(Order(id=1, customer="ana", total=3))
    with db.transaction() as tx:
        store = tx.store(shop.metadata, path=PATH)
        with pytest.raises(errors.UniquenessViolation):
            store.save(Order(id=2, customer="ana", total=3))
        store.save(Order(id=1, customer="ana", total=3, note="the same seat"))
        store.save(Order(id=2, customer="ana", total=4))
        store.save(Order(id=1, customer="ana", total=5))
        store.save(Order(id=3, customer="ana", total=3))
    shop.check()
    first, second = db.transaction(), db.transaction()

    def side_by_side() -> None:
        with first as one:
            one.store(shop.metadata, path=PATH).save(Order(id=7, customer="ana", total=9))
            with second as other:
                other.store(shop.metadata, path=PATH).save(Order(id=8, customer="ana", total=9))

    with pytest.raises(errors.Conflict):
        side_by_side()
    shop.check()


def test_two_records_that_share_a_bit_do_not_conflict_and_the_bit_goes_with_either(db: Any) -> None:
    shop = Shop(db, builder().index("Order", "totals", bitmap_index("total")).build())
    shop.save(Order(id=1, total=3), Order(id=2, total=3), Order(id=3))
    assert positions(shop, ("totals",)) == [3]
    with db.transaction() as tx:
        tx.store(shop.metadata, path=PATH).delete(1)
    assert positions(shop, ("totals",)) == []
    shop.check()


def test_what_cannot_be_asked_of_bitmaps_is_refused(tagged: Shop) -> None:
    with tagged.db.transaction() as tx:
        store = tx.store(TEXTS, path=PATH)
        for wrong in (
            lambda: store.bitmaps(),
            lambda: store.bitmaps(("words",)),
            lambda: store.bitmaps(("ids",)),
            lambda: store.bitmaps(("ids", "ana"), combine="none"),
            lambda: store.scan_index("ids", bounds=rl.Bounds.between(("ana", 3), ("bo", 9))),
            lambda: store.scan_index("ids", ("ana", "three")),
        ):
            with pytest.raises(errors.UsageError):
                wrong()


# -- extremes --------------------------------------------------------------------------------------------------------


def test_groups_come_in_order_of_their_extremes(tagged: Shop) -> None:
    best: dict[Any, int] = {}
    for number in range(-5, 40):
        for tag in [name for name, divisor in (("even", 2), ("third", 3)) if number % divisor == 0]:
            group = ("ana" if number < 30 else "bo", tag)
            best[group] = max(best.get(group, 0), number * number % 17)
    with tagged.db.transaction() as tx:
        store = tx.store(TEXTS, path=PATH)
        ana = [(entry.group, entry.value) for entry in store.extremes("best", "ana", reverse=True).all()]
        assert ana == sorted(
            ((group, (value,)) for group, value in best.items() if group[0] == "ana"),
            key=lambda one: (one[1], one[0][1]),
            reverse=True,
        )
        assert len(store.extremes("best").all()) == len(best)
        assert store.aggregate("best", "ana", "even") == (best["ana", "even"],)
        assert store.aggregate("best", "ana") == (max(best["ana", "even"], best["ana", "third"]),)
        assert store.aggregate("best") == (max(best.values()),)
        assert store.aggregate("best", "nobody") is None
        assert store.aggregate("cheapest", "ana") == (0,)
        assert store.aggregate("cheapest") == (0,)


def test_the_next_best_takes_the_place_of_one_that_goes(db: Any) -> None:
    shop = Shop(db, builder().index("Order", "best", permuted_max("total", group_by="customer")).build())
    shop.save(*[Order(id=number, customer="ana", total=number) for number in range(5)])

    def best() -> Any:
        with db.transaction() as tx:
            return [(one.group, one.value) for one in tx.store(shop.metadata, path=PATH).extremes("best").all()]

    assert best() == [(("ana",), (4,))]
    shop.save(Order(id=4, customer="ana", total=1))
    assert best() == [(("ana",), (3,))]
    shop.save(Order(id=3, customer="bo", total=3))
    assert best() == [(("ana",), (2,)), (("bo",), (3,))]
    with db.transaction() as tx:
        store = tx.store(shop.metadata, path=PATH)
        for number in range(5):
            store.delete(number)
    assert best() == []
    assert not [key for key in shop.pairs() if key.startswith((b"\x15\x02", b"\x15\x03"))]


def test_what_cannot_be_asked_of_extremes_is_refused(tagged: Shop) -> None:
    with tagged.db.transaction() as tx:
        store = tx.store(TEXTS, path=PATH)
        for wrong in (
            lambda: store.extremes("words"),
            lambda: store.extremes("best", "ana", bounds=rl.Bounds.ALL),
            lambda: store.aggregate("best", "ana", "even", 1),
        ):
            with pytest.raises(errors.UsageError):
                wrong()


def test_a_rebuilt_index_of_texts_is_tidy(db: Any) -> None:
    metadata = builder().index("Order", "words", text_index("note")).build()
    shop = Shop(db, metadata)
    shop.save(*[Order(id=number * 7 % 60, note="always the same words") for number in range(60)])
    with db.transaction() as tx:
        tx.store(metadata, path=PATH).rebuild_index("words")
    assert len([key for key in shop.pairs() if key.startswith(b"\x15\x02")]) == 4 * 3
    assert len(found(shop, "same")) == 60
    shop.check()


def test_groups_are_dropped_with_the_records_of_a_key_prefix(db: Any) -> None:
    kind = rl.record_type()
    metadata = (
        rl.RecordMetaDataBuilder(FILE)
        .primary_key("Order", concat(kind, "customer", "id"))
        .primary_key("Customer", concat(kind, "ref"))
        .index("Order", "words", text_index("note", group_by="customer"))
        .index("Order", "ids", bitmap_index("id", group_by="customer"))
        .index("Order", "best", permuted_max("total", group_by=concat("customer", "paid")))
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(*[Order(id=n, customer="ana" if n % 2 else "bo", note=NOTES[n], total=n, paid=n > 3) for n in NOTES])
    with db.transaction() as tx:
        tx.store(metadata, path=PATH).delete_where("Order", customer="ana")
    assert found(shop, "apple", group=("ana",)) == []
    assert found(shop, "apple", group=("bo",)) == [4]
    assert positions(shop, ("ids", "bo")) == [2, 4]
    shop.check()
    left = [key for key in shop.pairs() if key.startswith((b"\x15\x02", b"\x15\x03"))]
    assert not [key for key in left if b"ana" in key]


def test_an_index_that_does_not_keep_groups_together_refuses_to_drop_them(db: Any) -> None:
    kind = rl.record_type()
    for name, definition in (
        ("words", text_index("note")),
        ("best", permuted_max("total", group_by="customer", permuted=1)),
    ):
        metadata = (
            rl.RecordMetaDataBuilder(FILE)
            .primary_key("Order", concat(kind, "customer", "id"))
            .primary_key("Customer", concat(kind, "ref"))
            .index("Order", name, definition)
            .build()
        )
        with db.transaction() as tx, pytest.raises(errors.IndexCannotClear, match=name):
            tx.store(metadata, path=("drop", name)).delete_where("Order", customer="ana")
