"""From a URL to an engine.

    memory:           a new database in memory
    file:PATH         a database in a file
    fdb:              the FoundationDB cluster of the default cluster file
    fdb:CLUSTER_FILE  the cluster of that cluster file

Others register an entry point in the group `recordlayer.engines`: a name, which is the scheme, and a function of
(url, rest of the url, world, **options) that returns an Engine.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import cast

from recordlayer.errors import InvalidEngineOption, UnknownEngine, WrongType
from recordlayer.kv.engine import Engine
from recordlayer.world import World

Opener = Callable[..., Engine]

BUILT_IN: dict[str, str] = {
    "memory": "recordlayer.kv.embedded.engine:open_memory",
    "file": "recordlayer.kv.embedded.engine:open_file",
    "fdb": "recordlayer.kv.fdb.engine:open_cluster",
}

_THE_WORLD = World()


def open_engine(url: str, *, world: World | None = None, **options: object) -> Engine:
    """The engine that `url` names.

    Raises  UnknownEngine, InvalidEngineOption, and what the engine's opening raises.
    """
    if not isinstance(url, str):
        raise WrongType(argument="url", got=type(url).__name__, hint='pass a string such as "file:shop.rl"')
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise UnknownEngine(url=url, hint=f"did you mean file:{url}?" if url else UnknownEngine.hint)
    opener = _opener(scheme, url)
    known = [name for name, p in inspect.signature(opener).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name, value in options.items():
        if name not in known:
            raise InvalidEngineOption(
                option=name, value=value, hint=f"{scheme}: takes {', '.join(known) or 'no options'}"
            )
    return opener(url, rest, world or _THE_WORLD, **options)


def _opener(scheme: str, url: str) -> Opener:
    if scheme in BUILT_IN:
        module, _, name = BUILT_IN[scheme].partition(":")
        return cast(Opener, getattr(import_module(module), name))
    from importlib.metadata import entry_points  # takes tens of milliseconds, and hardly anybody asks for other engines

    for entry in entry_points(group="recordlayer.engines", name=scheme):
        return cast(Opener, entry.load())
    raise UnknownEngine(url=url)
