"""The tour's last part: a server on the file of the cities, asked by a client over a port, and stopped.

The server is a process of its own, as `recordlayer-server` starts it; the client uses the stubs of recordlayer.client.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from recordlayer.client.pb import (
    context_pb2,
    filter_pb2,
    records_pb2,
    records_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    sync_pb2,
    sync_pb2_grpc,
    types_pb2,
)
from recordlayer.metadata import RecordMetaData

CONTAINER = "demo.cities"
SAVED = 200


def show(file: str, metadata: RecordMetaData, cities: Sequence[Any]) -> Iterator[str]:
    """Lines about what happens, as it happens.  Raises  RuntimeError if the server does not stop as it should."""
    with tempfile.TemporaryDirectory() as folder:
        description = Path(folder) / "cities.binpb"
        description.write_bytes(metadata.to_bytes())
        with serving(file, description) as address:
            yield f"listening on {address}, container {CONTAINER}"
            with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
                yield from _asked(channel, cities[:SAVED])
        yield "stopped: every call had its answer"


def _asked(channel: grpc.Channel, cities: Sequence[Any]) -> Iterator[str]:
    context = context_pb2.RequestContext(container=CONTAINER)
    records = records_pb2_grpc.RecordsStub(channel)
    info = server_pb2_grpc.ServerStub(channel).GetServerInfo(server_pb2.GetServerInfoRequest(), timeout=10)
    yield f"version {info.version}, at most {info.limits.operations_per_request} operations a request"
    saved = records.Modify(
        records_pb2.ModifyRequest(
            context=context,
            operations=[_operation(city) for city in cities],
            desired_keys=types_pb2.DesiredKeys(),
        ),
        timeout=30,
    )
    tag = saved.results[0].record.change_tag.hex()
    yield f"saved {len(saved.results)} cities in one commit; the first one's change tag is {tag}"
    country = max({city.country for city in cities}, key=lambda code: sum(city.country == code for city in cities))
    asked = records_pb2.QueryRequest(context=context, record_types=["City"], limit=3)
    asked.filter.comparison.field = "country"
    asked.filter.comparison.comparator = filter_pb2.Comparison.EQUALS
    asked.filter.comparison.value.string_value = country
    asked.sort.add(field="population", descending=True)
    plan = records.Explain(records_pb2.ExplainRequest(query=asked), timeout=10)
    yield f"the largest cities of {country}: {plan.line}"
    for number in (1, 2):
        page = records.Query(asked, timeout=10)
        names = ", ".join(record.fields.fields["name"].string_value for record in page.records)
        yield f"page {number}: {names} ({page.context.cost.keys_read} pairs read)"
        asked.continuation = page.continuation
        if not page.continuation:
            break
    yield from _watched(channel, context, cities[0])
    stale = _operation(cities[0])
    stale.type, stale.record.change_tag = records_pb2.Operation.UPDATE, bytes(12)
    try:
        records.Modify(records_pb2.ModifyRequest(context=context, operations=[stale]), timeout=10)
    except grpc.RpcError as error:
        yield f"an update with a stale change tag: {error.code().name}, {error.details()}"


def _watched(channel: grpc.Channel, context: context_pb2.RequestContext, city: Any) -> Iterator[str]:
    """A change that arrives at somebody who watches."""
    sync, ask = sync_pb2_grpc.SyncStub(channel), sync_pb2.WatchRequest
    token, more, copied = b"", True, 0
    while more:
        asked = sync_pb2.ZoneChangesRequest(context=context, zones=[sync_pb2.ZoneCursor(token=token)])
        [zone] = sync.ZoneChanges(asked, timeout=10).zones
        token, more, copied = zone.token, zone.more_coming, copied + len(zone.records)
    yield f"a replica copied {copied} records, and watches from there"
    said = [ask(open=ask.Open(context=context)), ask(add=ask.Add(target=1, token=token, content=True))]
    watch = sync.Watch(iter(said), timeout=30)
    for reply in watch:
        if reply.WhichOneof("kind") == "current":
            break
    changed = _operation(city)
    began = time.perf_counter()
    saved = records_pb2_grpc.RecordsStub(channel).Modify(
        records_pb2.ModifyRequest(context=context, operations=[changed]), timeout=10
    )
    for reply in watch:
        if reply.WhichOneof("kind") == "changed":
            break
    else:
        raise RuntimeError("the watch ended without the change")
    [record] = reply.changed.records
    took = (time.perf_counter() - began) * 1_000
    same = record.change_tag == saved.results[0].record.change_tag
    tag = "its" if same else "another"
    yield f"a change of {city.name} arrived {took:.0f} ms after it was sent, with {tag} change tag"
    watch.cancel()


def _operation(city: Any) -> records_pb2.Operation:
    made = records_pb2.Operation(type=records_pb2.Operation.FORCE_REPLACE)
    made.record.name.name, made.record.record_type = str(city.id), "City"
    made.record.message = city.SerializeToString()
    return made


@contextmanager
def serving(file: str, description: Path) -> Iterator[str]:
    """The address of a server on a file, which is told to stop at the end."""
    command = [sys.executable, "-m", "recordlayer_server.main", "--db", f"file:{file}", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--containers", f"{CONTAINER}={description}"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None, "it was asked for"
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if '"listening"' in line:
                yield str(json.loads(line)["address"])
                break
        process.send_signal(signal.SIGTERM)
        said += process.stderr.readlines()
        if process.wait(timeout=60) != 0:
            raise RuntimeError("the server did not stop as it should:\n" + "".join(said))
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
