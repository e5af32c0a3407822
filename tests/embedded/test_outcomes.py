"""What a commit answers when the disk fails or is slow, and when whoever waits gives up: right, or MaybeCommitted."""

from __future__ import annotations

import textwrap
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


def test_a_file_that_was_moved_away_cannot_be_opened_anew_until_it_is_back(tmp_path: Path, library: Path) -> None:
    """After an error of the disk the file is opened anew, by its name: nobody else's file may be taken for it."""
    script = """
        import errno, os, sys
        from recordlayer.errors import DiskError, MaybeCommitted
        from tests.support.disk_shim import META, Shim
        from tests.support.embedded import content, open_embedded, put
        shim, path = Shim(), sys.argv[1]
        engine = open_embedded(path)
        put(engine, {b"a": b"1"})
        os.rename(path, path + "-moved")
        shim.fail(META, errno.EIO, times=2)  # the commit, and LMDB's attempt to take it back
        try:
            put(engine, {b"a": b"2"})
        except MaybeCommitted:
            print("unknown")
        shim.heal()
        for there in (False, True):
            if there:
                with open(path, "wb") as other:
                    other.write(b"another file")
            for attempt in (lambda: put(engine, {b"b": b"1"}), lambda: content(engine)):
                try:
                    attempt()
                except DiskError as error:
                    print("path" in error.fields["reason"], "move" in error.hint)
        print(open(path, "rb").read())
        os.rename(path + "-moved", path)
        put(engine, {b"b": b"1"})
        print(content(engine)[b"b"], content(engine)[b"a"] in (b"1", b"2"))
        engine.close()
    """
    path = tmp_path / "data"
    lines = output_of(script, path, env=environment_for(library, path)).splitlines()
    assert lines == ["unknown", *["True True"] * 4, "b'another file'", "b'1' True"]


RELAXED = """
    import errno, sys, time
    from recordlayer.errors import DiskError, DiskFull
    from tests.support.disk_shim import SYNC, Shim
    from tests.support.embedded import content, open_embedded, put

    shim = Shim()
    engine = open_embedded(sys.argv[1], durability="relaxed")

    def wait_synced(version):
        "Until the background has synced, and has nothing more to do."
        while engine._committer._synced < version:
            time.sleep(0.001)

    def fail_a_sync(**how):
        "Commit something, and wait until the background's sync of it has failed."
        shim.fail(SYNC, errno.EIO, **how)
        put(engine, {b"lost?": b"1"})
        while engine._committer.unsynced is None:
            time.sleep(0.001)

    def answer(value):
        before = content(engine)
        try:
            return put(engine, {b"a": value}).committed_version() > 0
        except DiskError as error:
            assert content(engine) == before, "a commit that was refused has happened"
            assert error.fields["path"] == sys.argv[1] and "compact" in error.hint and error.__cause__ is not None
            assert error.fields["on_disk_up_to"] < error.fields["committed_up_to"]
            return error.fields["committed_up_to"] - first
"""


def relaxed(script: str) -> str:
    return textwrap.dedent(RELAXED) + textwrap.dedent(script)


def test_a_relaxed_database_whose_background_sync_failed_tells_once_and_goes_on(tmp_path: Path, library: Path) -> None:
    script = """
        first = put(engine, {b"a": b"0"}).committed_version()
        wait_synced(first)
        fail_a_sync()
        lost = engine._file.published - first
        print(answer(b"1") == lost, answer(b"2"), answer(b"3"), engine._committer.unsynced)
        print(content(engine)[b"a"], content(engine)[b"lost?"])
        engine.close()
    """
    path = tmp_path / "data"
    answers, found = output_of(relaxed(script), path, env=environment_for(library, path)).splitlines()
    assert answers == "True True True None"
    assert found == "b'3' b'1'"
    assert content_of(path) == {b"a": b"3", b"lost?": b"1"}


def test_a_relaxed_database_takes_nothing_until_a_sync_goes_well(tmp_path: Path, library: Path) -> None:
    script = """
        first = put(engine, {b"a": b"0"}).committed_version()
        wait_synced(first)
        fail_a_sync(times=-1)
        lost = engine._file.published - first
        print([answer(b"no") == lost for _ in range(5)], content(engine)[b"a"])
        shim.heal()
        print(answer(b"1"), content(engine)[b"a"])
        engine.close()
    """
    path = tmp_path / "data"
    refused, taken = output_of(relaxed(script), path, env=environment_for(library, path)).splitlines()
    assert refused == f"{[True] * 5} b'0'"
    assert taken == "True b'1'"


