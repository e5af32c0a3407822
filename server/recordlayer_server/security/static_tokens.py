"""Static tokens, for development and for machines of one's own: a TOML file that knows their hashes.

    [[token]]
    name = "ci"
    sha256 = "9f86d081884c7d65..."    # of the token: printf %s "$TOKEN" | sha256sum
    user = "ci"                       # whose private database is its own; without it the name
    roles = ["writer"]

A caller sends `authorization: Bearer TOKEN`. The file holds no secret that would open anything; it may be replaced
while the server runs.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from recordlayer_server.security.identity import Identity

_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KNOWN = {"name", "sha256", "user", "roles"}

Tokens = Mapping[bytes, Identity]


def read_tokens(contents: Sequence[bytes]) -> Tokens:
    """Identities by the hash of their token.  Raises  ValueError that says what is wrong, and where."""
    (content,) = contents
    try:
        parsed = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not TOML: {error}") from error
    rows = parsed.pop("token", [])
    if parsed or not isinstance(rows, list):
        raise ValueError("it holds [[token]] tables and nothing else")
    found: dict[bytes, Identity] = {}
    names: set[str] = set()
    for number, row in enumerate(rows, 1):
        digest, identity = _token(row, number)
        if digest in found or identity.name in names:
            raise ValueError(f"token {number}: its name or its hash is there twice")
        found[digest] = identity
        names.add(identity.name)
    return found


def _token(row: Any, number: int) -> tuple[bytes, Identity]:
    if not isinstance(row, dict) or not row.keys() <= _KNOWN:
        raise ValueError(f"token {number}: it may have {', '.join(sorted(_KNOWN))}")
    name, digest, roles = row.get("name"), row.get("sha256"), row.get("roles", [])
    if not isinstance(name, str) or not name:
        raise ValueError(f"token {number}: it needs a name")
    if not isinstance(digest, str) or not _HASH.fullmatch(digest):
        raise ValueError(f"token {name!r}: sha256 is 64 hexadecimal digits, of the token's bytes")
    user = row.get("user", name)
    if not isinstance(user, str) or not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise ValueError(f"token {name!r}: user is a string, roles a list of strings")
    return bytes.fromhex(digest), Identity(f"token:{name}", user, frozenset(roles))


def identity_of(token: str, tokens: Tokens) -> Identity | None:
    """Whose token it is. Looked up by its hash, so how long it takes tells nothing of other tokens."""
    return tokens.get(hashlib.sha256(token.encode()).digest())
