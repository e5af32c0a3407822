"""What a person types in a shell: statements, keys and continuations, or a refusal that says what was wrong with them;
nothing that is typed is run."""

from __future__ import annotations

from collections.abc import Iterable

import click

from recordlayer.cli.inspect import key_in
from recordlayer.cli.query import decoded, encoded
from recordlayer.cli.statement import statement_in
from recordlayer.errors import InvalidExpression
from recordlayer.tuples import unpack
from tests.fuzz.harness import Target


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    if text.startswith(("(", "0x", "\\")):
        key = key_in(text, b"")
        assert not text.startswith("(") or unpack(key) is not None
    elif text.startswith("="):
        continuation = decoded(text[1:])
        assert decoded(encoded(continuation)) == continuation
    else:
        statement = statement_in(text)
        assert repr(statement) == repr(statement_in(text))


def seeds() -> Iterable[bytes]:
    for text in (
        'Order where customer == "ana" and total > 100 order by total desc limit 5',
        'explain Order where not (note is None or "new" in tags) and 1 < total <= 5',
        'analyze query("Order").group_by("day").aggregate(n=agg.count(), s=agg.sum("total")).having(q.n > 10)',
        'query("Order").join("Customer", on={"customer": "name"}, kind="left") limit 1',
        'Order where q["items"].one_of_them().matches((q.price > 5) & (q.sku == b"a")) order by a.b, c',
        'Order where note.has_words("quick fox", within=3) or total in [1, -2.5] or score.ranked(group_by="g") < 10',
        'query("Order").where(q(concat("customer", "total")) > ("ana", 10)).within(keys=1_000).use_indexes("a")',
        'query("Order").where(at == UUID("12345678-1234-5678-1234-567812345678")).select_distinct("a")',
        '(2, "by_total", None, b"x", 1.5, (True,))',
        "0x15020261ff",
        r"\x15\x02a\\",
        "=aGVsbG8-_w",
    ):
        yield text.encode()


TARGET = Target("query_text", check, (InvalidExpression, click.BadParameter), seeds)
