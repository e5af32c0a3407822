"""Ctrl-C at every place where Python may hear it: the database goes on, and nothing is half done."""

from __future__ import annotations

import dis
import gc
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from recordlayer.kv.embedded.engine import EmbeddedEngine
from recordlayer.kv.engine import MutationType
from recordlayer.testing.clock import ManualClock
from tests.support.embedded import LONG, content, do, get, opened, put

# Python looks for signals behind a call, at the beginning of a function and where a loop goes back.
_HEARING = {"CALL", "CALL_KW", "CALL_FUNCTION_EX", "RESUME", "JUMP_BACKWARD", "CALL_FUNCTION", "CALL_METHOD"}
_PLACES = ("/recordlayer/kv/embedded/", "/recordlayer/waiting/")


class _Interrupter:
    """Calls the handler of Ctrl-C at the n-th place where Python could."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.passed = 0
        self.where = ""
        self._last: dict[int, int] = {}  # by the frame's id: the frames themselves must not be kept
        self._names: dict[Any, dict[int, str]] = {}

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not any(place in frame.f_code.co_filename for place in _PLACES) or frame.f_code.co_name == "__del__":
            return None  # what is raised in a finaliser, Python itself drops
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self._last.pop(id(frame), None)
        return self._step

    def _step(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event != "opcode":
            return self._step
        before, self._last[id(frame)] = self._last.get(id(frame)), frame.f_lasti
        if before is not None and self._name(frame, before) in _HEARING:
            self.passed += 1
            if self.passed == self.at:
                self.where = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
                handler = signal.getsignal(signal.SIGINT)
                assert callable(handler)
                handler(signal.SIGINT, frame)
        return self._step

    def _name(self, frame: FrameType, at: int) -> str:
        code = frame.f_code
        if code not in self._names:
            self._names[code] = {step.offset: step.opname for step in dis.get_instructions(code)}
        return self._names[code].get(at, "")


@contextmanager
def interrupted_at(place: int) -> Iterator[_Interrupter]:
    interrupter = _Interrupter(place)
    before = sys.gettrace()
    sys.settrace(interrupter)
    try:
        yield interrupter
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)


def work(engine: EmbeddedEngine, number: int) -> None:
    """One of each: reads, writes, a watch, a commit with conflicts checked, a commit that is taken back."""
    transaction = engine.begin()
    do(transaction.get(b"a"))
    do(transaction.get_range(b"", b"\xff", limit=3))
    watch = transaction.watch(b"unchanged")
    transaction.set(b"a", b"%d" % number)
    transaction.set(b"b", b"%d" % number)
    transaction.atomic(MutationType.ADD, b"total", (1).to_bytes(8, "little"))
    transaction.clear_range(b"c", b"d")
    do(transaction.commit())
    watch.cancel()
    transaction.close()


@pytest.fixture
def little_garbage() -> Iterator[None]:
    """What is there already is not looked at when garbage is collected, hundreds of times."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("little_garbage")
@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_an_interrupt_anywhere_leaves_the_database_whole(tmp_path: Path, durability: str) -> None:
    clock = ManualClock()
    with opened(tmp_path / "data", world=clock.world(), durability=durability) as engine:
        put(engine, {b"a": b"0", b"b": b"0", b"c": b"0", b"cc": b"0", b"total": bytes(8)})
        with interrupted_at(0):  # Python 3.12 and 3.13 tell of a function's opcodes only if somebody wanted them before
            work(engine, 0)
        with interrupted_at(0) as counting:
            work(engine, 0)
        assert counting.passed > 100
        step = 1 if LONG else 7
        for place in range(1 + random.randrange(step), counting.passed + 1, step):
            # An older reader, so that the commit has something to keep.
            reader = engine.begin()
            before = content(engine)
            do(reader.get(b"a"))
            with interrupted_at(place) as interrupter:
                work(engine, place)
            where = (place, interrupter.where)
            gc.collect()
            after = content(engine)
            total = int.from_bytes(before[b"total"], "little") + 1
            new = {**before, b"a": b"%d" % place, b"b": b"%d" % place, b"total": total.to_bytes(8, "little")}
            for gone in (b"c", b"cc"):
                new.pop(gone, None)
            assert after in (before, new), where
            assert do(reader.get(b"a")) == before[b"a"], where
            reader.close()
            put(engine, {b"c": b"1"})
            assert get(engine, b"c") == b"1", where
            file, committer = engine._file, engine._committer
            assert not file.lock.locked(), where
            assert not committer._leading.locked(), where
            assert not committer._mutex.locked(), where
            assert not file.watches._lock.locked(), where
            assert file.readers._versions == sorted(file.readers.cells), where
            assert file.failure is None
            # Who was interrupted while beginning to read is forgotten after five seconds at the latest.
            clock.advance(6)
            put(engine, {b"c": b"2"})
            assert len(file.readers) == 0, where
            assert not file.window.has_entries, where
        gc.collect()
        # Python keeps the traceback of an interrupt that came while a function was being left.
        assert len(engine._file.watches) <= 1
