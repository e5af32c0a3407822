"""`recordlayer index`: the indexes of a store, and building them while others use it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from recordlayer.blocking.store import RecordStore
from recordlayer.cli.completions import indexes
from recordlayer.cli.migrate import rate_option
from recordlayer.cli.opening import Opened, db_option, opened, store_option
from recordlayer.cli.project import Names
from recordlayer.cli.screen import Screen, counted, json_option, yes_option
from recordlayer.cli.scrubbing import print_findings, scrub_indexes
from recordlayer.index.state import IndexState
from recordlayer.metadata import Index
from recordlayer.migrate.wording import key_words
from recordlayer.online.heartbeat import Builder
from recordlayer.online.progress import BuildProgress

_WORDS = {
    IndexState.READABLE: "readable",
    IndexState.WRITE_ONLY: "being built",
    IndexState.DISABLED: "disabled",
    IndexState.READABLE_UNIQUE_PENDING: "not unique yet",
}


@click.group()
def index() -> None:
    """The indexes of a store, built while others use it."""


def where_options(command: Any) -> Any:
    return db_option(store_option(command))


# -- looking


@index.command("list")
@where_options
@json_option
@click.pass_obj
def list_(screen: Screen, db: str | None, at: Names | None, as_json: bool) -> None:
    """Print the indexes with their states and builds."""
    with opened(screen, db, at) as where, where.looking() as store:
        found = [(one, *progress_of(store, one.name)) for one in store.metadata.indexes.values()]
    if as_json:
        screen.json({"indexes": [_as_json(*one) for one in found]})
    elif not found:
        screen.say("there are none")
    else:
        rows = [
            (
                one.name,
                one.type + (" unique" if one.unique else ""),
                key_words(one),
                state_words(progress),
                build_words(progress, by),
            )
            for one, progress, by in found
        ]
        screen.table(("INDEX", "TYPE", "KEY", "STATE", "BUILD"), rows)


def progress_of(store: RecordStore, name: str) -> tuple[BuildProgress, list[Builder]]:
    build = store.build_of(name)
    return build.progress(), build.builders()


def state_words(progress: BuildProgress) -> str:
    """The state of an index, in words."""
    if progress.state is IndexState.WRITE_ONLY and progress.method is not None and not progress.gaps:
        return "not read yet"
    return _WORDS.get(progress.state, progress.state.name.lower().replace("_", " "))


def build_words(progress: BuildProgress, by: list[Builder]) -> str:
    """How far a build is, in words."""
    if progress.method is None:
        return ""
    said = []
    if progress.fraction is not None:
        said.append(f"{int(progress.fraction * 100)} %")
    else:
        said.append(f"{progress.scanned:,} records")
    if progress.blocked:
        said.append("paused" + (f" by {progress.block_id}" if progress.block_id else ""))
    if progress.rate is not None:
        said.append(f"at most {progress.rate:,}/s")
    said += [f"by {_name(one)}, seen {max(0, progress.seen - one.seen / 1000):,.0f} s ago" for one in by]
    return ", ".join(said)


def _name(builder: Builder) -> str:
    return builder.info.partition(" by ")[2] or str(builder.id)


def _as_json(one: Index, progress: BuildProgress, by: list[Builder]) -> dict[str, Any]:
    build = {
        "method": None if progress.method is None else progress.method.value,
        "scanned": progress.scanned,
        "total": progress.total,
        "fraction": progress.fraction,
        "paused": progress.blocked,
        "paused_by": progress.block_id,
        "rate": progress.rate,
        "builders": [
            {"id": str(who.id), "name": _name(who), "seen": _time(who.seen), "began": _time(who.began)} for who in by
        ],
    }
    return {
        "name": one.name,
        "type": one.type,
        "unique": one.unique,
        "key": key_words(one),
        "state": progress.state.name,
        "build": None if progress.method is None else build,
    }


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def say_build(screen: Screen, where: Opened, name: str) -> None:
    with where.looking() as store:
        progress, by = progress_of(store, name)
    screen.say(
        f"{name} of {where.words}: {state_words(progress)}{', ' if progress.method else ''}{build_words(progress, by)}"
    )


# -- judging


@index.command()
@click.argument("names", nargs=-1, shell_complete=indexes)
@click.option("--repair", is_flag=True, help="Put right what does not agree.")
@click.option("--anew", is_flag=True, help="From the beginning, whatever a scrub before has looked at.")
@rate_option
@where_options
@json_option
@yes_option
@click.pass_obj
def scrub(
    screen: Screen,
    names: tuple[str, ...],
    repair: bool,
    anew: bool,
    rate: int,
    db: str | None,
    at: Names | None,
    as_json: bool,
    yes: bool,
) -> None:
    """Look whether indexes agree with the records. Status 1 if they do not."""
    with opened(screen, db, at) as where:
        if repair:
            if not as_json:
                screen.say(f"{', '.join(names) or 'all indexes'} of {where.words}: what does not agree is put right")
            screen.confirm("Repair?", yes=yes)
        report = scrub_indexes(screen, where, names or None, repair=repair, anew=anew, rate=rate)
    print_findings(screen, [report], as_json=as_json)


@index.command()
@click.argument("name", shell_complete=indexes)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Values.")
@where_options
@json_option
@click.pass_obj
def violations(screen: Screen, name: str, limit: int, db: str | None, at: Names | None, as_json: bool) -> None:
    """Print values that should be unique and are not. Status 1 if there are some."""
    with opened(screen, db, at) as where, where.looking() as store:
        found = store.violations(name, limit=limit)
    if as_json:
        shown = [{"value": one.value, "primary_keys": one.primary_keys} for one in found]
        screen.json({"index": name, "violations": shown})
    elif not found:
        screen.say(f"the values of {name} are unique")
    else:
        rows = [(_keys(one.value), "  ".join(map(_keys, one.primary_keys))) for one in found]
        screen.table(("VALUE", "PRIMARY KEYS"), rows)
        screen.say(
            f"\n`recordlayer index resolve {name} KEY` keeps that record,\n"
            "and deletes the others that have its value; or change them"
        )
    screen.status = 1 if found else 0


def _keys(items: tuple[Any, ...]) -> str:
    """A key as `resolve` takes it."""
    return json.dumps(items[0] if len(items) == 1 else items, default=str)


@index.command()
@click.argument("name", shell_complete=indexes)
@click.argument("key")
@where_options
@json_option
@yes_option
@click.pass_obj
def resolve(screen: Screen, name: str, key: str, db: str | None, at: Names | None, as_json: bool, yes: bool) -> None:
    """Keep a record, and delete those with its unique value."""
    try:
        survivor = json.loads(key)
    except ValueError:
        survivor = key
    kept = tuple(survivor) if isinstance(survivor, list) else (survivor,)
    with opened(screen, db, at) as where:
        with where.looking() as store:
            others = [
                one for found in store.violations(name) if kept in found.primary_keys for one in found.primary_keys
            ]
            others = sorted({one for one in others if one != kept}, key=str)
        if not as_json:
            screen.say(f"stays    {_keys(kept)}")
            screen.say(f"deleted  {'  '.join(map(_keys, others)) or 'nothing'}")
        screen.confirm("Delete?", yes=yes)
        with where.changing() as store:
            gone = store.resolve_violation(name, kept)
        with where.looking() as store:
            left = store.violations(name, limit=1)
    if as_json:
        screen.json({"kept": kept, "deleted": gone, "left": bool(left)})
        return
    screen.say(f"deleted {counted(len(gone), 'record')}")
    if not left:
        screen.say(f"the values are unique now: `recordlayer index build {name}` finishes it")


@index.command()
@click.argument("name", shell_complete=indexes)
@where_options
@json_option
@yes_option
@click.pass_obj
def drop(screen: Screen, name: str, db: str | None, at: Names | None, as_json: bool, yes: bool) -> None:
    """Clear an index of this store, and keep it no longer."""
    with opened(screen, db, at) as where:
        if not as_json:
            say_build(screen, where, name)
            screen.say("its entries are cleared; queries go without it, and writes keep it no longer")
        screen.confirm("Drop?", yes=yes)
        with where.changing() as store:
            store.disable_index(name)
    if as_json:
        screen.json({"index": name, "state": IndexState.DISABLED.name})
        return
    screen.say(f"dropped {name}")
    screen.say("as long as the schema has it, a migration builds it again: take it out, and")
    screen.say("`recordlayer schema lock`; or bring it back: `recordlayer index build`")
