"""`python -m bench.results RESULTS.json DIRECTORY`: what `python -m bench all --json` has measured, to be read.

Writes RESULTS.md, with a table of every bench, and its plots as PNG beside it. Needs matplotlib (`recordlayer[bench]`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PEERS = ("ours", "sqlite3", "SQLAlchemy Core", "SQLAlchemy ORM", "peewee")
CASES = ("insert_100", "insert_1", "get", "range_100", "covering_100", "update")

Bench = Mapping[str, Any]


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    source, directory = Path(arguments[0]), Path(arguments[1])
    measured = json.loads(source.read_text(encoding="utf-8"))
    benches: list[Bench] = measured["benches"]
    directory.mkdir(parents=True, exist_ok=True)
    plots = [name for name, plot in PLOTS.items() if plot(benches, directory / f"{name}.png")]
    (directory / "RESULTS.md").write_text(
        "\n".join(_lines(benches, plots, quick=measured["quick"])) + "\n", encoding="utf-8"
    )
    return 0


def _lines(benches: Sequence[Bench], plots: Sequence[str], *, quick: bool) -> list[str]:
    machine = benches[0]["machine"]
    where = f"{machine['cores']} cores, {machine['system'].split()[0]}, {machine['processor']}, {machine['python']}"
    where += ", with the compiled core" if machine["compiled"] else ", without the compiled core"
    lines = [
        "# Results",
        "",
        f"Measured with `python -m bench NAME{' --quick' if quick else ''}`, one bench after the other ({where}).",
        "What the columns mean, and how far to trust them, is in [README.md](README.md): ours/peer below 1 means",
        "that we are faster, targets are upper bounds.",
        "",
    ]
    lines += [f"![{name}]({name}.png)" for name in plots]
    for bench in benches:
        lines += ["", f"## {bench['bench']}", "", "| case | ours | peer | its time | ours/peer | target | |"]
        lines.append("|---|--:|---|--:|--:|--:|---|")
        for case in bench["cases"]:
            lines += _rows(case)
    return lines


def _rows(case: Mapping[str, Any]) -> list[str]:
    rows: list[str] = []
    label, ours = case["case"], _time(case, case["ours"])
    for peer, spread in case["peers"].items():
        ratio, target = case["ratio"][peer], case["target"].get(peer)
        verdict = "" if target is None else "ok" if ratio <= target else "**missed**"
        bound = "" if target is None else f"{target:.2f}"
        rows.append(f"| {label} | {ours} | {peer} | {_time(case, spread)} | {ratio:.2f} | {bound} | {verdict} |")
        label = ours = ""
    return rows or [f"| {label} | {ours} | | | | | |"]


def _time(case: Mapping[str, Any], spread: Mapping[str, float]) -> str:
    value = spread["median"]
    return f"{value:,.0f} {case['unit']}" if value >= 100 else f"{value:.3g} {case['unit']}"


# -- plots ---------------------------------------------------------------------------------------------------


def _plot_peers(benches: Sequence[Bench], file: Path) -> bool:
    """Times of one operation, relaxed, as multiples of raw sqlite3's."""
    found = {case["case"]: case for bench in benches if bench["bench"] == "peers" for case in bench["cases"]}
    cases = [name for name in CASES if f"{name}, relaxed" in found]
    if not cases:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="tight")
    axes = figure.subplots()
    width = 0.8 / len(PEERS)
    for place, peer in enumerate(PEERS):
        heights = []
        for name in cases:
            case = found[f"{name}, relaxed"]
            to_sqlite = case["ratio"]["sqlite3"]
            heights.append(to_sqlite if peer == "ours" else to_sqlite / case["ratio"][peer])
        axes.bar([number + place * width for number in range(len(cases))], heights, width, label=peer)
    axes.axhline(1.0, color="black", linewidth=0.5)
    axes.set_yscale("log")
    axes.set_xticks([number + 0.4 - width / 2 for number in range(len(cases))], cases)
    axes.set_ylabel("time / raw sqlite3, relaxed")
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=110)
    return True


def _plot_growth(benches: Sequence[Bench], file: Path) -> bool:
    """Times of one operation by the size of the store, as multiples of those in the smallest."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for bench in benches:
        for case in bench["cases"] if bench["bench"] == "growth" else ():
            job, _, size = case["case"].partition(", ")
            if size.endswith(" records"):
                (ratio,) = case["ratio"].values()
                lines.setdefault(job, [(1_000, 1.0)]).append((int(size.split()[0].replace(",", "")), ratio))
    if not lines:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="tight")
    axes = figure.subplots()
    for job, points in lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=job)
    axes.axhline(1.5, color="black", linewidth=0.5, linestyle="--")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("records in the store")
    axes.set_ylabel("time / that with 1,000 records")
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=110)
    return True


PLOTS = {"peers": _plot_peers, "growth": _plot_growth}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
