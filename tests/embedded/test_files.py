"""What may lie at a path, and what may happen to a file: refused with a clear error, and nothing touched."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import pytest

import recordlayer as rl
from recordlayer import aio
from recordlayer.errors import (
    Closed,
    CorruptFile,
    DirectoryMissing,
    DiskError,
    DiskFull,
    EngineError,
    EngineInUse,
    InvalidEngineOption,
    MapFull,
    NewerFile,
    NoPermission,
    NotADatabase,
    OpenedDifferently,
    RecordLayerError,
)
from recordlayer.kv.embedded.engine import EmbeddedEngine
from recordlayer.kv.engine import KeySelector, MutationType
from recordlayer.testing.clock import ManualClock
from tests.support.embedded import content, content_of, do, get, open_embedded, opened, put
from tests.support.processes import NOBODY, in_fork, output_of, run_script, running
from tests.support.shop import PATH, Order, plain

SOME = {b"": b"empty", b"a": b"1", b"b" * 600: b"2", b"c": b"x" * 5000}

OPEN = """
    import sys
    from recordlayer.errors import RecordLayerError
    from tests.support.embedded import opened
    try:
        with opened(sys.argv[1]):
            print("opened")
    except RecordLayerError as error:
        print(type(error).__name__, error.fields.get("owner_pid"), error.hint)
