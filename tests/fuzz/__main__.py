"""Fuzz with atheris: `python -m tests.fuzz [TARGET ...] [--seconds 60]`; all targets one after the other by default.

What the fuzzer found worth keeping stays in .fuzz/TARGET, so the next run goes on from there. An input that is a
finding is printed as a line for the corpus. `--pick` replaces what the corpus has besides findings by the few inputs
that reach every line that any of .fuzz/TARGET reaches.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import random
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.harness import CORPUS, LONGEST, Target, kept

WORK = Path(".fuzz")
TARGETS = sorted(
    file.stem
    for file in Path(__file__).parent.glob("[a-z]*.py")
    if "TARGET = Target(" in file.read_text(encoding="utf-8")
)
LONGEST_PICKED = 400


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--pick", action="store_true", help="choose the corpus anew instead of fuzzing")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.alone:
        fuzz(said.targets[0], said.seconds)
    if said.pick:
        for name in said.targets or TARGETS:
            pick(target_of(name))
        return 0
    found = 0
    for name in said.targets or TARGETS:
        print(f"=== {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, f"--seconds={said.seconds}", "--alone"]
        found += subprocess.run(command).returncode != 0
        for file in sorted(WORK.glob(f"{name}-*")):
            print(f"{file} is a finding; mend it, and put this line into tests/fuzz/corpus/{name}.txt:")
            print(f"{file.read_bytes().hex() or '-'}  # what it was")
    return 1 if found else 0


def target_of(name: str) -> Target:
    target: Target = importlib.import_module(f"tests.fuzz.{name}").TARGET
    return target


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install 'recordlayer[fuzz]' (it has wheels for Linux only)")

    # What guides the fuzzer is the library, whose modules are changed while they are imported; but not what carries
    # bytes without looking at them.
    measured, carrying = ["recordlayer", "recordlayer_server"], ["recordlayer.kv", "recordlayer.waiting"]
    quiet = contextlib.redirect_stderr(io.StringIO())
    with quiet, atheris.instrument_imports(include=measured, exclude=carrying):
        target = target_of(name)
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    for place, data in enumerate(target.inputs()):
        (folder / f"seed-{place:03d}").write_bytes(data[:LONGEST])
    limits = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", f"-max_len={LONGEST}"]
    told = [f"-artifact_prefix={WORK}/{name}-", "-print_final_stats=1", "-verbosity=0"]
    change = target.change

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if change is None or chance.random() < 0.3:
            return bytes(atheris.Mutate(data, most))
        return change(bytes(data), chance)[:most]

    own = {} if change is None else {"custom_mutator": mutate}
    atheris.Setup([sys.argv[0], *limits, *told, str(folder)], target.run, **own)
    atheris.Fuzz()


def pick(target: Target) -> None:
    """Write the corpus of a target anew: its findings, and the smallest inputs that each reach a line of their own."""
    file = CORPUS / f"{target.name}.txt"
    lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
    findings = [line for line in lines if "#" in line]
    target.run(b"")  # what is made on first use is of no input
    seen: set[Any] = set()
    for data in kept(file):
        seen |= reached(target, data) if any(data.hex() in line for line in findings) else set()
    for data in (*target.seeds(), *target.hints()):
        seen |= reached(target, data)  # they are made anew each time
    chosen: list[str] = []
    work = [each.read_bytes() for each in (WORK / target.name).glob("*")] if (WORK / target.name).is_dir() else []
    for data in sorted({*work, *kept(file)}, key=lambda data: (len(data), data)):
        if len(data) <= LONGEST_PICKED and (new := reached(target, data)) - seen:
            seen |= new
            chosen.append(data.hex() or "-")
    file.write_text("".join(f"{line}\n" for line in [*findings, *chosen]), encoding="ascii")
    print(f"{target.name}: {len(findings)} findings, {len(chosen)} inputs of {len(work)}")


def reached(target: Target, data: bytes) -> set[Any]:
    """The lines of the library that an input reaches."""
    lines: set[Any] = set()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        code = frame.f_code
        if "recordlayer" not in code.co_filename:
            return None
        lines.add((code, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        target.run(data)
    finally:
        sys.settrace(None)
    return lines


if __name__ == "__main__":
    sys.exit(main())
