"""Deleting all records whose primary keys begin alike, without reading them.

The records are named by their type, by values of fields, or both: `type Order and customer = "ana"`. That is possible
where the named columns are the first columns of the primary keys of all record types (of that one, if it is named), of
the record count key, and of every index concerned. An index that is about the named type alone need not have the type
in its key. Everything is looked at before anything is cleared.

Cost    1 clear range for the records (+ 1 for versions of old formats, + 1 for record counts), 1-2 for each index
Source  Record Layer, FDBRecordStore.deleteRecordsWhereAsync, QueryToKeyMatcher
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recordlayer.errors import IndexCannotClear, IndexNotSupported, UsageError, WrongType
from recordlayer.index.columns import converter, value_converter
from recordlayer.index.maintainer import Items, Maintainer, PrefixClearing
from recordlayer.index.state import IndexState
from recordlayer.keys import FanType, Field, KeyExpression, Nesting, NullInterpretation
from recordlayer.keys.prefixes import leading_columns
from recordlayer.keys.special import RecordType as RecordTypeKey
from recordlayer.metadata import Index, RecordType
from recordlayer.metadata.joined import JoinedType
from recordlayer.metadata.metadata import Synthetic
from recordlayer.metadata.unnested import UnnestedType
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor, FieldDescriptor

_TYPE = ""
"""Stands for the record type among the paths of columns."""


async def delete_where(store: RecordStore, record_type: str | None, values: Mapping[str, Any]) -> None:
    """Delete the records of a type, or of all types, that have these values in these fields. Changes of records that
    were begun before are there first.

    values  by path: "customer", or "address.city" for a field of a message

    Raises  UsageError if the columns are not the first ones of a primary key or of the record count key;
            IndexCannotClear, naming the index; IndexNotSupported; UnknownRecordType, WrongType;
            StoreLocked. Nothing has been cleared then.
    """
    store.header.check_may_write()
    await store.context.turns.quiet(store.layout.records)
    condition = _Condition.of(store, record_type, values)
    prefix = condition.primary_key_prefix()
    _check_record_counts(store, condition, prefix)
    clearing = _index_prefixes(store, condition, prefix)
    place = None if store.feed is None else store.feed.claim()
    _clear_records(store, prefix)
    if store.feed is not None and place is not None:
        store.feed.cleared(place, prefix)
    for maintainer, items in clearing:
        maintainer.clear_prefix(items)


@dataclass(frozen=True, slots=True)
class _Condition:
    """Which records: one type or all of them, and values by path; the type's key is among the values."""

    record_type: RecordType | None
    types: tuple[RecordType, ...]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, store: RecordStore, name: str | None, values: Mapping[str, Any]) -> _Condition:
        metadata = store.metadata
        if name is not None and not isinstance(name, str):
            raise WrongType(record_type=name, hint="give the name of a record type, or None and then values by path")
        if name is None and not values:
            raise UsageError(hint="name a record type or give a field's value; delete_all() removes all records")
        wanted = None if name is None else metadata.record_type(name)
        types = tuple(metadata.record_types.values()) if wanted is None else (wanted,)
        given: dict[str, Any] = dict(values)
        if wanted is not None:
            for known in metadata.record_types.values():
                if not isinstance(known.primary_key.normalized()[0], RecordTypeKey):
                    raise UsageError(
                        record_type=wanted.name,
                        primary_key=f"{known.primary_key!r} of {known.name}",
                        hint="a type can be deleted where all primary keys begin with record_type()",
                    )
            given[_TYPE] = wanted.record_type_key
        return cls(wanted, types, given)

    def without_type(self) -> _Condition:
        return _Condition(None, self.types, {path: value for path, value in self.values.items() if path != _TYPE})

    def primary_key_prefix(self) -> Items:
        """What the primary keys of the records begin with."""
        found: dict[bytes, Items] = {}
        for known in self.types:
            items = self.matched(known.primary_key.normalized(), (known,))
            if items is None:
                raise UsageError(
                    fields=sorted(path for path in self.values if path),
                    primary_key=known.primary_key,
                    record_type=known.name,
                    hint="give values for the first columns of the primary key, of each record type if none is named",
                )
            found[pack(items)] = items
        if len(found) != 1:
            raise UsageError(
                prefixes=tuple(found.values()), hint="the values mean different keys in different record types"
            )
        return next(iter(found.values()))

    def matched(self, columns: tuple[KeyExpression, ...], types: Sequence[RecordType | Synthetic]) -> Items | None:
        """The values of as many leading columns as there are values, if those are the columns that they are for."""
        size = len(self.values)
        if len(columns) < size:
            return None
        items: list[Any] = []
        paths: set[str] = set()
        for column in columns[:size]:
            path = _path_of(column)
            if path is None or path not in self.values:
                return None
            paths.add(path)
            elements = [self.values[path]] if path == _TYPE else _elements(column, path, self.values[path], types)
            if len(elements) != 1:
                return None
            items += elements
        return tuple(items) if len(paths) == size else None