"""


def make(path: Path, **options: object) -> None:
    with opened(path, **options) as engine:
        put(engine, SOME)


@contextmanager
def untouched(*paths: Path) -> Iterator[None]:
    """The files, and the names beside them, are at the end what they were."""

    def look() -> dict[Path, tuple[bytes | None, int, int]]:
        return {
            path: (path.read_bytes() if path.is_file() else None, path.lstat().st_mode, path.lstat().st_size)
            for directory in {path.parent for path in paths}
            for path in directory.iterdir()
        }

    before = look()
    yield
    after = look()
    # What LMDB keeps beside a file it was asked to open is the only thing that may be new.
    assert {path for path in set(after) - set(before) if not path.name.endswith("-lock")} == set()
    assert {path: what for path, what in after.items() if path in before and not path.name.endswith("-lock")} == {
        path: what for path, what in before.items() if not path.name.endswith("-lock")
    }


def assert_refused(path: str | Path, error: type[EngineError], **options: object) -> EngineError:
    """Opening fails with `error`, which says what, where, and how to mend it."""
    with pytest.raises(error) as caught:
        open_embedded(path, **options)
    assert caught.value.hint
    assert caught.value.fields
    return caught.value


# -- what is not ours


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with untouched(tmp_path / "data"):
        assert "directory" in assert_refused(tmp_path / "data", NotADatabase).hint


@pytest.mark.parametrize("text", [b"x", b"hello\n", b"SQLite format 3\0" + bytes(5000), os.urandom(9000)])
def test_a_foreign_file_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(text)
    with untouched(path):
        assert assert_refused(path, NotADatabase).fields["path"] == str(path)


@pytest.mark.parametrize("trees", [(), (b"users",), (b"meta", b"data"), (b"meta", b"data", b"long")])
def test_an_lmdb_file_of_another_program_is_refused(tmp_path: Path, trees: tuple[bytes, ...]) -> None:
    path = tmp_path / "other"
    with lmdb.open(str(path), subdir=False, max_dbs=8, map_size=1 << 20, lock=False) as env:
        for tree in trees:
            env.open_db(tree)
        with env.begin(write=True) as txn:
            txn.put(b"key", b"value")
    with untouched(path):
        assert_refused(path, NotADatabase)


def test_a_file_of_lmdbs_next_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "next"
    lmdb.open(str(path), subdir=False, map_size=1 << 20, lock=False, lib_version=1).close()
    with untouched(path):
        assert_refused(path, NotADatabase)


def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    make(path)
    with lmdb.open(str(path), subdir=False, max_dbs=8, map_size=1 << 20, lock=False) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True) as txn:
            txn.put(b"format", (2).to_bytes(4, "big"), db=meta)
    with untouched(path):
        error = assert_refused(path, NewerFile)
    assert error.fields["format"] == 2
    assert "upgrade" in error.hint


def test_pipes_sockets_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    with untouched(tmp_path / "pipe"):
        assert_refused(tmp_path / "pipe", NotADatabase)
        assert_refused(tmp_path / "socket", NotADatabase)
        assert_refused("/dev/null", NotADatabase)
    listening.close()


def test_a_path_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert_refused(tmp_path / "missing" / "data", DirectoryMissing)
    assert_refused(tmp_path / "file" / "data", DirectoryMissing)
    assert_refused(tmp_path / ("x" * 300), DiskError)
    assert_refused("data\0base", InvalidEngineOption)
    assert_refused("", InvalidEngineOption)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize(
    "options",
    [
        {"durability": "sometimes"},
        {"map_size": 0},
        {"map_size": "big"},
        {"map_size": True},
        {"max_size": 1 << 60},
        {"window_bytes": -1},
        {"no_such_option": 1},
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_made(tmp_path: Path, options: dict[str, object]) -> None:
    assert_refused(tmp_path / "data", InvalidEngineOption, **options)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_becomes_a_database_with_its_own_rights(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"")
    path.chmod(0o600)
    make(path)
    assert content_of(path) == SOME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_name_that_is_not_text_works(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \xff"))
    make(path)
    assert content_of(path) == SOME


def test_links_lead_to_one_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "data")
    make(tmp_path / "link")
    os.link(tmp_path / "data", tmp_path / "hard")
    with opened(tmp_path / "link") as first, opened(tmp_path / "hard") as second, opened(tmp_path / "data") as third:
        put(first, {b"new": b"1"})
        assert get(second, b"new") == get(third, b"new") == b"1"


# -- what is damaged


def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path) as engine:
        for number in range(30):
            put(engine, {b"%03d" % number: b"v" * 3000})
        before = content(engine)
    whole = path.read_bytes()
    # In a process of its own: who reads beyond the end of a mapped file dies.
    script = """
        import sys
        from pathlib import Path
        from recordlayer.errors import CorruptFile, EngineError
        from tests.support.embedded import content_of
        whole = Path(sys.argv[1]).read_bytes()
        cut = Path(sys.argv[1] + "-cut")
        for size in [*range(1, 200, 13), 4095, 4096, 4097, 8191, *range(8192, len(whole), 4096), len(whole) - 1]:
            cut.write_bytes(whole[:size])
            try:
                print(size, len(content_of(cut)))
            except (CorruptFile, EngineError) as error:
                print(size, type(error).__name__)
                assert cut.read_bytes() == whole[:size]
    """
    lines = [line.split() for line in output_of(script, path).splitlines()]
    answers = {int(size): answer for size, answer in lines}
    assert set(answers.values()) <= {"CorruptFile", "NotADatabase", str(len(before))}
    assert {answer for size, answer in answers.items() if size >= 4096} <= {"CorruptFile", str(len(before))}
    assert answers[8192] == "CorruptFile"
    assert len(whole) > 20 * 4096


def test_a_file_whose_free_end_was_never_written_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "data"
    make(path)
    with opened(path) as engine:
        transaction = engine.begin()
        transaction.set(b"large", b"x" * 90_000)
        do(transaction.commit())
    size = path.stat().st_size
    with lmdb.open(str(path), subdir=False, max_dbs=8, map_size=1 << 24, lock=False) as env:
        data = env.open_db(b"data")
        with env.begin(write=True) as txn:  # pages at the end, given out and given back: not written
            txn.put(b"z", b"x" * 90_000, db=data)
            txn.delete(b"z", db=data)
    assert path.stat().st_size < size + 90_000
    assert content_of(path) == {**SOME, b"large": b"x" * 90_000}


@pytest.mark.parametrize("at", [0, 16, 20])
@pytest.mark.parametrize("page", [0, 4096])
def test_a_damaged_beginning_is_refused(tmp_path: Path, at: int, page: int) -> None:
    path = tmp_path / "data"
    make(path)
    with path.open("r+b") as file:
        file.seek(page + at)
        file.write(b"\xa5" * (4096 - at))
    with untouched(path):
        with pytest.raises((CorruptFile, NotADatabase, NewerFile)) as caught:
            open_embedded(path)
        assert caught.value.hint


def test_zeros_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(100_000))
    with untouched(path):
        assert_refused(path, CorruptFile)


# -- what may not be done


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own are private."""
    directory = Path(tempfile.mkdtemp(prefix="recordlayer-test-"))
    directory.chmod(0o777)
    yield directory
    directory.chmod(0o777)
    shutil.rmtree(directory)


def opened_by_somebody(path: Path) -> str:
    """What a user who is not allowed everything is told."""

    def attempt() -> str:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        try:
            with opened(path):
                return "opened"
        except EngineError as error:
            return f"{type(error).__name__} {error.hint}"

    return in_fork(attempt)


