"""What the server refuses to start with, and what it takes when told plainly: addresses, certificates."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from pathlib import Path

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer.errors import CannotListen, InvalidSettings, UnsafeSettings
from recordlayer_server.config import Address, Config
from recordlayer_server.loading import load
from tests.support.certificates import Authority
from tests.support.service import SERVING, calling, health, run, serving

PUBLIC = {"db": "memory:", "listen": "0.0.0.0:0"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def tls(authority: Authority) -> dict[str, str]:
    server = authority.issue("localhost")
    return {"tls_certificate": str(server.certificate), "tls_key": str(server.key)}


@pytest.fixture
def policy(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "policy.toml"
    file.write_text('[[allow]]\nwho = ["*"]\nmethods = ["read"]\n')
    return {"policy": str(file)}


def test_a_public_address_without_authentication_is_refused(tls: dict[str, str]) -> None:
    with pytest.raises(UnsafeSettings) as caught:
        load(PUBLIC, {})
    assert caught.value.fields == {"listen": "0.0.0.0:0", "lacks": "TLS"}
    assert "--insecure" in caught.value.hint
    with pytest.raises(UnsafeSettings) as caught:
        load(PUBLIC | tls, {})
    assert caught.value.fields["lacks"] == "a way to know callers"


def test_a_public_address_is_served_when_callers_show_certificates_or_tokens(
    authority: Authority, tls: dict[str, str], policy: dict[str, str], tmp_path: Path
) -> None:
    config = load(PUBLIC | tls | policy | {"tls_client_ca": str(authority.certificate)}, {})
    assert config.listen.public
    assert config.tls is not None
    assert config.tls.client_ca == authority.certificate
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f"[[token]]\nname = 'ci'\nsha256 = '{'0' * 64}'\n")
    assert load(PUBLIC | tls | policy | {"auth_tokens": str(tokens)}, {}).security.tokens == tokens
    with pytest.raises(UnsafeSettings) as caught:  # whoever listens in would have the token
        load(PUBLIC | policy | {"auth_tokens": str(tokens)}, {})
    assert caught.value.fields["lacks"] == "TLS"


def test_who_asks_callers_who_they_are_has_to_say_what_they_may_do(
    authority: Authority, tls: dict[str, str], tmp_path: Path
) -> None:
    empty, broken = tmp_path / "empty.toml", tmp_path / "broken.toml"
    empty.write_text("")
    broken.write_text("[[allow]]\n")
    jwt = {"auth_jwt_keys": "http://login.example/keys", "auth_jwt_issuer": "x"}
    for wrong, problems in (
        (
            {"tls_client_ca": str(authority.certificate)},
            ["policy: callers are known, and nothing says who may do what"],
        ),
        ({"auth_tokens": str(empty)}, ["policy: callers are known"]),
        ({"auth_tokens": str(tmp_path / "missing"), "policy": str(empty)}, ["auth_tokens = "]),
        ({"policy": str(broken)}, ["policy = "]),
        (
            jwt | {"policy": str(empty)},
            ["auth_jwt_keys = 'http://login.example/keys'", "auth_jwt_audience: web tokens"],
        ),
        ({"auth_jwt_issuer": "x"}, ["auth_jwt_issuer: it is of no use"]),
        ({"metrics_listen": "nowhere"}, ["metrics_listen = 'nowhere'"]),
        ({"audit_log": str(tmp_path)}, ["audit_log = "]),
    ):
        with pytest.raises(InvalidSettings) as caught:
            load({"db": "memory:"} | tls | wrong, {})
        found = caught.value.problems
        assert len(found) == len(problems)
        assert all(text.startswith(start) for text, start in zip(found, problems, strict=True))


def test_a_public_address_is_served_without_them_on_explicit_word_only() -> None:
    assert load(PUBLIC | {"insecure": "true"}, {}).listen.public
    with pytest.raises(UnsafeSettings):
        load(PUBLIC | {"insecure": "false"}, {})


def test_a_configuration_does_not_show_its_key(tls: dict[str, str]) -> None:
    config = load({"db": "memory:"} | tls, {})
    assert "PRIVATE" not in repr(config)
    assert "PRIVATE" not in str(config)


def test_certificates_that_do_not_fit_are_refused_before_the_port_opens(
    authority: Authority, tls: dict[str, str], policy: dict[str, str], tmp_path: Path
) -> None:
    other = authority.issue("other")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate\n")
    for wrong, beginning in (
        ({"tls_key": str(other.key)}, "tls_certificate and tls_key do not make a pair"),
        ({"tls_certificate": str(garbage)}, "tls_certificate and tls_key do not make a pair"),
        ({"tls_key": str(authority.locked_key())}, "tls_certificate and tls_key do not make a pair"),
        ({"tls_client_ca": str(garbage)}, "tls_client_ca = "),
        ({"tls_key": str(tmp_path / "missing")}, "tls_key = "),
        ({"tls_key": ""}, "tls_key: tls_certificate will not do without it"),
    ):
        with pytest.raises(InvalidSettings) as caught:
            load({"db": "memory:"} | tls | policy | wrong, {})
        assert [problem for problem in caught.value.problems if not problem.startswith(beginning)] == []


def test_the_least_version_of_tls_is_1_2(authority: Authority, tls: dict[str, str]) -> None:
    """gRPC's own; its Python has no setting for more."""
    config = load({"db": "memory:", "listen": "127.0.0.1:0"} | tls, {})

    async def handshake(address: Address, version: ssl.TLSVersion) -> str:
        context = ssl.create_default_context(cafile=str(authority.certificate))
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # let this side take what the other shall refuse
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = version
        context.set_alpn_protocols(["h2"])
        _, writer = await asyncio.open_connection(address.host, address.port, ssl=context, server_hostname="localhost")
        found = writer.get_extra_info("ssl_object").version()
        writer.close()
        return str(found)

    async def scenario() -> None:
        async with serving(tls=config.tls) as server:
            assert server.address is not None
            for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
                assert await handshake(server.address, version) == name
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
                    await handshake(server.address, ssl.TLSVersion.TLSv1_1)
            said = getattr(caught.value, "reason", "ALERT: the connection is gone")
            assert "ALERT" in said, "the server refuses it, and not this side"

    run(scenario())


