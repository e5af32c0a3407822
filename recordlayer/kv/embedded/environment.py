"""LMDB environments as the base uses them: how one is opened, and what lies in a new one."""

from __future__ import annotations

import errno
import os
from typing import Any

import lmdb

from recordlayer.kv.embedded.ownership import share_like

FORMAT = 1
FORMAT_KEY = b"format"

_READERS = 1022  # threads that may be inside a read at once
_READERS_BYTES = (_READERS + 2) * 64
_LMDB_0_9 = 0  # whatever the environment variable of the `lmdb` package says


def environment(path: str, *, map_size: int, durable: bool, lock: bool = True) -> Any:
    return lmdb.open(
        os.fsencode(path),
        subdir=False,
        map_size=map_size,
        max_dbs=4,
        sync=durable,
        metasync=durable,
        max_readers=_READERS,
        max_spare_txns=1,
        readahead=False,
        lock=lock,
        lib_version=_LMDB_0_9,
    )


def make_room_for_readers(path: str) -> None:
    """Give LMDB's table of readers its place on the disk. It is written through a map, and who writes to a map that the
    disk has no room for is killed."""
    descriptor = os.open(path + "-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    share_like(path, descriptor)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, _READERS_BYTES)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        # A file system that cannot do it does without.
    finally:
        os.close(descriptor)


def make_trees(env: Any) -> None:
    with env.begin(write=True) as txn:
        meta = env.open_db(b"meta", txn=txn)
        env.open_db(b"data", txn=txn)
        env.open_db(b"long", txn=txn)
        txn.put(FORMAT_KEY, FORMAT.to_bytes(4, "big"), db=meta)
