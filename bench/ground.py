"""Where a bench runs: on engines of the kind that `--engine` names, among keys and files of its own.

A bench that runs on more than one kind of engine says so: `ENGINES = ("memory", "file", "fdb")`, the first of which it
runs on when nothing is said. It asks its `Ground` for engines, and puts its stores below `Ground.path`.

    memory:   a new engine for each name
    file:     a file for each name in a temporary directory
    file:PATH the same in a new directory PATH, so that one can choose the disk; those of the peers lie there, too
    fdb:FILE  that cluster for every name, below the tuple ("recordlayer bench", BENCH); cleared before and afterwards
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness import CPU, WALL, CannotRun, Settings, Timer
from recordlayer.errors import RecordLayerError
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

CLUSTER_ROOT = "recordlayer bench"


class Ground:
    """Engines, and room that nobody else uses. `directory` is for files, also for those of peers."""

    def __init__(self, url: str, bench: str, directory: Path) -> None:
        self.url = url
        self.scheme = url.partition(":")[0]
        self.directory = directory
        self._bench = bench
        self._opened: dict[str, Engine] = {}

    @property
    def kind(self) -> str:
        """What a report says of the engine."""
        return f"{self.scheme}:"

    @property
    def timer(self) -> Timer:
        """For jobs that only compute, unless they wait for a cluster."""
        return WALL if self.scheme == "fdb" else CPU

    def path(self, *rest: str | int) -> tuple[str | int, ...]:
        """A path for a store."""
        return (CLUSTER_ROOT if self.scheme == "fdb" else "bench", self._bench, *rest)

    def prefix(self) -> bytes:
        """What all keys of this bench begin with."""
        return pack(self.path())

    def file(self, name: str) -> Path:
        """The file of the engine of this name, where engines have files."""
        return self.directory / f"{name}.rl"

    def engine(self, name: str, *, durable: bool = False, world: World | None = None) -> Engine:
        """The engine of this name, opened at the first call and closed at the end. On a cluster, `durable` or not."""
        if self.scheme == "fdb":
            name = "the cluster"
        if name not in self._opened:
            self._opened[name] = self._open(name, durable=durable, world=world)
        return self._opened[name]

    def _open(self, name: str, *, durable: bool, world: World | None) -> Engine:
        """Raises  CannotRun if there is no such cluster, or its library is missing."""
        if self.scheme == "file":
            return open_engine(f"file:{self.file(name)}", world=world, durability="commit" if durable else "relaxed")
        try:
            engine = open_engine(self.url, world=world)
        except RecordLayerError as error:
            raise CannotRun(str(error)) from None
        if self.scheme == "fdb":
            self._clear(engine)
        return engine

    def _clear(self, engine: Engine) -> None:
        context = Context(engine.begin(), world=World())
        context.clear_range(self.prefix(), self.prefix() + b"\xff")
        run_blocking(context.commit())
        context.close()

    def close(self) -> None:
        for engine in self._opened.values():
            if self.scheme == "fdb":
                self._clear(engine)
            engine.close()


@contextmanager
def ground_for(settings: Settings, bench: str, default: str) -> Iterator[Ground]:
    """Where `bench` runs: on the engine of the settings, or of the scheme `default`.

    Raises  CannotRun if the directory of `file:PATH` is there already.
    """
    url = settings.engine or f"{default}:"
    scheme, _, place = url.partition(":")
    with tempfile.TemporaryDirectory(prefix="recordlayer-bench-") as scratch:
        directory = Path(scratch)
        if scheme == "file" and place:
            directory = Path(place)
            try:
                directory.mkdir()
            except OSError as refused:
                raise CannotRun(f"{url} has to name a new directory, for the files of the bench: {refused}") from None
        found = Ground(url, bench, directory)
        try:
            yield found
        finally:
            found.close()
            if directory != Path(scratch):
                shutil.rmtree(directory)
