"""The generator of the blocking facade, on sources made for it; and the committed facade against it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import generate_blocking as generator

ASYNC = '''"""Databases, for the asyncio facade."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from recordlayer.aio.transaction import AsyncTransaction
from recordlayer.errors import Closed
from recordlayer.waiting.drivers import run_asyncio

T = TypeVar("T")


class Database:
    """An open database.

        async with db.transaction() as tx:
            await tx.save(order)
    """

    async def run(self, work: Callable[[AsyncTransaction], Awaitable[dict[str, list[T]]]]) -> dict[str, list[T]]:
        async with self.transaction() as tx:
            return await work(tx)

    async def transactions(self) -> AsyncIterator[AsyncTransaction]:
        yield await run_asyncio(self._core.begin())

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def __anext__(self) -> int:
        async for row in self.rows:
            return row
        raise Closed
'''

BLOCKING = '''# Generated from recordlayer/aio/database.py by tests/house/generate_blocking.py: do not edit.
"""Databases, for the blocking facade."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from recordlayer.blocking.transaction import Transaction
from recordlayer.errors import Closed
from recordlayer.waiting.drivers import run_blocking

T = TypeVar("T")


class Database:
    """An open database.

    with db.transaction() as tx:
        tx.save(order)
    """

    def run(self, work: Callable[[Transaction], dict[str, list[T]]]) -> dict[str, list[T]]:
        with self.transaction() as tx:
            return work(tx)

    def transactions(self) -> Iterator[Transaction]:
        yield run_blocking(self._core.begin())

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __next__(self) -> int:
        for row in self.rows:
            return row
        raise Closed
'''


def test_every_rule_is_applied_and_the_result_is_laid_out_and_free_of_unused_imports() -> None:
    assert generator.generated({"database.py": ASYNC})["database.py"] == BLOCKING


def test_generating_from_what_was_generated_changes_nothing_but_the_first_line() -> None:
    once = BLOCKING.split("\n", 1)[1]
    assert generator.Rewriter().rewrite(once) == once


def test_a_rule_that_changes_nothing_is_refused_by_name() -> None:
    with pytest.raises(SystemExit, match="__a\\(enter"):
        generator.generated(
            {"a.py": ASYNC.replace("__aenter__", "x").replace("__aexit__", "y").replace("__anext__", "z")}
        )


def test_names_that_only_look_like_the_rules_stay() -> None:
    kept = "awaited = asynchronous = Asynchronous = closed = run_asyncio_twice = recordlayer.aios = 1\n"
    assert generator.Rewriter().rewrite(kept) == kept


def test_check_reports_missing_changed_and_left_over_files_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "aio", tmp_path / "blocking"
    source.mkdir()
    (source / "database.py").write_text(ASYNC)

    assert generator.main(["--check"], source=source, target=target) == 1
    assert not target.exists()
    assert generator.main([], source=source, target=target) == 0
    assert (target / "database.py").read_text() == BLOCKING
    assert generator.main(["--check"], source=source, target=target) == 0

    (target / "database.py").write_text(BLOCKING + "\n")
    (target / "gone.py").write_text("")
    capsys.readouterr()
    assert generator.main(["--check"], source=source, target=target) == 1
    assert capsys.readouterr().out.splitlines() == [
        "out of date: recordlayer/blocking/database.py",
        "out of date: recordlayer/blocking/gone.py",
    ]
    assert generator.main([], source=source, target=target) == 0
    assert sorted(path.name for path in target.iterdir()) == ["database.py"]


def test_the_committed_blocking_facade_is_what_the_async_one_gives(capsys: pytest.CaptureFixture[str]) -> None:
    assert generator.main(["--check"]) == 0, capsys.readouterr().out
