"""Compact copies, and what verifying finds."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from recordlayer.errors import (
    Closed,
    DirectoryMissing,
    EngineInUse,
    NoFile,
    NotADatabase,
    PathTaken,
)
from recordlayer.kv import compact, verify
from tests.support.embedded import content, content_of, open_embedded, opened, put
from tests.support.processes import output_of
from tests.support.workload import check, run

SOME = {b"": b"empty", b"a": b"1", b"b" * 600: b"2", b"b" * 600 + b"x": b"3", b"c" * 5000: b"x" * 5000}


def fill(path: Path, keys: int = 500) -> dict[bytes, bytes]:
    pairs = {**SOME, **{b"%05d" % number: os.urandom(number % 700) for number in range(keys)}}
    with opened(path) as engine:
        put(engine, pairs)
    return pairs


# -- compact


def test_a_compact_copy_holds_the_same_in_less_room(tmp_path: Path) -> None:
    path, copy = tmp_path / "data", tmp_path / "copy"
    pairs = fill(path)
    with opened(path) as engine:
        put(engine, {key: None for key in pairs if key.startswith(b"0")})
        engine.compact(str(copy))
        kept = content(engine)
    assert copy.stat().st_size < path.stat().st_size / 2
    assert content_of(copy) == kept == SOME
    assert verify(f"file:{copy}") == []
    with opened(copy) as engine:
        put(engine, {b"later": b"1"})
        assert content(engine) == {**SOME, b"later": b"1"}


def test_a_closed_file_and_a_database_in_memory_can_be_copied(tmp_path: Path) -> None:
    pairs = fill(tmp_path / "data")
    compact(f"file:{tmp_path / 'data'}", str(tmp_path / "copy"))
    assert content_of(tmp_path / "copy") == pairs
    with opened("memory:") as engine:
        put(engine, SOME)
        engine.compact(str(tmp_path / "saved"))
    assert content_of(tmp_path / "saved") == SOME


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_a_copy_made_while_others_write_is_of_one_moment(tmp_path: Path, durability: str) -> None:
    acknowledged = [0, 0]
    with opened(tmp_path / "data", durability=durability) as engine:
        stop = threading.Event()

        def work(thread: int) -> None:
            def told(_: int, number: int) -> None:
                acknowledged[thread] = number

            number = 1
            while not stop.is_set():
                run(engine, thread, range(number, number + 10), told)
                number += 10

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(2)]
        for thread in threads:
            thread.start()
        for number in range(5):
            while min(acknowledged) < (number + 1) * 20:
                pass
            before = list(acknowledged)
            engine.compact(str(tmp_path / f"copy{number}"))
            after = list(acknowledged)
            with opened(tmp_path / f"copy{number}") as copy:
                found = check(copy, 2)
            assert all(b <= f <= a + 1 for b, f, a in zip(before, found, after, strict=True))
        stop.set()
        for thread in threads:
            thread.join()


def test_a_copy_overwrites_nothing_and_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    (tmp_path / "taken").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "taken")
    with opened(tmp_path / "data") as engine:
        for to in ("taken", "link", "data", "."):
            with pytest.raises(PathTaken) as caught:
                engine.compact(str(tmp_path / to))
            assert caught.value.hint
        with pytest.raises(DirectoryMissing):
            engine.compact(str(tmp_path / "missing" / "copy"))
    assert (tmp_path / "taken").read_bytes() == b"mine"
    with pytest.raises(Closed):
        engine.compact(str(tmp_path / "copy"))
    script = """
        import os, resource, signal, sys
        from recordlayer.errors import DiskFull
        from tests.support.embedded import opened
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with opened(sys.argv[1]) as engine:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
            try:
                engine.compact(sys.argv[2])
            except DiskFull as error:
                print(error.fields["path"] == sys.argv[2])
    """
    assert output_of(script, tmp_path / "data", tmp_path / "copy") == "True"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "data-lock", "link", "taken"]


def test_a_cluster_has_no_file() -> None:
    for url in ("fdb:", "memory:", "file:", "nonsense"):
        with pytest.raises(NoFile):
            verify(url)
        with pytest.raises(NoFile):
            compact(url, "copy")


# -- verify


def test_all_is_well_in_an_intact_file_open_or_closed(tmp_path: Path) -> None:
    path = tmp_path / "data"
    fill(path)
    assert verify(f"file:{path}") == []
    with opened(path) as engine:
        assert engine.verify() == []
        with pytest.raises(EngineInUse) as caught:
            verify(f"file:{path}")
        assert "engine" in caught.value.hint
        put(engine, dict.fromkeys(SOME))
        assert engine.verify() == []
    with opened("memory:") as engine:
        put(engine, SOME)
        assert engine.verify() == []


def test_all_is_well_while_others_write(tmp_path: Path) -> None:
    with opened(tmp_path / "data", durability="relaxed", map_size=1 << 20) as engine:
        stop = threading.Event()

        def work() -> None:
            numbers = random.Random(1)
            while not stop.is_set():
                put(engine, {b"%d" % numbers.randrange(300) * numbers.choice([1, 300]): b"x" * numbers.randrange(3000)})

        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(10):
            assert engine.verify() == []
        stop.set()
        thread.join()


def test_who_waits_to_hold_commits_still_goes_before_who_would_lead_the_next(tmp_path: Path) -> None:
    """Locks are not fair: a thread that commits again and again would keep the one that waits out for long."""
    with opened(tmp_path / "data", durability="relaxed") as engine:
        committer = engine._committer
        for _ in range(50):
            committer._leading.acquire()  # a commit is under way
            held: list[bool] = []
            holder = threading.Thread(target=lambda held=held: held.append(committer.hold_still(60.0)))
            holder.start()
            while not committer._turn.locked():
                pass
            committer._leading.release()
            assert not committer.try_lead()
            holder.join()
            assert held == [True]
            committer.go_on()
        put(engine, {b"a": b"1"})
        assert content(engine) == {b"a": b"1"}


def test_what_is_not_a_database_is_not_verified(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello" * 2000)
    with pytest.raises(NotADatabase):
        verify(f"file:{tmp_path / 'text'}")
    with pytest.raises(DirectoryMissing):
        verify(f"file:{tmp_path / 'missing' / 'data'}")
    assert verify(f"file:{tmp_path / 'nothing'}") == ["there is no database at this path"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text"]


def test_a_page_that_was_overwritten_is_found_unless_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "data"
    pairs = fill(path, keys=200)
    whole = path.read_bytes()
    found = 0
    for page in range(len(whole) // 4096):
        path.write_bytes(whole[: page * 4096] + b"\xa5" * 4096 + whole[(page + 1) * 4096 :])
        try:
            damages = verify(f"file:{path}")
        except NotADatabase:
            damages = ["not even recognised"]
        if damages:
            found += 1
            assert all(isinstance(damage, str) for damage in damages)
        else:  # a page without use, or in the middle of a long value, which has no structure
            with opened(path) as engine:
                assert set(content(engine)) == set(pairs)
    assert found > len(whole) // 4096 / 2


def _orphan_marker(txn: Any, data: Any, long: Any) -> None:
    txn.put(b"m" * 510 + b"\0", (999).to_bytes(8, "big"), db=data)


def _lost_marker(txn: Any, data: Any, long: Any) -> None:
    txn.delete(b"b" * 510 + b"\0", db=data)


def _shared_bucket(txn: Any, data: Any, long: Any) -> None:
    txn.put(b"m" * 510 + b"\0", txn.get(b"b" * 510 + b"\0", db=data), db=data)


def _wrong_marker(txn: Any, data: Any, long: Any) -> None:
    txn.put(b"m" * 511, b"12345678", db=data)


def _number_not_given_out(txn: Any, data: Any, long: Any) -> None:
    txn.put(bytes(8), (1).to_bytes(8, "big"), db=long)


def _bare_bucket(txn: Any, data: Any, long: Any) -> None:
    txn.put((1).to_bytes(8, "big"), b"", db=long)


@pytest.mark.parametrize(
    "damage", [_orphan_marker, _lost_marker, _shared_bucket, _wrong_marker, _number_not_given_out, _bare_bucket]
)
def test_what_contradicts_the_layout_of_long_keys_is_found(
    tmp_path: Path, damage: Callable[[Any, Any, Any], None]
) -> None:
    path = tmp_path / "data"
    fill(path, keys=10)
    with lmdb.open(str(path), subdir=False, max_dbs=8, map_size=1 << 24, lock=False) as env:
        data, long = env.open_db(b"data"), env.open_db(b"long")
        with env.begin(write=True) as txn:
            damage(txn, data, long)
    assert verify(f"file:{path}")


def test_a_file_that_was_cut_is_reported_and_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "data"
    fill(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 8192 * 4096])
    assert verify(f"file:{path}")
    path.write_bytes(whole[:5000])
    assert verify(f"file:{path}")
    assert not (tmp_path / "data-owner").exists()
    path.write_bytes(whole)
    assert verify(f"file:{path}") == []
    engine = open_embedded(path)
    engine.close()
