"""Which database and store a command is about: the options that say so, and opening them."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from recordlayer.blocking.database import Database
from recordlayer.blocking.database import open as open_database
from recordlayer.blocking.store import RecordStore
from recordlayer.blocking.tenant import Tenant
from recordlayer.cli import project as projects
from recordlayer.cli.completions import databases
from recordlayer.cli.screen import Screen
from recordlayer.errors import InvalidProject
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import OpenMode, store_prefix
from recordlayer.store.places import path_of


def db_option(command: Any) -> Any:
    """`--db NAME`."""
    return click.option("--db", metavar="NAME", help="A database of the project file.", shell_complete=databases)(
        command
    )


def store_option(command: Any) -> Any:
    """`--store PATH`."""
    help_ = "Another store: shop/acme, or with numbers '[\"shop\", 7]'."
    return click.option("--store", "at", metavar="PATH", callback=_given, help=help_)(command)


def _given(context: click.Context, parameter: click.Parameter, text: str | None) -> projects.Names | None:
    return None if text is None else names_in(text)


def names_in(text: str) -> projects.Names:
    """The path in an argument: names with slashes between them, or a JSON array.  Raises  click.BadParameter."""
    names: Any = [name for name in text.split("/") if name]
    if text.lstrip().startswith("["):
        try:
            names = json.loads(text)
        except ValueError as error:
            raise click.BadParameter(f"{text} is no JSON array: {error}") from None
    if not names or not all(type(name) in (str, int) for name in names):
        raise click.BadParameter('give a path: shop/acme, or ["shop", 7]')
    return tuple(names)


def operator() -> str:
    """How others know whoever gives this command."""
    return f"{getpass.getuser()}@{socket.gethostname()} process {os.getpid()}"


def open_at(project: projects.Project, place: projects.Place) -> Database:
    """The database of a place; files are named from the folder of the project."""
    kind, _, path = place.url.partition(":")
    url = f"file:{project.folder / path}" if kind == "file" else place.url
    return open_database(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A database of the project that is open, and the store of it that a command names, if it names one."""

    place: projects.Place
    database: Database
    at: projects.Names | None

    @property
    def metadata(self) -> StoredMetaData:
        """By which its stores go."""
        return StoredMetaData(path=self.place.metadata)

    @property
    def path(self) -> projects.Names:
        """Of the one store.  Raises  InvalidProject where there are many."""
        path = self.at or self.place.store
        if path is None:
            below = path_of(store_prefix(self.place.below or ()))
            hint = "say which with --store: `recordlayer store list` lists them"
            raise InvalidProject(database=self.place.name, below=below, hint=hint)
        return path

    @property
    def root(self) -> projects.Names:
        """Above all that a command may be about: the store, or what many are below."""
        root = self.at or self.place.store or self.place.below
        assert root is not None, "a place has one of them"
        return root

    @property
    def words(self) -> str:
        """The root as people write it."""
        return path_of(store_prefix(self.root))

    def tenant(self) -> Tenant:
        return self.database.tenant(self.root)

    @contextmanager
    def looking(self) -> Iterator[RecordStore]:
        """The store, to be looked at: what opening it may change is not kept."""
        with self.database.transaction() as tx:
            yield tx.store(self.metadata, path=self.path, mode=OpenMode.OPEN, format_version=1)
            tx.cancel()

    @contextmanager
    def changing(self, *, format_version: int = 1, bypass_lock: str | None = None) -> Iterator[RecordStore]:
        """The store, to be changed."""
        with self.database.transaction() as tx:
            yield tx.store(
                self.metadata,
                path=self.path,
                mode=OpenMode.OPEN,
                format_version=format_version,
                bypass_lock=bypass_lock,
            )


@contextmanager
def opened(screen: Screen, db: str | None, at: projects.Names | None = None) -> Iterator[Opened]:
    """What the project file, `--db` and `--store` name.  Raises  InvalidProject; what opening a database raises."""
    project = projects.load(screen.project_file)
    place = project.place(db)
    with open_at(project, place) as database:
        yield Opened(place=place, database=database, at=at)
