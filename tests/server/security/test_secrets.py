"""What is secret is in no log, number, span, audit line, error or `repr`: tokens that callers show, right or wrong,
keys of seals and of records, and the secrets of webhooks.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import urllib.request
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio as grpc_aio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import recordlayer as rl
from recordlayer.client.pb import subscriptions_pb2
from recordlayer.cursor.sealing import ContinuationSeal, Tenant
from recordlayer.errors import RecordLayerError
from recordlayer.store import EncryptionKey, KeyRing, TransformingSerializer
from recordlayer_server.config import Address, Security, Showing
from recordlayer_server.databases import SECRETS
from recordlayer_server.operation.tracing import Tracing
from recordlayer_server.places import of_server
from tests.server.test_guarded import Bearer
from tests.server.test_webhooks import Owner, hooks_of, serving_hooks
from tests.support.certificates import Authority
from tests.support.receivers import receiving
from tests.support.service import photos, run
from tests.support.shop import PATH, Order, plain

TOKEN, WRONG = "token-of-the-writer-8f14e45f", "a-token-with-a-typo-c9f0f895"
RECORD_KEY, SEAL_KEY = b"key of records!!", b"a key of continuations, 32 long!"


def forms(secret: bytes) -> set[str]:
    """How a secret may be written: as it is, as Python shows it, in hexadecimal, in base 64."""
    plain_ = base64.b64encode(secret).decode()
    return {repr(secret)[2:-1], secret.hex(), plain_.rstrip("="), base64.urlsafe_b64encode(secret).decode().rstrip("=")}


class Heard(logging.Handler):
    """Everything that is logged, by anybody, as it would be written."""

    def __init__(self) -> None:
        super().__init__(level=0)
        self.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + repr(vars(record)))


@pytest.fixture
def heard() -> Any:
    handler, root = Heard(), logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in ("recordlayer", "recordlayer_server", "grpc", "asyncio"))]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def numbers(server: Any) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{server.metrics_address.port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_a_server_shows_no_secret_anywhere(tmp_path: Path, heard: Heard) -> None:
    authority = Authority(tmp_path)
    tokens, policy, audit = tmp_path / "tokens.toml", tmp_path / "policy.toml", tmp_path / "audit.log"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    tokens.write_text(f'[[token]]\nname = "writer"\nsha256 = "{digest}"\n')
    policy.write_text('[[allow]]\nwho = ["token:writer"]\nmethods = ["read", "write", "admin"]\n')
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    security = Security(tokens=tokens, policy=policy)
    showing = Showing(metrics=Address("127.0.0.1", 0), audit=audit, slow=timedelta(0))
    shown: list[str] = []
    secrets = {TOKEN, WRONG}

    async def scenario() -> None:
        async with (
            receiving(authority) as receiver,
            photos(security=security, showing=showing, hooks=hooks_of(authority)) as (server, databases),
            serving_hooks(databases),
        ):
            server.around.tracing = Tracing(provider)
            shown.append(repr(server._config))
            for token in (TOKEN, WRONG, None):
                async with Bearer.calling(server, token) as caller:
                    for call in (
                        caller.create("a", title="one"),
                        caller.lookup("a"),
                        caller.query(record_types=["Nothing"]),
                        caller.query(continuation=b"no continuation"),
                        caller.create("b", colour="none"),
                    ):
                        try:
                            shown.append(str(await call))
                        except (grpc_aio.AioRpcError, grpc.RpcError) as error:
                            shown.append(repr(error) + str(error.trailing_metadata()))
            async with Bearer.calling(server, TOKEN) as caller:
                owner = Owner(caller)
                receiver.answers["/hook"] = deque([500])
                said = subscriptions_pb2.Subscription(id="q")
                said.query.record_type = "Photo"
                secret = await owner.hook(said, receiver.address())  # told once, to whoever made it
                await caller.create("c", title="one")
                assert await receiver.told(1, secret) == ["c"]
                secrets.update((secret, secret.removeprefix("whsec_")))
                shown.append(str(await owner.state("q")))
                assert not await owner.hook(said, receiver.address())
            shown.append(numbers(server))
            await databases.token_seal()
            async with databases.database.transaction() as tx:
                kept = await tx.store(SECRETS, path=of_server())
                for one in [record async for record in kept.scan()]:
                    secrets.update(forms(one.value))
            shown.append(repr((databases, server, server.around, security, await databases.token_seal())))

    run(scenario())
    assert audit.read_text(), "somebody wrote"
    shown.append(audit.read_text())
    shown.extend(span.to_json() for span in spans.get_finished_spans())
    assert len(spans.get_finished_spans()) >= 10
    everything = "\n".join([*shown, *heard.lines])
    assert "writer" in everything, "who called is there"
    assert len(heard.lines) > 10
    assert len(secrets) >= 7
    assert min(map(len, secrets)) > 16
    assert [secret for secret in secrets if secret in everything] == []


def test_what_a_program_holds_shows_no_secret(heard: Heard) -> None:
    seal = ContinuationSeal({"a": SEAL_KEY})
    ring = KeyRing({1: RECORD_KEY})
    serializer = TransformingSerializer(keys=ring)
    shown = [repr(one) for one in (seal, ring, serializer, EncryptionKey(RECORD_KEY), ring.key(1))]

    def refused(call: Any) -> None:
        with pytest.raises(RecordLayerError) as caught:
            call()
        shown.append(str(caught.value) + repr(caught.value) + repr(caught.value.fields))

    other = ContinuationSeal({"b": SEAL_KEY[::-1]})
    place = Tenant(name=b"store", now=0.0)
    refused(lambda: seal.open(other.seal(b"x", place), place))
    refused(lambda: seal.open(b"nothing", place))
    refused(lambda: ContinuationSeal({"a": SEAL_KEY[:-1]}))
    refused(lambda: ContinuationSeal({"a": SEAL_KEY, "b": RECORD_KEY}, current="a"))
    refused(lambda: EncryptionKey(RECORD_KEY[:-1]))
    refused(lambda: EncryptionKey(RECORD_KEY.decode()))  # type: ignore[arg-type]
    refused(lambda: KeyRing({1: RECORD_KEY}, current=2))
    refused(lambda: KeyRing([RECORD_KEY]))  # type: ignore[arg-type]
    with rl.open("memory:") as db:
        with db.transaction() as tx:
            tx.store(plain(), path=PATH, serializer=serializer).save(Order(id=1, customer="ana"))
        for reader in (TransformingSerializer(keys=KeyRing({1: RECORD_KEY[::-1]})), TransformingSerializer()):
            with db.transaction() as tx:
                store = tx.store(plain(), path=PATH, serializer=reader)
                refused(lambda store=store: store.load(1))
                shown.append(repr(store) + repr(store.check()))
    everything = "\n".join([*shown, *heard.lines])
    secrets = set().union(*(forms(key) for key in (RECORD_KEY, RECORD_KEY[:-1], SEAL_KEY, SEAL_KEY[:-1])))
    assert [secret for secret in secrets if secret in everything] == []
