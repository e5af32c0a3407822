"""Paths and interned names as Java recorded them. Numbers are drawn at random there: the same draws are made here."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from typing import Any

import pytest

from recordlayer.keyspace import (
    ExtendedDirectoryLayer,
    InternedDirectory,
    KeySpace,
    KeySpaceDirectory,
    NameResolver,
    ScopedDirectoryLayer,
    ScopedInterningLayer,
)
from recordlayer.keyspace.directory_layer import DirectoryLayer
from recordlayer.keyspace.interning.directories import REVERSE_DIRECTORY
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.kv.shared import Shared
from recordlayer.tuples import SingleFloat, unpack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World
from tests.golden.scenario import Scenario


def CONCERNS(scenario: Scenario) -> bool:
    return scenario.kind == "key-space"


RESOLVERS: dict[str, type[NameResolver]] = {
    "key-space-extended-directory-a": ExtendedDirectoryLayer,
    "key-space-scoped-directory-a": ScopedDirectoryLayer,
    "key-space-interning-a": ScopedInterningLayer,
}

SHOP = KeySpace(
    KeySpaceDirectory(
        "app",
        str,
        KeySpaceDirectory(
            "user",
            int,
            KeySpaceDirectory("flag", bool),
            KeySpaceDirectory("id", uuid.UUID),
            KeySpaceDirectory("raw", bytes),
            KeySpaceDirectory("f", SingleFloat),
            KeySpaceDirectory("d", float),
            KeySpaceDirectory("none", None),
            KeySpaceDirectory("s", str),
        ),
        KeySpaceDirectory("const", str, value="fixed"),
    )
)

INTERNED = KeySpace(InternedDirectory("env", InternedDirectory("app", KeySpaceDirectory("user", int))))


class Draws(random.Random):
    """Gives the numbers that were drawn elsewhere."""

    def __init__(self, numbers: Iterable[int]) -> None:
        super().__init__(0)
        self.numbers = list(numbers)

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        drawn = self.numbers.pop(0)
        assert stop is not None
        assert start <= drawn < stop
        return drawn


def value_of(kind: str, text: str) -> Any:
    makers = {
        "app": lambda: text.strip('"'),
        "user": lambda: int(text),
        "flag": lambda: text == "true",
        "id": lambda: uuid.UUID(text),
        "raw": lambda: bytes.fromhex(text[2:]),
        "f": lambda: SingleFloat(float(text)),
        "d": lambda: float(text),
        "none": lambda: None,
    }
    return makers.get(kind, lambda: text.strip('"'))()


def steps_of(text: str) -> list[tuple[str, str]]:
    """/app:"shop"/user:7 as [("app", '"shop"'), ("user", "7")]."""
    found = []
    for part in text.split("/")[1:]:
        name, value = part.split(":", 1)
        found.append((name, value))
    return found


def everything(engine: Engine, world: World) -> dict[bytes, bytes]:
    context = Context(engine.begin(), world=world)
    try:
        return dict(run_blocking(context.read_all(b"", b"\xff")))
    finally:
        context.close()


def test_paths_are_packed_as_in_java(scenario: Scenario, compared) -> None:
    for recorded in scenario.data.get("paths", []):
        (first, value), *rest = steps_of(recorded["values"])
        path = SHOP.path(first, value_of(first, value))
        for name, text in rest:
            path = path.add(name, value_of(name, text))
        assert path.subspace().key().hex() == recorded["packed"]
        assert str(path) == recorded["values"]
        context = Context(open_engine("memory:").begin(), world=World())
        found = run_blocking(SHOP.path_of(context, bytes.fromhex(recorded["packed"])))
        assert [step.directory.name for step in found.path.chain()] == recorded["path"]
        assert (found.path, found.remainder) == (path, ())
        compared("stored paths")


def test_names_are_interned_as_in_java(scenario: Scenario, compared) -> None:
    resolver_class = RESOLVERS.get(scenario.name)
    if resolver_class is None:
        return
    scope = bytes.fromhex(scenario.data["scope_prefix"])
    draws = Draws([])
    world = World(random=draws)
    engine, shared = open_engine("memory:", world=world), Shared()
    final = {bytes.fromhex(key): bytes.fromhex(value) for key, value in scenario.data["final"]}
    reverse = [
        unpack(key)[0] for key in final if not key.startswith(b"\xfe") and resolver_class.layout == "directories"
    ]
    if reverse:
        draws.numbers.append(reverse[0])
        context = Context(engine.begin(), world=world, shared=shared)
        run_blocking(DirectoryLayer().create_or_open(context, REVERSE_DIRECTORY))
        run_blocking(context.commit())
    about: dict[str, bytes] = {}
    resolver = resolver_class(scope, about=about.get)
    for step in scenario.steps:
        context = Context(engine.begin(), world=world, shared=shared)
        for operation in step["operations"]:
            match operation["op"]:
                case "resolve":
                    name, number = operation["name"], operation["value"]
                    draws.numbers.append(number)
                    if "metadata" in operation:
                        about[name] = bytes.fromhex(operation["metadata"])
                    assert run_blocking(resolver.resolve(context, name)) == (number, about.get(name))
                    assert run_blocking(resolver.name_of(context, number)) == name
                    compared("stored names")
                case "enable_write_lock":
                    run_blocking(resolver.lock(context))
                case "disable_write_lock":
                    run_blocking(resolver.unlock(context))
        run_blocking(context.commit())
    ours = {key[len(scope) :]: value for key, value in everything(engine, world).items() if key.startswith(scope)}
    assert ours == final
    engine.close()


def test_a_path_of_interned_names_is_as_in_java(scenario: Scenario, compared) -> None:
    if scenario.name != "key-space-global-a":
        return
    final = {bytes.fromhex(key): bytes.fromhex(value) for key, value in scenario.data["final"]}
    reverse = next(unpack(key)[0] for key in final if not key.startswith(b"\xfe"))
    draws, known = Draws([]), set()
    world = World(random=draws)
    engine, shared = open_engine("memory:", world=world), Shared()
    for step in scenario.steps:
        context = Context(engine.begin(), world=world, shared=shared)
        for operation in step["operations"]:
            (_, environment), (_, app), (_, user) = steps_of(operation["path"])
            numbers = unpack(bytes.fromhex(operation["tuple"]["packed"]))
            draws.numbers += [number for number in numbers[:2] if number not in known]
            if not known:
                draws.numbers.insert(1, reverse)  # the reverse directory is made with the first name
            known |= set(numbers[:2])
            path = INTERNED.path("env", environment.strip('"')).add("app", app.strip('"')).add("user", int(user))
            resolved = run_blocking(path.resolve(context))
            assert resolved.items == numbers
            assert run_blocking(INTERNED.path_of(context, (*numbers, "more"))).path == path
            compared("stored paths")
        run_blocking(context.commit())
        state = everything(engine, world)
        for key, value in step["set"]:
            assert state[bytes.fromhex(key)] == bytes.fromhex(value), key
    assert everything(engine, world) == final
    with pytest.raises(IndexError):
        world.random.randrange(0, 64)  # every draw was made
    engine.close()
