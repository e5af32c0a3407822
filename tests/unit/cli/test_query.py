"""`recordlayer query`, `explain`, `inspect` and `shell` on a file: rows, pages, plans, raw keys; typed and piped."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import message_factory
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import recordlayer as rl
from recordlayer.cli.app import app
from recordlayer.cli.inspect import value_words
from recordlayer.cli.prompt import LineCompleter, prompted
from recordlayer.observe.fields import text_of
from recordlayer.store.layout import StoreLayout
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.places import StorePlaces
from recordlayer.tuples import pack
from tests.support import shop
from tests.support.command_line import CommandLine

META, PATH = ("shop", "metadata"), ("shop", "acme")
INDEXES = """SHOP.index("Order", "by_customer", "customer")
SHOP.index("Order", "per_customer", rl.count(group_by="customer"))"""


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    made = CommandLine(tmp_path)
    made.schema(INDEXES, "repeated string tags = 4; optional bool paid = 5;")
    made("init", "--builder", "the_schema:SHOP", "--path", "shop/acme")
    made("migrate", "apply", "--yes")
    assert made.status == 0, made.complained
    with rl.open(f"file:{tmp_path / 'records.rl'}") as db, db.transaction() as tx:
        store = tx.store(StoredMetaData(path=META), path=PATH)
        order = message_factory.GetMessageClass(store.metadata.record_types["Order"].descriptor)
        for number in range(50):
            tags = ["new", "blue"][: number % 3]
            store.save(order(id=number, customer="abc"[number % 3], total=number * 7 % 50, tags=tags, paid=True))
    return made


def test_screens_are_as_they_were(run: CommandLine, golden_text: Callable[[str, str], None]) -> None:
    """What people read, in 80 columns and without colour."""
    shown = []
    for command in (
        ["query", "Order", "--where", 'customer == "a" and total > 10', "--limit", "3"],
        [
            "query",
            "Order",
            "--order-by",
            "total",
            "--reverse",
            "--in-memory",
            "50",
            "--limit",
            "2",
            "--columns",
            "id,total",
        ],
        ["query", 'query("Order").group_by("customer").aggregate(n=agg.count(), most=agg.max("total"))'],
        ["query", "Order", "--where", "total > 1000"],
        ["explain", "Order", "--where", 'customer == "a" and "new" in tags'],
        ["explain", "Order", "--where", 'customer == "a"', "--dot"],
        ["inspect", "--limit", "2"],
        ["inspect", '(2, "per_customer")'],
        ["inspect", '(2, "by_customer", "b")', "--limit", "1"],
        ["inspect", "(77,)"],
        ["query", "Ordr"],
        ["query", "Order", "--where", "totl > 1"],
    ):
        run(*command)
        shown.append(f"$ {' '.join(command)}\n{run.said}{run.complained}status {run.status}\n")
    text = "\n".join(shown)
    opaque = [line for line in text.splitlines() if line.startswith("--continuation ")]
    for line in opaque:
        text = text.replace(line, "--continuation ...")
    stamp = text.partition("lastUpdateTime: ")[2].partition("\n")[0]
    golden_text("cli_queries", text.replace(stamp, "..."))
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith(("$ ", "would help: ")))


def test_pages_follow_each_other_to_the_end(run: CommandLine) -> None:
    where = ["query", "Order", "--where", 'customer != "a"', "--limit", "7"]
    page = run.json(*where)
    rows, pages = page["rows"], 1
    while page["continuation"] is not None:
        page = run.json(*where, "--continuation", page["continuation"])
        rows, pages = rows + page["rows"], pages + 1
    assert [int(row["id"]) for row in rows] == [number for number in range(50) if number % 3]
    assert (pages, page["stopped"]) == (5, "exhausted")
    run(*where, "--continuation", "AAAA")
    assert (run.status, run.said) == (1, "")
    run(*where, "--continuation", "!")
    assert run.status == 2


def test_a_plan_is_told_measured_drawn_and_given_to_programs(run: CommandLine) -> None:
    run("explain", "Order", "--where", "total > 3", "--analyze")
    assert "50 records, 50 keys" in run.said
    assert run.json("explain", "Order", "--where", 'customer == "a"')["plan"]["children"][0]["index"] == "by_customer"
    assert run("explain", "Order", "--dot").startswith("digraph")
    run("query", "Order", "--where", "total > 3", "--max-keys", "10")
    assert (run.status, "would help" in run.complained or "by_total" in run.complained) == (1, True)
    for wrong in (["--limit", "3"], ["--dot", "--json"], ["--reverse"], ["--order-by", "total", "--where", "total"]):
        run("explain", "Order", *wrong)
        assert run.status == 2, wrong


def test_raw_keys_are_named_by_tuples_by_text_and_by_digits(run: CommandLine) -> None:
    found = run.json("inspect", "(1, 3)")["keys"]
    assert [key["is"] for key in found] == ["record (3,) of Order in /shop/acme"]
    assert 'customer: "a"' in found[0]["value"]
    for same in (found[0]["key"], found[0]["text"]):
        assert run.json("inspect", same)["keys"] == found
    assert len(run.json("inspect", "(1, 3)", "--to", "(1, 6)")["keys"]) == 3
    for wrong in ("(1,", "0xzz", "(object(),)"):
        run("inspect", wrong)
        assert (run.status, run.said) == (2, "")


@pytest.mark.parametrize("damage", [b"\xff\xff", b"\x0a\x05a", b"\x03"])
def test_damaged_values_are_shown_as_bytes(damage: bytes) -> None:
    metadata = shop.builder().build()
    layout = StoreLayout(b"p")
    for key in (layout.header, layout.records + pack((1,))):
        assert value_words(StorePlaces(b"p", metadata), key, damage) == text_of(damage), key


def test_a_shell_takes_lines_from_a_pipe(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def piped(text: str) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return run("shell")

    said = piped('Order where customer == "a" order by total desc limit 2\nnext\n\nquit\nOrder\n')
    assert run.status == 0, run.complained
    rows = [line.split() for line in said.splitlines() if line.split()[1:2] == ["a"]]
    totals = [int(row[2]) for row in rows]
    assert (len(totals), totals) == (6, sorted(totals, reverse=True)), "three pages of two"
    said = piped("help\ntypes\nexplain Order where id == 3\nanalyze Order\ninspect (1,3)\nquery Order --limit 1\n")
    assert run.status == 0, run.complained
    for part in ("Ctrl-D", "primary key", "Scan records [id = 3]", "50 keys", "record (3,)", "(1 row;"):
        assert part in said
    with rl.open(f"file:{run.folder / 'records.rl'}") as db, db.transaction() as tx:
        tx.store(StoredMetaData(path=META), path=("shop", 7))
    monkeypatch.setattr(sys, "stdin", io.StringIO("Order\ninspect\n"))
    said = run("shell", "--store", '["shop", 7]')
    assert (run.status, "(0 rows)" in said, "the header of /shop/7" in said) == (0, True, True), "commands go there too"
    said = piped("Ordr\nOrder where\nquery Order --limit x\nnext\nshell\nOrder limit 1\n")
    assert run.status == 1
    assert "(1 row;" in said, "a line that fails does not end it"
    for part in ('did you mean "Order"', "not understood", "--limit"):
        assert part in run.complained


class _Known:
    def __init__(self, metadata: rl.RecordMetaData) -> None:
        self.metadata = metadata
        self.commands = ("explain", "inspect", "migrate")


@pytest.fixture
def known(run: CommandLine) -> _Known:
    with rl.open(f"file:{run.folder / 'records.rl'}") as db, db.transaction() as tx:
        return _Known(tx.store(StoredMetaData(path=META), path=PATH).metadata)


@pytest.mark.parametrize(
    ("line", "offered", "not_offered"),
    [
        ("", {"Order", "query", "explain", "inspect"}, {"customer"}),
        ("explain O", {"Order"}, {"customer"}),
        ("Order where cu", {"customer"}, {"total", "Order"}),
        ("Order where customer.", {"starts_with", "in_", "like"}, {"group_by"}),
        ('query("Order").', {"where", "group_by", "order_by"}, {"like"}),
        ("Order w", {"where"}, set()),
        ("inspect by_", {"by_customer"}, set()),
    ],
)
def test_words_are_completed(known: _Known, line: str, offered: set[str], not_offered: set[str]) -> None:
    found = {one.text for one in LineCompleter(known).get_completions(Document(line), CompleteEvent())}
    assert offered <= found
    assert not not_offered & found


def test_lines_are_typed_and_completed_at_a_terminal(known: _Known, tmp_path: Path) -> None:
    from prompt_toolkit.application import create_app_session

    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        typed.send_text("Order where cust\t == 1\rdropped\x03next\r\x04")
        assert list(prompted(known, str(tmp_path / "history"))) == ["Order where customer == 1", "next"]
    assert "Order where customer == 1" in (tmp_path / "history").read_text()


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_scripts_for_shells_are_ones_they_take(run: CommandLine, kind: str) -> None:
    script = run("completions", kind)
    assert run.status == 0
    assert "_RECORDLAYER_COMPLETE" in script
    shell = shutil.which(kind)
    if shell is not None:
        assert subprocess.run([shell, "-n"], input=script, text=True).returncode == 0


def test_bash_completes_commands_databases_and_record_types(run: CommandLine) -> None:
    bash = shutil.which("bash")
    assert bash is not None, "the tests themselves are begun by a shell"
    command = Path(sys.executable).with_name("recordlayer")
    script = f"""eval "$({command} completions bash)"
    asked() {{
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        _recordlayer_completion {command}; echo "${{COMPREPLY[@]}}"
    }}
    asked recordlayer mig
    asked recordlayer query --db ""
    asked recordlayer query O
    """
    done = subprocess.run([bash, "-c", script], cwd=run.folder, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["migrate", "local", "Order"], done.stderr


def test_every_command_explains_itself_in_80_columns(run: CommandLine) -> None:
    def walk(words: list[str], command: object) -> None:
        run(*words, "--help")
        assert run.status == 0
        assert max(map(len, run.said.splitlines())) <= 80, words
        for name, below in getattr(command, "commands", {}).items():
            walk([*words, name], below)

    for name, command in app.commands.items():
        if name != "protos":  # which does without click, and without our screens
            walk([name], command)
