"""What is typed in the shell about records, one line each.

Order where customer == "ana" and total > 100 order by total desc limit 5
query("Order").group_by("customer").aggregate(n=agg.count()) limit 5
explain Order where total > 100
analyze Order where total > 100
"""

from __future__ import annotations

import io
import tokenize
from dataclasses import dataclass

from recordlayer.cli.expression import condition_in, query_in
from recordlayer.errors import InvalidExpression, RecordLayerError
from recordlayer.query.query import Query, RecordQuery

VERBS = ("explain", "analyze")
CLAUSES = ("where", "order", "limit")
IN_MEMORY = 1_000
"""Records that are sorted in memory where no index has the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A query, and what to do with it: to run it, "explain" it or "analyze" it. `limit`: rows, None for a page."""

    query: Query
    verb: str = ""
    limit: int | None = None


def statement_in(text: str) -> Statement:
    """The statement that a line is.  Raises  InvalidExpression."""
    verb, _, rest = text.strip().partition(" ")
    if verb not in VERBS:
        verb, rest = "", text
    parts = _clauses(rest)
    query = query_in(parts.pop("", "").strip())
    limit = _limit(parts.pop("limit", None))
    if parts and not isinstance(query, RecordQuery):
        raise InvalidExpression(query=rest.strip(), hint=f"say in the query itself what {', '.join(parts)} says")
    if isinstance(query, RecordQuery):
        if "where" in parts:
            query = query.where(condition_in(parts["where"]))
        if "order" in parts:
            query = _ordered(query, parts["order"])
    return Statement(query=query, verb=verb, limit=limit)


def _ordered(query: RecordQuery, clause: str) -> RecordQuery:
    words = clause.replace(",", " ").split()
    if words[:1] != ["by"] or len(words) < 2:
        raise InvalidExpression(clause=f"order {clause}".strip(), hint="write: order by total, or: order by total desc")
    reverse = words[-1] == "desc"
    names = words[1:-1] if words[-1] in ("desc", "asc") else words[1:]
    try:
        return query.order_by(*names, reverse=reverse, in_memory=IN_MEMORY)
    except RecordLayerError as error:
        raise InvalidExpression(clause=f"order {clause}".strip(), hint=error.hint, **error.fields) from error


def _limit(clause: str | None) -> int | None:
    if clause is None:
        return None
    try:
        limit = int(clause)
    except ValueError:
        limit = 0
    if limit < 1:
        raise InvalidExpression(limit=clause.strip(), hint="give a number of rows: limit 5")
    return limit


def _clauses(text: str) -> dict[str, str]:
    """The text before the first clause, by "", and each clause by its word: words in quotes, in parentheses and behind
    a point begin none."""
    found: list[tuple[str, int, int]] = [("", 0, 0)]
    depth, before = 0, ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.OP:
                depth += (token.string in "([{") - (token.string in ")]}")
            elif token.type == tokenize.NAME and token.string in CLAUSES and depth == 0 and before != "." and before:
                found.append((token.string, token.start[1], token.end[1]))
            before = token.string
    except (tokenize.TokenError, SyntaxError) as error:
        raise InvalidExpression(text=text.strip(), reason=str(error.args[0])) from error
    except UnicodeEncodeError as error:  # of a terminal's bytes that are no text, from Python 3.12 on
        raise InvalidExpression(text=text.strip(), reason="it has characters that are no text") from error
    parts: dict[str, str] = {}
    for (word, _, begin), (_, end, _) in zip(found, [*found[1:], ("", len(text), 0)], strict=True):
        if word in parts:
            raise InvalidExpression(text=text.strip(), hint=f"say {word} once")
        parts[word] = text[begin:end]
    return parts
