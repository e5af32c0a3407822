"""How much of a query the order of some columns answers: the ranges to scan, what is left to test, and the order.

Columns are bound by equality from the left; the first one that is not may have a range; what follows is order. One
column may be bound to several values, and then there is a range for each of them, in the order of the column.

A column without presence holds null for its default (0, "", False). Comparisons mean the default then, so ranges take
the nulls in or leave them out accordingly; where that would be two ranges, the scan takes both and what lies between,
and the condition is tested again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from recordlayer.errors import WrongType
from recordlayer.index.bounds import Bounds, End
from recordlayer.index.columns import value_converter
from recordlayer.query.columns import Column, Null
from recordlayer.query.comparison import TESTS, Operator
from recordlayer.query.predicate import Compare, CompareKey, Path, Predicate
from recordlayer.query.slot import SlotList, ascending
from recordlayer.tuples import compare, pack

if TYPE_CHECKING:
    from recordlayer.query.query import SortKey

Items = tuple[Any, ...]
Comparison = Compare | CompareKey


@dataclass(frozen=True, slots=True)
class Match:
    """What a scan over some columns does for a query.

    ranges      what to scan, one after the other; none if nothing can be found
    equalities  columns bound to one value, or to one of several
    choice      which of them is bound to one of several, None if none is
    has_some    what is scanned has not all records to begin with: only those with a condition that is asked for
    has_range   whether the next column is bound to a range
    residual    conditions that the scan does not answer
    answered    those that it does, in the order of the columns
    repeats     whether one record may come more than once
    misses      whether records may be missing: those that have nothing in a repeated field
    """

    ranges: tuple[Bounds, ...]
    equalities: int
    has_range: bool
    residual: tuple[Predicate, ...]
    answered: tuple[Predicate, ...] = ()
    repeats: bool = False
    misses: bool = False
    choice: int | None = None
    has_some: bool = False

    @property
    def is_bound(self) -> bool:
        return self.equalities > 0 or self.has_range or self.has_some

    @property
    def is_text(self) -> bool:
        return any(bounds.low_end is End.TEXT for bounds in self.ranges)


def match(columns: Sequence[Column], conditions: Sequence[Predicate]) -> Match:
    """The tightest scan of these columns for these conditions."""
    found = _match(columns, conditions)
    for condition in conditions:
        if isinstance(condition, (Compare, CompareKey)) and condition.operator is Operator.IN:
            for place, column in enumerate(columns):
                if column.answers(condition) and not column.repeats:
                    chosen = _match_each(columns, conditions, condition, place)
                    if chosen is not None and chosen.equalities > found.equalities:
                        return chosen
    return found


def _match_each(
    columns: Sequence[Column], conditions: Sequence[Predicate], condition: Comparison, place: int
) -> Match | None:
    """The scans for each of the values that a column may have; None if they do not answer that condition."""
    column = columns[place]
    equal = [replace(condition, operator=Operator.EQUALS, value=value) for value in _in_order(column, condition)]
    if not equal:
        return Match((), place + 1, False, (), (condition,), choice=place)
    found = [_match(columns, [one if other is condition else other for other in conditions]) for one in equal]
    if any(one in each.residual for one, each in zip(equal, found, strict=True)):
        return None
    answered = tuple(condition if one == equal[0] else one for one in found[0].answered)
    ranges = tuple(bounds for each in found for bounds in each.ranges)
    return replace(found[0], ranges=ranges, answered=answered, choice=place)


def _in_order(column: Column, condition: Comparison) -> Sequence[Any]:
    """The values of a list in the order in which a column has them, each once."""
    if type(condition.value) is SlotList:
        return ascending(condition.value.elements, lambda slot: column.element(condition, slot))
    values = {pack((column.element(condition, value),)): value for value in condition.value}
    return [values[packed] for packed in sorted(values)]


def _match(columns: Sequence[Column], conditions: Sequence[Predicate]) -> Match:
    left = list(conditions)
    values: list[Any] = []
    used: list[Predicate] = []
    bound_repeated = False
    bounds: Bounds | None = None
    for column in columns:
        if column.is_constant:
            values.append(column.constant)
            continue
        if column.key is None or (column.repeats and bound_repeated):
            break
        equal = equality(column, left)
        if equal is not None:
            condition, value, exact = equal
            if exact:
                left.remove(condition)
                used.append(condition)
            values.append(value)
            bound_repeated |= column.repeats
            continue
        before = list(left)
        bounds = _range(column, tuple(values), left)
        used += [condition for condition in before if condition not in left]
        bound_repeated |= bounds is not None and column.repeats
        break
    bound = len(values)
    known = columns[: bound + (bounds is not None)]
    there = {fan(column) for column in known if column.repeats}
    repeats = any(column.repeats for column in columns[bound:])
    misses = any(column.repeats and fan(column) not in there for column in columns[len(known) :])
    return Match(
        (bounds if bounds is not None else Bounds.equal(tuple(values)),),
        bound,
        bounds is not None,
        tuple(left),
        tuple(used),
        repeats,
        misses,
    )


@dataclass(frozen=True, slots=True)
class Bound:
    """Leading columns that are bound to one value each: the values, and the conditions that this answers."""

    values: Items
    answered: tuple[Predicate, ...]


def bind(columns: Sequence[Column], conditions: Sequence[Predicate]) -> Bound:
    """As many of the columns, from the left, as conditions bind to one value."""
    values: list[Any] = []
    answered: list[Predicate] = []
    repeated = False
    for column in columns:
        if column.is_constant:
            values.append(column.constant)
            continue
        found = None if column.key is None or (column.repeats and repeated) else equality(column, conditions)
        if found is None:
            break
        condition, value, exact = found
        repeated |= column.repeats
        values.append(value)
        if exact:
            answered.append(condition)
    return Bound(tuple(values), tuple(answered))


def fan(column: Column) -> Path:
    """The repeated field that makes a column repeat, the last one if there are several."""
    path = column.path or ()
    return path[: max((place for place, step in enumerate(path, 1) if step.any), default=0)]


def equality(column: Column, conditions: Sequence[Predicate]) -> tuple[Comparison, Any, bool] | None:
    """A condition that binds the column to one value, the value, and whether that answers the condition."""
    for condition in conditions:
        if not column.answers(condition):
            continue
        null = column.null_for(condition)
        if condition.operator is Operator.EQUALS:
            value = column.element(condition, condition.value)
            return condition, value, value is not None or null is not Null.EITHER
        if condition.operator is Operator.IS_NULL and not column.repeats and null is not Null.DEFAULT:
            return condition, None, null is Null.UNSET
    return None


def _range(column: Column, prefix: Items, left: list[Predicate]) -> Bounds | None:
    """The range that conditions give a column; those it answers are taken out of `left`."""
    found: list[Comparison] = [one for one in left if column.answers(one)]
    if column.repeats:
        found = found[:1]  # each condition is about some element, not all about the same one
    found = [one for one in found if type(one) is type(found[0])]  # they differ in what they take a null for
    if not found:
        return None
    column_null = column.null_for(found[0])
    low: tuple[Items, End] | None = None
    high: tuple[Items, End] | None = None
    used: list[Comparison] = []
    for condition in found:
        if condition.operator is Operator.STARTS_WITH and condition.value:
            left.remove(condition)
            return Bounds.text(prefix, condition.value)
        if condition.operator is Operator.NOT_NULL and column_null is Null.UNSET:
            pass  # the range begins behind the nulls anyhow
        elif condition.operator in (Operator.GREATER, Operator.GREATER_OR_EQUAL):
            end = End.EXCLUSIVE if condition.operator is Operator.GREATER else End.INCLUSIVE
            low = _tighter(low, ((*prefix, column.operand(condition, condition.value)), end), largest=True)
        elif condition.operator in (Operator.LESS, Operator.LESS_OR_EQUAL):
            end = End.EXCLUSIVE if condition.operator is Operator.LESS else End.INCLUSIVE
            high = _tighter(high, ((*prefix, column.operand(condition, condition.value)), end), largest=False)
        else:
            continue
        used.append(condition)
    if not used:
        return None
    exact = True
    null = (*prefix, None)
    if column_null is Null.UNSET:
        if low is None:
            low = null, End.EXCLUSIVE
    else:
        low, exact = _with_default(column, used, low, null)
    if exact:
        for condition in used:
            left.remove(condition)
    elif low is None and high is None:
        return None
    low_items, low_end = low if low is not None else (prefix or None, End.INCLUSIVE)
    high_items, high_end = high if high is not None else (prefix or None, End.INCLUSIVE)
    return Bounds.between(low_items, high_items, low_end=low_end, high_end=high_end)


def _with_default(
    column: Column, used: list[Comparison], low: tuple[Items, End] | None, null: Items
) -> tuple[tuple[Items, End] | None, bool]:
    """The lower end when nulls stand for the default, and whether the range then answers the conditions exactly."""
    assert column.field is not None, "only columns with a field are compared"
    default = value_converter(column.field.field)(column.field.field.default_value)
    wanted = all(_holds(column, condition, default) for condition in used)
    if low is None and not wanted:
        return (null, End.EXCLUSIVE), True
    if not wanted:
        return low, True
    if column.null is Null.EITHER:
        return None, False
    if low is None:
        return None, True
    # The default is in the range, and its nulls lie before all other values: take everything up to the upper end. That
    # is no more than was asked for where the default is the least value there is, and numbers have no least.
    return None, isinstance(default, (str, bytes, bool))


def _holds(column: Column, condition: Comparison, value: Any) -> bool:
    test = TESTS[condition.operator]
    operand = column.operand(condition, condition.value)
    if isinstance(value, float) or isinstance(operand, float):
        return test(pack((value,)), pack((operand,)))
    try:
        return test(value, operand)
    except TypeError as error:
        raise WrongType(value=condition.value, hint=str(error)) from error


def _tighter(one: tuple[Items, End] | None, other: tuple[Items, End], *, largest: bool) -> tuple[Items, End]:
    if one is None:
        return other
    order = compare(one[0], other[0])
    if order == 0:
        return one if one[1] is End.EXCLUSIVE else other
    return one if (order > 0) is largest else other


def in_order(columns: Sequence[Column], found: Match, sort: Sequence[SortKey]) -> bool:
    """Whether a scan gives records in the order of some fields."""
    bound = {column.key for column in columns[: found.equalities] if column.key is not None}
    at = found.equalities
    if found.choice is not None:
        at = found.choice
        bound.discard(columns[at].key)
    for path in sort:
        if path in bound:
            continue
        while at < len(columns) and columns[at].key in bound:
            at += 1
        if at == len(columns):
            return True  # the whole primary key is behind: nothing is left to order
        if columns[at].key != path or columns[at].repeats:
            return False
        bound.add(path)
        at += 1
    return True
