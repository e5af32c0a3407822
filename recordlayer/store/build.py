"""Building an index in one transaction: for small stores. Large ones are built online, in many.

Layout  notes as of any build (`index.build_notes`), which stay afterwards
Cost    reads all records (1 range read a chunk), writes all entries
Source  Record Layer, FDBRecordStore.rebuildIndex
"""

from __future__ import annotations

from collections.abc import Sequence

from recordlayer.index import build_notes
from recordlayer.index.bounds import Bounds
from recordlayer.index.maintainer import IndexedRecord, Maintainer, as_bringing, as_checked
from recordlayer.index.registry import maintainer_for
from recordlayer.index.state import IndexState
from recordlayer.index.tidying import Tidying
from recordlayer.kv.engine import MutationType
from recordlayer.kv.mutations import perform
from recordlayer.metadata import Index
from recordlayer.pb.index_build_pb2 import IndexBuildIndexingStamp
from recordlayer.store.layout import Keyspace
from recordlayer.store.marking import clear_and_mark, mark_readable_unchecked
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore
from recordlayer.store.synthesis import indexed_records
from recordlayer.tuples import pack

_BY_RECORDS = IndexBuildIndexingStamp(method=IndexBuildIndexingStamp.BY_RECORDS).SerializeToString()


async def rebuild(store: RecordStore, index: Index) -> None:
    """Clear an index and build it over all records.

    Raises  UniquenessViolation and what else the index refuses: the transaction must not be committed then.
    """
    store.header.check_may_write()
    clear_and_mark(store, index, IndexState.WRITE_ONLY)
    mark_readable_unchecked(store, index)
    scanned = 0
    try:
        cursor = store.scan(Bounds.ALL)
        while True:
            batch = await cursor.batch()
            await index_records(store, index, batch.values)
            scanned += len(batch.values)
            if batch.stop is not None:
                maintainer = store.upkeep.maintainer(index)
                if isinstance(maintainer, Tidying):
                    await maintainer.tidy()
                note_build(store, index, scanned)
                return
    except BaseException as error:
        store.context.doom(error)
        raise


def note_build(store: RecordStore, index: Index, scanned: int) -> None:
    """Leave behind what Java's builds in one transaction do: how they went, and how many records they have read."""
    build = pack((index.subspace_key,), store.layout.of(Keyspace.INDEX_BUILDS))
    store.context.atomic(MutationType.ADD, build + build_notes.SCANNED, scanned.to_bytes(8, "little"))
    store.context.set(build + build_notes.STAMP, _BY_RECORDS)


async def build_records(store: RecordStore, index: Index, records: Sequence[StoredRecord]) -> int:
    """Write the entries of records that a build has come to, to an index that is being built. How many of them the
    index is about. That they are built must be noted by the caller, in the range set.

    Equal values of a unique index are noted as violations.
    """
    about = await indexed_records(store, index, records)
    return await _index_all(store, maintainer_for(store.states.space(index, building=True)), about)


async def index_records(
    store: RecordStore, index: Index, records: Sequence[StoredRecord], *, complete: bool = False
) -> None:
    """Write the entries of records that have none yet, to a readable index. `complete`: they are all there are."""
    about = await indexed_records(store, index, records, complete=complete)
    await _index_all(store, maintainer_for(store.states.space(index)), about)


async def _index_all(store: RecordStore, maintainer: Maintainer, about: Sequence[IndexedRecord]) -> int:
    context, checked = store.context, as_checked(maintainer)
    bringing = as_bringing(maintainer)
    if bringing is not None:
        perform(context, bringing.bring(about))
        return len(about)
    prepare, finish = maintainer.prepare, maintainer.finish
    for record in about:
        verdict = None if checked is None else checked.check(record)
        if verdict is not None:
            await verdict.settle(None)
            verdict.claim()
        perform(context, prepare(None, record))
        pending = finish(None, record)
        if pending is not None:
            await pending
    return len(about)
