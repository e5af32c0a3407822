"""What a tenant at a hundred times its share of calls does to the others of one server: their p99 with and without it.

Twenty databases are asked by a caller each, who stays within the share and looks up a record every eighth of a second.
The greedy one is another process, so that its calls are in the way of the server's answers alone, and not of who takes
the times. It does not care what it is told; how often it can ask at all the server decides, which answers late. The
peer is the same without it, in turns with it in the same run.

The first case counts from the moment in which it connects: there it uses what it has saved up, all at once, and the
server has to find out what it does. The second one leaves out the first second.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import ExitStack
from statistics import median, quantiles
from typing import Any

from grpc import aio as grpc_aio

from bench.harness import Case, Ops, Report, Settings, Spread
from bench.service import host
from bench.service_host import CONTAINER, SHARE, TIMES_OVER
from recordlayer.client.pb import context_pb2, records_pb2, records_pb2_grpc, types_pb2

OTHERS = 20
PAUSE = 1.25 / SHARE  # seconds between two calls of one of them
MOVED = 2.0
"""Upper bound of the others' p99 with / without."""


_Times = list[tuple[float, float]]
"""Of calls, in seconds."""


def run(settings: Settings) -> Report:
    return Report(bench="service_tenants", engine="file:", cases=asyncio.run(_measure(settings)))


async def _measure(settings: Settings) -> tuple[Case, ...]:
    rounds, seconds = (3, 3.0) if settings.quick else (6, 5.0)
    beside: list[_Times] = []
    alone: list[_Times] = []
    with host("shared") as (port, _):
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc_aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            records = records_pb2_grpc.RecordsStub(channel)
            await _phase(records, 1.0)
            for number in range(rounds):
                for is_greedy in (False, True) if number % 2 else (True, False):
                    with ExitStack() as stack:
                        asked = stack.enter_context(host("greedy", str(port)))[1] if is_greedy else None
                        before = 0 if asked is None else asked()
                        times = await _phase(records, seconds)
                        (alone if asked is None else beside).append(times)
                        if asked is not None:
                            settings.say(f"the greedy one asked {(asked() - before) / seconds:,.0f} times a second")
    name = f"p99 of others beside a tenant at {TIMES_OVER} times its share"
    return (
        _case(name, [p99(times) for times in beside], [p99(times) for times in alone]),
        _case(
            f"{name}, after its first second",
            [p99(times, after=1.0) for times in beside],
            [p99(times, after=1.0) for times in alone],
        ),
    )


def _case(name: str, beside: list[float], alone: list[float]) -> Case:
    return Case(
        case=name,
        unit="ms",
        ours=Spread(median(beside), min(beside), max(beside)),
        peers={"without it": Spread(median(alone), min(alone), max(alone))},
        ratio={"without it": median(a / b for a, b in zip(beside, alone, strict=True))},
        target={"without it": MOVED},
        ops=Ops(),
    )


def p99(times: _Times, *, after: float = 0.0) -> float:
    """What 99 of 100 calls do not exceed, in milliseconds, of those that began so many seconds after the first."""
    return quantiles([took for began, took in times if began >= after], n=100)[98] * 1e3


async def _phase(records: Any, seconds: float) -> _Times:
    """When each of the others' calls began, and how long it took. None of them is refused."""
    took: _Times = []
    start = time.perf_counter()
    end = start + seconds

    async def other(number: int) -> None:
        request = records_pb2.LookupRequest(names=[types_pb2.RecordName(name="order-0")])
        request.context.container = CONTAINER
        request.context.database.scope, request.context.database.user = context_pb2.Database.PRIVATE, f"user {number}"
        numbers = random.Random(number)
        await asyncio.sleep(PAUSE * numbers.random())
        while time.perf_counter() < end:
            began = time.perf_counter()
            await records.Lookup(request)
            took.append((began - start, time.perf_counter() - began))
            await asyncio.sleep(PAUSE * numbers.uniform(0.9, 1.1))

    await asyncio.gather(*(other(number) for number in range(OTHERS)))
    return took
