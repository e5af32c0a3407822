"""Threads that switch where a drawn number says, between any two bytecodes of chosen modules.

Python may switch threads at any bytecode. Here it does so only when the numbers say so, and nowhere else, so that a
failing order can be run again. One thread runs at a time; the others wait for the baton.

    interleaver = Interleaver(random.Random(seed), modules=("view", "window"))
    interleaver.run(writer, reader, reader)

Locks that the threads share must be `interleaver.lock()`: a thread that waits in a real one would keep the baton.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class Interleaver:
    """Runs bodies in threads of their own, one bytecode of `modules` (names of files, without `.py`) at a time.

    often    how probable a switch is, at each bytecode
    """

    def __init__(self, numbers: random.Random, *, modules: tuple[str, ...], often: float = 0.02) -> None:
        self._numbers = numbers
        self._files = tuple(f"/{module}.py" for module in modules)
        self._often = often
        self._batons: dict[int, threading.Semaphore] = {}
        self._errors: list[BaseException] = []
        self._all_done = threading.Semaphore(0)
        self.switches = 0

    def lock(self) -> CoopLock:
        return CoopLock(self)

    def run(self, *bodies: Callable[[], object]) -> None:
        """Run the bodies to their end.  Raises  the first error of any of them."""
        started = threading.Barrier(len(bodies) + 1)

        def work(body: Callable[[], object]) -> None:
            me = threading.get_ident()
            self._batons[me] = threading.Semaphore(0)
            started.wait()
            self._batons[me].acquire()
            sys.settrace(self._trace)
            try:
                body()
            except BaseException as error:
                self._errors.append(error)
            finally:
                sys.settrace(None)
                del self._batons[me]
                if self._batons:
                    self._pass_to(self._draw())
                else:
                    self._all_done.release()

        threads = [threading.Thread(target=work, args=(body,), daemon=True) for body in bodies]
        for thread in threads:
            thread.start()
        started.wait()
        self._pass_to(self._draw())
        self._all_done.acquire()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def switch(self) -> None:
        """Let another thread go on, if there is one that takes part."""
        me = threading.get_ident()
        if me not in self._batons or len(self._batons) < 2:
            return
        next_one = self._draw(but=me)
        self.switches += 1
        mine = self._batons[me]
        self._pass_to(next_one)
        mine.acquire()

    def _draw(self, *, but: int | None = None) -> int:
        return self._numbers.choice([thread for thread in self._batons if thread != but])

    def _pass_to(self, thread: int) -> None:
        self._batons[thread].release()

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.endswith(self._files):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode" and self._numbers.random() < self._often:
            self.switch()
        return self._step


class CoopLock:
    """A lock that hands the baton on while it is taken."""

    def __init__(self, interleaver: Interleaver) -> None:
        self._interleaver = interleaver
        self._held = False

    def acquire(self, blocking: bool = True) -> bool:
        while self._held:
            if not blocking:
                return False
            self._interleaver.switch()
        self._held = True
        return True

    def release(self) -> None:
        self._held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
