"""Forks, other processes, threads, and the end of the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recordlayer.errors import Closed, OpenedBeforeFork
from recordlayer.kv.engine import DatabaseOption, KeySelector, MutationType
from tests.support.embedded import content, content_of, do, get, open_embedded, opened, put
from tests.support.processes import environment, in_fork, output_of, run_script, running


@pytest.mark.parametrize("url", ["file", "memory:"])
def test_everything_opened_before_a_fork_says_so_in_the_child(tmp_path: Path, url: str) -> None:
    path = tmp_path / "data" if url == "file" else url
    with opened(path) as engine:
        put(engine, {b"a": b"1"})
        reading, writing, fresh = engine.begin(), engine.begin(), engine.begin()
        watching = engine.begin()
        watch = watching.watch(b"a")
        do(watching.commit())
        do(reading.get(b"a"))
        writing.set(b"b", b"1")

        def all_operations() -> list[str]:
            answers = []
            for operation in (
                engine.begin,
                lambda: do(reading.get(b"a")),
                lambda: do(reading.get_key(KeySelector.first_greater_than(b"a"))),
                lambda: do(reading.get_range(b"a", b"b")),
                lambda: do(reading.watch(b"a")),
                lambda: do(fresh.get(b"a")),
                lambda: do(fresh.read_version()),
                lambda: writing.set(b"new", b"2"),
                lambda: writing.clear(b"new"),
                lambda: writing.clear_range(b"a", b"b"),
                lambda: writing.atomic(MutationType.ADD, b"a", b"1"),
                lambda: do(writing.commit()),
                lambda: do(writing.on_error(Closed())),
                lambda: do(watch),
                lambda: do(engine.boundary_keys(b"", b"\xff")),
                lambda: engine.set_option(DatabaseOption.MAX_WATCHES, 5),
            ):
                try:
                    operation()
                    answers.append("no error")
                except OpenedBeforeFork as error:
                    answers.append("OpenedBeforeFork" if "open the database in the child" in error.hint else "no hint")
            for closing in (reading, writing, fresh, watching, engine):
                closing.close()
            return answers

        assert in_fork(all_operations) == str(["OpenedBeforeFork"] * 15 + ["no error"])
        # The parent goes on as if nothing had been.
        assert do(reading.get(b"a")) == b"1"
        do(writing.commit())
        assert not watch.ready()
        put(engine, {b"a": b"2"})
        do(watch)
        assert content(engine) == {b"a": b"2", b"b": b"1"}


def test_a_child_that_ends_by_itself_leaves_its_parent_unharmed(tmp_path: Path) -> None:
    """It runs everything a process runs at its end, finalisers too."""
    script = """
        import os, sys
        from tests.support.embedded import content, do, get, open_embedded, put
        engine = open_embedded(sys.argv[1])
        put(engine, {b"%d" % number: b"x" * 100 for number in range(1000)})
        reader = engine.begin()
        do(reader.get(b"1"))
        for _ in range(5):
            child = os.fork()
            if child == 0:
                sys.exit(0)
            put(engine, {b"%d" % number: b"y" * 100 for number in range(0, 1000, 7)})
            assert os.waitpid(child, 0)[1] == 0
            assert do(reader.get(b"7")) == b"x" * 100
        assert len(content(engine)) == 1000
        engine.close()
        print("well")
    """
    assert output_of(script, tmp_path / "data") == "well"


def test_a_child_may_open_the_file_once_its_parent_has_closed_it(tmp_path: Path) -> None:
    path = tmp_path / "data"
    engine = open_embedded(path)
    put(engine, {b"a": b"1"})
    assert in_fork(lambda: get(open_embedded(path), b"a")).startswith("EngineInUse: another process owns this file\n")
    reading, writing = os.pipe()

    def child() -> dict[bytes, bytes]:
        os.close(writing)
        os.read(reading, 1)  # the end of the pipe: the parent has closed
        with opened(path) as mine:
            put(mine, {b"b": b"2"})
            return content(mine)

    def close_meanwhile() -> None:
        time.sleep(0.05)
        engine.close()
        os.close(writing)

    closer = threading.Thread(target=close_meanwhile)
    result: list[str] = []
    forker = threading.Thread(target=lambda: result.append(in_fork(child)))
    forker.start()
    closer.start()
    closer.join()
    forker.join()
    os.close(reading)
    assert result == [str({b"a": b"1", b"b": b"2"})]
    assert content_of(path) == {b"a": b"1", b"b": b"2"}


def test_a_child_may_have_databases_of_its_own(tmp_path: Path) -> None:
    def child() -> str:
        with opened(tmp_path / "other") as other, opened("memory:") as memory:
            put(other, {b"a": b"1"})
            put(memory, {b"a": b"2"})
            return str((content(other), content(memory)))

    with opened(tmp_path / "data") as engine, opened("memory:"):
        put(engine, {b"mine": b"1"})
        assert in_fork(child) == str(({b"a": b"1"}, {b"a": b"2"}))
        assert content(engine) == {b"mine": b"1"}
    assert content_of(tmp_path / "other") == {b"a": b"1"}


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_forking_while_other_threads_read_and_write_harms_nobody(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "data"
    stop = threading.Event()
    errors: list[BaseException] = []
    counts = [0, 0]
    with opened(path, durability=durability) as engine:
        put(engine, {b"%04d" % number: b"0" for number in range(500)})

        def write() -> None:
            try:
                while not stop.is_set():
                    counts[0] += 1
                    put(engine, {b"%04d" % number: b"%d" % counts[0] for number in range(0, 500, 5)})
            except BaseException as error:
                errors.append(error)

        def read() -> None:
            try:
                while not stop.is_set():
                    transaction = engine.begin()
                    rows = do(transaction.get_range(b"", b"\xff", limit=500)).rows
                    assert len({value for key, value in rows if int(key) % 5 == 0}) == 1
                    assert do(transaction.get(b"0005")) == dict(rows)[b"0005"]
                    transaction.close()
                    counts[1] += 1
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for work in (write, read, read)]
        for thread in threads:
            thread.start()
        for _ in range(15):
            assert in_fork(lambda: get(engine, b"0005")).startswith("OpenedBeforeFork")
            time.sleep(0.01)
        before = list(counts)
        while not errors and (counts[0] < before[0] + 3 or counts[1] < before[1] + 3):
            time.sleep(0.01)  # they go on
        stop.set()
        for thread in threads:
            thread.join()
        assert not errors
    assert len(content_of(path, durability=durability)) == 500


def test_a_server_that_forks_its_workers_opens_in_each_of_them(tmp_path: Path) -> None:
    """The file belongs to one process: the first worker gets it, the others are told who has it."""
    path = tmp_path / "data"
    with opened(path) as engine:  # the mistake: opened before the workers were made
        put(engine, {b"a": b"1"})
        assert in_fork(lambda: get(engine, b"a")).startswith("OpenedBeforeFork")

    def worker() -> str:
        with opened(path) as mine:
            reading, writing = os.pipe()
            inner = in_fork(lambda: get(open_embedded(path), b"a"))
            os.close(reading)
            os.close(writing)
            return f"{get(mine, b'a')!r} {inner.splitlines()[0]} {f'owner_pid {os.getpid()}' in inner}"

    assert in_fork(worker) == "b'1' EngineInUse: another process owns this file True"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_with_databases_opened_in_the_worker(tmp_path: Path, method: str) -> None:
    script = """
        import multiprocessing, sys
        from tests.support.embedded import content, open_embedded, put

        def work(path):
            engine = open_embedded(path)
            put(engine, {b"child": b"1"})
            found = content(engine)
            engine.close()
            return found

        def touch(engine_and_path):
            try:
                ENGINE.begin()
            except Exception as error:
                return type(error).__name__

        if __name__ == "__main__":
            path, method = sys.argv[1:]
            context = multiprocessing.get_context(method)
            ENGINE = open_embedded(path)
            put(ENGINE, {b"parent": b"1"})
            if method == "fork":
                with context.Pool(1) as pool:
                    print(pool.map(touch, [None]))
            ENGINE.close()
            with context.Pool(1) as pool:
                print(pool.map(work, [path]))
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "data"), method],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == str([{b"child": b"1", b"parent": b"1"}])
    assert method != "fork" or lines[0] == "['OpenedBeforeFork']"