def _path_of(column: KeyExpression) -> str | None:
    """The path of a column that holds one field, no element of a repeated one; `_TYPE` for the record type's key."""
    if isinstance(column, RecordTypeKey):
        return _TYPE
    names: list[str] = []
    while isinstance(column, Nesting):
        if column.parent.fan_type is not FanType.SCALAR:
            return None
        names.append(column.parent.name)
        column = column.child
    if not isinstance(column, Field) or column.fan_type is not FanType.SCALAR:
        return None
    return ".".join([*names, column.name])


def _elements(column: KeyExpression, path: str, value: Any, types: Sequence[RecordType | Synthetic]) -> list[Any]:
    """What a value is in the keys of these types; the same in all of them, as a rule.

    A field without presence that holds its default is a null, unless the expression takes it as it is; a field that a
    type does not have is a null.

    Raises  WrongType.
    """
    while isinstance(column, Nesting):
        column = column.child
    assert isinstance(column, Field), "its path is known"
    elements: dict[bytes, Any] = {}
    for known in types:
        field = _field(known, path)
        if field is None:
            element = None
        else:
            keeps_default = column.nulls is NullInterpretation.NOT_NULL
            element = (value_converter(field) if keeps_default else converter(field))(value)
        elements[pack((element,))] = element
    return list(elements.values())


def _field(record_type: RecordType | Synthetic, path: str) -> FieldDescriptor | None:
    *parents, name = path.split(".")
    descriptor: Descriptor | None = record_type.descriptor
    for parent in parents:
        found = None if descriptor is None else descriptor.fields_by_name.get(parent)
        descriptor = None if found is None else found.message_type
    return None if descriptor is None else descriptor.fields_by_name.get(name)


def _check_record_counts(store: RecordStore, condition: _Condition, prefix: Items) -> None:
    key = store.metadata.record_count_key
    if store.counts is None or key is None:
        return
    items = condition.matched(key.normalized(), condition.types)
    if items is None or pack(items) != pack(prefix):
        raise UsageError(
            record_count_key=key,
            hint="records are counted by other columns: the counters cannot be brought up to date without reading",
        )


def _index_prefixes(store: RecordStore, condition: _Condition, prefix: Items) -> list[tuple[PrefixClearing, Items]]:
    """The index types concerned, and what to clear in each.  Raises  IndexCannotClear."""
    metadata = store.metadata
    wanted = condition.record_type
    if wanted is None:
        indexes = list(metadata.indexes.values())
    else:
        made = {index.name: index for index, _ in metadata.synthetic_indexes_of(wanted)}
        indexes = [*metadata.indexes_of(wanted), *made.values()]
    clearing: list[tuple[PrefixClearing, Items]] = []
    for known in condition.types:
        store.upkeep.maintainers(known)  # refuses types that are only read here
    for index in indexes:
        maintainer = store.upkeep.maintainer(index)
        if maintainer is None:
            continue
        if store.states.of(index) is IndexState.WRITE_ONLY_WITH_QUEUE:
            raise IndexNotSupported(
                index=index.name,
                state="WRITE_ONLY_WITH_QUEUE",
                hint="changes to this index go to a queue that is not supported here: let its build end",
            )
        synthetic = metadata.synthetic_of(index)
        if synthetic:
            clearing.append(_of_synthetic(index, synthetic, maintainer, condition, prefix))
        else:
            clearing.append(_of_index(store, index, maintainer, condition, prefix))
    return clearing


