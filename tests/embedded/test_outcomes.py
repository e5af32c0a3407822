"""What a commit answers when the disk fails or is slow, and when whoever waits gives up: right, or MaybeCommitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.disk_shim import build, environment_for
from tests.support.embedded import LONG, content_of
from tests.support.processes import output_of, running


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("shim"))


# -- a disk that fails

FAILING = """
    import errno, os, random, sys
    from recordlayer.errors import CorruptFile, DiskError, DiskFull, EngineError, MaybeCommitted, NoPermission
    from tests.support.disk_shim import DATA, META, SYNC, Shim
    from tests.support.embedded import content, do, get, open_embedded, put

    path, durability, number, rounds = sys.argv[1], sys.argv[2], getattr(errno, sys.argv[3]), int(sys.argv[4])
    shim, numbers = Shim(), random.Random(int(sys.argv[5]))
    engine = open_embedded(path, durability=durability)
    state = {}
    outcomes = {}
    for step in range(rounds):
        # Enough pages for several writes; sometimes more than LMDB keeps in memory before it writes.
        pairs = {b"%02d" % numbers.randrange(40): b"%d " % step * numbers.choice([1, 300, 8000])
                 for _ in range(numbers.randint(1, 12))}
        wanted = {**state, **pairs}
        reader = engine.begin()
        do(reader.get(b"00"))
        # A relaxed database is synced by a thread of its own, at any moment: that is another test.
        kinds = numbers.choice([DATA, SYNC, META, DATA | SYNC | META]) if durability == "commit" else DATA
        cut_short = numbers.random() < 0.3  # which LMDB reports as EIO, and the disk here is not really full
        shim.fail(kinds, number, after=numbers.choice([0, 0, 0, 1, 2]), cut_short=cut_short,
                  times=numbers.choice([1, 1, 1, 2, -1]))
        try:
            put(engine, pairs)
            outcome = "committed"
        except MaybeCommitted as error:
            assert error.__cause__ is not None
            outcome = "unknown"
        except EngineError as error:
            assert error.fields["path"] == path and error.hint, error
            assert isinstance(error, DiskFull) == (number == errno.ENOSPC) or cut_short, error
            outcome = "refused"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        shim.heal()
        if outcome == "unknown":
            put(engine, {b"after": b"1"})  # the file is opened anew
            wanted[b"after"] = state[b"after"] = b"1"
            found = content(engine)
            assert found in (wanted, state), (step, outcome)
            state = found
        else:
            if outcome == "committed":
                state = wanted
            assert content(engine) == state, (step, outcome)
            reading = do(reader.get(b"00"))
        reader.close()
        put(engine, {b"next": b"%d" % step})
        state[b"next"] = b"%d" % step
        assert content(engine) == state
    engine.close()
    engine = open_embedded(path, durability=durability)
    assert content(engine) == state
    engine.close()
    print(sorted(outcomes))
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_a_disk_that_fails_at_any_call_gets_a_right_answer_and_does_no_harm(
    tmp_path: Path, library: Path, durability: str, number: str
) -> None:
    rounds = 3000 if LONG else 150
    for seed in range(3 if LONG else 1):
        path = tmp_path / f"data{seed}"
        answer = output_of(
            FAILING, path, durability, number, rounds, seed, env=environment_for(library, path), seconds=500
        )
        assert answer == "['committed', 'refused', 'unknown']"


def test_a_disk_that_fails_for_a_while_is_used_again_when_it_works(tmp_path: Path, library: Path) -> None:
    """While it fails nothing is lost and nobody hangs; when it works again, so does the database, without a restart."""
    script = """
        import errno, sys
        from recordlayer.errors import DiskError, EngineError, MaybeCommitted
        from tests.support.disk_shim import DATA, META, SYNC, Shim
        from tests.support.embedded import content, get, open_embedded, put
        shim = Shim()
        engine = open_embedded(sys.argv[1])
        put(engine, {b"a": b"1"})
        shim.fail(META | SYNC, errno.EIO, times=-1, after=1)  # the pages' sync goes well, what follows does not
        answers = []
        for number in range(4):
            try:
                put(engine, {b"a": b"%d" % (number + 2)})
                answers.append("committed")
            except MaybeCommitted:
                answers.append("unknown")
            except DiskError as error:
                answers.append("refused")
            try:
                answers.append(get(engine, b"a"))
            except DiskError as error:
                answers.append(error.hint != "" and "cannot be read")
        print(answers)
        shim.heal()
        put(engine, {b"b": b"1"})
        print(content(engine)[b"b"], content(engine)[b"a"] in (b"1", b"2"))
        engine.close()
    """
    path = tmp_path / "data"
    answers, later = output_of(script, path, env=environment_for(library, path)).splitlines()
    assert answers == str(["unknown", "cannot be read", *["refused", "cannot be read"] * 3])
    assert later == "b'1' True"
    assert content_of(path)[b"b"] == b"1"


