"""The service: one server process and 1, 8 or 64 callers, beside a bare grpc.aio server that gives the same bytes.

One operation is one unary call: `get` looks up one record by name, `save` replaces one record that has three indexes
and a count, `query` reads a page of eleven by an index, over a file with relaxed durability. The peer, `echo`, gets the
same request and gives the same reply without looking at either; its time is gRPC's and the callers' own. The callers
are tasks of this process.

A case with p50 or p99 in its name is the time that 50 or 99 of 100 calls do not exceed, one with "cpu" the processor
time that the server process used for a call: what else the machine does hardly disturbs it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from statistics import median
from typing import Any

from grpc import aio as grpc_aio

from bench.harness import Case, Ops, Report, Settings, Spread
from bench.service_host import CONTAINER
from recordlayer.client.pb import filter_pb2, records_pb2, types_pb2

CALLERS = (1, 8, 64)
RECORDS = 500
TARGETS = {"get": 1 / 0.6, "save": 1 / 0.4}
"""Upper bounds of ours / echo at 64 callers: at least 0.6 and 0.4 of its rate."""

LOOKUP, MODIFY, QUERY = (f"/recordlayer.v1.Records/{name}" for name in ("Lookup", "Modify", "Query"))
ROWS = 11
"""Of a page: the size at which as many keys are records and index entries as in the paper's average."""

Work = Callable[[int], Awaitable[Any]]
Clock = Callable[[], int]
"""Nanoseconds of processor time that a server has used."""


def run(settings: Settings) -> Report:
    return Report(bench="service", engine="file:", cases=tuple(asyncio.run(_measure(settings))))


async def _measure(settings: Settings) -> list[Case]:
    calls, rounds = (100, 3) if settings.quick else (600, 9)
    cases: list[Case] = []
    async with AsyncExitStack() as stack:
        ours, our_clock = await stack.enter_async_context(_channel("ours"))
        echo, echo_clock = await stack.enter_async_context(_channel("echo"))
        await _fill(ours)
        for job, method, request in (
            ("get", LOOKUP, get_request),
            ("save", MODIFY, _save),
            ("query", QUERY, lambda number: query_request()),
        ):
            reply = await ours.unary_unary(method)(request(0))
            await echo.unary_unary("/bench.Echo/Learn")(reply)
            call, bare = ours.unary_unary(method), echo.unary_unary("/bench.Echo/Call")
            for callers in CALLERS:
                settings.say(f"{job}, {callers} callers")
                target = {"echo": TARGETS[job]} if callers == max(CALLERS) and job in TARGETS else {}
                cases += await _compared(
                    f"{job}, {callers} callers",
                    _calling(call, request),
                    _calling(bare, request),
                    callers,
                    clocks={"ours": our_clock, "echo": echo_clock},
                    calls=max(calls, 3 * callers),
                    rounds=rounds,
                    target=target,
                )
    return cases


def _calling(method: Any, request: Callable[[int], bytes]) -> Work:
    return lambda number: method(request(number))


async def _compared(
    name: str,
    ours: Work,
    echo: Work,
    callers: int,
    *,
    clocks: dict[str, Clock],
    calls: int,
    rounds: int,
    target: dict[str, float],
) -> Iterator[Case]:
    """The cases of the time of a call, of what 50 and 99 of 100 do not exceed, and of the server's processor time;
    microseconds."""
    rows: dict[str, list[tuple[float, float, float, float]]] = {"ours": [], "echo": []}
    for number in range(-1, rounds):
        for who, work in (("ours", ours), ("echo", echo)) if number % 2 else (("echo", echo), ("ours", ours)):
            used = clocks[who]()
            whole, p50, p99 = await _round(work, callers, calls)
            used = clocks[who]() - used
            if number >= 0:
                rows[who].append((whole, p50, p99, used / calls / 1e3))
    found = []
    for column, suffix, bounds in ((0, "", target), (1, ", p50", {}), (2, ", p99", {}), (3, ", cpu", {})):
        mine, theirs = ([row[column] for row in rows[who]] for who in ("ours", "echo"))
        found.append(
            Case(
                case=name + suffix,
                unit="us",
                ours=_spread(mine),
                peers={"echo": _spread(theirs)},
                ratio={"echo": median(a / b for a, b in zip(mine, theirs, strict=True))},
                target=bounds,
                ops=Ops(),
            )
        )
    return iter(found)


