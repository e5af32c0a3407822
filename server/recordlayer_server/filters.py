"""Filters of the service as conditions of the library, and whole queries.

Both follow SQL's three-valued logic: a comparison with a field that is not set is unknown, and so is its opposite. A
list without elements contains nothing, which is false and not unknown. The NOT_... comparators are the opposites of the
others, so an index helps with the others only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from recordlayer import RecordMetaData, RecordQuery, q, query
from recordlayer.client.pb import filter_pb2, types_pb2
from recordlayer.keys.access import TUPLE_FIELDS, is_message, is_repeated
from recordlayer.pb.types import Descriptor, FieldDescriptor
from recordlayer.query.paths import FieldPath
from recordlayer.query.predicate import Predicate
from recordlayer_server.limits import Limits
from recordlayer_server.moments import MomentPath, is_moment, moment
from recordlayer_server.schema import SYSTEM
from recordlayer_server.statuses import bad_request
from recordlayer_server.values import checked_point, is_location, scalar, unknown_field

Is = filter_pb2.Comparison
Compare = Callable[[Any, Any], Predicate]
"""From a FieldPath or MomentPath and an operand."""

SYSTEM_FIELDS = {
    "$name": "name",
    "$created_at": "created_at",
    "$created_by": "created_by",
    "$modified_at": "modified_at",
    "$modified_by": "modified_by",
}

_WITH_ONE: Mapping[int, Compare] = {
    Is.EQUALS: lambda path, value: path == value,
    Is.NOT_EQUALS: lambda path, value: path != value,
    Is.LESS_THAN: lambda path, value: path < value,
    Is.LESS_THAN_OR_EQUALS: lambda path, value: path <= value,
    Is.GREATER_THAN: lambda path, value: path > value,
    Is.GREATER_THAN_OR_EQUALS: lambda path, value: path >= value,
    Is.BEGINS_WITH: lambda path, value: path.starts_with(value),
    Is.NOT_BEGINS_WITH: lambda path, value: ~path.starts_with(value),
}
_WITH_SEVERAL: Mapping[int, Compare] = {
    Is.IN: lambda path, values: path.in_(values),
    Is.NOT_IN: lambda path, values: ~path.in_(values),
}
_ON_ELEMENT: Mapping[int, Compare] = {
    Is.LIST_CONTAINS: lambda path, value: path == value,
    Is.NOT_LIST_CONTAINS: lambda path, value: ~(path == value),
    Is.LIST_MEMBER_BEGINS_WITH: lambda path, value: path.starts_with(value),
    Is.NOT_LIST_MEMBER_BEGINS_WITH: lambda path, value: ~path.starts_with(value),
}
_ON_ELEMENTS: Mapping[int, Compare] = {
    Is.LIST_CONTAINS_ANY: lambda path, values: path.in_(values),
    Is.NOT_LIST_CONTAINS_ANY: lambda path, values: ~path.in_(values),
    Is.LIST_CONTAINS_ALL: lambda path, values: _each(path, values),
    Is.NOT_LIST_CONTAINS_ALL: lambda path, values: ~_each(path, values),
}
_WITH_WORDS: Mapping[int, Compare] = {
    Is.CONTAINS_ALL_TOKENS: lambda path, words: path.has_words(words),
    Is.CONTAINS_ANY_TOKENS: lambda path, words: path.has_any_word(words),
}
_BEGINNINGS = frozenset(
    {Is.BEGINS_WITH, Is.NOT_BEGINS_WITH, Is.LIST_MEMBER_BEGINS_WITH, Is.NOT_LIST_MEMBER_BEGINS_WITH}
)


def _each(path: Any, values: Sequence[Any]) -> Predicate:
    found: Predicate = path == values[0]
    for value in values[1:]:
        found &= path == value
    return found


def record_types(names: Sequence[str], metadata: RecordMetaData) -> tuple[str, ...]:
    """The names of record types, if the container has them.  Raises  Refusal."""
    for name in names:
        if name not in metadata.record_types:
            raise bad_request("record_types", f"there is no record type {name[:100]!r}")
    return tuple(dict.fromkeys(names))


def query_of(request: Any, zone: str, metadata: RecordMetaData, limits: Limits, *conditions: Predicate) -> RecordQuery:
    """The query for a QueryRequest in one zone, under further conditions.  Raises  Refusal."""
    names = record_types(request.record_types, metadata)
    asked = query(*names).where(q[SYSTEM]["zone"] == zone, *conditions)
    descriptor = metadata.record_type((names or tuple(metadata.record_types))[0]).descriptor
    if request.HasField("filter"):
        asked = asked.where(Filters(descriptor, limits).condition(request.filter))
    if not request.sort:
        return asked
    if len(request.sort) > limits.filter_depth:
        raise bad_request("sort", f"at most {limits.filter_depth} fields")
    directions = {one.descending for one in request.sort}
    if len(directions) > 1:
        raise bad_request("sort", "all fields in the same direction")
    if not 0 <= request.sort_in_memory <= limits.sort_in_memory:
        raise bad_request("sort_in_memory", f"0 to {limits.sort_in_memory}")
    paths = []
    for place, one in enumerate(request.sort):
        path, fields = steps_of(one.field, descriptor, f"sort[{place}].field")
        if any(is_repeated(field) for field in fields):
            raise bad_request(f"sort[{place}].field", "records cannot be ordered by a list")
        paths += [path["seconds"], path["nanos"]] if is_moment(fields[-1]) else [path]
    return asked.order_by(*paths, reverse=directions.pop(), in_memory=request.sort_in_memory)


def steps_of(name: str, descriptor: Descriptor, where: str) -> tuple[FieldPath, list[FieldDescriptor]]:
    """The path that a name stands for, and the fields on it.  Raises  Refusal."""
    if name in SYSTEM_FIELDS:
        name = f"{SYSTEM}.{SYSTEM_FIELDS[name]}"
    elif name == SYSTEM or name.startswith(SYSTEM + "."):
        raise unknown_field(name, where)
    path, fields = q, []
    for step in name.split("."):
        field = None if descriptor is None else descriptor.fields_by_name.get(step)
        if field is None:
            raise unknown_field(name, where)
        path = path[step]
        fields.append(field)
        descriptor = field.message_type
    return path, fields


class Filters:
    """Turns the filters of one request into conditions, and bounds how many there are."""

    def __init__(self, descriptor: Descriptor, limits: Limits) -> None:
        self._descriptor = descriptor
        self._limits = limits
        self._nodes = 0

    def condition(self, filter: filter_pb2.Filter, where: str = "filter", depth: int = 1) -> Predicate:  # noqa: A002
        """Raises  Refusal."""
        self._nodes += 1
        if self._nodes > self._limits.filter_nodes or depth > self._limits.filter_depth:
            nodes, deep = self._limits.filter_nodes, self._limits.filter_depth
            raise bad_request("filter", f"at most {nodes} conditions, at most {deep} deep")
        kind = filter.WhichOneof("kind")
        if kind == "comparison":
            return self._comparison(filter.comparison, f"{where}.comparison")
        if kind == "not":
            return ~self.condition(getattr(filter, "not"), f"{where}.not", depth + 1)
        if kind is None:
            raise bad_request(where, "give a comparison, all, any or not")
        parts = getattr(filter, kind).filters
        if not parts:
            raise bad_request(where, "give at least one condition")
        conditions = [self.condition(part, f"{where}.{kind}[{place}]", depth + 1) for place, part in enumerate(parts)]
        found = conditions[0]
        for one in conditions[1:]:
            found = found & one if kind == "all" else found | one
        return found

    def _comparison(self, comparison: filter_pb2.Comparison, where: str) -> Predicate:
        kind = comparison.comparator
        path, fields = steps_of(comparison.field, self._descriptor, f"{where}.field")
        on_elements = kind in _ON_ELEMENT or kind in _ON_ELEMENTS
        whole = kind in (Is.IS_NULL, Is.NOT_NULL)
        repeated = [place for place, field in enumerate(fields) if is_repeated(field)]
        if whole and repeated in ([], [len(fields) - 1]):
            if repeated:
                return path.is_empty() if kind == Is.IS_NULL else path.not_empty()
            return path.is_null() if kind == Is.IS_NULL else path.not_null()
        if bool(repeated) != on_elements:
            words = "only LIST_... comparators look into lists" if repeated else "it is no list"
            raise bad_request(f"{where}.comparator", words)
        if repeated:
            path = q
            for at, step in enumerate(fields):
                path = path[step.name]
                if at in repeated:
                    path = path.one_of_them()
        field = fields[-1]
        if kind == Is.NEAR:
            return self._near(path, field, comparison, where)
        value, where = comparison.value, f"{where}.value"
        compared = MomentPath(path, in_list=bool(repeated)) if is_moment(field) else path
        if kind in _WITH_WORDS:
            return _WITH_WORDS[kind](path, self._words(field, value, where))
        one = _WITH_ONE.get(kind) or _ON_ELEMENT.get(kind)
        if one is not None:
            if kind in _BEGINNINGS and value.WhichOneof("kind") not in ("string_value", "bytes_value"):
                raise bad_request(where, "only text and bytes have a beginning")
            return one(compared, operand(field, value, where))
        several = _WITH_SEVERAL.get(kind) or _ON_ELEMENTS.get(kind)
        if several is not None:
            return several(compared, [operand(field, each, where) for each in self._listed(value, where)])
        raise bad_request(where.removesuffix(".value") + ".comparator", "name a comparator")

    def _listed(self, value: types_pb2.Value, where: str) -> Sequence[types_pb2.Value]:
        most = self._limits.values_per_comparison
        values: Sequence[types_pb2.Value] = value.list_value.values
        if not 1 <= len(values) <= most:
            raise bad_request(where, f"a list of 1 to {most} values is wanted")
        return values

    def _words(self, field: FieldDescriptor, value: types_pb2.Value, where: str) -> str | list[str]:
        if field.type != field.TYPE_STRING:
            raise bad_request(where, "only text has words")
        if value.WhichOneof("kind") == "list_value":
            return [str(scalar(field, each, where)) for each in self._listed(value, where)]
        return str(scalar(field, value, where))

    def _near(
        self, path: FieldPath, field: FieldDescriptor, comparison: filter_pb2.Comparison, where: str
    ) -> Predicate:
        if not is_message(field) or not is_location(field.message_type):
            raise bad_request(f"{where}.field", "it is no location: a message with latitude and longitude")
        if comparison.value.WhichOneof("kind") != "location_value":
            raise bad_request(f"{where}.value", "a location is wanted")
        if not 0 <= comparison.distance < float("inf"):
            raise bad_request(f"{where}.distance", "metres, 0 or more")
        point = checked_point(comparison.value.location_value, f"{where}.value")
        return path.near(point.latitude, point.longitude, within=comparison.distance)


def operand(field: FieldDescriptor, value: types_pb2.Value, where: str) -> Any:
    """What a field is compared with.  Raises  Refusal."""
    if value.WhichOneof("kind") == "null_value":
        raise bad_request(where, "nothing compares with null: use IS_NULL or NOT_NULL")
    if not is_message(field):
        return scalar(field, value, where)
    if is_moment(field):
        return moment(field, value, where)
    name = field.message_type.full_name
    if name.endswith(".UUID") and name in TUPLE_FIELDS:
        try:
            return UUID(value.string_value)
        except ValueError:
            raise bad_request(where, "a UUID is wanted, as 8-4-4-4-12 hexadecimal digits") from None
    if name in TUPLE_FIELDS:
        return scalar(field.message_type.fields_by_name["value"], value, where)
    raise bad_request(where, f"{field.name} holds a message: compare a field of it")
