"""Which records and rows of a store an index is kept for, beyond its own condition: the application says so when it
opens the store, for all who write to it alike. Saves, deletions, builds and checks go by it.

A filter is a function of the index and the record. It returns True: all of its rows; False: none; or a function that
says of each row, the columns of the index's expression, whether it is kept. It must be the same at every opening, and
depend on nothing but the record: entries are taken away by working them out again.

Source  Record Layer, IndexMaintenanceFilter
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recordlayer.errors import WrongType

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.metadata import Index

Row = tuple[Any, ...]
KeepRow = Callable[[Row], bool]
IndexFilter = Callable[["Index", "Message"], "bool | KeepRow"]


def kept_rows(chooses: IndexFilter, index: Index, message: Message, rows: list[Row]) -> list[Row]:
    """The rows of a record that an index is kept for.  Raises  WrongType for what a filter must not return."""
    keep = chooses(index, message)
    if keep is True:
        return rows
    if keep is False:
        return []
    if not callable(keep):
        hint = "an index filter returns True, False or a function of a row"
        raise WrongType(index=index.name, returned=keep, hint=hint)
    return [row for row in rows if keep(row)]
