"""Which index types there are: ours first, then those that installed packages offer.

A type is imported when the first index of it is used: all of them together take longer to import than the rest of what
opening a database needs.

A package offers one with an entry point in the group `recordlayer.indexes`, named as the type, that gives a class with
the shape of `index.maintainer.Maintainer` taking an `IndexSpace`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, cast

from recordlayer.errors import IndexNotSupported
from recordlayer.index.maintainer import IndexSpace, Maintainer

GROUP = "recordlayer.indexes"

BUILT_IN = {
    "value": "value:ValueIndex",
    "version": "version:VersionIndex",
    "count": "atomic:CountIndex",
    "count_updates": "atomic:CountUpdatesIndex",
    "count_not_null": "atomic:CountNotNullIndex",
    "sum": "atomic:SumIndex",
    "min_ever_long": "atomic:MinEverLongIndex",
    "max_ever_long": "atomic:MaxEverLongIndex",
    "min_ever": "atomic:MinEverIndex",
    "max_ever": "atomic:MaxEverIndex",
    "min_ever_tuple": "atomic:MinEverTupleIndex",
    "max_ever_tuple": "atomic:MaxEverTupleIndex",
    "max_ever_version": "ever_version:MaxEverVersionIndex",
    "bitmap_value": "bitmap:BitmapIndex",
    "permuted_min": "permuted:PermutedMinIndex",
    "permuted_max": "permuted:PermutedMaxIndex",
    "text": "text:TextIndex",
    "rank": "rank:RankIndex",
    "time_window_leaderboard": "leaderboard:LeaderboardIndex",
    "multidimensional": "multidimensional:MultidimensionalIndex",
}
"""The module of this package and the class there, by the name of the type."""

Make = Callable[[IndexSpace], Maintainer]


def maintainer_for(space: IndexSpace) -> Maintainer:
    """The index type of `space.index` at work.

    Raises  IndexNotSupported for a type that nothing here knows, or an index over a sliding window of records.
    """
    index = space.index
    make: Make | None = type_of(index.type)
    if make is None:
        raise IndexNotSupported(
            index=index.name,
            type=index.type,
            known=sorted({*BUILT_IN, *_offered()}),
            hint="records of its types can be read; they cannot be saved or deleted while the index is not disabled",
        )
    if index.predicate is not None and index.predicate.has_window:
        raise IndexNotSupported(index=index.name, hint="its predicate keeps a window of records: not supported")
    return make(space)


def type_of(index_type: str) -> Any:
    """What makes the maintainers of an index type: its class, as a rule. None for a type that nothing here knows."""
    return _built_in(index_type) or _offered().get(index_type)


def is_known(index_type: str) -> bool:
    """Whether indexes of this type can be maintained here."""
    return index_type in BUILT_IN or index_type in _offered()


def offered_type(index_type: str) -> Make | None:
    """What an installed package gives for a type: its class. None if none does, and for types of ours."""
    return None if index_type in BUILT_IN else _offered().get(index_type)


@cache
def _built_in(index_type: str) -> Make | None:
    if index_type not in BUILT_IN:
        return None
    module, _, name = BUILT_IN[index_type].partition(":")
    return cast(Make, getattr(import_module(f"recordlayer.index.{module}"), name))


@cache
def _offered() -> dict[str, Make]:
    from importlib import metadata  # takes tens of milliseconds, and only an unknown type asks for it

    return {point.name: point.load() for point in metadata.entry_points(group=GROUP)}
