"""Queries as text, in the words of the library: what is typed here can be pasted into a program.

    customer == "ana" and total > 100              a condition; `q.customer` is the same as `customer`
    tags.contains("new") or note is None           methods of paths; `in`, `not in`, `is None`, and, or, not
    query("Order").group_by("customer").aggregate(n=agg.count())

The text is parsed as a Python expression and only what is listed here is worked out: no name of Python's own is known,
no attribute of an object is read, nothing is called but what makes queries.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from recordlayer.errors import InvalidExpression, RecordLayerError
from recordlayer.keys.compose import concat
from recordlayer.keys.field import Field, field
from recordlayer.keys.special import record_type, version
from recordlayer.keys.suggest import did_you_mean, listed
from recordlayer.query.aggregates import agg
from recordlayer.query.group import GroupQuery
from recordlayer.query.join import JoinQuery
from recordlayer.query.paths import FieldPath, Operand, q
from recordlayer.query.predicate import Predicate
from recordlayer.query.query import Query, RecordQuery, query

LONGEST = 20_000
"""Characters."""

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "query": query,
    "field": field,
    "concat": concat,
    "version": version,
    "record_type": record_type,
    "timedelta": timedelta,
    "UUID": UUID,
}
AGGREGATES = frozenset(name for name in dir(agg) if not name.startswith("_"))
OF_QUERIES = frozenset(
    (
        *("where", "order_by", "select", "with_duplicates", "within", "bind"),
        *("use_indexes", "hide_indexes", "try_indexes"),
        *("group_by", "aggregate", "having", "select_distinct", "join"),
    )
)
OF_OPERANDS = frozenset(
    name for name in dir(FieldPath) if not name.startswith("_") and callable(getattr(FieldPath, name))
)
_COMPARES: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def condition_in(text: str) -> Predicate:
    """The condition that a text is.  Raises  InvalidExpression."""
    found = _worked_out(text)
    if not isinstance(found, Predicate):
        raise InvalidExpression(text=text, hint='a condition is wanted, such as: customer == "ana" and total > 100')
    return found


def query_in(text: str) -> Query:
    """The query that a text is: one of `query(...)`, or only the name of a record type.  Raises  InvalidExpression."""
    if text.isidentifier():
        return query(text)
    found = _worked_out(text)
    if not isinstance(found, (RecordQuery, GroupQuery, JoinQuery)):
        raise InvalidExpression(text=text, hint='give a record type, or a query: query("Order").where(total > 100)')
    return found


def _worked_out(text: str) -> Any:
    if len(text) > LONGEST:
        raise InvalidExpression(length=len(text), hint=f"at most {LONGEST:,} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on how programs are written, for who types "\d" or 1in
            parsed = ast.parse(text.strip(), mode="eval")
        return _Reading(text.strip()).value(parsed.body)
    except InvalidExpression:
        raise
    except SyntaxError as error:
        raise InvalidExpression(text=text, column=error.offset, reason=error.msg) from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise InvalidExpression(text=text[:200], reason=str(error) or "it is nested too deeply") from error


class _Reading:
    """Works out one text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _wrong(self, node: ast.AST, hint: str | None) -> InvalidExpression:
        return InvalidExpression(at=self._part(node), column=getattr(node, "col_offset", 0) + 1, hint=hint)

    def _part(self, node: ast.AST) -> str:
        return ast.get_source_segment(self._text, node) or self._text

    def value(self, node: ast.expr) -> Any:
        """What a part of the text is.  Raises  InvalidExpression."""
        read = getattr(self, f"_{type(node).__name__.lower()}", None)
        if read is None:
            raise self._wrong(node, "only conditions, and what makes queries, are understood here")
        try:
            return read(node)
        except (RecordLayerError, TypeError, OverflowError, ValueError) as error:
            if isinstance(error, InvalidExpression):
                raise
            if isinstance(error, RecordLayerError):
                raise InvalidExpression(at=self._part(node), hint=error.hint or None, **error.fields) from error
            raise InvalidExpression(at=self._part(node), reason=str(error)) from error

    def _constant(self, node: ast.Constant) -> Any:
        if node.value is Ellipsis or isinstance(node.value, complex):
            raise self._wrong(node, "give a number, a text, bytes, True, False or None")
        return node.value

    def _name(self, node: ast.Name) -> Any:
        if node.id in FUNCTIONS or node.id == "agg":
            raise self._wrong(node, f'call it; a field of that name is q["{node.id}"]')
        return q if node.id == "q" else q[node.id]

    def _attribute(self, node: ast.Attribute) -> FieldPath:
        of = self.value(node.value)
        if not isinstance(of, FieldPath):
            raise self._wrong(node, "only fields have fields")
        return of[node.attr]

    def _subscript(self, node: ast.Subscript) -> FieldPath:
        of, name = self.value(node.value), self.value(node.slice)
        if not isinstance(of, FieldPath) or not isinstance(name, str):
            raise self._wrong(node, 'fields are named by texts: q["items"]')
        return of[name]

    def _tuple(self, node: ast.Tuple | ast.List) -> tuple[Any, ...]:
        return tuple(self.value(one) for one in node.elts)

    def _list(self, node: ast.List) -> list[Any]:
        return list(self._tuple(node))

    def _dict(self, node: ast.Dict) -> dict[Any, Any]:
        if any(key is None for key in node.keys):
            raise self._wrong(node, "** is not understood here")
        return {self.value(key): self.value(of) for key, of in zip(node.keys, node.values, strict=True) if key}

    # -- conditions ------------------------------------------------------------------------------------

    def _condition(self, node: ast.expr) -> Predicate:
        found = self.value(node)
        if not isinstance(found, Predicate):
            raise self._wrong(node, f"this is no condition: compare it, as in {ast.unparse(node)} == 1")
        return found

    def _boolop(self, node: ast.BoolOp) -> Predicate:
        join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
        found = self._condition(node.values[0])
        for one in node.values[1:]:
            found = join(found, self._condition(one))
        return found

    def _binop(self, node: ast.BinOp) -> Predicate:
        if isinstance(node.op, ast.BitAnd):
            return self._condition(node.left) & self._condition(node.right)
        if isinstance(node.op, ast.BitOr):
            return self._condition(node.left) | self._condition(node.right)
        raise self._wrong(node, "conditions join by and, or; values are not worked out")

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, (ast.Not, ast.Invert)):
            return ~self._condition(node.operand)
        found = self.value(node.operand)
        if not isinstance(found, (int, float)) or isinstance(found, bool):
            raise self._wrong(node, "only numbers have a sign")
        return -found if isinstance(node.op, ast.USub) else found

    def _compare(self, node: ast.Compare) -> Predicate:
        operands = [self.value(one) for one in (node.left, *node.comparators)]
        found: Predicate | None = None
        for op, left, right in zip(node.ops, operands, operands[1:], strict=False):
            one = self._compared(node, op, left, right)
            found = one if found is None else found & one
        assert found is not None, "a comparison has an operator"
        return found

    def _compared(self, node: ast.Compare, op: ast.cmpop, left: Any, right: Any) -> Predicate:
        compare = _COMPARES.get(type(op))
        if compare is not None:
            found = compare(left, right)
        elif isinstance(op, (ast.Is, ast.IsNot)):
            if not isinstance(left, Operand) or right is not None:
                raise self._wrong(node, "only `is None` and `is not None`")
            found = left.is_null() if isinstance(op, ast.Is) else left.not_null()
        else:
            if isinstance(left, Operand):
                found = left.in_(right)
            elif isinstance(right, FieldPath):
                found = right.contains(left)
            else:
                raise self._wrong(node, 'write total in [1, 2], or "new" in tags')
            found = ~found if isinstance(op, ast.NotIn) else found
        if not isinstance(found, Predicate):
            raise self._wrong(node, "compare a field with a value; texts stand in quotes")
        return found

    # -- calls -----------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Any:
        if any(isinstance(one, ast.Starred) for one in node.args) or any(one.arg is None for one in node.keywords):
            raise self._wrong(node, "* and ** are not understood here")
        function = self._function(node.func)
        given = [self.value(one) for one in node.args]
        named = {str(one.arg): self.value(one.value) for one in node.keywords}
        return function(*given, **named)

    def _function(self, node: ast.expr) -> Callable[..., Any]:
        if isinstance(node, ast.Name):
            if node.id == "q":
                return q
            if node.id in FUNCTIONS:
                return FUNCTIONS[node.id]
            raise self._wrong(node, did_you_mean(node.id, FUNCTIONS) or f"known are {listed(sorted(FUNCTIONS))}")
        if not isinstance(node, ast.Attribute):
            raise self._wrong(node, "this cannot be called")
        name = node.attr
        if isinstance(node.value, ast.Name) and node.value.id == "agg":
            known, of = AGGREGATES, agg
        else:
            of = self.value(node.value)
            known = self._methods(of)
        if name not in known:
            raise self._wrong(node, did_you_mean(name, known) or f"known here are {listed(sorted(known))}")
        method: Callable[..., Any] = getattr(of, name)
        return method

    def _methods(self, of: Any) -> frozenset[str]:
        if isinstance(of, (RecordQuery, GroupQuery, JoinQuery)):
            return frozenset(name for name in OF_QUERIES if hasattr(type(of), name))
        if isinstance(of, Operand):
            return frozenset(name for name in OF_OPERANDS if hasattr(type(of), name))
        if isinstance(of, Field):
            return frozenset({"nest"})
        return frozenset()