def test_only_callers_with_a_certificate_of_the_authority_are_answered(
    authority: Authority, tls: dict[str, str], policy: dict[str, str]
) -> None:
    asked = {"db": "memory:", "listen": "127.0.0.1:0", "tls_client_ca": str(authority.certificate)}
    config = load(asked | tls | policy, {})
    ca = authority.certificate.read_bytes()
    known = authority.issue("caller")
    stranger = Authority(authority.folder / "strangers").issue("caller")

    async def scenario() -> None:
        async with serving(tls=config.tls) as server:
            for shown, answered in ((known, True), (stranger, False), (None, False)):
                pair = (None, None) if shown is None else (shown.key.read_bytes(), shown.certificate.read_bytes())
                credentials = grpc.ssl_channel_credentials(ca, *pair)
                options = [("grpc.enable_http_proxy", 0), ("grpc.ssl_target_name_override", "localhost")]
                async with grpc_aio.secure_channel(str(server.address), credentials, options=options) as channel:
                    if answered:
                        assert await health(channel) == SERVING
                        continue
                    with pytest.raises(grpc_aio.AioRpcError) as caught:
                        await health(channel)
                    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    run(scenario())


def test_an_address_that_is_taken_is_an_error_with_its_reason() -> None:
    async def scenario() -> None:
        async with serving() as first:
            assert first.address is not None
            with pytest.raises(CannotListen) as caught:
                async with serving(listen=first.address):
                    raise AssertionError("two servers cannot have one port")
            assert caught.value.fields["listen"] == str(first.address)

    run(scenario())


def test_several_servers_share_a_port_when_told_to() -> None:
    async def scenario() -> None:
        async with serving(reuse_port=True) as first:
            assert first.address is not None
            async with serving(reuse_port=True, listen=first.address) as second, calling(second) as channel:
                assert await health(channel) == SERVING

    run(scenario())


def test_a_free_port_is_taken_for_port_0_and_told() -> None:
    async def scenario() -> Address | None:
        async with serving() as server:
            return server.address

    address = run(scenario())
    assert address is not None
    assert address.port > 0
    assert Config(db="memory:").listen.port != 0
