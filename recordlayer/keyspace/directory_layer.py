"""FoundationDB's directory layer: names in a tree, each with a short prefix of its own that a move does not change.

Byte for byte what the bindings write, on every engine, so that programs in any language share directories.

Layout  below the node subspace (fe): the root node R is the node of the node subspace's own key; node(prefix) holds
        (0, name) -> a child's prefix, and "layer"; R also "version" and "hca", the allocator of prefixes
Cost    2 reads for each name of a path, 1 for the version; creating: + about 6 reads, 5 writes for each new directory
Source  FoundationDB, bindings/python/fdb/directory_impl.py; the documentation of the directory layer
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from recordlayer.errors import (
    DirectoryExists,
    NewerDirectoryLayer,
    NoSuchDirectory,
    PrefixTaken,
    UsageError,
    WrongDirectoryLayer,
    WrongType,
)
from recordlayer.keyspace.allocation import allocate_directory
from recordlayer.kv.context import Context
from recordlayer.kv.engine import StreamingMode
from recordlayer.tuples import Subspace, pack, prefix_range, strinc

Path = tuple[str, ...]
Names = list[str]
Children = list[tuple[str, bytes]]

PARTITION = b"partition"
"""The layer of a directory that holds a whole directory layer of its own."""

_SUBDIRECTORIES = 0
_VERSION = (1, 0, 0)


@dataclass(frozen=True, slots=True)
class Directory:
    """An open directory: its path, the bytes that its keys begin with, and the layer it was made for."""

    path: Path
    prefix: bytes
    layer: bytes

    @property
    def subspace(self) -> Subspace:
        """Where its keys are.  Raises  UsageError for a partition: its own keys are its directories'."""
        if self.layer == PARTITION:
            raise UsageError(directory=self.path, hint="open a directory in the partition; it has no keys of its own")
        return Subspace(prefix=self.prefix)


@dataclass(frozen=True, slots=True)
class _Node:
    """What a path leads to. `path` is shorter than what was looked for if a partition was met on the way."""

    path: Path
    prefix: bytes | None
    layer: bytes


