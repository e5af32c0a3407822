"""What Java recorded, step by step: the same operations here must leave the same pairs.

A scenario is a list of transactions with what each of them set and cleared. Bytes that no other run can give again (the
header's time, versionstamps) are replaced by ours before comparing. A scenario stops where it uses what is not there
yet; what it left until then is compared all the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Stop, drain
from recordlayer.errors import (
    IndexCannotClear,
    IndexNotBuilt,
    IndexNotSupported,
    RecordLayerError,
    StoreLocked,
    UniquenessViolation,
)
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.leaderboard_directory import Rebuild, Windows, WindowUpdate
from recordlayer.index.state import IndexState
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store import marking, settings
from recordlayer.store.build import rebuild
from recordlayer.store.check import check
from recordlayer.store.compression import ZLIB
from recordlayer.store.counts import RecordCountState
from recordlayer.store.delete_where import delete_where
from recordlayer.store.encryption import EncryptionKey, KeyRing
from recordlayer.store.expect import VersionBehavior
from recordlayer.store.leaderboards import leaderboard, update_windows
from recordlayer.store.open import OpenMode, OpenOptions, open_store
from recordlayer.store.serializer import PLAIN, Serializer, TransformingSerializer
from recordlayer.store.settings import StoreLock
from recordlayer.store.split import Shape
from recordlayer.store.store import RecordStore
from recordlayer.testing.clock import ManualClock
from recordlayer.tuples import Versionstamp, pack, unpack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.golden.builds import OPERATIONS, replay_build_step, without_times
from tests.golden.scenario import OUR_COPY, Scenario, record_of

NOT_YET = frozenset(
    (
        *("queued_value",),
        *("clear_and_mark_index_write_only_with_queue", "mark_index_write_only_with_queue"),
        "steps without a store",
    )
)
"""What makes a scenario stop: index types, operations and options that are not there yet."""


def CONCERNS(scenario: Scenario) -> bool:
    return any("open_store" in step for step in scenario.steps)


CLEARED_HERE = {"former-index-a": {"15020264726f705f746f74616c00"}}
"""What Java leaves behind and we do not: the entry of an ungrouped aggregate whose index is no more."""

PREFIX = pack(("golden", 7))


class NotYet(Exception):
    """The scenario uses something that is not there yet."""


class Replay:
    """One scenario on a store of ours."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario.data
        self.options = scenario.data.get("options") or {}
        self.metadata = scenario.metadata
        clock = ManualClock()
        self.engine: Engine = open_engine("memory:", world=clock.world())
        clock.advance(3600.0)  # a cluster's versions are greater than those that a scenario makes up
        self.world = World()
        self.expected: dict[bytes, bytes | dict[str, Any]] = {}
        self.stamps: list[tuple[bytes, bytes]] = []
        self.steps_done = 0
        self.longer_prefix: int | None = None
        self.windows: list[Any] = []
        self.garbage: list[bytes] = []
        """Where Java leaves entries of windows behind that are no more, and we do not."""
        self.unchecked: set[str] = set()
        """Indexes that were declared readable whatever they hold."""

    def close(self) -> None:
        self.engine.close()

    def context(self) -> Context:
        return Context(self.engine.begin(), world=self.world)

    async def run(self) -> None:
        for step in self.scenario["steps"]:
            await self.step(step)
            await self.compare(step)
            self.steps_done += 1

    async def step(self, step: Any) -> None:
        if "open_store" not in step:
            await self.build(step)
            return
        context = self.context()
        try:
            store = await self.open(context, step["open_store"])
            if "failed" in step:
                with pytest.raises(RecordLayerError) as raised:
                    await self.operate_and_commit(store, step["operations"])
                check_failure(raised.value, step["failed"])
                return
            wrote = await self.operate_and_commit(store, step["operations"])
            if wrote and "versionstamp" in step:
                self.stamps.append((bytes.fromhex(step["versionstamp"]), await context.versionstamp()))
        finally:
            context.close()

    async def open(self, context: Context, how: Any) -> RecordStore:
        return await open_store(context, self.metadata[how["metadata"]], PREFIX, self.opening(how))

    def opening(self, how: Any) -> OpenOptions:
        return OpenOptions(
            mode=OpenMode(how["existence_check"]),
            format_version=how["requested_format_version"],
            user_version=self.user_version(),
            count_records=False,
            serializer=self.serializer(),
        )

    async def build(self, step: Any) -> None:
        """A step that opens the store in transactions of its own: it builds indexes."""
        if not {operation["op"] for operation in step["operations"]} <= OPERATIONS:
            raise NotYet("steps without a store")
        how = next(
            done["open_store"] for done in reversed(self.scenario["steps"][: self.steps_done]) if "open_store" in done
        )
        metadata = self.metadata[how["metadata"]]
        await replay_build_step(self.engine, self.world, metadata, PREFIX, self.opening(how), step)

    async def operate_and_commit(self, store: RecordStore, operations: list[Any]) -> bool:
        """Whether anything was written."""
        for operation in operations:
            await self.operate(store, operation)
        store.context.request_versionstamp()
        wrote = store.context.counters.writes > 0
        await store.context.commit()
        return wrote

    def serializer(self) -> Serializer:
        """What the scenario's options say; its first step saves with the plain one."""
        described = self.options.get("serializer")
        if described is None or not self.steps_done:
            return PLAIN
        return serializer_of(described)

    def user_version(self) -> int | None:
        returned = self.options.get("user_version_checker_returns")
        return None if returned is None else returned[min(self.steps_done, len(returned) - 1)]

    async def operate(self, store: RecordStore, operation: Any) -> None:
        name = operation["op"]
        known = getattr(self, "op_" + name, None)
        if known is None:
            raise NotYet(name)
        try:
            await known(store, operation)
        except IndexNotSupported as error:
            raise NotYet(str(error.fields["type"])) from error

    async def op_save(self, store: RecordStore, operation: Any) -> None:
        record_type = store.metadata.record_type(operation["record_type"])
        message = record_type.message_class.FromString(record_of(operation))
        version = operation.get("version")
        behavior = operation.get("version_behavior", "DEFAULT")
        saved = await store.save(
            message,
            version=None if version is None else Versionstamp.from_bytes(bytes.fromhex(version)),
            version_behavior=VersionBehavior(behavior.lower().replace("_", " ")),
        )
        result = operation.get("result")
        if result is not None:
            assert saved.primary_key_bytes.hex() == operation["primary_key"]["packed"]
            self.compare_shape(saved.shape, result)

    def compare_shape(self, shape: Shape | None, result: Any) -> None:
        """Pairs and bytes as Java counted them; its keys have another prefix, the same all through a scenario."""
        assert shape is not None
        assert shape.is_split == result["split"]
        assert shape.has_version == result["versioned_inline"]
        assert shape.pairs == result["key_count"]
        if not (self.options.get("serializer") or {}).get("compress"):  # lengths depend on the build of zlib then
            assert shape.value_bytes == result["value_size"]
        prefix, odd = divmod(result["key_size"] - shape.key_bytes, shape.pairs)
        assert (odd, prefix) == (0, self.longer_prefix if self.longer_prefix is not None else prefix)
        self.longer_prefix = prefix

    async def op_delete(self, store: RecordStore, operation: Any) -> None:
        # `delete` would take 0 in a field without presence for the null that it is stored as; Java does not.
        assert await store.delete_packed(bytes.fromhex(operation["primary_key"]["packed"])) is operation["existed"]

    async def op_delete_all_records(self, store: RecordStore, operation: Any) -> None:
        await store.delete_all()

    async def op_delete_records_where(self, store: RecordStore, operation: Any) -> None:
        values = {operation["field"]: operation["equals"]} if "field" in operation else {}
        await delete_where(store, operation["record_type"], values)

    async def op_set_header_user_field(self, store: RecordStore, operation: Any) -> None:
        settings.set_user_field(store, operation["name"], bytes.fromhex(operation["value"]))

    async def op_clear_header_user_field(self, store: RecordStore, operation: Any) -> None:
        assert settings.clear_user_field(store, operation["name"])

    async def op_set_state_cacheability(self, store: RecordStore, operation: Any) -> None:
        assert settings.set_cacheable(store, operation["value"])

    async def op_update_incarnation(self, store: RecordStore, operation: Any) -> None:
        assert settings.raise_incarnation(store, operation["value"]) == operation["value"]

    async def op_update_record_count_state(self, store: RecordStore, operation: Any) -> None:
        assert settings.set_record_counts(store, RecordCountState[operation["value"]])

    async def op_set_store_lock_state(self, store: RecordStore, operation: Any) -> None:
        settings.lock(store, StoreLock(operation["value"]), reason=operation["reason"])

    async def op_clear_store_lock_state(self, store: RecordStore, operation: Any) -> None:
        assert settings.unlock(store)

    async def op_leaderboard_window_update(self, store: RecordStore, operation: Any) -> None:
        specs = operation["specs"]
        if isinstance(specs, list):
            self.windows = specs
        elif specs == "none":
            specs = []
        else:
            base = int(specs.removeprefix("as before with base_timestamp "))
            # The words leave out that there were two of each; the recorded directory shows it.
            specs = [{**spec, "base_timestamp": base, "count": 2} for spec in self.windows]
        index = store.metadata.index(operation["index"])
        board = leaderboard(store, index.name)
        before = await board.directory()
        names = ("type", "base_timestamp", "start_increment", "duration", "count")
        update = WindowUpdate(
            updated=operation["update_timestamp"],
            high_score_first=operation["high_score_first"],
            delete_before=operation["delete_before"],
            all_time=operation["all_time"],
            windows=[Windows(*(spec[name] for name in names)) for spec in specs],
            levels=operation["nlevels"],
            rebuild=Rebuild[operation["rebuild"]],
        )
        await update_windows(store, index, update)
        after = await board.directory()
        gone = set(() if before is None else before.windows) - set(() if after is None else after.windows)
        start = len(PREFIX)
        for prefix in (board.space.entries, board.space.space(3)):
            self.garbage += [prefix[start:] + window.key for window in gone]

    async def op_leaderboard_save_sub_directory(self, store: RecordStore, operation: Any) -> None:
        group = unpack(bytes.fromhex(operation["group"]["packed"]))
        board = leaderboard(store, operation["index"])
        board.save_direction(group, high_score_first=operation["high_score_first"])

    async def op_rebuild_index(self, store: RecordStore, operation: Any) -> None:
        await rebuild(store, store.metadata.index(operation["index"]))

    async def op_mark_index_write_only(self, store: RecordStore, operation: Any) -> None:
        await marking.mark_write_only(store, store.metadata.index(operation["index"]))

    async def op_mark_index_disabled(self, store: RecordStore, operation: Any) -> None:
        await marking.mark_disabled(store, store.metadata.index(operation["index"]))

    async def op_mark_index_readable(self, store: RecordStore, operation: Any) -> None:
        await marking.mark_readable(store, store.metadata.index(operation["index"]))

    async def op_mark_index_readable_or_unique_pending(self, store: RecordStore, operation: Any) -> None:
        await marking.mark_readable(store, store.metadata.index(operation["index"]), unique_pending=True)

    async def op_unchecked_mark_index_readable(self, store: RecordStore, operation: Any) -> None:
        marking.mark_readable_unchecked(store, store.metadata.index(operation["index"]))
        self.unchecked.add(f"index {operation['index']}")

    async def op_clear_and_mark_index_write_only(self, store: RecordStore, operation: Any) -> None:
        marking.clear_and_mark(store, store.metadata.index(operation["index"]), IndexState.WRITE_ONLY)

    async def op_read_index_states(self, store: RecordStore, operation: Any) -> None:
        for name, state in operation["states"].items():
            assert store.index_state(name).name == state

    # -- comparing -------------------------------------------------------------------------------------

    def ours(self, recorded: bytes) -> bytes:
        for java, mine in self.stamps:
            recorded = recorded.replace(java, mine)
        return recorded

    async def compare(self, step: Any) -> None:
        for key in step.get("cleared", []):
            del self.expected[self.ours(bytes.fromhex(key))]
        for key, value in step.get("set", []):
            whole = value if isinstance(value, dict) else self.ours(bytes.fromhex(value))
            self.expected[self.ours(bytes.fromhex(key))] = whole
        for key in CLEARED_HERE.get(self.scenario["scenario"], ()):
            if any("former" in done["label"] for done in self.scenario["steps"][: self.steps_done + 1]):
                self.expected.pop(bytes.fromhex(key), None)
        for key in [key for key in self.expected if key.startswith(tuple(self.garbage))]:
            del self.expected[key]
        context = self.context()
        rows = await context.read_all(PREFIX, PREFIX + b"\xff")
        context.close()
        there = {key[len(PREFIX) :]: value for key, value in rows}
        wanted = self.expected
        if self.scenario["kind"] == "multidimensional":
            there, wanted = with_named_nodes(there), with_named_nodes(wanted)
        assert [key.hex() for key in sorted(there)] == [key.hex() for key in sorted(wanted)], step["label"]
        for key, value in there.items():
            expected = wanted[key]
            if key == b"\x14":
                assert isinstance(expected, bytes)
                assert timeless(value) == timeless(expected), step["label"]
            elif isinstance(expected, dict):
                assert (len(value), hashlib.sha256(value).hexdigest()) == (expected["length"], expected["sha256"])
            elif self.options.get("serializer", {}).get("compress") and value != expected:
                # Another build of zlib than Java's: the transforms, and what they were made of, are the same.
                serializer = serializer_of(self.options["serializer"])
                assert (value[0], serializer.decode(value)) == (expected[0], serializer.decode(expected))
            else:
                same = without_times(key, value).hex() == without_times(key, expected).hex()
                assert same, (step["label"], key.hex(), value.hex(), expected.hex())

    async def check(self) -> None:
        last = [step for step in self.scenario["steps"][: self.steps_done] if "open_store" in step]
        if last:
            context = self.context()
            findings = await check(await self.open(context, last[-1]["open_store"]))
            assert [finding for finding in findings if finding.where not in self.unchecked] == []
            context.close()


