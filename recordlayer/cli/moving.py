"""`recordlayer store copy|move|export|import|delete`: a store, or all below a path, as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from recordlayer.cli import project as projects
from recordlayer.cli.index import where_options
from recordlayer.cli.opening import Opened, names_in, open_at, opened
from recordlayer.cli.progress import shown
from recordlayer.cli.project import Names
from recordlayer.cli.screen import Screen, counted, json_option, yes_option
from recordlayer.store.open import store_prefix
from recordlayer.store.places import path_of
from recordlayer.tenant.export import ExportReport, Guard
from recordlayer.tenant.importing import ImportReport
from recordlayer.tenant.moving import MoveReport, MoveStage
from recordlayer.tenant.removal import RemovalReport

_PAGE = 500


def guard_option(command: Any) -> Any:
    """`--guard`."""
    return click.option(
        "--guard",
        type=click.Choice([guard.value for guard in Guard]),
        default=Guard.PROVE.value,
        show_default=True,
        help="Writers meanwhile: prove that there were none, freeze them, or nothing.",
    )(command)


@click.command("copy")
@click.argument("target", metavar="PATH")
@click.option("--to-db", metavar="NAME", help="Another database of the project file.")
@guard_option
@where_options
@json_option
@yes_option
@click.pass_obj
def copy(
    screen: Screen,
    target: str,
    to_db: str | None,
    guard: str,
    db: str | None,
    at: Names | None,
    as_json: bool,
    yes: bool,
) -> None:
    """Copy what is at a path to another, where nothing is yet."""
    names = names_in(target)
    with opened(screen, db, at) as where, _another(screen, where, to_db) as database:
        if not as_json:
            _say_what(screen, where)
            screen.say(f"is copied to {path_of(store_prefix(names))}{'' if to_db is None else f' of {to_db}'}")
        screen.confirm("Copy?", yes=yes)
        with shown(screen, _arrived, then="the same command goes on") as told:
            report = where.tenant().copy_to(database.tenant(names), guard=Guard(guard), told=told)
    _print_import(screen, report, as_json)


@click.command("move")
@click.argument("target", metavar="PATH")
@click.option("--to-db", metavar="NAME", help="Another database of the project file.")
@click.option("--to", default="", metavar="WORDS", help="What those are told who come to the old place.")
@where_options
@json_option
@yes_option
@click.pass_obj
def move(
    screen: Screen,
    target: str,
    to_db: str | None,
    to: str,
    db: str | None,
    at: Names | None,
    as_json: bool,
    yes: bool,
) -> None:
    """Move what is at a path to another; where it was is closed for good."""
    names = names_in(target)
    with opened(screen, db, at) as where, _another(screen, where, to_db) as database:
        if not as_json:
            _say_what(screen, where)
            screen.say(f"is moved to {path_of(store_prefix(names))}{'' if to_db is None else f' of {to_db}'}")
        screen.confirm("Move?", yes=yes)
        with shown(screen, _moved, then="the same command goes on") as told:
            report = where.tenant().move_to(database.tenant(names), to=to, told=told)
    if as_json:
        stores = None if report.copied is None else report.copied.stores
        screen.json({"finished": report.finished, "stores": stores, "closed": report.closed})
        return
    if report.copied is not None:
        _print_import(screen, report.copied, as_json)
    screen.say(
        f"{counted(report.closed, 'store')} at the old place {'is' if report.closed == 1 else 'are'} closed for good"
    )


@contextmanager
def _another(screen: Screen, where: Opened, name: str | None) -> Iterator[Any]:
    """The database to copy to."""
    project = projects.load(screen.project_file)
    if name is None or (place := project.place(name)).url == where.place.url:
        yield where.database
        return
    with open_at(project, place) as database:
        yield database


@click.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@guard_option
@where_options
@json_option
@yes_option
@click.pass_obj
def export(screen: Screen, file: Path, guard: str, db: str | None, at: Names | None, as_json: bool, yes: bool) -> None:
    """Write what is at a path to a file, as it is at one moment."""
    with opened(screen, db, at) as where:
        if not as_json:
            _say_what(screen, where)
            screen.say(f"is written to {file}{', which is there and is replaced' if file.exists() else ''}")
        screen.confirm("Export?", yes=yes)
        # What is half written has another name: nobody takes it for an export.
        part = file.with_name(f"{file.name}.part")
        with shown(screen, _written, then="nothing was written: begin again") as told:
            try:
                with part.open("wb") as stream:
                    report = where.tenant().export(guard=Guard(guard)).write_to(stream, told=told)
                    stream.flush()
                    os.fsync(stream.fileno())
                part.replace(file)
            except OSError as error:
                raise click.FileError(str(file), hint=error.strerror) from error
            finally:
                part.unlink(missing_ok=True)
    if as_json:
        screen.json({"file": str(file), "stores": report.stores, "rows": report.rows, "bytes": report.written})
    else:
        screen.say(f"wrote {file}: {counted(report.stores, 'store')}, {report.rows:,} pairs, {report.written:,} bytes")


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@where_options
@json_option
@yes_option
@click.pass_obj
def import_(screen: Screen, file: Path, db: str | None, at: Names | None, as_json: bool, yes: bool) -> None:
    """Have what an export wrote be at a path, where nothing is yet."""
    with opened(screen, db, at) as where:
        if not as_json:
            screen.say(f"{file}, {file.stat().st_size:,} bytes, is imported to {where.words}")
        screen.confirm("Import?", yes=yes)
        with shown(screen, _arrived, then="the same command goes on") as told, file.open("rb") as stream:
            report = where.tenant().import_from(stream, told=told)
    _print_import(screen, report, as_json)


@click.command("delete")
@where_options
@json_option
@yes_option
@click.pass_obj
def delete(screen: Screen, db: str | None, at: Names | None, as_json: bool, yes: bool) -> None:
    """Delete the store at a path."""
    with opened(screen, db, at) as where:
        _ = where.path  # where there are many, it has to be named
        if not as_json:
            _say_what(screen, where)
            screen.say("is deleted for good")
        screen.confirm("Delete?", yes=yes)
        with shown(screen, _removed, then="the same command goes on") as told:
            report = where.tenant().delete(told=told)
    if as_json:
        screen.json({"finished": report.finished, "transactions": report.transactions})
    else:
        screen.say(f"deleted {where.words}")


def _arrived(report: ImportReport) -> str:
    return f"{report.stores:,} stores, {report.rows:,} pairs, {report.bytes:,} bytes"


def _moved(report: MoveReport) -> str:
    if report.stage is MoveStage.COPYING:
        return "" if report.copied is None else _arrived(report.copied)
    return f"{report.stage.value}: about {report.estimated_left:,} bytes are left"


def _written(report: ExportReport) -> str:
    return f"{report.stores:,} stores, {report.rows:,} pairs, {report.written:,} bytes written"


def _removed(report: RemovalReport) -> str:
    return f"about {report.estimated_left:,} bytes are left"


def _say_what(screen: Screen, where: Opened) -> None:
    tenant = where.tenant()
    page = tenant.stores(limit=_PAGE)
    more = "" if page.continuation is None else "at least "
    screen.say(f"{where.words}: {more}{counted(len(page.stores), 'store')}, about {tenant.size():,} bytes")


def _print_import(screen: Screen, report: ImportReport, as_json: bool) -> None:
    if as_json:
        names = ("finished", "stores", "rows", "bytes", "raised", "not_raised", "resumed")
        screen.json({name: getattr(report, name) for name in names})
        return
    resumed = ", the end of an import that was interrupted" if report.resumed else ""
    screen.say(f"{counted(report.stores, 'store')}, {report.rows:,} pairs, {report.bytes:,} bytes are there{resumed}")
    if report.not_raised:
        screen.say(f"{report.not_raised:,} stores of a format before 13 have no incarnation to be raised")
