"""What lies at a path: nothing, a database of ours, or something that must not be touched.

A reader of a map finds pages beyond the end of a cut file by dying, so a file is looked at before it is mapped.

Layout  LMDB 0.9, 64 bit, little endian: two meta pages of 4,096 bytes, each with 16 bytes of page header, then magic
        (4), version (4), address (8), size of the map (8), two trees of 48 bytes (the first begins with the size of
        pages, 4), number of the last page (8), number of the transaction (8)
"""

from __future__ import annotations

import os
import stat
import struct
from typing import NamedTuple

from recordlayer.errors import CorruptFile, DirectoryMissing, InvalidEngineOption, NotADatabase
from recordlayer.kv.embedded.base import Base
from recordlayer.kv.embedded.disk_errors import disk_errors

_MAGIC = (0xBEEFC0DE).to_bytes(4, "little")
_MAGIC_AT = 16
_META = struct.Struct("<16x4sIQQI92xQQ")
_PAGE = 4096
_RESTORE = "restore it from a copy; `recordlayer.kv.verify` says what is damaged"


class _Meta(NamedTuple):
    magic: bytes
    version: int
    address: int
    map_size: int
    page_size: int
    last_page: int
    transaction: int


def resolved(path: str) -> str:
    """The path without links.  Raises  InvalidEngineOption."""
    try:
        return os.path.realpath(path)
    except ValueError as error:
        raise InvalidEngineOption(option="path", value=path, hint="a path holds no zero byte") from error


def is_new(path: str) -> bool:
    """Whether a database is still to be made at `path`; an empty file is one that somebody made for us.

    Raises  NotADatabase, CorruptFile, DirectoryMissing, NoPermission, DiskError.
    """
    with disk_errors(path):
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            parent = os.path.dirname(path)
            if not os.path.isdir(parent):
                raise DirectoryMissing(path=parent, hint="make the directory, or choose another path") from None
            return True
        if stat.S_ISDIR(status.st_mode):
            raise NotADatabase(path=path, hint="it is a directory: name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise NotADatabase(path=path, hint="it is not a regular file; choose another path")
        if status.st_size == 0:
            return True
        with open(path, "rb") as file:
            head = file.read(2 * _PAGE)
    if head[_MAGIC_AT : _MAGIC_AT + 4] != _MAGIC:
        if head[_PAGE + _MAGIC_AT : _PAGE + _MAGIC_AT + 4] == _MAGIC or not any(head):
            raise CorruptFile(path=path, reason="its beginning is damaged", hint=_RESTORE)
        raise NotADatabase(path=path, hint="choose another path; the file was not touched")
    return False


def check_whole(path: str) -> None:
    """Refuse a file that ends before its last page in use.  Raises  CorruptFile, DiskError."""
    with disk_errors(path), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(2 * _PAGE)
    metas = [_Meta(*_META.unpack_from(head, at)) for at in (0, _PAGE) if len(head) >= at + _META.size]
    newest = max((meta for meta in metas if meta.magic == _MAGIC), key=lambda meta: meta.transaction, default=None)
    if len(head) < 2 * _PAGE or newest is None:
        raise CorruptFile(path=path, reason="its end is missing", size=size, hint=_RESTORE)
    if size < (newest.last_page + 1) * newest.page_size:
        # Pages that were given out and given back in one transaction are never written: look whether it is those.
        damages = damages_of(path)
        if damages:
            raise CorruptFile(path=path, reason="its end is missing: " + damages[0], size=size, hint=_RESTORE)


def damages_of(path: str) -> list[str]:
    """What is wrong with the pages and trees of a file. LMDB is not asked: it trusts what it finds.

    Cost  reads the whole file, some ten megabytes a second.  Raises  CorruptFile, DiskError.
    """
    from lmdb.verify import VerifyError, verify

    with disk_errors(path):
        try:
            return list(verify(path, subdir=False))  # type: ignore[no-untyped-call]  # it has no types
        except VerifyError as error:
            raise CorruptFile(path=path, reason=str(error), hint=_RESTORE) from error


def make_new(path: str, *, durable: bool) -> None:
    """A database at `path`, which appears there complete, whatever happens meanwhile."""
    new = path + "-new"
    with disk_errors(path):
        try:
            _remove(new)
            Base.make(new, durable=durable)
            if os.path.exists(path):  # the empty file that somebody made: theirs are its rights
                os.chmod(new, stat.S_IMODE(os.stat(path).st_mode))
            os.rename(new, path)
        except BaseException:
            _remove(new)
            raise
        if durable:
            sync_directory(path)


def sync_directory(path: str) -> None:
    """Force the name of a file to disk: its content alone would be lost with it."""
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
