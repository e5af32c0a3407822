"""The newest version of every key, in one LMDB file.

Everything here works on the newest state; what older readers see is the window's business. Reads run in a short LMDB
transaction of their own, so that nothing pins old pages: a reader that LMDB itself had to keep for five seconds of
heavy writing would grow the file without bound.

The address space grows when it is full, and the file is opened anew after a failed write of LMDB's meta page. Both end
every read under way in an LMDB error; such a read waits for the end of the move and begins again.

Layout  tree `data`  key (1 to 510 bytes) -> value; markers of long keys (long_keys.py)
        tree `long`  keys beyond 510 bytes
        tree `meta`  `format`  -> this layout's number, 4 bytes big endian
                     `version` -> version of the last commit, 8 bytes big endian
                     `empty`   -> value of the empty key, if it is set
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import lmdb

from recordlayer.errors import Closed, DiskError, EngineError, NewerFile, NotADatabase
from recordlayer.kv.embedded.base_write import VERSION, BaseWrite
from recordlayer.kv.embedded.disk_errors import disk_errors, engine_error
from recordlayer.kv.embedded.environment import FORMAT, FORMAT_KEY, environment, make_room_for_readers, make_trees
from recordlayer.kv.embedded.full_scan import EMPTY, every_kind
from recordlayer.kv.embedded.long_keys import HEAD, MARKER, LongKeys
from recordlayer.kv.embedded.scanning import KeyValue, backward, each_chunk, forward, key_of, look
from recordlayer.kv.embedded.tree_pages import Pages

T = TypeVar("T")

_NEW_MAP, _LEAST_MAP = 1 << 20, 64 << 20
_HOLD_SECONDS = 1.0
_FEW = 10  # pairs that are asked for one by one
_TRIES = 4  # of a read that the map was moved under


class Base:
    """An open file. One writer at a time; any number of readers on any thread.

    map_size  bytes of address space to begin with
    max_size  bytes that the address space, and with it the file, may grow to
    durable   a commit is on disk when it returns
    create    make the trees if the file has none
    """

    def __init__(
        self, path: str, *, map_size: int, durable: bool, max_size: int = 1 << 46, create: bool = True
    ) -> None:
        self.path = path
        self.durable = durable
        self.broken: EngineError | None = None  # why nothing can be written before the file is opened anew
        self._max_size = max_size
        self._map_size = map_size
        self._closed = False
        self.opened_anew: Callable[[int], None] = _nobody
        """Told the stored version when the file was opened anew, before anybody reads."""
        self._moving = threading.Lock()  # held while the map moves
        self._descriptor = -1  # of the file, to read its pages without LMDB
        self._open(create=create)

    def _open(self, *, create: bool) -> None:
        with disk_errors(self.path):
            self._env = self._mapped()
            try:
                if create:
                    self._create()
                self._prepare()
                if self.durable:
                    # What a relaxed process left unsynced must be on disk before pages that it freed are written.
                    self._env.sync(True)
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                status = os.fstat(self._descriptor)
            except BaseException:
                self._shut()
                raise
        self._identity = (status.st_dev, status.st_ino)

    def _shut(self) -> None:
        self._env.close()  # waits for calls that are inside LMDB
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _mapped(self) -> Any:
        """The file in as much address space as asked for, or as the system gives."""
        make_room_for_readers(self.path)
        while True:
            try:
                env = environment(self.path, map_size=self._map_size, durable=self.durable)
            except lmdb.MemoryError:
                if self._map_size < _LEAST_MAP:
                    raise
                self._map_size //= 4
                continue
            self._map_size = env.info()["map_size"]  # more, if the file is larger already
            return env

    @staticmethod
    def make(path: str, *, durable: bool) -> None:
        """A new file at `path`, closed again. Nobody else may know the path."""
        with disk_errors(path):
            env = environment(path, map_size=_NEW_MAP, durable=durable, lock=False)
            try:
                make_trees(env)
            finally:
                env.close()

    def _create(self) -> None:
        with self._env.begin() as txn:
            fresh = txn.stat()["entries"] == 0
        if fresh:
            make_trees(self._env)

    def _prepare(self) -> None:
        """Open the trees and read what is known of them."""
        env = self._env
        try:
            self.meta = env.open_db(b"meta", create=False)
            self.data = env.open_db(b"data", create=False)
            self.long_tree = env.open_db(b"long", create=False)
            with env.begin() as txn:
                found = txn.get(FORMAT_KEY, b"", self.meta)
        except lmdb.Error as error:
            raise self._foreign() from error
        if len(found) != 4:
            raise self._foreign()
        if found != FORMAT.to_bytes(4, "big"):
            raise NewerFile(path=self.path, format=int.from_bytes(found, "big"), newest_known=FORMAT)
        self.long = LongKeys(self.data, self.long_tree)
        with env.begin() as txn:
            self.has_long = txn.stat(self.long_tree)["entries"] > 0
            self.has_empty = txn.get(EMPTY, None, self.meta) is not None
            self.version = int.from_bytes(txn.get(VERSION, b"", self.meta), "big")

    def _foreign(self) -> NotADatabase:
        return NotADatabase(path=self.path, hint="it is an LMDB file of another program; choose another path")

    # -- reading

    def get(self, key: bytes, tries: int = _TRIES) -> bytes | None:
        try:
            txn = self._env.begin()
            try:
                value: bytes | None
                if 0 < len(key) <= HEAD:
                    value = txn.get(key, None, self.data)
                elif key:
                    value = self.long.get(txn, key) if self.has_long else None
                else:
                    value = txn.get(EMPTY, None, self.meta)
                return value
            finally:
                txn.abort()
        except lmdb.Error as error:
            self._await_move(error, tries)
            return self.get(key, tries - 1)

    def get_many(self, keys: Sequence[bytes], tries: int = _TRIES) -> list[bytes | None]:
        """The values of several keys, none of them empty or longer than HEAD, in one look at the file."""
        try:
            txn = self._env.begin(self.data)
            try:
                return list(map(txn.get, keys))
            finally:
                txn.abort()
        except lmdb.Error as error:
            self._await_move(error, tries)
            return self.get_many(keys, tries - 1)

    def scan(
        self, begin: bytes, end: bytes, limit: int, *, reverse: bool = False, tries: int = _TRIES
    ) -> list[KeyValue]:
        """Up to `limit` pairs of [begin, end), ascending or descending. Fewer means that there are no more."""
        few = limit <= _FEW and not (reverse or self.has_long or self.has_empty)
        try:
            if few and 0 < len(begin) <= HEAD and len(end) <= HEAD:
                return look(self._env.begin, self.data, begin, end, limit)
            txn = self._env.begin(self.data)
            try:
                if len(begin) <= HEAD and len(end) <= HEAD and (begin or not self.has_empty):
                    read = backward if reverse else forward
                    rows = read(txn.cursor(), begin, end, limit)  # the cursor ends with its transaction
                    if not self.has_long or MARKER not in map(len, map(key_of, rows)):
                        return rows
                return list(islice(every_kind(self, txn, begin, end, reverse=reverse), limit))
            finally:
                txn.abort()
        except lmdb.Error as error:
            self._await_move(error, tries)
            return self.scan(begin, end, limit, reverse=reverse, tries=tries - 1)

    def chunks(
        self, ranges: Sequence[tuple[bytes, bytes]], limit: int, wanted: int, reverse: bool, tries: int = _TRIES
    ) -> list[tuple[list[KeyValue], bool]] | None:
        """The pairs of each range, ascending or descending, until `limit` of them or `wanted` bytes, and whether that
        is why they end; in one look at the file. None if there are keys that need a closer look."""
        if self.has_long:
            return None
        try:
            txn = self._env.begin(self.data)
            try:
                return each_chunk(
                    txn.cursor(), ranges, HEAD, limit, wanted, reverse
                )  # the cursor ends with its transaction
            finally:
                txn.abort()
        except lmdb.Error as error:
            self._await_move(error, tries)
            return self.chunks(ranges, limit, wanted, reverse, tries - 1)

    def stored_version(self, tries: int = _TRIES) -> int:
        """The version of the last commit, read from the file: the truth after a commit whose outcome is in doubt."""
        try:
            with self._env.begin() as txn:
                return int.from_bytes(txn.get(VERSION, b"", self.meta), "big")
        except lmdb.Error as error:
            self._await_move(error, tries)
            return self.stored_version(tries - 1)

    def _await_move(self, error: lmdb.Error, tries: int) -> None:
        """Return once a read that met `error` may be tried again; raise what the error means if it may not."""
        with self._moving:
            if self._closed:
                raise Closed(path=self.path, hint="open the database again") from error
            if self.broken is not None:
                raise self.broken.again() from error
        if tries <= 1:
            raise engine_error(error, self.path) from error

    @contextmanager
    def pinned(self) -> Iterator[Any]:
        """An LMDB read that stays open: all pages of its version are kept as long. Ended by a move of the map."""
        with self._env.begin() as txn:
            yield txn

    def copy_to(self, descriptor: int) -> None:
        """Write a compact copy of the newest version into an empty file.  Raises  LMDB's errors."""
        self._env.copyfd(descriptor, True)

    def lies_at_its_path(self) -> bool:
        """Whether the file that is open is the one under its path: it may have been moved, or never had a name."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def with_pages(self, look: Callable[[Any, Pages], T], tries: int = _TRIES) -> T:
        """What `look` finds on the file's pages, while an LMDB read keeps them.  Raises  CorruptFile, DiskError."""
        try:
            with disk_errors(self.path), self._env.begin() as txn:
                try:
                    return look(txn, Pages(self._descriptor, txn.stat(self.data)["psize"], self.path))
                finally:
                    txn.id()  # fails if the map has moved: then others may have written these pages
        except EngineError as failed:
            error = failed.__cause__
            if not isinstance(error, lmdb.Error):
                raise
            self._await_move(error, tries)
            return self.with_pages(look, tries - 1)

    # -- writing

    def begin_write(self) -> BaseWrite:
        """Raises  EngineError, LMDB's errors."""
        if self.broken is not None:
            self.reopen()
        return BaseWrite(self, self._env.begin(write=True))

    def sync(self, tries: int = _TRIES) -> None:
        """Force to disk what relaxed commits left in the system's cache.  Raises  EngineError, Closed."""
        try:
            self._env.sync(True)
        except lmdb.Error as error:
            if getattr(error, "code", 0):  # asked again, a system that could not write says that all is well
                raise engine_error(error, self.path) from error
            self._await_move(error, tries)
            self.sync(tries - 1)

    def refuses(self, error: BaseException) -> bool:
        """Whether LMDB writes no more after `error` came out of a commit: then its meta page may or may not have been
        written, and the file must be opened anew. Otherwise nothing has happened."""
        try:
            self._env.begin(write=True).abort()
        except lmdb.Error:
            self.broken = engine_error(error, self.path)
            return True
        return False

    def grow(self) -> bool:
        """Double the address space, if it may grow and the system has it. No write may be under way."""
        size = min(2 * self._map_size, self._max_size)
        if size <= self._map_size:
            return False
        with self._moving:
            try:
                self._env.set_mapsize(size)
            except lmdb.Error:  # it cannot be used any more
                self._reopen()
                return False
            self._map_size = size
        return True

    def reopen(self) -> None:
        """Open the file anew, once no read is under way.  Raises  EngineError; then it may be tried again."""
        with self._moving:
            self._reopen()

    def _reopen(self) -> None:
        self._shut()
        try:
            if not self.lies_at_its_path():
                raise DiskError(
                    path=self.path,
                    reason="the file is no longer at its path, and cannot be opened anew after an error",
                    hint="close the database, move the file back and open it again",
                )
            self._open(create=False)
            # LMDB put the old meta page back where writing the new one failed. Nothing may be written before that is
            # on disk: if the new one got there after all, its pages are in use.
            with disk_errors(self.path):
                self._env.sync(True)
            self.opened_anew(self.version)
        except OSError as error:
            self.broken = engine_error(error, self.path)
            raise self.broken from error
        except EngineError as error:
            self.broken = error.again()
            raise
        self.broken = None

    def close(self) -> None:
        with self._moving:
            self._closed = True
            self._shut()

    # -- around a fork

    def hold_still(self) -> bool:
        """Let nobody be inside LMDB until `go_on`: reads under way end and are tried again then. False if a call does
        not end. The caller leads, so that no write is under way.

        A forked child shares LMDB's table of readers with its parent: it may let go of its handles only if none of
        them has a place there.
        """
        if not self._moving.acquire(timeout=_HOLD_SECONDS):
            return False
        env, self._env = self._env, _Held()
        self._held = env
        try:
            if not self._closed:
                env.set_mapsize(self._map_size)  # ends all transactions, also the spare one
        except lmdb.Error:
            self._env = env
            self._moving.release()
            return False
        return True

    def go_on(self) -> None:
        """In the process that held still."""
        self._env = self._held
        self._moving.release()

    def let_go(self) -> None:
        """In the child of a process that held still: free its copies of the map and of the descriptors."""
        self._closed = True
        self._env = self._held
        self._shut()
        self._moving.release()


class _Held:
    """Stands for the environment while nobody may use it."""

    def begin(self, *args: object, **kwargs: object) -> Any:
        raise lmdb.Error("the process forks")

    sync = begin


def _nobody(version: int) -> None:
    """Nobody to tell."""