FORBIDDEN = "NoPermission give this user write permission, or choose another path"


def test_a_file_that_may_not_be_written_is_refused(public_directory: Path) -> None:
    path = public_directory / "data"
    make(path)
    path.chmod(0o444)
    with untouched(path):
        assert opened_by_somebody(path) == FORBIDDEN
    path.chmod(0o000)
    with untouched(path):
        assert opened_by_somebody(path) == FORBIDDEN


def test_a_directory_that_may_not_be_written_is_refused(public_directory: Path) -> None:
    path = public_directory / "data"
    public_directory.chmod(0o555)
    assert opened_by_somebody(path) == FORBIDDEN
    assert list(public_directory.iterdir()) == []
    public_directory.chmod(0o777)
    make(path)
    path.chmod(0o666)
    (public_directory / "data-lock").unlink()
    public_directory.chmod(0o555)
    with untouched(path):
        assert opened_by_somebody(path) == FORBIDDEN


def test_who_may_write_may_open_what_another_user_made(public_directory: Path) -> None:
    path = public_directory / "data"
    make(path)
    path.chmod(0o666)
    with opened(path):
        for name in ("data-lock", "data-owner"):  # a killed process would leave them
            assert stat.S_IMODE((public_directory / name).stat().st_mode) == 0o666
    (public_directory / "data-owner").write_text("1\n")
    (public_directory / "data-owner").chmod(0o666)
    assert opened_by_somebody(path) == "opened"
    path.chmod(0o660)
    make(path)
    assert opened_by_somebody(path) == FORBIDDEN
    assert stat.S_IMODE((public_directory / "data-lock").stat().st_mode) == 0o660


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("mount"), reason="only root may make a read-only disk")
def test_a_medium_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=4m tmpfs '{disk}' 2>/dev/null") != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        path, bare = disk / "data", disk / "bare"
        make(path)
        bare.write_bytes(path.read_bytes())  # without the files beside it
        assert os.system(f"mount -o remount,ro '{disk}'") == 0
        for name, kept in ((path, [path]), (bare, [bare]), (disk / "new", [])):
            with untouched(*kept):
                error = assert_refused(name, NoPermission)
            assert "read-only" in str(error.fields["reason"]).lower()
            assert "another path" in error.hint
        with opened(tmp_path / "other") as engine:
            put(engine, SOME)
            with pytest.raises(NoPermission):
                engine.compact(str(disk / "copy"))
            assert content(engine) == SOME
        assert sorted(one.name for one in disk.iterdir()) == ["bare", "data", "data-lock"]
        copy = tmp_path / "copy"
        shutil.copy(path, copy)
        assert content_of(copy) == SOME
    finally:
        os.system(f"umount -l '{disk}'")


# -- what is too large


def test_a_limit_on_the_size_of_files_is_reported_as_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "data"
    make(path)
    script = """
        import resource, signal, sys
        from recordlayer.errors import DiskFull
        from tests.support.embedded import content, opened, put
        with opened(sys.argv[1], durability=sys.argv[2]) as engine:
            before = content(engine)
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
            try:
                put(engine, {b"large%d" % number: b"x" * 90_000 for number in range(5)})
            except DiskFull as error:
                print("refused", "path" in error.fields, bool(error.hint))
            assert content(engine) == before
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            put(engine, {b"later": b"1"})
            assert content(engine) == {**before, b"later": b"1"}
    """
    for durability in ("commit", "relaxed"):
        assert output_of(script, path, durability) == "refused True True"
    assert content_of(path) == {**SOME, b"later": b"1"}


def put_without_end(engine: EmbeddedEngine, stored: dict[bytes, bytes]) -> None:
    """Commit until that fails, noting what was acknowledged."""
    for number in itertools.count():
        pair = {b"more%d" % number: b"x" * 9000}
        put(engine, pair)
        stored.update(pair)


def fill(path: Path) -> None:
    """Write a file until its disk is full."""
    with path.open("ab", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("mount"), reason="only root may make a small disk")
