"""`recordlayer shell`: queries and all other commands, one a line, with completion; a page at a time.

The database is open while a line is worked on only: others can use a file between two lines.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

import click

from recordlayer.cli.opening import Opened, db_option, opened, store_option
from recordlayer.cli.project import Names
from recordlayer.cli.query import PAGE, TIME, print_page
from recordlayer.cli.screen import Screen
from recordlayer.cli.statement import VERBS, Statement, statement_in
from recordlayer.errors import LibraryMissing, RecordLayerError
from recordlayer.metadata import RecordMetaData
from recordlayer.options import Limits
from recordlayer.store.open import store_prefix
from recordlayer.store.places import path_of

HELP = """\
  Order where customer == "ana" and total > 100 order by total desc limit 5
  query("Order").group_by("customer").aggregate(n=agg.count())
  explain Order where total > 100      the plan
  analyze Order where total > 100      the plan, and what it did
  next                                 the next page; so does an empty line
  types, indexes                       what there is
  COMMAND ...                          as `recordlayer COMMAND ...`: inspect, index, store, migrate ...
  quit                                 or Ctrl-D"""
_OWN = ("next", "types", "indexes", "help", "quit")


@click.command()
@click.option("--history", type=click.Path(dir_okay=False), metavar="FILE", help="Keep what is typed in a file.")
@store_option
@db_option
@click.pass_context
def shell(context: click.Context, db: str | None, at: Names | None, history: str | None) -> None:
    """Type queries and commands, with completion of record types, fields and indexes.

    Lines may also be piped in. Status 1 if one of them failed.
    """
    screen: Screen = context.obj
    session = Session(context, screen, db, at)
    for line in _lines(screen, session, history):
        if not session.line(line):
            break


def _lines(screen: Screen, session: Session, history: str | None) -> Iterator[str]:
    if not sys.stdin.isatty():
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    try:
        from recordlayer.cli.prompt import prompted
    except ModuleNotFoundError as error:
        raise LibraryMissing(library=error.name, hint="pip install 'recordlayer[cli]'") from error
    screen.say(f"{session.words}; `help` says what can be typed")
    yield from prompted(session, history)


class Session:
    """What a shell knows between two lines."""

    def __init__(self, context: click.Context, screen: Screen, db: str | None, at: Names | None) -> None:
        self._context = context
        self._screen = screen
        self._db, self._at = db, at
        self._last: Statement | None = None
        self._rest: bytes | None = None
        with self._opened() as where:
            self.words = path_of(store_prefix(where.path))
            with where.looking() as store:
                self.metadata: RecordMetaData = store.metadata

    def _opened(self) -> AbstractContextManager[Opened]:
        return opened(self._screen, self._db, self._at)

    @property
    def commands(self) -> Iterable[str]:
        """What a line may begin with, besides a record type."""
        root = self._context.find_root().command
        known = root.commands if isinstance(root, click.Group) else {}
        return (*VERBS, *_OWN, *(name for name in known if name not in ("shell", "query")))

    def line(self, text: str) -> bool:
        """Do what a line says, and complain where it cannot be done; False at the end."""
        from recordlayer.cli.app import complain

        text = text.strip()
        if text in ("quit", "exit", "\\q"):
            return False
        try:
            self._do(text)
        except RecordLayerError as error:
            self._screen.status = max(self._screen.status, min(1, complain(self._screen, error)))
        except click.ClickException as error:
            self._screen.status = 1
            self._screen.say(f"recordlayer: {error.format_message()}", to_errors=True)
        except (click.Abort, KeyboardInterrupt):
            self._screen.say("stopped", to_errors=True)
        except click.exceptions.Exit:
            pass
        return True

    def _do(self, text: str) -> None:
        if not text or text == "next":
            self._next(said=bool(text))
        elif text.startswith("#"):
            return
        elif text in ("help", "?"):
            self._screen.say(HELP)
        elif text == "types":
            self._command(["schema", "show"])
        elif text == "indexes":
            self._command(["index", "list"])
        elif (first := text.partition(" ")[0]) in self._root.commands and first not in VERBS:
            self._command(_split(text))
        else:
            self._run(statement_in(text), None)

    # -- queries ---------------------------------------------------------------------------------------

    def _next(self, *, said: bool) -> None:
        if self._last is not None and self._rest is not None:
            self._run(self._last, self._rest)
        elif said:
            self._screen.say("there is no further page")

    def _run(self, statement: Statement, resume: bytes | None) -> None:
        limits = Limits(time=TIME)
        with self._opened() as where, where.looking() as store:
            self.metadata = store.metadata
            if statement.verb == "explain":
                self._screen.say(str(store.explain(statement.query)))
                return
            if statement.verb == "analyze":
                self._screen.say(
                    str(store.analyze(statement.query, limit=statement.limit, limits=limits, snapshot=True))
                )
                return
            limit = statement.limit or PAGE
            page = store.query(statement.query, limit=limit, resume=resume, limits=limits, snapshot=True)
            rows = list(page)
            stopped = page.stopped
            self._last, self._rest = statement, page.continuation
        print_page(self._screen, rows, None if self._rest is None else "", stopped, how="`next` goes on")

    # -- commands --------------------------------------------------------------------------------------

    @property
    def _root(self) -> click.Group:
        root = self._context.find_root().command
        assert isinstance(root, click.Group), "commands are under one name"
        return root

    def _command(self, arguments: list[str]) -> None:
        if arguments[0] == "shell":
            raise click.UsageError("this is one")
        name = arguments[0]
        here = {"--db": self._db, "--store": None if self._at is None else json.dumps(self._at)}
        where = [
            word
            for option, value in here.items()
            if value is not None and _takes(self._root, arguments, option)
            for word in (option, value)
        ]
        before = self._screen.status
        self._screen.status = 0
        project = ["--project", self._screen.project_file]
        self._root.main(
            [*project, *arguments, *where], prog_name="recordlayer", standalone_mode=False, obj=self._screen
        )
        self._screen.status = max(before, self._screen.status)
        self._rest = self._rest if name in ("explain", "schema") else None


def _takes(root: click.Group, arguments: list[str], option: str) -> bool:
    """Whether the command takes an option that is not given."""
    command: click.Command | None = root
    for word in arguments:
        if not isinstance(command, click.Group):
            break
        command = command.commands.get(word)
    known = () if command is None else command.params
    return option not in arguments and any(option in one.opts for one in known)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise click.UsageError(f"{text}: {error}") from error
