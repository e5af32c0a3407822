"""Leaderboards: the best score of each player in each window of time, against a list that is sorted anew each time."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.index.leaderboard_directory import ALL_TIME, Rebuild, Windows
from recordlayer.keys import concat_fields, grouping
from recordlayer.metadata import leaderboard
from tests.behaviour.conftest import Shop
from tests.support.games import FILE, PATH, Player, Score, builder

SCORES = field("scores").fan_out().nest(concat_fields("points", "at", "ctx"))

BOARDS = (
    builder()
    .index("Player", "all", leaderboard(SCORES))
    .index("Player", "teams", leaderboard(SCORES, group_by="team"))
    .build()
)

DAY, WEEK = 1, 2
SPECS = (Windows(DAY, 0, 10, 10, 4), Windows(WEEK, 0, 20, 40, 2))


def player(number: int, *scores: tuple[int, int], team: str = "red") -> Any:
    return Player(id=number, team=team, scores=[Score(points=p, at=at, ctx=number) for p, at in scores])


class Boards(Shop):
    def update(self, now: int = 0, windows: Any = SPECS, **how: Any) -> list[Any]:
        with self.db.transaction() as tx:
            store = tx.store(self.metadata, path=self.path)
            return [store.leaderboard(name).update_windows(now, windows, **how) for name in ("all", "teams")]


@pytest.fixture
def boards(db: Any) -> Iterator[Boards]:
    made = Boards(db, BOARDS, PATH)
    yield made
    made.check()


@pytest.fixture
def three(boards: Boards) -> Boards:
    boards.update()
    boards.save(player(1, (50, 5), (90, 25)), player(2, (70, 5)), player(3, (60, 15), (60, 5), team="blue"))
    return boards


def open_store(boards: Boards, tx: Any) -> Any:
    return tx.store(boards.metadata, path=boards.path)


# -- windows ---------------------------------------------------------------------------------------------------------


def test_before_any_window_nothing_is_indexed(boards: Boards) -> None:
    boards.save(player(1, (50, 5)))
    with boards.db.transaction() as tx:
        board = open_store(boards, tx).leaderboard("all")
        assert board.windows() == ()
        assert (board.ranks().size(), board.ranks().entries().all(), board.rank_of(1)) == (0, [], None)
        assert board.trim([(50, 5, 1)]) == [(50, 5, 1)]
    assert not any(key.startswith((b"\x15\x02", b"\x15\x03")) for key in boards.pairs())


def test_the_first_update_adds_the_windows_and_indexes_what_is_there(boards: Boards) -> None:
    boards.save(player(1, (50, 5)))
    (result, _) = boards.update()
    assert (result.changed, result.rebuilt) == (True, True)
    with boards.db.transaction() as tx:
        board = open_store(boards, tx).leaderboard("all")
        kinds = [(window.type, window.start, window.end) for window in board.windows()]
        assert kinds[1:] == [(1, 0, 10), (1, 10, 20), (1, 20, 30), (1, 30, 40), (2, 0, 40), (2, 20, 60)]
        assert kinds[0][0] == ALL_TIME
        assert board.rank_of(1) == (0, (50, 5, 1))
    (again, _) = boards.update()
    assert (again.changed, again.rebuilt) == (False, False)


def test_each_window_has_the_best_score_of_its_time(three: Boards) -> None:
    with three.db.transaction() as tx:
        board = open_store(three, tx).leaderboard("all")
        ranks = board.ranks(type=DAY, at=7)
        assert [entry.key for entry in ranks.entries()] == [(70, 5, 2), (60, 5, 3), (50, 5, 1)]
        assert [entry.primary_key for entry in ranks.entries(0, 2)] == [(2,), (3,)]
        assert [message.id for message in ranks.records(reverse=True)] == [1, 3, 2]
        assert [entry.key for entry in board.ranks(type=DAY, at=15).entries()] == [(60, 15, 3)]
        assert [entry.key for entry in board.ranks().entries()] == [(90, 25, 1), (70, 5, 2), (60, 5, 3)]
        assert [entry.key for entry in board.ranks(type=WEEK, at=30).entries()] == [
            (90, 25, 1),
            (70, 5, 2),
            (60, 5, 3),
        ], "the oldest window that contains the time"
        assert board.rank_of(1) == (0, (90, 25, 1))
        assert board.rank_of(1, type=DAY, at=0) == (2, (50, 5, 1))
        assert board.rank_of(2, type=DAY, at=20) is None
        assert board.rank_of(99) is None


def test_scores_are_ranked_from_the_best(three: Boards) -> None:
    with three.db.transaction() as tx:
        ranks = open_store(three, tx).leaderboard("all").ranks()
        assert [ranks.score(place) for place in range(4)] == [(90, 25, 1), (70, 5, 2), (60, 5, 3), None]
        assert ranks.rank(70, 5, 2) == 1
        assert [ranks.rank(points) for points in (100, 90, 80, 60, 1)] == [0, 0, 1, 2, 3]
        assert ranks.rank(70, 5, 2, reverse=True) == 1
        assert (ranks.size(), ranks.percentile(1.0)) == (3, (60, 5, 3))


def test_groups_have_boards_and_directions_of_their_own(three: Boards) -> None:
    with three.db.transaction() as tx:
        board = open_store(three, tx).leaderboard("teams")
        assert [entry.key for entry in board.ranks("red").entries()] == [("red", 90, 25, 1), ("red", 70, 5, 2)]
        assert board.rank_of(3) == (0, (60, 5, 3))
        board.set_direction("golf", high_score_first=False)
    three.save(player(7, (3, 1), (9, 2), team="golf"), player(8, (5, 1), team="golf"))
    with three.db.transaction() as tx:
        board = open_store(three, tx).leaderboard("teams")
        assert [entry.key for entry in board.ranks("golf").entries()] == [("golf", 3, 1, 7), ("golf", 5, 1, 8)]
        assert board.ranks("golf").rank(4) == 1
        assert board.rank_of(8) == (1, (5, 1, 8))


def test_windows_that_have_ended_go_with_all_their_entries(three: Boards) -> None:
    before = len(three.pairs())
    (result, _) = three.update(30, (Windows(DAY, 20, 10, 10, 3),), delete_before=20, rebuild=Rebuild.NEVER)
    assert (result.changed, result.rebuilt) == (True, False)
    with three.db.transaction() as tx:
        board = open_store(three, tx).leaderboard("all")
        assert [window.start for window in board.windows() if window.type == DAY] == [20, 30, 40]
        assert board.ranks(type=DAY, at=5).size() == 0
    assert len(three.pairs()) < before - 20


def test_a_window_that_begins_in_the_past_is_filled_from_what_is_stored(three: Boards) -> None:
    (result, _) = three.update(30, (Windows(DAY, 25, 10, 10, 1),))
    assert result.rebuilt
    with three.db.transaction() as tx:
        board = open_store(three, tx).leaderboard("all")
        assert [window.start for window in board.windows() if window.type == DAY] == [0, 10, 20, 25, 30]
    (later, _) = three.update(30, (Windows(DAY, 26, 10, 10, 1),))
    assert (later.changed, later.rebuilt) == (True, False), "no score is as late as this window"


def test_the_direction_of_all_changes_with_a_rebuild_only(three: Boards) -> None:
    with pytest.raises(errors.UsageError):
        three.update(1, high_score_first=False, rebuild=Rebuild.NEVER)
    (result, _) = three.update(1, high_score_first=False)
    assert result.rebuilt
    with three.db.transaction() as tx:
        ranks = open_store(three, tx).leaderboard("all").ranks()
        assert [entry.key for entry in ranks.entries()] == [(50, 5, 1), (60, 5, 3), (70, 5, 2)]


# -- changes ---------------------------------------------------------------------------------------------------------


def test_a_better_score_takes_the_place_and_a_deleted_player_leaves_it(three: Boards) -> None:
    three.save(player(2, (70, 5), (95, 8)))
    with three.db.transaction() as tx:
        store = open_store(three, tx)
        assert store.leaderboard("all").rank_of(2) == (0, (95, 8, 2))
        store.delete(2)
        assert store.leaderboard("all").ranks().size() == 2
    three.save(player(1, (50, 5)))
    with three.db.transaction() as tx:
        assert open_store(three, tx).leaderboard("all").rank_of(1) == (1, (50, 5, 1))


def test_what_stays_the_same_costs_nothing_but_the_record(three: Boards) -> None:
    with three.db.transaction() as tx:
        store = open_store(three, tx)
        before = tx.context.counters.reads
        store.save(player(2, (70, 5)))
        assert tx.context.counters.reads == before + 1


@pytest.mark.parametrize("seed", range(2))
def test_random_scores_are_ranked_as_a_sorted_list(boards: Boards, seed: int) -> None:
    chance = random.Random(seed)
    boards.update(high_score_first=bool(seed % 2))
    players: dict[int, list[tuple[int, int]]] = {}
    for _ in range(6):
        with boards.db.transaction() as tx:
            store = open_store(boards, tx)
            for _ in range(5):
                number = chance.randrange(12)
                if chance.random() < 0.2:
                    store.delete(number)
                    players.pop(number, None)
                else:
                    players[number] = [(chance.randrange(-5, 9), chance.randrange(60)) for _ in range(number % 4)]
                    store.save(player(number, *players[number]))
    sign = -1 if seed % 2 else 1
    with boards.db.transaction() as tx:
        board = open_store(boards, tx).leaderboard("all")
        for window in board.windows():
            best = [
                min((sign * points, at, number) for points, at in scores if window.contains(at))
                for number, scores in players.items()
                if any(window.contains(at) for _, at in scores)
            ]
            ranks = board.ranks(type=window.type, at=max(window.start, 0))
            if window.type != WEEK:
                assert [entry.key for entry in ranks.entries()] == [(sign * p, at, n) for p, at, n in sorted(best)]
                assert [ranks.rank(sign * p, at, n) for p, at, n in sorted(best)] == list(range(len(best)))


def test_eight_writers_at_once_end_with_right_boards() -> None:
    with rl.open("memory:") as database:
        with database.transaction() as tx:
            tx.store(BOARDS, path=PATH).leaderboard("teams").update_windows(0, SPECS)
        failures: list[BaseException] = []

        def writer(seed: int) -> None:
            chance = random.Random(seed)

            def change(tx: Any) -> None:
                store = tx.store(BOARDS, path=PATH)
                for _ in range(2):
                    number = chance.randrange(30)
                    store.save(player(number, (chance.randrange(90), chance.randrange(40)), team=f"t{number % 2}"))

            try:
                for _ in range(6):
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
            assert tx.store(BOARDS, path=PATH).check() == []


def test_a_leaderboard_goes_with_all_records_of_its_type_and_not_with_some(db: Any) -> None:
    metadata = (
        rl.RecordMetaDataBuilder(FILE)
        .primary_key("Player", rl.concat(rl.record_type(), "team", "id"))
        .primary_key("Event", rl.concat(rl.record_type(), "id"))
        .index("Player", "teams", leaderboard(SCORES, group_by="team"))
        .build()
    )
    shop = Shop(db, metadata, PATH)
    with db.transaction() as tx:
        tx.store(metadata, path=PATH).leaderboard("teams").update_windows(0, SPECS)
    shop.save(player(1, (5, 5)), player(2, (6, 6), team="blue"))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        with pytest.raises(errors.IndexCannotClear):
            store.delete_where("Player", team="red")
        store.delete_where("Player")
        assert store.leaderboard("teams").ranks("red").size() == 0
        store.save(player(3, (7, 7)))
        key = metadata.record_type("Player").record_type_key
        assert store.leaderboard("teams").rank_of((key, "red", 3)) == (0, (7, 7, 3))
    shop.check()


# -- scans and trimming ----------------------------------------------------------------------------------------------


def test_the_window_of_all_time_is_scanned_by_score(three: Boards) -> None:
    with three.db.transaction() as tx:
        store = open_store(three, tx)
        assert [entry.key for entry in store.scan_index("all")] == [(60, 5, 3), (70, 5, 2), (90, 25, 1)]
        assert [entry.key for entry in store.scan_index("all", reverse=True, limit=1)] == [(90, 25, 1)]
        between = rl.Bounds.between((61,), (90,), high_end=rl.End.INCLUSIVE)
        assert [entry.key[0] for entry in store.scan_index("all", bounds=between)] == [70, 90]
        assert [entry.key[1] for entry in store.scan_index("teams", ("red",))] == [70, 90]
        within = rl.Bounds.between(("red", 80), ("red", 99))
        assert [entry.key[1] for entry in store.scan_index("teams", bounds=within)] == [90]


@pytest.mark.parametrize("reverse", [False, True])
def test_stopping_anywhere_and_resuming_gives_the_same_entries(three: Boards, reverse: bool) -> None:
    with three.db.transaction() as tx:
        store = open_store(three, tx)
        for scan in (
            lambda **how: store.leaderboard("all").ranks().entries(0, 9, reverse=reverse, **how),
            lambda **how: store.scan_index("all", reverse=reverse, **how),
        ):
            whole = scan().all()
            for count in range(1, 3):
                page = scan(limit=count)
                assert page.all() == whole[:count]
                assert scan(resume=page.continuation).all() == whole[count:]


def test_trimming_keeps_what_is_the_best_somewhere(three: Boards) -> None:
    with three.db.transaction() as tx:
        store = open_store(three, tx)
        scores = [(50, 5, 1), (40, 6, 1), (90, 25, 1), (10, 15, 1), (9, 16, 1)]
        assert store.leaderboard("all").trim(scores) == [(90, 25, 1), (50, 5, 1), (10, 15, 1)]
        grouped = store.leaderboard("teams").trim([("red", *score) for score in scores])
        assert grouped == [("red", 90, 25, 1), ("red", 50, 5, 1), ("red", 10, 15, 1)]
        assert store.leaderboard("teams").trim(scores, grouped=False) == [(90, 25, 1), (50, 5, 1), (10, 15, 1)]


# -- what cannot be --------------------------------------------------------------------------------------------------


def test_records_without_a_score_or_a_time_are_refused_and_leave_no_trace(three: Boards) -> None:
    before = three.pairs()
    for score in (Score(points=1), Score(at=1), Score()):
        with three.db.transaction() as tx, pytest.raises(errors.UsageError):
            open_store(three, tx).save(Player(id=9, team="red", scores=[score]))
    assert three.pairs() == before


def test_questions_that_make_no_sense_are_refused(three: Boards) -> None:
    with three.db.transaction() as tx:
        store = open_store(three, tx)
        board = store.leaderboard("teams")
        for wrong in (
            lambda: board.ranks(),
            lambda: board.ranks("red", type="day"),
            lambda: board.ranks("red").rank(),
            lambda: board.ranks("red").rank("many"),
            lambda: board.ranks("red").rank(1, 2, 3, 4),
            lambda: board.set_direction(high_score_first=True),
            lambda: board.trim([(1,)]),
            lambda: board.update_windows(0, levels=1),
            lambda: board.update_windows(1 << 64),
            lambda: Windows(0, 0, 1, 1, 1),
            lambda: Windows(1, 0, 1, 0, 1),
            lambda: Windows(1, 0, 1.5, 1, 1),  # type: ignore[arg-type]  # what is refused
        ):
            with pytest.raises(errors.UsageError):
                wrong()


def test_a_player_in_several_groups_has_no_one_rank(db: Any) -> None:
    whole = grouping(field("scores").fan_out().nest(concat_fields("ctx", "points", "at")), grouped_count=2)
    metadata = builder().index("Player", "by_ctx", whole, type="time_window_leaderboard").build()
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        board = store.leaderboard("by_ctx")
        board.update_windows(0)
        store.save(Player(id=1, scores=[Score(points=5, at=1, ctx=7), Score(points=6, at=1, ctx=8)]))
        store.save(Player(id=2, scores=[Score(points=9, at=1, ctx=8)]))
        with pytest.raises(errors.UsageError):
            board.rank_of(1)
        assert board.rank_of(2) == (0, (9, 1))
        assert (board.ranks(7).rank(5, 1), board.ranks(8).rank(6, 1)) == (0, 1)
        assert store.check() == []


def test_the_check_finds_what_is_off(three: Boards) -> None:
    with three.db.transaction() as tx:
        core = open_store(three, tx).core
        board = core.index_maintainer("all")
        rows = [key for key in three.pairs() if key.startswith(b"\x15\x02\x02all\x00\x14")]
        core.context.clear(core.layout.prefix + rows[0])
        core.context.set(core.layout.prefix + rows[1][:-1] + b"\x63", b"")
        core.context.set(board.space.space(3) + b"\x14\x15\x01\x01\x00", (99).to_bytes(8, "little"))
        found = {finding.what.split(":")[0] for finding in open_store(three, tx).check()}
        assert found == {"an entry is missing", "an entry has no record", "a ranked set is broken"}
        open_store(three, tx).rebuild_index("all")