def test_a_relaxed_database_whose_background_sync_fails_stops(tmp_path: Path, library: Path) -> None:
    """The system has lost pages that were acknowledged: building on them would make it worse."""
    script = """
        import errno, sys, time
        from recordlayer.errors import DiskError
        from tests.support.disk_shim import SYNC, Shim
        from tests.support.embedded import open_embedded, put
        shim = Shim()
        engine = open_embedded(sys.argv[1], durability="relaxed")
        shim.fail(SYNC, errno.EIO)
        put(engine, {b"a": b"1"})
        end = time.monotonic() + 10
        while time.monotonic() < end and not shim.failed:
            time.sleep(0.01)
        time.sleep(0.05)
        try:
            put(engine, {b"a": b"2"})
        except DiskError as error:
            print("stopped", error.fields["path"] == sys.argv[1], error.hint != "")
        engine.close()
    """
    path = tmp_path / "data"
    assert output_of(script, path, env=environment_for(library, path)) == "stopped True True"


# -- a disk that is slow, and callers who give up


def test_ctrl_c_is_answered_while_the_disk_is_slow(tmp_path: Path, library: Path) -> None:
    script = """
        import os, signal, sys, threading, time
        from tests.support.disk_shim import SYNC, Shim
        from tests.support.embedded import content, opened, put
        shim = Shim()
        with opened(sys.argv[1]) as engine:
            put(engine, {b"a": b"0"})
            for moment in (0.0, 0.05, 0.2):
                shim.delay(SYNC, 0.6)
                pressed = []
                def press():
                    time.sleep(moment)
                    pressed.append(time.monotonic())
                    os.kill(os.getpid(), signal.SIGINT)
                presser = threading.Thread(target=press)
                try:
                    presser.start()
                    put(engine, {b"a": b"1"})
                    time.sleep(5)
                    print("no interrupt")
                except KeyboardInterrupt:
                    print("late" if time.monotonic() - pressed[0] > 0.1 else "answered")
                presser.join()
                shim.heal()
                put(engine, {b"b": b"1"})
            print(sorted(content(engine)))
    """
    path = tmp_path / "data"
    lines = output_of(script, path, env=environment_for(library, path)).splitlines()
    assert lines == ["answered"] * 3 + [str([b"a", b"b"])]


def test_a_caller_who_gives_up_is_told_the_truth(tmp_path: Path, library: Path) -> None:
    """Each gives up at another moment of a slow commit: before it is taken, while it is under way, when it is done."""
    script = """
        import asyncio, sys
        from recordlayer.errors import MaybeCommitted, TimedOut
        from recordlayer.kv.engine import TransactionOption
        from recordlayer.waiting.drivers import run_asyncio
        from tests.support.disk_shim import SYNC, Shim
        from tests.support.embedded import content, opened, put
        shim = Shim()

        async def wait_for(waitable):
            return await waitable

        async def main(engine):
            answers = []
            for moment in (0.0, 0.01, 0.15, 0.6):
                for behind in (False, True):  # behind another commit that is under way: this one is not taken yet
                    shim.delay(SYNC, 0.3)
                    first = None
                    if behind:
                        other = engine.begin()
                        other.set(b"other", b"1")
                        first = asyncio.create_task(run_asyncio(wait_for(other.commit())))
                        await asyncio.sleep(0.05)
                    transaction = engine.begin()
                    transaction.set(b"key%d" % len(answers), b"1")
                    commit = transaction.commit()
                    task = asyncio.create_task(run_asyncio(wait_for(commit)))
                    try:
                        await asyncio.wait_for(task, moment)
                        answers.append("committed")
                    except asyncio.TimeoutError:
                        answers.append("cancelled")
                    if first is not None:
                        await first
                    # What a cancelled commit became is known a moment later, and stays so.
                    shim.heal()
                    marker = engine.begin()
                    marker.set(b"marker", b"1")
                    await run_asyncio(wait_for(marker.commit()))
                    version = transaction.committed_version()
                    there = b"key%d" % (len(answers) - 1) in content(engine)
                    assert (version != -1) == there, (moment, behind, version, there)
                    if answers[-1] == "committed":
                        assert there
                    transaction.close()
            return answers

        with opened(sys.argv[1]) as engine:
            print(asyncio.run(main(engine)))
    """
    path = tmp_path / "data"
    answers = output_of(script, path, env=environment_for(library, path))
    assert answers == str(["cancelled", "cancelled"] * 3 + ["committed", "committed"])


