"""The project file: where the schema comes from, where its lock file is, and which databases and paths there are.

[schema]
proto = "shop.proto"              # or: builder = "shop.schema:SHOP", or: descriptor_set = "shop.binpb"
lock = "schema.lock"
allow = ["field-renames"]         # rules of evolution that are relaxed always

[databases.local]
url = "file:shop.rl"
metadata = ["shop", "metadata"]   # where the stores' metadata is kept
store = ["shop", "acme"]          # the store; or below = ["shop"]: all stores below a path
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recordlayer.errors import InvalidProject
from recordlayer.keys.suggest import did_you_mean, listed
from recordlayer.metadata import Evolution, RecordMetaData
from recordlayer.migrate.lockfile import from_text

ALLOWABLE = {
    name.removeprefix("allow_").replace("_", "-"): name
    for name in (
        "allow_field_renames",
        "allow_deprecated_field_renames",
        "allow_undeprecating_fields",
        "allow_no_since_version",
        "allow_missing_former_index_names",
        "allow_older_former_index_added_versions",
        "allow_unsplit_to_split",
    )
}
"""The rules that may be relaxed, as they are called on the command line."""

Names = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database, and what is where in it. `store` is one store, `below` the root of many; one of them is there."""

    name: str
    url: str
    metadata: Names
    store: Names | None = None
    below: Names | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project file that was read. Paths in it begin at its own folder."""

    folder: Path
    source: dict[str, Any]
    lock: Path
    allow: Evolution = field(default_factory=Evolution)
    databases: dict[str, Place] = field(default_factory=dict)

    def place(self, name: str | None) -> Place:
        """The database of a name; without one the only one there is.  Raises  InvalidProject."""
        if name is None and len(self.databases) == 1:
            return next(iter(self.databases.values()))
        if name is None:
            raise InvalidProject(databases=list(self.databases), hint="say which database with --db")
        if name not in self.databases:
            hint = did_you_mean(name, self.databases) or f"databases are {listed(self.databases)}"
            raise InvalidProject(database=name, hint=hint)
        return self.databases[name]

    def locked(self) -> RecordMetaData | None:
        """The metadata in the lock file, None if there is none yet.  Raises  InvalidLockFile."""
        if not self.lock.is_file():
            return None
        return from_text(self.lock.read_text(encoding="utf-8"))

    def allowing(self, names: Sequence[str]) -> Evolution:
        """The rules with more of them relaxed.  Raises  InvalidProject."""
        return _relaxed(self.allow, names)


def load(file: str) -> Project:
    """The project in a file.  Raises  InvalidProject."""
    path = Path(file)
    try:
        parsed = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidProject(file=file, hint="there is none: `recordlayer init` makes one") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidProject(file=file, reason=str(error)) from error
    schema = _table(parsed, "schema", file)
    databases = {name: _place(name, value) for name, value in _table(parsed, "databases", file, needed=False).items()}
    folder = path.resolve().parent
    return Project(
        folder=folder,
        source={key: value for key, value in schema.items() if key not in ("lock", "allow")},
        lock=folder / str(schema.get("lock", "schema.lock")),
        allow=_relaxed(Evolution(), schema.get("allow", [])),
        databases=databases,
    )


def _table(parsed: dict[str, Any], name: str, file: str, *, needed: bool = True) -> dict[str, Any]:
    found = parsed.get(name, {})
    if not isinstance(found, dict) or (needed and not found):
        raise InvalidProject(file=file, section=name, hint=f"there must be a table [{name}]")
    return found


def _relaxed(rules: Evolution, names: Any) -> Evolution:
    if not isinstance(names, (list, tuple)):
        raise InvalidProject(allow=names, hint='give a list: allow = ["field-renames"]')
    for name in names:
        if name not in ALLOWABLE:
            hint = did_you_mean(str(name), ALLOWABLE) or f"what may be allowed: {', '.join(ALLOWABLE)}"
            raise InvalidProject(allow=name, hint=hint)
    relaxed: dict[str, Any] = {ALLOWABLE[name]: True for name in names}
    return replace(rules, **relaxed)


def _place(name: str, value: Any) -> Place:
    if not isinstance(value, dict) or not isinstance(value.get("url"), str):
        raise InvalidProject(database=name, hint='give it a url: url = "file:shop.rl"')
    strange = value.keys() - {"url", "metadata", "store", "below"}
    if strange:
        raise InvalidProject(database=name, unknown=sorted(strange), hint="known are url, metadata, store and below")
    store, below = (_names(name, key, value[key]) if key in value else None for key in ("store", "below"))
    if (store is None) == (below is None):
        raise InvalidProject(database=name, hint="give either store, the path of one, or below, the path above many")
    if "metadata" not in value:
        raise InvalidProject(database=name, hint='say where metadata is kept: metadata = ["shop", "metadata"]')
    metadata = _names(name, "metadata", value["metadata"])
    return Place(name=name, url=value["url"], metadata=metadata, store=store, below=below)


def _names(database: str, key: str, value: Any) -> Names:
    fine = isinstance(value, list) and value and all(type(one) in (str, int) for one in value)
    if not fine:
        raise InvalidProject(database=database, key=key, got=value, hint='give a path: ["shop", "acme"]')
    return tuple(value)
