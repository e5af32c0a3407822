"""What only a cluster can show: the client's library, threads and futures between us and it."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from recordlayer.errors import Cancelled, EngineUnavailable, OpenedBeforeFork, RecordLayerError
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.waiting.drivers import run_asyncio, run_blocking
from recordlayer.waiting.waitable import Waitable

pytestmark = pytest.mark.fdb

CLUSTER_FILE = os.environ.get("RECORDLAYER_TEST_CLUSTER_FILE", "")
PREFIX = b"recordlayer-test-cluster/%d/" % os.getpid()


async def outcome(waitable: Waitable[Any]) -> Any:
    return await waitable


def do(waitable: Waitable[Any]) -> Any:
    return run_blocking(outcome(waitable))


def set_key(engine: Engine, name: bytes, value: bytes) -> None:
    tr = engine.begin()
    tr.set(PREFIX + name, value)
    do(tr.commit())
    tr.close()


def get_key(engine: Engine, name: bytes) -> bytes | None:
    tr = engine.begin()
    value: bytes | None = do(tr.get(PREFIX + name))
    tr.close()
    return value


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = open_engine(f"fdb:{CLUSTER_FILE}")
    yield engine
    cleaning = engine.begin()
    cleaning.clear_range(PREFIX, PREFIX + b"\xff")
    do(cleaning.commit())
    cleaning.close()
    engine.close()


# -- opening -------------------------------------------------------------------------------------------------


def test_a_cluster_that_does_not_answer_is_an_error_in_bounded_time(tmp_path: Path) -> None:
    path = tmp_path / "dead.cluster"
    path.write_text("dead:dead@127.0.0.1:1\n")
    began = time.monotonic()
    with pytest.raises(EngineUnavailable) as caught:
        open_engine(f"fdb:{path}", connect_timeout=1)
    assert time.monotonic() - began < 5
    assert caught.value.fields["cluster_file"] == str(path)
    assert "127.0.0.1:1" in str(caught.value.fields["connections"])
    assert "fdbcli" in caught.value.hint


def test_a_cluster_need_not_be_asked_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "dead.cluster"
    path.write_text("dead:dead@127.0.0.1:1\n")
    engine = open_engine(f"fdb:{path}", connect_timeout=0)
    engine.begin().close()
    engine.close()


def test_a_file_that_is_no_cluster_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fdb.cluster"
    path.write_text("nonsense\n")
    with pytest.raises(EngineUnavailable) as caught:
        open_engine(f"fdb:{path}")
    assert caught.value.fields["cluster_file"] == str(path)
    assert "onnection string" in str(caught.value.fields["reason"])


def test_several_clusters_are_open_in_one_process(engine: Engine, tmp_path: Path) -> None:
    copy = tmp_path / "copy.cluster"
    shutil.copy(CLUSTER_FILE, copy)
    dead = tmp_path / "dead.cluster"
    dead.write_text("dead:dead@127.0.0.1:1\n")
    others = [open_engine(f"fdb:{copy}"), open_engine(f"fdb:{dead}", connect_timeout=0)]
    set_key(engine, b"a", b"1")
    assert get_key(others[0], b"a") == b"1"
    for other in others:
        other.close()
    assert get_key(engine, b"a") == b"1"


# -- threads, loops, signals ---------------------------------------------------------------------------------


def test_many_threads_use_one_engine(engine: Engine) -> None:
    def work(number: int) -> bytes | None:
        set_key(engine, b"%d" % number, b"%d" % number)
        return get_key(engine, b"%d" % number)

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(work, range(64))) == [b"%d" % number for number in range(64)]


def test_many_tasks_use_one_engine(engine: Engine) -> None:
    async def work(number: int) -> bytes | None:
        tr = engine.begin()
        tr.set(PREFIX + b"%d" % number, b"x")
        await tr.commit()
        tr.reset()
        value = await tr.get(PREFIX + b"%d" % number)
        tr.close()
        return value

    async def work_all() -> list[bytes | None]:
        return await asyncio.gather(*(run_asyncio(work(number)) for number in range(200)))

    assert asyncio.run(work_all()) == [b"x"] * 200


def test_a_future_may_be_waited_for_in_another_thread(engine: Engine) -> None:
    set_key(engine, b"a", b"1")
    read = engine.begin().get(PREFIX + b"a")
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(do(read)))
    thread.start()
    thread.join(20)
    assert found == [b"1"]


def test_a_cancelled_task_leaves_at_once(engine: Engine) -> None:
    async def wait_for_change() -> None:
        tr = engine.begin()
        try:
            watch = tr.watch(PREFIX + b"never")
            await tr.commit()
            await watch
        finally:
            tr.close()

    async def cancel_it() -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await run_asyncio(wait_for_change())
        return time.monotonic() - began

    assert asyncio.run(cancel_it()) < 5


def test_an_interrupt_reaches_a_thread_that_waits(engine: Engine) -> None:
    tr = engine.begin()
    watch = tr.watch(PREFIX + b"never")
    do(tr.commit())
    timer = threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        do(watch)
    timer.join()
    assert get_key(engine, b"a") is None


def test_futures_that_nobody_waits_for_are_given_back(engine: Engine) -> None:
    for _ in range(20):
        tr = engine.begin()
        for number in range(50):
            tr.get(PREFIX + b"%d" % number)
            tr.get_range(PREFIX, PREFIX + b"\xff")
        del tr
    gc.collect()
    assert get_key(engine, b"a") is None


def test_closing_a_transaction_ends_what_it_has_under_way(engine: Engine) -> None:
    tr = engine.begin()
    tr.set_read_version(do(engine.begin().read_version()) + 10_000_000_000)
    read = tr.get(PREFIX + b"a")
    tr.close()
    with pytest.raises(Cancelled):
        do(read)


def test_a_commit_under_way_survives_the_close(engine: Engine) -> None:
    tr = engine.begin()
    tr.set(PREFIX + b"a", b"1")
    commit = tr.commit()
    tr.close()
    do(commit)
    assert get_key(engine, b"a") == b"1"


# -- processes -----------------------------------------------------------------------------------------------


def _tell(results: Any, call: Any) -> None:
    try:
        call()
        results.append("worked")
    except RecordLayerError as error:
        results.append(error.code)


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_nothing_inherited_through_a_fork_can_be_used_and_the_parent_goes_on(engine: Engine) -> None:
    tr = engine.begin()
    tr.set(PREFIX + b"a", b"parent")
    pending = engine.begin().watch(PREFIX + b"never")
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        results: list[str] = []
        try:
            _tell(results, lambda: engine.begin())
            _tell(results, lambda: do(tr.get(PREFIX + b"a")))
            _tell(results, lambda: tr.set(PREFIX + b"a", b"child"))
            _tell(results, lambda: do(tr.commit()))
            _tell(results, lambda: do(pending))
            _tell(results, lambda: open_engine(f"fdb:{CLUSTER_FILE}"))
            tr.close()
            engine.close()
            del tr, pending
            gc.collect()
            os.write(telling, " ".join(results).encode())
        finally:
            os._exit(0)
    os.close(telling)
    with os.fdopen(told, "rb") as reader:
        assert reader.read().decode().split() == [OpenedBeforeFork.code] * 6
    os.waitpid(child, 0)
    do(tr.commit())
    assert get_key(engine, b"a") == b"parent"


def _write_in_child(key: bytes) -> None:
    engine = open_engine(f"fdb:{CLUSTER_FILE}")
    tr = engine.begin()
    tr.set(key, b"child")
    do(tr.commit())
    engine.close()


def test_a_spawned_process_opens_its_own(engine: Engine) -> None:
    child = get_context("spawn").Process(target=_write_in_child, args=(PREFIX + b"spawned",))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert get_key(engine, b"spawned") == b"child"
