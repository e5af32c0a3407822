"""`python -m bench CASE [--json] [--quick] [--check]`; without CASE, the list of cases; `all` for one after the other.

Exit status: 0 measured, 1 a target was missed and --check was given, 2 wrong use or a library is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.harness import CannotRun, Report, Settings
from bench.output import all_as_json, as_json, as_table
from bench.registry import benches, load


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ratios against peers doing the same job.")
    parser.add_argument("case", nargs="?", metavar="CASE", help="what to measure; without it, the cases are listed")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: seconds, and less certain")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args(arguments)
    known = benches()
    if options.case is None:
        for name, about in known.items():
            print(f"{name:10} {about}")
        return 0
    if options.case != "all" and options.case not in known:
        print(f"there is no bench {options.case!r}; there are: all, {', '.join(known)}", file=sys.stderr)
        return 2
    settings = Settings(quick=options.quick, say=_say if sys.stderr.isatty() else lambda text: None)
    reports: list[Report] = []
    left_out = 0
    for name in known if options.case == "all" else [options.case]:
        try:
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
        whole = options.case == "all"
        print(all_as_json(reports, quick=options.quick) if whole else as_json(reports[0]) if reports else "")
    missed = [line for report in reports for line in _missed(report)]
    for line in missed:
        print(line, file=sys.stderr)
    if left_out and options.case != "all":
        return 2
    return 1 if missed and options.check else 0


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
