"""Over indexes of every type, in whatever states: all plans of a random query give what a plain loop gives, whole,
element by element, and with a budget of one key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer.cursor.limits import Budget
from recordlayer.cursor.step import Stop, drain
from recordlayer.errors import NoPlan
from recordlayer.index.leaderboard_directory import Windows, WindowUpdate
from recordlayer.index.state import IndexState
from recordlayer.keys.functions import function
from recordlayer.keys.special import VERSION
from recordlayer.kv.context import Context
from recordlayer.kv.registry import open_engine
from recordlayer.options import Limits
from recordlayer.query.execute import planned, run_query
from recordlayer.query.explain import explain
from recordlayer.query.plan.base import Run
from recordlayer.store.check import check
from recordlayer.store.leaderboards import update_windows
from recordlayer.store.open import open_store
from recordlayer.store.states import clear_index_data
from recordlayer.store.store import RecordStore
from recordlayer.testing.clock import ManualClock
from recordlayer.waiting.drivers import run_blocking
from tests.support.conditions import (
    Condition,
    both,
    compare_with,
    either,
    is_null,
    negated,
    not_null,
    one_of,
    same,
)
from tests.support.embedded import LONG
from tests.support.things import CITIES, KINDS, NAMES, NUMBERS, TAGS, WORDS, metadata_of
from tests.support.things import rows as rows_of

STAMP = "stamp"
"""The parameter that stands for the version of the row numbered `MIDDLE`."""
MIDDLE = 3

Row = dict[str, Any]


def text_of(row: Row) -> list[str] | None:
    return None if row["text"] is None else row["text"].split()


def words(build: Callable[[Any], Any], test: Callable[[list[str]], bool]) -> Condition:
    def decide(row: Row) -> bool | None:
        tokens = text_of(row)
        return None if tokens is None else test(tokens)

    return Condition(build(rl.q.text), decide)


def has_phrase(tokens: list[str], phrase: list[str]) -> bool:
    return any(tokens[at : at + len(phrase)] == phrase for at in range(len(tokens)))


def close(tokens: list[str], wanted: set[str], within: int) -> bool:
    return any(wanted <= set(tokens[at : at + within + 1]) for at in range(len(tokens)))


SOME = st.lists(st.sampled_from(WORDS), min_size=1, max_size=2)
TEXTS = st.one_of(
    SOME.map(lambda wanted: words(lambda f: f.has_words(wanted), lambda t: set(wanted) <= set(t))),
    SOME.map(lambda wanted: words(lambda f: f.has_any_word(wanted), lambda t: not set(wanted).isdisjoint(t))),
    SOME.map(lambda wanted: words(lambda f: f.has_phrase(" ".join(wanted)), lambda t: has_phrase(t, wanted))),
    SOME.map(lambda wanted: words(lambda f: f.has_words(wanted, within=1), lambda t: close(t, set(wanted), 1))),
    st.sampled_from(["b", "be", "t", "z"]).map(
        lambda start: words(lambda f: f.has_prefix(start), lambda t: any(one.startswith(start) for one in t))
    ),
    st.sampled_from([["b", "n"], ["be", "t"]]).map(
        lambda starts: words(
            lambda f: f.has_any_prefix(starts), lambda t: any(one.startswith(tuple(starts)) for one in t)
        )
    ),
    st.sampled_from([["b", "n"], ["be", "t"]]).map(
        lambda starts: words(
            lambda f: f.has_all_prefixes(starts),
            lambda t: all(any(one.startswith(start) for one in t) for start in starts),
        )
    ),
)


def ranked(name: str, path: Any) -> st.SearchStrategy[Condition]:
    def made(operator: str, rank: int) -> Condition:
        tests: dict[str, tuple[Any, Callable[[int], bool]]] = {
            "=": (path == rank, lambda own: own == rank),
            "<": (path < rank, lambda own: own < rank),
            "<=": (path <= rank, lambda own: own <= rank),
            ">": (path > rank, lambda own: own > rank),
            ">=": (path >= rank, lambda own: own >= rank),
            "!=": (path != rank, lambda own: own != rank),
        }
        predicate, test = tests[operator]
        return Condition(predicate, lambda row: None if row[name] is None else test(row[name]))

    return st.builds(made, st.sampled_from(["=", "<", "<=", ">", ">=", "!="]), st.integers(-1, 4))


def city(value: str) -> Condition:
    def decide(row: Row) -> bool | None:
        held = None if row["spot"] is None else row["spot"]["city"]
        return None if held is None else held == value

    return Condition(rl.q.spot.city == value, decide)


def every_tag(tag: str) -> Condition:
    return Condition(rl.q.tags.all_of_them() == tag, lambda row: all(one == tag for one in row["tags"]))


def some_tag(tag: str, least: bool) -> Condition:
    some = rl.q.tags.one_of_them()
    if least:
        return Condition(some >= tag, lambda row: any(one >= tag for one in row["tags"]))
    return Condition(some == tag, lambda row: tag in row["tags"])


def item_of(sku: str, price: int) -> Condition:
    """One and the same element fulfils both."""
    condition = rl.q.items.one_of_them().matches((rl.q.sku == sku) & (rl.q.price >= price))

    def decide(row: Row) -> bool | None:
        found = []
        for item in row["items"]:
            one = None if item["sku"] is None else item["sku"] == sku
            other = None if item["price"] is None else item["price"] >= price
            found.append(False if False in (one, other) else None if None in (one, other) else True)
        return True if True in found else None if None in found else False

    return Condition(condition, decide)


def negative(value: int) -> Condition:
    """By an index on a function: a null there is a null, and a field without presence that holds 0 is one."""

    def decide(row: Row) -> bool | None:
        total = row["total"]
        return None if total is None or (not total and not row["presence"]) else -total > value

    return Condition(rl.q(function("sub", "total")) > value, decide)


def since(later: bool) -> Condition:
    version = rl.q(VERSION)
    if later:
        return Condition(version > rl.param(STAMP), lambda row: row["number"] > MIDDLE)
    return Condition(version <= rl.param(STAMP), lambda row: row["number"] <= MIDDLE)


SHARED = st.one_of(
    compare_with("name", NAMES),
    compare_with("total", NUMBERS),
    compare_with("id", list(range(1, 6))),
    one_of("name", NAMES),
    one_of("total", NUMBERS),
    st.builds(is_null, st.sampled_from(["name", "total"])),
    st.builds(not_null, st.sampled_from(["name", "total"])),
    st.builds(same, st.just("name"), st.sampled_from(NAMES)),
)
LEAVES = st.one_of(
    SHARED,
    TEXTS,
    TEXTS,
    ranked("rank", rl.q.total.ranked()),
    ranked("rank in kind", rl.q.total.ranked(group_by="kind")),
    ranked("place", rl.q.points.ranked(group_by="kind", leaderboard=0, at=0)),
    ranked("place in window", rl.q.points.ranked(group_by="kind", leaderboard=1, at=12)),
    compare_with("y", NUMBERS),
    compare_with("x", NUMBERS),
    compare_with("kind", KINDS),
    st.sampled_from(KINDS).map(lambda kind: same("kind", kind)),
    st.builds(city, st.sampled_from(CITIES)),
    st.builds(every_tag, st.sampled_from(TAGS)),
    st.builds(some_tag, st.sampled_from(TAGS), st.booleans()),
    st.builds(item_of, st.sampled_from(["p", "q"]), st.sampled_from([0, 5, 9])),
    st.builds(item_of, st.sampled_from(["p", "q"]), st.sampled_from([0, 5, 9])),
    st.builds(negative, st.sampled_from([-2, 0, 2])),
    st.builds(since, st.booleans()),
)


def trees(leaves: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(both, inner, inner),
            st.builds(both, inner, inner),
            st.builds(either, inner, inner),
            st.builds(negated, inner),
        ),
        max_leaves=6,
    )


SORTS: list[tuple[str, ...]] = [(), (), (), (), ("id",), ("name",), ("total",), ("total", "name"), ("number",)]
METADATA = {syntax: metadata_of(syntax, filtered=True) for syntax in ("proto2", "proto3")}
ASKED_FOR_RANKS = ("ranks", "ranks_in_kind", "board")
"""Without these nobody knows a rank."""


async def save(context: Context, metadata: rl.RecordMetaData, rows: list[Row]) -> None:
    """Every record in the order of the rows, so that its version tells its number."""
    store = await open_store(context, metadata, b"\x02s\x00")
    board = metadata.index("board")
    window = WindowUpdate(
        updated=0,
        high_score_first=True,
        delete_before=0,
        all_time=True,
        windows=[Windows(type=1, base=0, step=10, duration=10, count=2)],
    )
    await update_windows(store, board, window)
    classes: dict[str, Any] = {
        name: message_factory.GetMessageClass(metadata.record_type(name).descriptor) for name in ("Thing", "Note")
    }
    for row in rows:
        given = {name: value for name, value in row.items() if value is not None and name in FIELDS}
        await store.save(classes[row["type"]](**given))


FIELDS = frozenset(("id", "name", "total", "tags", "text", "x", "y", "kind", "points", "at", "items", "spot"))


def told(rows: list[Row], *, presence: bool) -> list[Row]:
    """Rows with what follows from all of them: numbers, ids that types share, ranks."""
    ids = {"Thing": 0, "Note": 0}
    for number, row in enumerate(rows, 1):
        ids[row["type"]] += 1
        row |= {"number": number, "id": ids[row["type"]], "presence": presence, "rank": None, "rank in kind": None}
        row |= {"place": None, "place in window": None}
        if row["type"] == "Thing":
            if not presence and row["spot"] is not None and row["spot"]["city"] is None:
                row["spot"] = {"city": ""}
            row["items"] = [{name: item[name] for name in item if item[name] is not None} for item in row["items"]]
            row["items"] = [{"sku": None, "price": None} | item for item in row["items"]]
    things = [row for row in rows if row["type"] == "Thing"]

    def score(row: Row) -> tuple[Any, ...]:
        null = row["total"] is None or (not presence and not row["total"])
        return (0,) if null else (1, row["total"])

    for row in things:
        row["rank"] = len({score(other) for other in things if score(other) < score(row)})
        row["rank in kind"] = sum(other["kind"] == row["kind"] and score(other) < score(row) for other in things)
        before = [other for other in things if other["kind"] == row["kind"] and best(other) < best(row)]
        row["place"] = len({best(other) for other in before})
        if in_window(row):
            row["place in window"] = len({best(other) for other in before if in_window(other)})
    return rows


def best(row: Row) -> tuple[int, int]:
    return -row["points"], row["at"]


def in_window(row: Row) -> bool:
    return bool(10 <= row["at"] < 20)


def sort_key(row: Row, names: tuple[str, ...]) -> tuple[Any, ...]:
    """Null first; a field without presence that holds its default counts as null (see `order_by`)."""
    key = []
    for name in names:
        value = row[name]
        null = value is None or (not row["presence"] and name not in ("id", "number") and not value)
        key.append((0,) if null else (1, value))
    return tuple(key)


@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
@settings(max_examples=1_000 if LONG else 40)
@given(data=st.data())
def test_plans_over_every_type_of_index_give_what_a_plain_loop_gives(syntax: str, data: st.DataObject) -> None:
    metadata = METADATA[syntax]
    rows = told(data.draw(rows_of(syntax == "proto2"), label="rows"), presence=syntax == "proto2")
    types = data.draw(st.sampled_from([("Thing",), ("Thing",), ("Thing",), ("Thing", "Note"), ()]), label="types")
    condition = data.draw(trees(LEAVES if types == ("Thing",) else SHARED), label="condition")
    sort = data.draw(st.sampled_from(SORTS), label="sort")
    reverse = bool(sort) and data.draw(st.booleans(), label="reverse")
    changeable = sorted(metadata.indexes.keys() - set(ASKED_FOR_RANKS))
    away = data.draw(st.sets(st.sampled_from(changeable), max_size=12), label="not readable")
    wanted = [row for row in rows if row["type"] in (types or ("Thing", "Note"))]
    expected = sorted([row["number"] for row in wanted if condition.decide(row) is True])
    by_number = {row["number"]: row for row in rows}
    asked = rl.query(*types).where(condition.predicate)
    if sort:
        keys = [VERSION if name == "number" else name for name in sort]
        asked = asked.order_by(*keys, reverse=reverse, in_memory=data.draw(st.sampled_from([2, 100]), label="memory"))
    world = ManualClock().world()  # there are too many plans for a transaction's five seconds
    engine = open_engine("memory:", world=world)
    first = Context(engine.begin(), world=world)

    async def saved() -> None:
        await save(first, metadata, rows)
        await first.commit()

    run_blocking(saved())
    first.close()
    context = Context(engine.begin(), world=world)

    async def compare() -> None:
        nonlocal asked
        store = await open_store(context, metadata, b"\x02s\x00")
        records = await drain(store.scan())
        place = {record.primary_key: by_row(record) for record in records}
        if STAMP in asked.parameters:
            versions = {place[record.primary_key]: record.version for record in records}
            least = min([version for version in versions.values() if version is not None], default=None)
            stamp = versions.get(MIDDLE) or least
            if stamp is None or MIDDLE not in versions:
                return  # there are not so many rows that one of them is in the middle
            asked = asked.bind(**{STAMP: stamp})
        for name in sorted(away):
            store.states.set(metadata.index(name), data.draw(st.sampled_from(NOT_READABLE), label=name))
            clear_index_data(context, store.layout, metadata.index(name).subspace_key)
        try:
            found = planned(store, asked)
        except NoPlan:
            assert "rank" in str(condition.predicate), "only ranks need an index where sorting in memory is allowed"
            raise
        assert str(explain(found))
        for plan in (found.plan, *found.others):
            whole = [place[record.primary_key] for record in await drain(plan.execute(Run(store=store)))]
            assert sorted(whole) == expected, plan.line
            if sort:
                keys = [sort_key(by_number[one], sort) for one in whole]
                assert keys == sorted(keys, reverse=reverse), plan.line
            assert [place[one] for one in await paged(store, plan)] == whole, plan.line
            assert [place[one] for one in await squeezed(store, plan)] == whole, plan.line
        through = [place[record.primary_key] for record in await drain(run_query(store, asked))]
        assert sorted(through) == expected
        for name in sorted(away):
            store.states.set(metadata.index(name), IndexState.DISABLED)
        assert await check(store) == []

    def by_row(record: Any) -> int:
        return next(
            row["number"] for row in rows if (row["type"], row["id"]) == (record.record_type.name, record.message.id)
        )

    async def paged(store: RecordStore, plan: Any) -> list[Any]:
        found: list[Any] = []
        continuation = None
        while True:
            step = await plan.execute(Run(store=store, continuation=continuation, expect=1)).next()
            if not step.has_value:
                return found
            found.append(step.value.primary_key)
            continuation = step.continuation

    async def squeezed(store: RecordStore, plan: Any) -> list[Any]:
        found: list[Any] = []
        continuation = None
        for _ in range(2_000):
            budget = Budget(context.world.clock, Limits(keys=1))
            cursor = plan.execute(Run(store=store, continuation=continuation, budget=budget))
            while (batch := await cursor.batch()).stop is None:
                found += [record.primary_key for record in batch.values]
            found += [record.primary_key for record in batch.values]
            if batch.stop is Stop.EXHAUSTED:
                return found
            assert batch.end is not None
            continuation = batch.end
        raise AssertionError(f"it does not come to its end: {plan.line}")

    run_blocking(compare())
    context.close()
    engine.close()


NOT_READABLE = [IndexState.DISABLED, IndexState.WRITE_ONLY]
