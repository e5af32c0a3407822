"""`recordlayer init` and `recordlayer schema`: a project, its lock file, and what is different since."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recordlayer.cli import source
from recordlayer.migrate.lockfile import from_text
from tests.support.command_line import CommandLine

BY_TOTAL = 'SHOP.index("Order", "by_total", "total")'
PROTO = """
syntax = "proto2";
import "record_metadata_options.proto";
message Order {
  optional int64 id = 1 [(com.apple.foundationdb.record.field).primary_key = true];
  optional string customer = 2 [(com.apple.foundationdb.record.field).index = {}];
}
"""


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    made = CommandLine(tmp_path)
    made.schema()
    made("init", "--builder", "the_schema:SHOP", "--path", "shop/acme")
    assert made.status == 0, made.complained
    return made


def test_a_project_begins_with_two_files_and_says_what_to_do_next(run: CommandLine) -> None:
    assert "next: commit both" in run.said
    assert from_text((run.folder / "schema.lock").read_text()).record_types.keys() == {"Order"}
    run("schema", "diff")
    assert (run.status, run.said) == (0, "the schema is as it was locked\n")
    run("init", "--builder", "the_schema:SHOP")
    assert (run.status, "there is one already" in run.complained) == (2, True)


def test_a_change_is_shown_judged_and_locked_with_the_next_version(run: CommandLine) -> None:
    run.schema(BY_TOTAL)
    assert run.json("schema", "diff")["changes"][0]["verdict"] == "needs a build"
    run("schema", "lock")
    assert (run.status, "say --yes" in run.complained) == (2, True), "nobody could be asked"
    run("schema", "lock", "--yes")
    assert run.status == 0
    locked = from_text((run.folder / "schema.lock").read_text())
    assert locked.index("by_total").added_version == locked.version
    run("schema", "lock", "--yes")
    assert "up to date" in run.said


def test_what_is_refused_is_not_locked_and_ends_with_status_1(run: CommandLine) -> None:
    before = (run.folder / "schema.lock").read_text()
    renamed = (run.folder / "the_schema.py").read_text().replace("customer", "buyer")
    run.schema(text=renamed)
    for command in (("schema", "diff"), ("schema", "lock", "--yes")):
        run(*command)
        assert run.status == 1
        assert "--allow field-renames would let it pass" in run.said
    assert (run.folder / "schema.lock").read_text() == before
    run("schema", "lock", "--yes", "--allow", "field-renames")
    assert run.status == 0
    run("schema", "diff", "--allow", "anything")
    assert run.status == 2


def test_lint_finds_what_rules_do_not_know(run: CommandLine) -> None:
    assert run("schema", "lint") == "nothing to say\n"
    more = "optional int64 created_at = 4;"
    indexes = f"""{BY_TOTAL}
SHOP.index("Order", "by_both", rl.concat("total", "customer"))
SHOP.index("Order", "one_customer", "customer", unique=True)
SHOP.index("Order", "by_time", "created_at")
SHOP.index("Order", "unused", rl.concat("customer", "total"), options={{"allowedForQuery": "false"}})"""
    run.schema(indexes, more)
    found = run.json("schema", "lint")["findings"]
    assert run.status == 1
    assert {(one["rule"], one["subject"]) for one in found} == {
        ("index repeated", "index by_total"),
        ("unique over what may be unset", "index one_customer"),
        ("hot key", "index by_time"),
        ("index hidden from queries", "index unused"),
    }


def test_proto_files_are_compiled_with_their_annotations(tmp_path: Path) -> None:
    (tmp_path / "shop.proto").write_text(PROTO)
    run = CommandLine(tmp_path)
    run("init", "--proto", "shop.proto")
    assert run.status == 0, run.complained
    assert list(run.json("schema", "show")["indexes"]) == ["Order$customer"]
    (tmp_path / "shop.proto").write_text(PROTO.replace("string", "strnig"))
    run("schema", "show")
    assert (run.status, "strnig" in run.complained) == (2, True)


def test_without_protoc_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.proto").write_text(PROTO)
    monkeypatch.setattr(source.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(source.InvalidSchemaSource, match="pip install grpcio-tools"):
        source.compiled(tmp_path / "shop.proto", tmp_path, ["."])


def test_a_descriptor_set_is_a_schema(tmp_path: Path) -> None:
    (tmp_path / "shop.proto").write_text(PROTO)
    (tmp_path / "shop.binpb").write_bytes(source.compiled(tmp_path / "shop.proto", tmp_path, ["."]))
    run = CommandLine(tmp_path)
    (tmp_path / "recordlayer.toml").write_text('[schema]\ndescriptor_set = "shop.binpb"\nfile = "shop.proto"\n')
    assert list(run.json("schema", "show")["record_types"]) == ["Order"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[schema", "Expected"),
        ("", "there must be a table"),
        ('[schema]\nbuilder = "no_such_module:SHOP"\n', "no_such_module"),
        ('[schema]\nbuilder = "json:dumps:x"\n', "has no dumps:x"),
        ('[schema]\nbuilder = "os:sep"\n', "a RecordMetaDataBuilder"),
        ('[schema]\nproto = "gone.proto"\n', "there is no such file"),
        ('[schema]\nproto = "a"\nbuilder = "b:c"\n', "has one of"),
        ('[schema]\nproto = "a"\nallow = ["field-rename"]\n', "field-renames"),
        ('[schema]\nproto = "a"\n[databases.x]\nurl = "memory:"\nmetadata = ["m"]\n', "give either store"),
        ('[schema]\nproto = "a"\n[databases.x]\nurl = "memory:"\nmetadata = "m"\nstore = ["s"]\n', "give a path"),
    ],
)
def test_a_project_file_that_is_wrong_ends_with_status_2_and_says_what_is(
    tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "recordlayer.toml").write_text(text)
    run = CommandLine(tmp_path)
    run("schema", "show")
    assert (run.status, run.said) == (2, "")
    assert complaint in run.complained


def test_without_its_libraries_the_command_says_what_to_install_and_protos_works() -> None:
    program = (
        "import sys; sys.modules.update(click=None, rich=None); import importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name in ('click', 'rich') else found(name, *more)\n"
        "from recordlayer.cli.main import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", program, "schema", "show"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'recordlayer[cli]'" in done.stderr
    done = subprocess.run([sys.executable, "-c", program, "protos", "--path"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
