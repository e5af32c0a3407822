"""The Python client and a server that asks who calls: TLS, certificates of callers, tokens, and what they may do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from recordlayer import blocking
from recordlayer.client.blocking import Replica
from recordlayer.client.testing.fake import FakeServer, fake
from recordlayer.errors import Forbidden, NoAnswer, Unauthenticated
from tests.support.certificates import Authority
from tests.support.clients import Photo, connected
from tests.support.photos import CONTAINER, description

FACADES = pytest.mark.parametrize("facade", ["asyncio", "blocking"])

POLICY = """
[[allow]]
who = ["role:writer"]
methods = ["read", "write"]

[[allow]]
who = ["role:reader"]
databases = ["public"]
methods = ["read"]

[[allow]]
who = ["certificate:camera"]
databases = ["public"]
methods = ["read", "write"]
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def settings(authority: Authority) -> list[str]:
    """Of a server with a certificate, tokens and a policy."""
    tokens = authority.folder / "tokens.toml"
    rows = [
        f'[[token]]\nname = "{name}"\nsha256 = "{hashlib.sha256(f"token of {name}".encode()).hexdigest()}"\n'
        f'roles = ["{name}"]\n'
        for name in ("writer", "reader")
    ]
    tokens.write_text("\n".join(rows))
    policy = authority.folder / "policy.toml"
    policy.write_text(POLICY)
    pair = authority.issue("localhost")
    flags = {"tls-certificate": pair.certificate, "tls-key": pair.key, "auth-tokens": tokens, "policy": policy}
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def server(settings: list[str]) -> Iterator[FakeServer]:
    with fake({CONTAINER: description()}, flags=settings) as started:
        yield started


def url(server: FakeServer) -> str:
    """By the name that is in the certificate."""
    assert server.url.startswith("grpcs://")
    return server.url.replace("127.0.0.1", "localhost")


def trusting(authority: Authority, who: str = "") -> Any:
    """Credentials that trust the authority, and show a certificate of it."""
    if not who:
        return grpc.ssl_channel_credentials(authority.certificate.read_bytes())
    pair = authority.issue(who)
    return grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(), pair.key.read_bytes(), pair.certificate.read_bytes()
    )


@FACADES
def test_tokens_say_who_calls_and_the_policy_what_they_may_do(
    facade: str, server: FakeServer, authority: Authority
) -> None:
    shown = ["nobody's"]
    with connected(facade, url(server), credentials=trusting(authority), token=lambda: shown[-1]) as client:
        with pytest.raises(Unauthenticated):
            client.zone().load(Photo, "p")
        shown.append("token of writer")
        client.zone().save(Photo(title="t"), name="p")
        words = iter(client.zone().watch())
        assert next(words) in ("changed", "current")
        shown.append("token of reader")
        assert client.zone().load(Photo, "p").message.title == "t"
        with pytest.raises(Forbidden):
            client.zone().save(Photo(title="u"), name="p")
        with pytest.raises(Forbidden), client.transaction() as tx:
            tx.zone().delete("p")
        with pytest.raises(Forbidden):
            list(client.database(user="other").zone().query(Photo))
    with connected(facade, url(server), credentials=trusting(authority)) as client, pytest.raises(Unauthenticated):
        client.zone().load(Photo, "p")


@FACADES
def test_a_server_that_nobody_vouches_for_is_not_talked_to(
    facade: str, server: FakeServer, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger")
    for address, credentials in (
        (url(server), trusting(stranger)),
        (server.url, trusting(authority)),  # it is not the name in the certificate
    ):
        said = {"credentials": credentials, "token": "token of writer", "timeout": timedelta(seconds=0.5)}
        with connected(facade, address, **said) as client, pytest.raises(NoAnswer):
            client.zone().load(Photo, "p")


def test_certificates_of_callers_are_asked_for_and_known(
    settings: list[str], authority: Authority, tmp_path: Path
) -> None:
    with fake({CONTAINER: description()}, flags=[*settings, "--tls-client-ca", str(authority.certificate)]) as server:
        for facade in ("asyncio", "blocking"):
            with connected(facade, url(server), credentials=trusting(authority, "camera")) as client:
                client.zone().save(Photo(title="t"), name="p")
            with (
                connected(facade, url(server), credentials=trusting(authority, "other")) as client,
                pytest.raises(Forbidden),
            ):
                client.zone().load(Photo, "p")
            nothing = {"credentials": trusting(authority), "timeout": timedelta(seconds=0.5)}
            with connected(facade, url(server), **nothing) as client, pytest.raises(NoAnswer):
                client.zone().load(Photo, "p")


def test_edits_of_a_replica_that_may_only_read_wait_and_hold_up_nothing(
    server: FakeServer, authority: Authority
) -> None:
    said = {"credentials": trusting(authority)}
    with (
        connected("blocking", url(server), token="token of writer", **said) as writer,
        connected("blocking", url(server), token="token of reader", **said) as reader,
        blocking.open("memory:") as local,
    ):
        writer.zone().save(Photo(title="theirs"), name="there")
        replica = Replica.open(reader.zone(), local, [Photo])
        replica.save(Photo(title="mine"), "here")
        assert replica.sync().refused == ["here"]
        assert replica.load(Photo, "there").message.title == "theirs"
        writer.zone().save(Photo(title="new"), name="there")
        replica.sync()
        assert replica.load(Photo, "there").message.title == "new"
        [waiting] = replica.waiting()
        assert waiting.refused.startswith("FORBIDDEN")
