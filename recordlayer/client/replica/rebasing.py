"""Edits of a replica on top of what the server has: what an edit becomes when others have changed its record.

mine changed, theirs changed   merged field by field; conflicts are asked about
mine changed, theirs deleted   asked about; by default the record is made again
mine deleted, theirs changed   asked about; by default the record stays
both the same                  the edit is done
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from google.protobuf.message import Message

from recordlayer.client.merging import Conflict, Resolve, merge
from recordlayer.client.pb.replica_pb2 import Edit
from recordlayer.client.replica.shape import Shape
from recordlayer.errors import WrongType


class Version(NamedTuple):
    """A record as the server has it.

    change_tag  empty where it is not known yet
    """

    record_type: str
    contents: bytes
    change_tag: bytes


def mine_of(edit: Edit) -> Version | None:
    """What the edit makes of the record; None: it deletes it."""
    return Version(edit.record_type, edit.mine, edit.base_tag) if edit.HasField("mine") else None


def base_of(edit: Edit) -> Version | None:
    return Version(edit.base_type, edit.base, edit.base_tag) if edit.HasField("base") else None


def set_mine(edit: Edit, mine: Version | None) -> None:
    edit.ClearField("mine")
    if mine is not None:
        edit.record_type, edit.mine = mine.record_type, mine.contents


def set_base(edit: Edit, base: Version | None) -> None:
    for name in ("base_type", "base", "base_tag"):
        edit.ClearField(name)
    if base is not None:
        edit.base_type, edit.base, edit.base_tag = base


@dataclass(slots=True)
class Rebasing:
    """Brings edits up to date. `conflicts`: those that were met, by the names of the records."""

    shape: Shape
    resolve: Resolve
    whole: Collection[str]
    conflicts: list[tuple[str, Conflict]] = field(default_factory=list)

    def rebase(self, edit: Edit, theirs: Version | None, epoch: int) -> bool:
        """Let an edit be one of `theirs`, which the server has now. Whether there is anything left to do.

        Raises  what the program's `resolve` raises; WrongType for a value that it cannot give
        """
        base, mine = base_of(edit), mine_of(edit)
        if not self.same(base, theirs):
            mine = self._merged(edit.name, base, mine, theirs)
        set_base(edit, theirs)
        set_mine(edit, mine)
        edit.epoch, edit.sent, edit.key, edit.refused = epoch, False, "", ""
        return not self.same(mine, theirs)

    def _merged(self, name: str, base: Version | None, mine: Version | None, theirs: Version | None) -> Version | None:
        if self.same(mine, theirs) or self.same(base, mine):
            return theirs
        was, here, there = self._message(base), self._message(mine), self._message(theirs)
        if mine is not None and theirs is not None and mine.record_type == theirs.record_type:
            if was is not None and was.DESCRIPTOR.full_name != there.DESCRIPTOR.full_name:  # type: ignore[union-attr]
                was = None
            merged = merge(was, here, there, resolve=self.resolve, whole=self.whole)  # type: ignore[type-var]
            self.conflicts += [(name, one) for one in merged.conflicts]
            return self._version(merged.message)
        conflict = Conflict("", was, here, there)
        self.conflicts.append((name, conflict))
        return self._version(self.resolve(conflict))

    def same(self, one: Version | None, other: Version | None) -> bool:
        """Whether both hold the same, whatever their tags, and in whatever order their maps were written."""
        if one is None or other is None or one.record_type != other.record_type:
            return one is other
        return one.contents == other.contents or self._canonical(one) == self._canonical(other)

    def _canonical(self, version: Version) -> bytes:
        kind = self.shape.kind(version.record_type)
        return kind.FromString(version.contents).SerializePartialToString(deterministic=True)

    def _message(self, version: Version | None) -> Message | None:
        return None if version is None else self.shape.kind(version.record_type).FromString(version.contents)

    def _version(self, message: object) -> Version | None:
        if message is None:
            return None
        if not isinstance(message, Message):
            raise WrongType(resolved=message, hint="a record becomes a message, or None: it is deleted")
        self.shape.kind(message.DESCRIPTOR.name)
        return Version(message.DESCRIPTOR.name, message.SerializePartialToString(), b"")
