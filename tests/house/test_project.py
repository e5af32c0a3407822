"""The project's own files agree with each other."""

from __future__ import annotations

import os
import re
import tomllib

import pytest

from tests.house.tree import ROOT, read, tracked

PROJECT = tomllib.loads(read("pyproject.toml"))
TARGETS = set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.MULTILINE))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "bench/README.md"])
def test_every_make_command_in_the_docs_exists(page: str) -> None:
    commands = set(re.findall(r"(?:^ +|`)make ([a-z-]+)", read(page), flags=re.MULTILINE))
    assert commands, "the page says how to do something"
    assert commands <= TARGETS


def test_every_target_of_the_makefile_is_declared_phony_or_a_file() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", read("Makefile"), flags=re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == TARGETS


def test_the_ci_script_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_packages_of_the_wheel_are_typed_and_there() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["recordlayer", "server/recordlayer_server"]
    wanted = {f"{package}/{name}" for package in packages for name in ("__init__.py", "py.typed")}
    assert wanted <= set(tracked())


def test_every_script_leads_to_a_module() -> None:
    for target in PROJECT["project"].get("scripts", {}).values():
        module = target.partition(":")[0].replace(".", "/")
        assert {f"{module}.py", f"server/{module}.py"} & set(tracked()), target


def test_the_changelog_keeps_what_is_not_released_on_top() -> None:
    headings = re.findall(r"^## (.*)$", read("CHANGELOG.md"), flags=re.MULTILINE)
    assert headings[0] == "[Unreleased]"
