"""`recordlayer migrate`: brings the stores of a database to the schema that is locked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from recordlayer.blocking.migrating import Migration
from recordlayer.cli import project as projects
from recordlayer.cli.opening import db_option, open_at, operator
from recordlayer.cli.schema import allow_option, locked, print_changes
from recordlayer.cli.screen import Screen, counted, json_option, yes_option
from recordlayer.cli.source import wanted
from recordlayer.errors import MigrationHeld, RecordLayerError
from recordlayer.metadata import RecordMetaData
from recordlayer.migrate.changes import schema_diff
from recordlayer.migrate.fleet import FleetRules, MigrationReport
from recordlayer.migrate.plan import RATE, Plan, StepKind
from recordlayer.online.indexer import BuildReport
from recordlayer.online.options import BuildLimits
from recordlayer.online.progress_bar import ProgressBar
from recordlayer.store.places import path_of

_SHOWN = 12


def rate_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--rate N`."""
    return click.option(
        "--rate", type=click.IntRange(1), default=RATE, show_default=True, help="Records a second, for builds."
    )(command)


def apply_options(command: Any) -> Any:
    """What `apply`, `resume` and `rollback` have in common."""
    for one in (
        click.option("--canary", default="0", metavar="SHARE", help="Goes first: 1%, or 0.01."),
        click.option("--only-canary", is_flag=True, help="Stop behind the canaries."),
        click.option("--concurrency", type=click.IntRange(1), default=4, show_default=True, help="Stores at once."),
        click.option("--stop-after", type=click.IntRange(1), default=1, show_default=True, help="Failed stores."),
        click.option("--wait", type=click.FloatRange(0), default=0, help="Seconds to wait for another operator."),
        click.option("--lease", type=click.FloatRange(0.1), default=30, help="Seconds of silence others wait."),
        rate_option,
        allow_option,
        db_option,
        json_option,
        yes_option,
    ):
        command = one(command)
    return command


@click.group()
def migrate() -> None:
    """Bring stores to the schema that is locked."""


@contextmanager
def migration(
    screen: Screen, db: str | None, *, schema: RecordMetaData | None = None, allow: tuple[str, ...] = (), **how: Any
) -> Iterator[tuple[projects.Project, Migration]]:
    """The migration of a database of the project, which is open meanwhile."""
    project = projects.load(screen.project_file)
    place = project.place(db)
    with open_at(project, place) as database:
        yield (
            project,
            database.migration(
                locked(project) if schema is None else schema,
                metadata=place.metadata,
                path=place.store,
                below=place.below,
                who=operator(),
                allow=project.allowing(allow),
                **how,
            ),
        )


# -- looking


@migrate.command()
@rate_option
@allow_option
@db_option
@json_option
@click.pass_obj
def plan(screen: Screen, rate: int, allow: tuple[str, ...], db: str | None, as_json: bool) -> None:
    """Print what there is to do, judged and priced. Status 1 if a change is refused."""
    with migration(screen, db, allow=allow) as (project, made):
        found = made.plan()
    screen.status = 1 if found.diff.refused else 0
    if as_json:
        screen.json(found.as_json(rate=rate))
        return
    _say_if_not_locked(screen, project)
    print_plan(screen, found, rate=rate)


def _say_if_not_locked(screen: Screen, project: projects.Project) -> None:
    """Migrations go by the lock file; a schema that was changed since is easily forgotten."""
    try:
        found = schema_diff(project.locked(), wanted(project), allow=project.allow)
    except RecordLayerError:
        return  # where it is applied, the schema need not be there
    if not found.is_empty:
        screen.say(f"note: the schema is not what {project.lock.name} says: `recordlayer schema lock`", to_errors=True)


