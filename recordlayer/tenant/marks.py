"""What is kept of tenants outside of their paths, where they cannot reach it.

Layout  K is the tuple (("recordlayer", "tenants"),) packed: its only element is a nested tuple, which no directory of a
        key space can have. Behind it:
        (1, digest)          an import that is under way: its state. The digest is 16 bytes of the tenant's prefix
        (2, digest) bytes    what an import keeps back until its end, by key behind the tenant's prefix
        (3, digest)          the tenant's limits
        (4, digest)          its bucket: what may still be taken, and by whom
        (5, digest, number)  what it has used: little-endian counters
        (6, digest)          the stream that a move has brought here, until nothing of it is left where it was
"""

from __future__ import annotations

import hashlib

from recordlayer.tuples import pack

KEPT = pack((("recordlayer", "tenants"),))

_IMPORT, _STAGED, _LIMITS, _BUCKET, _USAGE, _IMPORTED = range(1, 7)


def _digest(prefix: bytes) -> bytes:
    return hashlib.blake2b(prefix, digest_size=16).digest()


def import_key(prefix: bytes) -> bytes:
    return pack((_IMPORT, _digest(prefix)), KEPT)


def imported_key(prefix: bytes) -> bytes:
    return pack((_IMPORTED, _digest(prefix)), KEPT)


def staged(prefix: bytes) -> bytes:
    """The prefix of what an import keeps back."""
    return pack((_STAGED, _digest(prefix)), KEPT)


def limits_key(prefix: bytes) -> bytes:
    return pack((_LIMITS, _digest(prefix)), KEPT)


def bucket_key(prefix: bytes) -> bytes:
    return pack((_BUCKET, _digest(prefix)), KEPT)


def usage_key(prefix: bytes, number: int) -> bytes:
    return pack((_USAGE, _digest(prefix), number), KEPT)


def probe_key(prefix: bytes) -> bytes:
    """A key that is never written: who declares a conflict with it has his reads judged."""
    return pack((0, _digest(prefix)), KEPT)
