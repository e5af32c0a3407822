"""The command `recordlayer` in a folder of its own: its schema is a module whose text a test changes."""

from __future__ import annotations

import io
import json
import signal
import sys
from pathlib import Path
from typing import Any

from recordlayer.cli.main import main
from tests.support.processes import run_script

SCHEMA = """
import recordlayer as rl
from tests.unit.metadata.test_update import file_of, proto

ORDER = "message Order {{ optional int64 id = 1; optional string customer = 2; optional int64 total = 3; {more}}}"
SHOP = rl.RecordMetaDataBuilder(file_of(proto(ORDER))).primary_key("Order", "id")
{indexes}
"""

_KILLED = """
import os, signal, sys
from recordlayer.cli.main import main
from recordlayer.kv.context import Context

left, commit = int(sys.argv[1]), Context.commit

async def killing(context):
    global left
    await commit(context)
    left -= context.counters.sets > 0
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

Context.commit = killing
sys.exit(main(sys.argv[2:]))
"""
"""A command that is killed behind so many commits which wrote something."""


def killed(folder: Path, behind: int, *arguments: str) -> None:
    """Run a command in a process of its own, which is killed behind so many commits that wrote something."""
    project = str(folder / "recordlayer.toml")
    done = run_script(_KILLED, behind, "--project", project, *arguments, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == -signal.SIGKILL, f"it came to its end\n{done.stdout}{done.stderr}"


class CommandLine:
    """Runs commands; `status` is of the last one, `said` what it printed, `complained` what it said of errors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status = 0
        self.said = self.complained = ""

    def schema(self, indexes: str = "", more: str = "", *, text: str | None = None) -> None:
        """Write the schema; it is read anew by the next command."""
        made = SCHEMA.format(indexes=indexes, more=more) if text is None else text
        (self.folder / "the_schema.py").write_text(made)

    def __call__(self, *arguments: str) -> str:
        sys.modules.pop("the_schema", None)
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        out, err = io.StringIO(), io.StringIO()
        try:
            self.status = main(["--project", str(self.folder / "recordlayer.toml"), *arguments], out=out, err=err)
        except SystemExit as ended:
            self.status = int(ended.code or 0)
        finally:
            sys.dont_write_bytecode = before
            sys.modules.pop("the_schema", None)
        self.said, self.complained = out.getvalue(), err.getvalue()
        return self.said

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))
