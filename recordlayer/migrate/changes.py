"""What is different between the metadata that is stored and the schema that is wanted, each change with a judgement.

A change is safe, needs an index to be built, or is refused; a refused one says why, and which option of `Evolution`
would let it pass, if there is one. Fields are known by their numbers, indexes by their names. Whoever writes a schema
says no versions: the target has them, worked out by `metadata.successor`.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from recordlayer.errors import RecordLayerError
from recordlayer.metadata import Evolution, Index, RecordMetaData
from recordlayer.metadata.evolution import Change, Finding
from recordlayer.metadata.successor import renamed_types, successor
from recordlayer.migrate.wording import field_words, key_words

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor, FieldDescriptor


class Verdict(enum.Enum):
    SAFE = "safe"
    BUILD = "needs a build"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """One difference.

    subject     what is different: "field Order.total", "index by_total", "type Order", "schema"
    what        how: "added", "renamed from total" ...
    reason      why it is judged so; empty where that is plain
    allowed_by  the option of Evolution that would let a refused change pass
    """

    subject: str
    what: str
    verdict: Verdict
    reason: str = ""
    allowed_by: str | None = None

    def as_json(self) -> dict[str, Any]:
        found = {"subject": self.subject, "what": self.what, "verdict": self.verdict.value, "reason": self.reason}
        return found if self.allowed_by is None else {**found, "allowed_by": self.allowed_by}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaDiff:
    """All differences, and the metadata that follows.

    current  None if nothing is stored
    target   what is to be stored next; the current one if nothing is different; None if it cannot be made
    """

    current: RecordMetaData | None
    target: RecordMetaData | None
    changes: tuple[SchemaChange, ...]

    @property
    def is_empty(self) -> bool:
        return self.target is not None and self.target is self.current

    @property
    def refused(self) -> tuple[SchemaChange, ...]:
        return tuple(change for change in self.changes if change.verdict is Verdict.REFUSED)

    def as_json(self) -> dict[str, Any]:
        return {
            "from_version": None if self.current is None else self.current.version,
            "to_version": None if self.target is None else self.target.version,
            "changes": [change.as_json() for change in self.changes],
        }


def schema_diff(
    current: RecordMetaData | None, wanted: RecordMetaData, *, allow: Evolution | None = None
) -> SchemaDiff:
    """What is different, and what comes next.

    allow  the rules that are relaxed; building indexes again is always allowed: it is a verdict of its own here
    """
    if current is None:
        return SchemaDiff(current=None, target=wanted, changes=tuple(_all_of(wanted)))
    rules = replace(allow or Evolution(), allow_index_rebuilds=True, allow_no_version_change=False)
    try:
        target = successor(current, wanted)
    except RecordLayerError as error:
        subject = f"type {error.fields['record_type']}" if "record_type" in error.fields else "schema"
        refused = SchemaChange(
            subject=subject, what="cannot follow", verdict=Verdict.REFUSED, reason=error.hint or error.title
        )
        return SchemaDiff(current=current, target=None, changes=(refused,))
    if target is current:
        return SchemaDiff(current=current, target=current, changes=())
    # Where what is wanted has versions that may follow as they are, all databases get the same.
    if wanted.version >= target.version and not rules.findings(current, wanted):
        target = wanted
    found = list(_changes(current, target))
    changes = _judged(found, _causes(current, target, rules))
    if not changes:
        changes = [SchemaChange(subject="schema", what="differs in its files", verdict=Verdict.SAFE)]
    return SchemaDiff(current=current, target=target, changes=tuple(changes))


# -- judging


def _causes(current: RecordMetaData, target: RecordMetaData, rules: Evolution) -> list[Finding]:
    """The findings, without those that follow from names alone: a refused rename is one finding, not one more for
    each key that has the field."""
    found = rules.findings(current, target)
    if rules.allow_field_renames or not any(finding.rule == "field renamed" for finding in found):
        return list(found)
    lenient = {str(finding) for finding in replace(rules, allow_field_renames=True).findings(current, target)}
    return [finding for finding in found if finding.rule == "field renamed" or str(finding) in lenient]


def _judged(changes: list[SchemaChange], findings: Iterable[Finding]) -> list[SchemaChange]:
    judged = {change.subject: change for change in changes}
    for finding in findings:
        subject = _subject(finding)
        known = judged.get(subject)
        if known is not None and known.verdict is Verdict.REFUSED:
            judged[subject] = replace(known, reason=f"{known.reason}; {finding.reason}", allowed_by=None)
            continue
        judged[subject] = SchemaChange(
            subject=subject,
            what=finding.rule if known is None else known.what,
            verdict=Verdict.REFUSED,
            reason=finding.reason,
            allowed_by=finding.allowed_by,
        )
    return list(judged.values())


def _subject(finding: Finding) -> str:
    about = finding.about
    if finding.rule == "field renamed":
        return f"field {about['message']}.{about['new']}"
    if "message" in about and "field" in about:
        return f"field {about['message']}.{about['field']}"
    for key, word in (("index", "index"), ("former_index", "index"), ("record_type", "type"), ("message", "type")):
        if about.get(key) is not None:
            return f"{word} {about[key]}"
    return "schema"


# -- finding


def _all_of(wanted: RecordMetaData) -> Iterator[SchemaChange]:
    for name in wanted.record_types:
        yield SchemaChange(subject=f"type {name}", what="added", verdict=Verdict.SAFE)
    for name in wanted.indexes:
        yield SchemaChange(subject=f"index {name}", what="added", verdict=Verdict.SAFE)


def _changes(old: RecordMetaData, new: RecordMetaData) -> Iterator[SchemaChange]:
    """Every difference once, safe unless something has to be built; the rules have their say afterwards."""
    change = Change(old, new, Evolution())
    renamed = renamed_types(old, new)
    before = {renamed.get(name, name): name for name in old.record_types}
    for name in new.record_types:
        if name not in before:
            yield SchemaChange(subject=f"type {name}", what="added", verdict=Verdict.SAFE)
        elif before[name] != name:
            yield SchemaChange(subject=f"type {name}", what=f"renamed from {before[name]}", verdict=Verdict.SAFE)
    for name in before.keys() - new.record_types.keys():
        yield SchemaChange(subject=f"type {name}", what="removed", verdict=Verdict.SAFE)
    yield from _fields(change)
    yield from _settings(old, new)
    for name in sorted(old.indexes.keys() - new.indexes.keys()):
        reason = "its entries are cleared when a store is opened"
        yield SchemaChange(subject=f"index {name}", what="dropped", verdict=Verdict.SAFE, reason=reason)
    for index in new.indexes.values():
        yield from _index(old, new, index)


def _fields(change: Change) -> Iterator[SchemaChange]:
    queue = deque(change.kept_messages)
    seen: set[tuple[str, str]] = set()
    while queue:
        old, new = queue.popleft()
        if (old.full_name, new.full_name) in seen:
            continue
        seen.add((old.full_name, new.full_name))
        yield from _of_message(old, new)
        for field in old.fields:
            now = new.fields_by_number.get(field.number)
            if now is not None and field.message_type is not None and now.message_type is not None:
                queue.append((field.message_type, now.message_type))


def _of_message(old: Descriptor, new: Descriptor) -> Iterator[SchemaChange]:
    for field in old.fields:
        now = new.fields_by_number.get(field.number)
        name = f"field {new.name}.{field.name if now is None else now.name}"
        said = "removed" if now is None else ", ".join(_of_field(field, now))
        if said:
            yield SchemaChange(subject=name, what=said, verdict=Verdict.SAFE)
    for field in new.fields:
        if field.number not in old.fields_by_number:
            what = f"added as number {field.number}"
            yield SchemaChange(subject=f"field {new.name}.{field.name}", what=what, verdict=Verdict.SAFE)


def _of_field(old: FieldDescriptor, new: FieldDescriptor) -> Iterator[str]:
    if old.name != new.name:
        yield f"renamed from {old.name}"
    was, now_is = field_words(old), field_words(new)
    if was != now_is:
        yield f"from {was} to {now_is}"
    if old.enum_type is not None and new.enum_type is not None:
        added = [value.name for value in new.enum_type.values if value.number not in old.enum_type.values_by_number]
        if added:
            yield f"takes {', '.join(added)} as well"
    if old.GetOptions().deprecated != new.GetOptions().deprecated:
        yield "deprecated" if new.GetOptions().deprecated else "no longer deprecated"


def _settings(old: RecordMetaData, new: RecordMetaData) -> Iterator[SchemaChange]:
    for name in ("split_long_records", "store_record_versions", "record_count_key"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            what = f"{name} is {now!r}, was {was!r}"
            yield SchemaChange(subject="schema", what=what, verdict=Verdict.SAFE)


def _index(old: RecordMetaData, new: RecordMetaData, index: Index) -> Iterator[SchemaChange]:
    subject, before = f"index {index.name}", old.indexes.get(index.name)
    if before is None:
        types = new.stored_types_of(index)
        fresh = bool(types) and all((known.since_version or 0) > old.version for known in types)
        verdict = Verdict.SAFE if fresh else Verdict.BUILD
        reason = "no record of its types is stored yet" if fresh else "records that are stored need entries"
        yield SchemaChange(subject=subject, what=f"added on {key_words(index)}", verdict=verdict, reason=reason)
    elif index.last_modified_version > before.last_modified_version:
        what = ", ".join(_redefined(before, index))
        yield SchemaChange(subject=subject, what=what, verdict=Verdict.BUILD, reason="its entries would be others")
    elif dict(before.options) != dict(index.options):
        what = ", ".join(_redefined(before, index))
        yield SchemaChange(subject=subject, what=what, verdict=Verdict.SAFE, reason="its entries stay as they are")


def _redefined(old: Index, new: Index) -> Iterator[str]:
    if old.unique != new.unique:
        yield "unique" if new.unique else "no longer unique"
    if old.type != new.type:
        yield f"from {old.type} to {new.type}"
    if old.root_expression != new.root_expression:
        yield f"from {key_words(old)} to {key_words(new)}"
    if old.record_types != new.record_types:
        yield f"over {', '.join(new.record_types) or 'all types'}"
    if old.predicate != new.predicate:
        yield "with another condition"
    names = {name for name in {*old.options, *new.options} if old.options.get(name) != new.options.get(name)}
    for name in sorted(names - {"unique"}):
        yield f"option {name} is {new.options.get(name)!r}"