class DirectoryLayer:
    """Directories below `nodes`, with contents below `contents`. Holds nothing: make as many as you like.

    manual_prefixes  allow `create` to be given a prefix
    """

    def __init__(
        self,
        nodes: bytes = b"\xfe",
        contents: bytes = b"",
        *,
        manual_prefixes: bool = False,
        path: Path = (),
    ) -> None:
        self.path = path
        self._nodes = Subspace(prefix=nodes)
        self._contents = contents
        self._manual = manual_prefixes
        self._root = self._nodes[nodes]

    # -- what callers do

    async def create_or_open(self, context: Context, path: str | Sequence[str], *, layer: bytes = b"") -> Directory:
        """The directory at `path`, made with its parents if need be.  Raises  WrongDirectoryLayer."""
        return await self._open(context, names_of(path), layer, None, may_create=True, may_open=True)

    async def open(self, context: Context, path: str | Sequence[str], *, layer: bytes = b"") -> Directory:
        """The directory at `path`.  Raises  NoSuchDirectory, WrongDirectoryLayer."""
        return await self._open(context, names_of(path), layer, None, may_create=False, may_open=True)

    async def create(
        self, context: Context, path: str | Sequence[str], *, layer: bytes = b"", prefix: bytes | None = None
    ) -> Directory:
        """A new directory, with its parents if need be.

        Raises  DirectoryExists; PrefixTaken for a given prefix that overlaps another; UsageError for one where prefixes
                are given out.
        """
        return await self._open(context, names_of(path), layer, prefix, may_create=True, may_open=False)

    async def exists(self, context: Context, path: str | Sequence[str] = ()) -> bool:
        """Whether there is a directory at `path`."""
        await self._check_version(context, writes=False)
        names = names_of(path)
        node = await self._find(context, names)
        if node.prefix is None:
            return False
        inside = self._partition(node, names)
        return True if inside is None else await inside.exists(context, names[len(node.path) :])

    async def list(self, context: Context, path: str | Sequence[str] = ()) -> Names:
        """The names directly below `path`, in order.  Raises  NoSuchDirectory."""
        await self._check_version(context, writes=False)
        names = names_of(path)
        node = await self._existing(context, names)
        inside = self._partition(node, names, at_its_root=True)
        if inside is not None:
            return await inside.list(context, names[len(node.path) :])
        return [name for name, _ in await self._children(context, self._node(node.prefix))]

    async def move(self, context: Context, old: str | Sequence[str], new: str | Sequence[str]) -> Directory:
        """Give a directory another path. Its prefix stays, and so does everything in it.

        Raises  NoSuchDirectory for the old one or the new one's parent; DirectoryExists; UsageError for a move into
                itself or out of a partition.
        """
        await self._check_version(context, writes=True)
        source, target = names_of(old), names_of(new)
        if not source:
            raise UsageError(path=source, hint="the root cannot be moved")
        if target[: len(source)] == source:
            raise UsageError(source=source, target=target, hint="a directory cannot be moved into itself")
        node, there = await self._existing(context, source), await self._find(context, target)
        inside, other = self._partition(node, source), self._partition(there, target)
        if inside is not None or other is not None:
            if inside is None or other is None or node.path != there.path:
                raise UsageError(source=source, target=target, hint="a directory cannot leave its partition")
            return await inside.move(context, source[len(node.path) :], target[len(there.path) :])
        if there.prefix is not None:
            raise DirectoryExists(path=target, hint="remove it first, or choose another name")
        parent = await self._existing(context, target[:-1])
        assert node.prefix is not None, "it exists"
        context.set(self._child_key(self._node(parent.prefix), target[-1]), node.prefix)
        await self._remove_from_parent(context, source)
        return Directory(self.path + target, node.prefix, node.layer)

    async def remove(self, context: Context, path: str | Sequence[str]) -> None:
        """Remove a directory, all below it, and their contents.  Raises  NoSuchDirectory; UsageError for the root."""
        if not await self.remove_if_exists(context, path):
            raise NoSuchDirectory(path=names_of(path))

    async def remove_if_exists(self, context: Context, path: str | Sequence[str]) -> bool:
        """The same; whether there was one."""
        await self._check_version(context, writes=True)
        names = names_of(path)
        if not names:
            raise UsageError(path=names, hint="the root cannot be removed")
        node = await self._find(context, names)
        if node.prefix is None:
            return False
        inside = self._partition(node, names)
        if inside is not None:
            return await inside.remove_if_exists(context, names[len(node.path) :])
        await self._remove_all(context, node.prefix)
        await self._remove_from_parent(context, names)
        return True

    # -- opening

    async def _open(
        self, context: Context, names: Path, layer: bytes, prefix: bytes | None, *, may_create: bool, may_open: bool
    ) -> Directory:
        await self._check_version(context, writes=False)
        if prefix is not None and not self._manual:
            raise UsageError(prefix=prefix, hint="prefixes are given out here; a layer with manual_prefixes takes one")
        if not names:
            raise UsageError(path=names, hint="the root is not opened; name a directory")
        node = await self._find(context, names)
        if node.prefix is not None:
            inside = self._partition(node, names)
            if inside is not None:
                rest = names[len(node.path) :]
                return await inside._open(context, rest, layer, prefix, may_create=may_create, may_open=may_open)
            if not may_open:
                raise DirectoryExists(path=names, hint="open it, or choose another name")
            if layer and node.layer != layer:
                raise WrongDirectoryLayer(path=names, layer=node.layer, expected=layer)
            return Directory(self.path + names, node.prefix, node.layer)
        if not may_create:
            raise NoSuchDirectory(path=names, hint="create it, or look at the names with list()")
        await self._check_version(context, writes=True)
        prefix = await self._new_prefix(context) if prefix is None else await self._given_prefix(context, prefix)
        parent = self._root
        if len(names) > 1:
            above = await self._open(context, names[:-1], b"", None, may_create=True, may_open=True)
            parent = self._node(above.prefix)
        context.set(self._child_key(parent, names[-1]), prefix)
        context.set(self._node(prefix).pack((b"layer",)), layer)
        return Directory(self.path + names, prefix, layer)

    async def _new_prefix(self, context: Context) -> bytes:
        allocator = self._root[b"hca"]
        prefix = self._contents + pack((await allocate_directory(context, allocator[0], allocator[1]),))
        strangers = await context.get_range(*prefix_range(prefix), limit=1, mode=StreamingMode.EXACT)
        if strangers.rows or not await self._is_free(context, prefix, snapshot=True):
            raise PrefixTaken(prefix=prefix, hint="keys that no directory owns begin with it: try again")
        return prefix

    async def _given_prefix(self, context: Context, prefix: bytes) -> bytes:
        if type(prefix) is not bytes:
            raise WrongType(argument="prefix", value=prefix, hint="give bytes")
        if not await self._is_free(context, prefix, snapshot=False):
            raise PrefixTaken(prefix=prefix, hint="choose one that neither begins another's nor begins with it")
        return prefix

    async def _is_free(self, context: Context, prefix: bytes, *, snapshot: bool) -> bool:
        """Whether no directory's prefix begins with `prefix`, or `prefix` with one."""
        nodes = self._nodes
        if not prefix or prefix.startswith(nodes.key()):
            return False
        begin, end = nodes.range()[0], nodes.pack((prefix,)) + b"\x00"
        before = await context.get_range(begin, end, limit=1, reverse=True, snapshot=snapshot, mode=StreamingMode.EXACT)
        if before.rows and prefix.startswith(nodes.unpack(before.rows[0][0])[0]):
            return False
        within = nodes.pack((prefix,)), nodes.pack((strinc(prefix),))
        return not (await context.get_range(*within, limit=1, snapshot=snapshot, mode=StreamingMode.EXACT)).rows

    # -- nodes

    def _node(self, prefix: bytes | None) -> Subspace:
        return self._root if prefix is None or prefix == self._nodes.key() else self._nodes[prefix]

    @staticmethod
    def _child_key(node: Subspace, name: str) -> bytes:
        return node.pack((_SUBDIRECTORIES, name))

    async def _find(self, context: Context, names: Path) -> _Node:
        prefix, layer = self._nodes.key(), b""
        for depth, name in enumerate(names, 1):
            found = await context.get(self._child_key(self._node(prefix), name))
            if found is None:
                return _Node(names[:depth], None, b"")
            prefix, layer = found, await context.get(self._node(found).pack((b"layer",))) or b""
            if layer == PARTITION:
                return _Node(names[:depth], prefix, layer)
        return _Node(names, prefix, layer)

    async def _existing(self, context: Context, names: Path) -> _Node:
        node = await self._find(context, names)
        if node.prefix is None:
            raise NoSuchDirectory(path=names, missing=node.path[-1])
        return node

    def _partition(self, node: _Node, names: Path, *, at_its_root: bool = False) -> DirectoryLayer | None:
        """The directory layer that the rest of a path is for, if a partition was met on the way."""
        if node.prefix is None or node.layer != PARTITION or (len(node.path) == len(names) and not at_its_root):
            return None
        return DirectoryLayer(node.prefix + b"\xfe", node.prefix, path=self.path + node.path)

    async def _children(self, context: Context, node: Subspace) -> Children:
        below = node[_SUBDIRECTORIES]
        return [(below.unpack(key)[0], prefix) for key, prefix in await context.read_all(*below.range())]

    async def _remove_from_parent(self, context: Context, names: Path) -> None:
        parent = await self._existing(context, names[:-1])
        context.clear(self._child_key(self._node(parent.prefix), names[-1]))

    async def _remove_all(self, context: Context, prefix: bytes) -> None:
        node = self._node(prefix)
        for _, below in await self._children(context, node):
            await self._remove_all(context, below)
        context.clear_stores(*prefix_range(prefix))
        context.clear_range(*node.range())

    async def _check_version(self, context: Context, *, writes: bool) -> None:
        key = self._root.pack((b"version",))
        stored = await context.get(key)
        if stored is None:
            if writes:
                context.set(key, struct.pack("<III", *_VERSION))
            return
        if len(stored) != 12:
            raise NewerDirectoryLayer(stored=stored, hint="this is no version of a directory layer")
        major, minor, _ = struct.unpack("<III", stored)
        if major > _VERSION[0] or (writes and minor > _VERSION[1]):
            raise NewerDirectoryLayer(
                stored=f"{major}.{minor}", known="1.0", hint="another program made it with a newer directory layer"
            )


def names_of(path: str | Sequence[str]) -> Path:
    """A path as a tuple of names.  Raises  WrongType."""
    if isinstance(path, str):
        return (path,)
    if isinstance(path, (tuple, list)) and all(type(name) is str for name in path):
        return tuple(path)
    raise WrongType(path=path, hint="a path is a name, or a tuple of names")
