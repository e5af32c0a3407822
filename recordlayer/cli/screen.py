"""What commands print: sentences, tables and JSON, the same on a terminal and in a pipe but for width and colour."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH = 80
_STYLES = {"safe": "green", "needs a build": "yellow", "refused": "red", "failed": "red", "done": "green"}


class Screen:
    """Where a command prints, and with which status it will end."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.out, self.err = out, err
        self.status = 0
        self.project_file = "recordlayer.toml"
        terminal = out.isatty()
        self.width = max(40, shutil.get_terminal_size((_WIDTH, 24)).columns) if terminal else _WIDTH
        coloured = terminal and "NO_COLOR" not in os.environ
        self._console = Console(
            file=out,
            width=self.width,
            force_terminal=coloured,
            color_system="auto" if coloured else None,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def say(self, text: str = "", *, to_errors: bool = False) -> None:
        """A line, or several."""
        (self.err if to_errors else self.out).write(f"{text}\n")

    def folded(self, text: str) -> str:
        """Lines that are too long go on in the next, as far in as they began."""
        return "\n".join(
            textwrap.fill(
                line,
                self.width,
                subsequent_indent=" " * (len(line) - len(line.lstrip())) + "  ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            for line in text.splitlines()
        )

    def json(self, value: Any) -> None:
        """One JSON object, for programs."""
        self.out.write(json.dumps(value, indent=2, default=str) + "\n")

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
        """Rows below their heads; long cells go on in the next line. `right`: columns of numbers."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=any(heads))
        for head in heads:
            table.add_column(head, justify="right" if head in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(str(cell), style=_STYLES.get(str(cell), "")) for cell in row))
        with self._console.capture() as shown:
            self._console.print(table)
        self.out.write("".join(f"{line.rstrip()}\n" for line in shown.get().splitlines()))

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on, if that was said beforehand or is said now.

        Raises  click.UsageError where nobody can be asked; click.Abort for no.
        """
        if yes:
            return
        if not self.out.isatty():
            raise click.UsageError("say --yes to do it: there is nobody to ask")
        click.confirm(question, abort=True)


def counted(number: int, what: str) -> str:
    """A number of things: 1 store, 2 stores."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def json_option(command: Any) -> Any:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object.")(command)


def yes_option(command: Any) -> Any:
    """`--yes`."""
    return click.option("--yes", is_flag=True, help="Do it without asking.")(command)
