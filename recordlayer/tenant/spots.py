"""Where in a tenant rows are, in words that mean the same in another database.

A spot is the way from the tenant's path to a store, or to a directory with other keys: what the directories on the way
hold, and the bytes behind the last of them. A name that is interned by a resolver outside of the tenant is written out,
and interned again where the rows come to. Names that the tenant keeps itself move with its keys; only the entries of
their reverse directory are marked, because its number is another one in each database.

Layout  a packed tuple: version 1, flags, bytes behind the directories, then one nested tuple for each directory:
        (name of the directory, packed element) or (name of the directory, interned text, bytes kept with it or null)
        flags: 1 the rows are a store's, 2 they are entries of a reverse directory
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recordlayer.errors import (
    ImportRefused,
    KeySpaceError,
    MalformedTuple,
    StreamDamaged,
    WrongDirectoryValue,
)
from recordlayer.keyspace import InternedDirectory, KeySpaceDirectory
from recordlayer.keyspace.interning.directories import ExtendedDirectoryLayer, reverse_prefix
from recordlayer.keyspace.space import child_of
from recordlayer.kv.context import Context
from recordlayer.tenant.place import TenantPlace
from recordlayer.tuples import pack, unpack, unpack_element

_VERSION = 1
_STORE, _REVERSE = 1, 2

Part = tuple[str, bytes] | tuple[str, str, bytes | None]


@dataclass(frozen=True, slots=True)
class Spot:
    """See the module.

    length  how many bytes of the tenant's keys it stands for; not part of it
    """

    parts: tuple[Part, ...] = ()
    rest: bytes = b""
    is_store: bool = False
    is_reverse: bool = False
    length: int = 0

    def packed(self) -> bytes:
        return pack((_VERSION, self.is_store * _STORE | self.is_reverse * _REVERSE, self.rest, *self.parts))

    @classmethod
    def of(cls, content: bytes) -> Spot:
        """Raises  StreamDamaged."""
        try:
            version, flags, rest, *parts = unpack(content)
        except (MalformedTuple, ValueError) as error:
            raise StreamDamaged(found="a place that is no tuple") from error
        sound = version == _VERSION and type(flags) is int and type(rest) is bytes and all(map(_is_part, parts))
        if not sound:
            raise StreamDamaged(found="a place that is not one")
        return cls(tuple(parts), rest, bool(flags & _STORE), bool(flags & _REVERSE))


def _is_part(part: Any) -> bool:
    if type(part) is not tuple or not part or type(part[0]) is not str:
        return False
    if len(part) == 2:
        return type(part[1]) is bytes
    return len(part) == 3 and type(part[1]) is str and type(part[2]) in (bytes, type(None))


class Spots:
    """The spots of one tenant.

    reverse  the prefixes of reverse directories that lie in the tenant; see `reverse_directories`
    """

    def __init__(self, place: TenantPlace, own: frozenset[int], reverse: tuple[bytes, ...]) -> None:
        self._place = place
        self._own = own
        self._reverse = reverse

    @classmethod
    async def of(cls, context: Context, place: TenantPlace) -> Spots:
        """Learn which resolvers keep their names within the tenant.  Cost  what resolving their scopes costs."""
        own: set[int] = set()
        reverse: list[bytes] = []
        for directory in _interned(place.directory):
            scope = await directory.resolver.scope_prefix(context)
            if scope and place.has(scope):
                own.add(id(directory))
                if isinstance(directory.resolver, ExtendedDirectoryLayer):
                    reverse.append(await reverse_prefix(context, scope))
        return cls(place, frozenset(own), tuple(reverse))

    # -- from keys

    async def spot_of(self, context: Context, key: bytes, *, is_store: bool = False) -> Spot:
        """The spot of a key; of the whole of it for a store, whose prefix it is then.

        Cost  1 read for each interned name that is not cached.
        """
        at = len(self._place.prefix)
        for prefix in self._reverse:
            if not is_store and key.startswith(prefix):
                spot = await self._directories(context, key, at, stop=prefix)
                return Spot(spot.parts, b"", False, True, len(prefix) - at)
        spot = await self._directories(context, key, at, stop=b"")
        if not is_store:
            return spot
        return Spot(spot.parts, key[at + spot.length :], True, False, len(key) - at)

    async def _directories(self, context: Context, key: bytes, start: int, *, stop: bytes) -> Spot:
        """As many directories as the key goes through."""
        resolved, at = self._place.resolved, start
        parts: list[Part] = []
        while resolved is not None and resolved.path.directory.children and at < (len(stop) or len(key)):
            try:
                element, behind = unpack_element(key, at)
            except MalformedTuple:
                break
            found = await child_of(context, resolved.path.directory, resolved, element)
            if found is None or (stop and not stop.startswith(key[:behind])):
                break
            directory = found.path.directory
            if isinstance(directory, InternedDirectory) and id(directory) not in self._own:
                parts.append((directory.name, found.path.value, found.about))
            else:
                parts.append((directory.name, key[at:behind]))
            resolved, at = found, behind
        return Spot(tuple(parts), length=at - start)

    # -- to keys

    async def prefix_of(self, context: Context, spot: Spot) -> bytes:
        """What the keys of a spot begin with here. Names that are new are interned.

        Raises  ImportRefused if the directories differ.
        """
        directory, prefix = self._place.directory, self._place.prefix
        for part in spot.parts:
            if directory is None or part[0] not in directory.children:
                raise ImportRefused(
                    directory=part[0],
                    below=str(self._place),
                    hint="import to a path of a key space with the directories that the tenant came from",
                )
            directory = directory.children[part[0]]
            try:
                prefix += await self._element(context, directory, part)
            except ImportRefused:
                raise
            except KeySpaceError as error:
                raise ImportRefused(directory=part[0], because=error.code, value=part[1]) from error
        if spot.is_reverse:
            return await reverse_prefix(context, prefix)
        return prefix + spot.rest

    async def _element(self, context: Context, directory: KeySpaceDirectory, part: Part) -> bytes:
        name = part[1]
        outside = isinstance(directory, InternedDirectory) and id(directory) not in self._own
        if isinstance(name, str):
            if not isinstance(directory, InternedDirectory) or not outside:
                raise ImportRefused(directory=part[0], name=name, hint="names of this directory are not interned here")
            if directory.is_constant and directory.value != name:
                raise WrongDirectoryValue(directory=part[0], value=name, constant=directory.value)
            about = part[2] if len(part) == 3 else None
            return pack(((await directory.resolver.resolve(context, name, about=about)).number,))
        if outside:
            raise ImportRefused(directory=part[0], hint="names of this directory are interned here, and were not there")
        try:
            value, end = unpack_element(name, 0)
        except MalformedTuple as error:
            raise StreamDamaged(found="an element that is none") from error
        if end != len(name):
            raise StreamDamaged(found="more than one element")
        if not isinstance(directory, InternedDirectory):
            directory.checked_value(value)
        elif type(value) is not int:
            raise WrongDirectoryValue(directory=part[0], value=value)
        return name


def _interned(directory: KeySpaceDirectory | None) -> list[InternedDirectory]:
    """The interned directories below one."""
    if directory is None:
        return []
    found: list[InternedDirectory] = []
    for child in directory.children.values():
        found += [child] if isinstance(child, InternedDirectory) else []
        found += _interned(child)
    return found
