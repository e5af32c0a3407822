"""Makes the blocking facade from the async one.

    python tests/house/generate_blocking.py            write recordlayer/blocking and recordlayer/client/blocking
    python tests/house/generate_blocking.py --check    compare only; exit status 1 when something is out of date

Every file of recordlayer/aio and recordlayer/client/aio is rewritten by the rules below, its imports are sorted and
pruned and its layout is made by ruff. The rules apply to code, comments and docstrings alike, so that examples are
right in both. A rule that changes nothing in any file is an error: either it is not needed, or the facade has come to
say things another way.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "recordlayer" / "aio"
TARGET = ROOT / "recordlayer" / "blocking"


class Rule(NamedTuple):
    pattern: str
    replacement: str


PLAIN = r"[^\[\]]"
NESTED = rf"((?:{PLAIN}|\[(?:{PLAIN}|\[(?:{PLAIN}|\[{PLAIN}*\])*\])*\])+)"
"""What stands between two brackets, itself with brackets three levels deep at most."""

RULES: tuple[Rule, ...] = (
    Rule(r"\basync (def|with|for)\b", r"\1"),
    Rule(r"\bawait ", ""),
    Rule(rf"\bAwaitable\[{NESTED}\]", r"\1"),
    Rule(r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    Rule(r"\bAsync([A-Z]\w*)\b", r"\1"),
    Rule(r"\brun_asyncio\b", "run_blocking"),
    Rule(r"\brecordlayer\.aio\b", "recordlayer.blocking"),
    Rule(r"\basyncio facade\b", "blocking facade"),
)

CLIENT_RULES: tuple[Rule, ...] = (
    *RULES[:5],
    RULES[6],
    Rule(r"\brecordlayer\.client\.aio\b", "recordlayer.client.blocking"),
    Rule(r"\bclient for asyncio\b", "blocking client"),
)


class Rewriter:
    """Applies rules to sources and counts what each has changed."""

    def __init__(self, rules: Sequence[Rule] = RULES) -> None:
        self.rules = rules
        self.changed: Counter[Rule] = Counter()

    def rewrite(self, source: str) -> str:
        for rule in self.rules:
            source, times = re.subn(rule.pattern, rule.replacement, source)
            self.changed[rule] += times
        return source

    def unused(self) -> list[Rule]:
        return [rule for rule in self.rules if not self.changed[rule]]


def tidy(source: str, name: str) -> str:
    """`source` with sorted imports, without those it no longer needs, laid out by ruff."""
    for arguments in (["check", "--fix", "--quiet", "--select", "I,F401"], ["format"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(ROOT / name), "-"]
        done = subprocess.run(command, input=source, capture_output=True, text=True, cwd=ROOT, check=False)
        if done.returncode:
            raise SystemExit(f"ruff {arguments[0]} refuses {name}:\n{done.stdout}{done.stderr}")
        source = done.stdout
    return source


def generated(
    sources: Mapping[str, str], rules: Sequence[Rule] = RULES, *, package: str = "recordlayer"
) -> dict[str, str]:
    """The blocking files for async ones, both by their path below the package.

    Raises  SystemExit when a rule has changed nothing.
    """
    rewriter = Rewriter(rules)
    files: dict[str, str] = {}
    for name, source in sorted(sources.items()):
        body = rewriter.rewrite(source)
        first = f"# Generated from {package}/aio/{name} by tests/house/generate_blocking.py: do not edit.\n"
        files[name] = tidy(first + body, f"{package}/blocking/{name}")
    if unused := rewriter.unused():
        lines = "\n".join(f"  {rule.pattern}" for rule in unused)
        raise SystemExit(f"these rules change nothing in {package}/aio; remove them:\n{lines}")
    return files


def main(arguments: Sequence[str] | None = None, *, source: Path = SOURCE, target: Path = TARGET) -> int:
    parser = argparse.ArgumentParser(description="Generate the blocking facades of the library and of its client.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check: bool = parser.parse_args(arguments).check
    stale = _renewed(source, target, RULES, package="recordlayer", check=check)
    if source == SOURCE:
        client = ROOT / "recordlayer" / "client"
        stale |= _renewed(client / "aio", client / "blocking", CLIENT_RULES, package="recordlayer/client", check=check)
    return 1 if check and stale else 0


def _renewed(source: Path, target: Path, rules: Sequence[Rule], *, package: str, check: bool) -> bool:
    """Whether something was out of date; then it is written, unless it shall only be said."""
    if not source.is_dir():
        print(f"nothing to do: there is no {source.name} package")
        return False
    wanted = generated(
        {str(path.relative_to(source)): path.read_text() for path in source.rglob("*.py")}, rules, package=package
    )
    there = {str(path.relative_to(target)): path.read_text() for path in target.rglob("*.py")}
    stale = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    for name in stale:
        print(("out of date: " if check else "wrote ") + f"{package}/blocking/{name}")
        if not check:
            write(target / name, wanted.get(name))
    return bool(stale)


def write(path: Path, text: str | None) -> None:
    """Make the file hold `text`; None removes it."""
    if text is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
