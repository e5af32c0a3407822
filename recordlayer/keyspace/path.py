"""Paths: places in a key space, and the tuples they stand for.

A path is a chain of directories with their values. `resolve` gives the tuple that keys begin with; it reads something
only where names are interned.

Cost    none; with interned directories 1 read for each that is not cached, + what interning a new name takes
Source  Record Layer: KeySpacePath, ResolvedKeySpacePath, PathValue
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recordlayer.errors import NameNotInterned, UsageError
from recordlayer.keyspace.directory import ANY, InternedDirectory, KeySpaceDirectory
from recordlayer.tuples import SingleFloat, Subspace, pack

if TYPE_CHECKING:
    from recordlayer.kv.context import Context

Items = tuple[Any, ...]


class KeySpacePath:
    """A place in a key space. Immutable; equal where directories and values are.

    Applications derive from it to give their places methods with names of their own: see `path_class` of a directory.
    """

    __slots__ = ("directory", "parent", "value")

    def __init__(self, parent: KeySpacePath | None, directory: KeySpaceDirectory, value: Any) -> None:
        self.parent = parent
        self.directory = directory
        self.value = value

    @staticmethod
    def make(parent: KeySpacePath | None, directory: KeySpaceDirectory, value: Any = ANY) -> KeySpacePath:
        """The path to a directory with a value, as an object of the directory's `path_class`.

        Raises  WrongDirectoryValue.
        """
        return (directory.path_class or KeySpacePath)(parent, directory, directory.checked_value(value))

    def add(self, name: str, value: Any = ANY) -> KeySpacePath:
        """The place one directory further down; a constant's value may be left out.

        Raises  UnknownDirectory, WrongDirectoryValue.
        """
        return self.make(self, self.directory.child(name), value)

    def chain(self) -> list[KeySpacePath]:
        """The paths from the root to this one."""
        found: list[KeySpacePath] = []
        path: KeySpacePath | None = self
        while path is not None:
            found.append(path)
            path = path.parent
        return found[::-1]

    @property
    def is_interned(self) -> bool:
        """Whether resolving this path needs the database."""
        return any(isinstance(path.directory, InternedDirectory) for path in self.chain())

    async def resolve(self, context: Context, *, create: bool = True) -> ResolvedPath:
        """This path with the tuple it stands for. Names that are not interned yet are, in this transaction.

        create  False: a new name raises NameNotInterned instead, and nothing is written

        Raises  NameNotInterned, ResolverLocked, NamesCollide.
        """
        resolved: ResolvedPath | None = None
        for path in self.chain():
            stored, about = path.value, None
            if isinstance(path.directory, InternedDirectory):
                resolver = path.directory.resolver
                if create:
                    name = await resolver.resolve(context, path.value)
                else:
                    found = await resolver.find(context, path.value)
                    if found is None:
                        raise NameNotInterned(name=path.value, directory=path.directory.name)
                    name = found
                stored, about = name.number, name.about
            resolved = ResolvedPath(parent=resolved, path=path, stored=stored, about=about)
        assert resolved is not None, "a path has one directory at least"
        return resolved

    def items(self) -> Items:
        """The tuple of a path without interned directories.  Raises  UsageError."""
        if self.is_interned:
            raise UsageError(path=str(self), hint="names of it are interned: await resolve(transaction)")
        return tuple(path.value for path in self.chain())

    def subspace(self) -> Subspace:
        """Where the keys of a path without interned directories are.  Raises  UsageError."""
        return Subspace(self.items())

    def __str__(self) -> str:
        return "".join(f"/{path.directory.name}:{text_of(path.value)}" for path in self.chain())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __iter__(self) -> Iterator[KeySpacePath]:
        return iter(self.chain())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KeySpacePath):
            return NotImplemented
        return (
            self.directory is other.directory
            and type(self.value) is type(other.value)
            and self.value == other.value
            and self.parent == other.parent
        )

    def __hash__(self) -> int:
        return hash((id(self.directory), self.value, self.parent))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPath:
    """A path with what is stored for it.

    stored     the element of the last directory: its value, or the integer that its name is interned as
    about      bytes that are kept with an interned name; None if there are none
    remainder  what follows the path in the key it was found by; empty for a path that was resolved
    """

    parent: ResolvedPath | None
    path: KeySpacePath
    stored: Any
    about: bytes | None = None
    remainder: Items = ()

    @property
    def items(self) -> Items:
        """The tuple that the keys of this place begin with."""
        return (*(() if self.parent is None else self.parent.items), self.stored)

    @property
    def prefix(self) -> bytes:
        """The same, packed."""
        return pack(self.items)

    @property
    def subspace(self) -> Subspace:
        return Subspace(self.items)

    def __str__(self) -> str:
        text = "" if self.parent is None else str(self.parent)
        text += f"/{self.path.directory.name}:{text_of(self.path.value)}"
        if isinstance(self.path.directory, InternedDirectory):
            text += f"->{self.stored}"
        return text + "".join(f"+{text_of(item)}" for item in self.remainder)


def text_of(value: Any) -> str:
    """A value as it is shown in paths: "text", 7, true, null, 0x00FF."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "0x" + value.hex().upper()
    if isinstance(value, uuid.UUID):
        return str(value.value if isinstance(value, SingleFloat) else value)
    if isinstance(value, str):
        return f'"{value}"'
    return str(value.value if isinstance(value, SingleFloat) else value)
