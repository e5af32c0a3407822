"""`recordlayer-server` as a process: what it prints, how it stops, and its exit status."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from recordlayer.errors import LibraryMissing
from recordlayer_server import main as command
from recordlayer_server.settings import PREFIX, SETTINGS
from tests.conftest import CLUSTER_FILE
from tests.support.certificates import Authority
from tests.support.processes import environment

SECONDS = 60


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """The command arranges the logging of its process, which is that of the tests here."""
    loggers = [logging.getLogger(), logging.getLogger("recordlayer")]
    kept = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, handlers, level in kept:
        logger.handlers[:] = handlers
        logger.setLevel(level)


@contextmanager
def started(*flags: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and its address."""
    arguments = [sys.executable, "-m", "recordlayer_server.main", "--listen", "127.0.0.1:0", *flags]
    process = subprocess.Popen(arguments, env=environment(**variables), stderr=subprocess.PIPE, text=True)
    try:
        yield process, line(process, "listening")["address"]
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


def line(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """The next log line of an event."""
    assert process.stderr is not None
    for text in process.stderr:
        found: dict[str, Any] = json.loads(text)
        if found["event"] == event:
            return found
    raise AssertionError(f"the server ended without {event!r}")


def ask(*arguments: str, **variables: str) -> tuple[int, str]:
    out = io.StringIO()
    status = command.main(["health", *arguments], environment=variables, out=out)
    return status, out.getvalue()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_serves_a_file_and_stops_with_status_0_when_asked(number: signal.Signals, tmp_path: Path) -> None:
    with started("--db", f"file:{tmp_path / 'shop.rl'}") as (process, address):
        assert ask("--address", address) == (0, f"{address}: SERVING\n")
        assert ask("--address", address, "--service", "live") == (0, f"{address}: SERVING\n")
        process.send_signal(number)
        assert line(process, "stopped")["cut_off"] == 0
        assert process.wait(SECONDS) == 0
        status, text = ask("--address", address, "--timeout", "5")
        assert status == 1
        assert "UNAVAILABLE" in text
    assert (tmp_path / "shop.rl").exists()


def test_a_second_signal_ends_the_waiting() -> None:
    with started("--db", "memory:", "--drain-delay", "600") as (process, address):
        process.send_signal(signal.SIGTERM)
        line(process, "draining")
        assert ask("--address", address) == (1, f"{address}: NOT_SERVING\n")
        process.send_signal(signal.SIGTERM)
        assert line(process, "stopped")["cut_off"] == 0
        assert process.wait(SECONDS) == 0


def test_log_lines_are_json_with_a_time_a_level_and_values() -> None:
    with started(**{f"{PREFIX}DB": "memory:"}) as (process, _):
        process.send_signal(signal.SIGTERM)
        draining = line(process, "draining")
        assert process.wait(SECONDS) == 0
    assert datetime.fromisoformat(draining.pop("time")).utcoffset() == timedelta(0)
    assert draining == {"level": "info", "logger": "recordlayer.server", "event": "draining", "running": 0}


def test_a_signal_lets_a_server_say_where_everything_is() -> None:
    """Tasks and threads, by files, lines and functions, also what waits for somebody else; and it goes on."""
    with started("--db", "memory:") as (process, address):
        with grpc.insecure_channel(address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            process.send_signal(signal.SIGUSR1)
            assert process.stderr is not None
            said = [json.loads(process.stderr.readline())]
            while said[-1]["event"] != "stacks":
                said.append(json.loads(process.stderr.readline()))
            threads = {one["thread"]: one["frames"] for one in said if one["event"] == "stack of a thread"}
            tasks = [one["frames"] for one in said if one["event"] == "stack of tasks"]
            assert any("/asyncio/" in frame for frame in threads["MainThread"])
            assert any("health.py" in frame for stack in tasks for frame in stack), "the watch that waits"
            assert any(frame.endswith(" serve") for stack in tasks for frame in stack)
            assert said[-1]["tasks"] == sum(one["tasks"] for one in said if one["event"] == "stack of tasks")
            watch.cancel()
        assert ask("--address", address) == (0, f"{address}: SERVING\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0


def test_foundationdbs_client_is_told_where_its_trace_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FDB_NETWORK_OPTION_TRACE_ENABLE", "elsewhere")
    nowhere = ["--fdb-trace", str(tmp_path / "nowhere")]
    assert command.main(["--db", "memory:", *nowhere], environment={}) == 2
    assert "no folder that can be written to" in capsys.readouterr().err
    assert command.main(["--db", "nosuch:x", "--fdb-trace", str(tmp_path)], environment={}) == 2
    assert os.environ["FDB_NETWORK_OPTION_TRACE_ENABLE"] == str(tmp_path), "before anything is opened"


@pytest.mark.fdb
def test_foundationdbs_client_writes_trace_files(tmp_path: Path) -> None:
    with started("--db", f"fdb:{CLUSTER_FILE}", "--fdb-trace", str(tmp_path)) as (process, _):
        process.send_signal(signal.SIGTERM)
        line(process, "stopped")
        assert process.wait(SECONDS) == 0
    assert list(tmp_path.glob("trace.*"))


def test_a_server_that_nobody_can_reach_has_a_bad_health() -> None:
    status, text = ask("--address", "127.0.0.1:1", "--timeout", "5")
    assert status == 1
    assert text.startswith("127.0.0.1:1: ")


def test_health_looks_where_the_environment_says_that_the_server_listens() -> None:
    """Inside a container the server listens everywhere, and is asked on the loopback address."""
    with started("--db", "memory:") as (_, address):
        port = address.rpartition(":")[2]
        assert ask(**{f"{PREFIX}LISTEN": f"0.0.0.0:{port}"}) == (0, f"{address}: SERVING\n")


def test_health_is_asked_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, caller = authority.issue("records"), authority.issue("caller")
    flags = ["--tls-certificate", str(server.certificate), "--tls-key", str(server.key)]
    policy = tmp_path / "policy.toml"
    policy.write_text("")
    flags += ["--tls-client-ca", str(authority.certificate), "--policy", str(policy)]
    with started("--db", "memory:", *flags) as (_, address):
        known = ["--address", address, "--ca", str(authority.certificate), "--server-name", "records"]
        shown = ["--certificate", str(caller.certificate), "--key", str(caller.key)]
        assert ask(*known, *shown) == (0, f"{address}: SERVING\n")
        assert ask(*known, "--timeout", "5")[0] == 1
        assert ask("--address", address, "--timeout", "5")[0] == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "db: nobody names the database"),
        (["--db", "memory:", "--listen", "0.0.0.0:0"], "--insecure"),
        (["--db", "memory:", "--grace", "soon"], "grace = 'soon' (from the flag --grace): give a number"),
        (["--db", "nosuch:x"], "no engine has this URL scheme"),
        (["--db", "file:/nowhere/at/all/shop.rl"], "the directory of this path does not exist"),
        (["--db", "memory:", "--listen", "192.0.2.1:1", "--insecure"], "cannot listen on this address"),
        (["health", "--address", "nowhere"], "give HOST:PORT"),
        (["health", "--ca", "/nowhere/ca.pem"], "/nowhere/ca.pem: No such file or directory"),
    ],
)
def test_what_cannot_start_says_why_with_status_2(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(flags, environment={}) == 2
    assert said in capsys.readouterr().err


def test_every_setting_is_a_flag_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert [setting.name for setting in SETTINGS if setting.flag not in shown] == []


def test_without_grpc_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "grpc_health" else object())
    with pytest.raises(LibraryMissing) as caught:
        command.need_grpc()
    assert caught.value.fields["libraries"] == ["grpc_health"]
    assert 'pip install "recordlayer[server]"' in caught.value.hint


def test_the_library_does_not_need_grpc() -> None:
    script = (
        "import sys, recordlayer.aio, recordlayer.blocking; print([m for m in sys.modules if m.startswith('grpc')])"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