def serializer_of(described: Any) -> Serializer:
    """The serialiser that a scenario describes in words."""
    keys: KeyRing | None = None
    vector = b""
    if described["encrypt"]:
        secret = EncryptionKey(bytes.fromhex(described["key"]), described["cipher"])
        keys = KeyRing({described.get("key_number", 0): secret})
        (start,) = re.findall(r"\(7\*i \+ (\d+)\) mod 256", described["iv"])
        vector = bytes((7 * place + int(start)) % 256 for place in range(16))
    return TransformingSerializer(
        compression=ZLIB if described["compress"] else None,
        keys=keys,
        validate=True,
        random_bytes=lambda count: vector[:count],
    )


NODES = {b"md_all": 0, b"md_cal": 1, b"md_kv": 1}
"""Indexes of R-trees by the columns before the node's id."""


def with_named_nodes(pairs: dict[bytes, Any]) -> dict[bytes, Any]:
    """Pairs in which the nodes of R-trees, whose ids are drawn by chance, are named in the order of their tree."""
    named = dict(pairs)
    for index, at in NODES.items():
        spaces = [keyspace + b"\x02" + index + b"\x00" for keyspace in (b"\x15\x02", b"\x15\x03")]
        mine = {key: value for key, value in pairs.items() if key.startswith(tuple(spaces))}
        nodes: dict[Any, dict[Any, Any]] = {}
        for key, value in sorted(mine.items()):
            if key.startswith(spaces[0]):
                items = unpack(key, len(spaces[0]))
                nodes.setdefault(items[:at], {}).setdefault(items[at], []).append((items[at + 1 :], unpack(value)))
        for prefix, tree in nodes.items():
            names: dict[bytes, bytes] = {}
            waiting = [bytes(16)]
            while waiting:
                node = waiting.pop(0)
                names[node] = b"node %011d" % len(names) if names else node
                for key_items, value_items in tree[node]:
                    if not key_items and value_items[0] == 1:
                        waiting += [slot[4] for slot in value_items[1]]
                    elif key_items and key_items[0] == 1:
                        waiting.append(value_items[0])
            for key, value in mine.items():
                space = spaces[0] if key.startswith(spaces[0]) else spaces[1]
                items = unpack(key, len(space))
                own = items[:at] if space == spaces[0] else items[1 : 1 + at]
                if own == prefix:
                    del named[key]
                    named[pack(renamed(items, names), space)] = pack(renamed(unpack(value), names)) if value else b""
    return named


