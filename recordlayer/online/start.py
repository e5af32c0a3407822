"""Beginning a build, or going on with one: what the states and stamps that are found allow.

Cost    2 reads and 3 writes an index
Source  Record Layer: IndexingBase.handleStateAndDoBuildIndexAsync, setIndexingTypeOrThrow
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from recordlayer.errors import BuildMismatch, BuildRefused, IndexNotSupported
from recordlayer.index.range_set import FIRST, LAST
from recordlayer.index.state import IndexState
from recordlayer.metadata import Index
from recordlayer.metadata.metadata import starts_with_record_type
from recordlayer.online.options import Action, BuildPolicy
from recordlayer.online.over_index import check_source
from recordlayer.online.share import range_set_of
from recordlayer.online.stamp import (
    Method,
    check_not_blocked,
    method_of,
    read_stamp,
    same_build,
    source_in,
    stamp_by_index,
    stamp_for,
    write_stamp,
)
from recordlayer.pb.index_build_pb2 import IndexBuildIndexingStamp as Stamp
from recordlayer.store.marking import clear_and_mark, mark_readable
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack


@dataclass(frozen=True, slots=True)
class Begun:
    """What is to be built now.

    targets  in the order of their names, marked and stamped
    resumed  whether any of them had been begun before
    stamp    how they are built
    source   the index that the build goes by, None if it goes over the records
    """

    targets: list[Index]
    resumed: bool = False
    stamp: Stamp = field(default_factory=Stamp)
    source: Index | None = None


async def begin(
    store: RecordStore, indexes: Sequence[Index], policy: BuildPolicy, *, mutual: bool, source: str | None = None
) -> Begun:
    """Find out which of these indexes are to be built, mark and stamp them.

    A build of one index that was begun by another index goes on so, whether the caller names that or not.

    Raises  BuildRefused, BuildMismatch, BuildBlocked, SourceUnsuitable, IndexNotSupported; IndexNotBuilt,
            UniquenessViolation for what was to be marked readable.
    """
    store.header.check_may_write()
    targets, fresh = [], set[str]()
    for index in sorted(indexes, key=lambda index: index.name):
        state = store.states.of(index)
        match _action(policy, state):
            case Action.ERROR:
                raise BuildRefused(index=index.name, state=state.name, hint="the policy of this build says so")
            case Action.MARK_READABLE:
                await mark_readable(store, index, unique_pending=policy.unique_pending)
                continue
            case Action.CONTINUE if state.is_readable:
                continue
            case Action.REBUILD:
                fresh.add(index.name)
            case _ if state is IndexState.DISABLED:
                fresh.add(index.name)
        if state is IndexState.WRITE_ONLY_WITH_QUEUE:
            raise IndexNotSupported(
                index=index.name, state=state.name, hint="writes to it wait in a queue: finish this build with Java"
            )
        targets.append(index)
    if not targets:
        return Begun(targets)
    by = None if source is None else store.metadata.index(source)
    if by is None and len(targets) == 1 and not mutual and policy.takeover and targets[0].name not in fresh:
        there = await read_stamp(store, targets[0])
        by = None if there is None else source_in(store, there)
    if by is not None:
        check_source(store, targets[0], by)
        ours = stamp_by_index(by)
    else:
        method = Method.MUTUAL if mutual else Method.BY_RECORDS if len(targets) == 1 else Method.MULTI_TARGET
        ours = stamp_for(method, targets)
    resumed = await _stamp(store, targets, fresh, policy, ours)
    return Begun(targets, resumed, ours, by)


def _action(policy: BuildPolicy, state: IndexState) -> Action:
    if state.is_readable:
        return policy.readable
    return policy.disabled if state is IndexState.DISABLED else policy.write_only


async def _stamp(store: RecordStore, targets: list[Index], fresh: set[str], policy: BuildPolicy, ours: Stamp) -> bool:
    resumed = False
    complete = set[str]()
    for index in targets:
        if index.name not in fresh:
            there = await read_stamp(store, index)
            check_not_blocked(store, index, there)
            empty = await range_set_of(store, index).is_empty()
            if empty:
                pass  # whatever way it was to be built in, nothing was done
            elif same_build(there, ours) or (policy.takeover and _may_take_over(there, ours)):
                resumed = True
            elif ours.method == Stamp.MUTUAL_BY_RECORDS and not await range_set_of(store, index).missing(limit=1):
                complete.add(index.name)  # the others are finishing: some of their indexes are readable already
            elif policy.mismatch is Action.REBUILD:
                fresh.add(index.name)
            else:
                raise BuildMismatch(
                    index=index.name,
                    begun=_words(there),
                    asked=_words(ours),
                    hint="build it as it was begun, or with BuildPolicy(mismatch=Action.REBUILD)",
                )
    if fresh and len(fresh) < len(targets) and await _any_built(store, targets, fresh):
        raise BuildMismatch(
            begun=sorted({index.name for index in targets} - fresh),
            not_begun=sorted(fresh),
            hint="indexes of one build go on together: build them apart, or rebuild all",
        )
    for index in targets:
        if index.name in fresh:
            clear_and_mark(store, index, IndexState.WRITE_ONLY)
        if index.name not in complete:
            write_stamp(store, index, ours)
    if ours.method != Stamp.BY_INDEX and not resumed and not complete:
        await _leave_out_other_types(store, targets)
    return resumed


async def _leave_out_other_types(store: RecordStore, targets: list[Index]) -> None:
    """Where all primary keys concerned begin with their record type, what lies before the first of these types and
    behind the last needs no look.

    Source  Record Layer, IndexingCommon.computeRecordsRange
    """
    types = {known.name: known for index in targets for known in store.metadata.stored_types_of(index)}
    if not types or not all(starts_with_record_type(known.primary_key) for known in types.values()):
        return
    keys = sorted(pack((known.record_type_key,)) for known in types.values())
    for index in targets:
        ranges = range_set_of(store, index)
        await ranges.insert(FIRST, keys[0])
        await ranges.insert(keys[-1] + b"\xff", LAST)


async def _any_built(store: RecordStore, targets: list[Index], fresh: set[str]) -> bool:
    for index in targets:
        if index.name not in fresh and not await range_set_of(store, index).is_empty():
            return True
    return False


def _may_take_over(there: Stamp | None, ours: Stamp) -> bool:
    """A build of several indexes or workers may be finished for one of its indexes alone; one by records may be joined
    by others."""
    before = Method.BY_RECORDS if there is None else method_of(there)
    now = method_of(ours)
    if now is Method.BY_RECORDS:
        return before in (Method.MULTI_TARGET, Method.MUTUAL)
    return now is Method.MUTUAL and before is Method.BY_RECORDS and len(ours.targetIndex) == 1


def _words(stamp: Stamp | None) -> str:
    method = Method.BY_RECORDS if stamp is None else method_of(stamp)
    names = ", ".join(stamp.targetIndex) if stamp is not None else ""
    return method.name.lower().replace("_", " ") + (f" of {names}" if names else "")
