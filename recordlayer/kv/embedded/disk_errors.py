"""LMDB's and the operating system's errors as ours, with the cause kept."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import lmdb

from recordlayer.errors import (
    CorruptFile,
    DiskError,
    DiskFull,
    EngineError,
    MapFull,
    NewerFile,
    NoPermission,
    NotADatabase,
)

_PERMIT = "give this user write permission, or choose another path"
_LITTLE_ROOM = 1 << 20


@contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Translates the errors of a block that works on the file `path`."""
    try:
        yield
    except (lmdb.Error, OSError) as error:
        raise engine_error(error, path) from error


def engine_error(error: BaseException, path: str) -> EngineError:
    """Our error for one of LMDB's or of the operating system's."""
    if isinstance(error, EngineError):
        return error
    if isinstance(error, lmdb.MapFullError):
        return MapFull(path=path)
    if isinstance(error, lmdb.VersionMismatchError):
        return NewerFile(path=path, reason=str(error))
    if isinstance(error, lmdb.InvalidError):
        return NotADatabase(path=path, hint="choose another path; the file was not touched")
    if isinstance(error, (lmdb.CorruptedError, lmdb.PageNotFoundError)):
        return CorruptFile(
            path=path, reason=str(error), hint="restore it from a copy; `compact` of an intact file makes one"
        )
    if isinstance(error, lmdb.MemoryError):
        return MapFull(
            path=path,
            reason="the system gives no more address space",
            hint="raise its limit (ulimit -v), or open with a smaller map_size; the store is as it was before",
        )
    number = (error.errno if isinstance(error, OSError) else getattr(error, "code", None)) or 0
    if number in (errno.ENOSPC, errno.EDQUOT) or (number == errno.EIO and _no_room(path)):
        return DiskFull(path=path)
    if number == errno.EFBIG:
        return DiskFull(path=path, reason=os.strerror(number), hint="raise the limit on the size of files")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        beside = getattr(error, "filename", None)  # one of the files beside the data may be the one
        return forbidden(os.fsdecode(beside) if beside else path, number)
    reason = os.strerror(number) if number > 0 else str(error)
    return DiskError(path=path, reason=reason, hint="look at the disk; the store is as it was before")


def forbidden(path: str, number: int) -> NoPermission:
    return NoPermission(path=path, reason=os.strerror(number), hint=_PERMIT)


def _no_room(path: str) -> bool:
    """Whether little room is left, on the disk or in what this process may write to one file. LMDB reports a write that
    was cut short as an error of the disk."""
    try:
        most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if most != resource.RLIM_INFINITY and os.stat(path).st_size + _LITTLE_ROOM > most:
            return True
        space = os.statvfs(os.path.dirname(path) or ".")
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < _LITTLE_ROOM
