"""Evolution of indexes and former indexes. An index is known by its subspace key.

Source  Record Layer: MetaDataEvolutionValidator.validateCurrentAndFormerIndexes, validateIndex
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from recordlayer.keys import KeyExpression
from recordlayer.keys.renames import rename_fields
from recordlayer.metadata import index_options
from recordlayer.metadata.evolution import Change, Finding, Rule
from recordlayer.metadata.index import FormerIndex, Index
from recordlayer.metadata.predicate import Predicate


def _current(indexes: Mapping[str, Index]) -> dict[object, Index]:
    """Indexes by place; 1 and True are two places."""
    return {(type(index.subspace_key), index.subspace_key): index for index in indexes.values()}


def _former(indexes: tuple[FormerIndex, ...]) -> dict[object, FormerIndex]:
    return {(type(index.subspace_key), index.subspace_key): index for index in indexes}


def former_kept(change: Change) -> Iterator[Finding]:
    new_former, new_current = _former(change.new.former_indexes), _current(change.new.indexes)
    for place, old in _former(change.old.former_indexes).items():
        about = {"former_index": old.former_name, "subspace_key": old.subspace_key}
        if place in new_current:
            reason = "old entries may still be there"
            yield Finding("place of a former index used", reason, {**about, "index": new_current[place].name})
        elif place not in new_former:
            yield Finding("former index removed", "stores that still have its entries would keep them", about)
        else:
            new = new_former[place]
            for rule, was, now in (
                ("removed version of a former index changed", old.removed_version, new.removed_version),
                ("added version of a former index changed", old.added_version, new.added_version),
                ("name of a former index changed", old.former_name, new.former_name),
            ):
                if was != now:
                    reason = "what was recorded when it was removed stays as it is"
                    yield Finding(rule, reason, {**about, "old": was, "new": now})


def former_added(change: Change) -> Iterator[Finding]:
    old_former, old_current = _former(change.old.former_indexes), _current(change.old.indexes)
    for place, former in _former(change.new.former_indexes).items():
        if place in old_former:
            continue
        about = {"former_index": former.former_name, "subspace_key": former.subspace_key}
        if former.removed_version <= change.old.version:
            reason = f"stores of version {change.old.version} would not notice that it was removed"
            yield Finding("index removed in the past", reason, {**about, "removed_version": former.removed_version})
        old = old_current.get(place)
        if old is not None:
            yield from _former_of(old, former, change)
        elif former.added_version <= change.old.version and not change.allow.allow_older_former_index_added_versions:
            reason = "the old metadata does not have it, although it should by this version"
            versions = {**about, "added_version": former.added_version}
            option = "allow_older_former_index_added_versions"
            yield Finding("former index added in the past", reason, versions, option)


def _former_of(old: Index, former: FormerIndex, change: Change) -> Iterator[Finding]:
    about = {"index": old.name, "subspace_key": old.subspace_key}
    nameless = former.former_name is None and change.allow.allow_missing_former_index_names
    if former.former_name != old.name and not nameless:
        option = "allow_missing_former_index_names" if former.former_name is None else None
        reason = "states of an index are stored under its name"
        yield Finding("former index has another name", reason, {**about, "name": former.former_name}, option)
    versions = {**about, "old": old.added_version, "new": former.added_version}
    if former.added_version > old.added_version:
        reason = "stores that had it before would keep its entries"
        yield Finding("former index added later than the index", reason, versions)
    elif former.added_version < old.added_version and not change.allow.allow_older_former_index_added_versions:
        option = "allow_older_former_index_added_versions"
        yield Finding("former index added earlier than the index", "the added version is kept", versions, option)
    if former.removed_version <= old.last_modified_version:
        versions = {**about, "last_modified": old.last_modified_version, "removed": former.removed_version}
        yield Finding("index removed before it was last modified", "versions only rise", versions)


def kept(change: Change) -> Iterator[Finding]:
    new_former, new_current = _former(change.new.former_indexes), _current(change.new.indexes)
    for place, old in _current(change.old.indexes).items():
        if place not in new_former and place not in new_current:
            about = {"index": old.name, "subspace_key": old.subspace_key}
            reason = "its entries would stay in stores: make it a former index with remove_index"
            yield Finding("index missing", reason, about)


def added(change: Change) -> Iterator[Finding]:
    old_current, old_former = _current(change.old.indexes), _former(change.old.former_indexes)
    for place, new in _current(change.new.indexes).items():
        if place not in old_current and place not in old_former and new.last_modified_version <= change.old.version:
            about = {"index": new.name, "last_modified_version": new.last_modified_version}
            reason = f"stores of version {change.old.version} would take it for built already"
            yield Finding("new index with an old version", reason, about)


def same(change: Change) -> Iterator[Finding]:
    """An index that is in both is the same index, or is to be rebuilt."""
    new_current = _current(change.new.indexes)
    for place, old in _current(change.old.indexes).items():
        new = new_current.get(place)
        if new is None:
            continue
        yield from _identity(old, new, change)
        rebuilt = new.last_modified_version > old.last_modified_version and change.allow.allow_index_rebuilds
        if not rebuilt:
            yield from redefined(old, new, change)


def _identity(old: Index, new: Index, change: Change) -> Iterator[Finding]:
    about = {"index": new.name}
    if old.name != new.name:
        names = {"old": old.name, "new": new.name}
        yield Finding("index renamed", "states of an index are stored under its name", names)
    if old.added_version != new.added_version:
        versions = {**about, "old": old.added_version, "new": new.added_version}
        yield Finding("added version of an index changed", "it says which stores may have it", versions)
    versions = {**about, "old": old.last_modified_version, "new": new.last_modified_version}
    if old.last_modified_version > new.last_modified_version:
        yield Finding("last modified version of an index goes back", "stores would not rebuild it", versions)
    elif old.last_modified_version < new.last_modified_version and not change.allow.allow_index_rebuilds:
        reason = "every store would have to build it again"
        yield Finding("index must be rebuilt", reason, versions, "allow_index_rebuilds")


def redefined(old: Index, new: Index, change: Change) -> Iterator[Finding]:
    """Why an index has to be built again: its entries would be others."""
    about = {"index": new.name}
    reason = "its entries would be others: give it a higher last modified version"
    if old.type != new.type:
        yield Finding("index type changed", reason, {**about, "old": old.type, "new": new.type}, _REBUILD)
    yield from _record_types(old, new, change)
    expected = _expected_key(old, change)
    if len(expected) > 1:
        yield Finding("renames differ between the record types of an index", reason, {**about, "keys": expected})
    elif new.root_expression != expected[0]:
        keys = {**about, "old": old.root_expression, "new": new.root_expression}
        nulls_only = new.root_expression.ignoring_nulls() == expected[0].ignoring_nulls()
        rule = "null interpretation of an index changed" if nulls_only else "index key changed"
        yield Finding(rule, reason, keys, _REBUILD)
    if _expected_predicate(old, change) != new.predicate:
        predicates = {**about, "old": old.predicate, "new": new.predicate}
        yield Finding("index predicate changed", reason, predicates, _REBUILD)
    if old.primary_key_positions != new.primary_key_positions:
        places = {**about, "old": old.primary_key_positions, "new": new.primary_key_positions}
        yield Finding("primary key is found elsewhere in an index", reason, places, _REBUILD)
    names = {name for name in {*old.options, *new.options} if old.options.get(name) != new.options.get(name)}
    for name in sorted(names - change.allow.ignored_index_options):
        said = index_options.objection(old, new, name)
        if said is not None:
            values = {**about, "option": name, "old": old.options.get(name), "new": new.options.get(name)}
            yield Finding("index option changed", said, values, _REBUILD)


_REBUILD = "allow_index_rebuilds"


def _record_types(old: Index, new: Index, change: Change) -> Iterator[Finding]:
    before = {change.new_name(name) for name in old.record_types or change.old.record_types}
    after = set(new.record_types or change.new.record_types)
    for name in sorted(before - after):
        about = {"index": new.name, "record_type": name}
        yield Finding("record type removed from an index", "entries of its records would stay", about, _REBUILD)
    for name in sorted(after - before):
        known = change.new.record_types.get(name)
        since = None if known is None else known.since_version
        if since is None or since <= change.old.version:
            reason = "records of it may be stored, without entries"
            about_type = {"index": new.name, "record_type": name, "since_version": since}
            yield Finding("record type added to an index", reason, about_type, _REBUILD)


def _expected_key(old: Index, change: Change) -> list[KeyExpression]:
    """The key of an old index after the renames of fields: one, unless record types disagree."""
    if not change.allow.allow_any_field_renames:
        return [old.root_expression]
    found: list[KeyExpression] = []
    for record_type in change.old.record_types_of(old):
        new = change.new.record_types.get(change.new_name(record_type.name))
        if new is not None:
            expected = rename_fields(old.root_expression, record_type.descriptor, new.descriptor)
            if expected not in found:
                found.append(expected)
    return found or [old.root_expression]


def _expected_predicate(old: Index, change: Change) -> Predicate | None:
    if old.predicate is None or not change.allow.allow_any_field_renames:
        return old.predicate
    for record_type in change.old.record_types_of(old):
        new = change.new.record_types.get(change.new_name(record_type.name))
        if new is not None:
            return old.predicate.renamed(record_type.descriptor, new.descriptor)
    return old.predicate


RULES: tuple[Rule, ...] = (former_kept, kept, former_added, same, added)
