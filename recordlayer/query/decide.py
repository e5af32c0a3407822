"""The ends of conditions as functions: what a comparison says about one value.

A value of None is a field that is not set, or a field of a message that is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recordlayer.errors import QueryError, UsageError, WrongType
from recordlayer.index.columns import as_is, value_converter
from recordlayer.keys import access
from recordlayer.query.comparison import TESTS, Operator
from recordlayer.query.pattern import Pattern
from recordlayer.query.predicate import Compare, CompareKey, CompareRank, Parameter, PathStep, shown
from recordlayer.query.tokens import newest, tokenizer
from recordlayer.query.words import Words
from recordlayer.tuples import compare, pack

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor, FieldDescriptor

Truth = bool | None
Decide = Callable[[Any, Any], Truth]
"""From a message (or a value in it) and the record that it is of."""


def leaf(comparison: Compare, field: FieldDescriptor) -> Decide:
    """Decides on the value of a field.  Raises  WrongType, QueryError."""
    operator, value = comparison.operator, comparison.value
    if operator is Operator.IS_NULL:
        return lambda value, record: value is None
    if operator is Operator.NOT_NULL:
        return lambda value, record: value is not None
    if access.is_message(field) and not access.is_tuple_field(field.message_type):
        hint = f"{field.name} holds a message: compare a field of it, or use is_null()"
        raise QueryError(field=shown(comparison.path), hint=hint)
    if isinstance(value, Parameter):
        check_bound(shown(comparison.path), value)
    convert = value_converter(field)
    if operator is Operator.LIKE:
        return _like(value, field, shown(comparison.path))
    if operator is Operator.TEXT:
        return _words(value, field, shown(comparison.path))
    if operator is Operator.IN:
        among = frozenset([_comparable(field, convert(one)) for one in value])
        return lambda value, record: None if value is None else value in among
    if operator is Operator.STARTS_WITH:
        start = convert(value)
        if not isinstance(start, (str, bytes)):
            raise WrongType(
                field=shown(comparison.path), value=start, hint="only text and bytes have a beginning to look for"
            )
        return lambda value, record: None if value is None else value.startswith(start)
    operand = _comparable(field, convert(value))
    if operator is Operator.DISTINCT:
        return lambda value, record: value is None or value != operand
    if operator is Operator.NOT_DISTINCT:
        return lambda value, record: value is not None and value == operand
    test = TESTS[operator]
    return lambda value, record: None if value is None else test(value, operand)


def _like(pattern: Any, field: FieldDescriptor, path: str) -> Decide:
    if not isinstance(pattern, Pattern) or field.type != access.TYPE_STRING:
        raise WrongType(field=path, value=pattern, hint=f"only text matches a pattern, and {field.name} holds none")
    matches = pattern.matcher()
    return lambda value, record: None if value is None else matches(value)


def _words(words: Any, field: FieldDescriptor, path: str) -> Decide:
    if not isinstance(words, Words) or field.type != access.TYPE_STRING:
        raise WrongType(field=path, value=words, hint=f"only text has words, and {field.name} holds none")
    decide = words.decider(*tokenizer(words.cut or newest(words.tokenizer)))
    return lambda value, record: None if value is None else decide(value)


def check_bound(path: str, value: Any) -> None:
    """Raises  UsageError for a parameter without a value."""
    if isinstance(value, Parameter):
        raise UsageError(field=path, parameter=value.name, hint=f"bind it first: query.bind({value.name}=...)")


def on_list(comparison: Compare, field: FieldDescriptor) -> Decide:
    """Decides on a repeated field as a whole."""
    operator, path = comparison.operator, shown(comparison.path)
    if operator is Operator.IS_EMPTY:
        return lambda values, record: None if values is None else not values
    if operator is Operator.NOT_EMPTY:
        return lambda values, record: None if values is None else bool(values)
    if access.is_message(field):
        raise QueryError(field=path, hint=f"{field.name} holds messages: compare a field of one_of_them()")
    read = value_reader(field) or as_is
    convert = value_converter(field)
    operand = [_comparable(field, convert(value)) for value in comparison.value]
    if operator is Operator.EQUALS:
        return lambda values, record: None if values is None else [read(one) for one in values] == operand
    if operator is Operator.NOT_EQUALS:
        return lambda values, record: None if values is None else [read(one) for one in values] != operand
    raise QueryError(field=path, operator=operator.value, hint="lists compare by = and != only")


def map_key(field: FieldDescriptor, step: PathStep) -> Any:
    """The key of a map's entry that a path leads through.  Raises  WrongType."""
    assert step.entry is not None, "only asked for steps through an entry"
    key = value_converter(field.message_type.fields_by_name["key"])(step.entry.key)
    if key is None:
        raise WrongType(field=str(step), value=None, hint="no entry of a map has None as its key")
    return key


