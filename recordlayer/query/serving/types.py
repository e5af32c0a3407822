"""Which index types serve queries, and by which function. A type of another package has it as `serve` on its class."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from recordlayer.index.registry import offered_type
from recordlayer.query.serving.protocol import Serve

BUILT_IN = {
    "value": "by_columns:by_columns",
    "version": "by_columns:by_columns",
    "permuted_min": "by_columns:by_columns",
    "permuted_max": "by_columns:by_columns",
    "rank": "ranks:serve_rank",
    "time_window_leaderboard": "ranks:serve_leaderboard",
    "text": "text:serve",
    "multidimensional": "multidimensional:serve",
}
"""The module of this package and the function there, by the name of the type. Bitmaps have no entries of records: they
are put together by a rule of their own."""


def serving(index_type: str) -> Serve | None:
    """How indexes of a type serve queries; None if they do not, or nobody knows the type."""
    return _built_in(index_type) or getattr(offered_type(index_type), "serve", None)


@cache
def _built_in(index_type: str) -> Serve | None:
    if index_type not in BUILT_IN:
        return None
    module, _, name = BUILT_IN[index_type].partition(":")
    found: Serve = getattr(import_module(f"recordlayer.query.serving.{module}"), name)
    return found