def test_subprocesses_do_not_keep_the_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    engine = open_embedded(path)
    with running("import sys; print('up', flush=True); sys.stdin.read()") as process:
        assert process.stdout is not None
        process.stdout.readline()
        engine.close()
        assert output_of(
            "import sys; from tests.support.embedded import content_of; print(content_of(sys.argv[1]))", path
        )


# -- threads


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_threads_that_outlive_the_database_are_told_that_it_is_closed(tmp_path: Path, durability: str) -> None:
    engine = open_embedded(tmp_path / durability, durability=durability)
    put(engine, {b"%d" % number: b"x" for number in range(100)})
    started = threading.Barrier(9)
    acknowledged: list[set[bytes]] = [set() for _ in range(4)]

    def write(me: int) -> None:
        started.wait()
        for number in range(100_000):
            key = b"w%d-%d" % (me, number)
            put(engine, {key: b"1"})
            acknowledged[me].add(key)

    def read() -> None:
        started.wait()
        while True:
            transaction = engine.begin()
            for _ in range(10):
                do(transaction.get(b"1"))
                do(transaction.get_range(b"", b"\xff", limit=50))

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(write, me) for me in range(4)] + [pool.submit(read) for _ in range(4)]
        started.wait()
        time.sleep(0.2)
        engine.close()
        for future in futures:
            assert isinstance(future.exception(timeout=20), Closed)
    stored = set(content_of(tmp_path / durability, durability=durability))
    for mine in acknowledged:
        assert mine <= stored
        assert mine


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_a_process_may_end_with_everything_open(tmp_path: Path, durability: str) -> None:
    script = """
        import sys, threading, time
        from tests.support.embedded import do, open_embedded, put
        engine = open_embedded(sys.argv[1], durability=sys.argv[2])
        memory = open_embedded("memory:")
        put(engine, {b"acknowledged": b"1"})
        put(memory, {b"a": b"1"})
        open_one, open_two = engine.begin(), memory.begin()
        do(open_one.get(b"a")); do(open_two.get(b"a"))
        open_one.set(b"never", b"committed")
        queued = engine.begin()
        queued.set(b"queued", b"1")
        waiting = queued.commit()

        def busy():
            number = 0
            while True:
                put(engine, {b"busy": b"%d" % number})
                number += 1

        for _ in range(3):
            threading.Thread(target=busy, daemon=True).start()
        time.sleep(0.1)
        print("end")
    """
    done = run_script(script, tmp_path / "data", durability)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
    assert "Fatal" not in done.stderr
    stored = content_of(tmp_path / "data", durability=durability)
    assert stored[b"acknowledged"] == b"1"
    assert stored[b"queued"] == b"1"
    assert b"never" not in stored


