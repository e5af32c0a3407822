"""The audit log: a line for each action, whoever writes at the same time, and never one less."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from recordlayer_server.security.audit import AuditLog


def test_lines_are_added_whole_and_stay(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_text('{"time": "before"}\n')

    async def many() -> None:
        first, second = AuditLog(file), AuditLog(file)
        for number in range(20):
            one = first.write(who="token:ci", action="drop index", outcome="OK", index="by_total", number=number)
            await asyncio.gather(one, second.write(who="jwt:ana\n", action="lock", outcome="PERMISSION_DENIED"))

    asyncio.run(many())
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 41
    assert lines[0] == {"time": "before"}
    assert [line["number"] for line in lines if line.get("who") == "token:ci"] == list(range(20))


def test_a_log_that_was_moved_away_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    log = AuditLog(file)
    asyncio.run(log.write(who="a", action="x", outcome="OK"))
    file.rename(tmp_path / "audit.1")
    asyncio.run(log.write(who="b", action="y", outcome="OK"))
    assert [json.loads(line)["who"] for line in file.read_text().splitlines()] == ["b"]
    assert file.stat().st_mode & 0o007 == 0, "it is nobody else's business"


def test_a_log_that_cannot_be_written_is_known_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        AuditLog(tmp_path / "missing" / "audit.jsonl")