def renamed(items: Any, names: dict[bytes, bytes]) -> Any:
    if isinstance(items, tuple):
        return tuple(renamed(item, names) for item in items)
    return names.get(items, items) if isinstance(items, bytes) else items


def timeless(header: bytes) -> DataStoreInfo:
    """A header without the times of its writing."""
    message = DataStoreInfo.FromString(header)
    assert message.HasField("lastUpdateTime")
    message.ClearField("lastUpdateTime")
    if message.HasField("store_lock_state"):
        assert message.store_lock_state.HasField("timestamp")
        message.store_lock_state.ClearField("timestamp")
    return message


FAILURES = {
    "IndexNotBuiltException": IndexNotBuilt,
    "InvalidExpressionException": IndexCannotClear,
    "RecordIndexUniquenessViolation": UniquenessViolation,
    "StoreIsLockedForRecordUpdates": StoreLocked,
}
"""What stands here for Java's errors; for those that are not named any error will do."""


def check_failure(error: RecordLayerError, failed: Any) -> None:
    assert isinstance(error, FAILURES.get(failed["error"], RecordLayerError))


def test_the_same_steps_leave_the_same_pairs(scenario: Scenario, compared: Any) -> None:
    replay = Replay(scenario)
    stopped_at: str | None = None
    try:
        run_blocking(replay.run())
    except NotYet as stopped:
        stopped_at = str(stopped)
    run_blocking(replay.check())
    replay.close()
    if stopped_at is None:
        compared("stored steps", replay.steps_done)
    else:
        assert stopped_at in NOT_YET
        compared("steps before what is not there yet", replay.steps_done)


