"""`recordlayer COMMAND ...`: runs one command.

Exit status: 0 done, 1 problems were found or something failed, 2 wrong use.

All commands but `protos` need the libraries of the extra `cli`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from typing import TextIO

from recordlayer.cli import protos

MISSING = """recordlayer: this command needs libraries that are not installed.
  hint: pip install 'recordlayer[cli]' (`recordlayer protos` works without)
"""


def main(arguments: Sequence[str] | None = None, *, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Run a command; the exit status. `out` and `err` are where it writes, by default the process's own."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    to, errors = sys.stdout if out is None else out, sys.stderr if err is None else err
    if given[:1] == [protos.NAME]:
        return protos.main(given[1:], to)
    if any(importlib.util.find_spec(name) is None for name in ("click", "rich")):
        errors.write(MISSING)
        return 2
    from recordlayer.cli.app import run

    return run(given, to, errors)


if __name__ == "__main__":
    sys.exit(main())
