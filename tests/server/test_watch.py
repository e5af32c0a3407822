"""Watch: word of changes as they come, and the changes themselves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer.aio.feed import ChangeFeed
from recordlayer.client.pb import sync_pb2
from recordlayer.errors import TooManyWatches
from recordlayer_server import statuses
from recordlayer_server.call import Asked
from recordlayer_server.limits import Limits
from recordlayer_server.sync import pulses
from recordlayer_server.sync.zone_changes import ZoneReader
from tests.support.service import Caller, calling, operation, photos, reason, retries, run, serving_over, status_of
from tests.support.watching import Watch


async def token_of(caller: Caller, zone: str = "") -> bytes:
    """The token behind all there is in a zone."""
    token, more = b"", True
    while more:
        [one] = (await caller.zone_changes({zone: token})).zones
        token, more = one.token, one.more_coming
    return token


def test_contents_come_from_the_beginning_and_then_as_they_change() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")
            async with Watch(caller) as watch:
                await watch.add(1, content=True)
                assert await watch.until_current(1) == ["p"]
                await caller.create("q", title="t")
                assert await watch.until_current(1) == ["q"]
                await caller.modify(operation("FORCE_DELETE", "p"))
                assert await watch.until_current(1) == ["-p"]
                token = watch.tokens[1]
            await caller.create("r", title="t")
            async with Watch(caller) as again:
                await again.add(7, content=True, token=token)
                assert await again.until_current(7) == ["r"]

    run(scenario())


def test_hints_come_for_what_is_behind_the_callers_token_and_not_before() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")
            token = await token_of(caller)
            async with Watch(caller) as watch:
                await watch.add(1, token=token)
                assert (await watch.next()).current.token == token, "nothing has changed: the caller's own one is good"
                made = await caller.modify(operation("CREATE", "q", title="t"))
                told = await watch.next()
                assert told.WhichOneof("kind") == "changed"
                assert told.context.read_version >= made.context.commit_version
            async with Watch(caller) as late:
                await late.add(1, token=token)
                assert (await late.next()).WhichOneof("kind") == "changed", "it changed between reading and watching"

    run(scenario())


def test_what_changes_between_reading_and_watching_is_told() -> None:
    """Many times: a watch that began now, and not where the reading ended, would miss some of it."""

    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            for number in range(25):
                token = await token_of(caller)
                async with Watch(caller) as watch:
                    writing = asyncio.create_task(caller.create(f"p{number}", title="t"))
                    await watch.add(1, token=token)
                    while (await watch.next()).WhichOneof("kind") != "changed":
                        pass
                    await writing

    run(scenario())


def test_many_zones_on_one_stream_tell_of_their_own_changes() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            for zone in ("x", "y", "z"):
                await caller.zone(zone)
            async with Watch(caller) as watch:
                for number, zone in enumerate(("x", "y", "z")):
                    await watch.add(number, zone=zone, content=True)
                    assert await watch.until_current(number) == []
                await caller.create("a", zone="y", title="t")
                assert await watch.until_current(1) == ["a"]
                await watch.remove(1)
                assert (await watch.next()).removed.target == 1
                await caller.create("b", zone="y", title="t")
                await caller.create("c", zone="z", title="t")
                assert await watch.until_current(2) == ["c"]

    run(scenario())


@pytest.mark.parametrize("content", [True, False])
def test_a_zone_that_is_deleted_is_removed_and_one_that_is_made_again_is_reset(*, content: bool) -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.zone("z")
            await caller.create("old", zone="z", title="t")
            token = await token_of(caller, "z")
            async with Watch(caller) as watch:
                await watch.add(1, zone="z", content=content, token=token)
                assert (await watch.next()).WhichOneof("kind") == "current"
                await caller.zone("z", "DELETE")
                removed = (await watch.next()).removed
                assert (removed.target, statuses.reason_of(removed.status)) == (1, "ZONE_NOT_FOUND")
                await caller.zone("z")
                await caller.create("new", zone="z", title="t")
                await watch.add(2, zone="z", content=content, token=token)
                reset = (await watch.next()).reset
                assert (reset.target, statuses.reason_of(reset.status)) == (2, "TOKEN_EXPIRED")
                if content:
                    assert await watch.until_current(2) == ["new"]
                await caller.create("newer", zone="z", title="t")
                assert (await watch.next()).changed.target == 2

    run(scenario())


def test_all_who_watch_a_zone_share_one_watch_of_the_engine_and_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        counted = Counter[str]()
        for place, name in ((ChangeFeed, "watch"), (ZoneReader, "page")):
            _count(monkeypatch, place, name, counted)
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")
            async with Watch(caller) as watch:
                for number in range(50):
                    await watch.add(number, content=True)
                    await watch.until_current(number)
                assert counted["watch"] == 1
                counted.clear()
                await caller.create("q", title="t")
                for number in range(50):
                    assert await watch.until_current(number) == ["q"]
                assert counted["page"] <= 2
                assert counted["watch"] <= 2

    run(scenario())


def _count(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, counted: Counter[str]) -> None:
    before = getattr(place, name)

    def call(*arguments: Any, **named: Any) -> Any:
        counted[name] += 1
        return before(*arguments, **named)

    monkeypatch.setattr(place, name, call)


def test_a_server_that_stops_ends_streams_with_tokens_that_another_one_takes() -> None:
    async def scenario() -> None:
        async with photos() as (first, databases), calling(first) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")
            async with serving_over(databases, grace=timedelta(seconds=30)) as server, calling(server) as elsewhere:
                watch = Watch(Caller(elsewhere, user="ana"))
                async with watch:
                    await watch.add(1, content=True)
                    assert await watch.until_current(1) == ["p"]
                    stopping = asyncio.create_task(server.drain())
                    last = await watch.next(progress=True)
                    assert [one.target for one in last.progress.targets] == [1]
                    token = last.progress.targets[0].token
                    with pytest.raises(grpc_aio.AioRpcError) as caught:
                        await watch.next()
                    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "STOPPING")
                    assert retries(status_of(caught.value))
                    assert await stopping == 0, "no stream had to be cut off"
            await caller.create("q", title="t")
            async with Watch(caller) as again:
                await again.add(1, content=True, token=token)
                assert await again.until_current(1) == ["q"]

    run(scenario())


def test_quiet_targets_get_newer_tokens_from_time_to_time() -> None:
    async def scenario() -> None:
        limits = Limits(progress_interval=timedelta(milliseconds=20))
        async with photos(limits=limits) as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.zone("z")
            token = await token_of(caller, "z")
            async with Watch(caller) as watch:
                await watch.add(1, zone="z", token=token)
                await caller.create("elsewhere", title="t")
                while True:
                    note = await watch.next(progress=True)
                    if note.WhichOneof("kind") == "progress" and note.progress.targets:
                        [current] = note.progress.targets
                        if current.token != token:
                            break
            [one] = (await caller.zone_changes({"z": current.token})).zones
            assert (one.status.code, list(one.records), one.more_coming) == (0, [], False)

    run(scenario())


def test_targets_are_bounded_for_a_stream_a_database_and_a_server() -> None:
    async def scenario() -> None:
        limits = Limits(targets_per_stream=2, targets_per_database=3, targets_per_server=4)
        async with photos(limits=limits) as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            async with Watch(caller) as one, Watch(caller) as other:
                for number in (1, 2):
                    await one.add(number)
                removed = await one.refused(3)
                assert (removed.code, statuses.reason_of(removed)) == (8, "THROTTLED")
                await other.add(1)
                removed = await other.refused(2)
                assert (removed.code, statuses.reason_of(removed)) == (8, "THROTTLED")
                assert retries(removed)
                async with Watch(Caller(channel, user="bo")) as his:
                    await his.add(1)
                    removed = await his.refused(2)
                    assert (removed.code, statuses.reason_of(removed)) == (14, "OVERLOADED")
                    assert retries(removed)
            async with Watch(caller) as again:  # the places of streams that ended are free
                await again.add(1)

    run(scenario())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"zone": "$z"}, "BAD_REQUEST"),
        ({"zone": "nowhere"}, "ZONE_NOT_FOUND"),
        ({"token": b"x"}, "TOKEN_MISMATCH"),
        ({"form": 9}, "BAD_REQUEST"),
    ],
)
def test_a_target_that_will_not_do_is_removed_and_the_stream_goes_on(said: dict[str, Any], why: str) -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")
            async with Watch(caller) as watch:
                assert statuses.reason_of(await watch.refused(1, **said)) == why
                await watch.add(2, content=True)
                assert await watch.until_current(2) == ["p"]

    run(scenario())


@pytest.mark.parametrize(
    "requests",
    [
        [sync_pb2.WatchRequest(add=sync_pb2.WatchRequest.Add(target=1))],
        [sync_pb2.WatchRequest(open=sync_pb2.WatchRequest.Open())],
        [None, None],
        [None, sync_pb2.WatchRequest()],
        [None, *[sync_pb2.WatchRequest(add=sync_pb2.WatchRequest.Add(target=1))] * 2],
    ],
)
def test_a_stream_that_does_not_keep_to_the_form_is_refused(requests: list[Any]) -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            opening = sync_pb2.WatchRequest(open=sync_pb2.WatchRequest.Open(context=caller.context))

            async def said() -> AsyncIterator[sync_pb2.WatchRequest]:
                for request in requests:
                    yield opening if request is None else request

            with pytest.raises(grpc_aio.AioRpcError) as caught:
                async for _ in caller.sync.Watch(said()):
                    pass
            assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")

    run(scenario())


def test_where_the_engine_has_no_watches_left_zones_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")
            monkeypatch.setattr(pulses, "POLL", timedelta(milliseconds=10))
            async with few_watches(monkeypatch), Watch(caller) as watch:
                await watch.add(1, content=True)
                assert await watch.until_current(1) == ["p"]
                await caller.create("q", title="t")
                assert await watch.until_current(1) == ["q"]

    run(scenario())


@asynccontextmanager
async def few_watches(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    async def none_left(self: Any, at_most: timedelta | None = None) -> bool:
        raise TooManyWatches(limit=0)

    with monkeypatch.context() as patched:
        patched.setattr("recordlayer.aio.feed.FeedWatch.wait", none_left)
        yield


def test_an_empty_database_is_watched_from_before_its_first_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(pulses, "POLL", timedelta(milliseconds=10))
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            async with Watch(caller) as watch:
                await watch.add(1, content=True)
                assert await watch.until_current(1) == []
                await caller.create("p", title="t")
                assert await watch.until_current(1) == ["p"]

    run(scenario())


class Until:
    """Lets everybody do everything; nobody may watch once it is over."""

    over = False

    def check(self, asked: Asked) -> None:
        if self.over and asked.method.endswith("/Watch"):
            raise statuses.forbidden()


def test_a_right_that_is_taken_away_ends_the_watch() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            server.around.authority = authority = Until()
            caller = Caller(channel, user="ana")
            await caller.create("p", title="t")
            async with Watch(caller) as watch:
                await watch.add(1, content=True)
                assert await watch.until_current(1) == ["p"]
                await caller.create("q", title="t")
                assert await watch.until_current(1) == ["q"]
                authority.over = True
                await caller.create("r", title="t")
                removed = (await watch.next()).removed
                assert (removed.target, statuses.reason_of(removed.status)) == (1, "FORBIDDEN")

    run(scenario())
