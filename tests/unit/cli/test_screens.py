"""What commands print, word for word: a migration, indexes, stores that are moved; 80 columns, no colour, piped."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory

import recordlayer as rl
from recordlayer.cli.main import main
from recordlayer.migrate.lockfile import from_text
from recordlayer.store.metadata_store import StoredMetaData
from tests.support.command_line import CommandLine

BY_TOTAL = 'SHOP.index("Order", "by_total", "total")'
COUNTED = 'SHOP.index(None, "records", rl.count())'
UNIQUE = 'SHOP.index("Order", "one_total", "total", unique=True)'
WIDTH = 80

Golden = Callable[[str, str], None]


class Session:
    """Commands and what they printed, as on a screen."""

    def __init__(self, run: CommandLine) -> None:
        self.run = run
        self.lines: list[str] = []

    def __call__(self, *arguments: str) -> str:
        self.run(*arguments)
        said = f"$ recordlayer {' '.join(arguments)}\n{self.run.said}"
        complained = [line for line in self.run.complained.splitlines() if not re.search(r"\[[#-]+\]", line)]
        said += "".join(f"! {line}\n" for line in complained)  # without bars: their rates are the machine's
        self.lines.append(f"{said}[{self.run.status}]\n")
        return self.run.said

    @property
    def text(self) -> str:
        text = "\n".join(self.lines).replace(str(self.run.folder), "FOLDER")
        text = re.sub(r"process \d+", "process 7", re.sub(r"since_ms \d+", "since_ms 7", text))
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "2030-01-01 00:00", text)
        return re.sub(r"[\d,]+ bytes", "9,999 bytes", text)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setattr("getpass.getuser", lambda: "ana")
    monkeypatch.setattr("socket.gethostname", lambda: "desk")
    made = CommandLine(tmp_path)
    made.schema(COUNTED)
    made("init", "--builder", "the_schema:SHOP", "--url", "file:shop.rl", "--path", "shop/acme")
    assert made.status == 0, made.complained
    made("migrate", "apply", "--yes")
    assert made.status == 0, made.complained
    filled(tmp_path)
    return made


def filled(folder: Path, path: tuple[str, ...] = ("shop", "acme")) -> None:
    """300 orders, of which two have the same total."""
    locked = from_text((folder / "schema.lock").read_text())
    order: Any = message_factory.GetMessageClass(locked.record_types["Order"].descriptor)
    with rl.open(f"file:{folder / 'shop.rl'}") as db, db.transaction() as tx:
        store = tx.store(StoredMetaData(path=("shop", "metadata")), path=path)
        for number in range(300):
            store.save(order(id=number, customer=f"c{number % 7}", total=max(1, number)))


def test_screens_of_a_migration(run: CommandLine, golden_text: Golden) -> None:
    session = Session(run)
    run.schema(f"{COUNTED}\n{BY_TOTAL}\n{UNIQUE}")
    session("schema", "diff")
    session("migrate", "plan")
    session("schema", "lock", "--yes")
    session("migrate", "plan")
    session("migrate", "apply")
    session("migrate", "apply", "--yes")
    session("migrate", "status")
    session("index", "list")
    session("index", "violations", "one_total")
    session("index", "resolve", "one_total", "1", "--yes")
    session("migrate", "resume", "--yes")
    session("migrate", "status")
    session("migrate", "history")
    session("migrate", "plan")
    run.schema(text=(run.folder / "the_schema.py").read_text().replace("int64 total", "string total"))
    session("schema", "diff")
    session("schema", "lock", "--yes")
    golden_text("screens_migrate", session.text)
    fits(session.text)


def test_screens_of_indexes(run: CommandLine, golden_text: Golden) -> None:
    run.schema(f"{COUNTED}\n{BY_TOTAL}\n{UNIQUE}")
    run("schema", "lock", "--yes")
    run("migrate", "apply", "--yes")
    session = Session(run)
    session("index", "violations", "one_total")
    session("index", "build", "one_total", "--yes")
    session("index", "resolve", "one_total", "1", "--yes")
    session("index", "build", "--all", "--yes")
    session("index", "violations", "one_total")
    session("index", "drop", "by_total")
    session("index", "drop", "by_total", "--yes")
    session("index", "list")
    session("index", "pause", "by_total", "--yes")
    session("index", "throttle", "by_total", "--yes")
    session("index", "build", "by_total", "--yes")
    session("index", "build", "--all", "--yes")
    session("index", "scrub")
    session("index", "list")
    session("index", "build", "by_totl", "--yes")
    session("index", "build")
    golden_text("screens_index", session.text)
    fits(session.text)


def test_screens_of_stores(run: CommandLine, golden_text: Golden) -> None:
    session = Session(run)
    session("store", "list")
    session("store", "info")
    session("store", "check")
    session("store", "repair", "--yes")
    session("store", "lock", "--reason", "moving house", "--yes")
    session("store", "lock", "--reason", "moving house", "--close", "--format-version", "14", "--yes")
    session("store", "list")
    session("index", "list")
    session("store", "info")
    session("store", "unlock", "--yes")
    session("store", "unlock", "--yes")
    session("store", "copy", "shop/other", "--yes")
    session("store", "copy", "shop/other", "--yes")
    session("store", "export", str(run.folder / "acme.tenant"), "--yes")
    session("store", "delete")
    session("store", "delete", "--yes")
    session("store", "info")
    session("store", "import", str(run.folder / "acme.tenant"), "--yes")
    session("store", "info", "--store", '["shop", "other"]')
    session("store", "move", "shop/new", "--to", "the new house", "--store", "shop/other", "--yes")
    session("store", "info", "--store", "shop/other")
    session("store", "info", "--store", "[1.5]")
    golden_text("screens_store", session.text)
    fits(session.text)


def test_screens_of_help(run: CommandLine, golden_text: Golden) -> None:
    session = Session(run)
    session("--help")
    for group in ("schema", "migrate", "index", "store"):
        session(group, "--help")
    golden_text("screens_help", session.text)
    for command in (("index", "build"), ("index", "violations"), ("migrate", "apply"), ("store", "lock")):
        session(*command, "--help")  # options are worded by click, and otherwise by another version of it
    fits(session.text)


def fits(text: str) -> None:
    said = [line.removeprefix("! ") for line in text.splitlines() if not line.startswith("$ ")]
    assert not [line for line in said if len(line) > WIDTH]
    assert "\x1b" not in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_is_colour_and_none_where_it_is_not_wanted(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.schema(f"{COUNTED}\n{BY_TOTAL}")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    shown = []
    for wanted in ("1", None):
        if wanted is None:
            monkeypatch.setenv("NO_COLOR", "1")
        terminal = Terminal()
        main(["--project", str(run.folder / "recordlayer.toml"), "schema", "diff"], out=terminal, err=Terminal())
        shown.append(terminal.getvalue())
    assert "\x1b[" in shown[0]
    assert "\x1b" not in shown[1]
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown[0])
    assert [line.rstrip() for line in plain.splitlines()] == shown[1].splitlines()
    assert all(len(line) <= WIDTH for line in shown[1].splitlines())
