"""Which benches there are: the modules of this package that define `run(settings) -> Report`.

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
        module = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in module.body):
            found[file.stem] = (ast.get_docstring(module) or "").split("\n", 1)[0]
    return found


def load(name: str) -> Callable[[Settings], Report]:
    """The bench of this name. Raises `ModuleNotFoundError` when a library it compares with is not installed."""
    run: Callable[[Settings], Report] = importlib.import_module(f"bench.{name}").run
    return run
