"""A report as JSON for programs and as a table for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from bench.harness import Case, Report


def as_json(report: Report, *, quick: bool) -> str:
    """One object; the keys are a contract: bench, quick, engine, machine, cases."""
    return json.dumps(_as_object(report, quick=quick), indent=2)


def all_as_json(reports: Iterable[Report], *, quick: bool) -> str:
    """One object, {"benches": [...]}: such an object of each."""
    return json.dumps({"benches": [_as_object(report, quick=quick) for report in reports]}, indent=2)


def _as_object(report: Report, *, quick: bool) -> dict[str, Any]:
    return {
        "bench": report.bench,
        "quick": quick,
        "engine": report.engine,
        "machine": dict(report.machine),
        "cases": [asdict(case) for case in report.cases],
    }


def as_table(report: Report) -> str:
    """A line for every case and peer."""
    head = ("case", "ours", "peer", "its time", "ours/peer", "target", "")
    rows = [head, *(row for case in report.cases for row in _rows(case))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(_aligned(cell, width, column) for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    about = ", ".join(str(value) for value in report.machine.values() if not isinstance(value, int))
    title = f"{report.bench}: {about}, {report.machine.get('cores')} cores"
    if report.engine is not None:
        title += f", engine {report.engine}"
    note = (
        "Times are of one operation, median of all rounds. ours/peer below 1: we are faster; targets are upper bounds."
    )
    return "\n".join([title, "", *(line.rstrip() for line in lines), "", note])


def _rows(case: Case) -> Iterator[tuple[str, ...]]:
    label = case.case
    ours = f"{_number(case.ours.median)} {case.unit}"
    if case.ops.reads or case.ops.writes:
        label += f" ({case.ops.reads:g} reads, {case.ops.writes:g} writes, {case.ops.round_trips:g} round trips)"
    if not case.peers:
        yield label, ours, "", "", "", "", ""
    for peer, spread in case.peers.items():
        target = case.target.get(peer)
        verdict = "" if target is None else "MISSED" if peer in case.missed else "ok"
        yield (
            label,
            ours,
            peer,
            f"{_number(spread.median)} {case.unit}",
            f"{case.ratio[peer]:.2f}",
            "" if target is None else f"{target:.2f}",
            verdict,
        )
        label = ours = ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in (1, 3, 4, 5) else cell.ljust(width)
