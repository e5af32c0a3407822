"""Looking after a database file: a compact copy, and a look at everything in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from recordlayer.errors import CorruptFile, PathTaken
from recordlayer.kv.embedded.base import Base
from recordlayer.kv.embedded.base_write import VERSION
from recordlayer.kv.embedded.data_file import damages_of, is_new, resolved, sync_directory
from recordlayer.kv.embedded.disk_errors import disk_errors
from recordlayer.kv.embedded.environment import FORMAT_KEY
from recordlayer.kv.embedded.full_scan import EMPTY
from recordlayer.kv.embedded.long_keys import HEAD, ID, MARKER, NESTED, PART
from recordlayer.kv.embedded.ownership import lock_data, lock_name

_META_LENGTHS = {FORMAT_KEY: 4, VERSION: 8}


def compact(base: Base, to: str) -> None:
    """Write a copy of an open database to the new file `to`, with nothing in it but what is in use.

    The copy is of one version. Commits go on meanwhile; pages they free are kept until the copy is done, and one that
    needs the file's address space to grow waits for that.

    Raises  PathTaken, DirectoryMissing, NoPermission, DiskFull, DiskError.
    """
    to = resolved(to)
    if not is_there_nothing(to):
        raise PathTaken(path=to, hint="choose another path; nothing is overwritten")
    lock = lock_name(to)
    new = to + "-new"
    try:
        with disk_errors(to):
            descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                base.copy_to(descriptor)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(new, to)
            sync_directory(to)
    except BaseException:
        try:
            os.unlink(new)
        except FileNotFoundError:
            pass
        raise
    finally:
        lock.release()


def is_there_nothing(path: str) -> bool:
    """Whether nothing lies at `path`, in a directory that exists.  Raises  DirectoryMissing, DiskError."""
    return not os.path.lexists(path) and is_new(path)


def verify(base: Base) -> list[str]:
    """What is wrong with an open database; nothing, if all is well. The pages are read from the file, beside LMDB:
    while others commit, something may look wrong that is not, and a map that grows ends the look with a DiskError.

    Cost  reads the whole file, some ten megabytes a second. While it does, pages that commits free are kept.
    Raises  DiskError, CorruptFile.
    """
    with disk_errors(base.path), base.pinned() as txn:
        found = damages_of(base.path) if base.lies_at_its_path() else []
        # The walk through the trees trusts their pages.
        return found or list(_damages_in(base, txn))


def verify_closed(path: str) -> list[str]:
    """What is wrong with a database that nobody has open.

    Raises  EngineInUse, NotADatabase, DirectoryMissing, NoPermission, DiskError.
    """
    path = resolved(path)
    try:
        if is_new(path):
            return ["there is no database at this path"]
    except CorruptFile as error:
        return [str(error.fields["reason"])]
    locks = [lock_name(path)]
    try:
        locks.append(lock_data(path))
        try:
            found = damages_of(path)
        except CorruptFile as error:
            return [str(error.fields["reason"])]
        if found:
            return found
        base = Base(path, map_size=1 << 20, durable=False, create=False)
        try:
            return verify(base)
        finally:
            base.close()
    finally:
        for lock in reversed(locks):
            lock.release()


def _damages_in(base: Base, txn: Any) -> Iterator[str]:
    """What contradicts our own layout."""
    for key, value in txn.cursor(base.meta):
        if key != EMPTY and _META_LENGTHS.get(key) != len(value):
            yield f"tree meta: {key!r} is not ours, or its value has the wrong length"
    buckets: dict[bytes, str] = {}
    for key, value in txn.cursor(base.data):
        if len(key) == MARKER:
            yield from _marker(key, value, HEAD, f"tree data: marker {key[:20]!r}...", buckets)
    highest = txn.get(bytes(ID), b"", base.long_tree)
    held: set[bytes] = set()
    for key, value in txn.cursor(base.long_tree):
        bucket = key[:ID]
        if bucket == bytes(ID):
            if len(key) != ID:
                yield f"tree long: {key!r} is in no bucket"
            continue
        held.add(bucket)
        if len(key) == ID or len(key) > NESTED:
            yield f"tree long: a key of {len(key)} bytes in bucket {int.from_bytes(bucket, 'big')}"
        if len(key) == NESTED:
            yield from _marker(key, value, ID + PART, f"tree long: marker in {int.from_bytes(bucket, 'big')}", buckets)
    for bucket, marker in buckets.items():
        if bucket not in held:
            yield f"{marker} leads to bucket {int.from_bytes(bucket, 'big')}, which is empty"
    for bucket in sorted(held - set(buckets)):
        yield f"tree long: nothing leads to bucket {int.from_bytes(bucket, 'big')}"
    if max(held, default=b"") > highest:
        yield "tree long: a bucket has a number that was not given out yet"


def _marker(key: bytes, value: bytes, at: int, name: str, buckets: dict[bytes, str]) -> Iterator[str]:
    if key[at:] != b"\0" or len(value) != ID:
        yield f"{name} has not the form of one"
    elif value in buckets:
        yield f"{name} leads to bucket {int.from_bytes(value, 'big')}, and so does {buckets[value]}"
    else:
        buckets[value] = name
