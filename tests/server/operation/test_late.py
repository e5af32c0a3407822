"""Refusals that are kept back: for whom, how many, how long, and what comes back when a caller leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from recordlayer_server.call import Call, Everybody
from recordlayer_server.limits import DEFAULT
from recordlayer_server.operation.late import LARGE, Late
from recordlayer_server.operation.tenant_calls import TenantCalls, Throttled, Who
from recordlayer_server.places import DEVELOPMENT, PRIVATE, Tenant
from recordlayer_server.security.identity import ANONYMOUS

GREEDY, ANA = (Tenant("shop", DEVELOPMENT, PRIVATE, user) for user in ("greedy", "ana"))
METHOD = "/recordlayer.v1.Records/Lookup"
STREAMS = 40


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(bounded())


class Server:
    """A tenant that is refused too often, and a clock that is moved by hand; answers come when they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, seconds: float = 1.0, most: int = 1_000) -> None:
        self.now = 100.0
        self.delays: list[float] = []
        self.tenants = TenantCalls(rate=1e-6, concurrent=0, clock=lambda: self.now)
        self.late = Late(self.tenants, seconds=seconds, streams=STREAMS, most=most, clock=lambda: self.now)
        loop = asyncio.get_running_loop()
        real = loop.call_later

        def later(delay: float, *rest: Any, **more: Any) -> asyncio.TimerHandle:
            self.delays.append(delay)
            return real(1e6, *rest, **more)

        monkeypatch.setattr(loop, "call_later", later)
        self.tenants.begin(GREEDY, Who(ANONYMOUS, METHOD))
        for _ in range(40):
            with pytest.raises(Throttled):
                self.tenants.begin(GREEDY, Who(ANONYMOUS, METHOD))

    async def ask(self, tenant: Tenant = GREEDY, peer: str = "own", *, size: int = 10, left: float = 1e6) -> Any:
        """A task of a call; how it ends if it has nothing to wait for."""
        deadline = asyncio.get_running_loop().time() + left
        call = Call(METHOD, "id", ANONYMOUS, deadline=deadline, limits=DEFAULT, authority=Everybody())
        call.tenant = tenant
        task = asyncio.create_task(self.late.check(call, peer, size))
        await asyncio.sleep(0)
        return task

    async def kept(self, peer: str, calls: int) -> int:
        """How many of some calls are kept back."""
        before = self.late.kept
        for _ in range(calls):
            await self.ask(peer=peer)
        return self.late.kept - before

    async def end(self) -> None:
        self.late.let_go()
        for _ in range(5):
            await asyncio.sleep(0)
        assert self.late.kept == 0


def test_a_connection_of_one_tenant_is_filled_with_refusals_that_come_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        server = Server(monkeypatch)
        await server.ask(peer="own")
        server.now += 0.1
        assert await server.kept("own", STREAMS) == STREAMS
        assert server.delays[0] == 1.0
        gaps = [later - earlier for earlier, later in zip(server.delays[1:], server.delays[2:], strict=False)]
        assert gaps == [pytest.approx(1 / 64)] * len(gaps)
        task = await server.ask()
        server.late.let_go()
        with pytest.raises(Throttled) as refused:
            await task
        assert refused.value.often
        await server.end()

    run(scenario())


def test_a_connection_that_others_use_too_keeps_most_of_its_places_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        server = Server(monkeypatch)
        assert (await server.ask(ANA, "gateway")).done(), "who was not refused goes on"
        server.now += 0.9
        assert await server.kept("gateway", STREAMS) == STREAMS // 4
        assert await server.kept("new", STREAMS) == STREAMS // 4, "nobody knows yet who else comes by it"
        await server.end()

    run(scenario())


def test_what_is_large_or_too_much_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        server = Server(monkeypatch, most=3)
        for task in (await server.ask(size=LARGE + 1), await server.ask(left=-1.0)):
            assert isinstance(task.exception(), Throttled)
        assert await server.kept("own", 5) == 3
        await server.end()
        off = Server(monkeypatch, seconds=0)
        assert await off.kept("own", 5) == 0

    run(scenario())


def test_a_refusal_comes_well_before_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        server = Server(monkeypatch)
        await server.ask(left=0.5)
        assert server.delays == [pytest.approx(0.25, abs=0.05)]
        await server.end()

    run(scenario())


def test_who_leaves_while_it_waits_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        server = Server(monkeypatch)
        tasks = [await server.ask() for _ in range(STREAMS // 4)]
        assert (await server.ask()).done()
        tasks[0].cancel()
        await asyncio.sleep(0)
        assert not (await server.ask()).done()
        await server.end()

    run(scenario())
