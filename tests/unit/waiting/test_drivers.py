"""The blocking and the asyncio driver: the same results, errors and clean-up under both."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from recordlayer.core import twins
from recordlayer.errors import Conflict, ForeignAwaitable
from recordlayer.waiting.drivers import run_asyncio, run_blocking
from recordlayer.waiting.waitable import Failed, Promise, Ready, Turn
from tests.support.both_ways import WAYS
from tests.unit.waiting.driving import Counted, Drive, both_drivers


def later(promise: Promise[Any], settle: Callable[[], object]) -> None:
    """Have `settle` called in another thread once somebody waits for the promise."""

    def wait_for_waiter() -> None:
        while not promise._wakes:
            time.sleep(0.0005)
        settle()

    threading.Thread(target=wait_for_waiter, daemon=True).start()


class BareYield:
    def __await__(self) -> Any:
        yield


class Interrupted(Promise[None]):
    """Ctrl-C is pressed as soon as somebody waits for it."""

    __slots__ = ()

    def block(self) -> None:
        raise KeyboardInterrupt

    def on_ready(self, wake: Callable[[], None]) -> None:
        raise KeyboardInterrupt


@both_drivers
def test_the_result_and_the_errors_of_a_core_come_out(drive: Drive[Any]) -> None:
    async def five_deep(depth: int) -> int:
        return await five_deep(depth - 1) + 1 if depth else await Ready(0)

    async def failing() -> None:
        await Failed(Conflict(key=b"k"))

    async def recovering() -> str:
        try:
            await failing()
        except Conflict as error:
            return error.code
        return "nothing was raised"

    assert drive(five_deep(5)) == 5
    with pytest.raises(Conflict):
        drive(failing())
    assert drive(recovering()) == "conflict"


@both_drivers
def test_outcomes_set_in_other_threads_wake_the_waiter(drive: Drive[Any]) -> None:
    async def wait() -> list[object]:
        seen: list[object] = []
        for number in range(20):
            promise: Promise[int] = Promise()
            if number % 3:
                later(promise, lambda promise=promise, number=number: promise.resolve(number))  # type: ignore[misc]
            else:
                later(promise, lambda promise=promise: promise.fail(KeyError()))  # type: ignore[misc]
            try:
                seen.append(await promise)
            except KeyError:
                seen.append("error")
        return seen

    assert drive(wait()) == [number if number % 3 else "error" for number in range(20)]


@both_drivers
def test_a_waitable_is_registered_with_once_and_not_cancelled(drive: Drive[Any]) -> None:
    promise: Counted[str] = Counted()
    later(promise, lambda: promise.resolve("done"))

    async def wait() -> str:
        return await promise

    assert drive(wait()) == "done"
    assert promise.registrations == (0 if drive is run_blocking else 1)
    assert not promise.cancelled


@both_drivers
@pytest.mark.parametrize(
    "foreign",
    [lambda: asyncio.sleep(0), lambda: asyncio.sleep(30), BareYield],
    ids=["sleep 0", "sleep", "yield"],
)
def test_a_foreign_awaitable_is_an_error_where_it_is_awaited(
    drive: Drive[Any], foreign: Callable[[], Awaitable[object]]
) -> None:
    cleaned: list[str] = []

    async def wait() -> None:
        try:
            await foreign()
        finally:
            cleaned.append("finally")

    async def recover() -> int:
        try:
            await wait()
        except ForeignAwaitable:
            return await Ready(4)
        return 0

    async def in_loop(core: Any) -> object:  # asyncio.sleep(30) needs a running loop to make its future
        return run_blocking(core) if drive is run_blocking else await run_asyncio(core)

    with pytest.raises(ForeignAwaitable, match="engine operations only"):
        asyncio.run(in_loop(wait()))
    assert asyncio.run(in_loop(recover())) == 4
    assert cleaned == ["finally", "finally"]


@both_drivers
def test_an_error_leaves_no_reference_cycle_behind(drive: Drive[Any]) -> None:
    class Held:
        pass

    async def interrupted(held: Held) -> None:
        await Interrupted()

    async def foreign(held: Held) -> None:
        await BareYield()

    for core, error in ((interrupted, KeyboardInterrupt), (foreign, ForeignAwaitable)):
        held = Held()
        alive = weakref.ref(held)
        gc.collect()
        gc.disable()
        try:
            with pytest.raises(error):
                drive(core(held))
            del held
            if drive is not run_blocking:
                gc.collect()  # a loop of its own leaves cycles of asyncio's when it closes
            assert alive() is None
        finally:
            gc.enable()


def test_the_blocking_driver_works_inside_a_running_loop() -> None:
    async def notebook() -> int:
        promise: Promise[int] = Promise()
        later(promise, lambda: promise.resolve(3))

        async def wait() -> int:
            return await promise

        return run_blocking(wait())

    assert asyncio.run(notebook()) == 3


# -- interrupts --------------------------------------------------------------------------------------------


async def wait_and_clean(promise: Promise[Any], log: list[str]) -> None:
    async def inner() -> None:
        try:
            await promise
        finally:
            log.append("inner")

    try:
        await inner()
    except BaseException as error:
        log.append(type(error).__name__)
        raise
    finally:
        log.append("outer")


def test_ctrl_c_ends_a_blocking_wait_and_runs_every_finally() -> None:
    promise: Counted[None] = Counted()
    log: list[str] = []
    later(promise, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run_blocking(wait_and_clean(promise, log))
    assert log == ["inner", "KeyboardInterrupt", "outer"]
    assert promise.cancelled
    promise.resolve(None)  # late, and nobody minds


PROGRAM = """
import asyncio, sys
from recordlayer.waiting.drivers import run_asyncio, run_blocking
from recordlayer.waiting.waitable import Promise

