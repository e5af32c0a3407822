"""All commands under one name, what every command has, and how errors end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import TextIO

import click

from recordlayer.cli import protos
from recordlayer.cli.building import build, pause, resume, throttle
from recordlayer.cli.completions import completions
from recordlayer.cli.index import index
from recordlayer.cli.init import init
from recordlayer.cli.inspect import inspect
from recordlayer.cli.migrate import migrate
from recordlayer.cli.moving import copy, delete, export, import_, move
from recordlayer.cli.query import explain, query
from recordlayer.cli.schema import schema
from recordlayer.cli.screen import Screen
from recordlayer.cli.shell import shell
from recordlayer.cli.store import store
from recordlayer.errors import InvalidProject, InvalidSchemaSource, RecordLayerError, UsageError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option("--project", "-p", default="recordlayer.toml", metavar="FILE", help="The project file.")
@click.pass_context
def app(context: click.Context, project: str) -> None:
    """Work with record stores: their schemas, migrations, indexes and data."""
    context.obj.project_file = project


@app.command(protos.NAME, help=protos.SUMMARY, context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def _protos(screen: Screen, arguments: tuple[str, ...]) -> None:
    raise SystemExit(protos.main(arguments, screen.out))


for _command in (build, pause, resume, throttle):
    index.add_command(_command)
for _command in (copy, move, export, import_, delete):
    store.add_command(_command)
for _command in (init, schema, migrate, index, store, query, explain, inspect, shell, completions):
    app.add_command(_command)


def run(arguments: Sequence[str], out: TextIO, err: TextIO) -> int:
    """Run a command line; the exit status.  Raises  SystemExit for wrong use."""
    screen = Screen(out, err)
    try:
        with redirect_stdout(out):  # click prints help and asks there
            app.main(list(arguments), prog_name="recordlayer", standalone_mode=False, obj=screen)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.Abort:
        screen.say("nothing was done", to_errors=True)
        return 1
    except click.ClickException as error:
        err.write(f"{_usage(error)}{screen.folded(f'recordlayer: {error.format_message()}')}\n")
        raise SystemExit(2) from error
    except RecordLayerError as error:
        return complain(screen, error)
    return screen.status


def complain(screen: Screen, error: RecordLayerError) -> int:
    """Say what is wrong; the exit status."""
    screen.say(screen.folded(f"recordlayer: {error}"), to_errors=True)
    return 2 if isinstance(error, (InvalidProject, InvalidSchemaSource, UsageError)) else 1


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return "" if context is None else f"{context.get_usage()}\n"
