"""Which records an index that is being built has seen already, and so which part of a change is its writer's to make.

A build that has been at a record has written its entries; one that has not will do so. What must not be applied twice
is applied by exactly one of the two. Where a build is, it says in points: packed primary keys, or for a build that goes
by another index the keys of that index.

Layout  6 range set of the index; what its points are says the stamp of the build (`index.build_notes`)
Cost    2 reads; a change that moves a record in the index that is gone by 1 more
Source  Record Layer, StandardIndexMaintainer.updateWriteOnlyByRecords and updateWriteOnlyByIndex
"""

from __future__ import annotations

from recordlayer.errors import IndexNotSupported
from recordlayer.index import build_notes
from recordlayer.index.maintainer import IndexedRecord, IndexSpace
from recordlayer.index.range_set import RangeSet
from recordlayer.keys import KeyWithValue, trim_primary_key
from recordlayer.pb.index_build_pb2 import IndexBuildIndexingStamp
from recordlayer.tuples import pack

_RANGES = 6
_BY_PRIMARY_KEY = ("BY_RECORDS", "MULTI_TARGET_BY_RECORDS", "MUTUAL_BY_RECORDS")

Part = tuple[IndexedRecord | None, IndexedRecord | None]
"""What an index shall know before and after: nothing of what its build has yet to come to."""


async def built_part(space: IndexSpace, old: IndexedRecord | None, new: IndexedRecord | None) -> Part:
    """The part of a change that concerns what the build of an index has been at. The commit conflicts with a build that
    gets there meanwhile.

    Raises  IndexNotSupported for builds of a kind that is not known here, or by an index that is not.
    """
    record = new if new is not None else old
    if space.building or record is None:
        return old, new
    ranges = RangeSet(space.context, space.space(_RANGES))
    stamp = await _stamp(space)
    name = "BY_RECORDS" if stamp is None else IndexBuildIndexingStamp.Method.Name(stamp.method)
    if name in _BY_PRIMARY_KEY:
        return (old, new) if await ranges.contains(record.stored_key_bytes) else (None, None)
    if stamp is None or name != "BY_INDEX":
        raise IndexNotSupported(
            index=space.index.name, method=name, hint="its build is of an unknown kind: save again when it has ended"
        )
    source = None if space.siblings is None else space.siblings(stamp.source_index_subspace_key)
    if source is None:
        raise IndexNotSupported(
            index=space.index.name,
            source=stamp.source_index_subspace_key,
            hint="it is being built by an index that these metadata do not have: save again when that has ended",
        )
    before = None if old is None else source_point(source, old)
    after = None if new is None else source_point(source, new)
    was_built = before is not None and await ranges.contains(before)
    if before == after:
        return (old, new) if was_built else (None, None)
    is_built = after is not None and await ranges.contains(after)
    return old if was_built else None, new if is_built else None


async def goes_by_index(space: IndexSpace) -> bool:
    """Whether an index is being built by another one.  Cost  1 read."""
    stamp = await _stamp(space)
    return stamp is not None and stamp.method == IndexBuildIndexingStamp.BY_INDEX


def source_point(source: IndexSpace, record: IndexedRecord) -> bytes | None:
    """Where a build that goes by an index finds a record: the key of its entry there; None if it has none."""
    predicate, root = source.index.predicate, source.index.root_expression
    if predicate is not None and predicate.decide(record.message) is not True:
        return None
    rows = source.functions.rows(type(record.message))(record.message, record.key_context)
    if len(rows) != 1:
        return None
    columns = rows[0][: root.split_point] if isinstance(root, KeyWithValue) else rows[0]
    return pack((*columns, *trim_primary_key(record.primary_key, source.index.primary_key_positions)))


async def _stamp(space: IndexSpace) -> IndexBuildIndexingStamp | None:
    return await build_notes.stamp_at(space.context, space.space(build_notes.KEYSPACE), index=space.index.name)
