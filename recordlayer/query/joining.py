"""How the records of an outer query feed the inner one of a join."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from recordlayer.keys import access
from recordlayer.metadata import RecordMetaData
from recordlayer.query.evaluate import resolve
from recordlayer.query.grouping import reader
from recordlayer.query.join import finds_nothing
from recordlayer.query.predicate import Path, shown
from recordlayer.query.problem import check_field
from recordlayer.store.record import StoredRecord
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from recordlayer.metadata import RecordType
    from recordlayer.pb.types import FieldDescriptor
    from recordlayer.query.join import JoinQuery
    from recordlayer.query.query import RecordQuery

Values = tuple[Any, ...]


class Feeding:
    """From a record of the outer query to the values of the inner query's parameters."""

    def __init__(self, query: JoinQuery, types: tuple[RecordType, ...]) -> None:
        self._inner = query.inner
        self._names = [name for name, _ in query.feeds]
        paths = [path for _, path in query.feeds]
        for known in types:
            for path in paths:
                check_field(path, known)
        self._fields = [resolve(path, types[0].descriptor) for path in paths]
        self._paths: list[Path] = paths
        self._read = {known.name: [reader(resolve(path, known.descriptor)) for path in paths] for known in types}

    @classmethod
    def of(cls, query: JoinQuery, metadata: RecordMetaData) -> Feeding:
        """Raises  UnknownField, QueryError."""
        names = tuple(dict.fromkeys(query.outer.record_types or tuple(metadata.record_types)))
        return cls(query, tuple([metadata.record_type(name) for name in names]))

    def values(self, record: StoredRecord) -> Values:
        """What a record gives; None for what is not set."""
        message = record.message
        return tuple([read(message) for read in self._read[record.record_type.name]])

    def bound(self, values: Values) -> RecordQuery | None:
        """The inner query for these values; None if it can have no records."""
        named = dict(zip(self._names, values, strict=True))
        nulls = frozenset([name for name, value in named.items() if value is None])
        if nulls and finds_nothing(self._inner, nulls):
            return None
        return self._inner.bind(**named)

    def check_of(self, record: StoredRecord) -> bytes:
        """What tells whether a continuation goes on with the same record and the same values."""
        return record.primary_key_bytes + pack(self.values(record))

    def stand_in(self) -> RecordQuery:
        """The inner query with values that stand for those of a record: to plan and to explain it."""
        named = {
            name: _stand_in(fields[-1], path)
            for name, fields, path in zip(self._names, self._fields, self._paths, strict=True)
        }
        return self._inner.bind(**named)


class _Text(str):
    """A value that shows where it comes from."""

    __slots__ = ("path",)
    path: str

    def __repr__(self) -> str:
        return f"$outer.{self.path}"


class _Bytes(bytes):
    path: str

    def __repr__(self) -> str:
        return f"$outer.{self.path}"


class _Whole(int):
    path: str

    def __repr__(self) -> str:
        return f"$outer.{self.path}"


class _Real(float):
    __slots__ = ("path",)
    path: str

    def __repr__(self) -> str:
        return f"$outer.{self.path}"


def _stand_in(field: FieldDescriptor, path: Path) -> Any:
    made: Any
    if access.is_message(field):
        name = field.message_type.full_name
        if name.endswith(".UUID"):
            return UUID(int=1)
        made = _of_kind(field.message_type.fields_by_name["value"])
    else:
        made = _of_kind(field)
    if not isinstance(made, bool):
        made.path = shown(path)
    return made


def _of_kind(field: FieldDescriptor) -> Any:
    if field.cpp_type == field.CPPTYPE_BOOL:
        return True
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return _Real(1.0)
    if field.cpp_type == field.CPPTYPE_STRING:
        return _Text("x") if field.type == access.TYPE_STRING else _Bytes(b"x")
    return _Whole(1)
