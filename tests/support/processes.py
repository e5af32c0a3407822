"""Python in processes of their own, for tests of what happens when they end, fork, or may not do something."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
_SECONDS = 60


def environment(**more: str) -> dict[str, str]:
    """The environment in which a child finds the library and the tests."""
    known = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([str(ROOT), str(ROOT / "server"), *([known] if known else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONFAULTHANDLER": "1", **more}


def command(script: str, *args: object) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(script), *map(str, args)]


def run_script(
    script: str, *args: object, env: Mapping[str, str] | None = None, seconds: float = _SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run `script` to its end; `sys.argv[1:]` are the arguments."""
    return subprocess.run(
        command(script, *args),
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def output_of(script: str, *args: object, env: Mapping[str, str] | None = None, seconds: float = _SECONDS) -> str:
    """What `script` printed. It must end well."""
    done = run_script(script, *args, env=env, seconds=seconds)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@contextmanager
def running(script: str, *args: object, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process with pipes, killed at the end if it still runs."""
    process = subprocess.Popen(
        command(script, *args),
        env=environment(**(env or {})),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def fork() -> int:
    """`os.fork`, although this process may have threads: what becomes of them is what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_fork(body: Callable[[], object]) -> str:
    """What `body` gives, as text, when it runs in a forked child of this process; its error's class and text if it
    raises one."""
    reading, writing = os.pipe()
    child = fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            try:
                answer = str(body())
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
            os.write(writing, answer.encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with status {status}"
    return answer
