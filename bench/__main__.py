"""`python -m bench NAME [--engine URL] [--json] [--quick] [--large] [--check]`; without NAME, the list of benches;
`all` for one after the other.

Exit status: 0 measured, 1 a target was missed and --check was given, 2 wrong use, a library is missing, or the bench
does not run on this engine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.harness import CannotRun, Report, Settings
from bench.output import all_as_json, as_json, as_table
from bench.registry import benches, engines, load

SCHEMES = ("memory:", "file:", "fdb:")
_URLS = "memory:, file:DIRECTORY, fdb:CLUSTER_FILE"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ratios against peers doing the same job.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="what to measure; without it, the benches are listed")
    parser.add_argument("--engine", metavar="URL", help=f"where it runs, if it leaves a choice: {_URLS}")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: seconds, and less certain")
    parser.add_argument("--large", action="store_true", help="the largest form of a bench that has one: `stores`")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args(arguments)
    known = benches()
    if options.name is None:
        for name, about in known.items():
            print(f"{name:15} {about}{_choice(name)}")
        return 0
    if options.name != "all" and options.name not in known:
        print(f"there is no bench {options.name!r}; there are: all, {', '.join(known)}", file=sys.stderr)
        return 2
    if options.engine is not None and not options.engine.startswith(SCHEMES):
        print(f"there is no engine {options.engine!r}; there are: {_URLS}", file=sys.stderr)
        return 2
    settings = Settings(
        quick=options.quick,
        large=options.large,
        engine=options.engine,
        say=_say if sys.stderr.isatty() else lambda text: None,
    )
    reports: list[Report] = []
    left_out = 0
    for name in known if options.name == "all" else [options.name]:
        try:
            _check_engine(name, options.engine)
            report = load(name)(settings)
        except ModuleNotFoundError as missing:
            print(f"bench {name} compares with a library that is not installed: {missing.name}", file=sys.stderr)
            print("  install the peers: pip install 'recordlayer[bench]'", file=sys.stderr)
            left_out += 1
            continue
        except CannotRun as reason:
            print(f"bench {name}: {reason}", file=sys.stderr)
            left_out += 1
            continue
        reports.append(report)
        if not options.json:
            print(as_table(report), flush=True)
    if options.json:
        if options.name == "all":
            print(all_as_json(reports, quick=options.quick))
        elif reports:
            print(as_json(reports[0], quick=options.quick))
    missed = [line for report in reports for line in _missed(report)]
    for line in missed:
        print(line, file=sys.stderr)
    if left_out and options.name != "all":
        return 2
    return 1 if missed and options.check else 0


def _choice(name: str) -> str:
    schemes = engines(name)
    return f" [{', '.join(f'{scheme}:' for scheme in schemes)}]" if schemes else ""


def _check_engine(name: str, url: str | None) -> None:
    """Raises  CannotRun if the bench does not run on such an engine."""
    if url is None:
        return
    scheme, schemes = url.partition(":")[0], engines(name)
    if scheme not in schemes:
        choice = (
            f"it runs on {' or '.join(f'{one}:' for one in schemes)}" if schemes else "it leaves no choice of engine"
        )
        raise CannotRun(f"it does not run on {scheme}:; {choice}")


def _say(text: str) -> None:
    print(f"measuring: {text}", file=sys.stderr)


def _missed(report: Report) -> list[str]:
    return [
        f"missed: {case.case}: {case.ratio[peer]:.2f} times {peer}, target {target:.2f}"
        for case in report.cases
        for peer, target in case.missed.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