def print_plan(screen: Screen, found: Plan, *, rate: int) -> None:
    """Changes, steps and price."""
    current, target = found.diff.current, found.diff.target
    if found.is_empty and not found.diff.refused:
        screen.say(f"nothing to do: version {0 if target is None else target.version} is everywhere")
        return
    if found.diff.changes:
        before = "nothing" if current is None else f"version {current.version}"
        screen.say(f"from {before} to {'nothing' if target is None else f'version {target.version}'}\n")
        print_changes(screen, found.diff)
        screen.say()
    if found.diff.refused:
        return
    rows: list[tuple[object, ...]] = []
    for step in found.steps[:_SHOWN]:
        rows.append((len(rows) + 1, step.kind.value, step.about, "" if not step.store else path_of(step.store)))
    screen.table(("", "STEP", "INDEX", "STORE"), rows, right=("",))
    if len(found.steps) > _SHOWN or found.stores > found.priced:
        screen.say(f"... in {found.stores:,} stores, {found.priced:,} of which were looked at")
    if any(step.kind is StepKind.BUILD for step in found.steps):
        price = found.price
        about = "" if price.exact else "about "
        screen.say(
            f"\n{about}{price.keys:,} keys to scan, {about}{price.entries:,} entries to write,"
            f" {_short(price.time(rate))} at {rate:,} a second"
        )


