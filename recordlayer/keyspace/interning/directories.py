"""Names kept where FoundationDB's directory layer keeps its directories.

Layout  B: the scope's prefix; N = B fe; R = N pack((N,)), the root node
        R(0, name) -> content prefix, pack((number,)) or pack((number, about)); content prefix: nothing, fd in a scope
        R("hca", 0 and 1): the allocator; N(-10): the state
        B pack((e, number)) -> pack((name,)): the reverse directory; e is the number of the directory recdb_rd_cache
Source  Record Layer: ExtendedDirectoryLayer, ScopedDirectoryLayer, FDBReverseDirectoryCache
"""

from __future__ import annotations

from recordlayer.errors import CorruptName, MalformedTuple, NamesDiffer, UsageError
from recordlayer.keyspace.allocation import allocate_for
from recordlayer.keyspace.directory_layer import DirectoryLayer
from recordlayer.keyspace.interning.cache import Name, NameCache
from recordlayer.keyspace.interning.resolver import STATE_ITEM, NameResolver, Place, text_in
from recordlayer.kv.context import Context
from recordlayer.tuples import Subspace, pack, unpack

REVERSE_DIRECTORY = "recdb_rd_cache"


class ExtendedDirectoryLayer(NameResolver):
    """Names as the entries of a directory layer that has no directories: shared with ScopedDirectoryLayer's readers."""

    layout = "directories"

    __slots__ = ()

    def place(self, scope: bytes) -> Place:
        nodes = scope + b"\xfe"
        root = Subspace((nodes,), nodes)
        allocator = root[b"hca"]
        return Place(scope, root[0], allocator[0], allocator[1], pack(STATE_ITEM, nodes))

    def decode(self, stored: bytes) -> Name:
        try:
            items = unpack(stored, 1 if stored.startswith(b"\xfd") else 0)
        except MalformedTuple as error:
            raise CorruptName(value=stored, hint="a packed number is expected") from error
        if not 1 <= len(items) <= 2 or type(items[0]) is not int or type(items[-1]) not in (int, bytes):
            raise CorruptName(value=stored, hint="a number, or a number and bytes, are expected")
        return Name(items[0], items[1] if len(items) == 2 else None)

    async def create(self, context: Context, place: Place, text: str, about: bytes | None) -> Name:
        number = await allocate_for(context, place.counters, place.allocations, pack((text,)), at_root=not place.scope)
        name = Name(number, about)
        context.set(place.mapping.pack((text,)), _encode(place, name))
        await put_reverse(context, place, text, number)
        return name

    async def force(self, context: Context, place: Place, text: str, name: Name) -> None:
        context.set(place.mapping.pack((text,)), _encode(place, name))
        context.set(place.allocations.pack((name.number,)), pack((text,)))
        await put_reverse(context, place, text, name.number)

    async def read_reverse(self, context: Context, place: Place, number: int) -> str | None:
        return await read_reverse(context, place, number)

    async def has_read(self, context: Context, place: Place, text: str, name: Name) -> None:
        await put_reverse(context, place, text, name.number)


class ScopedDirectoryLayer(ExtendedDirectoryLayer):
    """Names as directories of a directory layer, which bindings in other languages can open. Keeps nothing with a name
    but its number."""

    __slots__ = ()

    async def create(self, context: Context, place: Place, text: str, about: bytes | None) -> Name:
        if about is not None:
            raise UsageError(name=text, about=about, hint="directories keep nothing with a name: use another resolver")
        contents = _content_prefix(place)
        made = await DirectoryLayer(place.scope + b"\xfe", contents).create_or_open(context, text)
        number: int = unpack(made.prefix, len(contents))[0]
        await put_reverse(context, place, text, number)
        return Name(number)

    async def force(self, context: Context, place: Place, text: str, name: Name) -> None:
        raise UsageError(
            name=text, number=name.number, hint="a directory's number cannot be chosen: use another resolver"
        )


def _content_prefix(place: Place) -> bytes:
    return b"\xfd" if place.scope else b""


def _encode(place: Place, name: Name) -> bytes:
    return pack((name.number,) if name.about is None else (name.number, name.about), _content_prefix(place))


# -- the reverse directory


async def read_reverse(context: Context, place: Place, number: int) -> str | None:
    """The name of a number, as the reverse directory has it. Read without conflicts: it never changes.

    Cost  1 read.
    """
    stored = await context.get(await _reverse_key(context, place, number), snapshot=True)
    return None if stored is None else text_in(stored)


async def put_reverse(context: Context, place: Place, text: str, number: int) -> None:
    """Enter a name in the reverse directory, if it is not there.  Cost  1 read.  Raises  NamesDiffer."""
    key = await _reverse_key(context, place, number)
    stored = await context.get(key, snapshot=True)
    if stored is None:
        context.set(key, pack((text,)))
    elif text_in(stored) != text:
        raise NamesDiffer(name=text, number=number, number_means=text_in(stored))


async def reverse_prefix(context: Context, scope: bytes) -> bytes:
    """What the entries of a scope's reverse directory begin with."""
    return pack((await _reverse_directory(context),), scope)


async def _reverse_key(context: Context, place: Place, number: int) -> bytes:
    return pack((number,), await reverse_prefix(context, place.scope))


async def _reverse_directory(context: Context) -> int:
    cache = None if context.shared is None else context.shared.of(NameCache)
    if cache is not None and cache.reverse_directory is not None:
        return cache.reverse_directory
    opened = await DirectoryLayer().create_or_open(context, REVERSE_DIRECTORY)
    number: int = unpack(opened.prefix)[0]
    if cache is not None:

        async def learn() -> None:
            cache.reverse_directory = number

        context.after_commit(learn)
    return number


GLOBAL = ExtendedDirectoryLayer()
"""The names of the whole database, as Java keeps them unless told otherwise."""
