"""What is asked for: record types, a condition, an order, and which fields are needed.

    query("Order").where(q.customer == "ana").order_by("total", reverse=True)

A query is a value: every method gives a new one. It holds no metadata; what does not fit is found when it is planned.

Source  Record Layer, RecordQuery
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from recordlayer.errors import UsageError, WrongType
from recordlayer.query.paths import FieldPath, as_steps
from recordlayer.query.predicate import And, Path, Predicate, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuery:
    """One query.

    record_types  names; none means all of the metadata's
    filter        the condition that records fulfil, None for none
    sort          fields in order of importance
    reverse       descending
    fields        what is needed of the records; None for all. Others may be missing in what comes back, except those of
                  the primary key.
    """

    record_types: tuple[str, ...] = ()
    filter: Predicate | None = None
    sort: tuple[Path, ...] = ()
    reverse: bool = False
    fields: tuple[Path, ...] | None = None

    def where(self, *conditions: Predicate) -> RecordQuery:
        """Only records for which all these, and all conditions before, are true."""
        found = self.filter
        for condition in conditions:
            if not isinstance(condition, Predicate):
                raise WrongType(condition=condition, hint='compare a field, as in q.customer == "ana"')
            found = condition if found is None else And((found, condition))
        return replace(self, filter=found)

    def order_by(self, *fields: FieldPath | str, reverse: bool = False) -> RecordQuery:
        """In the order of these fields, null first; `reverse`: descending, null last.

        A field without presence that holds its default sorts as a null: zeros come before negative numbers.
        """
        if not fields:
            raise UsageError(what="order_by without fields", hint='name at least one: order_by("total")')
        paths = tuple(as_steps(field) for field in fields)
        for path in paths:
            if any(step.any for step in path):
                raise UsageError(field=shown(path), hint="records cannot be ordered by a repeated field")
        return replace(self, sort=paths, reverse=reverse)

    def select(self, *fields: FieldPath | str) -> RecordQuery:
        """Only these fields are needed: an index that has them all answers without reading records."""
        if not fields:
            raise UsageError(what="select without fields", hint='name at least one: select("id", "total")')
        return replace(self, fields=tuple(as_steps(field) for field in fields))

    def __str__(self) -> str:
        parts = [", ".join(self.record_types) or "all records"]
        if self.filter is not None:
            parts.append(f"where {self.filter}")
        if self.sort:
            parts.append(f"order by {', '.join(shown(path) for path in self.sort)}{' descending' * self.reverse}")
        if self.fields is not None:
            parts.append(f"select {', '.join(shown(path) for path in self.fields)}")
        return " ".join(parts)


def query(*record_types: str) -> RecordQuery:
    """A query for records of one type, of several, or with no name of all."""
    for name in record_types:
        if not isinstance(name, str) or not name:
            raise WrongType(record_type=name, hint='name a record type: query("Order")')
    return RecordQuery(record_types=tuple(record_types))
