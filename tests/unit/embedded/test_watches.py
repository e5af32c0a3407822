"""Watches: when they fire, and that none is lost or kept for ever."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import Closed, OperationCancelled, TooManyWatches
from recordlayer.kv.embedded.watches import Watch, Watches
from tests.support.embedded import do

KEYS = [b"a", b"b"]
VALUES = [None, b"", b"1"]
STEP = st.one_of(
    st.tuples(st.just("reserve"), st.sampled_from(KEYS)),
    st.tuples(st.just("start"), st.integers(0, 20)),
    st.tuples(st.just("answer"), st.integers(0, 20)),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("drop"), st.integers(0, 20)),
    st.tuples(st.just("write"), st.sampled_from(KEYS), st.sampled_from(VALUES)),
)


@given(st.lists(STEP, max_size=40))
def test_a_watch_fires_when_a_commit_leaves_another_value_and_places_are_counted(steps: list[tuple]) -> None:
    watches = Watches()
    watches.limit = 5
    stored: dict[bytes, bytes | None] = dict.fromkeys(KEYS)
    alive: list[tuple[Watch, bool]] = []  # with whether it has started
    for kind, *args in steps:
        if kind == "reserve":
            if len(alive) == watches.limit:
                with pytest.raises(TooManyWatches):
                    watches.reserve(args[0], stored[args[0]])
            else:
                alive.append((watches.reserve(args[0], stored[args[0]]), False))
        elif kind == "write":
            key, stored[key] = args[0], args[1]
            watches.changed([key], stored.get)
            for watch, started in list(alive):
                changed = started and watch.key == key and watch.value != stored[key]
                assert watch.ready() == changed
                if changed:
                    do(watch)
                    alive.remove((watch, started))
        elif alive:
            watch, started = alive.pop(args[0] % len(alive))
            if kind == "start" and not started:
                watches.start(watch, stored.get)
                assert watch.ready() == (watch.value != stored[watch.key])
                if not watch.ready():
                    alive.append((watch, True))
            elif kind == "answer" and not started:
                watches.answer(watch)
                do(watch)
            elif kind == "cancel":
                watch.cancel()
                watch.cancel()
                with pytest.raises(OperationCancelled):
                    do(watch)
            elif kind != "drop":
                alive.append((watch, started))
        watch = None  # type: ignore[assignment]  # a name here would keep what was dropped
        assert len(watches) == len(alive)
    assert watches.any or not any(started for _, started in alive)


def test_a_watch_that_nobody_has_frees_its_place_unless_somebody_is_to_be_called() -> None:
    watches = Watches()
    called: list[int] = []
    for number in range(3):
        watch = watches.reserve(b"a", None)
        watches.start(watch, lambda key: None)
        if number == 1:
            watch.on_ready(lambda: called.append(1))
    del watch
    gc.collect()
    assert len(watches) == 1
    watches.changed([b"a"], lambda key: b"1")
    assert called == [1]
    assert len(watches) == 0
    assert not watches.any


def test_all_watches_end_when_the_database_does() -> None:
    watches = Watches()
    mine = [watches.reserve(key, None) for key in KEYS]
    for watch in mine:
        watches.start(watch, lambda key: None)
    watches.fail_all(Closed())
    for watch in mine:
        with pytest.raises(Closed):
            do(watch)
    assert len(watches) == 0
