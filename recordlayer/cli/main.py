"""`recordlayer COMMAND ...`: reads the command line and runs one command.

Exit status: 0 done, 1 problems were found, 2 wrong use.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from recordlayer.cli import protos


class Command(Protocol):
    """What a command's module holds."""

    NAME: str
    SUMMARY: str

    def add(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace, out: TextIO) -> int: ...


COMMANDS: tuple[Command, ...] = (protos,)


def main(arguments: Sequence[str] | None = None, *, out: TextIO | None = None) -> int:
    """Run a command; the exit status."""
    parser = argparse.ArgumentParser(prog="recordlayer", description="Work with record stores.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        one = commands.add_parser(command.NAME, help=command.SUMMARY, description=command.SUMMARY)
        command.add(one)
        one.set_defaults(run=command.run)
    parsed = parser.parse_args(arguments)
    status: int = parsed.run(parsed, sys.stdout if out is None else out)
    return status


if __name__ == "__main__":
    sys.exit(main())
