"""What a save expects to find under the record's primary key, and which version it gives the record.

Source  Record Layer, RecordExistenceCheck, VersionstampSaveBehavior
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from recordlayer.errors import RecordExists, RecordMissing, RecordTypeChanged

if TYPE_CHECKING:
    from recordlayer.store.record import StoredRecord


class Expect(enum.Enum):
    """What must or must not be there before a record is saved."""

    ANYTHING = "anything"
    NOTHING = "nothing"
    """No record: this one is new."""
    RECORD = "record"
    """A record, of whatever type."""
    SAME_TYPE = "same type"
    """No record, or one of the same type."""
    RECORD_OF_SAME_TYPE = "record of the same type"

    def check(self, old: StoredRecord | None, new: StoredRecord) -> None:
        """Raises  RecordExists, RecordMissing, RecordTypeChanged."""
        if self is Expect.ANYTHING:
            return
        if old is None:
            if self in (Expect.RECORD, Expect.RECORD_OF_SAME_TYPE):
                raise RecordMissing(
                    primary_key=new.primary_key,
                    record_type=new.record_type.name,
                    hint="save() writes a record whether or not it is there",
                )
        elif self is Expect.NOTHING:
            raise RecordExists(
                primary_key=new.primary_key,
                record_type=new.record_type.name,
                hint="save() writes a record whether or not it is there",
            )
        elif self is not Expect.RECORD and old.record_type is not new.record_type:
            raise RecordTypeChanged(
                primary_key=new.primary_key, stored=old.record_type.name, saving=new.record_type.name
            )


class VersionBehavior(enum.Enum):
    """Which version a saved record gets."""

    DEFAULT = "default"
    """The caller's, else a new one if the metadata stores versions."""
    NO_VERSION = "no version"
    WITH_VERSION = "with version"
    """The caller's, else a new one."""
    IF_PRESENT = "if present"
    """The caller's or none."""
