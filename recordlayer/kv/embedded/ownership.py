"""Who owns a database file.

One process does. It holds two locks of the system, which go with it however it ends:

    on the data file   so that a file counts by device and inode and not by name: hard links, files moved while open
    on PATH-owner      so that a name counts too: LMDB finds its lock file by name, and two data files must not share
                       one when the first was moved away while open

PATH-owner holds the owner's process number, for the others' error text. It goes when the owner closes the file.
"""

from __future__ import annotations

import fcntl
import os
import stat
from dataclasses import dataclass

from recordlayer.errors import EngineInUse
from recordlayer.kv.embedded.disk_errors import disk_errors, forbidden

_LOCKS = "/proc/locks"  # Linux; elsewhere the owner of a moved file stays unnamed
_HINT = "close it there, or share it through the service; one process owns a file"
_MOVED_HINT = (
    "the file that had this name was moved while this process had it open: close that database before opening another "
    "under its old name"
)


@dataclass(slots=True)
class Lock:
    """A lock of the system, held until `release`."""

    descriptor: int
    note: str | None = None  # a file that goes with the lock

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode of the file that is locked."""
        status = os.fstat(self.descriptor)
        return status.st_dev, status.st_ino

    def release(self) -> None:
        if self.descriptor >= 0:
            if self.note is not None:
                try:
                    os.unlink(self.note)
                except OSError:
                    pass  # only a note: the lock decides
            self.close()

    def close(self) -> None:
        """Let go of the descriptor only: what a forked child does, whose parent goes on."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def lock_name(path: str) -> Lock:
    """The right to use the name `path`.  Raises  EngineInUse, NoPermission, DiskFull, DiskError."""
    note = path + "-owner"
    while True:
        descriptor = _open(note, path, os.O_RDWR | os.O_CREAT)
        if not _try_lock(descriptor):
            os.close(descriptor)
            owner = _noted(note)
            raise EngineInUse(path=path, owner_pid=owner, hint=_MOVED_HINT if owner == os.getpid() else _HINT)
        if _is_still(note, descriptor):
            break
        os.close(descriptor)  # its last owner removed it between our opening and our locking
    share_like(path, descriptor)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    except OSError:
        pass  # others see no number then (a full disk must not keep its databases shut); the lock holds all the same
    return Lock(descriptor, note)


def share_like(path: str, descriptor: int) -> None:
    """Give a file beside the data the data's rights: who may use the one must be able to use the other."""
    try:
        os.fchmod(descriptor, stat.S_IMODE(os.stat(path).st_mode) & 0o666)
    except OSError:
        pass  # there is no data yet, or the file is another user's, who gave it its rights


def lock_data(path: str) -> Lock:
    """The right to use the data file at `path`, which exists.  Raises  EngineInUse, NoPermission, DiskError."""
    descriptor = _open(path, path, os.O_RDWR)
    if not _try_lock(descriptor):
        owner = _holder(descriptor)
        os.close(descriptor)
        raise EngineInUse(path=path, owner_pid=owner, hint=_HINT)
    return Lock(descriptor)


def _open(name: str, path: str, flags: int) -> int:
    try:
        return os.open(name, flags | os.O_CLOEXEC, 0o644)
    except PermissionError as error:
        raise forbidden(name, error.errno or 0) from error
    except OSError:
        with disk_errors(path):
            raise


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_still(name: str, descriptor: int) -> bool:
    try:
        named, held = os.stat(name), os.fstat(descriptor)
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def _noted(note: str) -> int | None:
    try:
        with open(note) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _holder(descriptor: int) -> int | None:
    """The process that holds the lock on a file, as far as the system says."""
    status = os.fstat(descriptor)
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        with open(_LOCKS) as locks:
            for line in locks:
                words = line.split()
                if len(words) > 5 and words[1] == "FLOCK" and words[5] == wanted:
                    return int(words[4])
    except (OSError, ValueError):
        pass
    return None
