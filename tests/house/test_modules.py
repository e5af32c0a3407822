"""What a module is: one idea, a name that says which, a docstring that says what it owns, at most 400 lines."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.tree import python, read

LIMIT = 400

LONGER = {
    "recordlayer/errors.py": "the tree of errors is read as one page; a class is two lines",
    "recordlayer/aio/store.py": "what a store can do, with what it costs, is read as one page; a method is one call",
}
"""Modules over the limit, each with the reason why it is one idea all the same."""

BANNED_NAMES = {"common", "helper", "helpers", "misc", "tools", "util", "utils"}

OWN_TIME = {
    "recordlayer/world.py": "it is where time and chance come from",
}
"""Modules below the facades that import time or random, each with the reason why the World will not do."""

LIBRARY = python("recordlayer/", "server/", "bench/")


def test_there_is_something_to_judge() -> None:
    assert len(LIBRARY) > 20


def test_modules_are_short() -> None:
    long = {name: lines for name in LIBRARY if (lines := read(name).count("\n")) > LIMIT}
    assert not {name: lines for name, lines in long.items() if name not in LONGER}, "split it, or list it with a reason"
    assert not LONGER.keys() - long.keys(), "these are short now: take them off the list"


def test_modules_are_named_after_what_they_do() -> None:
    parts = {name: set(re.split(r"[/._]", name)) for name in python("recordlayer/", "server/", "bench/", "tests/")}
    assert not {name for name, words in parts.items() if words & BANNED_NAMES}


@pytest.mark.parametrize("name", LIBRARY)
def test_a_module_opens_with_what_it_owns(name: str) -> None:
    if not read(name).strip():
        assert name.endswith("/__init__.py"), "a module without content"
        return
    assert ast.get_docstring(ast.parse(read(name))), "a module opens with what it owns"


def test_time_and_chance_come_from_the_world() -> None:
    below_the_facades = [
        name
        for name in python("recordlayer/")
        if not name.startswith(("recordlayer/aio/", "recordlayer/cli/", "recordlayer/client/", "recordlayer/testing/"))
    ]
    found = {name for name in below_the_facades if {"time", "random", "secrets"} & imported(name)}
    assert not found - OWN_TIME.keys()
    assert not OWN_TIME.keys() - found, "these take them from the world now: take them off the list"


def imported(name: str) -> set[str]:
    """The top-level modules that a file imports, wherever in it."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(read(name))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module.split(".")[0])
    return modules
