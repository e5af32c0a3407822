"""Building an index in one transaction: for small stores. Large ones are built online, in many.

Cost    reads all records (1 range read a chunk), writes all entries
Source  Record Layer, FDBRecordStore.rebuildIndex
"""

from __future__ import annotations

from collections.abc import Iterable

from recordlayer.index.bounds import Bounds
from recordlayer.index.maintainer import Maintainer, as_checked
from recordlayer.index.registry import maintainer_for
from recordlayer.index.standard import perform
from recordlayer.index.state import IndexState
from recordlayer.metadata import Index
from recordlayer.store.marking import clear_and_mark, mark_readable_unchecked
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore


async def rebuild(store: RecordStore, index: Index) -> None:
    """Clear an index and build it over all records.

    Raises  UniquenessViolation and what else the index refuses: the transaction must not be committed then.
    """
    store.header.check_may_write()
    clear_and_mark(store, index, IndexState.WRITE_ONLY)
    mark_readable_unchecked(store, index)
    try:
        cursor = store.scan(Bounds.ALL)
        while True:
            batch = await cursor.batch()
            await index_records(store, index, batch.values)
            if batch.stop is not None:
                return
    except BaseException as error:
        store.context.doom(error)
        raise


async def index_records(store: RecordStore, index: Index, records: Iterable[StoredRecord]) -> None:
    """Write the entries of records that have none yet, to a readable index."""
    names = {known.name for known in store.metadata.record_types_of(index)}
    maintainer = maintainer_for(store.states.space(index))
    for record in records:
        if record.record_type.name in names:
            await _index(store, maintainer, record)


async def _index(store: RecordStore, maintainer: Maintainer, record: StoredRecord) -> None:
    checked = as_checked(maintainer)
    verdict = None if checked is None else checked.check(record)
    if verdict is not None:
        await verdict.settle(None)
        verdict.claim()
    perform(store.context, maintainer.prepare(None, record))
    pending = maintainer.finish(None, record)
    if pending is not None:
        await pending