@pytest.mark.parametrize("when", ["before", "at the end"])
def test_closing_a_relaxed_database_tells_of_a_sync_that_failed(tmp_path: Path, library: Path, when: str) -> None:
    script = """
        from recordlayer.errors import Closed
        if sys.argv[2] == "before":
            fail_a_sync()
        else:
            shim.fail(SYNC, errno.EIO)
            put(engine, {b"lost?": b"1"})
        transaction = engine.begin()
        try:
            engine.close()
        except DiskError as error:
            print("told", "compact" in error.hint)
        engine.close()
        try:
            engine.begin()
        except Closed:
            print("closed")
        engine = open_embedded(sys.argv[1], durability="relaxed")  # its locks are free
        print(content(engine))
        engine.close()
    """
    path = tmp_path / "data"
    lines = output_of(relaxed(script), path, when, env=environment_for(library, path)).splitlines()
    assert lines == ["told True", "closed", "{b'lost?': b'1'}"]


# -- a disk that hangs, and callers who give up


def test_ctrl_c_is_answered_while_the_disk_hangs(tmp_path: Path, library: Path) -> None:
    script = """
        import os, signal, sys, threading, time
        from tests.support.disk_shim import SYNC, Shim
        from tests.support.embedded import content, opened, put
        shim = Shim()
        answers, took = [], []
        with opened(sys.argv[1]) as engine:
            put(engine, {b"a": b"0"})
            for turn in range(8):
                shim.hold(SYNC)
                pressed = []
                def press():
                    if turn:
                        shim.wait_held()
                        time.sleep(0.02 * (turn % 4))
                    pressed.append(time.monotonic())
                    os.kill(os.getpid(), signal.SIGINT)
                presser = threading.Thread(target=press)
                try:
                    presser.start()
                    put(engine, {b"a": b"1"})
                    answers.append("committed on a disk that hangs")
                except KeyboardInterrupt:
                    answers.append("answered")
                    took.append(time.monotonic() - pressed[0])
                presser.join()
                shim.heal()
                put(engine, {b"b": b"1"})
            print(*answers)
            print(min(took) < 0.1)  # of the others the machine may have thought longer
            print(sorted(content(engine)))
    """
    path = tmp_path / "data"
    answers, quick, found = output_of(script, path, env=environment_for(library, path)).splitlines()
    assert answers == " ".join(["answered"] * 8)
    assert quick == "True"
    assert found == str([b"a", b"b"])


def test_a_caller_who_gives_up_is_told_the_truth(tmp_path: Path, library: Path) -> None:
    """Each gives up at another moment of a commit: before it is taken, while the disk works for it, when it is done;
    and alone, or behind another commit that the disk works for."""
    script = """
        import asyncio, sys
        from recordlayer.waiting.drivers import run_asyncio
        from tests.support.disk_shim import SYNC, Shim
        from tests.support.embedded import content, opened
        shim = Shim()

        async def wait_for(waitable):
            return await waitable

        async def held():
            while not shim.holds:
                await asyncio.sleep(0.001)

        async def give_up(engine, key, moment, behind):
            shim.hold(SYNC)
            first = None
            if behind:
                other = engine.begin()
                other.set(b"other", b"1")
                first = asyncio.create_task(run_asyncio(wait_for(other.commit())))
                await held()
            transaction = engine.begin()
            transaction.set(key, b"1")
            task = asyncio.create_task(run_asyncio(wait_for(transaction.commit())))
            await asyncio.sleep(0)
            if moment == "under way":
                await held()
            if moment == "done":
                shim.heal()
                await task
            task.cancel()
            try:
                await task
                answer = "committed"
            except asyncio.CancelledError:
                answer = "cancelled"
            shim.heal()
            if first is not None:
                await first
            # What a cancelled commit became is known a moment later, and stays so.
            marker = engine.begin()
            marker.set(b"marker", b"1")
            await run_asyncio(wait_for(marker.commit()))
            there = key in content(engine)
            assert (transaction.committed_version() != -1) == there, (moment, behind)
            transaction.close()
            return answer, there

        async def main(engine):
            for behind in (False, True):
                for moment in ("queued", "under way", "done"):
                    print(behind, moment, *await give_up(engine, b"%d %s" % (behind, moment.encode()), moment, behind))

        with opened(sys.argv[1]) as engine:
            asyncio.run(main(engine))
    """
    path = tmp_path / "data"
    lines = output_of(script, path, env=environment_for(library, path)).splitlines()
    alone = lines.pop(0)
    assert alone in (
        "False queued cancelled True",
        "False queued cancelled False",
    )  # somebody may have taken it already
    assert lines == [
        "False under way cancelled True",
        "False done committed True",
        "True queued cancelled False",
        "True under way cancelled False",
        "True done committed True",
    ]


