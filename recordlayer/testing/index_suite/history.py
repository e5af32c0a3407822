"""What was done to the records of a store: the model that index types are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from recordlayer.tuples import Versionstamp

Items = tuple[Any, ...]


@dataclass(frozen=True)
class Saved:
    """A record as it was saved. `version` is incomplete until the commit of its transaction."""

    primary_key: Items
    message: Any
    version: Versionstamp | None

    def completed(self, stamp: bytes) -> Saved:
        """The same after the commit that was given these 10 bytes."""
        if self.version is None or self.version.is_complete:
            return self
        return Saved(self.primary_key, self.message, self.version.completed(stamp))


Change = tuple[Saved | None, Saved | None]
"""The record before and after a save or a deletion."""


@dataclass
class History:
    """The records that are there, and every change since the index was built, in order."""

    records: dict[Items, Saved] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    @property
    def saved(self) -> list[Saved]:
        """Every record as it was saved since the index was built, in order."""
        return [new for _, new in self.changes if new is not None]

    def save(self, new: Saved) -> None:
        self.changes.append((self.records.get(new.primary_key), new))
        self.records[new.primary_key] = new

    def delete(self, primary_key: Items) -> None:
        old = self.records.pop(primary_key, None)
        if old is not None:
            self.changes.append((old, None))

    def copy(self) -> History:
        return History(dict(self.records), list(self.changes))

    def committed(self, stamp: bytes) -> History:
        """The history when the transaction that did the latest changes is committed."""
        records = {key: saved.completed(stamp) for key, saved in self.records.items()}
        changes = [
            (None if old is None else old.completed(stamp), None if new is None else new.completed(stamp))
            for old, new in self.changes
        ]
        return History(records, changes)

    def followed_by(self, changes: list[Change], stamp: bytes) -> History:
        """The history when a transaction that did these changes is committed behind what has happened so far."""
        made = self.copy()
        for old, new in changes:
            if new is not None:
                made.save(new.completed(stamp))
            elif old is not None:
                made.delete(old.primary_key)
        return made

    def built_anew(self) -> History:
        """The history of an index that is built over the records that are there, in the order of their keys."""
        made = History()
        for _, record in sorted(self.records.items()):
            made.save(record)
        return made
