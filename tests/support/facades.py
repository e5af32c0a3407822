"""The two facades behind one: tests are written in blocking calls, and run over the asyncio facade as well.

Objects of the asyncio facade are wrapped: a call that gives a coroutine runs it on a loop in a thread of its own and
gives its result. What is passed as a function runs in another thread, so that it may call wrapped objects in turn.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import recordlayer as rl
from recordlayer import aio
from recordlayer.client import aio as client_aio

_WRAPPED = (
    aio.Database,
    aio.Transaction,
    aio.RecordStore,
    aio.Ranks,
    aio.Texts,
    aio.Leaderboard,
    aio.Space,
    aio.StoreHeader,
    aio.ChangeFeed,
    aio.FeedWatch,
    aio.VersionFeed,
    aio.FeedTrimmer,
    aio.Reaper,
    aio.TypedCursor,
    aio.TypedStore,
    aio.RecordCursor,
    aio.EntryCursor,
    aio.Attempt,
    aio.IdempotencyKeys,
    aio.MetaDataStore,
    aio.KeySpace,
    aio.InternedNames,
    aio.DirectoryLayer,
    aio.IndexBuild,
    aio.IndexScrubber,
    aio.RecordRepairer,
    aio.OnlineIndexer,
    aio.Migration,
    aio.Tenant,
    aio.TenantExport,
    client_aio.Client,
    client_aio.Replica,
    client_aio.Transaction,
    client_aio.TransactionZone,
    client_aio.Zone,
    client_aio.ZoneAssets,
)


class BackgroundLoop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="facade loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=60)

    def close(self) -> None:
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Blocking:
    """An object of the asyncio facade, called as if it were of the blocking one."""

    def __init__(self, wrapped: Any, loop: BackgroundLoop) -> None:
        self._wrapped = wrapped
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        return self._call(value) if callable(value) and not isinstance(value, type) else self._shown(value)

    def _call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            return self._shown(function(*map(self._given, arguments), **named))

        return call

    def _given(self, argument: Any) -> Any:
        """A function, for the asyncio facade: its body blocks, so it runs in a thread."""
        if isinstance(argument, Blocking):
            return argument._wrapped
        if not inspect.isfunction(argument):
            return argument

        async def work(*arguments: Any) -> Any:
            wrapped = [self._shown(one) for one in arguments]
            return await asyncio.get_running_loop().run_in_executor(None, argument, *wrapped)

        return work

    def _shown(self, value: Any) -> Any:
        if inspect.iscoroutine(value):
            return self._shown(self._loop.run(value))
        if inspect.isasyncgen(value) or isinstance(value, _WRAPPED):
            return Blocking(value, self._loop)
        return value

    def __enter__(self) -> Any:
        return self._shown(self._loop.run(self._wrapped.__aenter__()))

    def __exit__(self, *error: object) -> Any:
        return self._loop.run(self._wrapped.__aexit__(*error))

    def __iter__(self) -> Iterator[Any]:
        values = self._wrapped.__aiter__()
        while True:
            try:
                yield self._shown(self._loop.run(anext(values)))
            except StopAsyncIteration:
                return


def opener(facade: str, loop: BackgroundLoop) -> Callable[..., Any]:
    """`open` of a facade."""
    if facade == "blocking":
        return rl.open
    return lambda url, **options: Blocking(aio.open(url, **options), loop)


def over(facade: str, loop: BackgroundLoop) -> Callable[..., Any]:
    """`Database` of a facade: around an engine that a test has made."""
    if facade == "blocking":
        return rl.Database
    return lambda engine, **options: Blocking(aio.Database(engine, **options), loop)
