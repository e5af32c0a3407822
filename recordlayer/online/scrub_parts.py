"""What a scrub walks over, and where it notes how far it is.

Layout  `index.build_notes`: a range set for each part
Source  Record Layer: IndexingRangeSet.forScrubbingRecords, forScrubbingIndex
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recordlayer.errors import IndexNotReadable, IndexNotSupported
from recordlayer.index import build_notes
from recordlayer.index.judging import Judging, Recounting
from recordlayer.index.maintainer import Maintainer
from recordlayer.index.range_set import RangeSet
from recordlayer.metadata import Index
from recordlayer.online.stamp import build_prefix
from recordlayer.store.store import RecordStore


@dataclass(frozen=True, slots=True)
class Part:
    """What is walked over: the pairs of an index that begin with a prefix, or the records if that is None. (For what is
    counted again the groups.) `notes` is where the range set lies, behind the notes of the index."""

    notes: bytes
    prefix: bytes | None


def judging(store: RecordStore, index: Index) -> Maintainer:
    """The type at work on an index that can be scrubbed.  Raises  IndexNotReadable, IndexNotSupported."""
    state = store.states.of(index)
    maintainer = store.upkeep.maintainer(index)
    if not state.is_readable or maintainer is None:
        raise IndexNotReadable(index=index.name, state=state.name, hint="scrub it when it is built")
    counted_again = isinstance(maintainer, Recounting) and maintainer.follows_from_records
    if not isinstance(maintainer, Judging) and not counted_again:
        raise IndexNotSupported(
            index=index.name,
            type=index.type,
            hint="it cannot be judged part by part: store.check() judges what follows from the records, as a whole",
        )
    return maintainer


def parts_of(store: RecordStore, index: Index, scrub_id: int) -> list[Part]:
    """The parts of an index, in their order: its pairs, then the records."""
    maintainer = judging(store, index)
    if not isinstance(maintainer, Judging):
        return [Part(build_notes.scrubbed_entries(scrub_id), None)]
    first, *more = maintainer.judged
    parts = [Part(build_notes.scrubbed_entries(scrub_id), first)]
    parts += [Part(build_notes.scrubbed_more(scrub_id, place), prefix) for place, prefix in enumerate(more)]
    return [*parts, Part(build_notes.scrubbed_records(scrub_id), None)]


def ranges_of(store: RecordStore, index: Index, part: Part) -> RangeSet:
    """What of a part was looked at."""
    return RangeSet(store.context, build_prefix(store, index) + part.notes)


def forget(store: RecordStore, indexes: Sequence[Index], scrub_id: int) -> None:
    """Forget what was looked at."""
    for index in indexes:
        for part in parts_of(store, index, scrub_id):
            prefix = build_prefix(store, index) + part.notes
            store.context.clear_range(prefix + b"\x00", prefix + b"\xff")
