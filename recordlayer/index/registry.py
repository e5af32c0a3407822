"""Which index types there are: ours first, then those that installed packages offer.

A package offers one with an entry point in the group `recordlayer.indexes`, named as the type, that gives a class with
the shape of `index.maintainer.Maintainer` taking an `IndexSpace`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from recordlayer.errors import IndexNotSupported
from recordlayer.index import atomic
from recordlayer.index.bitmap import BitmapIndex
from recordlayer.index.ever_version import MaxEverVersionIndex
from recordlayer.index.leaderboard import LeaderboardIndex
from recordlayer.index.maintainer import IndexSpace, Maintainer
from recordlayer.index.multidimensional import MultidimensionalIndex
from recordlayer.index.permuted import PermutedMaxIndex, PermutedMinIndex
from recordlayer.index.rank import RankIndex
from recordlayer.index.text import TextIndex
from recordlayer.index.value import ValueIndex
from recordlayer.index.version import VersionIndex

GROUP = "recordlayer.indexes"

BUILT_IN: tuple[type[Maintainer], ...] = (
    ValueIndex,
    VersionIndex,
    atomic.CountIndex,
    atomic.CountUpdatesIndex,
    atomic.CountNotNullIndex,
    atomic.SumIndex,
    atomic.MinEverLongIndex,
    atomic.MaxEverLongIndex,
    atomic.MinEverIndex,
    atomic.MaxEverIndex,
    atomic.MinEverTupleIndex,
    atomic.MaxEverTupleIndex,
    MaxEverVersionIndex,
    BitmapIndex,
    PermutedMinIndex,
    PermutedMaxIndex,
    TextIndex,
    RankIndex,
    LeaderboardIndex,
    MultidimensionalIndex,
)

_BY_TYPE: dict[str, Callable[[IndexSpace], Maintainer]] = {built_in.type: built_in for built_in in BUILT_IN}


def maintainer_for(space: IndexSpace) -> Maintainer:
    """The index type of `space.index` at work.

    Raises  IndexNotSupported for a type that nothing here knows, or an index over a sliding window of records.
    """
    index = space.index
    make = _BY_TYPE.get(index.type) or _offered().get(index.type)
    if make is None:
        raise IndexNotSupported(
            index=index.name,
            type=index.type,
            known=sorted({*_BY_TYPE, *_offered()}),
            hint="records of its types can be read; they cannot be saved or deleted while the index is not disabled",
        )
    if index.predicate is not None and index.predicate.has_window:
        raise IndexNotSupported(index=index.name, hint="its predicate keeps a window of records: not supported")
    return make(space)


def is_known(index_type: str) -> bool:
    """Whether indexes of this type can be maintained here."""
    return index_type in _BY_TYPE or index_type in _offered()


@cache
def _offered() -> dict[str, Callable[[IndexSpace], Maintainer]]:
    from importlib import metadata  # takes tens of milliseconds, and only an unknown type asks for it

    return {point.name: point.load() for point in metadata.entry_points(group=GROUP)}
