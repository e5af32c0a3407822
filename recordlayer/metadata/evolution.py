"""Whether stores that were written with one metadata can be opened with another.

    Evolution().check(old, new)                            raises EvolutionRefused with all findings
    Evolution(allow_index_rebuilds=True).findings(old, new)

Every rule is strict unless an option relaxes it; a finding names its rule, what it is about, why it matters, and the
option that would let it pass, if there is one. Beyond what Java checks, predicates and null interpretations may not
change either: both change which entries an index has.

Source  Record Layer: MetaDataEvolutionValidator, IndexValidator.validateChangedOptions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from recordlayer.errors import EvolutionRefused

if TYPE_CHECKING:
    from recordlayer.metadata.metadata import RecordMetaData
    from recordlayer.pb.types import Descriptor


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a metadata cannot follow another."""

    rule: str
    """a stable name for the rule: "field removed", "index key changed" ..."""

    reason: str
    """why it matters"""

    about: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """what it is about: record_type, field, index, old, new ..."""

    allowed_by: str | None = None
    """the option of Evolution that lets it pass"""

    def __str__(self) -> str:
        about = ", ".join(f"{name} {value!r}" for name, value in self.about.items())
        option = f" (allowed by {self.allowed_by})" if self.allowed_by else ""
        return f"{self.rule}: {about}: {self.reason}{option}" if about else f"{self.rule}: {self.reason}{option}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution:
    """The rules, and which of them are relaxed."""

    allow_no_version_change: bool = False
    """the version may stay; it never goes back"""

    allow_no_since_version: bool = False
    """new record types need no since-version: their indexes are built over older records in vain"""

    allow_field_renames: bool = False
    allow_deprecated_field_renames: bool = False
    """only of fields that are deprecated before or after"""

    allow_undeprecating_fields: bool = False
    allow_index_rebuilds: bool = False
    """an index may change in any way when its last modified version rises: stores build it again"""

    allow_missing_former_index_names: bool = False
    allow_older_former_index_added_versions: bool = False
    allow_unsplit_to_split: bool = False
    """safe for stores that have record suffixes, as all new ones do"""

    disallow_type_renames: bool = False
    ignored_index_options: frozenset[str] = frozenset()

    @property
    def allow_any_field_renames(self) -> bool:
        return self.allow_field_renames or self.allow_deprecated_field_renames

    def findings(self, old: RecordMetaData, new: RecordMetaData) -> tuple[Finding, ...]:
        """Everything that stands against `new` following `old`."""
        change = Change(old, new, self)
        return tuple(finding for rule in rules() for finding in rule(change))

    def check(self, old: RecordMetaData, new: RecordMetaData) -> None:
        """Raises EvolutionRefused with all findings, if there are any."""
        found = self.findings(old, new)
        if found:
            raise EvolutionRefused(old_version=old.version, new_version=new.version, findings=found)


class Change:
    """Two metadata, and which record type of one is which of the other."""

    def __init__(self, old: RecordMetaData, new: RecordMetaData, allow: Evolution) -> None:
        self.old = old
        self.new = new
        self.allow = allow
        new_fields = {field.number: field.descriptor for field in new.union.fields}
        self.kept_messages: list[tuple[Descriptor, Descriptor]] = [
            (field.descriptor, new_fields[field.number]) for field in old.union.fields if field.number in new_fields
        ]
        """the message of each union field that is still there, before and after"""

        self.renames: dict[str, str] = {before.name: after.name for before, after in self.kept_messages}

    def new_name(self, record_type: str) -> str:
        """What an old record type is called now."""
        return self.renames.get(record_type, record_type)


Rule = Callable[[Change], Iterator[Finding]]


def rules() -> tuple[Rule, ...]:
    """All rules in the order in which they are judged: settings, messages, record types, indexes."""
    from recordlayer.metadata import evolution_indexes, evolution_messages, evolution_types

    return (*evolution_types.SETTINGS, *evolution_messages.RULES, *evolution_types.RULES, *evolution_indexes.RULES)
