"""The open files of this process: shared by all who open them, closed by the last, dead after a fork.

Around a fork nobody is inside LMDB, so that the child can free its copies of the handles without touching what it
shares with its parent, and may open the file itself once the parent has closed it. If a call does not end in time
(a disk that hangs), the child keeps its copies, dead, and cannot open that file.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass

from recordlayer.errors import EngineError, OpenedBeforeFork, OpenedDifferently, RecordLayerError
from recordlayer.kv.embedded import data_file
from recordlayer.kv.embedded.base import Base
from recordlayer.kv.embedded.commit import Committer
from recordlayer.kv.embedded.database import Handle, OpenFile
from recordlayer.kv.embedded.disk_errors import disk_errors
from recordlayer.kv.embedded.ownership import Lock, lock_data, lock_name
from recordlayer.world import World

_SHARED_MEMORY = "/dev/shm"
_ROOM_WANTED = 1 << 30
_PREFIX = "recordlayer-"
_LEFT_OVER_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a file is to be opened."""

    durable: bool
    map_size: int
    max_size: int
    window_bytes: int


@dataclass(slots=True, kw_only=True, eq=False)
class Shared:
    """An open file with its committer, used by `users` engines of this process."""

    file: OpenFile
    committer: Committer
    opening: Opening
    locks: tuple[Lock, ...] = ()
    users: int = 1

    def release(self, handle: Handle, error: RecordLayerError) -> None:
        """One user less, whose transactions answer `error` from now on; the last one closes the file.

        Raises  DiskError.
        """
        if isinstance(self.file.failure, OpenedBeforeFork):
            return
        with _registry:
            self.users -= 1
            last = self.users == 0
            if last:
                _forget(self)
        if last:
            self.close()
        else:
            self.file.give_up(handle, error)
            self.committer.kick()  # what it asked for without waiting is committed

    def close(self) -> None:
        """What was queued is committed, nothing new gets in, and the file goes.  Raises  DiskError."""
        if not self.committer.close():
            return  # a commit under way hangs in the system: its handles are left to it
        self.file.shut()
        self.file.base.close()
        for lock in self.locks:
            lock.release()
        if self.committer.unsynced is not None:
            raise self.committer.unsynced.again()


_registry = threading.Lock()
_open: dict[tuple[int, int], Shared] = {}  # by device and inode
_private: list[Shared] = []  # no path leads to these


def open_path(path: str, opening: Opening, world: World) -> Shared:
    """The file at `path`, made if there is none.

    Raises  EngineInUse, NotADatabase, NewerFile, CorruptFile, NoPermission, DirectoryMissing, DiskFull, DiskError,
            OpenedDifferently.
    """
    path = data_file.resolved(path)
    with _registry:
        known = _known(path)
        if known is not None:
            if known.opening != opening or not known.file.world.agrees_with(world):
                raise OpenedDifferently(path=path, opened_as=known.opening, asked_for=opening)
            known.users += 1
            return known
        data_file.is_new(path)  # what is not ours gets no lock beside it either
        locks = [lock_name(path)]
        try:
            if data_file.is_new(path):
                data_file.make_new(path, durable=opening.durable)
            locks.append(lock_data(path))
            data_file.check_whole(path)
            shared = _make(path, opening, world, lasting=True)
        except BaseException:
            for lock in reversed(locks):
                lock.release()
            raise
        shared.locks = tuple(reversed(locks))
        _open[locks[-1].identity] = shared
        return shared


def open_private(opening: Opening, world: World) -> Shared:
    """A new file in memory that vanishes with the process, however it ends.  Raises  DiskFull, DiskError."""
    home = _memory_directory()
    with disk_errors(home):
        _remove_left_over(home, world.clock.wall() - _LEFT_OVER_SECONDS)
        directory = tempfile.mkdtemp(prefix=_PREFIX, dir=home)
    try:
        with _registry:
            shared = _make(os.path.join(directory, "data"), opening, world, lasting=False)
            _private.append(shared)
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # the open descriptors keep it; a killed process leaves nothing
    return shared


def _make(path: str, opening: Opening, world: World, *, lasting: bool) -> Shared:
    base = Base(path, map_size=opening.map_size, max_size=opening.max_size, durable=opening.durable, create=not lasting)
    file = OpenFile(path, base, world, window_bytes=opening.window_bytes)
    committer = Committer(file, durable=opening.durable, syncs=lasting)
    return Shared(file=file, committer=committer, opening=opening)


def _forget(shared: Shared) -> None:
    for identity in [identity for identity, known in _open.items() if known is shared]:
        del _open[identity]
    if shared in _private:
        _private.remove(shared)


def _known(path: str) -> Shared | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _open.get((status.st_dev, status.st_ino))


def _memory_directory() -> str:
    try:
        space = os.statvfs(_SHARED_MEMORY)
        if space.f_bavail * space.f_frsize >= _ROOM_WANTED and os.access(_SHARED_MEMORY, os.W_OK):
            return _SHARED_MEMORY
    except OSError:
        pass
    return tempfile.gettempdir()


def _remove_left_over(home: str, before: float) -> None:
    """What processes left that were killed between making a private file and removing its name: milliseconds."""
    for entry in os.scandir(home):
        if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
            try:
                status = entry.stat(follow_symlinks=False)
                if status.st_uid == os.getuid() and status.st_mtime < before:
                    shutil.rmtree(entry.path, ignore_errors=True)
            except OSError:
                pass  # somebody else removed it


# -- forks and the end of the process ---------------------------------------------------------------------------

_held: list[tuple[Shared, bool]] = []  # between the two hooks of a fork: the open files, and whether each holds still
_registry_held = False
_graveyard: list[Shared] = []  # never collected: LMDB's handles would be closed, and are not ours alone


def _everything() -> list[Shared]:
    return [*_open.values(), *_private]


def _before_fork() -> None:
    global _registry_held
    _registry_held = _registry.acquire(timeout=1.0)  # a database that is being opened is forgotten in the child
    for shared in _everything():
        still = shared.committer.hold_still()
        if still and not shared.file.base.hold_still():
            shared.committer.go_on()
            still = False
        _held.append((shared, still))


def _after_fork_in_parent() -> None:
    for shared, still in _held:
        if still:
            shared.file.base.go_on()
            shared.committer.go_on()
    _held.clear()
    if _registry_held:
        _registry.release()


def _after_fork_in_child() -> None:
    global _registry
    _registry = threading.Lock()
    for shared, still in _held:
        shared.file.die_in_child()
        assert shared.file.failure is not None
        shared.committer.die_in_child(shared.file.failure)
        for lock in shared.locks:
            lock.close()
        if still:
            shared.file.base.let_go()
        else:
            _graveyard.append(shared)
    _held.clear()
    _open.clear()
    _private.clear()


def _close_everything() -> None:
    for shared in _everything():
        try:
            shared.close()
        except EngineError:
            pass  # the process ends; what was acknowledged is where it was promised to be


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_close_everything)
