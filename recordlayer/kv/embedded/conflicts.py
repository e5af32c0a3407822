"""Whether a transaction that wants to commit read what others wrote since.

What was written at single keys the undo window knows, what was written over ranges `range_versions`, and both for the
members of the same group that come before, `Pending`.

Cost  a few steps for each key and each range that was read, and for a range those keys in it that were written since.
"""

from __future__ import annotations

from collections.abc import KeysView

from recordlayer.errors import Conflict, RecordLayerError, TimedOut, TooOld
from recordlayer.kv.embedded.commit_request import CommitRequest
from recordlayer.kv.embedded.database import OpenFile
from recordlayer.kv.embedded.range_set import Range
from recordlayer.kv.embedded.window import Pending


def refusal(file: OpenFile, request: CommitRequest, pending: Pending) -> RecordLayerError | None:
    """Why a request cannot be committed after those of its group that are in `pending`, or None."""
    if request.deadline is not None and file.world.clock.monotonic() >= request.deadline:
        return TimedOut()
    version = request.read_version
    if version is None or (version == file.published and not pending.undo and not pending.ranges.starts):
        return None  # nothing was written since, nor before it in its group
    if not file.readers.reads(version):
        return TooOld(read_version=version)
    conflicting: list[Range] = []
    keys = request.read_keys.keys()
    for key in keys if _may_be_written(file, keys, version, pending) else ():
        if _written(file, key, version, pending):
            conflicting.append((key, key + b"\0"))
            if not request.report:
                break
    if not conflicting or request.report:
        for begin, end in request.read_ranges:
            if _written_in(file, begin, end, version, pending):
                conflicting.append((begin, end))
                if not request.report:
                    break
    if not conflicting:
        return None
    request.conflicting = sorted(conflicting)
    return Conflict()


def _may_be_written(file: OpenFile, keys: KeysView[bytes], version: int, pending: Pending) -> bool:
    return (
        not pending.undo.keys().isdisjoint(keys)
        or bool(pending.ranges)
        or file.ranges.newest > version
        or file.window.touches(keys, version)
    )


def _written(file: OpenFile, key: bytes, version: int, pending: Pending) -> bool:
    return (
        pending.written(key)
        or file.window.written_since(key, version)
        or (file.ranges.newest > version and file.ranges.written_in(key, key + b"\0", version))
    )


def _written_in(file: OpenFile, begin: bytes, end: bytes, version: int, pending: Pending) -> bool:
    return (
        pending.written_in(begin, end)
        or file.ranges.written_in(begin, end, version)
        or file.window.written_in(begin, end, version)
    )
