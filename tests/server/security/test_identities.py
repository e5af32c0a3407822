"""Who calls: static tokens, web tokens, certificates, and what a bad token does."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from recordlayer.errors import Unauthenticated
from recordlayer_server.security import certificates, web_tokens
from recordlayer_server.security.gate import Gate
from recordlayer_server.security.identity import ANONYMOUS, Identity
from recordlayer_server.security.kept_file import KeptFiles
from recordlayer_server.security.static_tokens import identity_of, read_tokens
from recordlayer_server.security.web_tokens import KeysAtAddress, KeysInFile, WebTokens, read_keys

NOW = 1_000_000.0
ISSUER, AUDIENCE = "https://login.example", "recordlayer"


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


TOKENS = f"""
[[token]]
name = "ci"
sha256 = "{hashed("open sesame")}"
roles = ["writer"]

[[token]]
name = "bot"
sha256 = "{hashed("beep")}"
user = "ana"
""".encode()


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


class Issuer:
    """Signs tokens, and shows its keys."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.turn("first")

    def turn(self, name: str) -> None:
        self.keys[name] = ec.generate_private_key(ec.SECP256R1())
        self.newest = name

    def key_set(self) -> bytes:
        rows = [
            json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
            | {"kid": name, "alg": "ES256", "use": "sig"}
            for name, key in self.keys.items()
        ]
        return json.dumps({"keys": rows}).encode()

    def pem(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return bytes(self.keys[self.newest].public_key().public_bytes(serialization.Encoding.PEM, form))

    def token(self, *, key: Any = None, algorithm: str = "ES256", kid: str | None = None, **claims: Any) -> str:
        usual = {"sub": "ana", "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "roles": ["writer"]}
        content = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        signer = self.keys[self.newest] if key is None else key
        headers = {"kid": self.newest if kid is None else kid}
        return jwt.encode(content, signer, algorithm=algorithm, headers=headers)


class Known:
    """Keys that are there."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    async def key(self, name: str) -> Any:
        return read_keys([self._issuer.key_set()]).get(name)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def judge(issuer: Issuer, token: str, *, now: float = NOW) -> Identity | None:
    tokens = WebTokens(Known(issuer), issuer=ISSUER, audience=AUDIENCE, now=lambda: now)
    return asyncio.run(tokens.identity_of(token))


def test_a_signed_token_names_its_subject(issuer: Issuer) -> None:
    assert judge(issuer, issuer.token()) == Identity("jwt:ana", "ana", frozenset({"writer"}))
    assert judge(issuer, issuer.token(aud=["other", AUDIENCE], roles=None)) == Identity("jwt:ana", "ana")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"exp": None},
        {"exp": NOW - 31},
        {"exp": "soon"},
        {"exp": 1e400},
        {"nbf": NOW + 31},
        {"roles": "admin"},
        {"roles": [1]},
        {"kid": "unknown"},
    ],
    ids=repr,
)
def test_a_token_that_lacks_something_names_nobody(issuer: Issuer, claims: dict[str, Any]) -> None:
    assert judge(issuer, issuer.token(**claims)) is None


def test_clocks_may_differ_a_little(issuer: Issuer) -> None:
    assert judge(issuer, issuer.token(exp=NOW - 29, nbf=NOW + 29)) is not None


def test_a_token_that_somebody_else_signed_names_nobody(issuer: Issuer) -> None:
    assert judge(issuer, issuer.token(key=ec.generate_private_key(ec.SECP256R1()))) is None
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert judge(issuer, issuer.token(key=other, algorithm="RS256")) is None
    good = issuer.token()
    assert judge(issuer, good[:-4] + "AAAA") is None
    header, _, signature = good.split(".")
    assert judge(issuer, f"{header}.{issuer.token(sub='bo').split('.')[1]}.{signature}") is None


def test_a_token_without_a_signature_or_with_a_shared_secret_names_nobody(issuer: Issuer) -> None:
    unsigned = jwt.encode({"sub": "ana"}, None, algorithm="none", headers={"kid": "first"})
    assert judge(issuer, unsigned) is None
    claims = {"sub": "ana", "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60}
    parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "first"}, claims)]
    for secret in (issuer.key_set(), issuer.pem()):  # the old trick: the public key as the secret of an HMAC
        signature = hmac.digest(secret, ".".join(parts).encode(), "sha256")
        assert judge(issuer, ".".join([*parts, encoded(signature)])) is None


@pytest.mark.parametrize("token", ["", ".", "a.b.c", "x" * 20_000, "é" * 10, "..." * 100])
def test_what_is_no_token_names_nobody(issuer: Issuer, token: str) -> None:
    assert judge(issuer, token) is None


def test_a_remembered_token_ends_when_it_is_over(issuer: Issuer) -> None:
    now = NOW
    tokens = WebTokens(Known(issuer), issuer=ISSUER, audience=AUDIENCE, now=lambda: now)
    token = issuer.token()
    assert asyncio.run(tokens.identity_of(token)) is not None
    issuer.keys.clear()
    assert asyncio.run(tokens.identity_of(token)) is not None, "its signature was checked once"
    now = NOW + 60 + 31
    assert asyncio.run(tokens.identity_of(token)) is None


def test_keys_with_a_secret_are_not_taken() -> None:
    secret = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "s", "alg": "HS256"}
    for rows in ([secret], [], [{"kty": "EC"}], "keys"):
        with pytest.raises(ValueError, match="JWK|key"):
            read_keys([json.dumps({"keys": rows}).encode()])
    with pytest.raises(ValueError, match="not a JWK set"):
        read_keys([b"<html>"])


def test_keys_in_a_file_may_turn(issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(issuer.key_set())
    keys = KeysInFile(str(file), every=0)
    assert asyncio.run(keys.key("first")) is not None
    assert asyncio.run(keys.key("second")) is None
    issuer.turn("second")
    file.write_bytes(issuer.key_set())
    assert asyncio.run(keys.key("second")) is not None


@contextmanager
def key_server(issuer: Issuer) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/keys")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * (2 << 20) if self.path == "/huge" else issuer.key_set())

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_keys_at_an_address_are_asked_again_when_a_token_names_a_new_one(issuer: Issuer) -> None:
    now = 0.0

    async def scenario(address: str, asked: list[str]) -> None:
        nonlocal now
        keys = KeysAtAddress(f"{address}/keys", every=300, clock=lambda: now)
        first = await asyncio.gather(*(keys.key("first") for _ in range(10)))
        assert all(first)
        assert len(asked) == 1, "ten at once are one question"
        issuer.turn("second")
        assert await keys.key("second") is None
        assert len(asked) == 1, "unknown names do not make it ask all the time"
        now = 11
        assert await keys.key("second") is not None
        assert len(asked) == 2
        now = 400
        assert await keys.key("second") is not None
        assert keys._asking is not None
        await keys._asking
        assert len(asked) == 3, "known ones are looked after in the background"

    with key_server(issuer) as (address, asked):
        asyncio.run(scenario(address, asked))


def test_an_address_that_fails_leaves_what_was_known(issuer: Issuer) -> None:
    now = 0.0

    async def scenario(address: str) -> None:
        nonlocal now
        keys = KeysAtAddress(f"{address}/keys", every=300, clock=lambda: now)
        assert await keys.key("first") is not None
        for path in ("/huge", "/moved"):
            keys._address = address + path
            now += 400
            assert await keys.key("other") is None
            assert await keys.key("first") is not None

    with key_server(issuer) as (address, _):
        asyncio.run(scenario(address))


@pytest.mark.parametrize(
    "address", ["http://login.example/keys", "file:///etc/passwd", "ftp://127.0.0.1/", "keys.json"]
)
def test_keys_are_not_fetched_where_others_could_forge_them(address: str) -> None:
    with pytest.raises(ValueError, match="https"):
        web_tokens.judged_address(address)


def test_static_tokens_are_found_by_their_hash() -> None:
    tokens = read_tokens([TOKENS])
    assert identity_of("open sesame", tokens) == Identity("token:ci", "ci", frozenset({"writer"}))
    assert identity_of("beep", tokens) == Identity("token:bot", "ana")
    assert identity_of("open sesame ", tokens) is None
    assert identity_of(hashed("beep"), tokens) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("token = 1", "it holds"),
        ("[[tokens]]", "it holds"),
        ("[[token]]\nsha256 = '" + hashed("a") + "'", "token 1: it needs a name"),
        ("[[token]]\nname = 'a'\nsha256 = 'secret'", "token 'a': sha256 is 64"),
        ("[[token]]\nname = 'a'\ntoken = 'secret'", "token 1: it may have"),
        (f"[[token]]\nname = 'a'\nsha256 = '{hashed('a')}'\nroles = 'x'", "token 'a': user is"),
        (f"[[token]]\nname = 'a'\nsha256 = '{hashed('a')}'\n" * 2, "token 2: its name"),
    ],
)
def test_a_token_file_that_is_wrong_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=".") as caught:
        read_tokens([text.encode()])
    assert str(caught.value).startswith(problem)


def test_a_certificate_names_the_host_it_is_for() -> None:
    one = {"x509_subject_alternative_name": [b"svc.example", b"b"], "x509_common_name": [b"common"]}
    assert certificates.identity_of(one) == Identity("certificate:svc.example", "svc.example")
    assert certificates.identity_of({"x509_common_name": [b"common"]}) == Identity("certificate:common", "common")
    assert certificates.identity_of({}) is None
    assert certificates.identity_of({"x509_common_name": [b"*"]}) is None, "a name, and no pattern for names"
    assert certificates.identity_of({"x509_common_name": [b"\xff"]}) is None


def identify(gate: Gate, *metadata: tuple[str, str], **auth_context: list[bytes]) -> Identity:
    return asyncio.run(gate.identify(metadata, auth_context))


def test_a_bad_token_refuses_whatever_else_is_shown(tmp_path: Path, issuer: Issuer) -> None:
    file = tmp_path / "tokens.toml"
    file.write_bytes(TOKENS)
    web = WebTokens(Known(issuer), issuer=ISSUER, audience=AUDIENCE, now=lambda: NOW)
    gate = Gate(tokens=KeptFiles([file], read_tokens), web_tokens=web, certificates=True)
    assert identify(gate, ("authorization", "Bearer beep")).name == "token:bot"
    assert identify(gate, ("authorization", f"bearer {issuer.token()}")).name == "jwt:ana"
    assert identify(gate, x509_common_name=[b"svc"]).name == "certificate:svc"
    assert identify(gate, ("authorization", "Bearer beep"), x509_common_name=[b"svc"]).name == "token:bot"
    texts = set()
    for shown in ("Bearer wrong", "Basic YTpi", "Bearer", "beep"):
        with pytest.raises(Unauthenticated) as caught:
            identify(gate, ("authorization", shown), x509_common_name=[b"svc"])
        texts.add(str(caught.value))
    with pytest.raises(Unauthenticated) as caught:
        identify(gate, ("authorization", "Bearer beep"), ("authorization", "Bearer beep"))
    with pytest.raises(Unauthenticated) as caught:
        identify(gate)
    assert texts == {str(caught.value)}
    assert "beep" not in str(caught.value)


def test_a_server_that_asks_nobody_knows_nobody() -> None:
    assert identify(Gate(), ("authorization", "Bearer beep")) == ANONYMOUS


def test_a_changed_file_is_taken_up_and_a_broken_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now, file = 0.0, tmp_path / "tokens.toml"
    file.write_bytes(TOKENS)
    kept = KeptFiles([file], read_tokens, clock=lambda: now)
    gate = Gate(tokens=kept)
    new = f"[[token]]\nname = 'new'\nsha256 = '{hashed('new')}'\n"
    file.write_text(new)
    with pytest.raises(Unauthenticated):
        identify(gate, ("authorization", "Bearer new"))
    now = 1.5
    assert identify(gate, ("authorization", "Bearer new")).name == "token:new"
    file.write_text("[[token")
    now = 3
    assert identify(gate, ("authorization", "Bearer new")).name == "token:new"
    file.unlink()
    now = 5
    assert identify(gate, ("authorization", "Bearer new")).name == "token:new"
    assert [line.message for line in caplog.records].count("changed files are not usable") == 2
    file.write_bytes(TOKENS)
    now = 7
    assert identify(gate, ("authorization", "Bearer beep")).name == "token:bot"
