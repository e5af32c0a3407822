"""Ranked sets against a sorted list: ranks, places, sizes, structure; hashes; who conflicts with whom."""

from __future__ import annotations

import bisect
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer import errors
from recordlayer.index.ranked_set import RankedSet, RankedSetOptions, structure
from recordlayer.index.ranked_set_hash import NAMES, crc, hash_function, jdk, murmur3, top_level
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.testing.shuffle import Shuffle
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

LONG = bool(os.environ.get("RECORDLAYER_LONG_TESTS"))
MANY = 20_000 if LONG else 600
PREFIX = b"set\x00"

# -- hashes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (10, (0x00000656, 0x96B91DF5, 0x2C25739A)),
        (20, (0x00000660, 0x6CB62096, 0x876E85A4)),
        (1000, (0x0000C73A, 0x62163F59, 0x8DD9D2E9)),
        (-5, (0x00000608, 0x7D5E486F, 0xFF42D095)),
    ],
)
def test_hashes_are_those_of_java(score: int, expected: tuple[int, int, int]) -> None:
    packed = pack((score,))
    assert (jdk(packed), crc(packed), murmur3(packed)) == expected


def test_murmur3_is_that_of_its_author() -> None:
    assert murmur3(b"") == 0
    assert murmur3(b"\x00\x00\x00\x00") == 0x2362F9DE
    assert murmur3(b"Hello, world!") == 0xC0363E43
    assert murmur3(b"The quick brown fox jumps over the lazy dog") == 0x2E4FF723


def test_a_member_is_on_as_many_levels_as_its_hash_ends_in_zeros() -> None:
    tops = [(1, 0), (8, 0), (0x10, 1), (0x0F, 0), (0x100, 2), (0x1000_0000, 5), (0, 5), (0x10_0000, 5), (0x1_0000, 4)]
    for hashed, top in tops:
        assert top_level(hashed, 6) == top
    assert top_level(0, 2) == 1


# -- against a sorted list -------------------------------------------------------------------------------------------


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = open_engine("memory:")
    yield engine
    engine.close()


class Transaction:
    """One transaction on a set."""

    def __init__(self, engine: Engine, options: RankedSetOptions) -> None:
        self.context = Context(engine.begin(), world=World())
        self.set = RankedSet(self.context, PREFIX, options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.set, name)
        return lambda *arguments, **how: run_blocking(method(*arguments, **how))

    def commit(self) -> None:
        run_blocking(self.context.commit())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.commit()
        self.context.close()


def options(name: str = "JDK", levels: int = 6, *, count_duplicates: bool = False, seed: int = 1) -> RankedSetOptions:
    return RankedSetOptions(levels, hash_function(name, random.Random(seed).getrandbits), count_duplicates)