@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path: Path, durability: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m tmpfs '{disk}' 2>/dev/null") != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        path = disk / "data"
        make(path, durability=durability)
        with opened(path, durability=durability) as engine:
            stored = dict(SOME)
            with pytest.raises(DiskFull) as caught:
                put_without_end(engine, stored)
            assert caught.value.fields["path"] == str(path)
            assert content(engine) == stored
            put(engine, {b"c": None, b"more0": None})  # what is given up makes room
            put(engine, {b"small": b"1"})
            del stored[b"c"], stored[b"more0"]
            assert content(engine) == {**stored, b"small": b"1"}
        fill(disk / "filler")
        with pytest.raises(DiskFull):
            open_embedded(disk / "second", durability=durability)
        assert sorted(path.name for path in disk.iterdir() if path.name.startswith("second")) == []
        assert content_of(path, durability=durability) == {**stored, b"small": b"1"}
        for name in ("data-lock", "data-owner"):  # as if it had been copied there
            (disk / name).unlink(missing_ok=True)
        fill(disk / "filler")
        with pytest.raises(DiskFull):
            open_embedded(path, durability=durability)
    finally:
        os.system(f"umount -l '{disk}'")


def test_a_full_map_grows(tmp_path: Path) -> None:
    for path in (tmp_path / "data", "memory:"):
        with opened(path, map_size=1 << 20) as engine:
            reader = engine.begin()
            assert do(reader.get(b"0")) is None
            for number in range(40):
                put(engine, {b"%d" % number: b"x" * 90_000})
            assert do(reader.get(b"0")) is None, "a reader of the time before sees it still"
            put(engine, {b"many%d" % number: b"y" * 90_000 for number in range(60)})
            assert len(content(engine)) == 100
    assert len(content_of(tmp_path / "data", map_size=1 << 20)) == 100


def test_a_map_that_may_not_grow_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "data"
    for _ in range(2):
        with opened(path, max_size=1 << 20) as engine:
            put(engine, SOME)
            with pytest.raises(MapFull) as caught:
                put(engine, {b"many%d" % number: b"y" * 90_000 for number in range(20)})
            assert caught.value.fields["path"] == str(path)
            assert "max_size" in caught.value.hint
            assert content(engine) == SOME
    with opened(path) as engine:
        put(engine, {b"many%d" % number: b"y" * 90_000 for number in range(20)})


