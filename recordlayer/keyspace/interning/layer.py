"""Names in a layout of their own, with both directions side by side.

Layout  L: the scope's prefix; fc for the whole database
        L(0, window): counters; L(1, number) -> pack((name,)); L(2, name) -> Data; L(-10): the state
Source  Record Layer: ScopedInterningLayer, StringInterningLayer
"""

from __future__ import annotations

from recordlayer.errors import CorruptName, NameNotInterned
from recordlayer.keyspace.allocation import allocate_for
from recordlayer.keyspace.interning.cache import Name
from recordlayer.keyspace.interning.resolver import STATE_ITEM, NameResolver, Place, text_in
from recordlayer.kv.context import Context
from recordlayer.pb.parsing import PARSE_ERRORS
from recordlayer.pb.string_interning_data_pb2 import Data
from recordlayer.tuples import Subspace, pack


class ScopedInterningLayer(NameResolver):
    """Names below a path, with nothing outside it."""

    layout = "interning"

    __slots__ = ()

    def place(self, scope: bytes) -> Place:
        base = Subspace(prefix=scope or b"\xfc")
        return Place(scope, base[2], base[0], base[1], base.pack(STATE_ITEM))

    def decode(self, stored: bytes) -> Name:
        try:
            data = Data.FromString(stored)
        except PARSE_ERRORS as error:
            raise CorruptName(value=stored, hint="a message of string_interning_data.proto is expected") from error
        return Name(data.internedValue, data.metadata if data.HasField("metadata") else None)

    async def create(self, context: Context, place: Place, text: str, about: bytes | None) -> Name:
        number = await allocate_for(context, place.counters, place.allocations, pack((text,)), at_root=not place.scope)
        name = Name(number, about)
        context.set(place.mapping.pack((text,)), _encode(name))
        return name

    async def force(self, context: Context, place: Place, text: str, name: Name) -> None:
        context.set(place.mapping.pack((text,)), _encode(name))
        context.set(place.allocations.pack((name.number,)), pack((text,)))

    async def read_reverse(self, context: Context, place: Place, number: int) -> str | None:
        stored = await context.get(place.allocations.pack((number,)))
        return text_in(stored) if stored and stored != b"\xfd" else None

    async def replace_about(self, context: Context, text: str, about: bytes | None) -> None:
        """Keep other bytes with a name, and have every process forget the old ones.

        Raises  NameNotInterned.
        """
        place = await self._place(context)
        key = place.mapping.pack((text,))
        stored = await context.get(key)
        if stored is None:
            raise NameNotInterned(name=text, scope=place.scope)
        context.set(key, _encode(self.decode(stored)._replace(about=about)))
        await self.raise_version(context)


def _encode(name: Name) -> bytes:
    data = Data(internedValue=name.number)
    if name.about is not None:
        data.metadata = name.about
    return data.SerializeToString(deterministic=True)