def _short(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than 1 s"
    return str(timedelta(seconds=round(seconds)))


@migrate.command()
@allow_option
@db_option
@json_option
@click.pass_obj
def status(screen: Screen, allow: tuple[str, ...], db: str | None, as_json: bool) -> None:
    """Print where it is. Status 1 while something is left to do."""
    with migration(screen, db, allow=allow) as (_, made):
        found = made.status()
    screen.status = 0 if found.plan.is_empty and not found.plan.diff.refused else 1
    left = [step.as_json() for step in found.plan.steps]
    if as_json:
        screen.json(
            {
                "version": found.version,
                "at_work": None if found.holder is None else found.holder.who,
                "run": None if found.run is None else found.run.id,
                "run_finished": None if found.run is None else found.run.finished,
                "stopped": None if found.run is None else found.run.stopped,
                "stores": found.plan.stores,
                "done": found.done,
                "left": left,
            }
        )
        return
    rows = [("stored", "nothing" if found.version is None else f"version {found.version}")]
    rows.append(("at work", "nobody" if found.holder is None else found.holder.who))
    if found.run is not None:
        said = "finished" if found.run.finished else found.run.stopped or "not finished"
        rows.append(("last run", f"{said}, {found.done:,} of {counted(found.run.stores, 'store')}, by {found.run.who}"))
    rows.append(
        ("left", "nothing" if not left else f"{counted(len(left), 'step')}: `recordlayer migrate plan` lists them")
    )
    screen.table(("", ""), rows)


@migrate.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@db_option
@json_option
@click.pass_obj
def history(screen: Screen, limit: int, db: str | None, as_json: bool) -> None:
    """Print the newest steps that were done."""
    with migration(screen, db) as (_, made):
        rows = made.history(limit=limit)
    if as_json:
        screen.json({"history": [_row_as_json(row) for row in rows]})
        return
    shown = []
    for row in rows:
        versions = "" if row.to_version is None else f"{row.from_version or '-'} > {row.to_version}"
        when = datetime.fromtimestamp(row.at, UTC).strftime("%Y-%m-%d %H:%M")
        step, store = f"{row.step} {row.about}".rstrip(), path_of(row.store) if row.store else ""
        shown.append((when, step, versions, store, row.who.partition(" process ")[0]))
    screen.table(("WHEN (UTC)", "STEP", "VERSION", "STORE", "BY"), shown)


def _row_as_json(row: Any) -> dict[str, Any]:
    return {
        "at": row.at,
        "step": row.step,
        "index": row.about,
        "from_version": row.from_version,
        "to_version": row.to_version,
        "store": "" if not row.store else path_of(row.store),
        "who": row.who,
        "run": row.run,
    }


# -- doing


@migrate.command()
@apply_options
@click.pass_obj
def apply(screen: Screen, /, **options: Any) -> None:
    """Do what is planned, from wherever it stopped."""
    _apply(screen, resume=False, **options)


@migrate.command()
@apply_options
@click.pass_obj
def resume(screen: Screen, /, **options: Any) -> None:
    """Go on with a run that was begun."""
    _apply(screen, resume=True, **options)


@migrate.command()
@click.option("--to", "version", type=int, metavar="VERSION", help="By default the version before.")
@apply_options
@click.pass_obj
def rollback(screen: Screen, /, version: int | None, **options: Any) -> None:
    """Migrate to the schema of an earlier version. Fields and types that were added stay."""
    with migration(screen, options["db"], allow=options["allow"]) as (_, made):
        schema = made.rollback_schema(version)
    _apply(screen, resume=False, schema=schema, **options)


def _apply(
    screen: Screen,
    *,
    resume: bool,
    db: str | None,
    allow: tuple[str, ...],
    as_json: bool,
    yes: bool,
    rate: int,
    canary: str,
    only_canary: bool,
    concurrency: int,
    stop_after: int,
    wait: float,
    lease: float,
    schema: RecordMetaData | None = None,
) -> None:
    rules = FleetRules(canary=_share(canary), only_canary=only_canary, concurrency=concurrency, stop_after=stop_after)
    told = _Told(screen)
    with migration(
        screen,
        db,
        schema=schema,
        allow=allow,
        rules=rules,
        lease=timedelta(seconds=lease),
        limits=BuildLimits(records_per_second=rate),
        told=told,
    ) as (_, made):
        found = made.plan()
        if not as_json:
            print_plan(screen, found, rate=rate)
        if found.diff.refused:
            if as_json:
                screen.json(found.as_json(rate=rate))
            screen.status = 1
            return
        if found.is_empty and not resume:
            if as_json:
                screen.json({"finished": True, "stores": found.stores, "done": 0})
            return
        screen.confirm("Do it?", yes=yes)
        try:
            report = made.apply(resume=resume, wait=timedelta(seconds=wait))
        except KeyboardInterrupt:
            told.close()
            screen.say("stopped; what is done is done: `recordlayer migrate resume` goes on", to_errors=True)
            screen.status = 1
            return
        except MigrationHeld:
            told.close()
            raise
        told.close()
    if as_json:
        screen.json(_report_as_json(report))
    else:
        _print_report(screen, report)
    screen.status = 0 if report.finished else 1


def _share(text: str) -> float:
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise click.BadParameter("give a share such as 1% or 0.01", param_hint="--canary") from None


def _report_as_json(report: MigrationReport) -> dict[str, Any]:
    return {
        "finished": report.finished,
        "stopped": report.stopped,
        "run": report.run,
        "version": report.version,
        "stores": report.stores,
        "done": report.done,
        "skipped": report.skipped,
        "failed": {path_of(store): why for store, why in report.failed.items()},
        "waiting": {path_of(store): indexes for store, indexes in report.waiting.items()},
    }


def _print_report(screen: Screen, report: MigrationReport) -> None:
    behind = f", {report.skipped:,} were done before" if report.skipped else ""
    screen.say(f"version {report.version}: {report.done:,} of {counted(report.stores, 'store')} done{behind}")
    for store, why in report.failed.items():
        screen.say(f"  {path_of(store)} failed: {why}")
    for store, indexes in report.waiting.items():
        for index in indexes:
            screen.say(f"  {path_of(store)}: values of {index} are not unique")
            screen.say(f"    recordlayer index violations {index}")
    if report.stopped:
        screen.say(f"stopped: {report.stopped}")
    if not report.finished:
        screen.say("`recordlayer migrate resume` goes on")


class _Told:
    """Shows builds as they go, on the stream for errors: what is piped is the outcome."""

    def __init__(self, screen: Screen) -> None:
        self._bar = ProgressBar(screen.err, width=80)

    def __call__(self, words: str, store: bytes, report: BuildReport | None) -> None:
        if report is not None:
            self._bar(report)

    def close(self) -> None:
        self._bar.close()