def _spread(times: list[float]) -> Spread:
    return Spread(median(times), min(times), max(times))


async def _round(work: Work, callers: int, calls: int) -> tuple[float, float, float]:
    """Microseconds a call, all callers together, and the times that 50 and 99 of 100 calls do not exceed."""
    took: list[float] = []

    async def caller(first: int) -> None:
        for number in range(first, calls, callers):
            began = time.perf_counter()
            await work(number)
            took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller(first) for first in range(callers)))
    whole = time.perf_counter() - began
    took.sort()
    p50, p99 = (took[int(len(took) * share)] * 1e6 for share in (0.5, 0.99))
    return whole / calls * 1e6, p50, p99


def _name(number: int) -> types_pb2.RecordName:
    return types_pb2.RecordName(name=f"order-{number % RECORDS}")


def get_request(number: int) -> bytes:
    request = records_pb2.LookupRequest(names=[_name(number)])
    request.context.container = CONTAINER
    return bytes(request.SerializeToString())


def query_request() -> bytes:
    request = records_pb2.QueryRequest(record_types=["Order"], limit=ROWS)
    request.context.container = CONTAINER
    comparison = request.filter.comparison
    comparison.field, comparison.comparator = "total", filter_pb2.Comparison.GREATER_THAN_OR_EQUALS
    comparison.value.integer_value = 100
    return bytes(request.SerializeToString())


def _operation(number: int) -> records_pb2.Operation:
    made = records_pb2.Operation(type="FORCE_REPLACE")
    made.record.name.CopyFrom(_name(number))
    made.record.record_type = "Order"
    fields = made.record.fields.fields
    for name, value in (("id", number), ("total", number * 7 % 1_000), ("placed", 1_700_000_000 + number)):
        fields[name].integer_value = value
    for name, text in (("customer", f"customer-{number % 40}"), ("status", "open"), ("note", "leave it at the door")):
        fields[name].string_value = text
    return made


def _save(number: int) -> bytes:
    request = records_pb2.ModifyRequest(operations=[_operation(number)])
    request.context.container = CONTAINER
    request.desired_keys.SetInParent()
    return bytes(request.SerializeToString())


async def _fill(channel: grpc_aio.Channel) -> None:
    for first in range(0, RECORDS, 100):
        operations = [_operation(number) for number in range(first, first + 100)]
        request = records_pb2.ModifyRequest(operations=operations)
        request.context.container = CONTAINER
        await channel.unary_unary(MODIFY)(request.SerializeToString())


@asynccontextmanager
async def serving() -> AsyncIterator[grpc_aio.Channel]:
    """A channel to a server of its own that has the orders."""
    async with _channel("ours") as (channel, _):
        await _fill(channel)
        yield channel


@asynccontextmanager
async def _channel(who: str) -> AsyncIterator[tuple[grpc_aio.Channel, Clock]]:
    """A channel to a server of its own, and the server's clock."""
    with host(who) as (port, clock):
        async with grpc_aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            yield channel, clock


@contextmanager
def host(*who: str) -> Iterator[tuple[int, Clock]]:
    """A process of `bench.service_host`: its port, and what it answers when it is asked."""
    command = [sys.executable, "-m", "bench.service_host", *who]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    told, said = process.stdin, process.stdout
    assert told is not None, "it was asked for"
    assert said is not None, "it was asked for"

    def clock() -> int:
        told.write("\n")
        return int(said.readline())

    try:
        yield int(said.readline()), clock
    finally:
        process.kill()
        process.wait()
        told.close()
        said.close()
