"""Evolution of settings and of record types.

Source  Record Layer: MetaDataEvolutionValidator.validateSchemaOptions, validateRecordTypes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from recordlayer.keys.renames import rename_fields
from recordlayer.metadata.evolution import Change, Finding, Rule
from recordlayer.metadata.index import Index
from recordlayer.metadata.metadata import Synthetic
from recordlayer.metadata.unnested import UnnestedType


def version(change: Change) -> Iterator[Finding]:
    old, new = change.old.version, change.new.version
    about = {"old": old, "new": new}
    if old > new:
        yield Finding("version goes back", "stores refuse metadata older than what they were last opened with", about)
    elif old == new and not change.allow.allow_no_version_change:
        reason = "stores take up a change only when the version rises"
        yield Finding("version stays", reason, about, "allow_no_version_change")


def splitting(change: Change) -> Iterator[Finding]:
    if change.old.split_long_records and not change.new.split_long_records:
        yield Finding("records are no longer split", "records that are stored in pieces could not be read")
    elif (
        not change.old.split_long_records and change.new.split_long_records and not change.allow.allow_unsplit_to_split
    ):
        reason = "stores from before record suffixes would need their records written again"
        yield Finding("records are split now", reason, allowed_by="allow_unsplit_to_split")


def kept(change: Change) -> Iterator[Finding]:
    """Old record types are there, with the same keys."""
    for name, old in change.old.record_types.items():
        new = change.new.record_types.get(change.new_name(name))
        about = {"record_type": change.new_name(name)}
        if new is None:
            yield Finding("record type removed", "records of it may still be stored: keep the type unused", about)
            continue
        if old.since_version != new.since_version:
            versions = {**about, "old": old.since_version, "new": new.since_version}
            yield Finding("since-version changed", "which indexes need building depends on it", versions)
        expected = old.primary_key
        if change.allow.allow_any_field_renames:
            expected = rename_fields(expected, old.descriptor, new.descriptor)
        if expected != new.primary_key:
            keys = {**about, "old": old.primary_key, "new": new.primary_key}
            yield Finding("primary key changed", "stored records could not be found again", keys)
        if not _same(old.record_type_key, new.record_type_key):
            keys = {**about, "old": old.record_type_key, "new": new.record_type_key}
            yield Finding("record type key changed", "it is part of stored keys", keys)


def added(change: Change) -> Iterator[Finding]:
    """New record types say since when."""
    known = {change.new_name(name) for name in change.old.record_types}
    for name, new in change.new.record_types.items():
        if name in known:
            continue
        about = {"record_type": name, "since_version": new.since_version}
        if new.since_version is None:
            if not change.allow.allow_no_since_version:
                reason = "without it every index on the type is built over records that cannot have it"
                yield Finding("new record type without since-version", reason, about, "allow_no_since_version")
        elif new.since_version <= change.old.version:
            reason = f"stores of version {change.old.version} cannot have had it"
            yield Finding("new record type with an old since-version", reason, about)


def synthetic(change: Change) -> Iterator[Finding]:
    """Records that are made from stored ones are made as before, where there are indexes over them."""
    for name, old in change.old.synthetic.items():
        new = change.new.synthetic.get(name)
        kept = [
            index.name
            for index in change.new.indexes.values()
            if name in index.record_types and _entries_stay(index, change)
        ]
        if not kept:
            continue
        about = {"record_type": name, "indexes": kept}
        if new is None or type(new) is not type(old):
            yield Finding("synthetic record type removed", "indexes over its records would keep their entries", about)
        elif not _same(old.record_type_key, new.record_type_key):
            keys = {**about, "old": old.record_type_key, "new": new.record_type_key}
            yield Finding("record type key changed", "it is part of stored keys", keys)
        elif _definition(old, change.new_name) != _definition(new, str):
            reason = "entries of the records that it gave before would stay"
            yield Finding("synthetic record type changed", reason, about, "allow_index_rebuilds")


def _entries_stay(index: Index, change: Change) -> bool:
    """Whether stores keep the entries that they have of an index."""
    old = change.old.indexes.get(index.name)
    rebuilt = change.allow.allow_index_rebuilds and index.last_modified_version > change.old.version
    return old is not None and not rebuilt


def _definition(kind: Synthetic, named: Callable[[str], str]) -> tuple[object, ...]:
    """What decides which records there are, and their keys."""
    if isinstance(kind, UnnestedType):
        return named(kind.stored.name), kind.parent, kind.names, kind.nested
    constituents = tuple((one.name, named(one.stored.name), one.outer) for one in kind.constituents)
    return constituents, frozenset(kind.joins)


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


SETTINGS: tuple[Rule, ...] = (version, splitting)
RULES: tuple[Rule, ...] = (kept, added, synthetic)
