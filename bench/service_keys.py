"""Keys that calls of the service read, beside what the Record Layer's paper says of CloudKit: section 8.2.

One operation is one call, on the orders of the bench `service`: `get` looks up one record by name, `query` reads 11 of
them by an index, the size at which as many keys are records and index entries as in the paper's average. The overhead
is what is neither: of a get, what is no key of the record; of a query, what is neither an entry nor a key of a record.
The paper's averages stand in the place of a peer. The server has
seen the store before. Numbers are keys, and the same on every machine.
"""

from __future__ import annotations

import asyncio
from typing import Any

from bench.harness import Case, Ops, Report, Settings, Spread
from bench.service import LOOKUP, QUERY, ROWS, get_request, query_request, serving
from recordlayer.client.pb import records_pb2

KEYS_OF_A_RECORD = 2
"""The record, and its version."""

PAPER = {"get": (13.3, 7.7), "query": (38.3, 6.2)}
"""Keys of an average request, and those of them that are neither records nor index entries."""
USEFUL = {"get": KEYS_OF_A_RECORD, "query": ROWS * (1 + KEYS_OF_A_RECORD)}


def run(settings: Settings) -> Report:
    return Report(bench="service_keys", engine="file:", cases=tuple(asyncio.run(_measure(settings))))


async def _measure(settings: Settings) -> list[Case]:
    cases: list[Case] = []
    async with serving() as channel:
        for job, method, request, reply in (
            ("get", LOOKUP, get_request(0), records_pb2.LookupReply),
            ("query", QUERY, query_request(), records_pb2.QueryReply),
        ):
            settings.say(job)
            call = channel.unary_unary(method, response_deserializer=reply.FromString)
            await call(request)
            cases += _cases(job, await call(request))
    return cases


def _cases(job: str, reply: Any) -> list[Case]:
    read = reply.context.cost.keys_read
    whole, overhead = PAPER[job]
    return [_case(f"{job}, keys", read, whole), _case(f"{job}, overhead", read - USEFUL[job], overhead)]


def _case(name: str, ours: float, paper: float) -> Case:
    return Case(
        case=name,
        unit="keys",
        ours=Spread(ours, ours, ours),
        peers={"paper": Spread(paper, paper, paper)},
        ratio={"paper": ours / paper},
        target={"paper": 1.0},
        ops=Ops(reads=ours),
    )
