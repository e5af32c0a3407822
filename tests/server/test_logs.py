"""Log lines: the same whether a record is made of them or not, and no stream that fails ends a call."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from recordlayer_server import logs

VALUES: dict[str, Any] = {
    "method": "/recordlayer.v1.Records/Lookup",
    "tenant": 'shop/"ünïcode"\n/public',
    "keys_read": 7,
    "milliseconds": 0.25,
    "odd": float("nan"),
    "late": True,
    "names": ["a", "b"],
    "nothing": None,
    "time": "a value cannot take the place of the line's own",
}


@contextmanager
def configured(form: str, stream: io.TextIOBase) -> Iterator[None]:
    root, library = logging.getLogger(), logging.getLogger(logs.ROOT)
    before = root.handlers[:], root.level, library.level
    switches = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    try:
        logs.configure("info", form, stream=stream)  # type: ignore[arg-type]  # it has what lines need
        yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        library.setLevel(before[2])
        logging.logThreads, logging.logProcesses, logging.logMultiprocessing = switches


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def test_a_line_is_the_same_whether_somebody_else_listens_or_not() -> None:
    stream, heard = io.StringIO(), Heard()
    with configured("json", stream):
        logs.write(logs.calls, logging.INFO, "call", **VALUES)
        logs.calls.addHandler(heard)
        try:
            logs.write(logs.calls, logging.INFO, "call", **VALUES)
        finally:
            logs.calls.removeHandler(heard)
        logs.write(logs.calls, logging.DEBUG, "call", **VALUES)  # below the level
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert {**first, "time": "", "odd": ""} == {**second, "time": "", "odd": ""}
    assert first["level"] == "info"
    assert (first["tenant"], first["milliseconds"], first["late"]) == (VALUES["tenant"], 0.25, True)
    assert list(first) == ["time", "level", "logger", "event", *(name for name in VALUES if name != "time")]
    assert len(first["time"]) == len("2026-01-01T00:00:00.000+00:00")
    (record,) = heard.records
    assert record.recordlayer == {"event": "call", **VALUES}  # type: ignore[attr-defined]


def test_a_filter_of_the_handler_is_asked() -> None:
    stream = io.StringIO()
    with configured("json", stream):
        logging.getLogger().handlers[0].addFilter(lambda record: record.getMessage() != "call")
        logs.write(logs.calls, logging.INFO, "call", **VALUES)
        logs.write(logs.server, logging.INFO, "listening")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["listening"]


def test_a_traceback_is_on_the_line_of_its_event() -> None:
    stream = io.StringIO()
    with configured("json", stream):
        try:
            raise KeyError("a secret of the server")
        except KeyError as error:
            logs.write(logs.calls, logging.ERROR, "call failed", traceback_of=error, code="INTERNAL")
    line = json.loads(stream.getvalue())
    assert line["code"] == "INTERNAL"
    assert line["traceback"].endswith("KeyError: 'a secret of the server'")


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_stream_that_fails_ends_no_call(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(logging, "raiseExceptions", False)
    with configured(form, Broken()):
        logs.write(logs.calls, logging.INFO, "call", **VALUES)
