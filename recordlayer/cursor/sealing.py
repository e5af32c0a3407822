"""Sealed continuations: what leaves the program and comes back can be neither read nor changed, nor used elsewhere.

    seal = ContinuationSeal({"2024": secret}, lifetime=timedelta(hours=1))
    page = store.query(asked, limit=50, seal=seal)
    token = page.continuation                                   give it to whoever asked
    page = store.query(asked, limit=50, resume=token, seal=seal)

A seal is bound to the store (its place is the tenant), to the name of its key and to a time. Keys are exchanged by
adding a new one and making it current; the old one stays until its continuations have expired.

Layout  protos/continuation.proto, SealedContinuation: AES-SIV, which needs no random numbers to be safe
Source  RFC 5297
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields, number_field
from recordlayer.cursor.step import Batch, Cursor
from recordlayer.errors import BadContinuation, ExpiredContinuation, LibraryMissing, UsageError, WrongType

T = TypeVar("T")

FORM = 1
_LABEL = b"recordlayer continuation"
_KEY_BYTES = (32, 48, 64)
EXPIRED = "it has expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """For whom a continuation is sealed, and when.

    name  of the tenant: the key prefix of its store
    now   seconds since 1970
    """

    name: bytes
    now: float


class ContinuationSeal:
    """Keys by name, each of 32, 48 or 64 bytes; one of them is current.

    lifetime  how long a continuation may be used; None for ever

    Raises  UsageError, WrongType; LibraryMissing without the `encryption` extra.
    """

    __slots__ = ("_ciphers", "_current", "_lifetime")

    def __init__(
        self, keys: Mapping[str, bytes], *, current: str | None = None, lifetime: timedelta | None = None
    ) -> None:
        if not isinstance(keys, Mapping) or not keys:
            raise WrongType(argument="keys", type=type(keys).__name__, hint='give secrets by name: {"2024": secret}')
        if lifetime is not None and (not isinstance(lifetime, timedelta) or lifetime <= timedelta(0)):
            raise UsageError(lifetime=lifetime, hint="give a datetime.timedelta above zero, or None")
        for name, key in keys.items():
            if not isinstance(name, str) or not isinstance(key, bytes):
                raise WrongType(key=name, hint="names are strings, and keys are bytes")
            if len(key) not in _KEY_BYTES:
                raise UsageError(key=name, bytes=len(key), hint="an AES-SIV key has 32, 48 or 64 bytes")
        self._ciphers = {name: _cipher(key) for name, key in keys.items()}
        if current is None and len(keys) > 1:
            raise UsageError(keys=sorted(keys), hint="say which of them is current")
        self._current = next(iter(keys)) if current is None else current
        if self._current not in keys:
            raise UsageError(current=current, keys=sorted(keys), hint="the current key is one of them")
        self._lifetime = lifetime

    def seal(self, continuation: bytes, tenant: Tenant) -> bytes:
        """A continuation that `open` alone can read."""
        expires = None if self._lifetime is None else int(tenant.now + self._lifetime.total_seconds()) + 1
        plain = encode_fields({1: expires, 2: continuation})
        name = self._current
        sealed = self._ciphers[name].encrypt(plain, [_LABEL, name.encode(), tenant.name])
        return encode_fields({1: FORM, 2: name.encode(), 3: sealed})

    def open(self, sealed: bytes, tenant: Tenant) -> bytes:
        """The continuation that was sealed.

        Raises  BadContinuation for one that was made or changed by somebody else, or belongs to another tenant;
                ExpiredContinuation for one whose time is over, or whose key is gone.
        """
        fields = decode_fields(sealed, known=3)
        name, text = bytes_field(fields, 2), bytes_field(fields, 3)
        if number_field(fields, 1) != FORM or name is None or text is None:
            raise BadContinuation(reason="it is not sealed", hint="resume with what a page with a seal has given")
        cipher = self._ciphers.get(name.decode("utf-8", "replace"))
        if cipher is None:
            raise ExpiredContinuation(reason="its key is not among the keys of the seal")
        try:
            plain = cipher.decrypt(text, [_LABEL, name, tenant.name])
        except Exception as error:  # cryptography raises InvalidTag, or ValueError for what is too short
            raise BadContinuation(reason="its seal is broken, or another store's") from error
        inner = decode_fields(plain, known=2)
        expires, continuation = inner.get(1), bytes_field(inner, 2)
        if isinstance(expires, int) and tenant.now >= expires:
            raise ExpiredContinuation(reason=EXPIRED)
        return continuation or b""

    def __repr__(self) -> str:
        return f"<ContinuationSeal with the keys {', '.join(sorted(self._ciphers))}, current {self._current}>"


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV
    except ImportError as error:
        raise LibraryMissing(library="cryptography", hint="pip install 'recordlayer[encryption]'") from error
    return AESSIV(key)


class Sealed:
    """A seal at work for one tenant at one time; without a seal, continuations pass as they are."""

    __slots__ = ("_seal", "_tenant")

    def __init__(self, seal: ContinuationSeal | None, tenant: Tenant) -> None:
        if seal is not None and not isinstance(seal, ContinuationSeal):
            raise WrongType(argument="seal", type=type(seal).__name__, hint="make a ContinuationSeal")
        self._seal = seal
        self._tenant = tenant

    def opened(self, continuation: bytes | None) -> bytes | None:
        """A continuation as it came in.  Raises  BadContinuation."""
        if continuation is None or self._seal is None:
            return continuation
        return self._seal.open(continuation, self._tenant)

    def closed(self, continuation: bytes) -> bytes:
        """A continuation as it goes out."""
        return continuation if self._seal is None else self._seal.seal(continuation, self._tenant)

    def around(self, cursor: Cursor[T]) -> Cursor[T]:
        """The same cursor with sealed continuations."""
        return cursor if self._seal is None else _SealedCursor(cursor, self._seal, self._tenant)


class _SealedCursor(Cursor[T]):
    """A cursor whose continuations are sealed when they are asked for."""

    __slots__ = ("_seal", "_source", "_tenant")

    def __init__(self, source: Cursor[T], seal: ContinuationSeal, tenant: Tenant) -> None:
        self._source = source
        self._seal = seal
        self._tenant = tenant

    def start(self) -> None:
        self._source.start()

    def expect_all(self) -> None:
        self._source.expect_all()

    async def batch(self) -> Batch[T]:
        batch = await self._source.batch()
        seal, tenant, inner = self._seal, self._tenant, batch.resume

        def end() -> bytes | None:
            return None if batch.end is None else seal.seal(batch.end, tenant)

        return Batch(batch.values, lambda index: seal.seal(inner(index), tenant), batch.stop, end)
