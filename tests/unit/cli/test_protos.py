"""`recordlayer protos`, as a person and as a script call it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from recordlayer.cli.main import main


def printed(*arguments):
    out = io.StringIO()
    assert main(arguments, out=out) == 0
    return out.getvalue()


def test_the_path_holds_what_a_proto_file_may_import():
    path = Path(printed("protos", "--path").strip())
    assert {file.name for file in path.iterdir()} == {
        "record_key_expression.proto",
        "record_metadata.proto",
        "record_metadata_options.proto",
        "record_query_plan.proto",
        "tuple_fields.proto",
    }


def test_the_list_and_the_json_say_the_same():
    said = json.loads(printed("protos", "--json"))
    assert printed("protos").split() == [said["path"], *said["files"]]


def test_wrong_use_is_exit_status_2():
    with pytest.raises(SystemExit) as raised:
        main(["nothing"])
    assert raised.value.code == 2
