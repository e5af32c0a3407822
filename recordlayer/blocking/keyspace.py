# Generated from recordlayer/aio/keyspace.py by tests/house/generate_blocking.py: do not edit.
"""Key spaces, interned names and directories in a transaction, in the blocking facade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recordlayer import keyspace
from recordlayer.keyspace import ANY, Directory, KeySpacePath, Listing, Name, NameResolver, ResolvedPath, ResolverState
from recordlayer.kv.context import Context
from recordlayer.waiting.drivers import run_blocking

Names = list[str]
NamesWithNumbers = list[tuple[str, Name]]


class KeySpace:
    """A key space seen by one transaction. `Transaction.key_space` gives one."""

    def __init__(self, context: Context, space: keyspace.KeySpace) -> None:
        self._context = context
        self._space = space

    def resolve(self, path: KeySpacePath, *, create: bool = True) -> ResolvedPath:
        """A path with the tuple it stands for. Names that are not interned yet are, unless `create` is false.

        Cost    1 read for each interned name that is not known here.
        Raises  NameNotInterned, ResolverLocked, NamesCollide.
        """
        return run_blocking(path.resolve(self._context, create=create))

    def path_of(self, key: bytes | tuple[Any, ...]) -> ResolvedPath:
        """The deepest path that a key lies in; what follows it is the path's `remainder`.

        Raises  NotInKeySpace; MalformedTuple for bytes that are no tuple.
        """
        return run_blocking(self._space.path_of(self._context, key))

    def list(
        self,
        path: KeySpacePath | None,
        name: str,
        *,
        limit: int = 1000,
        low: Any = ANY,
        high: Any = ANY,
        reverse: bool = False,
        snapshot: bool = False,
        continuation: bytes | None = None,
    ) -> Listing:
        """The paths of directory `name` below `path` (None: at the top) that have keys, in order, `limit` on a page.

        Cost    1 read a path.
        Raises  UnknownDirectory, WrongDirectoryValue, NameNotInterned; UsageError.
        """
        return run_blocking(
            self._space.list(
                self._context,
                path,
                name,
                limit=limit,
                low=low,
                high=high,
                reverse=reverse,
                snapshot=snapshot,
                continuation=continuation,
            )
        )


class InternedNames:
    """A resolver's names seen by one transaction. `Transaction.names` gives one."""

    def __init__(self, context: Context, resolver: NameResolver) -> None:
        self._context = context
        self._resolver = resolver

    def resolve(self, text: str) -> Name:
        """What a name is interned as; interned now if it was not.  Raises  ResolverLocked, NamesCollide, UsageError."""
        return run_blocking(self._resolver.resolve(self._context, text))

    def find(self, text: str) -> Name | None:
        """What a name is interned as, None if it is not.  Cost  1 read if it is not known here."""
        return run_blocking(self._resolver.find(self._context, text))

    def name_of(self, number: int) -> str:
        """The name that is interned as a number.  Raises  NameNotInterned."""
        return run_blocking(self._resolver.name_of(self._context, number))

    def page(self, *, after: str | None = None, limit: int = 1000) -> NamesWithNumbers:
        """Up to `limit` names behind `after`, in order.  Cost  1 range read."""
        return run_blocking(self._resolver.names(self._context, after=after, limit=limit))

    def put(self, text: str, name: Name) -> None:
        """Intern a name as a number chosen elsewhere, as when a scope is copied.  Raises  NamesDiffer."""
        run_blocking(self._resolver.put(self._context, text, name))

    def replace_about(self, text: str, about: bytes | None) -> None:
        """Keep other bytes with a name, and have every process forget the old ones, within half a minute.

        Cost    2 reads, 2 writes.
        Raises  NameNotInterned; UsageError where nothing can be changed that is kept with a name.
        """
        run_blocking(self._resolver.replace_about(self._context, text, about))

    def state(self) -> ResolverState:
        """Whether names may be interned, and the version that caches compare.  Cost  1 read."""
        return run_blocking(self._resolver.state(self._context))

    def lock(self) -> None:
        """Refuse new names from now on, in every process.  Cost  1 read, 1 write."""
        run_blocking(self._resolver.lock(self._context))

    def lock_exclusively(self) -> None:
        """The same; fails if they are refused already: of two who lock, one goes on.

        Cost  1 read, 1 write.  Raises  ResolverLocked.
        """
        run_blocking(self._resolver.lock_exclusively(self._context))

    def unlock(self) -> None:
        """Allow new names again.  Cost  1 read, 1 write."""
        run_blocking(self._resolver.unlock(self._context))

    def retire(self) -> None:
        """Refuse new names for good: these are kept elsewhere now.  Cost  1 read, 1 write."""
        run_blocking(self._resolver.retire(self._context))

    def raise_version(self) -> None:
        """Have every process forget what it knows of these names, within half a minute.  Cost  1 read, 1 write."""
        run_blocking(self._resolver.raise_version(self._context))


class DirectoryLayer:
    """A directory layer seen by one transaction. `Transaction.directories` gives one."""

    def __init__(self, context: Context, layer: keyspace.DirectoryLayer) -> None:
        self._context = context
        self._layer = layer

    def create_or_open(self, path: str | Sequence[str], *, layer: bytes = b"") -> Directory:
        """The directory at `path`, made with its parents if need be.  Raises  WrongDirectoryLayer."""
        return run_blocking(self._layer.create_or_open(self._context, path, layer=layer))

    def create(self, path: str | Sequence[str], *, layer: bytes = b"", prefix: bytes | None = None) -> Directory:
        """A new directory, with its parents if need be.  Raises  DirectoryExists, PrefixTaken, UsageError."""
        return run_blocking(self._layer.create(self._context, path, layer=layer, prefix=prefix))

    def open(self, path: str | Sequence[str], *, layer: bytes = b"") -> Directory:
        """The directory at `path`.  Raises  NoSuchDirectory, WrongDirectoryLayer."""
        return run_blocking(self._layer.open(self._context, path, layer=layer))

    def exists(self, path: str | Sequence[str]) -> bool:
        """Whether there is a directory at `path`."""
        return run_blocking(self._layer.exists(self._context, path))

    def list(self, path: str | Sequence[str] = ()) -> Names:
        """The names directly below `path`, in order.  Raises  NoSuchDirectory."""
        return run_blocking(self._layer.list(self._context, path))

    def move(self, old: str | Sequence[str], new: str | Sequence[str]) -> Directory:
        """Give a directory another path; its prefix stays, and so does everything in it.

        Raises  NoSuchDirectory, DirectoryExists; UsageError for a move into itself or out of a partition.
        """
        return run_blocking(self._layer.move(self._context, old, new))

    def remove(self, path: str | Sequence[str]) -> None:
        """Remove a directory, all below it, and their contents.  Raises  NoSuchDirectory; UsageError for the root."""
        run_blocking(self._layer.remove(self._context, path))

    def remove_if_exists(self, path: str | Sequence[str]) -> bool:
        """The same; whether there was one."""
        return run_blocking(self._layer.remove_if_exists(self._context, path))
