"""What most index types share: entries before and after, and only the difference is written.

Cost    1 write per changed entry; nothing for entries that stay
Source  Record Layer, StandardIndexMaintainer: order of removals and additions, common entries, writers on an index that
        is being built
"""

from __future__ import annotations

import struct
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from recordlayer.errors import IndexEntryTooLarge, IndexNotSupported
from recordlayer.index.built import built_part
from recordlayer.index.filter import kept_rows
from recordlayer.index.maintainer import IndexedRecord, IndexSpace, Items
from recordlayer.index.state import IndexState
from recordlayer.kv.engine import KEY_LIMIT, VALUE_LIMIT
from recordlayer.kv.mutations import Write, perform
from recordlayer.tuples import pack

if TYPE_CHECKING:
    from google.protobuf.message import Message

E = TypeVar("E")
R = TypeVar("R", bound=tuple[Any, ...])

_DOUBLE = struct.Struct(">d")


def difference(old: list[E], new: list[E]) -> tuple[list[E], list[E]]:
    """What is to be removed, and what is to be added.

    Every copy of an entry that is on both sides is left out, however many there are on each: Java does so, and sums of
    repeated fields depend on it.
    """
    if not old or not new:
        return old, new
    if old == new:
        return [], []
    common = set(old).intersection(new)
    if not common:
        return old, new
    return [entry for entry in old if entry not in common], [entry for entry in new if entry not in common]


def row_difference(old: list[R], new: list[R]) -> tuple[list[R], list[R]]:
    """The same for rows, tuples that may hold floats: as in the database -0.0 is not 0.0, and a NaN is itself."""
    if not (old and new) or not any(map(_has_float, old)):
        return difference(old, new)
    before, after = {_exact(row): row for row in old}, {_exact(row): row for row in new}
    common = before.keys() & after.keys()
    if not common:
        return old, new
    return [row for row in old if _exact(row) not in common], [row for row in new if _exact(row) not in common]


def same_rows(old: list[R], new: list[R]) -> bool:
    """Whether two lists hold the same rows in the same order."""
    if len(old) != len(new) or any(map(_has_float, old)):
        return [_exact(row) for row in old] == [_exact(row) for row in new]
    return old == new


def _has_float(row: tuple[Any, ...]) -> bool:
    return any(type(item) is float or (type(item) is tuple and _has_float(item)) for item in row)


def _exact(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row with its floats as bytes, for comparison."""
    return tuple(
        _DOUBLE.pack(item) if type(item) is float else _exact(item) if type(item) is tuple else item for item in row
    )


def clear_entries(space: IndexSpace, prefix: Items, *, keyspace: int = 2) -> None:
    """Clear what begins with `prefix` in one keyspace of an index: the tuple itself and all that go on from it. (Java
    goes up to the next key, and so takes texts along that go on with a zero character.)

    Cost  1 clear range.
    """
    begin = pack(prefix, space.space(keyspace))
    space.context.clear_range(begin, begin + b"\xff")
    space.context.forget_claims(begin)


class StandardMaintainer:
    """Base of index types whose entries follow from one record alone. `writes` is theirs; this decides whether to."""

    type: ClassVar[str]

    __slots__ = ("_functions", "_predicate", "space")

    def __init__(self, space: IndexSpace) -> None:
        self.space = space
        self._functions = space.functions
        self._predicate = space.index.predicate

    @property
    def idempotent(self) -> bool:
        raise NotImplementedError

    def covers(self, message: Message) -> bool:
        """Whether a record fulfils the index's own condition."""
        return self._predicate is None or self._predicate.decide(message) is True

    def rows(self, record: IndexedRecord | None) -> list[Items]:
        """The rows that a record has in this index."""
        if record is None or not self.covers(record.message):
            return []
        message = record.message
        rows = self._functions.rows(type(message))(message, record.key_context)
        chooses = self.space.chooses
        return rows if chooses is None else kept_rows(chooses, self.space.index, message, rows)

    def writes(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        """What turns the entries of `old` into those of `new`, whatever the index's state."""
        raise NotImplementedError

    def prepare(self, old: IndexedRecord | None, new: IndexedRecord | None) -> list[Write]:
        state = self.space.state
        if self.space.is_kept or (state is IndexState.WRITE_ONLY and self.idempotent):
            return self.writes(old, new)
        if state is IndexState.WRITE_ONLY_WITH_QUEUE:
            raise IndexNotSupported(
                index=self.space.index.name,
                state=state.name,
                hint="changes to this index go to a queue that is not supported here: let its build end",
            )
        return []

    def finish(self, old: IndexedRecord | None, new: IndexedRecord | None) -> Coroutine[Any, None, None] | None:
        if self.only_where_built:
            return self._write_if_built(old, new)
        return None

    @property
    def only_where_built(self) -> bool:
        """Whether entries must not be touched but where a build has been already: they would be counted twice."""
        return self.space.state is IndexState.WRITE_ONLY and not self.space.building and not self.idempotent

    async def _write_if_built(self, old: IndexedRecord | None, new: IndexedRecord | None) -> None:
        """An entry that must not be counted twice is only touched where the build has been already."""
        old, new = await built_part(self.space, old, new)
        if old is not None or new is not None:
            perform(self.space.context, self.writes(old, new))

    def check_size(self, key: bytes, value: bytes, record: IndexedRecord | None) -> None:
        """Raises  IndexEntryTooLarge when the engine would refuse an entry."""
        if len(key) > KEY_LIMIT or len(value) > VALUE_LIMIT:
            raise IndexEntryTooLarge(
                index=self.space.index.name,
                primary_key=None if record is None else record.primary_key,
                key_bytes=len(key),
                value_bytes=len(value),
                hint=f"keys may have {KEY_LIMIT:,} bytes and values {VALUE_LIMIT:,}: index a shorter field",
            )
