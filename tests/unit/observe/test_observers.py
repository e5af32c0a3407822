"""Observers: who is told what, together, and with failures among them."""

from __future__ import annotations

import dataclasses
import logging
from datetime import timedelta

import pytest

from recordlayer.errors import WrongType
from recordlayer.observe.events import (
    KINDS,
    CommitFinished,
    Counts,
    Event,
    Outcome,
    Place,
    PointRead,
    RangeRead,
    TransactionBegan,
    TransactionEnded,
)
from recordlayer.observe.observer import NOTHING, Callbacks, Observers, SpanIdentity, Tracing, effective
from tests.support.recording import ALL, BY_CUSTOMER, ORIGIN, Recording, sample


class Failing(Recording):
    def observe(self, event: Event) -> None:
        super().observe(event)
        raise ZeroDivisionError("a careless observer")


class Spans(Recording):
    def span_of(self, transaction: int) -> SpanIdentity | None:
        return SpanIdentity(b"t" * 16, b"s" * 8, True) if transaction == 1 else None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_events_are_frozen_compare_by_value_and_say_what_they_are_about(kind: type[Event]) -> None:
    event = sample(kind)
    assert event == sample(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.origin = None  # type: ignore[misc]
    assert kind.__doc__ is not None
    assert kind.__doc__.split("\n")[0].endswith(".")
    for field in dataclasses.fields(kind):
        if field.name in ("took", "waited", "age"):
            assert "timedelta" in str(field.type), "durations carry their unit in their type"


def test_a_conflict_is_seen_in_the_outcome_of_a_commit() -> None:
    failed = CommitFinished(took=timedelta(0), outcome=Outcome.FAILED, error="conflict")
    assert failed.conflict
    assert not CommitFinished(took=timedelta(0), outcome=Outcome.COMMITTED).conflict


def test_a_place_reads_as_words() -> None:
    assert str(BY_CUSTOMER) == "index order_by_customer in /shop/acme"
    assert str(Place("/shop", "records")) == "records in /shop"
    assert str(Place()) == "keys outside of stores"


def test_each_observer_of_several_gets_what_it_wants_and_no_more() -> None:
    everything, commits = Recording(), Recording(CommitFinished)
    together = Observers(everything, Observers(commits, NOTHING))
    assert together.wants(PointRead)
    for event in ALL:
        together.observe(event)
    assert everything.events == ALL
    assert commits.names() == ["CommitFinished"]


def test_a_kind_that_nobody_wants_is_not_wanted() -> None:
    together = Observers(Recording(CommitFinished), NOTHING)
    assert [kind for kind in KINDS if together.wants(kind)] == [CommitFinished]


def test_an_observer_that_raises_is_reported_once_and_the_others_notice_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing, other = Failing(), Recording()
    together = Observers(failing, other)
    with caplog.at_level(logging.ERROR, logger="recordlayer.observe"):
        for event in ALL:
            together.observe(event)
    assert other.events == failing.events == ALL
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert "TransactionBegan" in caplog.records[0].getMessage()


def test_what_is_no_error_of_the_observers_own_goes_through() -> None:
    class Interrupted(Recording):
        def observe(self, event: Event) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Observers(Interrupted()).observe(ALL[0])


@pytest.mark.parametrize(
    "idle",
    [None, NOTHING, Observers(), Observers(NOTHING), Callbacks({})],
    ids=["none", "NOTHING", "no observers", "NOTHING alone", "no callbacks"],
)
def test_nothing_to_tell_is_nothing_at_all(idle: Observers | None) -> None:
    assert effective(idle) is None


def test_what_is_no_observer_is_refused() -> None:
    with pytest.raises(WrongType, match="wants"):
        effective(print)  # type: ignore[arg-type]


def test_callbacks_are_called_for_their_kinds_and_those_below() -> None:
    ended: list[TransactionEnded] = []
    everything: list[Event] = []
    callbacks = Callbacks({TransactionEnded: ended.append, Event: everything.append})
    for event in ALL:
        callbacks.observe(event)
    assert ended == [sample(TransactionEnded)]
    assert everything == ALL
    assert callbacks.wants(RangeRead)
    only = Callbacks({TransactionEnded: ended.append})
    assert [kind for kind in KINDS if only.wants(kind)] == [TransactionEnded]


@pytest.mark.parametrize("functions", [{int: print}, {TransactionBegan: None}], ids=["no event", "no function"])
def test_callbacks_that_cannot_work_are_refused(functions: dict[type[Event], object]) -> None:
    with pytest.raises(WrongType):
        Callbacks(functions)  # type: ignore[arg-type]


def test_the_span_of_a_transaction_comes_from_whoever_traces() -> None:
    together = Observers(Recording(), Spans())
    assert isinstance(together, Tracing)
    assert together.span_of(1) == SpanIdentity(b"t" * 16, b"s" * 8, True)
    assert together.span_of(2) is None
    assert Observers(Recording()).span_of(1) is None


def test_counts_and_origins_default_to_nothing() -> None:
    assert Counts() == Counts(reads=0, writes=0)
    assert TransactionBegan().origin is None
    assert TransactionBegan(origin=ORIGIN).origin is ORIGIN
