"""Looking after a database: `compact` and `verify`, by URL."""

from __future__ import annotations

from recordlayer.errors import EngineInUse, NoFile
from recordlayer.kv.registry import open_engine


def compact(url: str, to: str) -> None:
    """Write a copy of the database that `url` names to the new file `to`, with nothing in it but what is in use.

    A database that this process has open stays in use meanwhile; its options must be the default ones.

    Raises  NoFile, PathTaken, DirectoryMissing, NoPermission, DiskFull, DiskError, and what opening it raises.
    """
    from recordlayer.kv.embedded.engine import EmbeddedEngine

    _path_in(url)
    engine = open_engine(url)
    assert isinstance(engine, EmbeddedEngine)
    try:
        engine.compact(to)
    finally:
        engine.close()


def verify(url: str) -> list[str]:
    """What is wrong with the database that `url` names; nothing, if all is well. Nobody may have it open.

    It is looked at page by page before anything trusts it, so that a damaged file does no harm.

    Cost    reads the whole file, some ten megabytes a second.
    Raises  NoFile, EngineInUse, NotADatabase, DirectoryMissing, NoPermission, DiskError.
    """
    from recordlayer.kv.embedded.upkeep import verify_closed

    path = _path_in(url)
    try:
        return verify_closed(path)
    except EngineInUse as error:
        error.hint = "close it first, or call `verify` of the engine that has it open"
        raise error.again() from error


def _path_in(url: str) -> str:
    scheme, _, path = url.partition(":")
    if scheme != "file" or not path:
        raise NoFile(url=url)
    return path
