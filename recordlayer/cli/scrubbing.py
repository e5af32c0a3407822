"""Scrubs and repairs as commands run them: interrupted they say how to go on, and what they find is printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from recordlayer.cli.opening import Opened
from recordlayer.cli.progress import shown
from recordlayer.cli.screen import Screen
from recordlayer.online.options import WorkLimits
from recordlayer.online.repairer import RepairReport
from recordlayer.online.scrub_report import ScrubReport


def _words(what: str) -> Callable[[ScrubReport], str]:
    def words(report: ScrubReport) -> str:
        seconds = report.took.total_seconds()
        rate = f"  {(report.records + report.entries) / seconds:,.0f}/s" if seconds else ""
        looked_at = f"{what}  {report.records:,} records, {report.entries:,} entries"
        return f"{looked_at}{rate}  {report.found:,} found  {report.retries:,} conflicts"

    return words


def scrub_indexes(
    screen: Screen, where: Opened, names: Sequence[str] | None, *, repair: bool, anew: bool, rate: int
) -> ScrubReport:
    """Scrub indexes of a store; how far it came.  Raises  as `IndexScrubber.scrub`."""
    then = "`recordlayer index scrub` goes on"
    with shown(screen, _words("indexes"), then=then) as told:
        return where.database.index_scrubber(
            where.metadata,
            path=where.path,
            indexes=names,
            repair=repair,
            anew=anew,
            limits=WorkLimits(records_per_second=rate),
            told=told,
        ).scrub()


def look_at_records(screen: Screen, where: Opened, *, rate: int, **how: Any) -> RepairReport:
    """Look at the records of a store, or repair them.  Raises  as `RecordRepairer.repair`."""
    then = "the same command begins again; what was repaired stays so"
    with shown(screen, _words("records"), then=then) as told:
        limits = WorkLimits(records_per_second=rate)
        repairer = where.database.record_repairer(where.metadata, path=where.path, limits=limits, told=told, **how)
        return repairer.repair()


def print_findings(screen: Screen, reports: Sequence[ScrubReport], *, as_json: bool) -> None:
    """What reports have found. Status 1 if that is something which was not put right."""
    found, repaired = (sum(getattr(one, name) for one in reports) for name in ("found", "repaired"))
    records, entries = (sum(getattr(one, name) for one in reports) for name in ("records", "entries"))
    findings = [finding for one in reports for finding in one.findings]
    not_judged = sorted({name for one in reports for name in one.not_judged})
    if as_json:
        screen.json(
            {
                "finished": all(one.finished for one in reports),
                "records": records,
                "entries": entries,
                "found": found,
                "repaired": repaired,
                "findings": [dataclasses.asdict(one) for one in findings],
                "not_judged": not_judged,
            }
        )
    else:
        if findings:
            rows = [(one.where, one.what, "repaired" if one.repaired else one.trouble) for one in findings]
            screen.table(("WHERE", "WHAT", ""), rows)
            screen.say()
        screen.say(f"{records:,} looks at records, {entries:,} at entries")
        screen.say(f"{found:,} do not agree, {repaired:,} of them are repaired" if found else "all is well")
        if not_judged:
            screen.say(f"not judged part by part: {', '.join(not_judged)}")
    screen.status = 1 if found > repaired else 0
