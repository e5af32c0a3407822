"""S5: a server that dies behind a commit and before its reply; the caller who tries again with the same key."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer import blocking
from recordlayer.client.blocking import Replica, connect
from recordlayer.client.pb import records_pb2
from recordlayer.errors import NoAnswer
from tests.support.clients import Photo
from tests.support.photos import CONTAINER
from tests.support.service import Caller, operation, run, value

ROOT = Path(__file__).parents[2]


@contextmanager
def server(file: Path, fatal: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server over a file that dies when it has saved the record `fatal`."""
    command = [sys.executable, "-m", "tests.server.crashing_server", str(file), fatal]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'server'}"}
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_what_was_committed_before_the_server_died_is_not_applied_again(tmp_path: Path) -> None:
    file = tmp_path / "photos.rl"
    increment = operation("FORCE_UPDATE", "fatal", title="t")
    increment.transforms.append(records_pb2.Transform(field="views", increment=value(1)))

    async def lost(port: int) -> None:
        async with grpc_aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            caller = Caller(channel)
            await caller.create("before")
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await caller.modify(increment, idempotency_key="pay-1")
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    async def again(port: int) -> None:
        async with grpc_aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            caller = Caller(channel)
            reply = await caller.modify(increment, idempotency_key="pay-1")
            assert reply.replayed
            found = (await caller.lookup("fatal"))[0].record
            assert found.fields.fields["views"] == value(1)
            assert found.change_tag == reply.results[0].record.change_tag
            other = await caller.modify(increment, idempotency_key="pay-2")
            assert not other.replayed
            assert other.results[0].record.fields.fields["views"] == value(2)

    with server(file, "fatal") as (port, process):
        run(lost(port))
        assert process.wait(timeout=30) == 9
    with server(file, "nothing") as (port, _):
        run(again(port))


def test_an_edit_of_a_replica_whose_answer_was_lost_is_no_conflict_with_itself(tmp_path: Path) -> None:
    file, seconds = tmp_path / "photos.rl", 3
    with blocking.open(f"file:{tmp_path / 'local.rl'}") as local:
        with (
            server(file, "fatal") as (port, process),
            connect(f"grpc://127.0.0.1:{port}", container=CONTAINER, timeout=timedelta(seconds=seconds)) as client,
        ):
            replica = Replica.open(client.zone(), local, [Photo])
            replica.save(Photo(title="sent", rating=1), "fatal")
            with pytest.raises(NoAnswer):
                replica.sync()
            assert process.wait(timeout=30) == 9
            replica.save(Photo(title="behind", rating=1), "fatal")
            assert not replica.revert("new")
            assert [(one.name, one.sent) for one in replica.waiting()] == [("fatal", True), ("fatal", False)]
        with (
            server(file, "nothing") as (port, _),
            connect(f"grpc://127.0.0.1:{port}", container=CONTAINER) as client,
        ):
            client.zone().update(Photo(rating=2), name="fatal")  # on what was applied
            replica = Replica.open(client.zone(), local, [Photo])
            synced = replica.sync()
            assert (synced.pushed, synced.conflicts, replica.waiting()) == (2, [], [])
            there = client.zone().load(Photo, "fatal")
            assert there.message == Photo(title="behind", rating=2)
            assert replica.load(Photo, "fatal") == there
