"""How each type of aggregate is kept: what a row adds and takes away, and how values are read and put together.

Source  Record Layer, AtomicMutation.Standard
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recordlayer.errors import UsageError
from recordlayer.index.entry import Items
from recordlayer.kv.engine import MutationType
from recordlayer.tuples import pack, unpack

ZERO = bytes(8)
_SIGNED = 1 << 63
_MASK = (1 << 64) - 1


def plus(left: bytes, right: bytes) -> bytes:
    """The sum of two counters."""
    total = int.from_bytes(left, "little") + int.from_bytes(right, "little")
    return (total & _MASK).to_bytes(8, "little")


Operand = bytes | None
"""The operand of a mutation; None if there is nothing to change."""


def _little_endian(number: int) -> bytes:
    return (number & _MASK).to_bytes(8, "little")


_ONE, _MINUS_ONE = _little_endian(1), _little_endian(-1)


def negative(amount: bytes) -> bytes:
    """What takes an amount away again."""
    return (-int.from_bytes(amount, "little") & _MASK).to_bytes(8, "little")


def signed(value: bytes) -> int:
    number = int.from_bytes(value, "little")
    return number - (1 << 64) if number & _SIGNED else number


def _nothing(grouped: Items, null: bool) -> Operand:
    return None


def _number(grouped: Items) -> int | None:
    (value,) = grouped
    if value is None:
        return None
    if type(value) is not int:
        raise UsageError(what="aggregate of a column that is no integer", got=type(value).__name__)
    return value


def _sum_added(grouped: Items, null: bool) -> Operand:
    number = grouped[0]
    if type(number) is not int:
        number = _number(grouped)
    return None if number is None else (number & _MASK).to_bytes(8, "little")


def _sum_removed(grouped: Items, null: bool) -> Operand:
    number = _number(grouped)
    return None if number is None else _little_endian(-number)


def _extreme(grouped: Items, null: bool) -> Operand:
    number = _number(grouped)
    if number is not None and number < 0:
        raise UsageError(
            what="a negative value in an index of minima or maxima of longs",
            value=number,
            hint="min_ever_long and max_ever_long compare without sign: use min_ever_tuple or max_ever_tuple",
        )
    return None if number is None else _little_endian(number)


def _add(left: int, right: int) -> int:
    return signed(_little_endian(left + right))


def _packed(grouped: Items, null: bool) -> Operand:
    return pack(grouped)


def _packed_columns(value: bytes) -> Items:
    return unpack(value)


def _least(left: Any, right: Any) -> Any:
    return right if left is None or pack(right) < pack(left) else left


def _greatest(left: Any, right: Any) -> Any:
    return right if left is None or pack(right) > pack(left) else left


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one type of aggregate is kept; what is not said is as for a count.

    added, removed  get the grouped columns and whether one of them is a null that does not count
    drops_common    rows before and after the change cancel
    leaves_out_nulls  whether it matters that a column is a null; nobody is told otherwise
    """

    added: Callable[[Items, bool], Operand]
    removed: Callable[[Items, bool], Operand]
    mutation: MutationType = MutationType.ADD
    read: Callable[[bytes], Any] = signed
    fold: Callable[[Any, Any], Any] = _add
    empty: Any = 0
    idempotent: bool = False
    drops_common: bool = True
    leaves_out_nulls: bool = False


RULES: dict[str, Rule] = {
    "count": Rule(added=lambda grouped, null: _ONE, removed=lambda grouped, null: _MINUS_ONE),
    "count_updates": Rule(added=lambda grouped, null: _ONE, removed=_nothing, drops_common=False),
    "count_not_null": Rule(
        added=lambda grouped, null: None if null else _ONE,
        removed=lambda grouped, null: None if null else _MINUS_ONE,
        leaves_out_nulls=True,
    ),
    "sum": Rule(added=_sum_added, removed=_sum_removed),
    "min_ever_long": Rule(
        mutation=MutationType.MIN,
        empty=None,
        added=_extreme,
        removed=_nothing,
        read=signed,
        fold=lambda left, right: right if left is None else min(left, right),
        idempotent=True,
    ),
    "max_ever_long": Rule(
        mutation=MutationType.MAX,
        empty=None,
        added=_extreme,
        removed=_nothing,
        read=signed,
        fold=lambda left, right: right if left is None else max(left, right),
        idempotent=True,
    ),
    # Java mutates for removed rows too; what was ever there stays the minimum or maximum.
    "min_ever_tuple": Rule(
        mutation=MutationType.BYTE_MIN,
        empty=None,
        added=_packed,
        removed=_packed,
        read=_packed_columns,
        fold=_least,
        idempotent=True,
    ),
    "max_ever_tuple": Rule(
        mutation=MutationType.BYTE_MAX,
        empty=None,
        added=_packed,
        removed=_packed,
        read=_packed_columns,
        fold=_greatest,
        idempotent=True,
    ),
}
RULES["min_ever"], RULES["max_ever"] = RULES["min_ever_long"], RULES["max_ever_long"]
