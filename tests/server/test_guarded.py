"""Calls to a server that asks who calls: identities, the policy, limits of tenants, overload, certificates, numbers."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import logging
import pkgutil
import random
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from recordlayer.aio import Database
from recordlayer.client import pb
from recordlayer.client.pb import context_pb2, records_pb2, server_pb2, server_pb2_grpc
from recordlayer.kv.registry import open_engine
from recordlayer.observe import OpenTelemetry
from recordlayer.tenant import TenantLimits
from recordlayer.world import World
from recordlayer_server.config import Address, Load, Security, Showing, Tls
from recordlayer_server.operation.admission import Priority
from recordlayer_server.operation.tracing import Tracing
from recordlayer_server.places import DEVELOPMENT, PRIVATE, Tenant, of_database
from recordlayer_server.security.authority import RIGHTS
from tests.support.certificates import Authority, Pair
from tests.support.photos import CONTAINER
from tests.support.service import (
    SERVING,
    Caller,
    calling,
    health,
    operation,
    photos,
    reason,
    record_name,
    retries,
    run,
    status_of,
)

POLICY = f"""
[[allow]]
who = ["token:writer"]
containers = ["{CONTAINER}"]
methods = ["read", "write"]

[[allow]]
who = ["token:reader"]
zones = ["open", ""]
methods = ["read"]

