"""`recordlayer query` and `recordlayer explain`: what is in a store, page by page, and what it costs to find."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click

from recordlayer.cli.completions import record_types
from recordlayer.cli.expression import condition_in, query_in
from recordlayer.cli.opening import db_option, opened, store_option
from recordlayer.cli.project import Names
from recordlayer.cli.rows import Columns, plain
from recordlayer.cli.screen import Screen, json_option
from recordlayer.cursor.step import Stop
from recordlayer.errors import InvalidExpression
from recordlayer.options import Limits
from recordlayer.query.query import Query, RecordQuery

PAGE = 20
TIME = timedelta(seconds=3)  # well within what a transaction may take

_WHAT_HELP = "A record type, or a query as in a program: 'query(\"Order\").where(total > 100)'."


def asking(command: Any) -> Any:
    """What `query` and `explain` have in common: what is asked, and where."""
    for one in (
        json_option,
        db_option,
        store_option,
        click.option("--max-keys", type=click.IntRange(1), metavar="N", help="A budget: pairs that may be read."),
        click.option("--in-memory", type=click.IntRange(0), metavar="N", help="Records that may be sorted in memory."),
        click.option("--reverse", is_flag=True, help="Descending."),
        click.option("--order-by", metavar="FIELDS", help="Fields with commas between them."),
        click.option("--where", metavar="CONDITION", help="Such as 'customer == \"ana\" and total > 100'."),
        click.argument("what", metavar="TYPE|QUERY", shell_complete=record_types),
    ):
        command = one(command)
    return command


def asked(
    what: str,
    *,
    where: str | None,
    order_by: str | None,
    reverse: bool,
    in_memory: int | None,
    max_keys: int | None,
) -> Query:
    """The query that arguments are.  Raises  InvalidExpression."""
    found = query_in(what)
    given = {"--where": where, "--order-by": order_by, "--max-keys": max_keys, "--in-memory": in_memory}
    options = [name for name, value in given.items() if value is not None]
    if not options and not reverse:
        return found
    if not isinstance(found, RecordQuery):
        raise InvalidExpression(query=what, hint=f"say it in the query itself, without {', '.join(options)}")
    if where is not None:
        found = found.where(condition_in(where))
    if order_by is not None:
        names = [name.strip() for name in order_by.split(",") if name.strip()]
        found = found.order_by(*names, reverse=reverse, in_memory=in_memory or 0)
    elif reverse or in_memory:
        raise InvalidExpression(query=what, hint="--reverse and --in-memory go with --order-by")
    return found if max_keys is None else found.within(keys=max_keys)


@click.command()
@click.option("--limit", type=click.IntRange(1), default=PAGE, show_default=True, help="Rows of a page.")
@click.option("--continuation", metavar="TEXT", help="Go on behind an earlier page, with the same query.")
@click.option("--columns", metavar="FIELDS", help="Which fields to show, with commas between them.")
@asking
@click.pass_obj
def query(
    screen: Screen,
    /,
    what: str,
    db: str | None,
    at: Names | None,
    limit: int,
    continuation: str | None,
    columns: str | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Print the records, groups or pairs of a query, a page at a time.

    Fields, comparisons and methods are those of the library:

    \b
      recordlayer query Order --where 'customer == "ana" and total > 100'
      recordlayer query Order --where '"new" in tags or note is None'
      recordlayer query 'query("Order").aggregate(most=agg.max("total"))'
    """
    wanted = asked(what, **how)
    names = [name.strip() for name in (columns or "").split(",") if name.strip()]
    with opened(screen, db, at) as place, place.looking() as store:
        page = store.query(wanted, limit=limit, resume=decoded(continuation), limits=Limits(time=TIME), snapshot=True)
        rows = list(page)
        stopped, rest = page.stopped, page.continuation
    print_page(screen, rows, encoded(rest), stopped, columns=names, as_json=as_json)


def print_page(
    screen: Screen,
    rows: Sequence[Any],
    continuation: str | None,
    stopped: Stop | None,
    *,
    columns: Sequence[str] = (),
    as_json: bool = False,
    how: str = "--continuation {}",
) -> None:
    """Rows, and how to go on: `how`, with the continuation in it."""
    if as_json:
        reason = None if stopped is None else stopped.value
        screen.json({"rows": [plain(row) for row in rows], "stopped": reason, "continuation": continuation})
        return
    shown = Columns(rows, columns)
    if rows:
        screen.table(shown.heads, [shown.cells(row) for row in rows], right=shown.numbers)
    if shown.left_out:
        screen.say(f"without {', '.join(shown.left_out)}: --columns says which to show")
    counted = f"{len(rows):,} row{'s' * (len(rows) != 1)}"
    if continuation is None:
        screen.say(f"({counted})")
        return
    because = f", stopped by its {stopped.value}" if stopped is not None and stopped.out_of_band else ""
    screen.say(f"({counted}{because}; there may be more)\n{how.format(continuation)}")


@click.command()
@click.option("--analyze", is_flag=True, help="Run it, and say what each part did.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Rows to analyze.")
@click.option("--dot", is_flag=True, help="The plan as a graph, for Graphviz.")
@asking
@click.pass_obj
def explain(
    screen: Screen,
    /,
    what: str,
    db: str | None,
    at: Names | None,
    analyze: bool,
    limit: int | None,
    dot: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Print the plan of a query: what it reads, what that costs, which indexes are not used and why."""
    if limit is not None and not analyze:
        raise click.UsageError("--limit goes with --analyze")
    if dot and as_json:
        raise click.UsageError("give --dot or --json")
    wanted = asked(what, **how)
    with opened(screen, db, at) as place, place.looking() as store:
        if analyze:
            found = store.analyze(wanted, limit=limit, limits=Limits(time=TIME), snapshot=True)
        else:
            found = store.explain(wanted)
    if as_json:
        screen.json(found.as_dict())
    else:
        screen.say(found.to_dot().rstrip("\n") if dot else str(found))


def encoded(continuation: bytes | None) -> str | None:
    """A continuation as people copy it: letters, digits, - and _."""
    return None if continuation is None else base64.urlsafe_b64encode(continuation).decode().rstrip("=")


def decoded(text: str | None) -> bytes | None:
    """Raises  click.BadParameter."""
    if text is None:
        return None
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise click.BadParameter(f"that is no continuation: {error}", param_hint="--continuation") from error
