"""The server for users' tests: it is there in a line, is theirs alone, and can be away for a while."""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest

from recordlayer.client.testing.fake import fake
from recordlayer.errors import NoAnswer, ServerEnded, UsageError
from tests.support.clients import Photo
from tests.support.photos import CONTAINER, description
from tests.support.processes import running


def test_clients_have_databases_of_their_own_and_what_is_committed_outlives_a_stop(tmp_path: Path) -> None:
    with fake({CONTAINER: description()}, db=f"file:{tmp_path / 'photos.rl'}") as server:
        with server.client() as other:
            other.zone().save(Photo(title="other"), name="p")

        async def scenario() -> None:
            async with server.aio_client(user="ana") as client:
                assert await client.zone().load(Photo, "p") is None
                await client.zone().save(Photo(title="kept"), name="p")

        asyncio.run(scenario())
        with server.client(user="ana", timeout=timedelta(seconds=1)) as client:
            server.stop()
            with pytest.raises(NoAnswer):
                client.zone().load(Photo, "p")
        with server.client(user="ana") as client:
            server.start()
            found = client.zone().load(Photo, "p")
            assert found is not None
            assert found.message.title == "kept"
        with pytest.raises(UsageError):
            server.start()


def test_a_server_that_does_not_come_up_says_why() -> None:
    with pytest.raises(ServerEnded) as ended, fake({"c": b"no metadata"}):
        raise AssertionError("it came up")
    assert "recordlayer-server: " in str(ended.value.fields["said"])
    with pytest.raises(UsageError), fake({}):
        raise AssertionError("it came up")


def test_it_ends_with_the_process_that_started_it() -> None:
    script = """
    import time
    from recordlayer.client.testing.fake import fake
    from tests.support.photos import CONTAINER, description
    with fake({CONTAINER: description()}) as server:
        print(server.url, flush=True)
        time.sleep(1_000)
    """
    with running(script) as starter:
        assert starter.stdout is not None
        host, port = starter.stdout.readline().strip().removeprefix("grpc://").split(":")
        socket.create_connection((host, int(port))).close()
        starter.kill()
    while _is_reached(host, int(port)):  # the suite's own timeout ends what does not
        time.sleep(0.02)


def _is_reached(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port)).close()
    except OSError:
        return False
    return True
