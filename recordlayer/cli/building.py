"""`recordlayer index build|pause|resume|throttle`: online builds of a store's indexes, here and in other processes."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import click

from recordlayer.blocking.online import OnlineIndexer
from recordlayer.blocking.store import RecordStore
from recordlayer.cli.completions import indexes
from recordlayer.cli.index import build_words, progress_of, say_build, state_words, where_options
from recordlayer.cli.migrate import rate_option
from recordlayer.cli.opening import Opened, opened, operator
from recordlayer.cli.project import Names
from recordlayer.cli.screen import Screen, json_option, yes_option
from recordlayer.errors import BuildBlocked, BuildLocked, UniquenessViolation, UsageError
from recordlayer.index.state import IndexState
from recordlayer.online.indexer import BuildReport
from recordlayer.online.options import Action, BuildLimits, BuildPolicy
from recordlayer.online.progress import BuildProgress
from recordlayer.online.progress_bar import ProgressBar
from recordlayer.store.header import FormatVersion

_NAP = 0.5


@click.command()
@click.argument("names", nargs=-1, shell_complete=indexes)
@click.option("--all", "every", is_flag=True, help="All that cannot be read yet.")
@click.option("--anew", is_flag=True, help="Build anew what is readable.")
@click.option("--source", metavar="INDEX", help="Go by a VALUE index instead of over all records.")
@click.option("--mutual", is_flag=True, help="Share the work with others who say so too.")
@click.option("--wait", type=click.FloatRange(0), default=0, help="Seconds to wait for somebody who builds it.")
@rate_option
@where_options
@json_option
@yes_option
@click.pass_obj
def build(screen: Screen, /, names: tuple[str, ...], every: bool, db: str | None, at: Names | None, **how: Any) -> None:
    """Build indexes online. Interrupted, the same command goes on."""
    if bool(names) == every:
        raise click.UsageError("give names of indexes, or --all")
    with opened(screen, db, at) as where:
        _built(screen, where, names, **how)


def _built(
    screen: Screen,
    where: Opened,
    names: tuple[str, ...],
    *,
    as_json: bool,
    yes: bool,
    rate: int,
    wait: float = 0,
    anew: bool = False,
    source: str | None = None,
    mutual: bool = False,
) -> None:
    with where.looking() as store:
        wanted = list(names or store.metadata.indexes)
        found = {name: progress_of(store, name)[0] for name in wanted}
        if not anew:
            found = {name: one for name, one in found.items() if not one.state.is_readable or _pending(one)}
        records = _records(store)
        pending = store.header.info.format_version >= FormatVersion.READABLE_UNIQUE_PENDING
    if not found:
        screen.json({"finished": True, "indexes": []}) if as_json else screen.say("nothing to build")
        return
    if not as_json:
        rows = [(name, state_words(one), "anew" if anew else build_words(one, [])) for name, one in found.items()]
        screen.table(("INDEX", "STATE", "BUILT SO FAR"), rows)
        number = "the records" if records is None else f"{records:,} records"
        screen.say(f"\n{number} to look at, at {rate:,} a second at most")
    screen.confirm("Build?", yes=yes)
    bar = ProgressBar(screen.err, width=min(80, screen.width))
    policy = BuildPolicy(unique_pending=pending, readable=Action.REBUILD if anew else Action.CONTINUE)
    indexer = where.database.online_indexer(
        where.metadata,
        path=where.path,
        indexes=list(found),
        policy=policy,
        limits=BuildLimits(records_per_second=rate),
        source=source,
        mutual=mutual,
        who=operator(),
        told=bar,
    )
    words = " ".join(found)
    try:
        report = _waiting(indexer, wait)
    except KeyboardInterrupt:
        bar.close()
        screen.say(f"stopped; what is built stays: `recordlayer index build {words}` goes on", to_errors=True)
        screen.status = 1
        return
    except BuildBlocked as blocked:
        bar.close()
        by = f" by {blocked.fields['id']}" if blocked.fields.get("id") else ""
        screen.say(f"{blocked.fields['index']} is paused{by}\n`recordlayer index resume` goes on", to_errors=True)
        screen.status = 1
        return
    except UniquenessViolation:
        report = None
    bar.close()
    with where.looking() as store:
        states = {name: store.index_state(name) for name in found}
    unique = [name for name, state in states.items() if state is not IndexState.READABLE]
    if as_json:
        screen.json(
            {
                "finished": not unique,
                "indexes": {name: state.name for name, state in states.items()},
                "records": 0 if report is None else report.records,
                "conflicts": 0 if report is None else report.retries,
            }
        )
    else:
        for name, state in states.items():
            screen.say(
                f"{name} is {'built' if state is IndexState.READABLE else 'built, and its values are not unique'}"
            )
        for name in unique:
            screen.say(f"  recordlayer index violations {name}")
    screen.status = 1 if unique else 0


def _pending(progress: BuildProgress) -> bool:
    return progress.state is IndexState.READABLE_UNIQUE_PENDING


def _records(store: RecordStore) -> int | None:
    try:
        return store.record_count()
    except UsageError:  # nothing counts them
        return None


def _waiting(indexer: OnlineIndexer, wait: float) -> BuildReport:
    """The report of a build, behind whoever is building now.  Raises  BuildLocked with his name if he takes longer."""
    until = time.monotonic() + wait
    while True:
        try:
            return indexer.build()
        except BuildLocked:
            if time.monotonic() >= until:
                raise
        time.sleep(_NAP)


@click.command()
@click.argument("name", shell_complete=indexes)
@click.option("--for", "seconds", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Then it ends.")
@click.option("--reason", help="What others are told, by default who you are.")
@where_options
@yes_option
@click.pass_obj
def pause(
    screen: Screen, name: str, seconds: float | None, reason: str | None, db: str | None, at: Names | None, yes: bool
) -> None:
    """Have the build of an index stop, wherever it runs."""
    with opened(screen, db, at) as where:
        say_build(screen, where, name)
        screen.confirm("Pause?", yes=yes)
        with where.changing() as store:
            lasts = None if seconds is None else timedelta(seconds=seconds)
            store.build_of(name).block(id=reason or operator(), lasts=lasts)
    screen.say(f"paused: `recordlayer index resume {name}` goes on")


@click.command()
@click.argument("name", shell_complete=indexes)
@click.option("--lift-only", is_flag=True, help="Let others go on, and build nothing here.")
@rate_option
@where_options
@json_option
@yes_option
@click.pass_obj
def resume(
    screen: Screen, name: str, lift_only: bool, rate: int, db: str | None, at: Names | None, as_json: bool, yes: bool
) -> None:
    """Let a paused build go on, and go on with it."""
    with opened(screen, db, at) as where:
        if not as_json:
            say_build(screen, where, name)
        screen.confirm("Resume?", yes=yes)
        with where.changing() as store:
            lifted = store.build_of(name).unblock()
        if not as_json:
            screen.say("the pause is lifted" if lifted else "it was not paused")
        elif lift_only:
            screen.json({"lifted": lifted})
        if not lift_only:
            _built(screen, where, (name,), as_json=as_json, yes=True, rate=rate)


@click.command()
@click.argument("name", shell_complete=indexes)
@click.argument("rate", type=click.IntRange(1), required=False)
@click.option("--off", is_flag=True, help="Let it go at its own rate again.")
@where_options
@yes_option
@click.pass_obj
def throttle(
    screen: Screen, name: str, rate: int | None, off: bool, db: str | None, at: Names | None, yes: bool
) -> None:
    """Have a build, wherever it runs, go no faster than RATE."""
    if (rate is None) != off:
        raise click.UsageError("give a rate, or --off")
    with opened(screen, db, at) as where:
        say_build(screen, where, name)
        screen.confirm("Take the limit away?" if rate is None else f"At most {rate:,} a second?", yes=yes)
        with where.changing() as store:
            store.build_of(name).throttle(rate)
    screen.say("it goes at its own rate" if rate is None else f"at most {rate:,} records a second")
