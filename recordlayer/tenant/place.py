"""Where a tenant is: all keys of one path, and nobody else's.

The keys are those from the path's prefix up to the prefix and ff: its tuples, whatever they are. Behind that begin the
keys of other paths, such as those of a text that goes on with a zero byte, although they begin with the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from recordlayer.errors import UsageError
from recordlayer.keyspace import KeySpaceDirectory, KeySpacePath, ResolvedPath
from recordlayer.keyspace.space import BEHIND
from recordlayer.kv.context import Context
from recordlayer.store.open import Path, store_prefix
from recordlayer.store.places import path_of
from recordlayer.tenant.marks import KEPT


@dataclass(frozen=True, slots=True)
class TenantPlace:
    """One tenant's keys.

    resolved  the path, if it is one of a key space
    """

    prefix: bytes
    resolved: ResolvedPath | None = None

    @property
    def begin(self) -> bytes:
        return self.prefix

    @property
    def end(self) -> bytes:
        return self.prefix + BEHIND

    @property
    def directory(self) -> KeySpaceDirectory | None:
        """Which directories may be below; None outside of key spaces."""
        return None if self.resolved is None else self.resolved.path.directory

    @property
    def digest(self) -> bytes:
        """8 bytes that tell its tokens from those of other tenants."""
        return hashlib.blake2b(self.prefix, digest_size=8).digest()

    def has(self, key: bytes) -> bool:
        """Whether a key is the tenant's."""
        return self.begin <= key < self.end

    def __str__(self) -> str:
        return path_of(self.prefix) if self.resolved is None else str(self.resolved.path)


async def tenant_place(context: Context, path: Path, *, create: bool = False) -> TenantPlace:
    """The place of a tenant.

    create  intern the names of the path that are new

    Cost    none; of a path with interned names, what looking them up costs.
    Raises  NameNotInterned; UsageError for a place that is not one tenant's; WrongType.
    """
    if isinstance(path, KeySpacePath):
        path = await path.resolve(context, create=create)
    resolved = path if isinstance(path, ResolvedPath) else None
    prefix = store_prefix(path) if not isinstance(path, ResolvedPath) else path.prefix
    if not prefix or KEPT.startswith(prefix) or prefix.startswith(KEPT):
        raise UsageError(path=path, hint="a tenant has a path of its own, not the whole database")
    return TenantPlace(prefix, resolved)
