"""Fields of records as plain tuples: from index entries straight, no message in between, where these have them as they
are; else read from the messages.

Cost  no reads
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from recordlayer.index.page import EntryPage
from recordlayer.query.evaluate import resolve
from recordlayer.query.grouping import reader
from recordlayer.query.plan.covering import CoveredPage
from recordlayer.query.predicate import Path
from recordlayer.store.record import StoredRecord
from recordlayer.store.record_page import messages_of

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor

Items = tuple[Any, ...]


class Values:
    """What gives the values of some fields of records: None for one that is not set, its default for one without
    presence, the number of an enum."""

    __slots__ = ("_from_messages", "_paths")

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._paths = paths
        self._from_messages: dict[str, Callable[[Any], Items]] = {}

    def of(self, records: Sequence[StoredRecord]) -> list[Items]:
        """The values of each record, in the order in which the fields are asked for."""
        if isinstance(records, CoveredPage):
            found = _of_entries(records, self._paths)
            if found is not None:
                return found
        messages = messages_of(records)
        return [self._read(message.DESCRIPTOR)(message) for message in messages]

    def _read(self, kind: Descriptor) -> Callable[[Any], Items]:
        read = self._from_messages.get(kind.full_name)
        if read is None:
            readers = [reader(resolve(path, kind)) for path in self._paths]

            def read_all(message: Any) -> Items:
                return tuple([one(message) for one in readers])

            read = self._from_messages[kind.full_name] = read_all
        return read


def _of_entries(page: CoveredPage, paths: tuple[Path, ...]) -> list[Items] | None:
    """None where entries do not have the values as they are, or not the usual bytes."""
    entries = page.entries
    if not isinstance(entries, EntryPage) or entries.is_made:
        return None
    rows = page.reader.tuples(paths)
    return None if rows is None else rows(entries.pairs, entries.start)
