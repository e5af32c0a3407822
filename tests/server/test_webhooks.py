"""Webhooks: each notification signed, in order, sent until it is answered well, whichever server lives to send it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer.client import webhooks
from recordlayer.client.pb import subscriptions_pb2 as pb
from recordlayer.errors import WebhookRefused
from recordlayer_server.call import Authority as Judge
from recordlayer_server.config import Hooks, Security
from recordlayer_server.databases import Databases
from recordlayer_server.webhooks import registry
from recordlayer_server.webhooks.dispatch import Dispatch, poster_of
from recordlayer_server.webhooks.registering import register_all
from tests.server.test_guarded import Bearer, security
from tests.server.test_subscriptions import ANA, Said, Subscriber, of_zone
from tests.support.certificates import Authority
from tests.support.photos import CONTAINER
from tests.support.receivers import HANGS, receiving
from tests.support.service import Caller, calling, operation, photos, reason, run, where

__all__ = ["security"]  # a fixture

SOON = timedelta(milliseconds=10)
Shown = Said.Delivery


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def hooks_of(authority: Authority, **how: Any) -> Hooks:
    return Hooks(**{"private": True, "ca": authority.certificate, "retry": SOON, **how})


def hooked(said: Said, address: str) -> Said:
    said.webhook.address = address
    return said


async def until(true: Callable[[], Awaitable[bool] | bool]) -> None:
    """Come back when it is so: what the test waits for has no event of its own."""
    while True:
        found = true()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(0.01)


class Owner(Subscriber):
    """Who has webhooks."""

    async def hook(self, said: Said, address: str) -> str:
        """Subscribe; the secret."""
        request = pb.CreateSubscriptionRequest(context=self.caller.context, subscription=hooked(said, address))
        return str((await self.stub.Create(request)).secret)

    async def state(self, name: str) -> Any:
        found = await self.stub.List(pb.ListSubscriptionsRequest(context=self.caller.context))
        return {one.id: one for one in found.subscriptions}[name].delivery

    async def until(self, name: str, state: int) -> Any:
        """How a webhook does, once it does so."""
        await until(lambda: self._is(name, state))
        return await self.state(name)

    async def _is(self, name: str, state: int) -> bool:
        return bool((await self.state(name)).state == state)

    async def resume(self, name: str, *, new_secret: bool = False) -> Any:
        request = pb.ResumeSubscriptionRequest(context=self.caller.context, id=name, new_secret=new_secret)
        return await self.stub.Resume(request)


@asynccontextmanager
async def serving_hooks(databases: Databases, *, judge: Judge | None = None) -> AsyncIterator[Dispatch]:
    """What a server does for webhooks beside its calls; killed at the end, with its lease left to run out."""
    assert databases.hooks is not None
    await databases.instance.renew()
    dispatch = Dispatch(databases, databases.hooks, poster_of(databases.hooks), authority=judge)
    running = asyncio.create_task(dispatch.run(every=SOON))
    try:
        yield dispatch
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_changes_are_told_in_their_order_and_again_until_they_are_answered_well(authority: Authority) -> None:
    async def scenario() -> None:
        hooks = hooks_of(authority)
        async with (
            receiving(authority) as receiver,
            photos(hooks=hooks) as (server, databases),
            serving_hooks(databases),
            calling(server) as channel,
        ):
            caller = Caller(channel, user="ana")
            ana = Owner(caller)
            receiver.answers["/hook"] = deque([500, 302, 200, 503])
            query = Said.Query(record_type="Photo", filter=where("rating", "GREATER_THAN", 3))
            secret = await ana.hook(Said(id="q", query=query), receiver.address())
            assert secret.startswith("whsec_")
            assert not await ana.hook(Said(id="q", query=query), receiver.address()), "a secret is told once"
            await caller.create("a", rating=5)
            assert await receiver.told(1, secret) == ["a"]
            await caller.create("b", rating=5)
            await caller.create("no", rating=1)
            await caller.modify(operation("FORCE_UPDATE", "a", rating=1), operation("FORCE_DELETE", "b"))
            told = await receiver.told(3, secret)
            assert told[-2:] == ["<a", "-b"]
            ends = await ana.until("q", Shown.ACTIVE)
            assert (ends.attempts, ends.reason, ends.delivered >= 2) == (0, "", True)
            taken = receiver.taken
            assert [one.status for one in taken[:3]] == [500, 302, 200]
            assert {one.path for one in taken} == {"/hook"}, "it was not led elsewhere"
            assert len({(one.headers["webhook-id"], one.body) for one in taken[:3]}) == 1, "the same, sent again"
            numbers = [webhooks.verify(one.headers, one.body, secret).number for one in taken if one.status == 200]
            assert numbers == sorted(numbers)
            body = json.loads(taken[0].body)
            assert (body["container"], body["database"]) == (CONTAINER, {"scope": "PRIVATE", "user": "ana"})
            with pytest.raises(WebhookRefused):
                webhooks.verify(taken[0].headers, taken[0].body + b" ", secret)
            async with ana.receiving("q") as stream:
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await stream.read()
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            await ana.delete("q")
            await caller.create("late", rating=5)
            assert await registry.all_hooks(databases.database) == {}

    run(scenario())


def test_one_that_fails_for_long_is_disabled_and_resumed_where_it_was(authority: Authority) -> None:
    async def scenario() -> None:
        hooks = hooks_of(authority, patience=timedelta(0))
        async with (
            receiving(authority) as receiver,
            photos(hooks=hooks) as (server, databases),
            serving_hooks(databases) as dispatch,
            calling(server) as channel,
        ):
            caller = Caller(channel, user="ana")
            ana = Owner(caller)
            receiver.answers["/hook"] = deque([500])
            first = await ana.hook(of_zone("z"), receiver.address())
            await caller.create("a")
            found = await ana.until("z", Shown.DISABLED)
            assert (found.reason, found.attempts, found.delivered) == ("it answered 500", 1, 0)
            assert found.failing_since.seconds > 0
            await until(lambda: dispatch.served == 0)
            await caller.create("b")
            reply = await ana.resume("z", new_secret=True)
            assert reply.subscription.delivery.state == Shown.ACTIVE
            assert await receiver.told(2, reply.secret) == ["a", "b"]
            again = receiver.taken[1]
            assert again.headers["webhook-id"] == receiver.taken[0].headers["webhook-id"]
            assert webhooks.verify(again.headers, again.body, first).number == 1, "the old secret still signs"
            receiver.answers["/gone"] = deque([410])
            await ana.hook(of_zone("gone"), receiver.address("/gone"))
            await ana.hook(of_zone("other"), receiver.address("/hook", host="127.0.0.1"))
            await caller.create("c")
            assert (await ana.until("gone", Shown.DISABLED)).reason == "it answered 410: it is gone"
            assert "certificate" in (await ana.until("other", Shown.DISABLED)).reason
            for name in ("nothing", "no spaces"):
                with pytest.raises(grpc_aio.AioRpcError):
                    await ana.resume(name)

    run(scenario())


def test_receivers_that_do_not_answer_hold_up_nobody_else(authority: Authority) -> None:
    async def scenario() -> None:
        hooks = hooks_of(authority, sends=1)
        async with (
            receiving(authority) as receiver,
            photos(hooks=hooks) as (server, databases),
            serving_hooks(databases),
            calling(server) as channel,
        ):
            caller = Caller(channel, user="ana")
            ana = Owner(caller)
            receiver.answers["/slow"] = deque([500, HANGS])
            await ana.hook(of_zone("slow"), receiver.address("/slow"))
            await caller.create("a")
            await receiver.until(lambda taken: len(taken) == 2, "/slow")
            secret = await ana.hook(of_zone("quick"), receiver.address("/quick"))
            for count, name in enumerate(("b", "c", "d"), 1):
                await caller.create(name)
                assert name in await receiver.told(count, secret, "/quick")
            assert (await ana.state("slow")).state == Shown.FAILING

    run(scenario())


def test_each_is_served_by_one_server_and_followed_by_another_when_that_dies(authority: Authority) -> None:
    async def scenario() -> None:
        hooks = hooks_of(authority)
        async with (
            receiving(authority) as receiver,
            photos(hooks=hooks) as (server, databases),
            calling(server) as channel,
        ):
            caller = Caller(channel, user="ana")
            ana = Owner(caller)
            names = [f"h{number}" for number in range(12)]
            secrets = {name: await ana.hook(of_zone(name), receiver.address(f"/{name}")) for name in names}
            second = Databases(databases.database, hooks=hooks)
            async with serving_hooks(databases) as first:
                await until(lambda: first.served == len(names))
                async with serving_hooks(second) as other:
                    await until(lambda: first.served + other.served == len(names) and 0 < first.served < len(names))
                    await caller.create("a")
                    for name in names:
                        assert await receiver.told(1, secrets[name], f"/{name}") == ["a"]
                    assert len(receiver.taken) == len(names), "each was told once"
                    held = first.served
                await caller.create("b")
                await receiver.until(lambda taken: len(taken) == len(names) + held)
                await first.look()
                assert first.served == held, "nobody follows while the lease of the dead runs"
                # An hour later the second server's lease has run out, and not the first one's, which renews it.
                databases.instance._clock = lambda: time.time() + 3_600
                await databases.instance.renew()
                for name in names:
                    assert await receiver.told(2, secrets[name], f"/{name}") == ["a", "b"]

    run(scenario())


def test_webhooks_that_came_with_a_database_are_found(authority: Authority) -> None:
    async def scenario() -> None:
        async with photos(hooks=hooks_of(authority)) as (server, databases), calling(server) as channel:
            ana = Owner(Caller(channel, user="ana"))
            await ana.hook(of_zone("z"), "https://hooks.example.com/z")
            hook = registry.Hook(ANA, "z")
            await databases.database.run(lambda tx: registry.remove(tx, hook))
            await register_all(databases)
            assert await registry.all_hooks(databases.database) == {hook: ""}

    run(scenario())


def test_a_right_that_is_taken_away_ends_a_webhook_until_somebody_resumes_it_who_has_it(
    authority: Authority, security: Security
) -> None:
    """Not even what waited already is sent then, and nothing is lost."""

    async def scenario() -> None:
        hooks = hooks_of(authority)
        async with (
            receiving(authority) as receiver,
            photos(security=security, hooks=hooks) as (server, databases),
            serving_hooks(databases, judge=server.around.authority),
            Bearer.calling(server, "writer") as writer,
            Bearer.calling(server, "nobody") as nobody,
        ):
            owner, other = Owner(writer), Owner(nobody)
            secret = await owner.hook(of_zone("z"), receiver.address())
            await writer.create("a")
            assert await receiver.told(1, secret) == ["a"]
            receiver.answers["/hook"] = deque([500] * 1_000)
            await writer.create("b")
            await owner.until("z", Shown.FAILING)
            policy = security.policy
            assert policy is not None
            policy.write_text(policy.read_text().replace("token:writer", "token:nobody"))
            await until(lambda: may(other))
            state = await other.until("z", Shown.DISABLED)
            assert "may not read" in state.reason
            sent = len(receiver.taken)
            receiver.answers.clear()
            await nobody.create("c")
            await asyncio.sleep(0.1)
            assert len(receiver.taken) == sent
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await owner.resume("z")
            assert reason(caught.value) == "FORBIDDEN"
            await other.resume("z")
            assert await receiver.told(3, secret) == ["a", "b", "c"]

    run(scenario())


async def may(owner: Owner) -> bool:
    """Whether it may see how its webhooks do."""
    try:
        await owner.state("z")
    except grpc_aio.AioRpcError:
        return False
    return True


def test_what_cannot_be_a_webhook_is_refused(authority: Authority, security: Security) -> None:
    policy = security.policy
    assert policy is not None
    policy.write_text(policy.read_text() + '\n[[allow]]\nwho = ["token:nobody"]\nmethods = ["write"]\n')

    async def scenario() -> None:
        async with (
            photos(security=security, hooks=Hooks()) as (server, _),
            Bearer.calling(server, "writer") as writer,
            Bearer.calling(server, "nobody") as nobody,
            Bearer.calling(server, "reader") as reader,
        ):
            for address in (
                "http://hooks.example.com",
                "https://10.0.0.1/",
                "https://[::1]/",
                "https://2130706433/",
                "",
            ):
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await Owner(writer).hook(of_zone("z"), address)
                assert reason(caught.value) == "BAD_REQUEST"
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await Owner(nobody).hook(of_zone("z"), "https://hooks.example.com")
            assert reason(caught.value) == "FORBIDDEN", "it would be told what it may not read"
            await Owner(nobody).create(of_zone("z"))
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await Owner(reader).resume("z")
            assert reason(caught.value) == "FORBIDDEN"
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await Owner(writer).resume("z")
            assert reason(caught.value) == "BAD_REQUEST", "it has none"
        async with photos() as (server, _), calling(server) as channel:
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await Owner(Caller(channel)).hook(of_zone("z"), "https://hooks.example.com")
            assert "serves no webhooks" in (caught.value.details() or "")

    run(scenario())


def test_a_server_that_is_killed_while_it_sends_loses_nothing(authority: Authority, tmp_path: Path) -> None:
    """What was sent and not answered comes again from the next server, as it was, and what came later behind it."""
    file = tmp_path / "photos.rl"

    async def scenario() -> None:
        async with receiving(authority) as receiver:
            receiver.answers["/hook"] = deque([HANGS])
            with server_process(file, authority) as (port, process):
                async with grpc_aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    caller = Caller(channel)
                    secret = await Owner(caller).hook(of_zone("z"), receiver.address())
                    await caller.create("a")
                    await receiver.until(lambda taken: len(taken) == 1)
                    await caller.create("b")
                process.kill()
            with server_process(file, authority) as (port, _):
                assert await receiver.told(2, secret) == ["a", "b"]
                assert receiver.taken[1].headers["webhook-id"] == receiver.taken[0].headers["webhook-id"]
                assert receiver.taken[1].body == receiver.taken[0].body

    run(scenario())


@contextmanager
def server_process(file: Path, authority: Authority) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "tests.server.webhook_server", str(file), str(authority.certificate)]
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{root}:{root / 'server'}"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
