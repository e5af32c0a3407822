"""Primary keys as people write them, checked against what the records of a store have.

`7` stands for `(7,)`. A key with the wrong number of columns, or of a type that no record's key has, is refused: it
could only ever be not found.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor as FieldTypes

from recordlayer.errors import UsageError, WrongType
from recordlayer.index.columns import Convert, converter, field_column
from recordlayer.metadata import RecordMetaData

_INTEGERS = frozenset(
    (
        FieldTypes.TYPE_INT32,
        FieldTypes.TYPE_INT64,
        FieldTypes.TYPE_SINT32,
        FieldTypes.TYPE_SINT64,
        FieldTypes.TYPE_SFIXED32,
        FieldTypes.TYPE_SFIXED64,
    )
)


class PrimaryKeys:
    """The shapes of the primary keys of one metadata."""

    __slots__ = ("_as_is", "_converters", "_shown")

    def __init__(self, metadata: RecordMetaData) -> None:
        self._as_is: set[type] = set()
        """Types whose values, but for defaults such as 0, are a whole key as they are."""
        self._converters: dict[int, list[tuple[Convert, ...]]] = {}
        self._shown = {name: repr(known.primary_key) for name, known in metadata.record_types.items()}
        for known in metadata.record_types.values():
            columns = [field_column(column, known.descriptor) for column in known.primary_key.normalized()]
            shapes = self._converters.setdefault(len(columns), [])
            shapes.append(tuple(converter(None if column is None else column.field) for column in columns))
            if len(columns) == 1 and columns[0] is not None and columns[0].field.type in _INTEGERS:
                self._as_is.add(int)
            elif len(columns) == 1 and columns[0] is not None and columns[0].field.type == FieldTypes.TYPE_STRING:
                self._as_is.add(str)

    def columns(self, key: Any, *, whole: bool = True) -> tuple[Any, ...]:
        """The columns of a primary key, or with `whole` false of the beginning of one.

        Raises  UsageError, WrongType.
        """
        if type(key) in self._as_is and key and whole:
            return (key,)
        given = key if isinstance(key, tuple) else tuple(key) if isinstance(key, list) else (key,)
        shapes = self._converters.get(len(given), []) if whole else self._longer(len(given))
        if not shapes:
            raise UsageError(primary_key=given, expected=self._shown, hint="give all columns, as a tuple if several")
        wrong: WrongType | None = None
        for shape in shapes:
            try:
                return tuple([convert(value) for convert, value in zip(shape, given, strict=False)])
            except WrongType as error:
                wrong = error
        assert wrong is not None, "every shape has refused"
        raise wrong

    def _longer(self, size: int) -> list[tuple[Convert, ...]]:
        return [shape for length, shapes in self._converters.items() if length >= size for shape in shapes]
