"""The cases of tests/conformance by a client in Node: what is written there is said of no language."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path

from recordlayer.client.testing.fake import fake
from tests.node.conftest import GOOGLE, HERE, PROTOS
from tests.support.conformance import CONTAINER, FOLDER, cases


def test_every_case_is_answered_to_node_as_it_is_written(modules: Path) -> None:
    asked = list(cases())
    with fake({CONTAINER: FOLDER / "notes.binpb"}) as server:
        address = server.url.partition("://")[2]
        ran = subprocess.run(
            ["node", str(HERE / "conformance.js"), address, str(PROTOS), str(GOOGLE)],
            input=json.dumps([asdict(case) for case in asked]),
            env={**os.environ, "NODE_PATH": str(modules)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert ran.returncode == 0, ran.stderr
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [one["name"] for one in told] == [str(case) for case in asked]
    assert {one["name"]: one["differences"] for one in told if one["differences"]} == {}