# -- the queue of writes -----------------------------------------------------------------------------------


def test_a_store_with_an_index_whose_changes_go_to_a_queue_is_read_and_not_written() -> None:
    replay = Replay(Scenario(OUR_COPY / "write-only-with-queue-a.json"))
    context = replay.context()
    for key, value in replay.scenario["final"]:
        context.set(PREFIX + bytes.fromhex(key), bytes.fromhex(value))
    run_blocking(context.commit())
    context.close()
    run_blocking(_read_and_refuse(replay))
    replay.close()


async def _read_and_refuse(replay: Replay) -> None:
    context = replay.context()
    store = await open_store(context, replay.metadata[0], PREFIX)
    queued = [name for name in store.metadata.indexes if store.index_state(name) is IndexState.WRITE_ONLY_WITH_QUEUE]
    assert queued
    records = await drain(store.scan())
    assert records
    message = records[0].message
    for work in (store.save(message), store.delete(records[0].primary_key)):
        with pytest.raises(IndexNotSupported):
            await work
    assert context.counters.writes == 0
    context.close()


# -- continuations -----------------------------------------------------------------------------------------

SCANS: dict[str, tuple[str | None, Bounds, bool]] = {
    "records forward": (None, Bounds.ALL, False),
    "records reverse": (None, Bounds.ALL, True),
    "records between (1080) and (1140) inclusive": (
        None,
        Bounds.between((1080,), (1140,), high_end=End.INCLUSIVE),
        False,
    ),
    "index city, all, by value": ("city", Bounds.ALL, False),
    "index city = NL": ("city", Bounds.equal(("NL",)), False),
    "index num reverse": ("num", Bounds.ALL, True),
}


