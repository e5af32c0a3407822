"""Many open watches, on streams of their own and together on few: a change reaches all who watch its zone, and what
each watch costs in the memory of the server is bounded.

RECORDLAYER_LONG_TESTS=1 opens 10,000, for which the whole server must stay below 500 MB.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from grpc import aio as grpc_aio

from recordlayer.client.pb import sync_pb2, types_pb2
from recordlayer.client.testing.fake import fake
from tests.support.photos import CONTAINER, description
from tests.support.service import Caller, run

LONG = os.environ.get("RECORDLAYER_LONG_TESTS") == "1"
WATCHES = 10_000 if LONG else 500
LARGEST = 500 << 20
EACH = LARGEST // 10_000
"""Bytes of memory for a watch."""
ZONES = [f"z{number}" for number in range(20)]
ON_ONE_STREAM = 250
ON_ONE_CONNECTION = 200

Ask, Reply = sync_pb2.WatchRequest, sync_pb2.WatchReply


class Watchers:
    """Watches on one stream, and which of their targets were told of a change."""

    def __init__(self, caller: Caller, zones: list[str], tokens: dict[str, bytes], *, content: bool) -> None:
        self.zones = zones
        self.told: Counter[str] = Counter()
        self._adds = [
            Ask.Add(target=number, zone=types_pb2.ZoneName(name=zone), token=tokens[zone], content=content)
            for number, zone in enumerate(zones)
        ]
        self._caller = caller
        self._call: Any = None

    async def open(self) -> None:
        """Comes back when every target is current."""
        self._call = self._caller.sync.Watch()
        await self._call.write(Ask(open=Ask.Open(context=self._caller.context)))
        for add in self._adds:
            await self._call.write(Ask(add=add))
        self._adds.clear()
        current: set[int] = set()
        while len(current) < len(self.zones):
            reply = await self._read()
            if reply.WhichOneof("kind") == "current":
                current.add(reply.current.target)
            else:
                assert reply.WhichOneof("kind") == "added"

    async def until_told(self, zone: str) -> None:
        """Comes back when every target of a zone has been told of a change."""
        while self.told[zone] < self.zones.count(zone):
            reply = await self._read()
            if reply.WhichOneof("kind") == "changed":
                self.told[self.zones[reply.changed.target]] += 1

    def close(self) -> None:
        self._call.cancel()

    async def _read(self) -> Reply:
        reply = await self._call.read()
        assert isinstance(reply, Reply), "the stream has ended"
        return reply


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError("the process has no memory")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what a process holds is read from /proc")
@pytest.mark.parametrize("together", [False, True], ids=["many-streams", "many-targets"])
def test_a_change_reaches_everybody_who_watches_and_watches_are_small(*, together: bool) -> None:
    async def scenario(address: str, pid: int) -> None:
        async with AsyncExitStack() as stack:
            options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
            streams = WATCHES // ON_ONE_STREAM if together else WATCHES
            channels = [
                await stack.enter_async_context(grpc_aio.insecure_channel(address, options=options))
                for _ in range(-(-streams // ON_ONE_CONNECTION))
            ]
            callers = [Caller(channel, user="ana") for channel in channels]
            tokens = {zone: await beginning(callers[0], zone) for zone in ZONES}
            before = resident(pid)
            watchers = [
                Watchers(
                    callers[number // ON_ONE_CONNECTION],
                    (ZONES * ON_ONE_STREAM)[:ON_ONE_STREAM] if together else [ZONES[number % len(ZONES)]],
                    tokens,
                    content=number % 2 == 0,
                )
                for number in range(streams)
            ]
            for at in range(0, streams, 100):
                await asyncio.gather(*(each.open() for each in watchers[at : at + 100]))
            for zone in (ZONES[0], ZONES[7]):
                await callers[0].create("p", zone=zone, title="t")
                await asyncio.gather(*(each.until_told(zone) for each in watchers))
            after = resident(pid)
            for each in watchers:
                each.close()
            print(f"{WATCHES} watches on {streams} streams: {before >> 20} MB, then {after >> 20} MB")
            assert after - before < EACH * WATCHES
            assert after < LARGEST

    with fake({CONTAINER: description()}) as server:
        run(scenario(server.url.removeprefix("grpc://"), server.pid), seconds=900 if LONG else 120)


async def beginning(caller: Caller, zone: str) -> bytes:
    """A new zone, and the token from which all changes in it are told."""
    await caller.zone(zone)
    await caller.create("first", zone=zone, title="t")
    token, more = b"", True
    while more:
        [one] = (await caller.zone_changes({zone: token})).zones
        token, more = one.token, one.more_coming
    return token