def assert_is(tx: Transaction, members: list[bytes]) -> None:
    """The set holds these members (sorted, duplicates included) and answers as they do."""
    assert tx.size() == len(members)
    count = Counter(members)
    for rank in {0, 1, len(members) // 2, len(members) - 1} & set(range(len(members))):
        assert tx.member_at(rank) == members[rank]
    assert tx.member_at(len(members)) is None
    for member in (*members[:3], *members[-3:], b"\x00", b"\xff", *(one + b"\x00" for one in members[:2])):
        assert tx.rank(member) == bisect.bisect_left(members, member)
        assert tx.count(member) == count[member]
    levels = tx.levels()
    assert structure(levels) == []
    assert {member: total for member, total in levels[0].items() if member} == count if levels[0] else not members


MEMBERS = st.sampled_from([bytes(member) for member in ([0], [0, 0], [0, 255], [1], [1, 0], [7], [32, 16], [255])])
CHANGES = st.lists(st.tuples(st.booleans(), MEMBERS | st.integers(0, 400).map(lambda n: pack((n,)))), max_size=40)


@pytest.mark.parametrize("count_duplicates", [False, True])
@given(changes=CHANGES, levels=st.integers(2, 8), name=st.sampled_from(NAMES), cut=st.integers(0, 40))
def test_a_set_answers_as_a_sorted_list(count_duplicates: bool, changes: Any, levels: int, name: str, cut: int) -> None:
    engine = open_engine("memory:")
    shape = options(name, levels, count_duplicates=count_duplicates)
    members: list[bytes] = []

    def change(tx: Transaction, adds: bool, member: bytes) -> None:
        there = member in members
        if adds:
            assert tx.add(member) is (count_duplicates or not there)
            if count_duplicates or not there:
                bisect.insort(members, member)
        else:
            assert tx.remove(member) is there
            if there:
                members.remove(member)

    for part in (changes[:cut], changes[cut:]):
        with Transaction(engine, shape) as tx:
            for adds, member in part:
                change(tx, adds, member)
            assert_is(tx, members)
    with Transaction(engine, shape) as tx:
        assert_is(tx, members)
    engine.close()


SEQUENCES: dict[str, Callable[[int], list[bytes]]] = {
    "ascending": lambda n: [pack((i,)) for i in range(n)],
    "descending": lambda n: [pack((i,)) for i in range(n, 0, -1)],
    "skewed": lambda n: [pack((int(random.Random(i).paretovariate(0.3)) % 10**12,)) for i in range(n)],
    "all but the same": lambda n: [pack((0, "x" * 30, i)) for i in range(n)],
    "hashes that end alike": lambda n: [pack((16 * i,)) for i in range(n)],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_ranks_of_many_members_in_any_order_are_those_of_a_sorted_list(
    engine: Engine, sequence: str, name: str
) -> None:
    members = list(dict.fromkeys(SEQUENCES[sequence](MANY // 4)))
    with Transaction(engine, options(name)) as tx:
        for member in members:
            assert tx.add(member)
    expected = sorted(members)
    with Transaction(engine, options(name)) as tx:
        assert [tx.rank(member) for member in expected[::7]] == list(range(0, len(expected), 7))
        assert [tx.member_at(rank) for rank in range(0, len(expected), 11)] == expected[::11]
        assert_is(tx, expected)
    with Transaction(engine, options(name)) as tx:
        for member in members[::2]:
            assert tx.remove(member)
        assert_is(tx, sorted(members[1::2]))


@pytest.mark.parametrize("sequence", ["ascending", "descending", "skewed", "all but the same"])
@pytest.mark.parametrize("name", ["CRC", "RANDOM", "MURMUR3"])
def test_one_member_in_sixteen_goes_up_whatever_the_members_are(sequence: str, name: str) -> None:
    hashed = options(name).hashed
    members = set(SEQUENCES[sequence](MANY * 30))
    tops = Counter(top_level(hashed(member), 6) for member in members)
    count = len(members)
    for level in (1, 2):
        expected = count / 16**level
        found = sum(number for top, number in tops.items() if top >= level)
        spread = 6 * expected**0.5  # six standard deviations: the members are fixed, and so is what is random
        assert abs(found - expected) < spread, (level, found, expected)


def test_the_default_hash_promotes_sorted_integers_evenly() -> None:
    tops = Counter(top_level(jdk(pack((number,))), 6) for number in range(65_536))
    for level in (1, 2, 3):
        assert sum(number for top, number in tops.items() if top >= level) == pytest.approx(65_536 / 16**level, rel=0.1)


def test_random_levels_keep_scores_apart_that_were_chosen_to_go_to_one_level(engine: Engine) -> None:
    chosen = [member for member in (pack((i,)) for i in range(MANY * 16)) if top_level(jdk(member), 6) == 0][:MANY]
    by_jdk, by_chance = (
        Counter(top_level(hashed(member), 6) for member in chosen)
        for hashed in (options("JDK").hashed, options("RANDOM").hashed)
    )
    assert by_jdk == {0: MANY}, "an adversary who knows the hash has all scores on the lowest level"
    assert by_chance[0] < MANY * 0.97, "and cannot do so with random levels"


@pytest.mark.parametrize("levels", [4, 5, 8])
@pytest.mark.parametrize("count_duplicates", [False, True])
def test_a_set_whose_upper_levels_are_full_answers_all_the_same(
    engine: Engine, levels: int, count_duplicates: bool
) -> None:
    chance = random.Random(levels)
    shape = RankedSetOptions(levels, lambda member: 0 if chance.random() < 0.8 else 1, count_duplicates)
    members: list[bytes] = []
    with Transaction(engine, shape) as tx:
        for number in chance.choices(range(150), k=200):
            member = pack((number,))
            if tx.add(member):
                bisect.insort(members, member)
        for number in chance.sample(range(150), 60):
            if tx.remove(pack((number,))):
                members.remove(pack((number,)))
        assert_is(tx, members)


# -- costs -----------------------------------------------------------------------------------------------------------


def test_a_change_reads_the_member_and_the_upper_levels_at_once(engine: Engine) -> None:
    plain = next(member for member in (pack((i,)) for i in range(100)) if top_level(jdk(member), 6) == 0)
    with Transaction(engine, options()) as tx:
        tx.add(b"first")
    with Transaction(engine, options()) as tx:
        counters = tx.context.counters
        tx.add(plain)
        assert (counters.reads, counters.writes) == (2, 6)
        tx.add(plain)
        assert (counters.reads, counters.writes) == (3, 6)
        tx.remove(plain)
        assert (counters.reads, counters.writes) == (5, 12)


@pytest.mark.parametrize("count", [0, 5, 1_200])
def test_where_reads_take_time_all_that_a_change_needs_are_under_way_together(count: int) -> None:
    shuffle = Shuffle(random.Random(count))
    memory = open_engine("memory:", world=shuffle.world)
    members = {pack((number * 7919 % 5_000,)) for number in range(count)}
    with Transaction(memory, options("MURMUR3")) as tx:
        for member in members:
            tx.add(member)
    context = Context(shuffle.engine(memory).begin(), world=shuffle.world)
    ranked, counters = RankedSet(context, PREFIX, options("MURMUR3")), context.counters
    for new in [member for member in (pack((-number,)) for number in range(40)) if _top(member) == 0][:2]:
        shuffle.drive(ranked.add(new))
        members.add(new)
    if count:
        assert counters.reads == 2 * 4, "the member itself, level 1, level 2, and all levels as far as they are few"
    for old in sorted(members)[::7][:8]:
        assert shuffle.drive(ranked.remove(old))
        members.remove(old)
    assert structure(found := shuffle.drive(ranked.levels())) == []
    assert found[0].keys() - {b""} == members
    context.close()
    memory.close()


def _top(member: bytes) -> int:
    return top_level(murmur3(member), 6)


def test_a_rank_is_found_in_a_few_keys_of_each_level(engine: Engine) -> None:
    members = [pack((i,)) for i in range(2_000)]
    with Transaction(engine, options("MURMUR3", 4)) as tx:
        for member in members:
            tx.add(member)
    with Transaction(engine, options("MURMUR3", 4)) as tx:
        counters = tx.context.counters
        assert tx.rank(members[1_500]) == 1_500
        assert tx.member_at(1_500) == members[1_500]
        assert counters.reads <= 12
        assert counters.rows_read < 300


# -- conflicts -------------------------------------------------------------------------------------------------------

LOW = [member for member in (pack((i,)) for i in range(200)) if top_level(jdk(member), 6) == 0]


def side_by_side(engine: Engine, shape: RankedSetOptions, one: tuple[str, bytes], other: tuple[str, bytes]) -> bool:
    """Whether two transactions that change the set at the same time can both commit."""
    with Transaction(engine, shape) as first:
        getattr(first, one[0])(one[1])
        with Transaction(engine, shape) as second:
            getattr(second, other[0])(other[1])
        try:
            first.commit()
        except errors.Conflict:
            first.context = Context(engine.begin(), world=World())
            return False
        first.context = Context(engine.begin(), world=World())
        return True


@pytest.fixture
def ten(engine: Engine) -> Engine:
    with Transaction(engine, options()) as tx:
        for member in LOW[0:100:10]:
            tx.add(member)
    return engine


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("add", LOW[1]), ("add", LOW[2])),
        (("add", LOW[1]), ("add", LOW[99])),
        (("add", LOW[95]), ("remove", LOW[0])),
        (("remove", LOW[10]), ("remove", LOW[20])),
        (("remove", LOW[10]), ("add", LOW[11])),
    ],
)
def test_writers_of_different_members_do_not_conflict(ten: Engine, one: Any, other: Any) -> None:
    assert side_by_side(ten, options(), one, other)
    with Transaction(ten, options()) as tx:
        assert structure(tx.levels()) == []


@pytest.mark.parametrize("count_duplicates", [False, True])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("add", LOW[1]), ("add", LOW[1])),
        (("remove", LOW[10]), ("remove", LOW[10])),
    ],
)
def test_writers_of_the_same_member_conflict(ten: Engine, one: Any, other: Any, count_duplicates: bool) -> None:
    assert not side_by_side(ten, options(count_duplicates=count_duplicates), one, other)
    with Transaction(ten, options()) as tx:
        assert structure(tx.levels()) == []


