"""One change as readers see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from recordlayer.store.change_layout import ChangeKind, Entry
from recordlayer.store.record import StoredRecord
from recordlayer.tuples import Versionstamp, unpack

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.store.record import Codec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Folded:
    """What one change stands for that was coalesced from several of the same record.

    commits  how many commits changed it; what it was between them nobody knows
    types    names of the types that it had before, between and behind them
    settled  whether it is known what it was behind the last of them: as it is now. False if a later commit, whose
             change comes on a later page, has changed it again, and where records have no versions
    """

    commits: int
    types: frozenset[str]
    settled: bool


class Change:
    """One change of a store.

    kind         INSERT, UPDATE or DELETE of one record; CLEAR of all whose primary keys begin with `primary_key`, of
                 all records if that is empty: nobody has looked which there were
    primary_key  its columns
    record_type  the name of its type, "" for CLEAR; `old_type` is the name it had before, if it was another
    reason       why it was deleted, where that was said: "expired"
    when         the wall clock of who changed it: a hint, the order is the position
    incarnation, version  its position; the version's local part orders the changes of one transaction
    new, old     the record behind and before the change, None where the feed keeps no such images; behind coalesced
                 changes `new` is the record as it is now
    folded       of coalesced changes: what it stands for, None for others and for CLEAR
    """

    __slots__ = ("_codec", "entry", "folded", "new", "old", "position")

    def __init__(
        self,
        codec: Codec,
        entry: Entry,
        position: bytes,
        new: StoredRecord | None,
        old: StoredRecord | None,
        folded: Folded | None = None,
    ) -> None:
        self._codec = codec
        self.entry = entry
        self.position = position
        self.new = new
        self.old = old
        self.folded = folded

    @classmethod
    def of(cls, codec: Codec, entry: Entry, position: bytes) -> Change:
        new, old = (
            None if image is None else StoredRecord(codec, entry.key, image) for image in (entry.new, entry.old)
        )
        return cls(codec, entry, position, new, old)

    def latest(self, record: StoredRecord | None, *, commits: int, types: frozenset[str]) -> Change:
        """The same, with the record as it is now; a deletion if there is none. `commits` and `types` as in Folded."""
        gone = ChangeKind.DELETE
        kind = self.kind
        if record is None:
            kind = gone
        elif kind is gone:
            kind = ChangeKind.UPDATE
        reason = self.entry.reason if kind is self.kind else None
        name = self.record_type if record is None else record.record_type.name
        entry = Entry(
            kind=kind,
            time=self.entry.time,
            key=self.entry.key,
            record_type=name,
            reason=reason,
            old_type=self.old_type if self.old_type != name else None,
        )
        if record is None:
            settled = self.kind is gone
        else:
            version = record.version
            settled = self.kind is not gone and version is not None and version.to_bytes()[:10] == self.position[4:14]
        return Change(self._codec, entry, self.position, record, None, Folded(commits, types, settled))

    @property
    def kind(self) -> ChangeKind:
        return self.entry.kind

    @property
    def record_type(self) -> str:
        return self.entry.record_type

    @property
    def old_type(self) -> str | None:
        return self.entry.old_type

    @property
    def reason(self) -> str | None:
        return self.entry.reason

    @property
    def primary_key(self) -> tuple[Any, ...]:
        return unpack(self.entry.key)

    @property
    def when(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self.entry.time)

    @property
    def incarnation(self) -> int:
        return int.from_bytes(self.position[:4], "big")

    @property
    def version(self) -> Versionstamp:
        return Versionstamp.from_bytes(self.position[4:])

    @property
    def message(self) -> Message | None:
        """The record behind the change, parsed."""
        return None if self.new is None else self.new.message

    @property
    def old_message(self) -> Message | None:
        """The record before the change, parsed."""
        return None if self.old is None else self.old.message

    def __repr__(self) -> str:
        reason = "" if self.reason is None else f", {self.reason}"
        return f"<Change {self.kind.name} {self.record_type} {self.primary_key!r}{reason}>"
