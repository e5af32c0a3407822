"""Log lines: the same whether a record is made of them or not, and no stream that fails ends a call."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from recordlayer_server import call_lines, logs
from recordlayer_server.call import Call, Everybody
from recordlayer_server.limits import DEFAULT
from recordlayer_server.places import PRIVATE, PRODUCTION, Tenant
from recordlayer_server.request_ids import new_id
from recordlayer_server.running_calls import Running
from recordlayer_server.security.identity import ANONYMOUS, Identity

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


async def call_lines_of(stream: io.StringIO, identity: Identity, tenant: Tenant | None, keys: int) -> None:
    """One line of a call as nobody else listens, and one as somebody does."""
    context: Any = SimpleNamespace(peer=lambda: 'unix:/tmp/"here"')
    call = Call("/test.Lines/Say", "id-1", identity, deadline=0.0, limits=DEFAULT, authority=Everybody())
    call.tenant, call.keys_read, call.keys_written = tenant, keys, keys
    task = asyncio.current_task()
    assert task is not None, "it runs in one"
    one = Running(call, context, task, 0.0, stream=False, shown=())
    one.reason = "CONTENTION" if keys else ""
    call_lines.write(logging.INFO, one, "ABORTED", 1.23456)
    logs.calls.addHandler(heard := Heard())
    try:
        call_lines.write(logging.INFO, one, "ABORTED", 1.23456)
    finally:
        logs.calls.removeHandler(heard)
    assert len(heard.records) == 1


@pytest.mark.parametrize("keys", [0, 3])
def test_the_line_of_a_call_is_the_same_whether_somebody_else_listens_or_not(keys: int) -> None:
    stream = io.StringIO()
    identity = Identity('ünï\n"code"') if keys else ANONYMOUS
    tenant = Tenant('shop "1"\x01', PRODUCTION, PRIVATE, "jörg") if keys else None
    with configured("json", stream):
        asyncio.run(call_lines_of(stream, identity, tenant, keys))
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert {**first, "time": ""} == {**second, "time": ""}
    assert list(first) == list(second)
    assert (first["peer"], first["milliseconds"]) == ('unix:/tmp/"here"', 1234.56)
    assert len(first) == (14 if keys else 9)


def test_ids_are_of_their_own_in_a_process_that_is_forked() -> None:
    new_id()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, " ".join(new_id() for _ in range(300)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs, ours = os.read(reading, 1 << 16).decode().split(), [new_id() for _ in range(300)]
    os.close(reading)
    os.close(writing)
    assert len({*theirs, *ours}) == 600
    assert {len(one) for one in ours} == {32}


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
