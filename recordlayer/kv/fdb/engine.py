"""The contract's Engine: a FoundationDB cluster.

Opening asks the cluster for a read version, so that a cluster that does not answer is an error within seconds, and not
the first transaction's wait without end. Afterwards the client waits for as long as the cluster is away; transactions
that must not need a timeout (`TransactionOption.TIMEOUT`, or `DatabaseOption.TRANSACTION_TIMEOUT` for all).
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterable
from ctypes import byref, c_void_p
from typing import Any

from recordlayer.errors import (
    Closed,
    EngineUnavailable,
    InvalidEngineOption,
    OpenedBeforeFork,
    RecordLayerError,
    TimedOut,
    TransactionError,
)
from recordlayer.kv import legal
from recordlayer.kv.engine import DatabaseOption, OptionValue, StreamingMode, TransactionOption
from recordlayer.kv.fdb import futures, loading
from recordlayer.kv.fdb.errors import error_of, words
from recordlayer.kv.fdb.futures import Pending
from recordlayer.kv.fdb.loading import Client
from recordlayer.kv.fdb.native import Handle, Native, Pointer, option_bytes
from recordlayer.kv.fdb.transaction import FdbTransaction, set_native_option
from recordlayer.kv.option_values import database_option
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.waitable import Failed, Waitable
from recordlayer.world import World

_CONNECT_SECONDS = 10.0
_SHARDS = b"\xff/keyServers/"
_MOST_BOUNDARIES = 10_000


class FdbEngine:
    """An open cluster. Safe to use from any thread."""

    def __init__(self, url: str, client: Client, database: Handle) -> None:
        self.url = url
        self.client = client
        self.failure: RecordLayerError | None = None
        """Once set, it answers every operation."""
        self.reports = False
        """Whether all transactions report conflicting keys."""
        self._database = database
        _live.add(self)

    def begin(self) -> FdbTransaction:
        self.check()
        native = self.client.native
        pointer = c_void_p()
        code = native.database_create_transaction(self._database.pointer, byref(pointer))
        if code:
            raise error_of(native, code)
        assert pointer.value is not None
        return FdbTransaction(self, Handle(pointer.value, native.transaction_destroy, self.client.owner))

    def set_option(self, option: DatabaseOption, value: OptionValue = None) -> None:
        self.check()
        option, checked = database_option(option, value)
        native = self.client.native
        data = option_bytes(checked)
        code = native.database_set_option(self._database.pointer, option, data, len(data or b""))
        if code:
            raise error_of(native, code)
        if option == DatabaseOption.TRANSACTION_REPORT_CONFLICTING_KEYS:
            self.reports = True

    def boundary_keys(self, begin: bytes, end: bytes) -> Waitable[Iterable[bytes]]:
        """First keys of the shards; the first ten thousand of them.  Cost  1 read of the system keys."""
        try:
            self.check()
            begin, end = legal.check_range(begin, end, system=False)
            transaction = self.begin()
            transaction.set_option(TransactionOption.READ_SYSTEM_KEYS)
            transaction.set_option(TransactionOption.READ_LOCK_AWARE)
            shards = transaction.start_range(
                legal.as_selector("begin", _SHARDS + begin),
                legal.as_selector("end", _SHARDS + end),
                limit=_MOST_BOUNDARIES,
                target_bytes=0,
                reverse=False,
                snapshot=True,
                mode=StreamingMode.EXACT,
                iteration=1,
            )
        except RecordLayerError as error:
            return Failed(error)

        def boundaries(native: Native, pointer: Pointer) -> Iterable[bytes]:
            keys = [key.removeprefix(_SHARDS) for key, _ in futures.chunk(native, pointer).rows]
            return keys if keys[:1] == [begin] or begin == end else [begin, *keys]

        return transaction.pending(shards, boundaries)

    def close(self) -> None:
        if self.failure is None:
            self.failure = Closed(url=self.url, hint="open the cluster again")

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure.again()


_live: weakref.WeakSet[FdbEngine] = weakref.WeakSet()


def _die_in_child() -> None:
    for engine in _live:
        engine.failure = OpenedBeforeFork(url=engine.url)


os.register_at_fork(after_in_child=_die_in_child)


def open_cluster(url: str, path: str, world: World, *, connect_timeout: float = _CONNECT_SECONDS) -> FdbEngine:
    """The cluster of the cluster file `path`; without one, of FoundationDB's default cluster file.

    connect_timeout  seconds to wait for the cluster to answer; 0 does not ask it

    The world is not used: the cluster keeps its own time, and its client its own chance.

    Raises  EngineMissing, EngineUnavailable, OpenedBeforeFork, InvalidEngineOption.
    """
    del world
    if isinstance(connect_timeout, bool) or not isinstance(connect_timeout, (int, float)) or connect_timeout < 0:
        raise InvalidEngineOption(option="connect_timeout", value=connect_timeout, hint="a number of seconds, or 0")
    if path:
        _check_cluster_file(path)
    client = loading.client()
    native = client.native
    pointer = c_void_p()
    code = native.create_database(path.encode() or None, byref(pointer))
    if code:
        raise _unusable(path, words(native, code))
    assert pointer.value is not None
    engine = FdbEngine(url, client, Handle(pointer.value, native.database_destroy, client.owner))
    if connect_timeout:
        engine_answers(engine, path, connect_timeout)
    return engine


def _check_cluster_file(path: str) -> None:
    if os.path.isdir(path):
        raise _unusable(path, "it is a directory")
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise _unusable(path, (error.strerror or str(error)).lower()) from error


def _unusable(path: str, reason: str) -> EngineUnavailable:
    return EngineUnavailable(
        cluster_file=path or "the default one",
        reason=reason,
        hint="name the cluster file that the cluster's servers use, as in fdb:/etc/foundationdb/fdb.cluster",
    )


def engine_answers(engine: FdbEngine, path: str, seconds: float) -> None:
    """Raises  EngineUnavailable  when the cluster does not give a read version within `seconds`."""
    transaction = engine.begin()
    try:
        set_native_option(engine.client.native, transaction.pointer, TransactionOption.TIMEOUT, round(seconds * 1000))
        set_native_option(engine.client.native, transaction.pointer, TransactionOption.READ_LOCK_AWARE, None)

        async def ask() -> int:
            return await transaction.read_version()

        run_blocking(ask())
    except TransactionError as error:
        if not isinstance(error, TimedOut):
            raise _unusable(path, words(engine.client.native, error.number)) from error
        raise EngineUnavailable(
            cluster_file=path or "the default one",
            waited_seconds=seconds,
            connections=_connections(engine),
            hint="is the cluster running, and does the file name it? `fdbcli -C FILE --exec status` asks it; the "
            f"client library here is {engine.client.release} and must be of the cluster's release line",
        ) from error
    finally:
        transaction.close()


def _connections(engine: FdbEngine) -> str:
    """How the client stands with the servers that it knows of, in a few words."""
    native = engine.client.native
    pending = Pending(
        native,
        engine.client.owner,
        native.database_get_client_status(engine._database.pointer),
        futures.key,
        engine._database,
    )

    async def ask() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await pending)
        return found

    try:
        status = run_blocking(ask())
    except (RecordLayerError, ValueError):
        return "unknown"
    found = [
        f"{connection.get('Address')} {connection.get('Status')}"
        + ("" if connection.get("Compatible", True) else " (another protocol version)")
        for connection in status.get("Connections", [])
    ]
    return "; ".join(sorted(found)) or "none"
