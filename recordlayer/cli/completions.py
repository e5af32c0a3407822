"""`recordlayer completions`: what makes a shell complete commands, options, databases, record types and indexes.

bash    eval "$(recordlayer completions bash)"      in ~/.bashrc
zsh     eval "$(recordlayer completions zsh)"       in ~/.zshrc, behind compinit
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import get_completion_class

from recordlayer.cli import project as projects
from recordlayer.cli.screen import Screen
from recordlayer.errors import RecordLayerError

VARIABLE = "_RECORDLAYER_COMPLETE"


@click.command()
@click.argument("kind", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completions(context: click.Context, kind: str) -> None:
    """Print a script that makes your shell complete these commands.

    \b
      eval "$(recordlayer completions bash)"
    """
    screen: Screen = context.obj
    complete = get_completion_class(kind)
    assert complete is not None, "click knows these shells"
    root = context.find_root()
    screen.say(complete(root.command, {}, root.info_name or "recordlayer", VARIABLE).source())


Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _names(of: Callable[[projects.Project], Iterable[str]]) -> Complete:
    """Completes names that the project has; none where there is no project that can be read."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        file: Any = context.find_root().params.get("project") or "recordlayer.toml"
        try:
            return [name for name in of(projects.load(file)) if name.startswith(incomplete)]
        except RecordLayerError:
            return []

    return complete


def _locked(project: projects.Project, what: str) -> Iterable[str]:
    metadata = project.locked()
    return () if metadata is None else getattr(metadata, what)


databases = _names(lambda project: project.databases)
record_types = _names(lambda project: _locked(project, "record_types"))
indexes = _names(lambda project: _locked(project, "indexes"))
