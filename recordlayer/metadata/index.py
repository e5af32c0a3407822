"""Definitions of indexes, as metadata holds them. What an index type does is in `recordlayer.index`.

Source  Record Layer: Index, FormerIndex
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from recordlayer.errors import WrongType
from recordlayer.keys import (
    KeyExpression,
    KeyWithValue,
    Row,
    entry_primary_key,
    trim_primary_key,
)
from recordlayer.metadata.predicate import Predicate

NO_OPTIONS: Mapping[str, str] = MappingProxyType({})

UNIQUE = "unique"
ALLOWED_FOR_QUERY = "allowedForQuery"
REPLACED_BY = "replacedBy"
CELLS = "recordlayer.cells"
"""Over how many keys each group of an aggregate is spread: an option that the Java Record Layer does not know."""


def as_options(options: Mapping[str, object] | None) -> Mapping[str, str]:
    """Options as the format has them, strings: True is "true", 3 is "3".

    Raises: WrongType
    """
    if not options:
        return NO_OPTIONS
    made: dict[str, str] = {}
    for name, value in options.items():
        if not isinstance(name, str) or not isinstance(value, (str, bool, int)):
            raise WrongType(option=name, value=value, hint="options are strings, numbers or booleans by name")
        made[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return MappingProxyType(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One index of a metadata."""

    name: str
    record_types: tuple[str, ...]
    """names of the types it covers; none means all of them, now and in future"""

    type: str
    root_expression: KeyExpression
    options: Mapping[str, str] = field(default_factory=lambda: NO_OPTIONS, hash=False)
    subspace_key: Any
    """int, str, bytes or bool: the element of the key under which its data lie"""

    explicit_subspace_key: bool = field(default=False, compare=False)
    added_version: int
    last_modified_version: int
    predicate: Predicate | None = None
    """a record has entries only if this is true"""

    primary_key_positions: tuple[int, ...] | None = None
    """for each column of the primary key its place among the columns of the index, -1 if it is not there; None if
    none is: an entry then ends with the whole primary key"""

    unknown: bytes = field(default=b"", repr=False, compare=False)
    """what its stored form holds beyond what we know"""

    @property
    def is_universal(self) -> bool:
        return not self.record_types

    @property
    def column_size(self) -> int:
        """Columns in the key of an entry before the primary key."""
        return self.root_expression.column_size

    @property
    def nulls_distinct(self) -> tuple[bool, ...]:
        """For each column of the key, whether a null in it exempts an entry from uniqueness."""
        return self.root_expression.nulls_distinct

    @property
    def is_covering(self) -> bool:
        """Whether entries have columns in their value."""
        return isinstance(self.root_expression, KeyWithValue)

    @property
    def unique(self) -> bool:
        return self.flag(UNIQUE)

    @property
    def allowed_for_query(self) -> bool:
        return self.flag(ALLOWED_FOR_QUERY, default=True)

    @property
    def replaced_by(self) -> tuple[str, ...]:
        """Names of the indexes that take this one's place as soon as all of them are readable."""
        return tuple(value for name, value in self.options.items() if name.startswith(REPLACED_BY))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean option: true when its value is "true" in any case."""
        value = self.options.get(name)
        return default if value is None else value.lower() == "true"

    def trim_primary_key(self, primary_key: Row) -> Row:
        """The columns of a primary key that an entry has behind those of the index."""
        return trim_primary_key(primary_key, self.primary_key_positions)

    def entry_primary_key(self, entry: Row) -> Row:
        """The primary key of the record that an entry's key belongs to."""
        return entry_primary_key(entry, self.column_size, self.primary_key_positions)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerIndex:
    """An index that was: its data may still be in stores, and its place is never used again."""

    subspace_key: Any
    added_version: int
    removed_version: int
    former_name: str | None = None
    unknown: bytes = field(default=b"", repr=False, compare=False)
