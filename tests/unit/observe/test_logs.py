"""Events as lines of a log."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from recordlayer.errors import WrongType
from recordlayer.observe.events import (
    KINDS,
    CommitFinished,
    ConflictMet,
    Event,
    Outcome,
    PointRead,
    QueryFinished,
    RangeRead,
    TransactionEnded,
    TransactionLeaked,
)
from recordlayer.observe.fields import fields_of, text_of, title_of
from recordlayer.observe.logs import LogEvents, LogSlow, logger_of
from tests.support.recording import ALL, MS, ORIGIN, sample


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.name} {record.getMessage()}" for record in caplog.records]


def test_an_event_is_a_line_of_a_constant_title_and_named_values(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="recordlayer"):
        LogEvents().observe(CommitFinished(origin=ORIGIN, took=2 * MS, outcome=Outcome.COMMITTED, version=12, error=""))
    (line,) = lines(caplog)
    assert line == (
        "DEBUG recordlayer.transaction commit finished: "
        "transaction=7 attempt=2 work=checkout tags=web database=memory: took_ms=2.0 outcome=committed version=12"
    )


def test_the_same_names_and_values_are_there_for_machines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="recordlayer"):
        LogEvents().observe(sample(TransactionEnded))
    values = caplog.records[0].recordlayer  # type: ignore[attr-defined]
    assert values["event"] == "transaction ended"
    assert (values["reads"], values["rows"], values["read"], values["writes"]) == (3, 2, 90, 2)
    assert values["indexes"] == "order_by_customer"
    assert values["took_ms"] == 250.0


def test_levels_tell_what_is_wrong_from_what_is_worth_a_look(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="recordlayer"):
        for event in ALL:
            LogEvents(KINDS).observe(event)
    levels = {record.getMessage().split(":")[0]: record.levelname for record in caplog.records}
    assert len(levels) == len(KINDS)
    assert {name for name, level in levels.items() if level == "WARNING"} == {title_of(TransactionLeaked)}
    assert levels[title_of(ConflictMet)] == "INFO"
    assert levels["point read"] == "DEBUG"


def test_single_reads_are_logged_only_when_asked_for() -> None:
    assert {kind for kind in KINDS if not LogEvents().wants(kind)} == {PointRead, RangeRead}
    assert [kind for kind in KINDS if LogEvents([PointRead]).wants(kind)] == [PointRead]


def test_what_users_stored_stays_out_of_the_log_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="recordlayer"):
        LogEvents().observe(sample(ConflictMet))
        LogEvents().observe(sample(RangeRead))
        hidden = [record.getMessage() for record in caplog.records]
        caplog.clear()
        LogEvents(keys=True).observe(sample(ConflictMet))
        LogEvents(keys=True).observe(sample(RangeRead))
        shown = [record.getMessage() for record in caplog.records]
    assert not any("begin=" in line or "ranges=" in line or "conflicts=" in line for line in hidden)
    assert 'ranges=a-b conflicts="record 1 of Order in /shop/acme"' in shown[0]
    assert r"begin=a end=b\xff" in shown[1]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("Order where customer = 'ana' and total >= 12.5", "Order where customer = ? and total >= ?"),
        ("Fetch(Scan by_2nd_customer2 [id = -7, x = b'\\x00\\'y'])", "Fetch(Scan by_2nd_customer2 [id = ?, x = ?])"),
        ('Order where note = "it\'s" order by total', "Order where note = ? order by total"),
    ],
)
def test_the_values_of_a_query_stay_out_and_its_shape_is_left(text: str, shape: str) -> None:
    event = replace(sample(QueryFinished), query=text)
    assert fields_of(event)["query"] == shape
    assert fields_of(event, keys=True)["query"] == text


def test_slow_operations_are_warnings_and_fast_ones_are_silent(caplog: pytest.LogCaptureFixture) -> None:
    slow = LogSlow(100 * MS)
    with caplog.at_level(logging.DEBUG, logger="recordlayer"):
        slow.observe(CommitFinished(took=99 * MS, outcome=Outcome.COMMITTED))
        assert lines(caplog) == []
        slow.observe(CommitFinished(took=100 * MS, outcome=Outcome.COMMITTED))
        slow.observe(sample(QueryFinished))
    commit, query = lines(caplog)
    assert commit == "WARNING recordlayer.transaction slow: commit finished: took_ms=100.0 outcome=committed"
    assert query.startswith("WARNING recordlayer.query slow: query finished: ")
    assert 'plan="Scan order_by_customer"' in query
    assert 'query="Order where customer = ?"' in query


def test_the_slow_log_wants_what_has_a_duration_and_single_reads_on_request() -> None:
    timed = {kind for kind in KINDS if "took" in kind.__dataclass_fields__}
    assert {kind for kind in KINDS if LogSlow().wants(kind)} == timed - {PointRead, RangeRead}
    assert {kind for kind in KINDS if LogSlow(reads=True).wants(kind)} == timed


def test_a_threshold_without_a_unit_is_refused() -> None:
    with pytest.raises(WrongType, match="timedelta"):
        LogSlow(100)  # type: ignore[arg-type]


def test_a_level_that_is_off_costs_no_text(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recordlayer.observe.logs.fields_of", lambda *_, **__: pytest.fail("the text was made"))
    with caplog.at_level(logging.WARNING, logger="recordlayer"):
        LogEvents().observe(sample(TransactionEnded))
    assert lines(caplog) == []


@pytest.mark.parametrize("event", ALL, ids=lambda event: type(event).__name__)
def test_every_event_becomes_plain_values_under_a_logger_of_ours(event: Event) -> None:
    values = fields_of(event, keys=True)
    assert values
    assert all(isinstance(value, (str, int, float, bool)) for value in values.values())
    assert logger_of(type(event)).name in {f"recordlayer.{part}" for part in ("transaction", "store", "query", "build")}
    assert title_of(type(event)).replace(" ", "") == type(event).__name__.lower()


def test_bytes_read_as_people_read_keys() -> None:
    assert text_of(b"\x02ana\x00\\") == r"\x02ana\x00\x5c"


def test_nothing_is_written_of_what_says_nothing() -> None:
    event = CommitFinished(took=timedelta(0), outcome=Outcome.COMMITTED)
    assert fields_of(event) == {"took_ms": 0.0, "outcome": "committed"}
