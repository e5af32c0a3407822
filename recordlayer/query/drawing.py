"""Plans as graphs: in Graphviz's language, and drawn where its program is."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from recordlayer.errors import LibraryMissing, UsageError

if TYPE_CHECKING:
    from recordlayer.query.explain import ExplainedNode

Labels = Callable[["ExplainedNode"], tuple[str, ...]]

_PROGRAM = "dot"
_WIDTH = 60


def dot(root: ExplainedNode, labels: Labels) -> str:
    """A directed graph whose edges lead from each node to the one that takes its rows."""
    lines = ["digraph plan {", "  rankdir=BT;", '  node [shape=box, fontname="monospace", fontsize=10];']
    lines += _statements(root, labels, "n")
    return "\n".join([*lines, "}"]) + "\n"


def _statements(node: ExplainedNode, labels: Labels, name: str) -> Iterator[str]:
    text = "".join(_quoted(line) + r"\l" for label in labels(node) for line in _folded(label))
    yield f'  {name} [label="{text}"];'
    for number, child in enumerate(node.children, 1):
        below = f"{name}_{number}"
        yield from _statements(child, labels, below)
        yield f"  {below} -> {name};"


def _folded(label: str) -> Iterator[str]:
    """A label in lines that are not too long, broken at spaces."""
    line = ""
    for word in label.split(" "):
        if line and len(line) + len(word) >= _WIDTH:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield line


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def png(graph: str) -> bytes:
    """A graph drawn.  Raises  LibraryMissing without Graphviz, UsageError if it draws nothing."""
    program = shutil.which(_PROGRAM)
    if program is None:
        raise LibraryMissing(
            library="graphviz",
            program=_PROGRAM,
            hint="install Graphviz (apt-get install graphviz, brew install graphviz), or draw to_dot() elsewhere",
        )
    done = subprocess.run([program, "-Tpng"], input=graph.encode(), capture_output=True)
    if done.returncode:
        raise UsageError(program=program, status=done.returncode, said=done.stderr.decode("utf-8", "replace").strip())
    return done.stdout