[[allow]]
who = ["certificate:caller"]
methods = ["read"]
"""


@pytest.fixture
def security(tmp_path: Path) -> Security:
    tokens, policy = tmp_path / "tokens.toml", tmp_path / "policy.toml"
    policy.write_text(POLICY)
    tokens.write_text(
        "".join(
            f'[[token]]\nname = "{name}"\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\n'
            for name in ("writer", "reader", "nobody")
        )
    )
    return Security(tokens=tokens, policy=policy)


class Bearer(Caller):
    """A caller who shows a token, by a channel of its own."""

    @classmethod
    @asynccontextmanager
    async def calling(cls, server: Any, token: str | None, **how: Any) -> AsyncIterator[Bearer]:
        metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        shown = _Shown(metadata)
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc_aio.insecure_channel(str(server.address), options=options, interceptors=[shown]) as channel:
            yield cls(channel, **how)


class _Shown(grpc_aio.UnaryUnaryClientInterceptor):
    def __init__(self, metadata: list[tuple[str, str]]) -> None:
        self._metadata = metadata

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details._replace(metadata=self._metadata), request)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc_aio.AioRpcError) as caught:
        await call
    return caught.value.code(), reason(caught.value)


def test_callers_do_what_the_policy_grants_and_nothing_else(security: Security) -> None:
    async def scenario() -> None:
        async with photos(security=security) as (server, _):
            async with Bearer.calling(server, "writer") as writer:
                await writer.zone("open")
                await writer.zone("closed")
                await writer.create("a", zone="open", title="one")
                await writer.create("b", zone="closed", title="two")
            async with Bearer.calling(server, "reader") as reader:
                assert [found.record.name.name for found in await reader.lookup("a", zone="open")] == ["a"]
                for call in (
                    reader.lookup("b", zone="closed"),
                    reader.create("c", zone="open"),
                    reader.zone("mine"),
                    reader.query(zone_wide=True),
                ):
                    assert await refusal(call) == (grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN")
            async with Bearer.calling(server, "nobody") as nobody:
                assert (await refusal(nobody.lookup("a")))[0] is grpc.StatusCode.PERMISSION_DENIED
            for token in (None, "wrong"):
                async with Bearer.calling(server, token) as stranger:
                    found = await refusal(stranger.lookup("a"))
                    assert found == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")

    run(scenario())


def test_what_is_forbidden_and_what_is_not_there_look_alike(security: Security) -> None:
    async def scenario() -> None:
        async with photos(security=security) as (server, _):
            texts = set()
            for token, how in (("writer", {"container": "none"}), ("reader", {"user": "bo"}), ("nobody", {})):
                async with Bearer.calling(server, token, **how) as caller:
                    with pytest.raises(grpc_aio.AioRpcError) as caught:
                        await caller.lookup("a")
                    status = status_of(caught.value)
                    texts.add((status.message, status.SerializeToString()))
            assert len(texts) == 1

    run(scenario())


def test_health_is_answered_without_showing_anything(security: Security) -> None:
    async def scenario() -> None:
        async with photos(security=security) as (server, _), calling(server) as channel:
            assert await health(channel) == SERVING

    run(scenario())


def test_the_private_database_of_a_caller_is_its_own(security: Security) -> None:
    async def scenario() -> None:
        async with photos(security=security) as (server, _), Bearer.calling(server, "writer") as writer:
            writer.context.database.scope = context_pb2.Database.PRIVATE
            await writer.create("mine", title="one")
            writer.context.database.user = "writer"
            assert (await writer.lookup("mine"))[0].record.created.user == "writer"
            writer.context.database.user = "reader"
            assert (await refusal(writer.lookup("mine")))[0] is grpc.StatusCode.PERMISSION_DENIED

    run(scenario())


def test_a_policy_that_is_replaced_holds_for_the_next_call(security: Security) -> None:
    async def scenario() -> None:
        async with photos(security=security) as (server, _), Bearer.calling(server, "writer") as writer:
            await writer.create("a")
            assert security.policy is not None
            security.policy.write_text("")
            code = None
            async with asyncio.timeout(30):
                while code is None:  # it is looked at once a second
                    try:
                        await writer.lookup("a")
                        await asyncio.sleep(0.05)
                    except grpc_aio.AioRpcError as error:
                        code = error.code()
            assert code is grpc.StatusCode.PERMISSION_DENIED

    run(scenario())


def test_the_audit_log_has_a_line_for_every_administrative_action(security: Security, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"

    async def scenario() -> None:
        showing = Showing(audit=log)
        async with photos(security=security, showing=showing) as (server, _):
            async with Bearer.calling(server, "writer") as writer:
                await writer.zone("open")
                assert len(log.read_text().splitlines()) == 1, "the line is there before the answer"
                await writer.create("a", title="not an administrative action")
                await writer.zone("open", "DELETE")
            async with Bearer.calling(server, "reader") as reader:
                await refusal(reader.zone("open"))

    run(scenario())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["who"], line["outcome"], line["names"]) for line in lines] == [
        ("token:writer", "OK", ["CREATE open"]),
        ("token:writer", "OK", ["DELETE open"]),
        ("token:reader", "FORBIDDEN", ["CREATE open"]),
    ]
    assert {line["tenant"] for line in lines} == {f"{CONTAINER}/development/public"}


def test_every_method_of_the_service_has_a_right() -> None:
    """One that nobody thought of needs `admin`; this says that nobody forgot one."""
    names = [one.name for one in pkgutil.iter_modules(pb.__path__) if one.name.endswith("_pb2")]
    services = [
        service
        for name in names
        for service in importlib.import_module(f"{pb.__name__}.{name}").DESCRIPTOR.services_by_name.values()
    ]
    # What a server is, it says to everybody.
    served = {f"/{one.full_name}/{method.name}" for one in services for method in one.methods if one.name != "Server"}
    assert served == set(RIGHTS)


def test_a_tenant_over_its_share_is_throttled_and_the_others_are_not(security: Security) -> None:
    async def scenario() -> None:
        share = Load(tenant_rate=1e-6)  # one at the beginning, and then none for days
        async with photos(load=share) as (server, _), calling(server) as channel:
            ana, bo = Caller(channel, user="ana"), Caller(channel, user="bo")
            await ana.lookup("x")
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await ana.lookup("x")
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert reason(caught.value) == "THROTTLED"
            assert retries(status_of(caught.value))
            await bo.lookup("x")
            await Caller(channel).lookup("x")

    run(scenario())


def test_a_tenant_far_over_its_share_is_kept_to_it_and_nobody_else_is_refused() -> None:
    """S9 without the clock: `bench.service_tenants` takes the times."""

    async def outcomes(caller: Caller, calls: int) -> list[str]:
        """ "" for an answer, else the reason."""
        found = await asyncio.gather(*(caller.lookup("x") for _ in range(calls)), return_exceptions=True)
        return [reason(one) if isinstance(one, grpc_aio.AioRpcError) else "" for one in found]

    async def scenario() -> None:
        rate = 0.5  # of which two seconds' worth, that is one call, may come at once
        async with photos(load=Load(tenant_rate=rate)) as (server, _), calling(server) as channel:
            began = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as group:
                greedy = group.create_task(outcomes(Caller(channel, user="greedy"), 200))
                others = [group.create_task(outcomes(Caller(channel, user=f"u{number}"), 1)) for number in range(30)]
            took = asyncio.get_running_loop().time() - began
            assert [task.result() for task in others] == [[""]] * 30
            counted = Counter(greedy.result())
            assert set(counted) == {"", "THROTTLED"}
            assert 1 <= counted[""] <= 1 + took * rate

    run(scenario())


def test_calls_over_the_limit_of_one_tenant_at_once_are_refused_and_places_come_back() -> None:
    async def scenario() -> None:
        async with photos(load=Load(tenant_concurrent=2)) as (server, _), calling(server) as channel:
            ana = Caller(channel, user="ana")
            await ana.create("a")
            outcomes = await asyncio.gather(*(ana.lookup("a") for _ in range(40)), return_exceptions=True)
            refused = [one for one in outcomes if isinstance(one, grpc_aio.AioRpcError)]
            assert {reason(one) for one in refused} <= {"THROTTLED"}
            assert len(refused) < 40
            for _ in range(3):
                await ana.lookup("a")

    run(scenario())


def test_a_database_is_kept_to_the_keys_that_are_set_for_it_and_the_others_are_not() -> None:
    async def scenario() -> None:
        async with photos(load=Load(tenant_limits=True)) as (server, databases), calling(server) as channel:
            ana, bo = Caller(channel, user="ana"), Caller(channel, user="bo")
            await ana.create("a")
            await bo.create("b")
            await ana.lookup("a")
            path = of_database(Tenant(CONTAINER, DEVELOPMENT, PRIVATE, "ana"))
            await databases.database.tenant(path).set_limits(TenantLimits(keys_read=1))
            error = None
            async with asyncio.timeout(50):
                while error is None:  # all processes go by it within seconds
                    try:
                        await ana.lookup("a")
                        await asyncio.sleep(0.02)
                    except grpc_aio.AioRpcError as caught:
                        error = caught
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert reason(error) == "THROTTLED"
            assert retries(status_of(error))
            for _ in range(50):
                await bo.lookup("b")

    run(scenario())


def test_a_database_that_is_full_takes_deletions_only() -> None:
    async def scenario() -> None:
        async with photos(load=Load(tenant_storage=1)) as (server, databases), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("a", hash=b"x" * 50_000)
            databases.storage._sizes.clear()  # as if ten seconds had gone by
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await caller.create("b")
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert reason(caught.value) == "QUOTA_EXCEEDED"
            assert not retries(status_of(caught.value))
            await caller.modify(operation("FORCE_DELETE", "a"))
            await Caller(channel, user="bo").create("c")

    run(scenario())


def test_a_server_with_too_much_to_do_sends_calls_away_early() -> None:
    async def scenario() -> None:
        async with photos(load=Load(running=1, waiting=0)) as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("a")
            assert server.around.admission is not None
            async with server.around.admission.place(0, time_left=None):  # type: ignore[arg-type]  # a priority
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await caller.lookup("a")
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
                assert reason(caught.value) == "OVERLOADED"
                assert retries(status_of(caught.value))
                assert await health(channel) == SERVING, "health needs no place"
            await caller.lookup("a")

    run(scenario())


def shown_by(server: Any) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{server.metrics_address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_numbers_tell_of_calls_and_tenants() -> None:
    async def scenario() -> None:
        showing = Showing(metrics=Address("127.0.0.1", 0))
        async with photos(showing=showing) as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("a")
            await caller.lookup("a")
            with pytest.raises(grpc_aio.AioRpcError):
                await caller.create("a")
            text = await asyncio.to_thread(shown_by, server)
            method = "/recordlayer.v1.Records/Modify"
            assert f'recordlayer_server_calls_total{{code="OK",method="{method}"}} 1.0' in text
            assert f'recordlayer_server_calls_total{{code="ALREADY_EXISTS",method="{method}"}} 1.0' in text
            tenant = f"{CONTAINER}/development/public"
            assert f'recordlayer_server_tenant_calls_total{{tenant="{tenant}"}} 3.0' in text
            assert "recordlayer_server_ready 1.0" in text
            written = f'recordlayer_server_tenant_keys_total{{kind="written",tenant="{tenant}"}}'
            (line,) = [line for line in text.splitlines() if line.startswith(written)]
            assert float(line.rpartition(" ")[2]) > 0

    run(scenario())


def test_strangers_who_name_a_database_do_not_wait_in_its_line(security: Security) -> None:
    """Else they would fill it, and its own callers would be sent away."""

    async def scenario() -> None:
        load = Load(running=1, waiting=4)
        async with (
            photos(security=security, load=load) as (server, _),
            Bearer.calling(server, "writer") as writer,
            Bearer.calling(server, "nobody") as stranger,
        ):
            admission = server.around.admission
            assert admission is not None
            async with asyncio.timeout(30), admission.place(Priority.INTERACTIVE, time_left=None):
                flood = [asyncio.create_task(refusal(stranger.lookup("a"))) for _ in range(4)]
                while admission.waiting < 4:  # noqa: ASYNC110 - nothing is set when one more waits
                    await asyncio.sleep(0.001)
                call = asyncio.create_task(writer.lookup("a"))
                while not any(task.done() for task in (call, *flood)):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            assert len(await call) == 1
            told = Counter(why for _, why in await asyncio.gather(*flood))
            assert told == {"OVERLOADED": 1, "FORBIDDEN": 3}

    run(scenario())


def test_a_call_is_a_span_under_its_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            server.around.tracing = Tracing(provider)
            stub = server_pb2_grpc.ServerStub(channel)
            metadata = (("traceparent", f"00-{trace}-{parent}-01"),)
            await stub.GetServerInfo(server_pb2.GetServerInfoRequest(), metadata=metadata)
            with pytest.raises(grpc_aio.AioRpcError):
                await Caller(channel, container="none").lookup("a")

    run(scenario())
    info, lookup = exporter.get_finished_spans()
    assert info.name == "recordlayer.v1.Server/GetServerInfo"
    assert info.context is not None
    assert info.parent is not None
    assert f"{info.context.trace_id:032x}" == trace
    assert f"{info.parent.span_id:016x}" == parent
    assert lookup.attributes is not None
    assert lookup.attributes["rpc.grpc.status_code"] == "PERMISSION_DENIED"


def test_a_share_of_the_calls_has_spans_and_every_call_of_a_caller_who_traces() -> None:
    """A call that is not taken leaves no spans of its transactions either."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    caller_span = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"

    async def scenario() -> None:
        database = Database(open_engine("memory:"), world=World(), observer=OpenTelemetry(provider=provider))
        async with photos(database=database) as (server, _), calling(server) as channel:
            caller = Caller(channel)
            await caller.create("a")

            async def taken(share: float, flags: str | None, count: int) -> int:
                """How many of some calls have spans."""
                server.around.tracing = Tracing(provider, share=share, chance=random.Random(5))
                request = records_pb2.LookupRequest(context=caller.context, names=[record_name("a")])
                exporter.clear()
                for _ in range(count):
                    metadata = () if flags is None else (("traceparent", f"{caller_span}-{flags}"),)
                    await caller.records.Lookup(request, metadata=metadata)
                await server.calls.idle()
                names = [one.name for one in exporter.get_finished_spans()]
                calls = names.count("recordlayer.v1.Records/Lookup")
                assert (calls > 0) == (len(names) > calls), "those of transactions come and go with it"
                return calls

            assert await taken(1.0, None, 3) == 3
            assert await taken(0.0, None, 3) == 0
            assert 10 < await taken(0.5, None, 40) < 30
            assert await taken(0.0, "01", 3) == 3, "whoever calls has decided it"
            assert await taken(1.0, "00", 3) == 0

    run(scenario())


