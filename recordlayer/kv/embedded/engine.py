"""The contract's Engine: an open file, or memory."""

from __future__ import annotations

from collections.abc import Iterable

from recordlayer.errors import Closed, DiskError, EngineError, InvalidEngineOption, RecordLayerError
from recordlayer.kv import legal
from recordlayer.kv.embedded import upkeep
from recordlayer.kv.embedded.file import Opening, Shared, open_path, open_private
from recordlayer.kv.embedded.options import Settings, with_database_option
from recordlayer.kv.embedded.sizes import split_points
from recordlayer.kv.embedded.transaction import EmbeddedTransaction
from recordlayer.kv.engine import DatabaseOption, OptionValue
from recordlayer.kv.option_values import database_option
from recordlayer.waiting.waitable import Failed, Ready, Waitable
from recordlayer.world import World

_FILE_MAP = 64 << 30
_MEMORY_MAP = 4 << 30
_MOST = 1 << 46  # address space that a process has
_WINDOW_BYTES = 64 << 20
_PATIENCE = 60.0  # seconds that verifying waits for a commit under way
_BOUNDARY_BYTES = 4 << 20  # a piece of a range, for parallel work


class EmbeddedEngine:
    """An open database in this process. Safe to use from any thread."""

    local = True  # read versions and reports of conflicts cost nothing here

    def __init__(self, url: str, shared: Shared) -> None:
        self.url = url
        self._shared = shared
        self._file = shared.file
        self._handle = shared.file.handle()
        self._committer = shared.committer
        self._defaults = Settings()
        self._closed = False

    def _check(self) -> None:
        if self._handle.failure is not None:
            raise self._handle.failure.again()

    def begin(self) -> EmbeddedTransaction:
        self._check()
        return EmbeddedTransaction(self._handle, self._committer, self._defaults)

    def set_option(self, option: DatabaseOption, value: OptionValue = None) -> None:
        option, checked = database_option(option, value)
        self._defaults = with_database_option(self._defaults, option, checked)
        if option == DatabaseOption.MAX_WATCHES:
            assert isinstance(checked, int)
            self._file.watches.limit = checked

    def boundary_keys(self, begin: bytes, end: bytes) -> Waitable[Iterable[bytes]]:
        try:
            self._check()
            begin, end = legal.check_range(begin, end, system=False)
            return Ready(split_points(self._file.base, begin, end, _BOUNDARY_BYTES)[:-1])
        except RecordLayerError as error:
            return Failed(error)

    def compact(self, to: str) -> None:
        """Write a copy to the new file `to`, with nothing in it but what is in use; commits go on meanwhile.

        Raises  PathTaken, DirectoryMissing, NoPermission, DiskFull, DiskError, Closed.
        """
        self._check()
        upkeep.compact(self._file.base, to)

    def verify(self) -> list[str]:
        """What is wrong with the file; nothing, if all is well. Everything goes on meanwhile; but what looks wrong, or
        could not be looked at because the file's map grew, is looked at a second time, and commits wait for that.

        Cost  reads all of it, some ten megabytes a second.  Raises  DiskError, CorruptFile, Closed.
        """
        self._check()
        try:
            if not upkeep.verify(self._file.base):
                return []
        except EngineError:
            pass
        if not self._committer.hold_still(_PATIENCE):
            raise DiskError(path=self._file.path, reason="a commit under way does not end", hint="look at the disk")
        try:
            return upkeep.verify(self._file.base)
        finally:
            self._committer.go_on()

    def close(self) -> None:
        """Commit what was asked for, and let go of the file. What is used after that answers Closed: transactions,
        watches, and this engine. Others that share the file go on.

        Raises  DiskError  if a relaxed database could not be forced to disk; it is closed all the same.
        """
        if not self._closed:
            self._closed = True
            self._shared.release(self._handle, Closed(url=self.url, hint="open the database again"))


def open_file(
    url: str,
    path: str,
    world: World,
    *,
    durability: str = "commit",
    map_size: int = _FILE_MAP,
    max_size: int = _MOST,
    window_bytes: int = _WINDOW_BYTES,
) -> EmbeddedEngine:
    """The database in the file `path`, made if there is none.

    durability    "commit": a commit is on disk before anyone is told. "relaxed": it is not; a killed process loses
                  nothing, a power cut may damage the file, so it is for data that can be rebuilt
    map_size      bytes of address space to begin with; sparse, and doubled when it is full
    max_size      bytes that the file may grow to
    window_bytes  bytes of overwritten values kept for older readers

    Raises  EngineInUse, NotADatabase, NewerFile, CorruptFile, NoPermission, DirectoryMissing, DiskFull, DiskError,
            OpenedDifferently, InvalidEngineOption.
    """
    if not path:
        raise InvalidEngineOption(option="path", value=path, hint="name a file: file:shop.rl")
    return EmbeddedEngine(url, open_path(path, _opening(durability, map_size, max_size, window_bytes), world))


def open_memory(
    url: str,
    path: str,
    world: World,
    *,
    map_size: int = _MEMORY_MAP,
    max_size: int = _MOST,
    window_bytes: int = _WINDOW_BYTES,
) -> EmbeddedEngine:
    """A new, empty database of this process alone, gone when it is closed. Options as those of a file.

    Raises  InvalidEngineOption, DiskFull, DiskError.
    """
    if path:
        raise InvalidEngineOption(
            option="path", value=path, hint="memory: takes no path; each opening is a new database"
        )
    return EmbeddedEngine(url, open_private(_opening("relaxed", map_size, max_size, window_bytes), world))


def _opening(durability: str, map_size: int, max_size: int, window_bytes: int) -> Opening:
    if durability not in ("commit", "relaxed"):
        raise InvalidEngineOption(option="durability", value=durability, hint='"commit" or "relaxed"')
    sizes = {"map_size": (map_size, 1 << 20), "max_size": (max_size, 1 << 20), "window_bytes": (window_bytes, 1 << 16)}
    for name, (value, least) in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MOST:
            raise InvalidEngineOption(
                option=name, value=value, hint=f"a number of bytes, at least {least} and at most {_MOST}"
            )
    return Opening(
        durable=durability == "commit",
        map_size=min(map_size, max_size) // 4096 * 4096,
        max_size=max_size // 4096 * 4096,
        window_bytes=window_bytes,
    )
