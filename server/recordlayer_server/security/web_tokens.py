"""JSON web tokens: signed by an issuer whose keys are known, for this service, and not over yet.

The keys are a JWK set in a file, or behind an https address that is asked again from time to time, and at once (though
not more often than every ten seconds) when a token names a key that nobody has seen. Only signatures with a public key
are taken; a token must have `exp`, the issuer and the audience of the settings, and a `sub`, which is the user. Its
claim `roles` is a list of strings.

Needs PyJWT with cryptography: `pip install "recordlayer[server]"`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jwt

from recordlayer_server import logs
from recordlayer_server.security.identity import Identity
from recordlayer_server.security.kept_file import KeptFiles

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
MOST_KEY_BYTES = 1 << 20
MOST_TOKEN_BYTES = 16 << 10
LEEWAY = 30.0
"""Seconds by which clocks may differ."""
REMEMBERED = 4096
_SOONEST = 10.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

Keys = Mapping[str, Any]
"""Public keys by their id."""


def read_keys(contents: Sequence[bytes]) -> Keys:
    """The keys of a JWK set.  Raises  ValueError that says what is wrong."""
    (content,) = contents
    try:
        parsed = json.loads(content)
        rows = parsed["keys"]
        ids = [row.get("kid", "") for row in rows]
        keys = {name: jwt.PyJWK(row) for name, row in zip(ids, rows, strict=True) if row.get("use", "sig") == "sig"}
    except (ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise ValueError(f"not a JWK set: {error}") from error
    if not keys or len(set(ids)) != len(ids):
        raise ValueError("a JWK set needs keys, each with a `kid` of its own")
    secret = [name for name, key in keys.items() if key.algorithm_name not in ALGORITHMS]
    if secret:
        raise ValueError(f"keys {', '.join(map(repr, secret))} are not public keys for signatures: {ALGORITHMS}")
    return keys


class KeySource(Protocol):
    """Where the issuer's keys come from."""

    async def key(self, name: str) -> Any | None:
        """The key with an id, None if there is none."""


class KeysInFile:
    """A JWK set in a file that may be replaced."""

    def __init__(self, path: str, *, every: float = 1.0) -> None:
        self._kept: KeptFiles[Keys] = KeptFiles([path], read_keys, every=every)

    async def key(self, name: str) -> Any | None:
        return self._kept.value.get(name)


class KeysAtAddress:
    """A JWK set behind an address. What it held last is used while it does not answer.

    every  seconds until it is asked again
    """

    def __init__(self, address: str, *, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._every = every
        self._clock = clock
        self._keys: Keys = {}
        self._asked = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def key(self, name: str) -> Any | None:
        age = self._clock() - self._asked
        if name not in self._keys and age >= _SOONEST:
            await asyncio.shield(self._ask())
        elif name in self._keys and age >= self._every:
            self._ask()  # what is known does until the answer is there
        elif name not in self._keys and self._asking is not None:
            await asyncio.shield(self._asking)
        return self._keys.get(name)

    def _ask(self) -> asyncio.Task[None]:
        """Ask, unless somebody does already."""
        if self._asking is None or self._asking.done():
            self._asked = self._clock()
            self._asking = asyncio.create_task(self._fetch())
        return self._asking

    async def _fetch(self) -> None:
        try:
            self._keys = read_keys([await asyncio.to_thread(fetch, self._address)])
        except (OSError, ValueError) as error:
            logs.write(logs.server, logging.ERROR, "keys of web tokens are not to be had", reason=str(error))
        finally:
            self._asking = None


def judged_address(address: str) -> str:
    """The address, if keys may come from it.  Raises  ValueError."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("keys come from a file, or from an https address: whoever stands between could forge them")
    return address


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


def fetch(address: str) -> bytes:
    """What is at an address.  Raises  OSError, ValueError."""
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(judged_address(address), timeout=5) as answer:
            content: bytes = answer.read(MOST_KEY_BYTES + 1)
    except urllib.error.HTTPError as refused:
        refused.close()  # it is the answer, too, and has a connection
        raise
    if len(content) > MOST_KEY_BYTES:
        raise ValueError(f"more than {MOST_KEY_BYTES} bytes")
    return content


class WebTokens:
    """Identities of web tokens. A token that was good is remembered until it is over: its signature is checked once."""

    def __init__(self, keys: KeySource, *, issuer: str, audience: str, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._now = now
        self._known: OrderedDict[bytes, tuple[Identity, float]] = OrderedDict()

    async def identity_of(self, token: str) -> Identity | None:
        """Whose token it is; None if it is not a good one, for whatever reason."""
        if len(token) > MOST_TOKEN_BYTES:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and self._now() < known[1]:
            return known[0]
        found = await self._verified(token)
        if found is not None:
            self._known[digest] = found
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return None if found is None else found[0]

    async def _verified(self, token: str) -> tuple[Identity, float] | None:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.key(str(header.get("kid", "")))
            if key is None or header.get("alg") not in ALGORITHMS or key.algorithm_name != header["alg"]:
                return None
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "iss", "aud", "sub"], "verify_exp": False, "verify_nbf": False},
            )
            over, begins = float(claims["exp"]) + LEEWAY, float(claims.get("nbf", 0)) - LEEWAY
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            return None
        subject, roles = claims["sub"], claims.get("roles", [])
        if not isinstance(subject, str) or not subject or not begins <= self._now() < over < math.inf:
            return None
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            return None
        return Identity(f"jwt:{subject}", subject, frozenset(roles)), over
