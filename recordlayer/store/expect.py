"""What a save expects to find under the record's primary key, and which version it gives the record.

Source  Record Layer, RecordExistenceCheck, VersionstampSaveBehavior
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from recordlayer.errors import RecordExists, RecordMissing, RecordTypeChanged, UsageError, WrongType
from recordlayer.tuples import Versionstamp

if TYPE_CHECKING:
    from recordlayer.kv.context import Context
    from recordlayer.metadata import RecordMetaData
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

    def gives_new(self, given: Versionstamp | None, metadata: RecordMetaData) -> bool:
        """Whether a record that is saved with the version `given`, or none, gets a new one.

        Raises  WrongType, UsageError.
        """
        if given is not None and not isinstance(given, Versionstamp):
            raise WrongType(argument="version", value=given, hint="give a Versionstamp")
        if self is VersionBehavior.NO_VERSION:
            if given is not None:
                raise UsageError(version=given, behavior=self.value, hint="leave the version out")
            return False
        if given is not None or self is VersionBehavior.IF_PRESENT:
            return False
        return self is VersionBehavior.WITH_VERSION or metadata.store_record_versions

    def version(self, given: Versionstamp | None, metadata: RecordMetaData, context: Context) -> Versionstamp | None:
        """The version of a record that is about to be saved.  Raises  WrongType, UsageError, LocalVersionsExhausted."""
        if self.gives_new(given, metadata):
            return Versionstamp.incomplete(context.claim_local_version())
        return given