def test_a_member_that_is_added_again_while_it_goes_conflicts_where_duplicates_count(ten: Engine) -> None:
    shape = options(count_duplicates=True)
    assert not side_by_side(ten, shape, ("remove", LOW[10]), ("add", LOW[10]))
    assert not side_by_side(ten, shape, ("add", LOW[20]), ("remove", LOW[20]))


def test_who_counts_where_another_splits_conflicts(ten: Engine) -> None:
    climber = next(m for m in (pack((i,)) for i in range(200)) if top_level(jdk(m), 6) == 1 and m < LOW[90])
    assert not side_by_side(ten, options(), ("add", LOW[91]), ("add", climber))
    with Transaction(ten, options()) as tx:
        assert structure(tx.levels()) == []


def test_two_writers_that_begin_a_set_conflict(engine: Engine) -> None:
    assert not side_by_side(engine, options(), ("add", LOW[1]), ("add", LOW[2]))


@pytest.mark.parametrize("seed", range(6 if LONG else 2))
def test_writers_that_are_interleaved_in_any_way_leave_a_right_set(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    shape = options("MURMUR3", 3, count_duplicates=bool(seed % 2))
    members: Counter[bytes] = Counter()
    conflicts = 0
    for _ in range(60):
        running = [Transaction(engine, shape) for _ in range(4)]
        done: list[list[tuple[bool, bytes]]] = [[] for _ in running]
        for _ in range(8):
            at = chance.randrange(4)
            adds, member = chance.random() < 0.6, pack((chance.randrange(80),))
            if getattr(running[at], "add" if adds else "remove")(member):
                done[at].append((adds, member))
        for at in chance.sample(range(4), 4):
            try:
                running[at].commit()
                for adds, member in done[at]:
                    members[member] += 1 if adds else -1
            except errors.Conflict:
                conflicts += 1
            running[at].context.close()
    assert 0 < conflicts < 200
    with Transaction(engine, shape) as tx:
        assert_is(tx, sorted(members.elements()))


# -- what cannot be --------------------------------------------------------------------------------------------------


def test_the_empty_member_and_negative_ranks_are_refused(engine: Engine) -> None:
    with Transaction(engine, options()) as tx:
        for ask in (tx.add, tx.remove, tx.count, tx.rank):
            with pytest.raises(errors.UsageError):
                ask(b"")
        with pytest.raises(errors.UsageError):
            tx.member_at(-1)


def test_a_set_that_was_never_written_is_empty_and_asking_writes_nothing(engine: Engine) -> None:
    with Transaction(engine, options()) as tx:
        assert (tx.size(), tx.rank(b"a"), tx.count(b"a"), tx.member_at(0), tx.remove(b"a")) == (0, 0, 0, None, False)
        assert tx.context.counters.writes == 0


def test_broken_counts_are_told(ten: Engine) -> None:
    with Transaction(ten, options()) as tx:
        tx.context.set(PREFIX + b"\x14" + pack((LOW[0],)), b"short")
        with pytest.raises(errors.CorruptIndexEntry):
            tx.rank(LOW[50])
        tx.context.clear(PREFIX + b"\x15\x02\x01\x00")
        with pytest.raises(errors.CorruptIndexEntry):
            tx.remove(LOW[10])
        assert structure(tx.levels()) != []


def test_the_check_sees_a_count_that_is_off_and_a_member_that_lacks_below(ten: Engine) -> None:
    with Transaction(ten, options()) as tx:
        levels = tx.levels()
    assert structure(levels) == []
    wrong = [dict(level) for level in levels]
    wrong[1][b""] += 1
    assert structure(wrong)
    wrong = [dict(level) for level in levels]
    wrong[1][b"nobody"] = 0
    assert structure(wrong)
