"""Ranks: the place of a score, the score at a place, the records at a range of places; what writers leave behind."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.keys import concat
from recordlayer.metadata import rank
from recordlayer.store import marking
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from tests.behaviour.conftest import Shop
from tests.support.shop import FILE, PATH, Order, builder

RANKED = (
    builder()
    .index("Order", "by_total", rank("total"))
    .index("Order", "by_customer", rank("total", group_by="customer", hash_function="CRC", levels=3))
    .index("Order", "by_ratio", rank("ratio", count_duplicates=True, hash_function="RANDOM"))
    .index("Order", "by_tags", rank(concat("status", field("tags").fan_out())))
    .build()
)


@pytest.fixture
def ranked(db: Any) -> Iterator[Shop]:
    made = Shop(db, RANKED)
    yield made
    made.check()


def open_store(shop: Shop, tx: Any) -> Any:
    return tx.store(shop.metadata, path=shop.path)


def order(number: int, total: int, customer: str = "ana", **more: Any) -> Any:
    return Order(id=number, total=total, customer=customer, **more)


@pytest.fixture
def ten(ranked: Shop) -> Shop:
    """Totals 0, 10 ... 90 of ana, 5 and 15 of bo, who shares 15 with a second order."""
    ranked.save(*(order(n, 10 * n) for n in range(10)), order(10, 5, "bo"), order(11, 15, "bo"), order(12, 15, "bo"))
    return ranked


# -- questions -------------------------------------------------------------------------------------------------------


def test_the_rank_of_a_score_is_how_many_are_smaller_or_in_reverse_greater(ten: Shop) -> None:
    with ten.db.transaction() as tx:
        ranks = open_store(ten, tx).ranks("by_total")
        assert ranks.size() == 12
        assert [ranks.rank(total) for total in (0, 5, 15, 90)] == [0, 1, 3, 11]
        assert [ranks.rank(total) for total in (-1, 1, 16, 99)] == [0, 1, 4, 12]
        assert [ranks.rank(total, reverse=True) for total in (90, 0, 15, 16, 99, -1)] == [0, 11, 8, 8, 0, 12]
        assert ranks.rank(15, snapshot=True) == 3


def test_a_rank_leads_to_its_score(ten: Shop) -> None:
    with ten.db.transaction() as tx:
        ranks = open_store(ten, tx).ranks("by_total")
        assert [ranks.score(place) for place in (0, 1, 3, 11, 12)] == [(0,), (5,), (15,), (90,), None]
        assert [ranks.score(place, reverse=True) for place in (0, 1, 11, 12)] == [(90,), (80,), (0,), None]


def test_groups_have_ranks_of_their_own(ten: Shop) -> None:
    with ten.db.transaction() as tx:
        store = open_store(ten, tx)
        assert store.ranks("by_customer", "bo").size() == 2
        assert store.ranks("by_customer", "bo").rank(15) == 1
        assert store.ranks("by_customer", "ana").rank(15) == 2
        nobody = store.ranks("by_customer", "cy")
        assert (nobody.size(), nobody.rank(3), nobody.score(0), nobody.percentile(0.5)) == (0, 0, None, None)
        assert (nobody.entries().all(), nobody.entries(0, 3, reverse=True).all()) == ([], [])


def test_percentiles_are_scores_that_are_there(ten: Shop) -> None:
    with ten.db.transaction() as tx:
        ranks = open_store(ten, tx).ranks("by_customer", "ana")
        found = [ranks.percentile(part) for part in (0, 0.1, 0.11, 0.5, 0.95, 1)]
        assert found == [(0,), (0,), (10,), (40,), (90,), (90,)]


def test_duplicates_count_where_the_index_says_so(ranked: Shop) -> None:
    ranked.save(*(order(n, 1, ratio=float(n // 3)) for n in range(9)))
    with ranked.db.transaction() as tx:
        ranks = open_store(ranked, tx).ranks("by_ratio")
        assert ranks.size() == 9
        assert [ranks.rank(ratio) for ratio in (0, 1, 2.0, 1.5, 9)] == [0, 3, 6, 6, 9]
        assert [ranks.rank(ratio, reverse=True) for ratio in (0, 1, 2, 9)] == [6, 3, 0, 0]
        assert [ranks.score(place) for place in (0, 2, 3, 8, 9)] == [(0.0,), (0.0,), (1.0,), (2.0,), None]
        assert open_store(ranked, tx).ranks("by_total").size() == 1


def test_scores_of_several_columns_are_ranked_by_all_of_them(ranked: Shop) -> None:
    ranked.save(order(1, 1, status=1, tags=["b", "a"]), order(2, 1, status=0, tags=["c"]))
    with ranked.db.transaction() as tx:
        ranks = open_store(ranked, tx).ranks("by_tags")
        assert [ranks.score(place) for place in range(4)] == [(0, "c"), (1, "a"), (1, "b"), None]
        assert ranks.rank("PAID", "b") == 2


# -- scans -----------------------------------------------------------------------------------------------------------


def totals(page: Any) -> list[int]:
    return [entry.key[-1] for entry in page.all()]


def test_a_range_of_ranks_has_all_who_share_a_score(ten: Shop) -> None:
    with ten.db.transaction() as tx:
        store = open_store(ten, tx)
        ranks = store.ranks("by_total")
        assert totals(ranks.entries(2, 5)) == [10, 15, 15, 20]
        assert totals(ranks.entries(10)) == [80, 90]
        assert totals(ranks.entries(0, 1)) == [0]
        assert totals(ranks.entries(5, 5)) == []
        assert totals(ranks.entries(12)) == []
        assert len(totals(ranks.entries())) == 13
        assert totals(store.ranks("by_customer", "bo").entries(1, 9)) == [15, 15]
        assert [message.id for message in ranks.records(3, 4)] == [11, 12]


def test_in_reverse_the_greatest_come_first(ten: Shop) -> None:
    with ten.db.transaction() as tx:
        ranks = open_store(ten, tx).ranks("by_total")
        assert totals(ranks.entries(0, 3, reverse=True)) == [90, 80, 70]
        assert totals(ranks.entries(8, 10, reverse=True)) == [15, 15, 10]
        assert totals(ranks.entries(10, 50, reverse=True)) == [5, 0]
        assert totals(ranks.entries(12, reverse=True)) == []
        assert len(totals(ranks.entries(reverse=True))) == 13
        assert [message.total for message in ranks.records(0, 2, reverse=True)] == [90, 80]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("start", "stop"), [(0, None), (2, 7), (0, 40), (3, None)])
def test_stopping_anywhere_and_resuming_gives_the_same_entries(
    ten: Shop, start: int, stop: int | None, reverse: bool
) -> None:
    with ten.db.transaction() as tx:
        ranks = open_store(ten, tx).ranks("by_total")
        whole = ranks.entries(start, stop, reverse=reverse).all()
        for count in range(1, len(whole)):
            page = ranks.entries(start, stop, reverse=reverse, limit=count)
            assert page.all() == whole[:count]
            assert page.stopped is rl.Stop.LIMIT_REACHED
            rest = ranks.entries(start, stop, reverse=reverse, resume=page.continuation)
            assert rest.all() == whole[count:]
            assert rest.continuation is None


# -- changes ---------------------------------------------------------------------------------------------------------


def test_ranks_follow_updates_and_deletes(ten: Shop) -> None:
    ten.save(order(0, 100), order(11, 15, "ana"))
    with ten.db.transaction() as tx:
        store = open_store(ten, tx)
        store.delete(5)
        assert store.ranks("by_total").rank(100) == 10
        assert store.ranks("by_total").score(0) == (5,)
        assert store.ranks("by_customer", "bo").size() == 2
        store.delete(12)
        assert store.ranks("by_customer", "bo").size() == 1
        assert store.ranks("by_total").rank(20) == 3, "one order with 15 is left"
        store.delete(11)
        assert store.ranks("by_total").rank(20) == 2


def test_a_transaction_that_is_given_up_leaves_the_ranks_as_they_were(ten: Shop) -> None:
    before = ten.pairs()

    class GivenUp(Exception):
        pass

    def give_up() -> None:
        with ten.db.transaction() as tx:
            open_store(ten, tx).save(order(20, 33))
            raise GivenUp

    with pytest.raises(GivenUp):
        give_up()
    assert ten.pairs() == before


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_leave_the_ranks_of_a_sorted_list(ranked: Shop, seed: int) -> None:
    chance = random.Random(seed)
    rows: dict[int, int] = {}
    for _ in range(12):
        with ranked.db.transaction() as tx:
            store = open_store(ranked, tx)
            for _ in range(12):
                number = chance.randrange(40)
                if chance.random() < 0.3:
                    assert store.delete(number) is (rows.pop(number, None) is not None)
                else:
                    rows[number] = int(chance.paretovariate(0.5)) % 60
                    store.save(order(number, rows[number], ratio=float(rows[number] % 4), tags=["x"] * (number % 3)))
    with ranked.db.transaction() as tx:
        store = open_store(ranked, tx)
        scores = sorted(set(rows.values()))
        assert [store.ranks("by_total").rank(score) for score in scores] == list(range(len(scores)))
        assert [store.ranks("by_total").score(place) for place in range(len(scores))] == [(one,) for one in scores]
        assert store.ranks("by_ratio").size() == len(rows)


def test_records_that_are_saved_side_by_side_in_one_transaction_are_all_ranked() -> None:
    async def run() -> None:
        from recordlayer import aio

        async with aio.open("memory:") as database, database.transaction() as tx:
            store = await tx.store(RANKED, path=PATH)
            await asyncio.gather(*(store.save(order(n, n % 7, f"c{n % 3}", ratio=n / 2)) for n in range(40)))
            await asyncio.gather(*(store.delete(n) for n in range(0, 40, 3)))
            left = [n for n in range(40) if n % 3]
            assert await store.ranks("by_total").size() == len({n % 7 for n in left})
            assert await store.check() == []

    asyncio.run(run())


def test_eight_writers_at_once_end_with_right_ranks() -> None:
    with rl.open("memory:") as database:
        failures: list[BaseException] = []

        def writer(seed: int) -> None:
            chance = random.Random(seed)

            def change(tx: Any) -> None:
                store = tx.store(RANKED, path=PATH)
                for _ in range(3):
                    number = chance.randrange(60)
                    if chance.random() < 0.3:
                        store.delete(number)
                    else:
                        store.save(order(number, chance.randrange(30), f"c{number % 2}", ratio=number % 5))

            try:
                for _ in range(12):
                    database.run(change, retry=rl.Retry(attempts=10_000))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=writer, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        with database.transaction() as tx:
            assert tx.store(RANKED, path=PATH).check() == []


def test_a_group_is_cleared_with_the_records_of_its_key(db: Any) -> None:
    grouped = (
        rl.RecordMetaDataBuilder(FILE)
        .primary_key("Order", concat(rl.record_type(), "customer", "id"))
        .primary_key("Customer", concat(rl.record_type(), "ref"))
        .index("Order", "by_customer", rank("total", group_by="customer"))
        .build()
    )
    shop = Shop(db, grouped)
    shop.save(*(order(n, 10 * n, "ana" if n % 2 else "bo") for n in range(6)))
    with db.transaction() as tx:
        store = open_store(shop, tx)
        store.delete_where("Order", customer="ana")
        assert (store.ranks("by_customer", "ana").size(), store.ranks("by_customer", "bo").size()) == (0, 3)
        store.save(order(7, 5, "ana"))
        assert store.ranks("by_customer", "ana").rank(5) == 0
    shop.check()


# -- building --------------------------------------------------------------------------------------------------------


def test_an_index_that_is_built_again_is_as_it_was(ten: Shop) -> None:
    with ten.db.transaction() as tx:
        store = open_store(ten, tx)
        before = store.ranks("by_total").entries().all()
        store.rebuild_index("by_total")
        store.rebuild_index("by_customer")
        assert store.ranks("by_total").entries().all() == before
        assert store.ranks("by_total").rank(90) == 11


def test_while_an_index_is_being_built_only_what_was_built_is_counted_twice_never(db: Any) -> None:
    shop = Shop(db, RANKED)
    shop.save(order(1, 10, ratio=1.0), order(2, 20, ratio=1.0))
    with db.transaction() as tx:
        store = open_store(shop, tx)
        for name in ("by_total", "by_ratio"):
            marking.clear_and_mark(store.core, store.core.metadata.index(name), rl.IndexState.WRITE_ONLY)
        store.save(order(1, 11, ratio=2.0))
        store.delete(2)
        store.save(order(3, 30, ratio=3.0))
        with pytest.raises(errors.IndexNotReadable):
            store.ranks("by_total")
        store.rebuild_index("by_total")
        store.rebuild_index("by_ratio")
        assert store.ranks("by_total").size() == 2
        assert store.ranks("by_ratio").size() == 2
    shop.check()


def test_the_check_finds_a_rank_that_is_off(ten: Shop) -> None:
    core: Any
    with ten.db.transaction() as tx:
        core = open_store(ten, tx).core
        ranks = core.index_maintainer("by_total").space.space(3)
        core.context.set(ranks + b"\x15\x01\x01\x00", (99).to_bytes(8, "little"))
        core.context.set(ranks + b"\x14" + pack((pack((1234,)),)), (1).to_bytes(8, "little"))
        found = {finding.what.split(":")[0] for finding in run_blocking(_check(core))}
        assert found == {"a ranked set is broken", "a ranked set counts a score wrongly"}
        open_store(ten, tx).rebuild_index("by_total")


async def _check(core: Any) -> Any:
    from recordlayer.store.check import check

    return await check(core)


# -- what cannot be --------------------------------------------------------------------------------------------------


def test_questions_that_make_no_sense_are_refused(ten: Shop) -> None:
    with ten.db.transaction() as tx:
        store = open_store(ten, tx)
        ranks = store.ranks("by_total")
        for wrong in (
            lambda: store.ranks("by_customer"),
            lambda: store.ranks("by_total", "ana"),
            lambda: ranks.rank(),
            lambda: ranks.rank(1, 2),
            lambda: ranks.rank("many"),
            lambda: ranks.score(-1),
            lambda: ranks.score(1.5),
            lambda: ranks.percentile(95),
            lambda: ranks.entries(-1),
            lambda: ranks.entries(0, "9"),
            lambda: ranks.entries(0, limit=-1),
        ):
            with pytest.raises(errors.UsageError):
                wrong()
        with pytest.raises(errors.UnknownIndex):
            store.ranks("by_nothing")
        with pytest.raises(errors.BadContinuation):
            ranks.entries(2, 5, resume=b"nonsense").all()


def test_only_rank_indexes_know_ranks(shop: Shop) -> None:
    with shop.db.transaction() as tx, pytest.raises(errors.UsageError):
        tx.store(shop.metadata, path=PATH).ranks(next(iter(shop.metadata.indexes)))


@pytest.mark.parametrize("options", [{"rankNLevels": "9"}, {"rankNLevels": "x"}, {"rankHashFunction": "MD5"}])
def test_options_that_java_would_refuse_are_refused(db: Any, options: dict[str, str]) -> None:
    wrong = builder().index("Order", "wrong", field("total").ungrouped(), type="rank", options=options).build()
    with db.transaction() as tx:
        store = tx.store(wrong, path=PATH)
        with pytest.raises(errors.IndexNotSupported):
            store.save(order(1, 1))