def test_a_time_limit_ends_a_commit_in_time_and_with_the_truth(tmp_path: Path, library: Path) -> None:
    script = """
        import sys, threading
        from recordlayer.errors import MaybeCommitted, TimedOut
        from recordlayer.kv.engine import TransactionOption
        from recordlayer.testing.clock import ManualClock
        from tests.support.disk_shim import SYNC, Shim
        from tests.support.embedded import content, do, opened, put
        shim, clock = Shim(), ManualClock()
        with opened(sys.argv[1], world=clock.world()) as engine:
            put(engine, {b"a": b"0"})
            for behind in (False, True):
                shim.hold(SYNC)
                if behind:
                    other = threading.Thread(target=put, args=(engine, {b"other": b"1"}))
                    other.start()
                    shim.wait_held()
                transaction = engine.begin()
                transaction.set_option(TransactionOption.TIMEOUT, 150)
                transaction.set(b"behind%d" % behind, b"1")
                commit = transaction.commit()
                commit.ready()
                shim.wait_held()
                clock.advance(0.149)
                early = commit.ready()
                clock.advance(0.002)
                try:
                    do(commit)  # the disk hangs all the while
                    answer = "committed"
                except (MaybeCommitted, TimedOut) as error:
                    answer = type(error).__name__
                shim.heal()
                if behind:
                    other.join()
                put(engine, {b"marker": b"1"})
                print(early, answer, b"behind%d" % behind in content(engine))
    """
    path = tmp_path / "data"
    lines = output_of(script, path, env=environment_for(library, path)).splitlines()
    assert lines == ["False MaybeCommitted True", "False TimedOut False"]


def test_cancelling_a_transaction_ends_its_commit_that_is_queued(tmp_path: Path, library: Path) -> None:
    script = """
        import sys, threading
        from recordlayer.errors import TransactionError
        from tests.support.disk_shim import SYNC, Shim
        from tests.support.embedded import content, do, opened, put
        shim = Shim()
        with opened(sys.argv[1]) as engine:
            put(engine, {b"a": b"0"})
            shim.hold(SYNC)
            other = threading.Thread(target=put, args=(engine, {b"other": b"1"}))
            other.start()
            shim.wait_held()
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
            transaction.cancel()
            for thread in waiting: thread.join()  # the disk hangs all the while
            print(sorted(answers))
            shim.heal()
            other.join()
            put(engine, {b"marker": b"1"})
            print(sorted(content(engine)), len(engine._file.readers), len(engine._file.watches))
    """
    path = tmp_path / "data"
    lines = output_of(script, path, env=environment_for(library, path)).splitlines()
    assert lines[0] == "['Cancelled', 'Cancelled', 'TransactionInvalidVersion']"
    assert lines[1] == f"{[b'a', b'marker', b'other']} 0 0"


def test_a_hanging_disk_does_not_hang_the_end_of_the_process_for_ever(tmp_path: Path, library: Path) -> None:
    script = """
        import sys
        from tests.support.disk_shim import SYNC, Shim
        from tests.support.embedded import open_embedded
        from recordlayer.kv.embedded import commit
        commit._CLOSE_SECONDS = 0.1
        shim = Shim()
        engine = open_embedded(sys.argv[1])
        shim.hold(SYNC)
        transaction = engine.begin()
        transaction.set(b"a", b"1")
        transaction.commit().ready()
        shim.wait_held()
        print("end", flush=True)
    """
    path = tmp_path / "data"
    with running(script, path, env=environment_for(library, path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "end\n"
        assert process.wait(50) == 0
