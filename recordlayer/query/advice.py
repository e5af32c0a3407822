"""Which index would help a query, as the code that defines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recordlayer.query.columns import index_columns, primary_key_columns
from recordlayer.query.comparison import Operator
from recordlayer.query.predicate import Compare, Path, PathStep

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
    return _defined(problem, [*equal, *(path for path in problem.query.sort if path not in equal)])


def helpful_index(problem: Problem) -> str | None:
    """The index that would leave the least to be read: what is equal, then the order, else one range. None if the query
    asks for nothing that an index could answer, or there is such an index already."""
    equal = _fields(problem, _EQUAL)
    then = problem.query.sort or tuple(_fields(problem, _RANGES)[:1])
    columns = [*equal, *(path for path in then if path not in equal)]
    return _defined(problem, columns) if columns and not _is_there(problem, columns) else None


def _is_there(problem: Problem, columns: Sequence[Path]) -> bool:
    """Whether a readable index or the primary key begins with these columns, in any order."""
    single = len(problem.types) == 1
    primary = [column.path for column in primary_key_columns(problem.types[0], single=single) if not column.is_constant]
    if set(primary[: len(columns)]) == set(columns):
        return True
    for index in problem.metadata.indexes.values():
        if index.type != "value" or not problem.state_of(index).is_readable:
            continue
        if any(known not in problem.metadata.record_types_of(index) for known in problem.types):
            continue
        own = [column.path for column in index_columns(index, problem.types[0], single=single)]
        if set(own[: len(columns)]) == set(columns):
            return True
    return False


def _fields(problem: Problem, operators: Sequence[Operator]) -> list[Path]:
    """The fields of conditions with these operators, each once."""
    found = [one.path for one in problem.conditions if isinstance(one, Compare) and one.operator in operators]
    return list(dict.fromkeys(path for path in found if all(step.entry is None for step in path)))


def _defined(problem: Problem, columns: Sequence[Path]) -> str:
    written = [_as_code(path) for path in columns]
    expression = written[0] if len(written) == 1 else f"concat({', '.join(written)})"
    name = "_".join(step.name for path in columns for step in path)
    return f'.index("{problem.names[0]}", "by_{name}", {expression})'


def _as_code(path: Path) -> str:
    def one(step: PathStep) -> str:
        return f'field("{step.name}")' + (".fan_out()" if step.any else "")

    code = one(path[-1])
    for step in reversed(path[:-1]):
        code = f"{one(step)}.nest({code})"
    return code
