"""Replaying the steps of golden files that build indexes online, in transactions of their own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from recordlayer.errors import UniquenessViolation
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.metadata import RecordMetaData
from recordlayer.online import stamp
from recordlayer.online.indexer import BuildReport, OnlineIndexer
from recordlayer.online.options import BuildLimits, BuildPolicy
from recordlayer.store.open import OpenOptions, open_store
from recordlayer.tuples import Subspace, pack, unpack
from recordlayer.world import World

OPERATIONS = frozenset({"online_index_build", "build_stopped", "block_index_builds", "unblock_index_builds"})


async def replay_build_step(
    engine: Engine, world: World, metadata: RecordMetaData, prefix: bytes, opening: OpenOptions, step: Any
) -> None:
    """Do what a step says without opening a store itself."""
    operations = step["operations"]
    beginning = Beginning(engine, world)
    stopped = any(operation["op"] == "build_stopped" for operation in operations)
    for operation in operations:
        match operation["op"]:
            case "online_index_build":
                await _build(
                    OnlineIndexer(
                        beginning,
                        metadata,
                        Subspace(prefix=prefix),
                        operation["targets"],
                        policy=BuildPolicy(mark_readable=operation.get("mark_readable", True)),
                        limits=BuildLimits(records=operation.get("limit", 100), records_per_second=None),
                        opening=opening,
                        source=source_of(operation),
                    ),
                    step,
                    stopped=stopped,
                )
            case "block_index_builds" | "unblock_index_builds":
                await _block(Context(engine.begin(), world=world), metadata, prefix, opening, operation)
            case "build_stopped":
                pass


def source_of(operation: Any) -> str | None:
    """The index that a recorded build goes by. One that goes on does not say so again, and need not."""
    method: str = operation.get("method", "")
    return method.removeprefix("by index ") if method.startswith("by index ") else None


async def _build(indexer: OnlineIndexer, step: Any, *, stopped: bool) -> None:
    def told(report: BuildReport) -> None:
        if stopped and report.records >= scanned_in(step):
            indexer.stop()

    indexer.told = told
    if "failed" in step:
        with pytest.raises(UniquenessViolation):
            await indexer.build()
    else:
        assert (await indexer.build()).finished is not stopped


async def _block(
    context: Context, metadata: RecordMetaData, prefix: bytes, opening: OpenOptions, operation: Any
) -> None:
    store = await open_store(context, metadata, prefix, opening)
    for index in store.metadata.indexes.values():
        if await stamp.read_stamp(store, index) is None:
            continue
        if operation["op"] == "block_index_builds":
            await stamp.block(store, index, id=operation["id"], lasts=timedelta(seconds=operation["ttl_seconds"]))
        else:
            assert await stamp.unblock(store, index)
    await context.commit()
    context.close()


def scanned_in(step: Any) -> int:
    """How many records had been looked at when the recorded build stopped."""
    counters = [
        int.from_bytes(bytes.fromhex(value), "little")
        for key, value in step["set"]
        if key.startswith("1509") and key.endswith("1501") and len(unpack(bytes.fromhex(key))) == 3
    ]
    return max(counters)


def without_times(key: bytes, value: bytes) -> bytes:
    """A stamp without the time at which its block expires."""
    if not key.startswith(pack((9,))) or not key.endswith(pack((2,))):
        return value
    message = stamp.Stamp.FromString(value)
    if not message.blockExpireEpochMilliSeconds:
        return value
    message.blockExpireEpochMilliSeconds = 1
    return message.SerializeToString(deterministic=True)