def _comparable(field: FieldDescriptor, value: Any) -> Any:
    """Floats as what they sort by; other values as they are."""
    return pack((value,)) if field.type in (access.TYPE_FLOAT, access.TYPE_DOUBLE) else value


def value_reader(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    """From a field's value, or an element of it, to what comparisons look at; None if that is the same."""
    if field.type in (access.TYPE_FLOAT, access.TYPE_DOUBLE):
        return lambda value: pack((access.column(field, value),))
    if access.is_message(field) and access.is_tuple_field(field.message_type):
        convert = access.TUPLE_FIELDS[field.message_type.full_name]
        return lambda value: convert(value)
    return None


# -- key expressions and ranks ---------------------------------------------------------------------------------------


def on_key(comparison: CompareKey, descriptor: Descriptor) -> Decide:
    """Decides on what a key expression gives: null where an index has null."""
    expression, shown_as = comparison.expression, repr(comparison.expression)
    for problem in expression.problems(descriptor):
        raise problem
    if expression.creates_duplicates and not comparison.any:
        raise QueryError(expression=shown_as, hint="it has several rows: write q(expression, any_row=True)")
    check_bound(shown_as, comparison.value)
    fields = expression.column_fields(descriptor)
    single = expression.column_size == 1

    def operand(value: Any) -> tuple[Any, ...]:
        items = (value,) if single else value
        if not isinstance(items, tuple) or len(items) != len(fields):
            raise WrongType(expression=shown_as, value=value, hint=f"give a tuple of {len(fields)} values")
        converted = (
            item if field is None else value_converter(field)(item) for field, item in zip(fields, items, strict=True)
        )
        return tuple(converted)

    test = _row_test(comparison.operator, comparison.value, operand, shown_as)
    null_tests = comparison.operator in (Operator.IS_NULL, Operator.NOT_NULL, Operator.DISTINCT, Operator.NOT_DISTINCT)

    def decide_row(row: tuple[Any, ...]) -> Truth:
        if not null_tests and None in row:
            return None
        return test(row)

    evaluate = expression.evaluate

    def decide(message: Any, record: Any) -> Truth:
        rows = evaluate(message, record.key_context)
        if not comparison.any:
            return decide_row(rows[0]) if rows else None
        decided = [decide_row(row) for row in rows]
        return True if True in decided else None if None in decided else False

    return decide


def _row_test(
    operator: Operator, value: Any, operand: Callable[[Any], tuple[Any, ...]], shown_as: str
) -> Callable[[tuple[Any, ...]], bool]:
    if operator is Operator.IS_NULL:
        return lambda row: all(item is None for item in row)
    if operator is Operator.NOT_NULL:
        return lambda row: any(item is not None for item in row)
    if operator is Operator.IN:
        among = [operand(one) for one in value]
        return lambda row: any(compare(row, one) == 0 for one in among)
    right = operand(value)
    if operator is Operator.DISTINCT:
        return lambda row: compare(row, right) != 0
    if operator is Operator.NOT_DISTINCT:
        return lambda row: compare(row, right) == 0
    test = TESTS.get(operator)
    if test is None or operator is Operator.STARTS_WITH:
        raise QueryError(expression=shown_as, operator=operator.value, hint="key expressions compare by order only")
    holds = test
    return lambda row: holds(compare(row, right), 0)


def on_rank(comparison: CompareRank, descriptor: Descriptor) -> Decide:
    """Decides on a rank that was looked up before: null if the record has none."""
    ranked, operator = comparison.ranked, comparison.operator
    for problem in ranked.expression.problems(descriptor):
        raise problem
    if operator is Operator.IS_NULL:
        return lambda message, record: record.facts[ranked] is None
    if operator is Operator.NOT_NULL:
        return lambda message, record: record.facts[ranked] is not None
    check_bound(str(ranked), comparison.value)
    values = comparison.value if operator is Operator.IN else (comparison.value,)
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        raise WrongType(rank=str(ranked), value=comparison.value, hint="a rank is a whole number, 0 for the first")
    value = comparison.value
    if operator is Operator.DISTINCT:
        return lambda message, record: record.facts[ranked] != value
    if operator is Operator.NOT_DISTINCT:
        return lambda message, record: record.facts[ranked] == value
    test = TESTS[operator]

    def decide(message: Any, record: Any) -> Truth:
        rank = record.facts[ranked]
        return None if rank is None else test(rank, value)

    return decide
