"""`python -m bench.results FILE.json ... DIRECTORY`: what `python -m bench NAME|all --json` has measured, to be read.

Writes RESULTS.md, with a table of every bench, and its plots as PNG beside it. Needs matplotlib (`recordlayer[bench]`).
Of a bench that is in several files the last one counts, so a short run of all can be followed by long ones of some.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ORDER = (
    "peers",
    "query",
    "index",
    "growth",
    "stores",
    "paper",
    "cluster",
    "service",
    "service_keys",
    "service_tenants",
)
PEERS = ("ours", "sqlite3", "SQLAlchemy Core", "SQLAlchemy ORM", "peewee")
CASES = ("insert_100", "insert_1", "get", "range_100", "covering_100", "update")

Bench = Mapping[str, Any]


def main(arguments: Sequence[str]) -> int:
    *sources, directory = map(Path, arguments)
    if not sources:
        print(__doc__, file=sys.stderr)
        return 2
    benches = in_order(bench for source in sources for bench in _read(source))
    if not benches:
        print(f"nothing was measured in {', '.join(map(str, sources))}", file=sys.stderr)
        return 2
    directory.mkdir(parents=True, exist_ok=True)
    plots = [name for name, plot in PLOTS.items() if plot(benches, directory / f"{name}.png")]
    (directory / "RESULTS.md").write_text("\n".join(_lines(benches, plots)) + "\n", encoding="utf-8")
    return 0


def _read(source: Path) -> list[Bench]:
    """The benches of a file: one, or all that were run."""
    measured = json.loads(source.read_text(encoding="utf-8"))
    found: list[Bench] = measured.get("benches", [measured])
    return found


def in_order(benches: Iterable[Bench]) -> list[Bench]:
    """The last of each name, in the order in which they are read: the headline first."""
    last = {bench["bench"]: bench for bench in benches}
    return [last[name] for name in sorted(last, key=lambda name: (_place(name), name))]


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _lines(benches: Sequence[Bench], plots: Sequence[str]) -> list[str]:
    machine = benches[0]["machine"]
    where = f"{machine['cores']} cores, {machine['system'].split()[0]}, {machine['processor']}, {machine['python']}"
    where += ", with the compiled core" if machine["compiled"] else ", without the compiled core"
    lines = [
        "# Results",
        "",
        f"Measured with {_commands(benches)}, one bench after the other ({where}).",
        "What the columns mean, and how far to trust them, is in [README.md](README.md): ours/peer below 1 means",
        "that we are faster, targets are upper bounds.",
        "",
    ]
    lines += [f"![{name}]({name}.png)" for name in plots]
    for bench in benches:
        engine = f", on {bench['engine']}" if bench["engine"] else ""
        lines += ["", f"## {bench['bench']}{engine}", "", "| case | ours | peer | its time | ours/peer | target | |"]
        lines.append("|---|--:|---|--:|--:|--:|---|")
        for case in bench["cases"]:
            lines += _rows(case)
    return lines


def _commands(benches: Sequence[Bench]) -> str:
    short = [bench["bench"] for bench in benches if bench["quick"]]
    long = [f"`{bench['bench']}`" for bench in benches if not bench["quick"]]
    if not short:
        return "`python -m bench NAME`"
    whole = f" ({', '.join(long)}: without `--quick`)" if long else ""
    return f"`python -m bench NAME --quick`{whole}"


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
    """Times of one operation by how much there is, as multiples of those with least; records and stores."""
    times = [
        (title, lines)
        for title, bench, unit in (
            ("records in one store", "growth", "records"),
            ("stores in one file", "stores", "stores"),
        )
        if (lines := by_size(benches, bench, unit, "us", first_ratio))
    ]
    return _drawn(file, times, "time / that with the fewest", limit=1.5)


def _plot_memory(benches: Sequence[Bench], file: Path) -> bool:
    """What the process has grown by when it has read all there is."""
    grown = [
        (title, lines)
        for title, bench, unit in (("records read", "growth", "records"), ("stores opened", "stores", "stores"))
        if (lines := by_size(benches, bench, unit, "MiB", lambda case: case["ours"]["median"]))
    ]
    return _drawn(file, grown, "memory of the process, grown by MiB", limit=32.0)


Lines = dict[str, list[tuple[int, float]]]


def first_ratio(case: Mapping[str, Any]) -> float:
    ratio: float = next(iter(case["ratio"].values()))
    return ratio


def by_size(
    benches: Sequence[Bench], name: str, what: str, unit: str, height: Callable[[Mapping[str, Any]], float]
) -> Lines:
    """Points of each job of a bench whose cases are called "JOB, NUMBER WHAT"; at first where its peer is."""
    lines: Lines = {}
    for case in (case for bench in benches if bench["bench"] == name for case in bench["cases"]):
        job, _, size = case["case"].rpartition(", ")
        number, _, of_what = size.partition(" ")
        if of_what == what and case["unit"] == unit:
            peer, _, of_peer = next(iter(case["peers"])).partition(" ")
            start = [(_number(peer), 1.0)] if of_peer.startswith(what.rstrip("s")) else []
            lines.setdefault(job, start).append((_number(number), height(case)))
    return lines


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _drawn(file: Path, panels: Sequence[tuple[str, Lines]], ylabel: str, *, limit: float) -> bool:
    """One panel beside the other, with a line where the limit is. False if there is nothing to draw."""
    if not panels:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(panels), 3.5), layout="tight")
    for axes, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for job, points in lines.items():
            axes.plot(*zip(*points, strict=True), marker="o", label=job)
        axes.axhline(limit, color="black", linewidth=0.5, linestyle="--")
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(title)
        axes.set_ylabel(ylabel)
        if len(lines) > 1:
            axes.legend(fontsize="small")
    figure.savefig(file, dpi=110)
    return True


PLOTS = {"peers": _plot_peers, "growth": _plot_growth, "memory": _plot_memory}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
