"""`recordlayer store`: the stores of a database: what there is, whether it is in order, and who may write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from recordlayer.cli.index import where_options
from recordlayer.cli.migrate import rate_option
from recordlayer.cli.opening import Opened, db_option, opened
from recordlayer.cli.project import Names
from recordlayer.cli.screen import Screen, json_option, yes_option
from recordlayer.cli.scrubbing import look_at_records, print_findings, scrub_indexes
from recordlayer.errors import RecordLayerError, StoreMissing, UsageError
from recordlayer.store.header import FormatVersion
from recordlayer.store.places import path_of
from recordlayer.store.settings import StoreInfo, StoreLock
from recordlayer.tenant.stores import FoundStore
from recordlayer.tuples import unpack


@click.group()
def store() -> None:
    """The stores of a database: looked at, checked, locked and moved."""


# -- looking


@store.command("list")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@db_option
@json_option
@click.pass_obj
def list_(screen: Screen, limit: int, db: str | None, as_json: bool) -> None:
    """Print the stores that there are."""
    with opened(screen, db) as where:
        page = where.tenant().stores(limit=limit)
    if as_json:
        screen.json({"stores": [_as_json(one) for one in page.stores], "more": page.continuation is not None})
        return
    if not page.stores:
        screen.say("there are none")
        return
    rows = [
        (path_of(one.prefix), one.info.metadata_version, one.info.format_version, _lock(one.info))
        for one in page.stores
    ]
    screen.table(("STORE", "VERSION", "FORMAT", "LOCK"), rows, right=("VERSION", "FORMAT"))
    if page.continuation is not None:
        screen.say(f"... and more: --limit {limit * 10}")


def _lock(info: StoreInfo) -> str:
    if info.lock is None:
        return ""
    kind = {StoreLock.FULL_STORE: "closed", StoreLock.RECORD_UPDATES: "read only"}
    return f"{'locked' if info.lock.lock is None else kind[info.lock.lock]}: {info.lock.reason}"


def _as_json(found: FoundStore) -> dict[str, Any]:
    info = found.info
    return {
        "path": list(unpack(found.prefix)),
        "metadata_version": info.metadata_version,
        "format_version": info.format_version,
        "user_version": info.user_version,
        "updated_at": None if info.updated_at is None else info.updated_at.isoformat(timespec="seconds"),
        "cacheable": info.cacheable,
        "incarnation": info.incarnation,
        "lock": None
        if info.lock is None
        else {
            "kind": None if info.lock.lock is None else info.lock.lock.value,
            "reason": info.lock.reason,
            "since": info.lock.since.isoformat(timespec="seconds"),
        },
        "user_fields": {name: value.hex() for name, value in info.user_fields.items()},
    }


def _found(where: Opened) -> FoundStore:
    """The store as its header shows it, whether or not it may be opened.  Raises  StoreMissing."""
    path = where.path
    for one in where.database.tenant(path).stores(limit=1).stores:
        if unpack(one.prefix) == path:
            return one
    raise StoreMissing(path=where.words, hint="`recordlayer store list` lists those that are there")


@store.command()
@where_options
@json_option
@click.pass_obj
def info(screen: Screen, db: str | None, at: Names | None, as_json: bool) -> None:
    """Print what a store is: versions, lock, size, records and indexes."""
    with opened(screen, db, at) as where:
        found = _found(where)
        size = where.database.tenant(where.path).size()
        records, states, trouble = _opened(where)
    if as_json:
        screen.json({**_as_json(found), "bytes": size, "records": records, "indexes": states, "not_opened": trouble})
        return
    about = found.info
    updated = "" if about.updated_at is None else about.updated_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    rows = [
        ("store", path_of(found.prefix)),
        ("metadata", f"version {about.metadata_version}"),
        ("format", f"version {about.format_version}"),
        ("changed", updated),
        ("lock", _lock(about) or "none"),
        ("size", f"about {size:,} bytes"),
        ("records", "nothing counts them" if records is None else f"{records:,}"),
        ("incarnation", about.incarnation),
        *(("field", f"{name}: {len(value):,} bytes") for name, value in about.user_fields.items()),
    ]
    if trouble:
        rows.append(("indexes", f"it cannot be opened: {trouble}"))
    else:
        counted = {state: list(states.values()).count(state) for state in sorted(set(states.values()))}
        words = ", ".join(f"{number} {state.lower().replace('_', ' ')}" for state, number in counted.items())
        rows.append(("indexes", words or "none"))
    screen.table(("", ""), rows)


def _opened(where: Opened) -> tuple[int | None, dict[str, str], str]:
    """Records, states of indexes, and why they cannot be told."""
    try:
        with where.looking() as opened_store:
            states = {name: opened_store.index_state(name).name for name in opened_store.metadata.indexes}
            try:
                return opened_store.record_count(), states, ""
            except UsageError:  # nothing counts them
                return None, states, ""
    except RecordLayerError as error:
        return None, {}, f"{error.code}: {error.title}"


# -- judging


@store.command()
@rate_option
@where_options
@json_option
@click.pass_obj
def check(screen: Screen, rate: int, db: str | None, at: Names | None, as_json: bool) -> None:
    """Look whether records and indexes agree, in small steps. Status 1 if they do not."""
    with opened(screen, db, at) as where:
        records = look_at_records(screen, where, rate=rate)
        indexes = scrub_indexes(screen, where, None, repair=False, anew=True, rate=rate)
    print_findings(screen, [records, indexes], as_json=as_json)


@store.command()
@click.option("--delete", is_flag=True, help="Delete what is no record and cannot be read.")
@click.option("--delete-types", is_flag=True, help="Delete records of types that the schema does not have.")
@click.option("--add-versions", is_flag=True, help="Give records without a version a new one.")
@click.option(
    "--header",
    "least_format",
    type=click.IntRange(1),
    metavar="FORMAT",
    help=("Make a header that was lost anew; FORMAT is the least version that the store can have had."),
)
@rate_option
@where_options
@json_option
@yes_option
@click.pass_obj
def repair(
    screen: Screen,
    /,
    least_format: int | None,
    rate: int,
    db: str | None,
    at: Names | None,
    as_json: bool,
    yes: bool,
    **how: bool,
) -> None:
    """Put indexes right, and what else is asked for. Status 1 if something is left."""
    said = {"delete": "what is no record is deleted", "delete_types": "records of unknown types are deleted"}
    said["add_versions"] = "records without a version get one"
    with opened(screen, db, at) as where:
        if not as_json:
            screen.say(f"{where.words}: entries of indexes that do not agree with records are put right")
            for name, words in said.items():
                if how[name]:
                    screen.say(f"  {words}")
            if least_format is not None:
                screen.say("  a lost header is made anew: indexes are disabled, and built by the next migration")
        screen.confirm("Repair?", yes=yes)
        if least_format is not None:
            with where.database.transaction() as tx:
                metadata = tx.metadata_store(where.metadata).load()
                mended = tx.repair_missing_header(metadata, path=where.path, least_format=least_format)
            screen.say("made a new header" if mended else "the header was there", to_errors=as_json)
        records = look_at_records(screen, where, rate=rate, **how)
        indexes = scrub_indexes(screen, where, None, repair=True, anew=True, rate=rate)
    print_findings(screen, [records, indexes], as_json=as_json)


# -- locking


@store.command()
@click.option("--reason", required=True, help="What those are told who come to it.")
@click.option("--close", is_flag=True, help="Nobody may open it; otherwise it can be read.")
@click.option("--format-version", type=click.IntRange(1), default=1, help="Raise the format: 12 locks, 14 closes.")
@where_options
@yes_option
@click.pass_obj
def lock(
    screen: Screen, reason: str, close: bool, format_version: int, db: str | None, at: Names | None, yes: bool
) -> None:
    """Forbid changes of records, or opening the store."""
    with opened(screen, db, at) as where:
        found = _found(where)
        needed = FormatVersion.FULL_STORE_LOCK if close else FormatVersion.STORE_LOCK_STATE
        if max(format_version, found.info.format_version) < needed:
            raise click.UsageError(
                f"this lock needs format {needed}, the store has {found.info.format_version}: "
                f"raise it with --format-version {needed}, once all its programs know that"
            )
        screen.say(f"{path_of(found.prefix)}: {'nobody opens it' if close else 'it is only read'} until it is unlocked")
        if format_version > found.info.format_version:
            before = found.info.format_version
            screen.say(f"its format is raised from {before} to {format_version}: older programs cannot open it")
        screen.confirm("Lock?", yes=yes)
        with where.changing(format_version=format_version) as opened_store:
            header = opened_store.header
            header.lock(reason=reason) if close else header.forbid_updates(reason=reason)
    screen.say("locked: `recordlayer store unlock` opens it again")


@store.command()
@where_options
@yes_option
@click.pass_obj
def unlock(screen: Screen, db: str | None, at: Names | None, yes: bool) -> None:
    """Take a lock away, of either kind."""
    with opened(screen, db, at) as where:
        found = _found(where).info
        if found.lock is None:
            screen.say("it is not locked")
            return
        screen.say(f"{_lock(found)}, since {datetime.strftime(found.lock.since, '%Y-%m-%d %H:%M')}")
        screen.confirm("Unlock?", yes=yes)
        with where.changing(bypass_lock=found.lock.reason) as opened_store:
            opened_store.header.unlock()
    screen.say("unlocked")