async def core():
    try:
        print("waiting", flush=True)
        await Promise(on_cancel=lambda: print("cancelled", flush=True))
    finally:
        print("finally", flush=True)

if sys.argv[1] == "blocking":
    run_blocking(core())
else:
    asyncio.run(run_asyncio(core()))
"""


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_ctrl_c_ends_a_program_with_its_clean_up_done(driver: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, driver],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waiting\n"
        time.sleep(0.05)  # so that the wait, not the print before it, is interrupted
        program.send_signal(signal.SIGINT)
        output, errors = program.communicate(timeout=60)
    assert output == "cancelled\nfinally\n"
    assert "KeyboardInterrupt" in errors
    assert program.returncode != 0


def test_cancelling_the_task_runs_every_finally_and_cancels_what_is_under_way() -> None:
    promise: Counted[None] = Counted()
    log: list[str] = []

    async def main() -> None:
        task = asyncio.create_task(run_asyncio(wait_and_clean(promise, log)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log == ["inner", "CancelledError", "outer"]
    assert promise.cancelled


def test_a_timeout_runs_every_finally_and_cancels_what_is_under_way() -> None:
    promise: Counted[None] = Counted()
    log: list[str] = []

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await run_asyncio(wait_and_clean(promise, log))
        assert await run_asyncio(ready()) == 1, "the loop and the task go on"

    async def ready() -> int:
        return await Ready(1)

    asyncio.run(main())
    assert log == ["inner", "CancelledError", "outer"]
    assert promise.cancelled


@both_drivers
def test_a_core_that_handles_an_interrupt_may_go_on_waiting(drive: Drive[Any]) -> None:
    async def stubborn() -> str:
        try:
            await Interrupted()
        except KeyboardInterrupt:
            return await Ready("went on")
        return "was not interrupted"

    assert drive(stubborn()) == "went on"


@both_drivers
def test_whatever_goes_wrong_in_between_the_core_is_closed(drive: Drive[Any]) -> None:
    class Broken(Promise[None]):
        __slots__ = ()

        def block(self) -> None:
            raise OSError("cannot wait")

        def on_ready(self, wake: Callable[[], None]) -> None:
            raise OSError("cannot wait")

        def cancel(self) -> None:
            raise RuntimeError("cannot cancel either")

    log: list[str] = []
    core = wait_and_clean(Broken(), log)  # still referred to: it is the driver that closes it, not its end
    with pytest.raises(RuntimeError, match="cannot cancel either"):
        drive(core)
    assert log == ["inner", "GeneratorExit", "outer"]


# -- the asyncio driver's wakes ----------------------------------------------------------------------------


def test_a_wake_for_a_loop_that_has_closed_meanwhile_is_ignored() -> None:
    promise: Counted[None] = Counted()
    log: list[str] = []
    loop = asyncio.new_event_loop()
    task = loop.create_task(run_asyncio(wait_and_clean(promise, log)))
    loop.run_until_complete(asyncio.sleep(0))
    assert promise.registrations == 1
    loop.close()
    thread = threading.Thread(target=promise.resolve, args=(None,))
    thread.start()
    thread.join()
    assert promise.ready()
    assert log == []

    later_promise: Promise[None] = Promise()  # another wake for the same closed loop
    waker = promise_waker(loop)
    later_promise.on_ready(lambda: waker.wake(loop.create_future()))
    later_promise.resolve(None)
    assert not waker._due, "futures of a closed loop are not collected"

    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is destroyed while pending, which is the point
    core = task.get_coro()
    del task
    core.close()  # type: ignore[union-attr]
    assert log == ["inner", "GeneratorExit", "outer"]


def promise_waker(loop: asyncio.AbstractEventLoop) -> Any:
    from recordlayer.waiting import drivers

    return drivers._Waker.of(loop)


class CountingLoop(asyncio.SelectorEventLoop):
    """A loop that counts how often other threads may have called into it."""

    calls = 0

    def call_soon_threadsafe(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        return super().call_soon_threadsafe(*arguments, **options)


def test_promises_settled_together_cost_one_call_into_the_loop() -> None:
    promises: list[Promise[int]] = [Promise() for _ in range(300)]

    async def wait(promise: Promise[int]) -> int:
        return await promise

    async def main() -> list[int]:
        tasks = [asyncio.create_task(run_asyncio(wait(promise))) for promise in promises]
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        before = loop.calls
        for number, promise in enumerate(promises):
            promise.resolve(number)
        results = await asyncio.gather(*tasks)
        assert loop.calls == before + 1
        return results

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        assert runner.run(main()) == list(range(300))


def test_no_wake_is_lost_when_threads_and_the_loop_race() -> None:
    rounds = 2_000
    waiting: list[Promise[int]] = []
    over = threading.Event()

    def settle() -> None:
        while not over.is_set():
            while waiting:
                try:
                    waiting.pop().resolve(1)
                except IndexError:
                    break

    async def worker() -> int:
        total = 0
        for _ in range(rounds // 20):
            promise: Promise[int] = Promise()
            waiting.append(promise)
            total += await promise
        return total

    async def main() -> int:
        async with asyncio.timeout(60):
            return sum(await asyncio.gather(*(run_asyncio(worker()) for _ in range(20))))

    threads = [threading.Thread(target=settle) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert asyncio.run(main()) == rounds
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_wake_between_the_drains_look_and_its_end_is_not_lost() -> None:
    async def main() -> None:
        waker = promise_waker(asyncio.get_running_loop())

        class Racing(deque[Any]):
            def append(self, item: Any) -> None:
                waker._idle.acquire()
                waker._drain()  # all of another drain, after the waker has been asked for its deque
                super().append(item)

        waker._due = Racing()
        future = asyncio.get_running_loop().create_future()
        waker.wake(future)
        async with asyncio.timeout(10):
            await future

    asyncio.run(main())


def test_an_outcome_and_a_cancellation_in_the_same_turn_of_the_loop_do_not_upset_it() -> None:
    promise: Promise[None] = Promise()
    upset: list[object] = []

    async def wait() -> None:
        await promise

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: upset.append(context))
        task = asyncio.create_task(run_asyncio(wait()))
        await asyncio.sleep(0)
        promise.resolve(None)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(main())
    assert upset == []


def test_a_turn_lets_other_tasks_of_the_loop_run() -> None:
    order: list[str] = []

    async def busy(name: str) -> None:
        for number in range(3):
            order.append(f"{name}{number}")
            await Turn()

    async def main() -> None:
        await asyncio.gather(run_asyncio(busy("a")), run_asyncio(busy("b")))

    asyncio.run(main())
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]
    order.clear()
    run_blocking(busy("a"))
    assert order == ["a0", "a1", "a2"]


@pytest.mark.parametrize("way", WAYS)
def test_a_step_tells_what_is_returned_from_what_is_waited_for(way: int) -> None:
    step = twins["step"][way]
    assert step is not None
    seen: list[object] = []

    async def work(first: Any) -> Any:
        try:
            return await first
        except ValueError as error:
            seen.append(error)
            return "mended"

    waiting: list[object] = []
    assert step(work(Ready(None)), waiting, None) is None, "returned"
    assert waiting == []
    promise: Promise[int] = Promise()
    core = work(promise)
    assert step(core, waiting, None) is None
    assert waiting.pop() is promise
    promise.resolve(7)
    assert step(core, waiting, None) == 7
    assert waiting == []
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        step(core, waiting, None)
    core, mistake = work(Promise()), ValueError()
    step(core, waiting, None)
    waiting.clear()
    assert step(core, waiting, mistake) == "mended"
    assert seen == [mistake]
    with pytest.raises(KeyError):
        step(work(Failed(KeyError())), waiting, None)
    assert waiting == []
    with pytest.raises(AttributeError):
        step(7, waiting, None)
