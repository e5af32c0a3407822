"""Which index would help a query, as the code that defines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recordlayer.keys import KeyExpression
from recordlayer.query.columns import index_columns, primary_key_columns
from recordlayer.query.comparison import Operator
from recordlayer.query.predicate import Compare, Path, PathStep
from recordlayer.query.query import SortKey
from recordlayer.query.words import Words

if TYPE_CHECKING:
    from recordlayer.query.problem import Problem

_EQUAL = (Operator.EQUALS, Operator.IS_NULL)
_RANGES = (
    Operator.IN,
    Operator.LESS,
    Operator.LESS_OR_EQUAL,
    Operator.GREATER,
    Operator.GREATER_OR_EQUAL,
    Operator.STARTS_WITH,
)


def missing_index(problem: Problem) -> str:
    """The index that would give the order that is asked for, behind what is equal."""
    equal = _fields(problem, _EQUAL)
    return _defined(problem, [*equal, *(key for key in problem.query.sort if key not in equal)])


def helpful_index(problem: Problem) -> str | None:
    """The index that would leave the least to be read: what is equal, then the order, else one range; or one of the
    words of a text. None if the query asks for nothing that an index could answer, or there is one already."""
    equal: list[SortKey] = [*_fields(problem, _EQUAL)]
    then = problem.query.sort or tuple(_fields(problem, _RANGES)[:1])
    columns = [*equal, *(key for key in then if key not in equal)]
    if not columns:
        return _of_words(problem)
    return None if _is_there(problem, columns) else _defined(problem, columns)


def _is_there(problem: Problem, columns: Sequence[SortKey]) -> bool:
    """Whether a readable index or the primary key begins with these columns, in any order."""
    single = len(problem.types) == 1
    primary = [column.key for column in primary_key_columns(problem.types[0], single=single) if not column.is_constant]
    if set(primary[: len(columns)]) == set(columns):
        return True
    for index in problem.metadata.indexes.values():
        if index.type != "value" or problem.hidden(index) is not None or problem.has_all(index) is not None:
            continue
        if not {known.name for known in problem.metadata.kinds_of(index)}.issuperset(problem.names):
            continue
        own = [column.key for column in index_columns(index, problem.types[0], single=single)]
        if set(own[: len(columns)]) == set(columns):
            return True
    return False


def _fields(problem: Problem, operators: Sequence[Operator]) -> list[Path]:
    """The fields of conditions with these operators, each once."""
    found = [one.path for one in problem.conditions if isinstance(one, Compare) and one.operator in operators]
    return list(dict.fromkeys(path for path in found if all(step.entry is None for step in path)))


def _of_words(problem: Problem) -> str | None:
    for one in problem.conditions:
        if isinstance(one, Compare) and isinstance(one.value, Words) and not any(step.any for step in one.path):
            return f'.index("{problem.names[0]}", "words_of_{_name(one.path)}", text_index({as_code(one.path)}))'
    return None


def _defined(problem: Problem, columns: Sequence[SortKey]) -> str:
    written = [as_code(key) for key in columns]
    expression = written[0] if len(written) == 1 else f"concat({', '.join(written)})"
    name = "_".join(_name(key) for key in columns)
    return f'.index("{problem.names[0]}", "by_{name}", {expression})'


def _name(key: SortKey) -> str:
    return "expression" if isinstance(key, KeyExpression) else "_".join(step.name for step in key)


def as_code(key: SortKey) -> str:
    """A field or key expression as one writes it."""
    if isinstance(key, KeyExpression):
        return repr(key)

    def one(step: PathStep) -> str:
        return f'field("{step.name}")' + (".fan_out()" if step.any else "")

    code = one(key[-1])
    for step in reversed(key[:-1]):
        code = f"{one(step)}.nest({code})"
    return code