def _of_synthetic(
    index: Index, kinds: tuple[Synthetic, ...], maintainer: Maintainer, condition: _Condition, prefix: Items
) -> tuple[PrefixClearing, Items]:
    """The same for an index over records that are made from others: all of those must go that have a part in them.

    Source  Record Layer, FDBRecordStore.canDeleteWhereForIndexOnUnnestedTypes, canDeleteWhereForIndexOnJoinedTypes
    """
    plain, (kind, *others) = condition, kinds
    names: tuple[str, ...] = ()
    if condition.record_type is not None:
        plain, prefix = condition.without_type(), prefix[1:]
    if isinstance(kind, UnnestedType):
        if condition.record_type in (None, kind.stored):
            names = (kind.parent,)
    else:
        names = _all_gone_at_once(kind, condition)
    for name in () if others else names:
        nested = _Condition(None, (), {f"{name}.{path}": value for path, value in plain.values.items()})
        items = nested.matched(leading_columns(index.root_expression), (kind,))
        if items is None or pack(items) != pack(prefix) or not isinstance(maintainer, PrefixClearing):
            continue
        if maintainer.can_clear_prefix(len(items)):
            return maintainer, items
    raise _refused(index, condition, "it is over records that are made from these, and cannot tell which of them go")


def _all_gone_at_once(kind: JoinedType, condition: _Condition) -> tuple[str, ...]:
    """The constituents, if all of them go or none: two that are joined by just what is deleted by."""
    if (
        condition.record_type is None
        and len(kind.constituents) == 2
        and not any(one.outer for one in kind.constituents)
    ):
        for join in kind.joins:
            if {_path_of(join.left_expression), _path_of(join.right_expression)} == condition.values.keys():
                return tuple(kind.by_name)
    return ()


def _of_index(
    store: RecordStore, index: Index, maintainer: Maintainer, condition: _Condition, prefix: Items
) -> tuple[PrefixClearing, Items]:
    columns = leading_columns(index.root_expression)
    types = tuple(store.metadata.record_types_of(index))
    by_type = bool(columns) and isinstance(columns[0], RecordTypeKey)
    wanted = condition
    if condition.record_type is not None and not by_type:
        if len(types) > 1:
            raise _refused(index, condition, "it covers other record types as well, and does not begin with the type")
        wanted, prefix = condition.without_type(), prefix[1:]
    items = wanted.matched(columns, types)
    if items is None or pack(items) != pack(prefix):
        raise _refused(index, condition, "its entries do not begin with these columns")
    if not isinstance(maintainer, PrefixClearing) or not maintainer.can_clear_prefix(len(items)):
        raise _refused(index, condition, f"its type, {index.type}, does not keep such entries together")
    return maintainer, items


def _refused(index: Index, condition: _Condition, why: str) -> IndexCannotClear:
    return IndexCannotClear(
        index=index.name,
        expression=index.root_expression,
        reason=why,
        record_type=None if condition.record_type is None else condition.record_type.name,
        fields=sorted(path for path in condition.values if path),
        hint="delete the records one by one, or disable the index and build it anew afterwards",
    )


def _clear_records(store: RecordStore, prefix: Items) -> None:
    context, layout = store.context, store.layout
    packed = pack(prefix)
    store.records.forget_preloaded()
    context.clear_range(layout.records + packed, layout.records + packed + b"\xff")
    if store.records.has_old_versions and store.metadata.store_record_versions:
        context.clear_range(layout.old_versions + packed, layout.old_versions + packed + b"\xff")
    if store.counts is not None:
        store.counts.clear_prefix(prefix)