def test_closing_commits_what_is_queued(tmp_path: Path) -> None:
    engine = open_embedded(tmp_path / "data")
    waiting = []
    for number in range(50):
        transaction = engine.begin()
        transaction.set(b"%d" % number, b"1")
        waiting.append((transaction, transaction.commit()))
    engine.close()
    for _, commit in waiting:
        do(commit)
    assert len(content_of(tmp_path / "data")) == 50


def test_a_watch_is_told_that_the_database_is_closed(tmp_path: Path) -> None:
    engine = open_embedded(tmp_path / "data")
    watching = engine.begin()
    watch = watching.watch(b"a")
    do(watching.commit())
    engine.close()
    with pytest.raises(Closed):
        do(watch)


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_closing_one_of_two_engines_that_share_a_file_ends_what_is_its_own(tmp_path: Path, durability: str) -> None:
    one, two = (open_embedded(tmp_path / "data", durability=durability) for _ in range(2))
    watches = []
    for engine in (one, two):
        transaction = engine.begin()
        watches.append((transaction, transaction.watch(b"a")))
        do(transaction.commit())
    queued = one.begin()
    queued.set(b"queued", b"1")
    commit = queued.commit()
    one.close()
    do(commit)  # nobody had waited for it
    with pytest.raises(Closed):
        do(watches[0][1])
    assert not watches[1][1].ready()
    put(two, {b"a": b"1"})
    do(watches[1][1])
    assert content(two) == {b"a": b"1", b"queued": b"1"}
    two.close()


def test_a_database_may_be_closed_from_a_callback_of_its_own_thread(tmp_path: Path) -> None:
    engine = open_embedded(tmp_path / "data")
    transaction = engine.begin()
    transaction.set(b"a", b"1")
    closed = threading.Event()

    def close() -> None:
        closing = threading.Thread(target=lambda: (engine.close(), closed.set()))
        closing.start()

    transaction.commit().on_ready(close)
    assert closed.wait(20)
    assert content_of(tmp_path / "data") == {b"a": b"1"}


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_an_interrupted_process_keeps_what_it_acknowledged(tmp_path: Path, durability: str) -> None:
    """Ctrl-C at a terminal, again and again, at any moment."""
    script = """
        import signal, sys
        from tests.support.embedded import open_embedded, put
        engine = open_embedded(sys.argv[1], durability=sys.argv[2])
        ready = False

        def pressed(number, frame):
            # Only where it is caught: between two turns of the loop it would end the process, as it should.
            global ready
            if ready:
                ready = False
                raise KeyboardInterrupt

        signal.signal(signal.SIGINT, pressed)
        print("ready", flush=True)
        number = 0
        while True:
            try:
                ready = True
                put(engine, {b"%06d" % number: b"1", b"same": b"%06d" % number})
                ready = False
                print(number, flush=True)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            number += 1
    """
    path = tmp_path / durability
    with running(script, path, durability) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
        reader.start()
        for _ in range(20):
            time.sleep(0.02)
            process.send_signal(signal.SIGINT)
        seen = len(lines)
        deadline = time.monotonic() + 40
        while len(lines) <= seen + 2:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline, "it does not go on after the interrupts"
            time.sleep(0.02)
        process.kill()
        reader.join()
    acknowledged = {b"%06d" % int(line) for line in lines if line.strip().isdigit() and line.endswith("\n")}
    assert "interrupted\n" in lines
    stored = content_of(path, durability=durability)
    assert acknowledged <= set(stored)
    assert stored[b"same"] == max(key for key in stored if key != b"same")