def test_the_log_says_who_did_what_to_which_database_and_no_values(
    security: Security, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with photos(security=security) as (server, _), Bearer.calling(server, "writer") as writer:
            await writer.modify(operation("CREATE", "a", title="a secret of ana"))

    caplog.set_level(logging.INFO, "recordlayer")
    run(scenario())
    calls = [vars(record)["recordlayer"] for record in caplog.records if record.name == "recordlayer.server.call"]
    (line,) = [one for one in calls if one["method"].endswith("/Modify")]
    assert line["identity"] == "token:writer"
    assert line["tenant"] == f"{CONTAINER}/development/public"
    assert line["code"] == "OK"
    assert line["keys_written"] > 0
    everything = caplog.text + str([vars(record) for record in caplog.records])
    assert "a secret of ana" not in everything
    assert "Bearer" not in everything


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def over_tls(server: Any, authority: Path, pair: Pair | None = None) -> grpc_aio.Channel:
    """A channel with a connection of its own."""
    shown = (None, None) if pair is None else (pair.key.read_bytes(), pair.certificate.read_bytes())
    credentials = grpc.ssl_channel_credentials(authority.read_bytes(), *shown)
    options = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.ssl_target_name_override", "localhost"),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc_aio.secure_channel(str(server.address), credentials, options=options)


def test_a_certificate_says_who_calls(security: Security, authority: Authority) -> None:
    own = authority.issue("localhost")
    tls = Tls(own.certificate, own.key, authority.certificate)

    async def scenario() -> None:
        async with photos(security=Security(policy=security.policy), tls=tls) as (server, _):
            async with over_tls(server, authority.certificate, authority.issue("caller")) as channel:
                assert [found.status.code for found in await Caller(channel).lookup("a")] != []
                assert (await refusal(Caller(channel).create("a")))[0] is grpc.StatusCode.PERMISSION_DENIED
            async with over_tls(server, authority.certificate, authority.issue("other")) as channel:
                assert (await refusal(Caller(channel).lookup("a")))[0] is grpc.StatusCode.PERMISSION_DENIED

    run(scenario())


def test_a_certificate_that_is_replaced_on_disk_is_shown_to_new_connections(
    tmp_path: Path, authority: Authority
) -> None:
    own = authority.issue("localhost")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"

    def put(pair: Pair) -> None:
        certificate.write_bytes(pair.certificate.read_bytes())
        key.write_bytes(pair.key.read_bytes())

    put(own)
    successor = Authority(tmp_path / "next")

    async def scenario() -> None:
        async with photos(tls=Tls(certificate, key, None)) as (server, _):
            async with over_tls(server, authority.certificate) as first:
                assert await health(first) == SERVING
                put(successor.issue("localhost"))
                async with asyncio.timeout(40):
                    while True:
                        async with over_tls(server, successor.certificate) as second:
                            try:
                                assert await health(second) == SERVING
                                break
                            except grpc_aio.AioRpcError:
                                await asyncio.sleep(0.1)
                assert await health(first) == SERVING, "connections that are there go on"
            async with over_tls(server, authority.certificate) as old:
                with pytest.raises(grpc_aio.AioRpcError):
                    await health(old)

    run(scenario())
