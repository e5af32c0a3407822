"""Which benches there are: the modules of this package that define `run(settings) -> Report`; and on which engines.

They are found by reading their source, so that a list needs none of the libraries that a bench compares with.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path

from bench.harness import Report, Settings

_HERE = Path(__file__).parent


def benches() -> dict[str, str]:
    """What each bench is about, by its name."""
    found = {}
    for file in sorted(_HERE.glob("*.py")):
        module = _parsed(file)
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in module.body):
            found[file.stem] = (ast.get_docstring(module) or "").split("\n", 1)[0]
    return found


def engines(name: str) -> tuple[str, ...]:
    """The schemes of the engines that a bench may be run on, its `ENGINES`; none if it leaves no choice."""
    for node in _parsed(_HERE / f"{name}.py").body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["ENGINES"]:
            return tuple(ast.literal_eval(node.value))
    return ()


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def load(name: str) -> Callable[[Settings], Report]:
    """The bench of this name. Raises `ModuleNotFoundError` when a library it compares with is not installed."""
    run: Callable[[Settings], Report] = importlib.import_module(f"bench.{name}").run
    return run
