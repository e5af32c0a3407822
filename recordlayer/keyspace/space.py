"""A key space: who owns which keys of a database, as a tree of directories.

`KeySpace(...)` checks the tree; `path` walks down it; `path_of` leads from a key back to the path it belongs to; `list`
finds out which values there are below a path.

    SPACE = KeySpace(
        KeySpaceDirectory("app", str, KeySpaceDirectory("user", int, KeySpaceDirectory("orders", str, value="o"))),
    )
    path = SPACE.path("app", "shop").add("user", 7).add("orders")

Source  Record Layer: KeySpace
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recordlayer.errors import MalformedTuple, NameNotInterned, NotInKeySpace, UsageError
from recordlayer.keyspace.directory import ANY, InternedDirectory, KeySpaceDirectory, KeyType
from recordlayer.keyspace.path import KeySpacePath, ResolvedPath
from recordlayer.kv.context import Context
from recordlayer.kv.engine import StreamingMode
from recordlayer.tuples import pack, unpack, unpack_element

Items = tuple[Any, ...]

BEHIND = b"\xff"
"""Behind a packed element: the end of all tuples that begin with it. What follows is other elements, such as the text
that goes on with a zero byte."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of paths, and where the next one begins: None if there are no more."""

    paths: list[ResolvedPath]
    continuation: bytes | None


class KeySpace:
    """A tree of directories. Immutable; nothing of it is stored.

    Raises  InvalidDirectory for directories that could not be told apart.
    """

    def __init__(self, *directories: KeySpaceDirectory) -> None:
        self.root = KeySpaceDirectory("root", KeyType.NULL, *directories)

    def path(self, name: str, value: Any = ANY) -> KeySpacePath:
        """The place of a directory at the top.  Raises  UnknownDirectory, WrongDirectoryValue."""
        return KeySpacePath.make(None, self.root.child(name), value)

    # -- from keys back to paths

    async def path_of(self, context: Context, key: bytes | Items) -> ResolvedPath:
        """The deepest path that a key lies in; what follows it is the path's `remainder`.

        Cost    1 read for each interned directory whose name is not cached
        Raises  NotInKeySpace; MalformedTuple for bytes that are no tuple.
        """
        items = unpack(key) if isinstance(key, bytes) else tuple(key)
        if not items:
            raise UsageError(key=key, hint="an empty key lies in no directory")
        return await self._path_of(context, items, depth=len(items))

    async def _path_of(self, context: Context, items: Items, *, depth: int) -> ResolvedPath:
        resolved: ResolvedPath | None = None
        directory = self.root
        for at in range(depth):
            found = await child_of(context, directory, resolved, items[at])
            if found is None:
                break
            resolved, directory = found, found.path.directory
        else:
            at = depth
        if resolved is None or (at < depth and not directory.is_leaf):
            raise NotInKeySpace(
                key=items,
                element=items[at],
                below="the root" if resolved is None else str(resolved.path),
                known=sorted(directory.children),
            )
        return ResolvedPath(
            parent=resolved.parent,
            path=resolved.path,
            stored=resolved.stored,
            about=resolved.about,
            remainder=items[at:],
        )

    # -- what there is

    async def list(
        self,
        context: Context,
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
        """The paths of a directory below `path` (None: at the top) that have keys, in the order of their elements.

        limit       paths on a page
        low, high   bounds on the directory's values, both inclusive; not for names, which have no order when interned

        Cost    1 read a path, + those of `path.resolve`
        Raises  UnknownDirectory, WrongDirectoryValue, UsageError.
        """
        if type(limit) is not int or limit < 1:
            raise UsageError(limit=limit, hint="give a number of at least 1")
        directory = (self.root if path is None else path.directory).child(name)
        parent = None if path is None else await path.resolve(context, create=False)
        prefix = b"" if parent is None else parent.prefix
        begin, end = await self._bounds(context, directory, prefix, low, high)
        if continuation is not None:
            after = _element_at(prefix, prefix + continuation)
            if reverse:
                end = min(end, prefix + after)
            else:
                begin = max(begin, prefix + after + BEHIND)
        found: list[ResolvedPath] = []
        last = b""
        while begin < end:
            chunk = await context.get_range(
                begin, end, limit=1, reverse=reverse, snapshot=snapshot, mode=StreamingMode.EXACT
            )
            if not chunk.rows:
                return Listing(found, None)
            if len(found) == limit:
                return Listing(found, last)
            last = _element_at(prefix, chunk.rows[0][0])
            child = await self._listed(context, directory, parent, unpack(last)[0])
            if child is not None:
                found.append(child)
            if reverse:
                end = prefix + last
            else:
                begin = prefix + last + BEHIND
        return Listing(found, None)

    async def _listed(
        self, context: Context, directory: KeySpaceDirectory, parent: ResolvedPath | None, element: Any
    ) -> ResolvedPath | None:
        """The path of an element, if it is one of `directory` and not of another of the same type beside it."""
        siblings = self.root if parent is None else parent.path.directory
        found = await child_of(context, siblings, parent, element)
        return found if found is not None and found.path.directory is directory else None

    @staticmethod
    async def _bounds(
        context: Context, directory: KeySpaceDirectory, prefix: bytes, low: Any, high: Any
    ) -> tuple[bytes, bytes]:
        kind = directory.key_type
        bounded = low is not ANY or high is not ANY
        if bounded and (directory.is_constant or isinstance(directory, InternedDirectory)):
            raise UsageError(directory=directory.name, low=low, high=high, hint="it has no order of values")
        if directory.is_constant:
            constant: Any = directory.value
            if isinstance(directory, InternedDirectory):
                name = await directory.resolver.find(context, constant)
                if name is None:
                    return b"", b""
                constant = name.number
            only = pack((constant,), prefix)
            return only, only + BEHIND
        begin = prefix + kind.low if low is ANY else pack((directory.checked_value(low),), prefix)
        end = prefix + kind.high if high is ANY else pack((directory.checked_value(high),), prefix) + BEHIND
        return begin, end

    def __str__(self) -> str:
        return "\n".join(str(directory) for directory in self.root.children.values())


async def child_of(
    context: Context, directory: KeySpaceDirectory, parent: ResolvedPath | None, element: Any
) -> ResolvedPath | None:
    """The path of an element below a directory, whose own path is `parent`; None if it belongs to none there.

    Cost  1 read for an interned name that is not cached.
    """
    above = None if parent is None else parent.path
    for child in directory.children.values():
        if not child.key_type.holds(element):
            continue
        if isinstance(child, InternedDirectory):
            try:
                text = await child.resolver.name_of(context, element)
            except NameNotInterned:
                continue
            if child.is_constant and text != child.value:
                continue
            name = await child.resolver.find(context, text)
            path = KeySpacePath.make(above, child, text)
            return ResolvedPath(parent=parent, path=path, stored=element, about=None if name is None else name.about)
        if child.is_constant and element != child.value:
            continue
        return ResolvedPath(parent=parent, path=KeySpacePath.make(above, child, element), stored=element)
    return None


def _element_at(prefix: bytes, key: bytes) -> bytes:
    """The bytes of the first element behind a prefix."""
    try:
        _, end = unpack_element(key, len(prefix))
    except MalformedTuple as error:
        raise NotInKeySpace(key=key, below=prefix, hint="what follows is no element of a tuple") from error
    return key[len(prefix) : end]