def test_little_address_space_is_enough(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from tests.support.embedded import content, opened, put
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        with opened(sys.argv[1]) as engine:
            put(engine, {b"a": b"1"})
            print(content(engine))
    """
    assert output_of(script, tmp_path / "data") == "{b'a': b'1'}"


# -- owners


def test_another_process_is_told_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "data"
    make(path)
    os.link(path, tmp_path / "other-name")
    with opened(path), untouched(path):
        assert output_of(OPEN, path).startswith(f"EngineInUse {os.getpid()} close it there")
        # The lock is on the file, not on its name; who holds it, Linux says.
        answer = output_of(OPEN, tmp_path / "other-name")
        assert answer.startswith((f"EngineInUse {os.getpid()} close it there", "EngineInUse None"))
    assert output_of(OPEN, path) == "opened"
    assert {name.name for name in tmp_path.iterdir()} <= {"data", "data-lock", "other-name", "other-name-lock"}


def test_a_killed_owner_owns_nothing(tmp_path: Path) -> None:
    path = tmp_path / "data"
    script = """
        import sys
        from tests.support.embedded import open_embedded, put
        engine = open_embedded(sys.argv[1])
        put(engine, {b"a": b"1"})
        print("ready", flush=True)
        sys.stdin.read()
    """
    with running(script, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert_refused(path, EngineInUse)
        process.kill()
        process.wait()
        assert content_of(path) == {b"a": b"1"}


def test_two_openings_in_one_process_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    first, second = open_embedded(path), open_embedded(path)
    put(first, {b"a": b"1"})
    assert get(second, b"a") == b"1"
    first.close()
    first.close()
    with pytest.raises(Closed):
        first.begin()
    put(second, {b"a": b"2"})
    second.close()
    assert content_of(path) == {b"a": b"2"}


@pytest.mark.parametrize("options", [{"durability": "relaxed"}, {"map_size": 1 << 30}, {"window_bytes": 1 << 20}])
def test_two_openings_with_different_options_are_refused(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "data"
    with opened(path) as engine:
        assert_refused(path, OpenedDifferently, **options)
        put(engine, SOME)
    assert content_of(path, **options) == SOME


def test_a_file_that_is_moved_while_open_stays_ours(tmp_path: Path) -> None:
    old, new = tmp_path / "data", tmp_path / "moved"
    with opened(old) as engine:
        put(engine, {b"a": b"1"})
        old.rename(new)
        put(engine, {b"b": b"2"})
        assert content(engine) == {b"a": b"1", b"b": b"2"}
        with opened(new) as same:  # the file counts, not its name
            assert content(same) == {b"a": b"1", b"b": b"2"}
        # LMDB's lock file still has the old name: nobody may make another database beside it.
        assert "moved" in assert_refused(old, EngineInUse).hint
        assert output_of(OPEN, old).startswith(f"EngineInUse {os.getpid()}")
        assert output_of(OPEN, new).startswith("EngineInUse")
        assert not old.exists()
    assert content_of(new) == {b"a": b"1", b"b": b"2"}
    with opened(old) as engine:
        assert content(engine) == {}


def test_a_file_that_is_removed_while_open_works_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path) as engine:
        put(engine, {b"a": b"1"})
        path.unlink()
        put(engine, {b"b": b"2"})
        assert content(engine) == {b"a": b"1", b"b": b"2"}
    assert content_of(path) == {}


def test_memory_leaves_nothing_behind(tmp_path: Path) -> None:
    script = """
        import os, sys, tempfile
        from tests.support.embedded import open_embedded, put
        homes = [home for home in ("/dev/shm", tempfile.gettempdir()) if os.path.isdir(home)]
        for home in homes:
            left = os.path.join(home, sys.argv[1])
            os.mkdir(left)
            os.utime(left, (0, 0))
        engine = open_embedded("memory:")
        put(engine, {b"a": b"1"})
        own = os.path.dirname(engine._file.path)
        used = os.path.dirname(own)
        print(used in homes, os.path.exists(own), os.path.exists(os.path.join(used, sys.argv[1])), flush=True)
        os.kill(os.getpid(), 9)
    """
    left = f"recordlayer-left-over-{os.getpid()}"  # others may run this test too
    done = run_script(script, left, env={"TMPDIR": str(tmp_path)})
    assert done.stdout.split() == ["True", "False", "False"], done.stderr
    shutil.rmtree(f"/dev/shm/{left}", ignore_errors=True)


# -- used again


@pytest.mark.parametrize("shared", [False, True])
def test_a_closed_engine_answers_closed(tmp_path: Path, shared: bool) -> None:
    """Also when another engine of this process has the file open, which goes on."""
    other = open_embedded(tmp_path / "data") if shared else None
    engine = open_embedded(tmp_path / "data")
    put(engine, SOME)
    reading, writing = engine.begin(), engine.begin()
    do(reading.get(b"a"))
    writing.set(b"new", b"1")
    engine.close()
    with pytest.raises(Closed):
        engine.begin()
    for operation in (
        lambda: do(reading.get(b"a")),
        lambda: do(reading.get_key(KeySelector.first_greater_than(b"a"))),
        lambda: do(reading.get_range(b"a", b"b")),
        lambda: do(reading.estimated_range_size(b"a", b"b")),
        lambda: do(reading.range_split_points(b"a", b"b", 100)),
        lambda: do(reading.watch(b"a")),
        lambda: do(reading.read_version()),
        lambda: writing.set(b"new", b"2"),
        lambda: writing.clear(b"new"),
        lambda: writing.clear_range(b"a", b"b"),
        lambda: writing.atomic(MutationType.ADD, b"a", b"1"),
        lambda: do(writing.commit()),
        lambda: do(writing.on_error(RecordLayerError())),
        lambda: do(engine.boundary_keys(b"", b"\xff")),
    ):
        with pytest.raises(Closed) as caught:
            operation()
        assert caught.value.hint
    reading.close()
    writing.close()
    if other is not None:
        put(other, {b"later": b"1"})
        assert content(other) == {**SOME, b"later": b"1"}
        assert len(other._file.readers) == 0, "a closed engine's transaction still holds a version"
        put(other, {b"later": None})
        other.close()
    reading.close()
    writing.close()
    assert content_of(tmp_path / "data") == SOME


def test_databases_of_one_process_share_a_file_blocking_and_not(tmp_path: Path) -> None:
    path = tmp_path / "data"

    async def look() -> list[Any]:
        async with aio.open(f"file:{path}") as second, second.transaction() as tx:
            return await (await tx.store(plain(), path=PATH)).scan().all()

    with rl.open(f"file:{path}") as first:
        with first.transaction() as tx:
            tx.store(plain(), path=PATH).save(Order(id=1))
        with rl.open(f"file:{path}") as other, other.transaction() as tx:
            assert tx.store(plain(), path=PATH).load(1) == Order(id=1)
        assert asyncio.run(look()) == [Order(id=1)]
        with pytest.raises(OpenedDifferently):
            rl.open(f"file:{path}", world=ManualClock().world())