@pytest.fixture(scope="module")
def recorded_store() -> Iterator[Replay]:
    replay = Replay(Scenario(OUR_COPY / "continuations-a.json"))
    context = replay.context()
    for key, value in replay.scenario["final"]:
        context.set(PREFIX + bytes.fromhex(key), bytes.fromhex(value))
    run_blocking(context.commit())
    context.close()
    yield replay
    replay.close()


@pytest.mark.parametrize("scan", SCANS)
def test_plain_scans_have_the_continuations_of_java_and_resume_there(recorded_store: Replay, scan: str) -> None:
    recorded = next(one for one in recorded_store.scenario["scans"] if one["scan"] == scan)
    run_blocking(_compare_scan(recorded_store, recorded, *SCANS[scan]))


def test_a_scan_by_rank_has_the_continuations_of_java_and_resumes_there(recorded_store: Replay) -> None:
    scan = "index r by rank, ranks 1 to 4"
    recorded = next(one for one in recorded_store.scenario["scans"] if one["scan"] == scan)
    run_blocking(_compare_scan(recorded_store, recorded, "r", Bounds.between((1,), (4,)), False, by_rank=True))


async def _compare_scan(
    replay: Replay, recorded: Any, index: str | None, bounds: Bounds, reverse: bool, *, by_rank: bool = False
) -> None:
    context = replay.context()
    store = await open_store(context, replay.metadata[0], PREFIX)
    continuation = None
    for row in recorded["rows"]:
        options = ScanOptions(reverse=reverse, continuation=continuation, limit=1)
        cursor: Any
        if by_rank:
            ranked: Any = store.index_maintainer("r")
            cursor = ranked.scan_by_rank(bounds, options)
        else:
            cursor = store.scan(bounds, options) if index is None else store.scan_index(index, bounds, options)
        step = await cursor.next()
        if "end" in row:
            assert step.stop is Stop.EXHAUSTED
            return
        primary_key = re.findall(r"(\d+)\)", row["row"])[0]
        assert step.value.primary_key == (int(primary_key),)
        assert step.continuation.hex() == row["continuation"]
        after = await cursor.next()
        assert (after.stop, after.continuation) == (Stop.LIMIT_REACHED, step.continuation)
        continuation = bytes.fromhex(row["continuation"])
    context.close()
