"""Rules for the tests themselves."""

from __future__ import annotations

import ast

from tests.house.tree import python, read

SKIPPING = {"skip", "skipif", "xfail", "importorskip"}


def test_a_test_that_is_left_out_says_why() -> None:
    assert [place for name in python("tests/", "recordlayer/testing/") for place in without_reason(name)] == []


def without_reason(name: str) -> list[str]:
    """The places where a file skips something and gives no reason."""
    found = []
    called: set[int] = set()
    for node in ast.walk(ast.parse(read(name))):
        if isinstance(node, ast.Call) and skips(node.func):
            called.add(id(node.func))
            named = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
            told = named or (node.args[:1] if node.func.attr == "skip" else [])  # type: ignore[attr-defined]
            if not told or (isinstance(told[0], ast.Constant) and len(str(told[0].value)) < 10):
                found.append(f"{name}:{node.lineno}")
        elif skips(node) and id(node) not in called:
            found.append(f"{name}:{node.lineno}")  # type: ignore[attr-defined]  # a bare mark
    return found


def skips(node: ast.AST) -> bool:
    """Whether this is `pytest.skip`, `pytest.mark.skipif` and the like."""
    if not isinstance(node, ast.Attribute) or node.attr not in SKIPPING:
        return False
    owner = node.value
    if isinstance(owner, ast.Attribute) and owner.attr == "mark":
        owner = owner.value
    return isinstance(owner, ast.Name) and owner.id == "pytest"


def test_a_tests_name_is_more_than_the_name_of_what_it_tests() -> None:
    short = [
        f"{name}:{node.lineno} {node.name}"
        for name in python("tests/", "recordlayer/testing/")
        for node in ast.walk(ast.parse(read(name)))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and node.name.count("_") < 2
    ]
    assert short == []