def test_a_time_limit_ends_a_commit_in_time_and_with_the_truth(tmp_path: Path, library: Path) -> None:
    script = """
        import sys, threading, time
        from recordlayer.errors import MaybeCommitted, TimedOut
        from recordlayer.kv.engine import TransactionOption
        from tests.support.disk_shim import SYNC, Shim
        from tests.support.embedded import content, do, opened, put
        shim = Shim()
        with opened(sys.argv[1]) as engine:
            put(engine, {b"a": b"0"})
            for behind in (False, True):
                shim.delay(SYNC, 0.5)
                if behind:
                    other = threading.Thread(target=put, args=(engine, {b"other": b"1"}))
                    other.start()
                    time.sleep(0.1)
                transaction = engine.begin()
                transaction.set_option(TransactionOption.TIMEOUT, 150)
                transaction.set(b"behind%d" % behind, b"1")
                began = time.monotonic()
                try:
                    do(transaction.commit())
                    answer = "committed"
                except (MaybeCommitted, TimedOut) as error:
                    answer = type(error).__name__
                took = time.monotonic() - began
                shim.heal()
                if behind:
                    other.join()
                put(engine, {b"marker": b"1"})
                print(answer, 0.1 < took < 0.35, b"behind%d" % behind in content(engine))
    """
    path = tmp_path / "data"
    lines = output_of(script, path, env=environment_for(library, path)).splitlines()
    assert lines == ["MaybeCommitted True True", "TimedOut True False"]


def test_cancelling_a_transaction_ends_its_commit_that_is_queued(tmp_path: Path, library: Path) -> None:
    script = """
        import sys, threading, time
        from recordlayer.errors import Cancelled, NoCommitVersion, TransactionError
        from tests.support.disk_shim import SYNC, Shim
        from tests.support.embedded import content, do, opened, put
        shim = Shim()
        with opened(sys.argv[1]) as engine:
            put(engine, {b"a": b"0"})
            shim.delay(SYNC, 0.4)
            other = threading.Thread(target=put, args=(engine, {b"other": b"1"}))
            other.start()
            time.sleep(0.1)
            transaction = engine.begin()
            watch, stamp = transaction.watch(b"a"), transaction.versionstamp()
            transaction.set(b"cancelled", b"1")
            commit = transaction.commit()
            answers = []
            def wait(waitable):
                try:
                    do(waitable)
                except TransactionError as error:
                    answers.append(type(error).__name__)
            waiting = [threading.Thread(target=wait, args=(waitable,)) for waitable in (commit, watch, stamp)]
            for thread in waiting: thread.start()
            time.sleep(0.05)
            began = time.monotonic()
            transaction.cancel()
            for thread in waiting: thread.join()
            print(sorted(answers), time.monotonic() - began < 0.1)
            other.join()
            shim.heal()
            put(engine, {b"marker": b"1"})
            print(sorted(content(engine)), len(engine._file.readers), len(engine._file.watches))
    """
    path = tmp_path / "data"
    lines = output_of(script, path, env=environment_for(library, path)).splitlines()
    assert lines[0] == "['Cancelled', 'Cancelled', 'TransactionInvalidVersion'] True"
    assert lines[1] == f"{[b'a', b'marker', b'other']} 0 0"


def test_a_hanging_disk_does_not_hang_the_end_of_the_process_for_ever(tmp_path: Path, library: Path) -> None:
    script = """
        import sys
        from tests.support.disk_shim import SYNC, Shim
        from tests.support.embedded import open_embedded
        from recordlayer.kv.embedded import commit
        commit._CLOSE_SECONDS = 0.3
        shim = Shim()
        engine = open_embedded(sys.argv[1])
        shim.delay(SYNC, 3)
        transaction = engine.begin()
        transaction.set(b"a", b"1")
        transaction.commit().ready()
        print("end", flush=True)
    """
    path = tmp_path / "data"
    with running(script, path, env=environment_for(library, path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "end\n"
        assert process.wait(20) == 0
