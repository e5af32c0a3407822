"""A prefix under which keys are tuples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from recordlayer.errors import NotInSubspace
from recordlayer.tuples.packing import pack, pack_with_versionstamp
from recordlayer.tuples.ranges import range_of
from recordlayer.tuples.unpacking import unpack

_set = object.__setattr__


class Subspace:
    """The keys that begin with `prefix` and the packed `items`.

    Immutable; equal when the keys are. `subspace[item]` is the subspace one element further in.

    Raises, when made, as `pack`.
    """

    __slots__ = ("_key",)

    _key: bytes

    def __init__(self, items: Sequence[Any] = (), prefix: bytes = b"") -> None:
        _set(self, "_key", pack(items, prefix))

    def key(self) -> bytes:
        """The bytes that all keys of this subspace begin with."""
        return self._key

    def pack(self, items: Sequence[Any] = ()) -> bytes:
        """The key of a tuple in this subspace. Raises as `tuples.pack`."""
        return pack(items, self._key)

    def pack_with_versionstamp(self, items: Sequence[Any]) -> bytes:
        """The operand of a versionstamped key in this subspace. Raises as `tuples.pack_with_versionstamp`."""
        return pack_with_versionstamp(items, self._key)

    def unpack(self, key: bytes) -> tuple[Any, ...]:
        """The tuple of a key in this subspace.

        Raises `NotInSubspace` for a key of another, `MalformedTuple` when no tuple follows the prefix.
        """
        if not key.startswith(self._key):
            raise NotInSubspace(key=key, subspace=self._key)
        return unpack(key, len(self._key))

    def range(self, items: Sequence[Any] = ()) -> tuple[bytes, bytes]:
        """(begin, end) of the keys of tuples here that begin with `items` and are longer."""
        return range_of(items, self._key)

    def contains(self, key: bytes) -> bool:
        """Whether a key begins with this subspace's."""
        return key.startswith(self._key)

    def subspace(self, items: Sequence[Any]) -> Subspace:
        """The subspace that begins with these further items."""
        return Subspace(items, self._key)

    def __getitem__(self, item: Any) -> Subspace:
        return Subspace((item,), self._key)

    def __contains__(self, key: bytes) -> bool:
        return key.startswith(self._key)

    # Without this, __getitem__ alone would make a subspace look like an endless sequence.
    __iter__ = None

    def __bytes__(self) -> bytes:
        return self._key

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Subspace) else NotImplemented

    def __hash__(self) -> int:
        return hash((Subspace, self._key))

    def __repr__(self) -> str:
        return f"Subspace(prefix={self._key!r})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Subspace is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Subspace is immutable: cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Subspace, ((), self._key)
